//! Zig: the compiler is a package of Python's registry, as no image of it is official.

use sh0_core::Result;

use super::{Provider, found};
use crate::detect::is_dir_name;
use crate::draft::{Draft, tool_versions};
use crate::images;
use crate::text::{At, find_line};
use crate::tree::Files;

/// Releases of the compiler, one a line.
const RELEASES: &[&str] = &["0.11.0", "0.12.1", "0.13.0", "0.14.1", "0.15.2"];

pub(crate) struct Zig;

impl Provider for Zig {
    fn language(&self) -> &'static str {
        "zig"
    }

    fn looks_for(&self) -> &'static str {
        "build.zig"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.is_file("build.zig")
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let text = files.text("build.zig").unwrap_or_default();
        let mut draft = found("zig", None, "build.zig");
        let release = release(files, &mut draft);
        draft.tool("zig", "Zig (ziglang.org/download, or pip install ziglang)");
        let command = "zig build -Doptimize=ReleaseSafe";
        draft.because_of(format!("build = {command}"), "makes what build.zig installs", At::file("build.zig"));
        draft.plan.build.push(command.into());
        if let Some((name, line)) = program(&text) {
            draft.start(
                format!("./zig-out/bin/{name}"),
                "the program that the build makes",
                Some(At::line("build.zig", line)),
            );
        }
        draft.recipe.before_install.push(format!(
            "pip install --no-cache-dir ziglang=={release} && printf '%s\\n' '#!/bin/sh' 'exec python3 -m ziglang \"$@\"' > /usr/local/bin/zig && chmod +x /usr/local/bin/zig"
        ));
        draft.recipe.build = Some((&images::PYTHON, images::PYTHON.default.to_owned()));
        draft.recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
        draft.recipe.ship.push("zig-out".into());
        draft.recipe.ignore.extend(["zig-out", "zig-cache", ".zig-cache"].map(str::to_owned));
        Ok(draft)
    }
}

/// The compiler changes from line to line: the one that the manifest names.
fn release(files: Files<'_>, draft: &mut Draft) -> &'static str {
    let line_of = |wanted: &str| {
        let line: Vec<&str> = wanted.split('.').take(2).collect();
        RELEASES.iter().find(|release| release.split('.').take(2).eq(line.iter().copied()))
    };
    let manifest = files.text("build.zig.zon").unwrap_or_default();
    let by_manifest = find_line(&manifest, |line| line.contains("minimum_zig_version"))
        .and_then(|(line, text)| Some((text.split('"').nth(1)?.to_owned(), At::line("build.zig.zon", line))));
    let pin = tool_versions(files, &["zig"]).map(|pin| (pin.wanted, pin.at)).or(by_manifest);
    let chosen = pin.and_then(|(wanted, at)| Some((line_of(&wanted)?, at)));
    let release = match chosen {
        Some((release, at)) => {
            draft.because_of(format!("version = {release}"), "the tree asks for it", at);
            release
        }
        None => {
            draft.because("version = 0.13.0", "nothing in the tree asks for another");
            "0.13.0"
        }
    };
    draft.plan.version = Some(release.to_owned());
    release
}

/// `addExecutable(.{ .name = "app"`.
fn program(text: &str) -> Option<(String, u32)> {
    let start = text.find("addExecutable(")?;
    let name = text.get(start..)?.split('"').nth(1)?;
    is_dir_name(name).then(|| (name.to_owned(), crate::text::line_at(text, start)))
}
