//! Workspaces of uv (docs.astral.sh/uv/concepts/projects/workspaces): one lockfile and one environment at the top, and
//! members in folders of their own.

use sh0_core::Result;

use super::{Tree, start};
use crate::draft::Draft;
use crate::root::below;
use crate::text::Toml;
use crate::tree::{Files, Sub};

/// The folders of the members, without the top.
pub(super) fn members(files: Files<'_>, project: &Toml) -> Vec<String> {
    let list = |key: &str| {
        let listed = project.get(&["tool", "uv", "workspace", key]).and_then(|list| list.as_array());
        listed.into_iter().flatten().filter_map(|item| item.as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut patterns = list("members");
    patterns.extend(list("exclude").into_iter().map(|pattern| format!("!{pattern}")));
    crate::provider::members(files, &patterns, "pyproject.toml")
}

/// The member that was picked.
pub(super) fn picked<'a>(tree: &Tree<'a>) -> Option<&'a str> {
    let folder = tree.files.0.picked()?;
    let project = tree.project.as_ref()?;
    members(tree.files, project).iter().any(|member| member == folder).then_some(folder)
}

/// How the member is installed from the lockfile at the top, and started in its folder.
pub(super) fn plan(top: &Tree<'_>, folder: &str, draft: &mut Draft) -> Result<()> {
    let files = Sub::new(top.files, folder);
    let member = Tree::read(Files(&files))?;
    let name = member.project.as_ref().and_then(|project| project.str(&["project", "name"]));
    let mut pins = top.pins();
    pins.extend(member.pins().into_iter().map(|mut pin| {
        pin.at.file = below(folder, &pin.at.file);
        pin
    }));
    top.prepare(draft, pins, name);
    let mut own = Draft::default();
    // A server that is added is installed into the environment at the top.
    own.plan.install = std::mem::take(&mut draft.plan.install);
    member.system_packages(&mut own);
    start::find(&member, &mut own);
    draft.plan.install = std::mem::take(&mut own.plan.install);
    draft.recipe.packages.append(&mut own.recipe.packages);
    draft.because(format!("app = {folder}"), "it was named as the root");
    draft.take_member(own.moved_into(folder));
    Ok(())
}

/// Why nothing starts at the top: the members that could be.
pub(super) fn several(tree: &Tree<'_>) -> Option<String> {
    let starts = |folder: &String| {
        let files = Sub::new(tree.files, folder.as_str());
        let mut draft = Draft::default();
        Tree::read(Files(&files)).is_ok_and(|member| {
            start::find(&member, &mut draft);
            draft.plan.start_command.is_some()
        })
    };
    let apps: Vec<String> = members(tree.files, tree.project.as_ref()?).into_iter().take(100).filter(starts).collect();
    let labels: Vec<&str> = apps.iter().take(20).map(String::as_str).collect();
    Some(crate::provider::several(&labels, apps.len(), labels.first()?))
}
