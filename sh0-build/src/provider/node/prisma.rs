//! Prisma's engines load OpenSSL, which slim images are without (prisma.io/docs, "System requirements").

use super::Tree;
use super::dev::DevOnly;
use crate::draft::{Draft, commands};
use crate::images;
use crate::text::{At, Json};

/// Prisma, where a manifest of the tree asks for it.
pub(crate) struct Prisma {
    at: At,
    /// The client loads an engine; from Prisma 7 on, only the command line does, for migrations.
    in_client: bool,
}

impl Prisma {
    /// The one of the root, else of a member of its workspace.
    pub(super) fn find(tree: &Tree<'_>, members: &[String]) -> Option<Prisma> {
        let of_member = |folder: &String| {
            let file = format!("{folder}/package.json");
            tree.files.text(&file)?.contains("prisma\"").then(|| Self::read(&Json::read(tree.files, &file)?.ok()?))?
        };
        Self::read(&tree.manifest).or_else(|| members.iter().find_map(of_member))
    }

    fn read(manifest: &Json) -> Option<Prisma> {
        let sections = ["dependencies", "devDependencies"];
        let mut paths =
            ["@prisma/client", "prisma"].into_iter().flat_map(|name| sections.map(|section| [section, name]));
        let path = paths.find(|path| manifest.str(path).is_some())?;
        let range = manifest.str(&path)?.trim_start_matches(|c: char| !c.is_ascii_digit());
        let major: Option<u32> = range.split('.').next().and_then(|major| major.parse().ok());
        Some(Prisma { at: manifest.at(&path), in_client: major.is_none_or(|major| major < 7) })
    }

    /// Puts OpenSSL into the images whose commands load it.
    pub(super) fn keep_library(&self, dev: &DevOnly, draft: &mut Draft) {
        let called = |command: &String| dev.runs(command, |word| word == "prisma" || word.starts_with("prisma@"));
        if draft.plan.static_dir.is_some() || !self.in_client && !commands(&draft.plan).any(called) {
            return;
        }
        draft.because_of("packages += openssl", "Prisma loads it", self.at.clone());
        draft.recipe.packages.push("openssl");
        // Node's image that builds has it.
        if draft.recipe.build.as_ref().is_some_and(|(base, _)| base.stack == images::BUN.stack) {
            draft.recipe.build_packages.push("openssl");
        }
    }
}
