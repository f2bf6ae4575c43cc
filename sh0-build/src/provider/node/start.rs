//! How a Node app is started.

use super::frameworks::Framework;
use super::manager::{Manager, Runner};
use super::{ENTRIES, Tree};
use crate::command;
use crate::draft::{Draft, Pin, quote};
use crate::images;
use crate::provider::listens;
use crate::recipe::{FixedPort, StandIn};
use crate::text::At;
use crate::tree::Files;

/// Names the start command. Answers whether there is one.
pub(super) fn find(tree: &Tree<'_>, draft: &mut Draft, runner: &Runner, framework: Option<&Framework>) -> bool {
    let manager = runner.manager;
    // Nest's `start` compiles and watches; `start:prod` is what ships.
    // A `start` that watches the source is for those who write it.
    let watches = tree.script("start").is_none_or(|body| {
        ["nodemon", "ts-node-dev", "--watch"].iter().any(|word| body.contains(word)) || body.contains("tsx watch")
    });
    let production = watches || framework.is_some_and(|framework| framework.name == "nestjs");
    for script in ["start:prod", "start:production", "start"] {
        let Some(body) = tree.script(script).filter(|_| script == "start" || production) else { continue };
        let at = tree.manifest.at(&["scripts", script]);
        match inlined(tree, runner, script) {
            Some(command) => {
                let unwatched = command::unwatched(body) != body;
                let why = format!(
                    "the script `{script}`, without {} in between, which would swallow SIGTERM{}",
                    manager.name(),
                    if unwatched { ", and without watching the source" } else { "" }
                );
                draft.start(command, why, Some(at));
                if let Some(entry) = entry_of(without_install(body)) {
                    listens_on(tree.files, draft, entry);
                }
            }
            None => draft.start(manager.run(script), format!("package.json has the script `{script}`"), Some(at)),
        }
        runs_with(draft, runner);
        return true;
    }
    let own = framework.into_iter().flat_map(|framework| framework.start);
    if let Some((at, command)) = own.into_iter().find_map(|(name, command)| Some((tree.dependency(name)?, *command))) {
        draft.start(command, "the framework's own server", Some(at));
        return true;
    }
    if manager == Manager::Bun && bun_entry(tree, draft) {
        runs_with(draft, runner);
        return true;
    }
    entry(tree, draft)
}

/// Bun runs TypeScript as it is.
fn bun_entry(tree: &Tree<'_>, draft: &mut Draft) -> bool {
    let module = ["module", "main"].iter().find_map(|key| Some((*key, tree.manifest.str(&[key])?)));
    let named = module.filter(|(_, file)| tree.files.is_file(file) && crate::detect::is_dir_name(file));
    if let Some((key, file)) = named {
        draft.start(format!("bun {file}"), format!("`{key}` of package.json"), Some(tree.manifest.at(&[key])));
        listens_on(tree.files, draft, file);
        return true;
    }
    let Some(file) = tree.files.first(&["index.ts", "src/index.ts", "server.ts", "index.tsx", "index.js"]) else {
        return false;
    };
    draft.start(format!("bun {file}"), "the usual name of the first script", Some(At::file(file)));
    listens_on(tree.files, draft, file);
    true
}

/// What a script runs, with the script before it: without a manager in between.
fn inlined(tree: &Tree<'_>, runner: &Runner, script: &str) -> Option<String> {
    // Yarn's Plug'n'Play resolves packages only for what yarn itself starts.
    let direct = |body: &str| direct(body).filter(|_| !runner.plug_and_play);
    let command = direct(without_install(tree.script(script)?))?;
    match tree.script(&format!("pre{script}")) {
        Some(before) => Some(format!("{} && {command}", direct(before)?)),
        None => Some(command),
    }
}

/// The script without an install in front, which an image has behind it: `vite` of `npm i && vite`. What installs
/// something else, or elsewhere, stays.
pub(super) fn without_install(script: &str) -> &str {
    const FLAGS: &[&str] = &[
        "--production",
        "--omit=dev",
        "--include=dev",
        "--frozen-lockfile",
        "--immutable",
        "--no-audit",
        "--no-fund",
        "--silent",
        "--prefer-offline",
        "--legacy-peer-deps",
        "--force",
        "-s",
    ];
    let Some((first, rest)) = script.split_once("&&") else { return script };
    let installs = match first.split_whitespace().collect::<Vec<_>>()[..] {
        ["yarn"] => true,
        ["npm" | "yarn" | "pnpm" | "bun", "install" | "i" | "ci", ref flags @ ..] => {
            flags.iter().all(|flag| FLAGS.contains(flag))
        }
        _ => false,
    };
    if installs { without_install(rest.trim_start()) } else { script }
}

/// Lets a Procfile that runs scripts through a manager run what they run, as `start` does.
pub(super) fn stand_ins(tree: &Tree<'_>, draft: &mut Draft, runner: &Runner) {
    if !tree.files.is_file("Procfile") {
        return;
    }
    let scripts = tree.manifest.get(&["scripts"]).and_then(|scripts| scripts.as_object());
    for script in scripts.into_iter().flat_map(|scripts| scripts.keys()) {
        let Some(runs) = inlined(tree, runner, script) else { continue };
        // Behind a program that runs it, or with arguments, stands one command and no more.
        let alone = !runs.contains("&&") && runs.split(' ').next().is_some_and(|word| !command::is_assignment(word));
        for manager in ["npm", "yarn", "pnpm", "bun"] {
            let short = matches!(manager, "yarn" | "pnpm") || manager == "npm" && script == "start";
            let ways = [Some(format!("{manager} run {script}")), short.then(|| format!("{manager} {script}"))];
            // What npm hands on stands behind `--`, which Yarn 1 takes for that too.
            let before_arguments: &[_] = match manager {
                _ if !alone => &[None],
                "npm" => &[Some(" -- ")],
                "yarn" if runner.manager == Manager::Yarn => &[Some(" -- "), Some(" ")],
                _ => &[Some(" ")],
            };
            for (says, arguments) in
                ways.iter().flatten().flat_map(|way| before_arguments.iter().map(move |b| (way, b)))
            {
                let (says, runs, arguments) = (says.clone(), runs.clone(), *arguments);
                draft.recipe.stand_ins.push(StandIn { says, runs, arguments, why: "which would swallow SIGTERM" });
            }
        }
    }
}

/// The script's own command, which watches nothing: with `node_modules/.bin` in `PATH` a shell runs it as the manager would, and nothing stands
/// between it and a signal. `None` when it counts on its manager: for variables, or to run other scripts.
fn direct(body: &str) -> Option<String> {
    const MANAGERS: &[&str] = &["npm", "yarn", "pnpm", "npx", "bunx", "run-s", "run-p", "npm-run-all"];
    let words = || body.split(|c: char| c.is_whitespace() || "&|;()".contains(c));
    let counts_on_it = body.contains("npm_") || words().any(|word| MANAGERS.contains(&word));
    let one_line = !body.contains(['\n', ';', '|']) && !body.replace("&&", "").contains('&');
    (one_line && !counts_on_it).then(|| command::unwatched(body))
}

/// The file that `node FILE`, `bun FILE` or `bun run FILE` starts, with variables in front or without, and options
/// between them.
fn entry_of(command: &str) -> Option<&str> {
    let mut words = command::words(command);
    let interpreter = words.next().filter(|word| matches!(*word, "node" | "bun"))?;
    let mut file = command::script(interpreter, &mut words)?;
    if interpreter == "bun" && file == "run" {
        file = command::script(interpreter, &mut words)?;
    }
    words.next().is_none().then_some(file)
}

/// What the start command runs on, where that is not Node.
fn runs_with(draft: &mut Draft, runner: &Runner) {
    let command = draft.plan.start_command.clone().unwrap_or_default();
    if matches!(command::program(&command), Some("bun" | "bunx")) {
        let version = bun_version(draft, runner);
        draft.recipe.run = Some((&images::BUN, version.to_owned()));
        draft.tool("bun", "Bun (npm install --global bun)");
    }
}

/// The line of Bun's images that the tree asks for.
fn bun_version(draft: &mut Draft, runner: &Runner) -> &'static str {
    let Some(Pin { wanted, by, at }) = &runner.bun else { return images::BUN.default };
    match images::BUN.choose(wanted) {
        Some(line) => {
            draft.because_of(format!("bun = {line}"), format!("{by} asks for `{wanted}`"), at.clone());
            line
        }
        None => {
            let (known, taken) = (images::BUN.versions.join(", "), images::BUN.default);
            draft.warn(format!(
                "{by} asks for bun `{wanted}`, for which there is no base image (there are {known}); {taken} is taken"
            ));
            taken
        }
    }
}

/// What builds an app that Bun runs. Bun's own image has neither npm nor what npm installs: it serves Bun as the manager,
/// and Node's the others.
pub(super) fn built_for_bun(draft: &mut Draft, manager: Manager, node: String) {
    let recipe = &mut draft.recipe;
    let run = recipe.run.as_ref().filter(|(base, _)| base.stack == images::BUN.stack);
    let Some((_, bun)) = run.filter(|_| recipe.build.is_some()) else { return };
    let bun = format!("npm install --global --force bun@{bun}");
    if manager == Manager::Bun {
        recipe.build = recipe.run.clone();
        recipe.before_install.retain(|command| !command.contains(" bun@"));
        return;
    }
    recipe.build = Some((&images::NODE, node));
    if !draft.plan.build.is_empty() {
        recipe.before_install.push(bun);
    }
}

/// Files of TypeScript that start a server where no script says how: Node runs them as they are from 22.18 on
/// (nodejs.org/api/typescript.html).
pub(super) const TYPESCRIPT: &[&str] = &[
    "server.ts",
    "index.ts",
    "app.ts",
    "main.ts",
    "src/server.ts",
    "src/index.ts",
    "src/app.ts",
    "src/main.ts",
    "api/index.ts",
];

/// `main` of the manifest, or a file with a usual name.
fn entry(tree: &Tree<'_>, draft: &mut Draft) -> bool {
    let main = tree.manifest.str(&["main"]).map(|main| main.trim_start_matches("./"));
    let candidates =
        main.iter().flat_map(|main| [(*main).to_owned(), format!("{main}.js"), format!("{main}/index.js")]);
    if let Some(file) = candidates.into_iter().find(|file| tree.files.is_file(file)) {
        draft.start(format!("node {}", quote(&file)), "`main` of package.json", Some(tree.manifest.at(&["main"])));
        listens_on(tree.files, draft, &file);
        return true;
    }
    // What a build makes is not there yet.
    if let Some(main) = main.filter(|main| !draft.plan.build.is_empty() && crate::detect::is_dir_name(main)) {
        draft.start(
            format!("node {main}"),
            "`main` of package.json, which the build makes",
            Some(tree.manifest.at(&["main"])),
        );
        return true;
    }
    if let Some(file) = ["server", "index", "app", "main"].into_iter().find(|name| {
        !draft.plan.build.is_empty()
            && tree.files.is_file(&format!("{name}.ts"))
            && tree.dependency("typescript").is_some()
    }) {
        draft.start(
            format!("node {file}.js"),
            "what the compiler makes of the usual first script",
            Some(At::file(format!("{file}.ts"))),
        );
        return true;
    }
    let named = || tree.files.first(TYPESCRIPT).filter(|_| draft.plan.build.is_empty());
    let Some(file) = tree.files.first(ENTRIES).or_else(named) else { return false };
    draft.start(format!("node {file}"), "the usual name of the first script", Some(At::file(file)));
    listens_on(tree.files, draft, file);
    if file.ends_with(".ts")
        && draft.plan.version.as_deref().and_then(|v| v.parse::<u32>().ok()).is_some_and(|v| v < 22)
    {
        draft.warn(format!(
            "Node {} cannot run {file}: add a script that builds it, or ask for Node 22 or later",
            draft.plan.version.clone().unwrap_or_default()
        ));
    }
    true
}

/// A script that listens on a fixed port and never looks at `PORT` gets that port; only a container can give it.
pub(super) fn listens_on(files: Files<'_>, draft: &mut Draft, script: &str) {
    let script = script.trim_start_matches("./");
    // What a build writes comes from the source of the same name.
    let source = || {
        let (folder, file) = script.split_once('/')?;
        let built = matches!(folder, "dist" | "build" | "out" | "lib");
        Some(format!("src/{}.ts", file.strip_suffix(".js").filter(|_| built)?))
    };
    let there = |file: &String| files.is_file(file);
    let Some(file) = Some(script.to_owned()).filter(there).or_else(|| source().filter(there)) else { return };
    let text = files.text(&file).unwrap_or_default();
    if let (Some((line, port)), Some(command)) = (listens::fixed_port(&text), draft.plan.start_command.clone()) {
        let at = At::line(file, line);
        draft.recipe.fixed_port = Some(FixedPort { port, at, instead: "process.env.PORT", command });
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_apps_own_install_is_left_out() {
        for (script, left) in [
            ("npm i && vite", "vite"),
            ("npm ci --omit=dev --no-audit && yarn && node a.js", "node a.js"),
            ("npm i -g serve && serve -s build", "npm i -g serve && serve -s build"),
            ("npm install --prefix api && node api/index.js", "npm install --prefix api && node api/index.js"),
            ("yarn install --cwd api && node a.js", "yarn install --cwd api && node a.js"),
            ("npm i tsx && tsx a.ts", "npm i tsx && tsx a.ts"),
        ] {
            assert_eq!(super::without_install(script), left);
        }
    }
}
