//! Deno: TypeScript without a build. What is fetched is kept in a folder of the app, on a host and in an image alike.

use sh0_core::Result;

use super::{Provider, listens};
use crate::command;
use crate::draft::{Draft, refuse, tool_versions, version_file};
use crate::images;
use crate::recipe::FixedPort;
use crate::text::{At, Json, find_line};
use crate::tree::Files;

const MANIFESTS: &[&str] = &["deno.json", "deno.jsonc"];

const ENTRIES: &[&str] = &[
    "main.ts",
    "main.tsx",
    "main.js",
    "main.mjs",
    "server.ts",
    "index.ts",
    "mod.ts",
    "app.ts",
    "src/main.ts",
    "src/server.ts",
    "src/index.ts",
];

/// Lockfiles of managers that fetch packages for Node.
const OF_NODE: &[&str] = &["package-lock.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb"];

pub(crate) struct Deno;

impl Provider for Deno {
    fn language(&self) -> &'static str {
        "deno"
    }

    fn looks_for(&self) -> &'static str {
        "Deno: deno.json, deno.jsonc, deno.lock"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        if files.is_file("package.json") && files.first(OF_NODE).is_some() {
            return false;
        }
        files.first(MANIFESTS).is_some() || files.is_file("deno.lock") || script(files).is_some()
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let manifest = match files.first(MANIFESTS).and_then(|file| Json::read_with_comments(files, file)) {
            Some(Ok(manifest)) => Some(manifest),
            Some(Err(error)) => return refuse(error),
            None => None,
        };
        let mut draft = Draft::default();
        plan(files, manifest.as_ref(), &mut draft);
        Ok(draft)
    }
}

/// A script that only Deno runs, where nothing belongs to Node.
fn script(files: Files<'_>) -> Option<&'static str> {
    if files.is_file("package.json") {
        return None;
    }
    let file = files.first(ENTRIES)?;
    let text = files.text(file)?;
    ["Deno.", "\"jsr:", "\"npm:", "https://deno.land/", "'jsr:", "'npm:"]
        .iter()
        .any(|mark| text.contains(mark))
        .then_some(file)
}

fn plan(files: Files<'_>, manifest: Option<&Json>, draft: &mut Draft) {
    draft.plan.language = "deno".into();
    draft.plan.package_manager = Some("deno".into());
    let mark =
        files.first(MANIFESTS).or_else(|| files.first(&["deno.lock"])).or_else(|| script(files)).unwrap_or("deno.json");
    draft.because_of("language = deno", "a file of a Deno app", At::file(mark));
    let mut pins: Vec<_> = version_file(files, ".dvmrc").into_iter().collect();
    pins.extend(tool_versions(files, &["deno"]));
    // Every release has an image of its own, and no line has one.
    let exact = pins.first().map(|pin| pin.wanted.trim_start_matches('v').to_owned()).filter(|wanted| {
        let parts: Vec<&str> = wanted.split('.').collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok())
    });
    let version = match exact {
        Some(release) => {
            let pin = pins.remove(0);
            draft.because_of(format!("version = {release}"), format!("{} asks for `{}`", pin.by, pin.wanted), pin.at);
            draft.plan.version = Some(release.clone());
            release
        }
        None => draft.version(&images::DENO, pins),
    };
    draft.tool("deno", "Deno (deno.com, or npm install --global deno)");
    draft.env("DENO_DIR", ".deno");
    framework(files, manifest, draft);

    let entry = files.first(ENTRIES);
    if let Some(entry) = entry {
        let command = format!("deno cache {entry}");
        draft.because_of(format!("install = {command}"), "fetches what the app imports", At::file(entry));
        draft.plan.install.push(command);
        draft.recipe.install_needs_source = true;
    }
    if let Some((manifest, _)) = task(manifest, "build") {
        draft.because_of("build = deno task build", "there is a task of this name", manifest.at(&["tasks", "build"]));
        draft.plan.build.push("deno task build".into());
    }
    start(files, manifest, entry, draft);
    draft.recipe.build = Some((&images::DENO, version.clone()));
    draft.recipe.run = Some((&images::DENO, version));
    draft.recipe.ignore.push(".deno".into());
}

fn framework(files: Files<'_>, manifest: Option<&Json>, draft: &mut Draft) {
    const FRAMEWORKS: &[(&str, &[&str])] = &[
        ("fresh", &["$fresh/", "@fresh/core", "jsr:@fresh/", "deno.land/x/fresh"]),
        ("hono", &["@hono/hono", "npm:hono", "deno.land/x/hono"]),
        ("oak", &["@oak/oak", "deno.land/x/oak"]),
    ];
    let texts =
        manifest.map(|manifest| manifest.file.clone()).into_iter().chain(files.first(ENTRIES).map(str::to_owned));
    for file in texts {
        let text = files.text(&file).unwrap_or_default();
        for (name, marks) in FRAMEWORKS {
            if let Some((line, _)) = find_line(&text, |line| marks.iter().any(|mark| line.contains(mark))) {
                draft.plan.framework = Some((*name).to_owned());
                draft.because_of(format!("framework = {name}"), "it is imported", At::line(file, line));
                return;
            }
        }
    }
}

/// A task, as text or with a description.
fn task<'j>(manifest: Option<&'j Json>, name: &str) -> Option<(&'j Json, &'j str)> {
    let manifest = manifest?;
    let command = manifest.str(&["tasks", name]).or_else(|| manifest.str(&["tasks", name, "command"]))?;
    Some((manifest, command))
}

/// The command without what watches the source. Fresh 1 has a script for that beside the one that serves
/// (fresh.deno.dev/docs/1.x).
fn unwatched(files: Files<'_>, command: &str) -> String {
    let command = command::unwatched(command);
    match command.strip_suffix(" dev.ts").filter(|_| files.is_file("main.ts")) {
        Some(before) => format!("{before} main.ts"),
        None => command,
    }
}

fn start(files: Files<'_>, manifest: Option<&Json>, entry: Option<&'static str>, draft: &mut Draft) {
    // The task as it is, so that SIGTERM reaches the app; more than one command needs the runner.
    let plain = |command: &str| {
        command.starts_with("deno ") && !command.contains(['&', '|', ';']) && !command.starts_with("deno task")
    };
    let watches = |command: &str| command.split_whitespace().any(|word| word.starts_with("--watch"));
    let told = task(manifest, "start").filter(|(_, command)| plain(command) || !watches(command) || entry.is_none());
    if let Some((manifest, command)) = told {
        let at = manifest.at(&["tasks", "start"]);
        let (command, why) = match watches(command) {
            _ if !plain(command) => ("deno task start".to_owned(), "there is a task `start`"),
            false => (command.to_owned(), "there is a task `start`"),
            true => (unwatched(files, command), "the task `start`, which watches the source for those who write it"),
        };
        if command.split_whitespace().any(|word| word == "--unstable") {
            draft.warn(format!(
                "{}: Deno 2 has no `--unstable`: name what the app uses, such as `--unstable-kv`",
                at.file
            ));
        }
        draft.start(command, why, Some(at));
    } else if let Some(entry) = entry {
        let text = files.text(entry).unwrap_or_default();
        let serves = find_line(&text, |line| line.starts_with("export default {")).is_some() && text.contains("fetch");
        let command = if serves {
            format!("deno serve --allow-all --host 0.0.0.0 --port $PORT {entry}")
        } else {
            format!("deno run --allow-all {entry}")
        };
        draft.start(command, "the usual name of the first script", Some(At::file(entry)));
    }
    let Some((entry, command)) = entry.zip(draft.plan.start_command.clone()) else { return };
    if command.contains("PORT") {
        return;
    }
    if let Some((line, port)) = listens::fixed_port(&files.text(entry).unwrap_or_default()) {
        draft.recipe.fixed_port =
            Some(FixedPort { port, at: At::line(entry, line), instead: "Deno.env.get(\"PORT\")", command });
    }
}
