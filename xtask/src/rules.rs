//! Rules of the house that no compiler knows.

use crate::command::Outcome;
use crate::repo::Repo;
use crate::source::{Source, shipped};

/// Hand-written lines that a frontend may have in `src`, tests not counted: it translates, and decides nothing.
const BUDGETS: &[(&str, usize)] = &[("frontends/server/src/", 600), ("frontends/cli/src/", 1000)];

/// A file that is longer has more than one noun in it.
const LONGEST_FILE: usize = 700;

/// The only function that may name a shell: for a user's own command inside the user's own instance or build.
const SHELLS: &[(&str, &str)] = &[("sh0-core/src/model/command.rs", "shell")];

/// The only functions that may end the process, each for a fault of the program that its own tests find.
const PANICS: &[(&str, &str)] = &[("sh0-core/src/ops/schema.rs", "contract")];

/// The program whose text the README shows.
const EXAMPLE: &str = "examples/embed/src/bin/deploy.rs";

pub(crate) fn check(repo: &Repo) -> Outcome {
    let sources = shipped(repo)?;
    let (example, readme) = (repo.text(EXAMPLE)?, repo.text("README.md")?);
    let mut wrong = not_in(&example.unwrap_or_default(), &readme.unwrap_or_default());
    for path in repo.files()? {
        if let Some(text) = repo.text(&path)? {
            wrong.extend(forbidden_words(&path, &text));
        }
    }
    for source in &sources {
        wrong.extend(shells(source));
        wrong.extend(panics(source));
        if source.lines.len() > LONGEST_FILE {
            wrong.push(format!("{}: {} lines, more than {LONGEST_FILE}", source.path, source.lines.len()));
        }
    }
    for (folder, most) in BUDGETS {
        let lines: usize = sources.iter().filter(|s| s.path.starts_with(folder)).map(|s| s.lines.len()).sum();
        println!("{folder}: {lines} of {most} lines");
        if lines > *most {
            wrong.push(format!("{folder}: {lines} lines, more than {most}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// Rust code of the README that is not, word for word, in a program that runs in the tests.
fn not_in(example: &str, readme: &str) -> Vec<String> {
    let blocks = readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    let missing = blocks.filter(|block| !example.contains(block));
    missing.map(|block| format!("README.md: not in {EXAMPLE}:\n{block}")).collect()
}

/// Paths of the machine we happen to work on, hosts of package registries, and marks of unfinished work.
fn forbidden_words(path: &str, text: &str) -> Vec<String> {
    let prose = path.ends_with(".md");
    let lock = path.ends_with(".lock") || path.ends_with("package-lock.json");
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let found = machine_path(line)
            .or_else(|| registry_host(line).filter(|_| !lock))
            .or_else(|| unfinished(line).filter(|_| !prose && !lock));
        if let Some(word) = found {
            wrong.push(format!("{path}:{}: {word}", number + 1));
        }
    }
    wrong
}

fn machine_path(line: &str) -> Option<&'static str> {
    // In pieces, so that this file does not break its own rule.
    let paths =
        [concat!("/wor", "k/main"), concat!("/wor", "k/shared"), concat!("/wor", "k/steering"), concat!("/far", "m/")];
    paths.into_iter().find(|path| line.contains(path))
}

/// A crate's own page and its documentation are fine to link.
fn registry_host(line: &str) -> Option<&'static str> {
    let names =
        ["debian.org", "npmjs.org", "npmjs.com", "pythonhosted.org", "pypi.org", "static.crates.io", "index.crates.io"];
    line.split("://").skip(1).find_map(|rest| {
        let host = rest.split(['/', ' ', '"', ')', '`']).next()?;
        names.into_iter().find(|name| host == *name || host.ends_with(&format!(".{name}")))
    })
}

fn unfinished(line: &str) -> Option<&'static str> {
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("#[ig", "nore"),
    ];
    marks.into_iter().find(|mark| line.contains(mark))
}

/// Shells outside of the functions that may have one. `sh0-build` only reads and writes about them.
fn shells(source: &Source) -> Vec<String> {
    if source.path.starts_with("sh0-build/") {
        return Vec::new();
    }
    let literals = ["\"sh\"", "\"bash\"", "\"/bin/sh\"", "\"/bin/bash\"", "/bin/sh -c"];
    find(source, &literals, SHELLS, "a shell")
}

/// What ends the process, in code that input can reach: libraries answer with an error instead.
fn panics(source: &Source) -> Vec<String> {
    if source.path.contains("/testkit/") || source.path.starts_with("benches/") {
        return Vec::new();
    }
    find(source, &[".unwrap()", ".expect(\"", "panic!("], PANICS, "a panic")
}

/// Lines of code with one of `words`, outside of the functions where they are allowed.
fn find(source: &Source, words: &[&str], allowed: &[(&str, &str)], what: &str) -> Vec<String> {
    let mut function = "";
    let mut found = Vec::new();
    for (number, line) in source.lines.iter().enumerate() {
        function = function_name(line).unwrap_or(function);
        let has = words.iter().any(|word| line.contains(word)) && !line.trim_start().starts_with("//");
        if has && !allowed.contains(&(source.path.as_str(), function)) {
            found.push(format!("{}:{}: {what} in `{function}`", source.path, number + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let plain = before
        .split_whitespace()
        .all(|word| word.starts_with("pub") || ["async", "const", "in", "unsafe"].contains(&word));
    plain.then(|| after.split(['(', '<']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{forbidden_words, panics, shells};
    use crate::source::Source;

    fn source(lines: &[&str]) -> Source {
        Source { path: "sh0-x/src/lib.rs".into(), lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn a_shell_is_found_with_its_function() {
        let found = shells(&source(&[
            "// \"sh\" is fine here",
            "    pub(crate) async fn start(x: u8) {",
            "Command::new(\"sh\")",
        ]));
        assert_eq!(found, ["sh0-x/src/lib.rs:3: a shell in `start`"]);
    }

    #[test]
    fn a_panic_is_found_but_not_in_an_example() {
        let found = panics(&source(&["/// x.unwrap();", "x.unwrap();", "x.unwrap_or(1);"]));
        assert_eq!(found, ["sh0-x/src/lib.rs:2: a panic in ``"]);
    }

    #[test]
    fn words_are_found() {
        let marks =
            [concat!("// TO", "DO: later"), concat!("see https://deb.debi", "an.org/x"), concat!("/wor", "k/main/x")];
        for mark in marks {
            assert_eq!(forbidden_words("a.rs", mark).len(), 1, "{mark}");
        }
        assert!(forbidden_words("a.md", "the Debian project; https://docs.rs/serde").is_empty());
    }
}
