//! What a start command comes to, through folders and scripts of package.json.

use super::context::Context;
use crate::command;
use crate::text::Json;

/// Scripts may call each other in circles: no more commands than these are followed.
const MOST: usize = 64;

/// A command that is run, and the script that it stands in: file and line.
pub(super) struct Reached {
    pub(super) command: String,
    pub(super) script: Option<(String, Option<u32>)>,
}

/// The parts of a command, one after the other, and those of every script that they run: `cd app && npm start` has
/// `npm start`, and what `start` of `app/package.json` says.
pub(super) fn reached(cx: &Context<'_>, command: &str) -> Vec<Reached> {
    let mut found = Vec::new();
    follow(cx, command, "", None, &mut found);
    found
}

fn follow(
    cx: &Context<'_>,
    command: &str,
    folder: &str,
    script: Option<(String, Option<u32>)>,
    found: &mut Vec<Reached>,
) {
    let mut folder = folder.to_owned();
    for part in command.split(['&', ';', '\n']).map(str::trim).filter(|part| !part.is_empty()) {
        let mut words = command::words(part).skip_while(|word| *word == "exec").peekable();
        let (program, next) = (words.next().unwrap_or_default(), words.next());
        if let ("cd", Some(to)) = (program, next) {
            folder = inside(&folder, to);
            continue;
        }
        if found.len() >= MOST {
            return;
        }
        found.push(Reached { command: part.to_owned(), script: script.clone() });
        let name = match (program, next) {
            ("npm" | "pnpm" | "yarn" | "bun", Some("run" | "run-script")) => words.find(|word| !word.starts_with('-')),
            ("npm" | "pnpm" | "yarn", Some(name)) => Some(name),
            _ => None,
        };
        let path = inside(&folder, "package.json");
        let json = name.and_then(|_| Json::read(cx.files, &path)?.ok());
        if let (Some(name), Some(json)) = (name, json)
            && let Some(body) = json.str(&["scripts", name])
        {
            let at = Some((path, json.at(&["scripts", name]).line));
            follow(cx, body, &folder, at, found);
        }
    }
}

fn inside(folder: &str, path: &str) -> String {
    let path = path.trim_start_matches("./").trim_matches(['/', '"', '\'']);
    match (folder, path) {
        (folder, "" | ".") => folder.to_owned(),
        ("", path) => path.to_owned(),
        (folder, path) => format!("{folder}/{path}"),
    }
}
