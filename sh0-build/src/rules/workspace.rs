//! Workspaces: several packages in one repository.

use serde_json::Value;

use super::class::Class;
use super::context::Context;
use super::rule::Hits;
use crate::yaml::Yaml;

/// Whether the root only holds a workspace together.
fn is_workspace(cx: &Context<'_>) -> bool {
    let npm = cx.package().is_some_and(|json| json.get(&["workspaces"]).is_some());
    let pnpm = cx
        .text("pnpm-workspace.yaml")
        .and_then(|text| Yaml::parse(&text).ok())
        .is_some_and(|yaml| yaml.get(&["packages"]).is_some_and(|list| !list.list().is_empty()));
    npm || pnpm || cx.has("nx.json") || cx.has("turbo.json")
}

pub(super) fn several_apps(cx: &Context<'_>, hits: &mut Hits) {
    let apps = apps(cx);
    if apps.len() > 1 {
        let folders: Vec<&str> = apps.iter().take(5).filter_map(|path| path.strip_suffix("/package.json")).collect();
        hits.tree(format!("apps in {}", folders.join(", ")));
    }
}

/// The manifests of apps below a root that does not say which of them it is.
pub(super) fn apps<'c>(cx: &'c Context<'_>) -> Vec<&'c str> {
    // A plan, or a start command at the root, has chosen.
    let root = cx.package();
    let chosen = cx
        .plan
        .is_some_and(|plan| plan.start_command.is_some() || plan.static_dir.is_some() || !plan.processes.is_empty())
        || cx.own_dockerfile().is_some()
        || cx.has("Procfile")
        || cx.has("sh0.toml")
        || !cx.composes().is_empty();
    let starts = root.is_some_and(|json| json.get(&["scripts", "start"]).is_some());
    if chosen || starts || root.is_some() && !is_workspace(cx) {
        return Vec::new();
    }
    let own = |path: &&str| path.matches('/').count() <= 3 && path.contains('/') && !Class::of(path).any(Class::DOC);
    cx.named(|name| name == "package.json")
        .filter(own)
        .filter(|path| {
            let json: Option<Value> = cx.text(path).and_then(|text| serde_json::from_str(&text).ok());
            json.is_some_and(|json| json.get("scripts").and_then(|scripts| scripts.get("start")).is_some())
        })
        .collect()
}

pub(super) fn outside(cx: &Context<'_>, hits: &mut Hits) {
    let Some(json) = cx.package() else { return };
    if is_workspace(cx) {
        return;
    }
    let member = ["dependencies", "devDependencies"].into_iter().find_map(|section| {
        let (name, _) = cx.section(section).into_iter().find(|(_, range)| range.starts_with("workspace:"))?;
        Some((section, name))
    });
    if let Some((section, name)) = member {
        hits.at(
            "package.json",
            json.at(&[section, name]).line,
            format!("{name} is a member of a workspace that is not here"),
        );
    }
}

pub(super) fn not_copied(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    let copies: Vec<_> = file
        .instructions
        .iter()
        .filter(|i| matches!(i.word.as_str(), "COPY" | "ADD") && i.flag("from").is_none())
        .collect();
    let everything = copies.iter().any(|i| {
        i.paths().iter().rev().skip(1).any(|source| matches!(source.as_str(), "." | "./") || source.starts_with('*'))
    });
    if everything || copies.is_empty() {
        return;
    }
    let uses = |word: &str| file.instructions.iter().any(|i| i.word == "RUN" && i.script().contains(word));
    for (name, word) in
        [("turbo.json", "turbo"), ("nx.json", "nx "), ("pnpm-workspace.yaml", "pnpm"), ("tsconfig.base.json", "build")]
    {
        let copied = copies.iter().any(|i| {
            i.paths().iter().any(|source| {
                source.contains(name)
                    || name.ends_with(".json")
                        && (source == "*.json" || name.starts_with("tsconfig") && source.contains("tsconfig*"))
            })
        });
        if cx.has(name) && uses(word) && !copied {
            let last = copies.last().map(|i| i.line);
            hits.at(path, last, format!("{name} is not copied"));
        }
    }
}
