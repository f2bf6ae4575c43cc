//! Lockfiles: whether they are there, one, whole and seen by the build.

use serde_json::Value;

use super::context::Context;
use super::rule::Hits;
use crate::tree::MAX_FILE_BYTES;
use crate::yaml::Yaml;

/// Lockfiles of Node's package managers, and the manager.
const NODE: &[(&str, &str)] = &[
    ("package-lock.json", "npm"),
    ("npm-shrinkwrap.json", "npm"),
    ("yarn.lock", "yarn"),
    ("pnpm-lock.yaml", "pnpm"),
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
];

const OTHER: &[&str] = &[
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "Pipfile.lock",
    "Gemfile.lock",
    "composer.lock",
    "Cargo.lock",
    "go.sum",
    "mix.lock",
    "deno.lock",
    "gleam.toml",
];

pub(super) fn has_any(cx: &Context<'_>) -> bool {
    NODE.iter().map(|(file, _)| file).chain(OTHER).any(|file| cx.has(file))
}

fn node_locks(cx: &Context<'_>) -> Vec<(&'static str, &'static str)> {
    NODE.iter().copied().filter(|(file, _)| cx.has(file)).collect()
}

pub(super) fn no_lockfile(cx: &Context<'_>, hits: &mut Hits) {
    if let Some(json) = cx.package() {
        let needs = ["dependencies", "devDependencies"].into_iter().find(|section| !cx.section(section).is_empty());
        if let (Some(section), true) = (needs, node_locks(cx).is_empty() && !cx.has("deno.lock")) {
            hits.at("package.json", json.at(&[section]).line, "dependencies, and no lockfile beside them");
        }
    }
    if let Some(toml) = cx.pyproject() {
        let poetry = toml.get(&["tool", "poetry", "dependencies"]).is_some();
        let listed = toml
            .get(&["project", "dependencies"])
            .and_then(|list| list.as_array())
            .is_some_and(|list| !list.is_empty());
        let locks = ["poetry.lock", "uv.lock", "pdm.lock", "requirements.txt", "pylock.toml", "Pipfile.lock"];
        if (poetry || listed) && !locks.iter().any(|lock| cx.has(lock)) {
            let at = if poetry {
                toml.at(&["tool", "poetry", "dependencies"])
            } else {
                toml.at(&["project", "dependencies"])
            };
            hits.at("pyproject.toml", at.line, "dependencies, and no lockfile beside them");
        }
    }
    let pairs = [
        ("Gemfile", "Gemfile.lock", "gem "),
        ("Pipfile", "Pipfile.lock", "= "),
        ("composer.json", "composer.lock", "\"require\""),
        ("mix.exs", "mix.lock", "{:"),
        ("go.mod", "go.sum", "require"),
    ];
    for (manifest, lock, word) in pairs {
        let Some(text) = cx.text(manifest) else { continue };
        let line = (1..)
            .zip(text.lines())
            .find(|(_, line)| line.trim_start().contains(word) && !line.trim_start().starts_with('#'))
            .map(|(line, _)| line);
        let vendored = manifest == "go.mod" && cx.files.is_folder("vendor");
        if let (Some(line), false, false) = (line, cx.has(lock), vendored) {
            hits.at(manifest, line, format!("dependencies, and no {lock}"));
        }
    }
    if let Some(text) = cx.text("Cargo.toml") {
        let program = cx.has("src/main.rs")
            || cx.files.is_folder("src/bin")
            || text.contains("[[bin]]")
            || text.contains("[workspace]");
        if program && !cx.has("Cargo.lock") {
            hits.at("Cargo.toml", 1, "a program, and no Cargo.lock");
        }
    }
}

pub(super) fn many_lockfiles(cx: &Context<'_>, hits: &mut Hits) {
    let locks = node_locks(cx);
    let decided =
        cx.package().is_some_and(|json| json.str(&["packageManager"]).is_some() || json.get(&["volta"]).is_some());
    if let ([first, .., last], false) = (&locks[..], decided)
        && first.1 != last.1
    {
        hits.at(last.0, None, format!("beside {}", first.0));
    }
    let python: Vec<&str> =
        ["poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock"].into_iter().filter(|lock| cx.has(lock)).collect();
    if let [first, .., last] = python[..] {
        hits.at(last, None, format!("beside {first}"));
    }
}

pub(super) fn ignored(cx: &Context<'_>, hits: &mut Hits) {
    let own = cx.own_dockerfile().is_some();
    for lock in NODE.iter().map(|(file, _)| *file).chain(OTHER.iter().copied()).filter(|lock| cx.has(lock)) {
        let (file, out) =
            if cx.untracked(lock) { (".gitignore", true) } else { (".dockerignore", own && !cx.enters(lock)) };
        if !out {
            continue;
        }
        let name = |line: &str| {
            line.trim().trim_start_matches(['/', '*']).trim_end() == lock
                || line.trim() == "*.lock"
                || line.trim() == "*lock*"
        };
        let text = cx.text(file).unwrap_or_default();
        let line = (1..).zip(text.lines()).find(|(_, line)| name(line)).map(|(number, _)| number);
        hits.at(file, line, format!("{lock} is left out"));
    }
}

pub(super) fn out_of_sync(cx: &Context<'_>, hits: &mut Hits) {
    let Some((lock, missing)) = missing_node(cx) else { return other(cx, hits) };
    if let (Some((section, name)), Some(json)) = (missing.first(), cx.package()) {
        let more = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
        hits.at("package.json", json.at(&[section, name]).line, format!("{name}{more}: not in {lock}"));
    }
    other(cx, hits);
}

/// Dependencies from a registry that the lockfile of Node does not name.
fn missing_node(cx: &Context<'_>) -> Option<(&'static str, Vec<(&'static str, String)>)> {
    let locks = node_locks(cx);
    let [(lock, manager)] = locks[..] else { return None };
    let text = cx.text(lock).filter(|text| (text.len() as u64) < MAX_FILE_BYTES)?;
    let json: Value = if manager == "npm" { serde_json::from_str(&text).ok()? } else { Value::Null };
    let yaml = if manager == "pnpm" { Yaml::parse(&text).ok()? } else { Yaml::parse("").ok()? };
    let mut missing = Vec::new();
    for section in ["dependencies", "devDependencies"] {
        for (name, range) in cx.section(section) {
            // What comes from elsewhere is named in other ways, or not at all.
            if range.is_empty() || range.contains(':') || range.contains('/') {
                continue;
            }
            let known = match manager {
                "npm" => {
                    let root = json.get("packages").and_then(|packages| packages.get(""));
                    match root {
                        Some(root) => {
                            root.get(section).and_then(|list| list.get(name)).is_some()
                                || root.get("dependencies").and_then(|list| list.get(name)).is_some()
                                || root.get("devDependencies").and_then(|list| list.get(name)).is_some()
                        }
                        // Version 1 lists what is installed. A file that lists nothing is not one that npm wrote.
                        None => json.get("dependencies").is_none_or(|list| list.get(name).is_some()),
                    }
                }
                "yarn" => {
                    !text.contains("lockfile") && !text.contains("__metadata") || text.contains(&format!("{name}@"))
                }
                "pnpm" => {
                    let root = yaml.get(&["importers", "."]).unwrap_or(&yaml);
                    let lists = ["dependencies", "devDependencies", "optionalDependencies", "specifiers"];
                    yaml.get(&["lockfileVersion"]).is_none()
                        || lists.iter().any(|list| root.get(&[list, name]).is_some())
                }
                _ => true,
            };
            if !known {
                missing.push((section, name.to_owned()));
            }
        }
    }
    Some((lock, missing))
}

/// Gems and Python packages.
fn other(cx: &Context<'_>, hits: &mut Hits) {
    if let (Some(gemfile), Some(lock)) =
        (cx.text("Gemfile"), cx.text("Gemfile.lock").filter(|lock| lock.contains("DEPENDENCIES")))
    {
        let listed = lock.split("DEPENDENCIES").nth(1).unwrap_or_default();
        for (number, line) in (1..).zip(gemfile.lines()) {
            let Some(name) =
                line.trim().strip_prefix("gem ").and_then(|rest| rest.trim_start().get(1..)?.split(['"', '\'']).next())
            else {
                continue;
            };
            let known = listed.lines().any(|entry| entry.trim().split([' ', '!']).next() == Some(name));
            if !known && !line.contains("platform") && !line.contains(" if ") {
                hits.at("Gemfile", number, format!("{name}: not in Gemfile.lock"));
            }
        }
    }
    let lock = ["uv.lock", "poetry.lock"].into_iter().find_map(|lock| {
        Some((lock, cx.text(lock).filter(|text| text.contains("[[package]]") && (text.len() as u64) < MAX_FILE_BYTES)?))
    });
    let (Some((lock, text)), Some(toml)) = (lock, cx.pyproject()) else { return };
    let listed =
        toml.get(&["project", "dependencies"]).and_then(|list| list.as_array()).map(Vec::as_slice).unwrap_or_default();
    let names = listed.iter().filter_map(|entry| entry.as_str());
    for entry in names {
        let end = entry.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).unwrap_or(entry.len());
        let name = entry[..end].to_ascii_lowercase().replace(['_', '.'], "-");
        let own = toml.str(&["project", "name"]).is_some_and(|own| own.eq_ignore_ascii_case(&name));
        if !name.is_empty() && !own && !text.to_ascii_lowercase().contains(&format!("name = \"{name}\"")) {
            hits.at("pyproject.toml", toml.at(&["project", "dependencies"]).line, format!("{name}: not in {lock}"));
        }
    }
}
