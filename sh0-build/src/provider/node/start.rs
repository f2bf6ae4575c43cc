//! How a Node app is started.

use super::framework::Framework;
use super::manager::Manager;
use super::{ENTRIES, Tree};
use crate::draft::{Draft, quote};
use crate::text::{At, lines};
use crate::tree::Files;

/// Names the start command. Answers whether there is one.
pub(super) fn find(tree: &Tree<'_>, draft: &mut Draft, manager: Manager, framework: Option<&Framework>) -> bool {
    // Nest's `start` compiles and watches; `start:prod` is what ships.
    for script in ["start:prod", "start"] {
        let Some(body) = tree.script(script).filter(|_| script == "start" || framework.is_some_and(|f| f.name == "nestjs")) else {
            continue;
        };
        let at = tree.manifest.at(&["scripts", script]);
        let hooked = tree.script(&format!("pre{script}")).is_some() || tree.script(&format!("post{script}")).is_some();
        match direct(tree, body).filter(|_| !hooked) {
            Some(command) => {
                if let Some(entry) = command.strip_prefix("node ") {
                    listens_on(tree.files, draft, entry.trim());
                }
                draft.start(command, format!("the script `{script}`, without {} in between, which would swallow SIGTERM", manager.name()), Some(at));
            }
            None => draft.start(manager.run(script), format!("package.json has the script `{script}`"), Some(at)),
        }
        return true;
    }
    if framework.is_some_and(|framework| framework.name == "next") {
        draft.start("next start", "the framework's own server", tree.dependency("next"));
        return true;
    }
    entry(tree, draft)
}

/// The script's own command, where it is one program with arguments: what stands between it and a signal is left out.
fn direct(tree: &Tree<'_>, body: &str) -> Option<String> {
    let plain = !body.contains(['&', '|', ';', '<', '>', '`', '(', '\n']) && !body.contains("npm_");
    let program = body.split_whitespace().find(|word| !word.contains('='))?;
    // Other scripts of the manifest need their manager.
    let needs_manager = matches!(program, "npm" | "yarn" | "pnpm" | "npx" | "bunx" | "run-s" | "run-p" | "cd");
    let known = matches!(program, "node" | "bun" | "deno") || tree.dependency(program).is_some() || KNOWN.contains(&program);
    (plain && !needs_manager && known).then(|| body.to_owned())
}

/// Programs whose package has another name.
const KNOWN: &[&str] = &["next", "nuxt", "nest", "remix-serve", "react-router-serve", "fastify", "ts-node", "tsx", "strapi", "directus"];

/// `main` of the manifest, or a file with a usual name.
fn entry(tree: &Tree<'_>, draft: &mut Draft) -> bool {
    let main = tree.manifest.str(&["main"]).map(|main| main.trim_start_matches("./"));
    let candidates = main.into_iter().flat_map(|main| [main.to_owned(), format!("{main}.js"), format!("{main}/index.js")]);
    if let Some(file) = candidates.into_iter().find(|file| tree.files.is_file(file)) {
        draft.start(format!("node {}", quote(&file)), "`main` of package.json", Some(tree.manifest.at(&["main"])));
        listens_on(tree.files, draft, &file);
        return true;
    }
    let Some(file) = tree.files.first(ENTRIES) else { return false };
    draft.start(format!("node {file}"), "the usual name of the first script", Some(At::file(file)));
    listens_on(tree.files, draft, file);
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
    if let Some((line, port)) = fixed {
        draft.plan.port = Some(port);
        draft.because_of(format!("port = {port}"), "the script listens on this port, whatever PORT says", At::line(script, line));
        draft.warn(format!("{script}:{line} listens on a fixed port; use process.env.PORT, so that two releases can run side by side"));
    }
}
