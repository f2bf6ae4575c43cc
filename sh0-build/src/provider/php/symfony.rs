//! What Symfony reads and makes beside its code: the defaults of its variables in `.env`, and its assets.

use super::Tree;
use crate::draft::Draft;
use crate::rules::{EnvFile, is_secret_name, is_secret_variable};
use crate::text::At;

/// Packages that read `.env`, and throw when it is missing (`Dotenv::bootEnv`, symfony.com/doc/current/configuration.html).
const READERS: &[&str] = &["symfony/runtime", "symfony/dotenv"];

/// Commands of bundles that make what the asset mapper gathers.
const MAKERS: &[(&str, &str)] = &[
    ("symfonycasts/sass-bundle", "php bin/console sass:build"),
    ("symfonycasts/tailwind-bundle", "php bin/console tailwind:build --minify"),
];

/// An empty `.env` in place of the tree's, which never enters an image, and its defaults as variables of the plan, but for
/// what is secret: that is named.
pub(super) fn settings(tree: &Tree<'_>, draft: &mut Draft) {
    draft.env("APP_ENV", "prod");
    draft.env("APP_DEBUG", "0");
    let reader = READERS.iter().find_map(|package| Some((package, tree.required(package)?)));
    let Some((package, at)) = reader.filter(|_| !draft.plan.install.is_empty()) else { return };
    let command = "touch .env";
    draft.because_of(
        format!("build = {command}"),
        format!("{package} fails without the file; none enters an image"),
        at,
    );
    draft.plan.build.push(command.into());

    let mut files = vec![".env.prod"];
    files.extend(tree.files.first(&[".env", ".env.dist"]));
    let mut unsaid: Vec<String> = Vec::new();
    for file in files {
        let Some(text) = tree.files.text(file) else { continue };
        let mut said = Vec::new();
        for variable in EnvFile::parse(&text).values.into_iter().take(200) {
            let (key, value) = (variable.key, variable.text);
            let told = |key: &String| draft.plan.env.keys().any(|known| known.as_str() == key);
            if told(&key) || unsaid.contains(&key) || key == "PORT" {
                continue;
            }
            if is_plain(&key, &value) {
                draft.env(&key, &value);
                // Without a value it is only known by name, and somebody has to give it one.
                if value.is_empty() && is_secret_name(&key) {
                    unsaid.push(key.clone());
                }
                said.push(key);
            } else {
                unsaid.push(key);
            }
        }
        if !said.is_empty() {
            draft.because_of(
                format!("env += {}", said.join(", ")),
                "its defaults, as no image has the file",
                At::file(file),
            );
        }
    }
    if !unsaid.is_empty() {
        let more = unsaid.len().saturating_sub(20);
        unsaid.truncate(20);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        draft.warn(format!(
            "no image has the tree's .env: set what it says of {}{more} with `sh0 env set`, before the build, which may need it too",
            unsaid.join(", ")
        ));
    }
}

/// A value that may be in an image: no secret, no login, and nothing that refers to other variables.
fn is_plain(key: &str, value: &str) -> bool {
    let server = value.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let refers = value.contains(['$', '`', '\\']) || value.contains(char::is_control);
    let secret = is_secret_variable(key, value) || is_secret_name(key) && !value.is_empty();
    !secret && !server.contains('@') && !refers && value.len() <= 1_000
}

/// The asset mapper serves what was compiled, and nothing else, in production (symfony.com/doc/current/frontend/asset_mapper.html).
pub(super) fn assets(tree: &Tree<'_>, draft: &mut Draft) {
    let Some(at) = tree.required("symfony/asset-mapper") else { return };
    if !tree.files.is_file("importmap.php") || !tree.files.is_file("bin/console") || draft.plan.install.is_empty() {
        return;
    }
    let scripts = tree.manifest.as_ref().and_then(|manifest| manifest.get(&["scripts"])).map(ToString::to_string);
    let runs = |command: &str| {
        let name = command.split(' ').nth(2).unwrap_or_default();
        scripts.as_ref().is_some_and(|scripts| scripts.contains(name))
    };
    for (package, command) in MAKERS {
        if let Some(at) = tree.required(package).filter(|_| !runs(command)) {
            draft.because_of(format!("build += {command}"), format!("{package} makes the styles"), at);
            draft.plan.build.push((*command).into());
        }
    }
    let command = "php bin/console asset-map:compile";
    if !runs(command) {
        draft.because_of(format!("build += {command}"), "no asset is found in production before this", at);
        draft.plan.build.push(command.into());
    }
}
