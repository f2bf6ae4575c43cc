//! Workspaces of npm, yarn, pnpm and bun: their members, and which of them is the app.

use std::collections::BTreeSet;

use super::Tree;
use super::build;
use super::framework::{self, Output};
use super::frameworks::Framework;
use super::manager::Runner;
use crate::draft::Draft;
use crate::text::Json;
use crate::tree::{Files, Sub};
use crate::yaml::Yaml;

/// More members than this are not looked at.
const MAX_MEMBERS: usize = 500;

/// A member that can be started or served.
pub(super) struct Member<'a> {
    pub(super) folder: String,
    files: Sub<'a>,
    framework: Option<&'static Framework>,
}

/// The folders of the members, in order; empty for a tree that is no workspace.
///
/// A `pnpm-workspace.yaml` without `packages` holds settings, and makes none (pnpm.io/settings).
pub(super) fn folders(files: Files<'_>, manifest: Option<&Json>) -> Vec<String> {
    let listed = manifest.and_then(|manifest| {
        let list = manifest.get(&["workspaces"])?;
        let list = list.as_array().or_else(|| list.get("packages")?.as_array())?;
        Some(list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect::<Vec<_>>())
    });
    let pnpm = || {
        let yaml = Yaml::parse(&files.text("pnpm-workspace.yaml")?).ok()?;
        Some(
            yaml.get(&["packages"])?
                .list()
                .iter()
                .filter_map(|item| item.text().map(str::to_owned))
                .collect::<Vec<_>>(),
        )
    };
    let patterns = listed.or_else(pnpm).unwrap_or_default();
    expand(files, &patterns, "package.json")
}

/// The folders that patterns such as `apps/*`, `packages/**` and `!apps/old` name, where each has `manifest`.
pub(crate) fn expand(files: Files<'_>, patterns: &[String], manifest: &str) -> Vec<String> {
    let clean = |pattern: &str| pattern.trim_start_matches("./").trim_end_matches('/').to_owned();
    let mut found: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    let different = patterns.iter().filter(|pattern| !pattern.starts_with('!') && seen.insert(pattern.as_str()));
    for pattern in different.take(200) {
        let mut heads = vec![String::new()];
        let pattern = clean(pattern);
        let mut parts: Vec<&str> = pattern.split('/').collect();
        parts.dedup_by(|next, part| *next == "**" && *part == "**");
        for part in parts {
            let mut next: Vec<String> = Vec::new();
            for head in heads.into_iter().take(MAX_MEMBERS) {
                let join = |name: &str| if head.is_empty() { name.to_owned() } else { format!("{head}/{name}") };
                match part {
                    "**" => {
                        next.push(head.clone());
                        let below = |folder: &str| {
                            let names = files
                                .names(folder)
                                .into_iter()
                                .filter(|name| !matches!(name.as_str(), "node_modules" | ".git"));
                            names
                                .map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") })
                                .filter(|path| files.is_folder(path))
                                .collect::<Vec<_>>()
                        };
                        // Two levels: deeper workspaces are not seen in the wild.
                        for one in below(&head).into_iter().take(MAX_MEMBERS) {
                            next.extend(below(&one).into_iter().take(MAX_MEMBERS));
                            next.push(one);
                        }
                    }
                    part if part.contains('*') => {
                        let (before, after) = part.split_once('*').unwrap_or((part, ""));
                        let fits = |name: &String| {
                            name.len() >= before.len() + after.len()
                                && name.starts_with(before)
                                && name.ends_with(after)
                                && !name.starts_with('.')
                        };
                        next.extend(files.names(&head).iter().filter(|name| fits(name)).map(|name| join(name)));
                    }
                    part => next.push(join(part)),
                }
            }
            // In order, so that each is looked at once.
            next.sort();
            next.dedup();
            heads = next;
        }
        found.extend(
            heads.into_iter().filter(|folder| !folder.is_empty() && files.is_file(&format!("{folder}/{manifest}"))),
        );
    }
    let excluded: Vec<String> = patterns.iter().filter_map(|pattern| Some(clean(pattern.strip_prefix('!')?))).collect();
    found.retain(|folder| {
        !excluded.iter().any(|out| {
            out == folder
                || out
                    .strip_suffix("/*")
                    .or(out.strip_suffix("/**"))
                    .is_some_and(|parent| folder.starts_with(&format!("{parent}/")))
        })
    });
    found.sort();
    found.dedup();
    found.truncate(MAX_MEMBERS);
    found
}

/// The members that can be started or served.
pub(super) fn apps<'a>(files: Files<'a>, folders: &[String]) -> Vec<Member<'a>> {
    folders.iter().filter_map(|folder| Member::read(files, folder).filter(Member::runs)).collect()
}

impl<'a> Member<'a> {
    pub(super) fn read(files: Files<'a>, folder: &str) -> Option<Member<'a>> {
        let files = Sub::new(files, folder);
        let tree = tree(&files)?;
        let framework = framework::find(&tree).map(|(framework, _)| framework);
        Some(Member { folder: folder.to_owned(), framework, files })
    }

    /// Whether it starts or serves something: a library does neither.
    fn runs(&self) -> bool {
        let Some(tree) = tree(&self.files) else { return false };
        let page = || Files(&self.files).is_file("index.html");
        // An app of a phone, unless pages are made of it too.
        if self.framework.is_some_and(|framework| framework.name == "expo") {
            return framework::on_the_web(&tree) && tree.script("build").is_some();
        }
        tree.script("start").is_some()
            || match self.framework {
                // Libraries are built by Vite and shown in Storybook too.
                Some(framework) if matches!(framework.name, "vite" | "rsbuild" | "parcel" | "storybook") => page(),
                // A library may extend a server.
                Some(framework)
                    if framework.folder.is_none() && framework.start.is_empty() && framework.build.is_none() =>
                {
                    tree.script("build").is_some() && tree.script("dev").is_some()
                }
                Some(_) => true,
                None => false,
            }
    }

    /// Whether what it builds is served as files.
    pub(super) fn is_served(&self) -> bool {
        tree(&self.files).is_some_and(|tree| matches!(framework::output(&tree, self.framework), Output::Files { .. }))
    }

    /// As a person would point at it.
    pub(super) fn label(&self) -> String {
        match self.framework {
            Some(framework) => format!("{} ({})", self.folder, framework.name),
            None => self.folder.clone(),
        }
    }

    pub(super) fn manifest(&self) -> Option<Json> {
        tree(&self.files).map(|tree| tree.manifest)
    }

    pub(super) fn framework(&self) -> Option<&'static Framework> {
        self.framework
    }

    /// How this member of `root` is built, by its manager from there, and how it is started or served.
    pub(super) fn plan(
        &self,
        root: &Tree<'_>,
        folders: &[String],
        runner: &Runner,
        version: Option<String>,
    ) -> Option<Draft> {
        let tree = tree(&self.files)?;
        let mut draft = Draft::default();
        draft.plan.version = version;
        if let Some((framework, at)) = framework::find(&tree) {
            draft.plan.framework = Some(framework.name.to_owned());
            draft.because_of(format!("framework = {}", framework.name), framework::why(&at), at);
        }
        tree.finish(&mut draft, runner, self.framework, framework::output(&tree, self.framework), true);
        draft.path("node_modules/.bin");
        let own = self.framework.and_then(|framework| framework.build);
        let own = own.filter(|_| tree.script("build").is_none() && draft.recipe.several.is_none());
        if let Some(command) = own {
            draft.because(format!("build = {command}"), "the framework's own, as there is no script `build`");
            draft.plan.build.push(command.to_owned());
        }
        let mut draft = draft.moved_into(&self.folder);
        draft.plan.static_dir.iter_mut().for_each(|dir| *dir = resolved(dir));
        let mut before = Vec::new();
        for (command, why, at) in build::commands(root, folders, &self.folder, runner) {
            draft.because_of(format!("build = {command}"), why, at);
            before.push(command);
        }
        draft.plan.build.splice(..0, before);
        Some(draft)
    }
}

/// `backend/pages` of `frontend/../backend/pages`.
fn resolved(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn tree<'a>(files: &'a Sub<'_>) -> Option<Tree<'a>> {
    let manifest = Json::read(Files(files), "package.json")?.ok().filter(|json| json.value.is_object())?;
    Some(Tree { files: Files(files), manifest })
}
