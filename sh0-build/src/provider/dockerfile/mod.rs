//! A Dockerfile in the tree: its owner knows best how the image is made.

use std::collections::{BTreeMap, BTreeSet};

use sh0_core::model::{ImagePlan, RelPath};

use crate::dockerfile::{Dockerfile, expand};
use crate::draft::Draft;
use crate::text::At;
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
    // One stage with all of the source runs what a Procfile says, too.
    draft.recipe.own_command = facts.command && !(facts.stages == 1 && facts.whole && !facts.entry_point);
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
    /// What the last stage runs is said in the file.
    command: bool,
    entry_point: bool,
    stages: usize,
    /// All of the source is copied.
    whole: bool,
    /// What needs BuildKit.
    buildkit: Vec<(u32, &'static str)>,
}

impl Facts {
    fn read(text: &str) -> Facts {
        let file = Dockerfile::parse(text);
        let mut facts = Facts { from: file.last().map(|stage| stage.line), ..Facts::default() };
        let mut values: BTreeMap<String, String> = BTreeMap::new();
        // Stages with a command, by name: who begins with one has it too.
        let (mut stage, mut commanded) = (None, BTreeSet::new());
        for instruction in &file.instructions {
            let line = instruction.line;
            match instruction.word.as_str() {
                "FROM" => {
                    facts.stages += 1;
                    facts.expose = None;
                    let words = instruction.rest.to_ascii_lowercase();
                    let mut words = words.split_whitespace().map(str::to_owned);
                    facts.command = words.next().is_some_and(|image| commanded.contains(&image));
                    stage = words.nth(1);
                    if facts.command {
                        commanded.extend(stage.take());
                    }
                }
                "COPY" | "ADD" if matches!(instruction.rest.split_whitespace().next(), Some("." | "./")) => {
                    facts.whole |= instruction.flag("from").is_none();
                }
                "CMD" | "ENTRYPOINT" => {
                    facts.entry_point |= instruction.word == "ENTRYPOINT";
                    facts.command = true;
                    commanded.extend(stage.take());
                }
                "ARG" | "ENV" => {
                    values.extend(instruction.pairs().into_iter().filter_map(|(key, value)| Some((key, value?))))
                }
                "EXPOSE" if facts.expose.is_none() => {
                    let first = instruction.rest.split_whitespace().next().unwrap_or_default();
                    let first = expand(first, &values);
                    let (port, protocol) = first.split_once('/').unwrap_or((&first, "tcp"));
                    if let (Ok(port @ 1..), true) = (port.parse::<u16>(), protocol.eq_ignore_ascii_case("tcp")) {
                        facts.expose = Some((line, port));
                    }
                }
                _ => {}
            }
            let needs = [
                (instruction.flag("mount").is_some(), "RUN --mount"),
                (!instruction.heredocs.is_empty(), "a heredoc"),
                (instruction.flag("link").is_some(), "COPY --link"),
            ];
            facts.buildkit.extend(needs.into_iter().filter(|(needed, _)| *needed).map(|(_, what)| (line, what)));
        }
        facts
    }
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
        assert_eq!(Facts::read("FROM a\nRUN <<X\nFROM b\nEXPOSE 1\nX\nCOPY --link a b").buildkit.len(), 2);
        assert_eq!(Facts::read("FROM a\nENV PORT=\"81\"\nEXPOSE ${PORT:-80}").expose, Some((3, 81)));
        assert_eq!(Facts::read("EXPOSE 80").from, None);
        for (text, command) in [
            ("FROM a\nCMD x", true),
            ("FROM a AS b\nENTRYPOINT x\nFROM c", false),
            ("FROM a AS B\nENTRYPOINT x\nFROM b", true),
            ("FROM a\nCMD x\nFROM a", false),
            ("FROM a AS b\nCMD x\nFROM b AS c\nFROM c", true),
            ("FROM a", false),
        ] {
            assert_eq!(Facts::read(text).command, command, "{text}");
        }
    }
}
