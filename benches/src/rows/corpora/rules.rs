//! Health rules on public trees: precision and recall of the secret rules, what all rules find, and how fast.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use sh0::model::{AppSettings, Category};
use sh0_build::{CheckOptions, DirTree, MemoryTree, Options, Tree, check_tree, plan_tree, rule_table};

use super::trees;
use crate::Outcome;
use crate::report::{Report, Series, millis};
use crate::rows::word;

/// What must be reached. The literals are those that stand in the tests of gitleaks' rules.
const RECALL: f64 = 98.0;
const FALSE: f64 = 5.0;
const LEAKY: usize = 70;
const HITS: usize = 10;
const LARGE: f64 = 300.0;

/// The whole row.
pub async fn prove() -> Outcome<Report> {
    let mirror = PathBuf::from(word("--mirror").ok_or("say where the git directories are: --mirror FOLDER")?);
    let scratch = tempfile::tempdir()?;
    let place = word("--trees").map_or_else(|| scratch.path().join("trees"), PathBuf::from);
    let mut report = Report::default();
    literals(&trees::folder(&mirror, "gitleaks/gitleaks", "cmd/generate/config/rules", &place)?, &mut report)?;
    leaky(&trees::folder(&mirror, "Plazmaz/leaky-repo", "", &place)?, &mut report)?;
    examples(&trees::all(&mirror, &place, &BTreeSet::new())?, &mut report)?;
    large(&place, &mut report)?;
    Ok(report)
}

/// Files with a finding among the secrets, and the lines.
fn secrets(tree: &dyn Tree) -> BTreeMap<String, BTreeSet<Option<u32>>> {
    let mut found: BTreeMap<String, BTreeSet<Option<u32>>> = BTreeMap::new();
    let report = check_tree(tree, None, &CheckOptions::default());
    for finding in report.findings.into_iter().filter(|finding| finding.category == Category::Secrets) {
        if let Some(file) = finding.file {
            found.entry(file).or_default().insert(finding.line);
        }
    }
    found
}

/// One file for each literal of the tests of gitleaks.
fn literals(folder: &Path, report: &mut Report) -> Outcome {
    let mut trees = [MemoryTree::default(), MemoryTree::default()];
    let mut counts = [0usize; 2];
    let mut entries = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().replace(".go", "");
        let source = std::fs::read_to_string(entry.path())?;
        for (which, variable) in ["tps", "fps"].into_iter().enumerate() {
            for text in lift(&source, variable) {
                trees[which].insert(format!("{:03}-{name}", counts[which]), text);
                counts[which] += 1;
            }
        }
    }
    let found = trees.each_ref().map(|tree| secrets(tree));
    let [positive, negative] = found.each_ref().map(BTreeMap::len);
    let missed = trees[0].names("").into_iter().filter(|name| !found[0].contains_key(name)).collect::<Vec<_>>();
    let share = |part: usize, all: usize| 100.0 * part as f64 / all.max(1) as f64;
    let (recall, wrong) = (share(positive, counts[0]), share(negative, counts[1]));
    report.section("Literals of gitleaks' tests");
    let rows = [
        ["real".to_owned(), counts[0].to_string(), positive.to_string(), format!("{recall:.1} %")],
        ["not real".to_owned(), counts[1].to_string(), negative.to_string(), format!("{wrong:.1} %")],
    ];
    report.table(&["secrets", "literals", "found", "share"], rows);
    let wrongly: Vec<&str> = found[1].keys().map(String::as_str).collect();
    report.say(format!("Missed: {}. Found although not real: {}.", missed.join(", "), wrongly.join(", ")));
    if counts[0] < 200 || counts[1] < 200 {
        report.problem(format!("only {counts:?} literals were lifted"));
    }
    if recall < RECALL {
        report.problem(format!("recall {recall:.1} % is below {RECALL} %"));
    }
    if wrong > FALSE {
        report.problem(format!("{wrong:.1} % of what is no secret is reported, more than {FALSE} %"));
    }
    Ok(())
}

/// The string literals of a variable of Go: of `x := []string{...}` and of `append(x, ...)`, those that nothing but `+`
/// joins.
fn lift(source: &str, variable: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (mark, close) in [
        (format!("{variable} := []string{{"), '}'),
        (format!("{variable} = []string{{"), '}'),
        (format!("append({variable},"), ')'),
    ] {
        for (at, _) in source.match_indices(&mark) {
            found.extend(elements(&source[at + mark.len()..], close));
        }
    }
    found
}

/// The elements of a list up to its end; those that are more than literals are left out.
fn elements(text: &str, close: char) -> Vec<String> {
    let mut found = Vec::new();
    let (mut element, mut pure, mut depth) = (String::new(), true, 0usize);
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '/' if text[at..].starts_with("//") => {
                chars.by_ref().find(|(_, c)| *c == '\n');
            }
            '"' | '`' => {
                let mut raw = String::new();
                while let Some((_, next)) = chars.next() {
                    match next {
                        end if end == c => break,
                        '\\' if c == '"' => match chars.next().map(|(_, escaped)| escaped) {
                            Some('n') => raw.push('\n'),
                            Some('t') => raw.push('\t'),
                            Some('r') => raw.push('\r'),
                            Some(other) => raw.push(other),
                            None => break,
                        },
                        other => raw.push(other),
                    }
                }
                element.push_str(&raw);
            }
            ',' | '}' | ')' if depth == 0 => {
                if pure && !element.is_empty() {
                    found.push(std::mem::take(&mut element));
                }
                element.clear();
                pure = true;
                if c == close {
                    return found;
                }
            }
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth = depth.saturating_sub(1),
            c if c.is_whitespace() || c == '+' => {}
            _ => pure = false,
        }
        pure &= depth == 0;
    }
    found
}

/// The repository that was made to leak: lines of risk by file, as its own list counts them.
fn leaky(folder: &Path, report: &mut Report) -> Outcome {
    let found = secrets(&DirTree::open(folder)?);
    let list = std::fs::read_to_string(folder.join(".leaky-meta/secrets.csv"))?;
    let (mut risk, mut seen, mut missed) = (0, 0, Vec::new());
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(',').collect();
        let (Some(file), Some(count)) = (fields.first(), fields.get(1).and_then(|count| count.parse::<usize>().ok()))
        else {
            continue;
        };
        let lines = found.get(*file).map_or(0, BTreeSet::len).min(count);
        risk += count;
        seen += lines;
        if lines < count {
            missed.push(format!("{file} {lines} of {count}"));
        }
    }
    report.section("leaky-repo");
    report.say(format!("{seen} of {risk} lines of risk are found. Not all: {}.", missed.join(", ")));
    if seen < LEAKY {
        report.problem(format!("{seen} lines of leaky-repo, fewer than {LEAKY}"));
    }
    Ok(())
}

/// What the rules find in the examples of eight projects.
fn examples(apps: &[trees::App], report: &mut Report) -> Outcome {
    let mut by_rule: BTreeMap<String, usize> = BTreeMap::new();
    let mut hits = Vec::new();
    let mut series = Series::default();
    for app in apps {
        let Ok(tree) = DirTree::open(&app.dir) else { continue };
        let plan = plan_tree(&tree, &AppSettings::default(), &Options::default()).ok();
        let began = Instant::now();
        let checked = check_tree(&tree, plan.as_ref(), &CheckOptions::default());
        series.add(millis(began.elapsed()));
        for finding in checked.findings {
            let four = ["railwayapp/nixpacks", "railwayapp/railpack", "vercel/vercel", "docker/awesome-compose"];
            if finding.category == Category::Secrets && four.contains(&app.repo) {
                hits.push(format!(
                    "{} {}/{}:{}",
                    finding.rule,
                    app.path,
                    finding.file.unwrap_or_default(),
                    finding.line.unwrap_or(0)
                ));
            }
            *by_rule.entry(finding.rule).or_default() += 1;
        }
    }
    report.section("Examples of eight projects");
    report.say(format!(
        "{} trees; a check takes {:.1} ms in the median, {:.1} ms at most.",
        apps.len(),
        series.median(),
        series.quantile(1.0)
    ));
    let named = rule_table();
    let rows = by_rule.iter().map(|(rule, count)| {
        let name = named.iter().find(|one| one.id == rule).map_or("", |one| one.name);
        [rule.clone(), name.to_owned(), count.to_string()]
    });
    report.table(&["rule", "name", "findings"], rows);
    report.say(format!(
        "Secrets in the trees of nixpacks, railpack, vercel and awesome-compose: {}: {}.",
        hits.len(),
        hits.join(", ")
    ));
    if hits.len() > HITS {
        report.problem(format!("{} hits of secret rules, more than {HITS}", hits.len()));
    }
    Ok(())
}

/// A tree of 5,000 files: text files of the corpora, one after the other.
fn large(place: &Path, report: &mut Report) -> Outcome {
    let folder = tempfile::tempdir()?;
    let (mut open, mut count, mut bytes) = (vec![place.to_path_buf()], 0usize, 0u64);
    while let Some(next) = open.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(next)?.filter_map(Result::ok).collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && count < 5_000 && entry.metadata()?.len() < 100_000 {
                let into = folder.path().join(format!("src/{}/{}", count / 50, count % 50));
                std::fs::create_dir_all(&into)?;
                bytes += std::fs::copy(entry.path(), into.join(entry.file_name()))?;
                count += 1;
            }
        }
    }
    let tree = DirTree::open(folder.path())?;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let checked = check_tree(&tree, None, &CheckOptions::default());
        best = best.min(millis(began.elapsed()));
        if checked.truncated {
            report.problem("the large tree was not looked at as a whole");
        }
    }
    report.section("A large tree");
    report.say(format!(
        "{count} files of the corpora, {:.1} MB: a whole check takes {best:.0} ms (best of 5).",
        bytes as f64 / 1e6
    ));
    if best > LARGE || count < 5_000 {
        report.problem(format!("{best:.0} ms for {count} files, more than {LARGE} ms"));
    }
    Ok(())
}
