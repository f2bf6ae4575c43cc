//! The `.dockerignore` of an image, and which entries of a tree are there when it runs.

use crate::detect::is_dir_name;
use crate::draft::{Draft, commands};
use crate::recipe::Recipe;
use crate::rules::ignore::{Ignore, from_root};
use crate::tree::Files;

/// What never enters a build: history, what is installed or built anew, secrets, keys.
const IGNORED: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    "**/.DS_Store",
    "**/.env",
    "**/.env.*",
    "**/.envrc",
    "**/node_modules",
    "**/.ssh",
    "**/.aws",
    "**/id_rsa",
    "**/id_dsa",
    "**/id_ecdsa",
    "**/id_ed25519",
    "**/*.key",
    "**/key.pem",
    "**/privkey.pem",
    "**/*-key.pem",
    "**/*_key.pem",
    "**/*.ppk",
    "**/*.p12",
    "**/*.pfx",
    "**/.netrc",
    "**/.pgpass",
    "**/.pypirc",
    "**/.git-credentials",
    "**/.docker/config.json",
    // What it says is planned already, and it may say secrets.
    "**/sh0.toml",
];

/// What git may leave out although it is finished, and then nothing makes it anew.
const FINISHED: &[&str] = &["vendor/modules.txt", "public/assets", "public/build", "public/packs"];

/// What lies in many folders and no program reads when it runs.
const PAPERS: &[&str] = &[
    "license",
    "licence",
    "readme",
    "changelog",
    "contributing",
    "makefile",
    "justfile",
    "dockerfile",
    "procfile",
    "aptfile",
    "docker-compose",
    "compose.y",
];

/// The common lines, the stack's, git's, the owner's; then what the build needs whatever was said before (the last line that
/// matches wins), then what never goes in.
pub(crate) fn render(files: Files<'_>, draft: &Draft) -> String {
    let recipe = &draft.recipe;
    let mut lines: Vec<String> = vec!["# Written by sh0.".into()];
    lines.extend(recipe.ignore.iter().cloned());
    lines.extend(left_out_by_git(files, draft));
    if let Some(own) = files.text(".dockerignore") {
        lines.extend(
            own.lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .take(1_000)
                .map(str::to_owned),
        );
        lines.extend(recipe.manifests.iter().map(|name| format!("!{}", name.trim_end_matches('/'))));
        if draft.plan.static_dir.is_some() {
            lines.push("!.sh0/rootfs".into());
        }
    }
    if draft.plan.static_dir.is_some() && recipe.build.is_none() {
        lines.extend(["Staticfile", "Procfile"].map(str::to_owned));
    }
    // Pages may bring the packages that they load; nothing installs them anew.
    let keeps_packages = recipe.build.is_none() && draft.plan.language == "static";
    lines.extend(
        IGNORED.iter().filter(|line| !(keeps_packages && **line == "**/node_modules")).map(|line| (*line).to_owned()),
    );
    lines.push(String::new());
    lines.join("\n")
}

/// What an app that was compiled may read when it runs: its binary, and every entry of its folder that is neither
/// source nor paper. Empty, which means everything, when a name is not plain.
pub(crate) fn run_time_entries(files: Files<'_>, binary: &str, is_source: impl Fn(&str) -> bool) -> Vec<String> {
    let paper = |name: &str| {
        let lower = name.to_ascii_lowercase();
        lower.ends_with(".md") || PAPERS.iter().any(|paper| lower.starts_with(paper))
    };
    let ignored = |name: &str| never_enters(name) || matches!(name, "target" | "docs");
    // What the owner's own file takes away is not there, and a COPY of it fails. One with exceptions has parts of folders.
    let own = files.text(".dockerignore").unwrap_or_default();
    if own.lines().any(|line| line.trim_start().starts_with('!')) {
        return Vec::new();
    }
    let own = Ignore::docker(&own);
    let git = Ignore::git(&gitignore(files).unwrap_or_default());
    let left_out = |name: &String| {
        let inside = files.names(name);
        own.leaves_out(name)
            || git.leaves_out(name)
            || !inside.is_empty() && inside.iter().all(|inner| own.leaves_out(&format!("{name}/{inner}")))
    };
    let names: Vec<String> = files
        .names("")
        .into_iter()
        .filter(|name| !name.starts_with('.') && !is_source(name) && !paper(name) && !ignored(name) && !left_out(name))
        .collect();
    let first = binary.split('/').next().unwrap_or(binary);
    if names.len() > 100 || !names.iter().all(|name| is_dir_name(name) && files.0.kind(name).is_some()) {
        return Vec::new();
    }
    let others = names.into_iter().filter(|name| name != first);
    std::iter::once(binary.to_owned()).chain(others).collect()
}

/// Whether an entry of the app's folder is among what never enters a build.
fn never_enters(name: &str) -> bool {
    IGNORED.iter().map(|line| line.trim_start_matches("**/")).any(|line| match line.split_once('*') {
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
        None => name == line,
    })
}

/// What git leaves out, of a working copy.
fn gitignore(files: Files<'_>) -> Option<String> {
    files.0.kind(".git").and_then(|_| files.text(".gitignore"))
}

/// What git leaves out of a working copy, but for what the plan needs. A source that is deployed has been packed or
/// cloned without it, and what it still has that a line names was committed on purpose.
fn left_out_by_git(files: Files<'_>, draft: &Draft) -> Vec<String> {
    let Some(text) = gitignore(files) else { return Vec::new() };
    let plan = &draft.plan;
    let words = commands(plan).flat_map(|command| command.split_whitespace()).map(|word| word.trim_start_matches("./"));
    let named = draft.recipe.manifests.iter().map(|name| name.trim_end_matches('/')).chain(plan.static_dir.as_deref());
    let needed = named.chain(words).chain(FINISHED.iter().copied());
    let needed: Vec<&str> = needed.filter(|path| is_dir_name(path) && files.0.kind(path).is_some()).collect();
    let pattern = |line: &str| {
        if let Some(kept) = line.strip_prefix('!') {
            return Some(format!("!{}", from_root(kept)));
        }
        let ignore = Ignore::git(line);
        (!needed.iter().any(|path| ignore.leaves_out(path))).then(|| from_root(line))
    };
    // A backslash escapes otherwise in each of the two.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter(|line| !line.contains('\\')).take(1_000).filter_map(pattern).collect()
}

/// Files with which an install logs in to a registry stay in the stage that builds; without one they never enter.
pub(crate) fn drop_logins(files: Files<'_>, language: &str, recipe: &mut Recipe) {
    let composer = language == "php" || files.is_file("composer.json");
    let bundler = recipe.manifests.iter().any(|name| name == ".bundle/config");
    let names = [(".npmrc", true), ("auth.json", composer), (".bundle/config", bundler)];
    for (name, _) in names.into_iter().filter(|(name, read)| *read && files.is_file(name)) {
        if recipe.build.is_none() {
            recipe.ignore.push(name.to_owned());
        } else if recipe.ship.is_empty() {
            recipe.drop.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::MemoryTree;

    /// A `COPY` of what is not in the context fails.
    #[test]
    fn what_never_enters_is_not_shipped() {
        let mut tree = MemoryTree::from([
            ("static/a.css", ""),
            ("notes/a.txt", ""),
            ("samples/a.txt", ""),
            ("cache/a.txt", ""),
            ("main.go", ""),
            (".gitignore", "/cache\n"),
            (".dockerignore", "notes\nsamples/*\n"),
        ]);
        let shipped = |tree: &MemoryTree| run_time_entries(Files(tree), "out", |name| name.ends_with(".go"));
        assert_eq!(shipped(&tree), ["out", "cache", "static"], "no working copy of git's");
        tree.insert(".git/HEAD", "");
        assert_eq!(shipped(&tree), ["out", "static"]);
        tree.insert(".dockerignore", "*\n!static/a.css\n");
        assert!(shipped(&tree).is_empty(), "parts of folders are there");
    }
}
