//! How a member of a workspace is built: after the members that it needs.

use std::collections::{BTreeMap, BTreeSet};

use super::Tree;
use super::manager::{Manager, Runner};
use crate::draft::quote;
use crate::text::{At, Json};

/// A member, as its manifest has it.
struct Package<'f> {
    folder: &'f str,
    manifest: Json,
}

impl Package<'_> {
    fn name(&self) -> Option<&str> {
        self.manifest.str(&["name"])
    }

    fn builds(&self) -> bool {
        self.manifest.str(&["scripts", "build"]).is_some()
    }

    fn at(&self) -> At {
        self.manifest.at(&["scripts", "build"])
    }

    /// The names of all that it depends on.
    fn needs(&self) -> impl Iterator<Item = &str> {
        let sections = ["dependencies", "devDependencies", "optionalDependencies"];
        let entries = sections.into_iter().filter_map(|section| self.manifest.get(&[section])?.as_object());
        entries.flat_map(|entries| entries.keys().map(String::as_str))
    }
}

/// The commands that build the member in `app`, each with its reason and where that is said. What knows the order of the
/// members itself is told one name; else they are built one by one.
pub(super) fn commands(
    root: &Tree<'_>,
    folders: &[String],
    app: &str,
    runner: &Runner,
) -> Vec<(String, &'static str, At)> {
    const WHOLE: &str = "builds the member that is the app, and what it needs";
    let read = |folder: &str| Json::read(root.files, &format!("{folder}/package.json"))?.ok();
    let packages: Vec<Package<'_>> = folders
        .iter()
        .map(String::as_str)
        .chain((!folders.iter().any(|folder| folder == app)).then_some(app))
        .filter_map(|folder| Some(Package { folder, manifest: read(folder)? }))
        .collect();
    let Some(first) = packages.iter().position(|package| package.folder == app) else { return Vec::new() };
    let names = packages.iter().enumerate().filter_map(|(index, package)| Some((package.name()?, index))).collect();
    let mut order = Vec::new();
    visit(&packages, &names, first, &mut BTreeSet::new(), &mut order);
    let package = &packages[first];
    let built: Vec<&Package<'_>> = order.into_iter().map(|index| &packages[index]).filter(|one| one.builds()).collect();
    let Some(last) = built.last() else { return Vec::new() };
    if runner.manager == Manager::Pnpm {
        let command = format!("pnpm --filter {} run build", quote(&format!("./{app}...")));
        return vec![(command, WHOLE, last.at())];
    }
    if let (Some(at), Some(name)) = (turbo(root), package.name()) {
        let through = if runner.plug_and_play { "yarn " } else { "" };
        return vec![(format!("{through}turbo run build --filter={}", quote(name)), WHOLE, at)];
    }
    let one = |package: &&Package<'_>| {
        let why = if package.folder == app { "builds the member that is the app" } else { "the app needs it built" };
        (build_one(runner.manager, package), why, package.at())
    };
    built.iter().map(one).collect()
}

/// Notes the members that this one needs, each before those that need it.
fn visit(
    packages: &[Package<'_>],
    names: &BTreeMap<&str, usize>,
    index: usize,
    seen: &mut BTreeSet<usize>,
    order: &mut Vec<usize>,
) {
    if !seen.insert(index) {
        return;
    }
    for needed in packages[index].needs().filter_map(|name| names.get(name)) {
        visit(packages, names, *needed, seen, order);
    }
    order.push(index);
}

/// Where Turborepo says that a build comes after those of what it needs (turborepo.com/docs, `dependsOn`).
fn turbo(root: &Tree<'_>) -> Option<At> {
    root.dependency("turbo")?;
    let read = |file| Json::read_with_comments(root.files, file)?.ok();
    let json = read("turbo.json").or_else(|| read("turbo.jsonc"))?;
    ["tasks", "pipeline"].into_iter().find_map(|section| {
        let path = [section, "build", "dependsOn"];
        let after = json.get(&path)?.as_array()?;
        after.iter().any(|task| task == "^build").then(|| json.at(&path))
    })
}

fn build_one(manager: Manager, package: &Package<'_>) -> String {
    let folder = quote(package.folder);
    match (manager, package.name()) {
        (Manager::Npm, _) => format!("npm run build --workspace={folder}"),
        (Manager::Yarn | Manager::Berry, Some(name)) => format!("yarn workspace {} run build", quote(name)),
        (Manager::Bun, Some(name)) => format!("bun run --filter {} build", quote(name)),
        _ => format!("cd {folder} && {} run build", manager.name()),
    }
}
