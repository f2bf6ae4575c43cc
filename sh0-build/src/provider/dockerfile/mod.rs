//! A Dockerfile in the tree: its owner knows best how the image is made.

use std::collections::BTreeMap;

use sh0_core::model::{ImagePlan, RelPath};

use crate::draft::Draft;
use crate::text::{At, lines};
use crate::tree::Files;

const NAMES: &[&str] = &["Dockerfile", "Containerfile", "dockerfile"];

/// Lets the tree's own Dockerfile make the image. Answers whether there is one.
///
/// What a language says of install, build and start stays: runtimes without images use it.
pub(crate) fn use_dockerfile(files: Files<'_>, named: Option<&RelPath>, draft: &mut Draft) -> bool {
    let path = match named {
        Some(path) => Some(path.as_str().to_owned()),
        None => files.first(NAMES).map(str::to_owned),
    };
    let Some((path, text)) = path.and_then(|path| files.text(&path).map(|text| (path, text))) else { return false };
    let Ok(rel) = path.parse::<RelPath>() else { return false };
    let facts = Facts::read(&text);
    let Some(from) = facts.from else {
        draft.warn(format!("{path} has no FROM line and is left out"));
        return false;
    };
    draft.because_of(format!("image = {path}"), "the tree brings its own Dockerfile", At::line(&path, from));
    draft.plan.image = ImagePlan::Dockerfile { path: rel };
    if let Some((line, port)) = facts.expose {
        draft.because_of(format!("port = {port}"), "EXPOSE says so", At::line(&path, line));
        draft.plan.port = Some(port);
    }
    for (line, what) in facts.buildkit {
        draft.classic_warnings.push(format!(
            "{path}:{line} uses {what}, which only BuildKit understands; the build uses the classic builder"
        ));
    }
    true
}

/// What is read of a Dockerfile.
#[derive(Default)]
struct Facts {
    /// The line of the last stage.
    from: Option<u32>,
    /// The first port of the last stage.
    expose: Option<(u32, u16)>,
    /// What needs BuildKit.
    buildkit: Vec<(u32, &'static str)>,
}

impl Facts {
    fn read(text: &str) -> Facts {
        let mut facts = Facts::default();
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        for (number, line) in instructions(text) {
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
            let rest = rest.trim();
            match word.to_ascii_uppercase().as_str() {
                "FROM" => {
                    facts.from = Some(number);
                    facts.expose = None;
                }
                "ARG" | "ENV" => assign(rest, &mut values),
                "EXPOSE" if facts.expose.is_none() => {
                    let first = rest.split_whitespace().next().unwrap_or_default();
                    let (port, protocol) = first.split_once('/').unwrap_or((first, "tcp"));
                    let port = substitute(port, &values);
                    if let (Ok(port @ 1..), true) = (port.parse::<u16>(), protocol.eq_ignore_ascii_case("tcp")) {
                        facts.expose = Some((number, port));
                    }
                }
                "RUN" if rest.starts_with("--mount") => facts.buildkit.push((number, "RUN --mount")),
                "RUN" | "COPY" if rest.contains("<<") && rest.ends_with("EOF") => {
                    facts.buildkit.push((number, "a heredoc"))
                }
                "COPY" | "ADD" if rest.contains("--link ") => facts.buildkit.push((number, "COPY --link")),
                _ => {}
            }
        }
        facts
    }
}

/// Instructions with the number of their first line, continued lines joined, comments left out.
fn instructions(text: &str) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut open = false;
    for (number, line) in lines(text) {
        let line = line.trim();
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let (part, continued) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        match found.last_mut() {
            Some((_, instruction)) if open => {
                instruction.push(' ');
                instruction.push_str(part.trim());
            }
            _ => found.push((number, part.trim().to_owned())),
        }
        open = continued;
    }
    found
}

/// `ARG a=1`, `ENV a=1 b=2`, `ENV a 1`.
fn assign(rest: &str, values: &mut BTreeMap<String, String>) {
    if !rest.contains('=') {
        if let Some((key, value)) = rest.split_once(char::is_whitespace) {
            values.insert(key.to_owned(), value.trim().to_owned());
        }
        return;
    }
    for (key, value) in rest.split_whitespace().filter_map(|word| word.split_once('=')) {
        values.insert(key.to_owned(), value.trim_matches(['"', '\'']).to_owned());
    }
}

/// `$PORT`, `${PORT}` and `${PORT:-3000}`, as a whole word.
fn substitute(word: &str, values: &BTreeMap<String, String>) -> String {
    let Some(name) = word.strip_prefix('$') else { return word.to_owned() };
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    let (name, default) = name.split_once(":-").unwrap_or((name, ""));
    values.get(name).cloned().unwrap_or_else(|| default.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_counts() {
        let text =
            "ARG PORT=3000\nFROM a AS build\nEXPOSE 1\nFROM b\n# EXPOSE 2\nEXPOSE \\\n  ${PORT}/tcp 9\nEXPOSE 10\n";
        assert_eq!(Facts::read(text).expose, Some((6, 3000)));
        assert_eq!(Facts::read("FROM a\nEXPOSE 53/udp\nEXPOSE 80").expose, Some((3, 80)));
        assert_eq!(Facts::read("FROM a\nEXPOSE $NOPE").expose, None);
        assert_eq!(Facts::read("FROM a\nRUN --mount=type=cache,target=/x y").buildkit.len(), 1);
    }
}
