//! What the rules of keys, tokens and passwords make of a text that looks like one, and where in the tree they look.

use sh0_core::model::Severity;

use super::class::Class;
use super::context::Context;
use super::env::EnvFile;
use super::facts::ELSEWHERE;
use super::judge::{
    entropy, is_everyday_password, is_placeholder, is_reference, is_secret_name, is_written_secret, masked,
    milder_outside_of_the_app,
};
use super::rule::{Hits, Verdict};
use super::scan::Found;

pub(super) fn private_key(found: &Found<'_>) -> Option<Verdict> {
    // A header alone, or one in a sentence, is no key; a body of a few letters is none either.
    let in_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let after = found.after(400);
    // A key's own text has no `;`: there the statement with a header ends.
    let after = after.split(['-', ';']).next().unwrap_or_default();
    let body: String = after.chars().filter(|c| in_base64(*c)).collect();
    // Names and words of code, behind a header that ends its text, are short.
    let longest = after.split(|c| !in_base64(c)).map(str::len).max().unwrap_or_default();
    if body.len() < 40 || longest < 24 || is_placeholder(&body[..40.min(body.len())]) || found.class.any(Class::SAMPLE)
    {
        return None;
    }
    Some(milder_outside_of_the_app(found.class))
}

pub(super) fn url_credentials(found: &Found<'_>) -> Option<Verdict> {
    let (user, password, host) = (found.group(1), found.group(2), found.group(3));
    if found.class.any(ELSEWHERE.and(Class::PROSE)) || super::env::is_env_file(found.path) {
        return None;
    }
    let near = !host.contains('.')
        || host.starts_with("127.")
        || host.starts_with("0.0.0.0")
        || host.starts_with("192.168.")
        || host.starts_with("10.")
        || host.ends_with(".local")
        || host.ends_with(".internal")
        || host.contains("example.");
    let made_up = is_everyday_password(password)
        || is_placeholder(password)
        || is_placeholder(user)
        || is_reference(password)
        || password == user;
    (!near && !made_up).then_some(Verdict::Hit)
}

pub(super) fn curl_user(found: &Found<'_>) -> Option<Verdict> {
    let before = found.before(600);
    let continued =
        before.lines().rev().take_while(|line| line.trim_end().ends_with('\\')).any(|line| line.contains("curl"));
    let elsewhere = Class::SAMPLE.and(Class::VENDORED).and(Class::PROSE);
    if !(found.line_before().contains("curl") || continued) || found.class.any(elsewhere) {
        return None;
    }
    let plain: String = found.value().chars().filter(|c| !"'\"\\".contains(*c)).collect();
    // An option that its value is missing for takes the address.
    let (user, password) = plain.split_once(':').filter(|(_, rest)| !rest.starts_with("//"))?;
    let secret = if password.is_empty() { user } else { password };
    let shape = |text: &str| text.trim_start_matches(['{', '[', '(']).to_owned();
    let unknown = secret.len() < 4
        || secret.starts_with(['$', '<', '[', '*'])
        || secret.contains("${")
        || secret.contains("{{")
        || is_everyday_password(&shape(secret))
        || is_placeholder(&shape(secret));
    (!unknown).then(|| milder_outside_of_the_app(found.class))
}

pub(super) fn name_is(found: &Found<'_>, names: &[&str]) -> Option<()> {
    let name = found.path.rsplit('/').next().unwrap_or(found.path);
    names.contains(&name.to_ascii_lowercase().as_str()).then_some(())
}

pub(super) fn written_down(found: &Found<'_>) -> Option<Verdict> {
    let value = found.value();
    (!is_reference(value) && !is_placeholder(value)).then(|| milder_outside_of_the_app(found.class))
}

pub(super) fn master_key(cx: &Context<'_>, hits: &mut Hits) {
    let keys = |path: &&String| path.ends_with("master.key") || path.ends_with("config/credentials/production.key");
    for path in cx.paths.iter().filter(keys).filter(|path| !Class::of(path).any(ELSEWHERE) && !cx.untracked(path)) {
        let text = cx.text(path).unwrap_or_default();
        let key = text.trim();
        if key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()) {
            hits.at(path, 1, format!("Rails' master key {}", masked(key)));
            hits.severity(Severity::Critical);
        }
    }
}

pub(super) fn framework_key(found: &Found<'_>) -> Option<Verdict> {
    let value = found.value();
    if found.class.any(ELSEWHERE) || is_reference(value) || super::env::is_env_file(found.path) {
        return None;
    }
    let settings_of_tests = ["test", "ci", "local", "dev"].iter().any(|kind| {
        let name = found.path.rsplit('/').next().unwrap_or(found.path);
        name.starts_with(kind) || name.contains(&format!("_{kind}.")) || name.contains(&format!(".{kind}."))
    });
    // A default behind a variable is for development: `os.environ.get(..., "x")` does not match, `or "x"` does.
    (!settings_of_tests).then_some(Verdict::Hit)
}

pub(super) fn hardcoded(found: &Found<'_>, name: &str, value: &str) -> Option<Verdict> {
    let name = name.trim_start_matches(['-', '.']);
    let elsewhere = ELSEWHERE.and(Class::PROSE).and(Class::MARKUP);
    if found.class.any(elsewhere) || !is_secret_name(name) && !name.to_ascii_lowercase().ends_with("user_auth") {
        return None;
    }
    // Generators of Rails write settings as comments, to be taken out of them: none is in use.
    if found.path.contains("config/initializers/") && found.in_comment() {
        return None;
    }
    // Browsers get the key of a Firebase app and the one that searches an index of Algolia, beside what it is for.
    let beside = found.after(200);
    if name.eq_ignore_ascii_case("apiKey") && ["authDomain", "indexName"].iter().any(|for_all| beside.contains(for_all))
    {
        return None;
    }
    // Identifiers of products (the AAGUID of an authenticator) bear the names of password managers.
    if is_uuid(value) && is_password_name(name) {
        return None;
    }
    let file = found.path.rsplit('/').next().unwrap_or(found.path);
    if ["dev.", "test.", "development.", "local."].iter().any(|kind| file.starts_with(kind)) {
        return None;
    }
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let random = digits >= 2 && letters >= 3 && entropy(value) >= 3.0;
    let word_like =
        value.contains("://") || value.starts_with('/') || value.starts_with("./") || looks_like_code(value);
    (random && !word_like && !is_placeholder(value) && !is_everyday_password(value)).then_some(Verdict::Hit)
}

/// `process.env.X`, `config.get('x')`, `some-kebab-name-2`, `a.b.c1`, a host name, a file name.
fn looks_like_code(value: &str) -> bool {
    let parts: Vec<&str> = value.split(['-', '_', '.', '/', ':', '@']).filter(|part| !part.is_empty()).collect();
    let words = parts.iter().filter(|part| {
        part.bytes().all(|b| b.is_ascii_alphabetic()) || part.bytes().all(|b| b.is_ascii_digit()) || part.len() <= 3
    });
    value.contains('(') || value.contains('[') || !is_uuid(value) && parts.len() >= 2 && words.count() * 2 > parts.len()
}

fn is_uuid(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    value.len() == 36 && parts.len() == 5 && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `OnePassword`, `db_passwords`: all that is secret in the name is a word for a password.
fn is_password_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["password", "passwords", "passwd"].iter().any(|word| lower.ends_with(word))
        && !["secret", "token", "key"].iter().any(|word| lower.contains(word))
}

pub(super) fn jwt(found: &Found<'_>) -> Option<Verdict> {
    let value = found.value();
    // The token on jwt.io; Supabase's anonymous role, which browsers get.
    let public = value.ends_with("SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c")
        || value.ends_with("TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ")
        || ["cm9sZSI6ImFub24i", "InJvbGUiOiJhbm9uI", "yb2xlIjoiYW5vbi"].iter().any(|anon| value.contains(anon));
    let elsewhere = found.class.any(Class::SAMPLE.and(Class::VENDORED));
    (!public && !elsewhere && !is_placeholder(&value[..60.min(value.len())]))
        .then(|| milder_outside_of_the_app(found.class))
}

pub(super) fn env_committed(cx: &Context<'_>, hits: &mut Hits) {
    for path in cx.paths.iter().filter(|path| super::env::is_env_file(path)) {
        if Class::of(path).any(Class::SAMPLE.and(Class::TEST)) || cx.untracked(path) {
            continue;
        }
        let Some(text) = cx.text(path) else { continue };
        let secret = EnvFile::parse(&text).values.into_iter().find(|value| {
            is_secret_name(&value.key)
                && value.text.len() >= 6
                && !is_reference(&value.text)
                && !is_placeholder(&value.text)
                && !is_everyday_password(&value.text)
        });
        let Some(secret) = secret else { continue };
        hits.at(path, secret.line, format!("{} is set to {}", secret.key, masked(&secret.text)));
        let lower = path.to_ascii_lowercase();
        if ["test", "local", "dev", "ci"]
            .iter()
            .any(|kind| lower.ends_with(kind) || lower.contains(&format!(".{kind}")))
        {
            hits.severity(Severity::Low);
        }
    }
}

pub(super) fn secret_in_image(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for instruction in file.instructions.iter().filter(|i| matches!(i.word.as_str(), "ARG" | "ENV")) {
            for (key, value) in instruction.pairs() {
                let value = value.unwrap_or_default();
                // `ENV TOKEN=$TOKEN` writes the argument of the build into the image.
                let handed_on = instruction.word == "ENV" && value.starts_with('$') && is_secret_name(&key);
                if handed_on || is_written_secret(&key, &value) {
                    hits.at(path, instruction.line, format!("{} {key} has a value", instruction.word));
                }
            }
        }
    }
}
