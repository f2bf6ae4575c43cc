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
            let the_systems = matches!(key.as_str(), "PATH" | "HOME" | "PORT") || key.starts_with("LD_");
            if told(&key) || unsaid.contains(&key) || the_systems {
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

/// What a variable may be without any doubt, and so be in an image: no secret by its name, and a value that holds none.
fn is_plain(key: &str, value: &str) -> bool {
    const NAMES: &[&str] = &["KEY", "SK", "PAT", "PW", "PWD", "PASS", "AUTH", "PIN", "SALT"];
    let upper = key.to_ascii_uppercase();
    let tools = upper == "APP_SECRET" || ["PHP", "COMPOSER_"].iter().any(|start| upper.starts_with(start));
    let secret =
        is_secret_variable(key, value) || is_secret_name(key) || upper.split('_').any(|word| NAMES.contains(&word));
    !tools && (value.is_empty() || !secret && (is_word(value) || is_harmless_address(value)))
}

/// `en_US`, `prod`, `v2`, `1.5`: short, of plain words and numbers, and with none of the starts of vendors' tokens.
fn is_word(value: &str) -> bool {
    const TOKENS: &str = "sk_ sk- pk_ rk_ ghp_ gho_ ghs_ ghu_ ghr_ github_pat glpat xox xapp sg. key- akia asia aiza eyj npm_ \
        pypi- hf_ gsk_ pplx- xai- r8_ re_ whsec dckr_ dop_ shp sq0 ntn_ nfp_ rnd_ hvs. ltai ops_";
    let lower = value.to_ascii_lowercase();
    let part = |part: &str| {
        // Digits only behind the letters, and capitals only at the start or throughout.
        let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let rest = letters.get(1..).unwrap_or_default();
        letters.chars().all(|c| c.is_ascii_alphabetic())
            && (rest.chars().all(|c| c.is_ascii_lowercase()) || letters.chars().all(|c| c.is_ascii_uppercase()))
    };
    value.len() <= 24
        && value.chars().filter(char::is_ascii_digit).count() < 5
        && value.split(['_', '.', '-']).all(part)
        && !TOKENS.split(' ').any(|start| lower.starts_with(start))
}

/// Addresses that lead to no other machine, with no option but the usual ones.
fn is_harmless_address(value: &str) -> bool {
    let (address, query) = value.split_once('?').unwrap_or((value, ""));
    let option = |option: &str| {
        let (name, value) = option.split_once('=').unwrap_or_default();
        ["auto_setup", "queue_name", "table_name", "redeliver_timeout"].contains(&name) && is_word(value)
    };
    let Some((scheme, rest)) = address.split_once("://") else { return false };
    let harmless = match scheme {
        "null" | "sync" | "in-memory" => is_word(rest),
        "doctrine" => rest == "default",
        "http" | "https" => rest.trim_end_matches('/') == "localhost",
        // `sqlite:///%kernel.project_dir%/var/data.db`
        "sqlite" => rest.starts_with('/') && rest.replace('%', "").split('/').all(is_word),
        _ => false,
    };
    harmless && (query.is_empty() || query.split('&').all(option))
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

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn only_what_is_known_to_be_harmless_is_carried_over() {
        for (key, value) in [
            ("DEFAULT_LOCALE", "en_US.UTF-8"),
            ("LOCK_DSN", "flock"),
            ("PAGES", "25"),
            ("BETA", "true"),
            ("MAILER_DSN", "null://null"),
            ("MESSENGER_TRANSPORT_DSN", "doctrine://default?auto_setup=0"),
            ("QUEUE", "in-memory://"),
            ("ASYNC", "sync://"),
            ("DATABASE_URL", "sqlite:///%kernel.project_dir%/var/data.db"),
            ("DEFAULT_URI", "http://localhost"),
            ("JWT_PASSPHRASE", ""),
        ] {
            assert!(is_plain(key, value), "{key}={value}");
        }
        for (key, value) in [
            ("STRIPE", "sk_live_abc"),
            ("GITHUB", "ghp_abc"),
            ("STRIPE_SK", "abc"),
            ("WEBHOOK", "https://hooks.example.com/services/T3/B8/k9QzXw"),
            ("TELEGRAM_DSN", "telegram://default?token=1234:AAHqRk"),
            ("DATABASE_URL", "pgsql://host/db?user=a&password=hunter"),
            ("DATABASE_URL", "sqlite:///var/data.db?key=hunter"),
            ("DB", "mysql:host=db;dbname=a;password=hunter"),
            ("STORAGE", "DefaultEndpointsProtocol=https;AccountKey=abc"),
            ("QUEUE", "null://user:hunter@host"),
            ("QUEUE", "doctrine://default?token=hunter"),
            ("MAPS", "zQkWxLmRdVtHsYp"),
            ("LOGIN", "hunter2xyz"),
            ("DIGITS", "1234567"),
            ("API_KEY", "hunter"),
            ("APP_SECRET", ""),
            ("PHP_INI_SCAN_DIR", "conf"),
            ("COMPOSER_AUTH", "abc"),
            ("REFERS", "$OTHER"),
        ] {
            assert!(!is_plain(key, value), "{key}={value}");
        }
    }
}
