//! Every rule against its fixtures: `src/rules/fixtures/ID.txt`. A case begins with `=== fires PLACE, PLACE` or
//! `=== innocent why`, a file in it with `--- PATH`. `{{hex 40}}` and the like stand for text that looks random, so that
//! the fixtures themselves hold nothing that looks like a secret.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../examples/rules.rs"]
mod page;

use std::collections::BTreeSet;
use std::path::Path;

use sh0_build::{CheckOptions, MemoryTree, Options, check_tree, plan_tree, rule_table, to_sarif};
use sh0_core::model::{AppSettings, Category, FailOn, Report};

struct Case {
    title: String,
    fires: Option<BTreeSet<String>>,
    tree: MemoryTree,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for part in format!("\n{text}").split("\n=== ").skip(1) {
        let (title, body) = part.split_once('\n').expect("a title");
        let mut tree = MemoryTree::default();
        for file in format!("\n{body}\n").split("\n--- ").skip(1) {
            let (path, content) = file.split_once('\n').expect("a path");
            tree.insert(path.trim(), expand(content));
        }
        let fires =
            title.strip_prefix("fires ").map(|places| places.split(", ").map(|p| p.trim().to_owned()).collect());
        assert!(fires.is_some() || title.starts_with("innocent"), "{title}");
        cases.push(Case { title: title.to_owned(), fires, tree });
    }
    cases
}

/// `{{KIND N}}` as N characters of an alphabet, the same ones every time.
fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").expect("a closed marker");
        let (kind, count) = inside.split_once(' ').expect("a kind and a number");
        let alphabet: &[u8] = match kind {
            "hex" => b"0123456789abcdef",
            "digits" => b"123456789",
            "upper" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
            "alnum" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "base64" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            other => panic!("no alphabet {other}"),
        };
        out.push_str(before);
        for _ in 0..count.parse::<usize>().expect("a number") {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            out.push(char::from(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]));
        }
        rest = after;
    }
    out + rest
}

fn check(tree: &MemoryTree) -> Report {
    let plan = plan_tree(tree, &AppSettings::default(), &Options::default()).ok();
    check_tree(tree, plan.as_ref(), &CheckOptions::default())
}

fn places(report: &Report, rule: &str) -> BTreeSet<String> {
    let of_rule = report.findings.iter().filter(|finding| finding.rule == rule);
    of_rule
        .map(|finding| match (&finding.file, finding.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, _) => "tree".to_owned(),
        })
        .collect()
}

#[test]
fn every_rule_fires_where_it_should_and_nowhere_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules/fixtures");
    let mut wrong = Vec::new();
    for rule in rule_table() {
        let file = folder.join(format!("{}.txt", rule.id));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{} has no fixtures", rule.id));
        let cases = cases(&text);
        let (fires, innocent) = (cases.iter().filter(|case| case.fires.is_some()).count(), cases.len());
        assert!(fires > 0 && innocent > fires, "{}: a case that fires and an innocent one", rule.id);
        for case in cases {
            let found = places(&check(&case.tree), rule.id);
            if found != case.fires.clone().unwrap_or_default() {
                wrong.push(format!("{} {}: {found:?}", rule.id, case.title));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_is_whole() {
    let rules = rule_table();
    let ids: BTreeSet<&str> = rules.iter().map(|rule| rule.id).collect();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.name).collect();
    let categories: BTreeSet<Category> = rules.iter().map(|rule| rule.category).collect();
    assert!(ids.len() >= 76 && ids.len() == rules.len() && names.len() == rules.len(), "{}", ids.len());
    assert_eq!(categories.len(), 10);
    for rule in rules {
        assert!(rule.title.len() > 15 && rule.why.ends_with('.') && rule.fix.ends_with('.'), "{}", rule.id);
    }
}

#[test]
fn findings_never_show_a_secret() {
    let secret = expand("{{alnum 36}}");
    let tree = MemoryTree::from([
        ("a.js", format!("const t = \"ghp_{secret}\";\nconst apiKey = \"{secret}\";\n")),
        (".env", format!("API_TOKEN={secret}\n")),
    ]);
    let report = check(&tree);
    assert!(report.findings.len() >= 3);
    assert!(!serde_json::to_string(&report).unwrap().contains(&secret[..8]));
}

#[test]
fn owners_allow_with_a_reason() {
    let dockerfile = "FROM node:24-slim\n# sh0:ignore SEC06 only a name\nARG API_TOKEN=abc123def\nCMD node a.js\n";
    let toml = "[check]\nignore = [\n { rule = \"shell-form-cmd\", path = \"Dockerfile\", reason = \"bash execs it\" },\n { rule = \"IMG01\" },\n]\n";
    let tree = MemoryTree::from([("Dockerfile", dockerfile), ("sh0.toml", toml)]);
    let report = check_tree(&tree, None, &CheckOptions::default());
    let allowed: Vec<_> =
        report.suppressed.iter().map(|one| (one.finding.rule.as_str(), one.reason.as_str(), one.by.as_str())).collect();
    assert_eq!(allowed, [("SEC06", "only a name", "Dockerfile:2"), ("IMG11", "bash execs it", "sh0.toml")]);
    let rules: Vec<_> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert!(rules.contains(&"IMG01") && rules.contains(&"ENV06"), "without a reason nothing is allowed: {rules:?}");
    // A comment without a reason allows nothing either.
    let bare = dockerfile.replace(" only a name", "");
    let report = check(&MemoryTree::from([("Dockerfile", bare)]));
    assert!(report.findings.iter().any(|finding| finding.rule == "SEC06"));
}

#[test]
fn a_comment_allows_what_it_stands_at_and_nothing_else() {
    let token = |name: &str| format!("{name} = \"ghp_{}\"", expand("{{alnum 36}}"));
    let (a, b) = (token("a"), token("b"));
    for (text, found) in [
        (format!("{a} # sh0:ignore SEC03 a demo\n{b}\n"), vec![2]),
        (format!("# sh0:ignore SEC03 a demo\n{a}\n{b}\n"), vec![3]),
        (format!("x = 1 # sh0:ignore SEC03 a demo\n{a}\n"), vec![2]),
        (format!("/* sh0:ignore SEC03 a demo */ x = 1\n{a}\n"), vec![2]),
        (format!("<!-- sh0:ignore SEC03 a demo -->\n{a}\n"), vec![]),
        (format!("{a}; x = \"sh0:ignore SEC03 a demo\"\n"), vec![1]),
        (format!("{a}; x = '# sh0:ignore SEC03 a demo'\n"), vec![1]),
        (format!("x = 'it\\'s'; {a} // sh0:ignore vendor-token a demo\n"), vec![]),
        (format!("{a} # sh0:ignore SEC03\n"), vec![1]),
    ] {
        let report = check(&MemoryTree::from([("a.py", text.clone())]));
        let lines: Vec<u32> =
            report.findings.iter().filter(|one| one.rule == "SEC03").filter_map(|one| one.line).collect();
        assert_eq!(lines, found, "{text}");
    }
}

#[test]
fn an_entry_that_is_not_understood_allows_nothing() {
    let source = ("main.py", format!("a = \"ghp_{}\"\n", expand("{{alnum 36}}")));
    for entry in [
        r#"[{ rule = "SEC03", reason = "x", pth = "docs" }]"#,
        r#"[{ rule = "SEC03", reason = "x", path = 5 }]"#,
        r#"[{ rule = "SEC03", reason = "x", path = "" }]"#,
        r#"["SEC03"]"#,
        r#""SEC03""#,
    ] {
        let config = ("sh0.toml", format!("[check]\nignore = {entry}\n"));
        let tree = MemoryTree::from([source.clone(), config, ("requirements.txt", "flask==3\n".to_owned())]);
        let report = check_tree(&tree, None, &CheckOptions::default());
        let rules: Vec<_> = report.findings.iter().map(|one| one.rule.as_str()).collect();
        assert!(rules.contains(&"SEC03") && rules.contains(&"ENV06"), "{entry}: {rules:?}");
        let error = plan_tree(&tree, &AppSettings::default(), &Options::default()).expect_err(entry).to_string();
        assert!(error.contains("sh0.toml:2"), "{error}");
    }
}

#[test]
fn the_score_follows_its_formula() {
    assert_eq!(check(&MemoryTree::from([("index.html", "hi")])).score, 100);
    let one = "FROM node:24-slim\nUSER 1\nADD https://a.example.com/x /x\n";
    let two = "FROM node:24-slim\nUSER 1\nADD https://a.example.com/x /x\nADD https://a.example.com/y /y\n";
    let score = |text: &str| check(&MemoryTree::from([("Dockerfile", text)]));
    assert_eq!(score(one).score, 95);
    assert_eq!(score(two).score, 92);
    assert!(score(one).fails_on(FailOn::Medium) && !score(one).fails_on(FailOn::High));
    let worst: String = (0..5).map(|n| format!("COPY missing{n} ./\nEXPOSE 99999{n} 22\nCMD x\nRUNX\n")).collect();
    let report = score(&format!(
        "FROM node:10\nARG API_TOKEN=abc123def\n{worst}FROM b\nCOPY --from=later x x\nFROM c AS later\n"
    ));
    assert_eq!(report.score, 0);
}

#[test]
fn the_report_is_the_same_every_time() {
    let tree =
        MemoryTree::from([("Dockerfile", "FROM node\nCMD npm start\n"), ("a.js", "app.listen(3000, 'localhost')")]);
    let first = serde_json::to_string(&check(&tree)).unwrap();
    assert!((0..20).all(|_| serde_json::to_string(&check(&tree)).unwrap() == first));
}

#[test]
fn sarif_has_what_code_hosts_read() {
    let tree = MemoryTree::from([("Dockerfile", "FROM node\nCMD npm start\n")]);
    let report = check(&tree);
    let sarif = to_sarif(&report);
    let run = &sarif["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), report.findings.len());
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        assert!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].is_string());
    }
}

/// A whole check of 5,000 files takes less than 300 ms (in a release build, on an idle machine); here only that it is
/// bounded, debug builds being slower.
#[test]
fn large_trees_are_bounded() {
    let mut tree = MemoryTree::default();
    for n in 0..25_000 {
        tree.insert(
            format!("src/f{}/a{n}.js", n % 100),
            format!("const port = process.env.PORT_{n}; // secret token\n"),
        );
    }
    tree.insert("src/long.js", "token = a".repeat(300_000));
    let report = check_tree(&tree, None, &CheckOptions::default());
    assert!(report.truncated && report.files == 20_000);
}

#[test]
fn the_page_of_rules_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/health-rules.md");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    assert!(text == page::page(), "cargo run -p sh0-build --example rules > docs/health-rules.md");
}

proptest::proptest! {
    /// Whatever lies in a tree, a check ends with a report.
    #[test]
    fn no_tree_makes_a_check_fail(
        files in proptest::collection::vec((0usize..NAMES.len(), proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), 0usize..WORDS.len()), 0..8)
    ) {
        let mut tree = MemoryTree::default();
        for (name, bytes, word) in files {
            let mut content = WORDS[word].as_bytes().to_vec();
            content.extend(bytes);
            tree.insert(NAMES[name], content);
        }
        let report = check(&tree);
        proptest::prop_assert!(report.score <= 100);
        to_sarif(&report);
    }
}

const NAMES: &[&str] = &[
    "Dockerfile",
    "compose.yaml",
    ".env",
    "package.json",
    "package-lock.json",
    "pnpm-lock.yaml",
    "sh0.toml",
    "Procfile",
    ".gitignore",
    ".dockerignore",
    "app.py",
    "server.js",
    "requirements.txt",
    "pyproject.toml",
    "Gemfile",
    "Gemfile.lock",
    ".nvmrc",
    ".npmrc",
    "settings.py",
    "a.csproj",
];

const WORDS: &[&str] = &[
    "",
    "FROM a\nCOPY <<EOF x\n",
    "FROM ${A:-",
    "ENV A=\"\\",
    "services:\n  a:\n    ports: [",
    "KEY=\"",
    "{\"scripts\":{\"start\":\"node ",
    "{\"dependencies\":{\"a\":\"",
    "[check]\nignore = [{ rule = ",
    "token = \"",
    "-----BEGIN PRIVATE KEY-----",
    "https://a:b@",
    "[",
    "!",
    "**/",
    "gem '",
    "ruby ",
    "curl -u ",
    "eyJ",
    "<TargetFramework>net",
];

#[test]
fn what_a_volume_keeps_is_not_lost() {
    let mut tree = MemoryTree::from([
        ("package.json", r#"{ "scripts": { "start": "node a.js" }, "dependencies": { "better-sqlite3": "1" } }"#),
        ("a.js", "const db = new Database('./data/app.db'); // better-sqlite3\n"),
        ("b.js", "const multer = require('multer'); multer({ dest: 'data/uploads/' });\n"),
        ("prisma/schema.prisma", "datasource db {\n  provider = \"sqlite\"\n  url = \"file:./dev.db\"\n}\n"),
    ]);
    let lost = |tree: &MemoryTree, volumes: &[&str]| {
        let options = CheckOptions { volumes: volumes.iter().map(|v| (*v).to_owned()).collect(), ..Default::default() };
        let plan = plan_tree(tree, &AppSettings::default(), &Options::default()).ok();
        let found = check_tree(tree, plan.as_ref(), &options).findings.into_iter();
        let data = found.filter(|finding| matches!(finding.rule.as_str(), "DAT01" | "DAT02"));
        data.filter_map(|finding| finding.file).collect::<Vec<_>>()
    };
    assert_eq!(lost(&tree, &[]), ["a.js", "prisma/schema.prisma", "b.js"]);
    assert_eq!(lost(&tree, &["/app/data"]), ["prisma/schema.prisma"]);
    assert_eq!(lost(&tree, &["/app/dat", "/data"]), ["a.js", "prisma/schema.prisma", "b.js"]);
    assert_eq!(lost(&tree, &["/app/data/", "/app/prisma"]), Vec::<String>::new());
    tree.insert("Dockerfile", "FROM node:24\nWORKDIR /srv\nCOPY . .\nCMD [\"node\", \"a.js\"]\n");
    assert_eq!(lost(&tree, &["/app/data"]), ["a.js", "prisma/schema.prisma", "b.js"]);
    assert_eq!(lost(&tree, &["/srv/data", "/srv/prisma"]), Vec::<String>::new());
}
