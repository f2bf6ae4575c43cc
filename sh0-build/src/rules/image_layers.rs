//! What the steps of a Dockerfile leave in its layers, and how often they run again.

use sh0_core::model::Severity;

use super::compose::targets;
use super::context::Context;
use super::rule::Hits;
use crate::dockerfile::{Dockerfile, Instruction, Stage};

/// `COPY . .` and the like, from the context.
fn copies_everything(i: &Instruction) -> bool {
    let paths = i.paths();
    matches!(i.word.as_str(), "COPY" | "ADD")
        && i.flag("from").is_none()
        && paths.len() > 1
        && paths[..paths.len() - 1].iter().any(|source| matches!(source.as_str(), "." | "./" | "/" | "./."))
}

pub(super) fn no_dockerignore(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    if cx.dockerignore().is_some() || cx.has(&format!("{path}.dockerignore")) {
        return;
    }
    let Some(copy) = file.instructions.iter().find(|i| copies_everything(i)) else { return };
    let there = [".git", "node_modules", "target", ".venv", "venv", "dist", "build", ".next"]
        .into_iter()
        .find(|name| cx.files.is_folder(name));
    match there {
        Some(folder) => hits.at(path, copy.line, format!("{} {} takes {folder} along", copy.word, copy.rest)),
        None if cx.has("package.json") || cx.has("Cargo.toml") || cx.has("requirements.txt") => {
            hits.at(path, copy.line, format!("{} {}", copy.word, copy.rest));
            hits.severity(Severity::Low);
        }
        None => {}
    }
}

const INSTALLS: &[&str] = &[
    "npm ci",
    "npm install",
    "npm i ",
    "yarn install",
    "pnpm install",
    "pnpm i ",
    "bun install",
    "pip install -r",
    "pip3 install -r",
    "pip install --no-cache-dir -r",
    "poetry install",
    "uv sync",
    "bundle install",
    "composer install",
    "go mod download",
    "mix deps.get",
    "dotnet restore",
];

pub(super) fn cache_order(cx: &Context<'_>, hits: &mut Hits) {
    let manifests = [
        "package",
        "requirements",
        "pyproject",
        "Gemfile",
        "composer",
        "go.mod",
        "Pipfile",
        "mix",
        "csproj",
        "lock",
        ".sln",
    ];
    for (path, file) in cx.dockerfiles() {
        for stage in &file.stages {
            let steps = file.of(stage);
            let Some(copy) = steps.iter().position(copies_everything) else { continue };
            let early = steps[..copy].iter().any(|i| {
                matches!(i.word.as_str(), "COPY" | "ADD") && manifests.iter().any(|manifest| i.rest.contains(manifest))
                    || i.word == "RUN" && INSTALLS.iter().any(|install| i.script().contains(install))
            });
            let install = steps[copy..].iter().find(|i| {
                i.word == "RUN" && INSTALLS.iter().any(|install| format!("{} ", i.script()).contains(install))
            });
            if let (false, Some(install)) = (early, install) {
                hits.at(
                    path,
                    steps[copy].line,
                    format!(
                        "{} {} stands before the install in line {}",
                        steps[copy].word, steps[copy].rest, install.line
                    ),
                );
            }
        }
    }
}

pub(super) fn apt_hygiene(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        let shipped = shipped(cx, path, file);
        for (stage, i) in runs(file) {
            let script = i.script();
            let Some(at) = script.find("apt-get install").or_else(|| script.find("apt install")) else { continue };
            let command = script[at..].split(['&', ';', '|', '\n']).next().unwrap_or_default();
            let yes = ["-y", "--yes", "--assume-yes", "-qy", "-yq", "-qqy", "-yqq"]
                .iter()
                .any(|flag| command.split_whitespace().any(|word| word == *flag));
            let cached = i.flag("mount").is_some();
            if !yes && !script.contains("-y ") && !script.contains("assume-yes") {
                hits.at(path, i.line, "apt-get install without -y asks, and the build fails");
                hits.severity(Severity::Medium);
            } else if !cached
                && !script.contains("apt-get update")
                && !script.contains("apt update")
                && !script.contains("apt-get -")
            {
                hits.at(path, i.line, "apt-get install without apt-get update in the same step");
            } else if !cached
                && shipped.iter().any(|one| one.line == stage.line)
                && !script.contains("/var/lib/apt/lists")
                && !script.contains("distclean")
            {
                hits.at(path, i.line, "the lists in /var/lib/apt/lists stay in the image");
            }
        }
    }
}

pub(super) fn runs(file: &Dockerfile) -> impl Iterator<Item = (&Stage, &Instruction)> {
    file.stages.iter().flat_map(|stage| file.of(stage).iter().filter(|i| i.word == "RUN").map(move |i| (stage, i)))
}

/// The stages that images are made of: the last one, or those that the compose files beside it name.
fn shipped<'f>(cx: &Context<'_>, path: &str, file: &'f Dockerfile) -> Vec<&'f Stage> {
    let last = file.last();
    let named = |target: &str| {
        file.stages.iter().find(|stage| stage.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(target)))
    };
    let stages: Vec<_> = targets(cx, path).into_iter().filter_map(|target| target.map_or(last, named)).collect();
    if stages.is_empty() { last.into_iter().collect() } else { stages }
}

pub(super) fn package_cache(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for stage in shipped(cx, path, file) {
            let off = file.lineage(stage).iter().any(|i| i.word == "ENV" && i.rest.contains("PIP_NO_CACHE_DIR"));
            for i in file.of(stage).iter().filter(|i| i.word == "RUN" && i.flag("mount").is_none()) {
                let script = i.script();
                let pip = script.contains("pip install") || script.contains("pip3 install");
                if pip && !off && !script.contains("--no-cache-dir") && !script.contains("rm -rf") {
                    hits.at(path, i.line, "pip install without --no-cache-dir");
                } else if script.contains("apk add")
                    && !script.contains("--no-cache")
                    && !script.contains("/var/cache/apk")
                {
                    hits.at(path, i.line, "apk add without --no-cache");
                }
            }
        }
    }
}
