//! Haskell: a program, by Stack or Cabal.

use sh0_core::Result;

use super::{Provider, found};
use crate::detect::is_dir_name;
use crate::draft::Draft;
use crate::images;
use crate::text::{At, find_line};
use crate::tree::Files;

pub(crate) struct Haskell;

impl Provider for Haskell {
    fn language(&self) -> &'static str {
        "haskell"
    }

    fn looks_for(&self) -> &'static str {
        "Haskell: stack.yaml, package.yaml with *.hs, *.cabal"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        let sources =
            || ["", "app", "src"].iter().any(|folder| files.names(folder).iter().any(|name| name.ends_with(".hs")));
        files.is_file("stack.yaml") || cabal(files).is_some() || (files.is_file("package.yaml") && sources())
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let manifest = files
            .first(&["package.yaml"])
            .map(str::to_owned)
            .or_else(|| cabal(files))
            .unwrap_or_else(|| "stack.yaml".into());
        let stack = files.first(&["stack.yaml", "package.yaml"]).is_some();
        let mut draft = found("haskell", Some(if stack { "stack" } else { "cabal" }), &manifest);
        let version = draft.version(&images::HASKELL, Vec::new());
        let command = if stack {
            draft.tool("stack", "Stack (Debian: apt-get install haskell-stack)");
            "stack build --copy-bins --local-bin-path bin"
        } else {
            draft.tool("cabal", "GHC and Cabal (Debian: apt-get install ghc cabal-install)");
            "cabal update && cabal install --install-method=copy --installdir=bin --overwrite-policy=always"
        };
        draft.because_of(
            format!("build = {command}"),
            "makes the programs of the package",
            At::file(manifest.as_str()),
        );
        draft.plan.build.push(command.into());
        let text = files.text(&manifest).unwrap_or_default();
        if let Some((name, line)) = program(&text) {
            draft.start(format!("./bin/{name}"), "the first program", Some(At::line(manifest.as_str(), line)));
        }
        draft.recipe.caches.extend([("stack", "/root/.stack"), ("cabal", "/root/.cabal")]);
        draft.recipe.packages.extend(["libgmp10", "zlib1g"]);
        draft.recipe.build = Some((&images::HASKELL, version));
        draft.recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
        draft.recipe.ship.push("bin".into());
        draft.recipe.ignore.extend([".stack-work", "dist-newstyle", "bin"].map(str::to_owned));
        Ok(draft)
    }
}

fn cabal(files: Files<'_>) -> Option<String> {
    files.names("").into_iter().find(|name| name.ends_with(".cabal") && is_dir_name(name))
}

/// `executable NAME` of Cabal, or the first below `executables:` of hpack.
fn program(text: &str) -> Option<(String, u32)> {
    let (line, name) = match find_line(text, |line| line.starts_with("executable ")) {
        Some((line, found)) => (line, found["executable ".len()..].trim().to_owned()),
        None => {
            let (line, _) = find_line(text, |line| line.trim_end() == "executables:")?;
            let next = text.lines().nth(line as usize)?;
            (line + 1, next.trim().trim_end_matches(':').to_owned())
        }
    };
    is_dir_name(&name).then_some((name, line))
}
