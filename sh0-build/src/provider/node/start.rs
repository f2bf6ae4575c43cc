//! How a Node app is started.

use super::frameworks::Framework;
use super::manager::{Manager, Runner};
use super::{ENTRIES, Tree};
use crate::draft::{Draft, FixedPort, quote};
use crate::images;
use crate::text::{At, lines};
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
        let before = tree.script(&format!("pre{script}"));
        // Yarn's Plug'n'Play resolves packages only for what yarn itself starts.
        let direct = |body: &str| direct(body).filter(|_| !runner.plug_and_play);
        match direct(body).filter(|_| before.is_none_or(|before| direct(before).is_some())) {
            Some(command) => {
                let command = before.map(|before| format!("{before} && {command}")).unwrap_or(command);
                let why = format!(
                    "the script `{script}`, without {} in between, which would swallow SIGTERM",
                    manager.name()
                );
                draft.start(command, why, Some(at));
                if let Some(entry) = body.strip_prefix("node ") {
                    listens_on(tree.files, draft, entry.trim());
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
        return true;
    }
    let Some(file) = tree.files.first(&["index.ts", "src/index.ts", "server.ts", "index.tsx", "index.js"]) else {
        return false;
    };
    draft.start(format!("bun {file}"), "the usual name of the first script", Some(At::file(file)));
    true
}

/// The script's own command: with `node_modules/.bin` in `PATH` a shell runs it as the manager would, and nothing stands
/// between it and a signal. `None` when it counts on its manager: for variables, or to run other scripts.
fn direct(body: &str) -> Option<String> {
    const MANAGERS: &[&str] = &["npm", "yarn", "pnpm", "npx", "bunx", "run-s", "run-p", "npm-run-all"];
    let words = || body.split(|c: char| c.is_whitespace() || "&|;()".contains(c));
    let counts_on_it = body.contains("npm_") || words().any(|word| MANAGERS.contains(&word));
    let one_line = !body.contains(['\n', ';', '|']) && !body.replace("&&", "").contains('&');
    (one_line && !counts_on_it).then(|| body.to_owned())
}

/// What the start command needs in the image that ships, beyond Node and npm.
fn runs_with(draft: &mut Draft, runner: &Runner) {
    let command = draft.plan.start_command.clone().unwrap_or_default();
    let program = command.split_whitespace().find(|word| !word.contains('=')).unwrap_or_default();
    match program {
        // Bun's own image both builds and ships.
        "bun" | "bunx" => {
            let bun = (&images::BUN, images::BUN.default.to_owned());
            draft.recipe.build = draft.recipe.build.take().map(|_| bun.clone());
            draft.recipe.run = Some(bun);
            on_bun(draft);
            draft.tool("bun", "Bun (npm install --global bun)");
        }
        "pnpm" | "yarn" => {
            let package = runner.package.iter();
            draft.recipe.before_ship.extend(package.map(|package| format!("npm install --global --force {package}")));
        }
        _ => {}
    }
}

/// Bun's image has Bun, and no npm to install it with.
pub(super) fn on_bun(draft: &mut Draft) {
    if draft.recipe.run.as_ref().is_some_and(|(base, _)| base.stack == images::BUN.stack) {
        draft.recipe.before_install.retain(|command| !command.contains(" bun@"));
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
    let Some(text) = files.text(script.trim_start_matches("./")) else { return };
    if text.contains("env.PORT") || text.contains("env['PORT']") || text.contains("env[\"PORT\"]") {
        return;
    }
    let number = |text: &str| {
        let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok().filter(|port| *port > 0)
    };
    // `const port = 3000`, for `.listen(port)`.
    let constant = |name: &str| {
        lines(&text).find_map(|(line, text)| {
            let (before, after) = text.split_once('=')?;
            (before.split_whitespace().last() == Some(name)).then(|| number(after)).flatten().map(|port| (line, port))
        })
    };
    let fixed = lines(&text).find_map(|(line, text)| {
        let (_, argument) = text.split_once(".listen(")?;
        let name = argument.split([',', ')', ' ']).next().unwrap_or_default();
        number(argument).map(|port| (line, port)).or_else(|| constant(name))
    });
    if let (Some((line, port)), Some(command)) = (fixed, draft.plan.start_command.clone()) {
        let at = At::line(script, line);
        draft.recipe.fixed_port = Some(FixedPort { port, at, instead: "process.env.PORT", command });
    }
}
