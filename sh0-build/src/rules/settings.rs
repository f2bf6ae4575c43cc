//! Variables and settings.

use std::collections::{BTreeMap, BTreeSet};

use sh0_core::model::{Category::Configuration, Severity};

use super::class::Class;
use super::context::Context;
use super::env::{EnvFile, is_env_file};
use super::facts::{ELSEWHERE, Fact};
use super::rule::{Check, Hits, Pattern, Rule, Verdict};
use super::suppress;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "ENV01",
        name: "missing-variable",
        category: Configuration,
        severity: Severity::Medium,
        title: "The app cannot start without a variable that nothing declares",
        why: "The first deploy ends with an error about a name that only the code knows.",
        fix: "Set the variable on the app, and list it in .env.example.",
        check: Check::Tree(missing_variable),
    },
    Rule {
        id: "ENV02",
        name: "example-drift",
        category: Configuration,
        severity: Severity::Low,
        title: "The example env file lacks a variable that the code reads",
        why: "Who sets the app up from the example forgets it.",
        fix: "Add the variable to the example file.",
        check: Check::Tree(example_drift),
    },
    Rule {
        id: "ENV03",
        name: "not-production",
        category: Configuration,
        severity: Severity::Medium,
        title: "The app runs in development mode",
        why: "Frameworks then cache nothing, log everything and show their errors to visitors.",
        fix: "Set NODE_ENV (or the variable of your framework) to `production`.",
        check: Check::Tree(not_production),
    },
    Rule {
        id: "ENV04",
        name: "localhost-dependency",
        category: Configuration,
        severity: Severity::Medium,
        title: "A service is looked for on localhost",
        why: "In a container localhost is the container itself: there is no database there.",
        fix: "Read the address from a variable, and set it to the service's address on the platform.",
        check: Check::Text(&[Pattern {
            what: "an address",
            keywords: &["://"],
            regex: r#"['"]?((?:postgres(?:ql)?|mysql|mongodb|redis|amqp|rediss|postgresql\+\w+|mysql\+\w+)://(?:[^@\s'"/]*@)?(?:localhost|127\.0\.0\.1)\b[^\s'"]*)"#,
            judge: |found| {
                let code =
                    found.class.any(Class::CODE) && !found.class.any(ELSEWHERE.and(Class::TOOLING).and(Class::PROSE));
                let line = found.line();
                // A default behind a variable is for the developer's machine.
                let default = line.contains("||")
                    || line.contains("??")
                    || line.contains("env")
                    || line.contains("ENV")
                    || line.contains("getenv")
                    || line.contains("default")
                    || line.contains("get(");
                let comment = line.trim_start().starts_with(['#', '/', '*']);
                let development =
                    ["dev", "local", "test"].iter().any(|kind| found.path.to_ascii_lowercase().contains(kind));
                (code
                    && !default
                    && !comment
                    && !development
                    && !found.before(500).to_ascii_lowercase().contains("env"))
                .then_some(Verdict::Hit)
            },
        }]),
    },
    Rule {
        id: "ENV05",
        name: "invalid-env-file",
        category: Configuration,
        severity: Severity::Medium,
        title: "An env file has a line that readers skip or take differently",
        why: "The value is missing, or another one than the one that is meant is used.",
        fix: "Write `NAME=value`, one a line, each name once; quote values with spaces.",
        check: Check::Tree(invalid_env_file),
    },
    Rule {
        id: "ENV06",
        name: "bad-suppression",
        category: Configuration,
        severity: Severity::Medium,
        title: "An entry of `[check]` in sh0.toml has no effect",
        why: "It looks as if a finding were looked at and allowed, and it is not.",
        fix: "Write `{ rule = \"SEC05\", path = \"docs\", reason = \"why it is fine\" }`.",
        check: Check::Tree(|cx, hits| {
            // A place has one finding of a rule: entries in one line share it.
            let mut lines: BTreeMap<Option<u32>, Vec<String>> = BTreeMap::new();
            for broken in suppress::entries(cx).1 {
                lines.entry(broken.line).or_default().push(broken.message);
            }
            for (line, messages) in lines {
                hits.at(cx.config().1, line, messages.join("; "));
            }
        }),
    },
];

/// Set by platforms, shells and languages themselves.
const KNOWN: &[&str] = &[
    "PORT",
    "HOST",
    "HOSTNAME",
    "HOME",
    "PATH",
    "USER",
    "PWD",
    "NODE_ENV",
    "RAILS_ENV",
    "RACK_ENV",
    "APP_ENV",
    "ENV",
    "CI",
    "TZ",
    "LANG",
    "SHELL",
    "TMPDIR",
    "TERM",
    "DEBUG",
    "LOG_LEVEL",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "DJANGO_SETTINGS_MODULE",
    "npm_package_version",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "EDITOR",
    "USERNAME",
    "BASE_URL",
    "MODE",
    "PROD",
    "DEV",
    "SSR",
    "NODE_OPTIONS",
    "OUT_DIR",
    "CARGO_MANIFEST_DIR",
    "XDG_CONFIG_HOME",
    "LD_LIBRARY_PATH",
    "APPDATA",
    "COLUMNS",
    "FORCE_COLOR",
    "NO_COLOR",
];

/// What the tree itself says about variables, in one text.
fn declared(cx: &Context<'_>) -> String {
    let env_files = cx.paths.iter().filter(|path| is_env_file(path) || path.contains(".env")).map(String::as_str);
    let other = [
        "sh0.toml",
        "app.json",
        "render.yaml",
        "fly.toml",
        "nixpacks.toml",
        "railway.json",
        "README.md",
        "readme.md",
        "docker-compose.yml",
        "docker-compose.yaml",
        "compose.yml",
        "compose.yaml",
    ];
    let dockerfiles = cx.dockerfiles().iter().map(|(path, _)| path.as_str());
    env_files
        .chain(other)
        .chain(dockerfiles)
        .filter_map(|path| cx.text(path))
        .map(|text| text.to_string() + "\n")
        .collect()
}

fn missing_variable(cx: &Context<'_>, hits: &mut Hits) {
    let declared = declared(cx);
    let mut seen: Vec<&str> = Vec::new();
    let elsewhere = Class::TOOLING.and(Class::PROSE);
    // What is read with a default anywhere can be missing.
    let optional: Vec<&str> =
        cx.facts(Fact::EnvRead).filter(|(_, _, _, needed)| !needed).map(|(_, _, name, _)| name).collect();
    for (path, line, name, needed) in cx.facts(Fact::EnvRead) {
        let known = KNOWN.contains(&name)
            || cx.options.env.contains(name)
            || cx.plan.is_some_and(|plan| plan.env.keys().any(|key| key.as_str() == name));
        if !needed
            || known
            || seen.contains(&name)
            || optional.contains(&name)
            || Class::of(path).any(elsewhere)
            || declared.contains(name)
        {
            continue;
        }
        seen.push(name);
        hits.at(path, line, format!("{name} is read without a default"));
    }
}

fn example_drift(cx: &Context<'_>, hits: &mut Hits) {
    let Some(example) =
        [".env.example", ".env.sample", ".env.template", ".env.dist"].into_iter().find(|file| cx.has(file))
    else {
        return;
    };
    let text = cx.text(example).unwrap_or_default();
    let elsewhere = Class::TOOLING.and(Class::PROSE);
    // Laravel's own settings name a variable for every driver that an app could choose.
    let of_laravel = cx.has("artisan");
    let asks_nobody = |path: &str| Class::of(path).any(elsewhere) || of_laravel && path.starts_with("config/");
    // What has a value of its own is there to be changed by those who look for it.
    let defaults: BTreeSet<&str> = cx.facts(Fact::EnvDefault).map(|(_, _, name, _)| name).collect();
    let mut missing: Vec<&str> = cx
        .facts(Fact::EnvRead)
        .filter(|(path, _, name, _)| {
            !KNOWN.contains(name)
                && !defaults.contains(name)
                && !text.contains(name)
                && !asks_nobody(path)
                && !cx.options.env.contains(*name)
        })
        .map(|(_, _, name, _)| name)
        .collect();
    missing.sort_unstable();
    missing.dedup();
    let vendor = [
        "VERCEL",
        "RENDER",
        "RAILWAY",
        "HEROKU",
        "NETLIFY",
        "CF_",
        "AWS_LAMBDA",
        "GITHUB_",
        "npm_",
        "NEXT_RUNTIME",
        "JEST",
        "VITEST",
        "TEST_",
    ];
    missing.retain(|name| !vendor.iter().any(|prefix| name.starts_with(prefix)));
    if let Some(first) = missing.first() {
        let more = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
        hits.at(example, None, format!("{first}{more}"));
    }
}

fn not_production(cx: &Context<'_>, hits: &mut Hits) {
    let development = |key: &str, value: &str| {
        matches!(key, "NODE_ENV" | "RAILS_ENV" | "RACK_ENV" | "FLASK_ENV" | "APP_ENV" | "MIX_ENV")
            && matches!(value, "development" | "dev" | "local")
    };
    if let Some((path, file)) = cx.own_dockerfile() {
        let Some(last) = file.last() else { return };
        for i in file.lineage(last).into_iter().filter(|i| i.word == "ENV") {
            if let Some((key, value)) =
                i.pairs().into_iter().find(|(key, value)| development(key, value.as_deref().unwrap_or_default()))
            {
                hits.at(path, i.line, format!("{key}={}", value.unwrap_or_default()));
            }
        }
        return;
    }
    if let Some((command, file, line)) = cx.start() {
        let script =
            cx.package().and_then(|json| json.str(&["scripts", "start"])).filter(|_| command.starts_with("npm"));
        let command = script.unwrap_or(&command);
        if command
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .any(|(key, value)| development(key, value))
        {
            hits.at(if file.is_empty() { "sh0.toml".into() } else { file }, line, command);
        }
    }
}

fn invalid_env_file(cx: &Context<'_>, hits: &mut Hits) {
    for path in cx.paths.iter().filter(|path| is_env_file(path) && !Class::of(path).any(Class::TEST)) {
        let file = EnvFile::parse(&cx.text(path).unwrap_or_default());
        for (line, error) in &file.errors {
            hits.at(path, *line, error);
        }
        let mut seen: Vec<(&str, u32)> = Vec::new();
        for value in &file.values {
            match seen.iter().find(|(key, _)| *key == value.key) {
                Some((key, first)) => hits.at(path, value.line, format!("{key} is set in line {first} already")),
                None => seen.push((&value.key, value.line)),
            }
        }
        if Class::of(path).any(Class::SAMPLE) {
            hits.list
                .iter_mut()
                .filter(|hit| hit.file.as_deref() == Some(path))
                .for_each(|hit| hit.severity = Some(Severity::Low));
        }
    }
}
