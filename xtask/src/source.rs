//! Rust files read as text: which lines ship, and which only test.

use std::collections::BTreeSet;

use crate::command::Outcome;
use crate::repo::Repo;

/// A Rust file with the part of it that ships.
pub(crate) struct Source {
    /// Its path below the root.
    pub(crate) path: String,
    /// Its lines up to the tests inside of it.
    pub(crate) lines: Vec<String>,
}

/// All of `src/` of our crates that ships. Left out: tests, and modules that a `#[cfg(test)]` takes in.
pub(crate) fn shipped(repo: &Repo) -> Outcome<Vec<Source>> {
    let mut sources = Vec::new();
    let mut only_tests = BTreeSet::new();
    for path in repo.files()? {
        if !path.ends_with(".rs") || !path.contains("/src/") || path.starts_with("xtask/") {
            continue;
        }
        let text = repo.text(&path)?.ok_or_else(|| format!("{path} is not UTF-8"))?;
        let folder = module_folder(&path);
        let (lines, modules) = split(&text);
        only_tests.extend(modules.into_iter().map(|module| format!("{folder}/{module}")));
        sources.push(Source { path, lines });
    }
    let is_test = |path: &str| {
        only_tests.iter().any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
    };
    sources.retain(|source| !is_test(&source.path));
    Ok(sources)
}

/// Where the modules live that a file declares: beside `lib.rs`, `main.rs` and `mod.rs`, else in a folder of its name.
fn module_folder(path: &str) -> String {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    }
}

/// The lines that ship, and the names of modules that only tests see.
fn split(text: &str) -> (Vec<String>, Vec<String>) {
    let mut shipped = Vec::new();
    let mut modules = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !["#[cfg(test)]", "#[cfg(any(test", "#[cfg(fuzzing)]"].iter().any(|cfg| line.starts_with(cfg)) {
            shipped.push(line.to_owned());
            continue;
        }
        // Other attributes may stand between.
        while lines.peek().is_some_and(|next| next.starts_with("#[")) {
            lines.next();
        }
        let Some(item) = lines.next() else { break };
        match item.split_once("mod ").map(|(_, name)| name.trim_end()) {
            Some(name) if name.ends_with(';') => modules.push(name.trim_end_matches(';').to_owned()),
            _ if item.ends_with(';') => {}
            // An item in braces ends with the first brace that stands at the start of a line.
            _ => while lines.next().is_some_and(|line| !line.starts_with('}')) {},
        }
    }
    (shipped, modules)
}

#[cfg(test)]
mod tests {
    use super::{module_folder, split};

    #[test]
    fn tests_do_not_ship() {
        let text = "mod a;\n#[cfg(test)]\nmod checks;\nfn f() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn g() {}\n}\nfn h() {}";
        let (lines, modules) = split(text);
        assert_eq!(lines, ["mod a;", "fn f() {}", "fn h() {}"]);
        assert_eq!(modules, ["checks"]);
    }

    #[test]
    fn modules_live_below_their_file() {
        assert_eq!(module_folder("a/src/lib.rs"), "a/src");
        assert_eq!(module_folder("a/src/b/mod.rs"), "a/src/b");
        assert_eq!(module_folder("a/src/b.rs"), "a/src/b");
    }
}
