//! Pages of a server that is not Node: styles and scripts that a `package.json` beside it builds.

use super::Provider;
use super::node::Node;
use crate::draft::Draft;
use crate::images;
use crate::recipe::Borrow;
use crate::text::Json;
use crate::tree::Files;

/// Adds Node's install and build to a draft that builds on the image of another stack, when there is something to
/// build. Answers whether Node is there now.
pub(crate) fn build_assets(files: Files<'_>, draft: &mut Draft) -> bool {
    let Some(Ok(manifest)) = Json::read(files, "package.json") else { return false };
    let Some(script) = build_script(&manifest) else { return false };
    if !install_node(files, draft) {
        return false;
    }
    let command = Node.plan(files).map(|node| node.plan.build).unwrap_or_default();
    draft.because_of(
        format!("build += {}", command.join(" && ")),
        "package.json builds the assets",
        manifest.at(&["scripts", script]),
    );
    draft.plan.build.extend(command);
    true
}

/// The script that builds: `build`, or for Encore a name that its apps give it too.
pub(crate) fn build_script(manifest: &Json) -> Option<&'static str> {
    let has = |name: &&str| manifest.str(&["scripts", name]).is_some();
    let encore = ["dependencies", "devDependencies"]
        .iter()
        .any(|section| manifest.get(&[section, "@symfony/webpack-encore"]).is_some());
    let others: &[&str] = if encore { &["build:prod", "prod", "production"] } else { &[] };
    ["build"].into_iter().chain(others.iter().copied()).find(has)
}

/// Node and the packages of `package.json`, for a build that calls them itself. Answers whether there is such a file.
pub(crate) fn install_node(files: Files<'_>, draft: &mut Draft) -> bool {
    if !files.is_file("package.json") {
        return false;
    }
    let Ok(node) = Node.plan(files) else { return false };
    let (plan, recipe) = (node.plan, node.recipe);
    let version = plan.version.unwrap_or_else(|| images::NODE.default.to_owned());
    for command in plan.install {
        draft.because(format!("install += {command}"), "what the assets are built with");
        draft.plan.install.push(command);
    }
    draft.plan.warnings.extend(plan.warnings);
    for tool in plan.tools {
        draft.tool(&tool.program, &tool.install_hint);
    }
    add_node(draft, version);
    let into = &mut draft.recipe;
    into.before_install.extend(recipe.before_install);
    into.manifests.extend(recipe.manifests);
    into.install_needs_source |= recipe.install_needs_source;
    into.caches.extend(recipe.caches);
    into.build_env.extend(recipe.build_env);
    into.drop.push("node_modules".into());
    true
}

/// Node for a build on the image of another stack, where a gem or the like calls it.
pub(crate) fn add_node(draft: &mut Draft, version: String) {
    draft.recipe.borrow.push(Borrow { base: &images::NODE, version, from: "/usr/local", to: "/usr/local" });
    draft.tool("node", "Node.js (Debian: apt-get install nodejs)");
}
