//! What tells a secret from a placeholder, a name or a picture's file name.

use sh0_core::model::Severity;

use super::class::Class;
use super::rule::Verdict;
use super::scan::Found;

/// A token of a vendor: its format leaves no doubt, unless it is made up.
pub(crate) fn token(found: &Found<'_>) -> Option<Verdict> {
    if found.class.any(Class::SAMPLE.and(Class::VENDORED))
        || is_placeholder(found.value())
        || entropy(found.value()) < 2.5
    {
        return None;
    }
    Some(milder_outside_of_the_app(found.class))
}

/// A token whose format could also be a word: it must look random.
pub(crate) fn random_token(found: &Found<'_>) -> Option<Verdict> {
    let value = found.value();
    let mixed = value.bytes().any(|b| b.is_ascii_digit()) && value.bytes().any(|b| b.is_ascii_alphabetic());
    if mixed && entropy(value) > 3.0 { token(found) } else { None }
}

/// In tests and documents a leaked secret is as leaked, but more often no real one.
pub(crate) fn milder_outside_of_the_app(class: Class) -> Verdict {
    if class.any(Class::TEST.and(Class::DOC)) { Verdict::As(Severity::Medium) } else { Verdict::Hit }
}

/// Bits of information a character, from the frequencies in the text itself.
pub(crate) fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    text.bytes().for_each(|b| counts[usize::from(b)] += 1);
    let length = text.len().max(1) as f64;
    let share = |count: &&u32| **count > 0;
    counts.iter().filter(share).map(|count| f64::from(*count) / length).map(|p| -p * p.log2()).sum()
}

/// Words that stand where a secret will be.
const PLACEHOLDERS: &[&str] = &[
    "example",
    "changeme",
    "change_me",
    "change-me",
    "change_this",
    "changethis",
    "placeholder",
    "redacted",
    "dummy",
    "your_",
    "your-",
    "yourkey",
    "yourtoken",
    "my_secret",
    "mysecret",
    "insert",
    "replace",
    "fixme",
    "not_real",
    "not-a-secret",
    "not_a_secret",
    "notasecret",
    "notreal",
    "put_your",
    "_here",
    "-here",
    "tokenhere",
    "xxxx",
    "****",
    "####",
    "...",
    "todo:",
    "sample",
    "fake_",
    "lorem",
    "undefined",
    "null",
    "secret_key_base",
    "supersecret",
    "abcdefghij",
    "0123456789",
    "process.env",
    "os.environ",
];

pub(crate) fn is_placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| lower.contains(word)) || is_reference(value) || is_filled(value)
}

/// A variable, a template, a function: the value comes from elsewhere.
pub(crate) fn is_reference(value: &str) -> bool {
    !is_drawn_key(value) && refers(value)
}

fn refers(value: &str) -> bool {
    ["${", "{{", "$(", "<%", "%(", "#{", "%{"].iter().any(|open| value.contains(open))
        || value.starts_with(['$', '<', '{', '[', '%', '@', '*'])
        || value.starts_with("env(")
        || value.starts_with("!Ref")
        || value.starts_with("arn:")
        || value.starts_with("vault:")
        || value.starts_with("op://")
}

/// A key as Django draws one: 50 characters of `a-z0-9!@#$%^&*(-_=+)`, in which `$(` and `%(` mean nothing.
fn is_drawn_key(value: &str) -> bool {
    let key = value.strip_prefix("django-insecure-").unwrap_or(value);
    let count = |wanted: fn(u8) -> bool| key.bytes().filter(|b| wanted(*b)).count();
    let of_alphabet = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!@#$%^&*(-_=+)".contains(&b);
    key.len() == 50
        && key.bytes().all(of_alphabet)
        && count(|b| b.is_ascii_digit()) >= 2
        && count(|b| b.is_ascii_punctuation()) >= 4
        && entropy(key) > 4.0
}

/// One character again and again, for a good part of the text.
fn is_filled(text: &str) -> bool {
    let (mut longest, mut run, mut last) = (0, 0, 0u8);
    for b in text.bytes() {
        run = if b == last { run + 1 } else { 1 };
        last = b;
        longest = longest.max(run);
    }
    longest >= 6 && longest * 3 >= text.len()
}

const NAMES_OF_LOGINS: &[&str] = &[
    "access",
    "api",
    "auth",
    "bearer",
    "client",
    "id",
    "key",
    "my",
    "name",
    "passsword",
    "password",
    "passwd",
    "secret",
    "the",
    "token",
    "user",
    "username",
    "your",
];

/// Passwords that everybody writes while developing: not worth a finding outside of production settings.
pub(crate) fn is_everyday_password(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let bare = lower.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    // `access_token`, `api_user`: the name of what is to be written there.
    let mut words = bare.split(|c: char| !c.is_ascii_alphanumeric());
    if words.all(|word| NAMES_OF_LOGINS.contains(&word)) {
        return true;
    }
    matches!(
        bare,
        "" | "password"
            | "passwd"
            | "pass"
            | "pwd"
            | "secret"
            | "test"
            | "testing"
            | "root"
            | "admin"
            | "user"
            | "username"
            | "postgres"
            | "mysql"
            | "mariadb"
            | "mongo"
            | "mongodb"
            | "redis"
            | "rabbitmq"
            | "guest"
            | "token"
            | "apikey"
            | "api_key"
            | "key"
            | "dev"
            | "development"
            | "local"
            | "app"
            | "db"
            | "database"
            | "changeit"
            | "default"
            | "none"
            | "xxx"
            | "yyy"
            | "foo"
            | "bar"
            | "baz"
            | "qwerty"
            | "letmein"
            | "hello"
            | "string"
            | "true"
            | "false"
            | "sa"
            | "minio"
            | "minioadmin"
            | "passw0rd"
            | "login"
    )
}

/// A key that names something secret: `DB_PASSWORD`, `stripeSecretKey`, `AUTH_TOKEN`.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let lower = snake(name);
    let secret = [
        "secret",
        "password",
        "passwd",
        "passphrase",
        "token",
        "api_key",
        "apikey",
        "private_key",
        "privatekey",
        "access_key",
        "accesskey",
        "auth_key",
        "encryption_key",
        "signing_key",
        "credential",
        "master_key",
        "app_key",
        "secretkey",
        "service_role",
        "_pass",
        "_pwd",
        "_salt",
        "dsn_key",
        "license_key",
    ];
    (secret.iter().any(|word| lower.contains(word)) || lower == "pass") && !names_no_secret(&lower)
}

/// Whether a variable has a secret as its value; `SECRET_KEY_BASE=dummy`, which lets assets be built, is none.
pub(crate) fn is_written_secret(name: &str, value: &str) -> bool {
    let stands_in = is_placeholder(value) || is_everyday_password(value) || value.starts_with("build");
    is_secret_name(name) && !stands_in && !value.starts_with('/') && value.len() >= 4
}

/// The same, or an address with a password.
pub(crate) fn is_secret_variable(name: &str, value: &str) -> bool {
    let server = value.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let password = server.rsplit_once('@').and_then(|(login, _)| login.split_once(':')).map_or("", |(_, word)| word);
    is_written_secret(name, value) || !is_placeholder(password) && !is_everyday_password(password)
}

/// `apiKey`, `api-key` and `API_KEY` as `api_key`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut small = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && small {
            snake.push('_');
        }
        small = c.is_ascii_lowercase() || c.is_ascii_digit();
        snake.push(if matches!(c, '-' | '.') { '_' } else { c.to_ascii_lowercase() });
    }
    snake
}

/// A key that holds a secret's name, place or shape, and never the secret.
fn names_no_secret(lower: &str) -> bool {
    let ends = [
        "_file",
        "_path",
        "_dir",
        "_name",
        "_id",
        "_url",
        "_uri",
        "_endpoint",
        "_host",
        "_type",
        "_length",
        "_size",
        "_expiry",
        "_expires",
        "_expires_in",
        "_expiration",
        "_ttl",
        "_lifetime",
        "_header",
        "_field",
        "_param",
        "_prefix",
        "_regex",
        "_pattern",
        "_arn",
        "_ref",
        "_version",
        "_enabled",
        "_required",
        "_min",
        "_max",
        "_label",
        "_hint",
        "_placeholder",
        "_policy",
        "_algorithm",
        "_issuer",
        "_audience",
        "_rounds",
        "_count",
        "_limit",
        "_timeout",
        "_provider",
        "_method",
        "_mode",
        "_env",
        "_var",
        "_format",
        "_location",
        "_store",
        "_manager",
        "_reset",
        "_confirmation",
        "_attribute",
        "_cookie",
        "_alias",
        "_strategy",
        "_class",
        "_key_name",
        "_message",
        "_error",
        "_title",
        "_text",
        "_input",
        "_days",
        "_minutes",
        "_seconds",
        "_hours",
        "_encrypted",
        "_digest",
        "_cost",
    ];
    ends.iter().any(|end| lower.ends_with(end))
        || [
            "public",
            "csrf",
            "publishable",
            "anon_key",
            "tokeniz",
            "token_type",
            "keycloak",
            "keyword",
            "authenticity",
            "max_token",
            "maxtoken",
            "tokens",
            "next_page",
            "nexttoken",
            "pagetoken",
            "continuation",
            "test_token",
            "cancellation",
            "accessor",
            "allow_empty",
            "random_root",
        ]
        .iter()
        .any(|word| lower.contains(word))
}

/// What may be shown of a secret.
pub(crate) fn masked(value: &str) -> String {
    let shown: String = value.chars().take(4).collect();
    format!("{shown}... ({} characters)", value.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_placeholders() {
        for name in ["DB_PASSWORD", "stripeSecretKey", "AUTH_TOKEN", "app.api-key", "PASS"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "DB_PASSWORD_FILE",
            "PUBLIC_KEY",
            "KEYCLOAK_URL",
            "tokenType",
            "csrf_token",
            "PORT",
            "max_tokens",
            "SECRET_NAME",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
        let key = "k5(3^t%(w!x&8e$(q2z-n_0p+d7u=c9r#y*a@1m4jh6gb)fisl";
        assert!(!is_reference(key) && !is_reference(&format!("django-insecure-{key}")));
        assert!(is_reference("%(secret_key)s") && is_reference("$(cat /run/secrets/key)"));
        assert!(is_everyday_password("access_token") && !is_everyday_password("access_token_7f3a"));
        for value in ["${DB_PASSWORD}", "your_token", "xxxxxxxx", "aaaaaaaaaa", "<token>", "EXAMPLEKEY"] {
            assert!(is_placeholder(value), "{value}");
        }
        for (name, value) in [("STRIPE_SECRET_KEY", "sk_live_4eC39Hq"), ("DATABASE_URL", "postgres://me:hunter22@db/x")]
        {
            assert!(is_secret_variable(name, value), "{name}");
        }
        for (name, value) in [
            ("SECRET_KEY_BASE", "dummy"),
            ("SECRET_KEY_BASE_DUMMY", "1"),
            ("SECRET_FILE", "/run/secrets/a"),
            ("DATABASE_URL", "postgres://postgres:postgres@db/x"),
            ("API_URL", "https://api.acme.com/a:b@c"),
            ("NODE_ENV", "production"),
        ] {
            assert!(!is_secret_variable(name, value), "{name}");
        }
        assert!(!is_placeholder("hunter22") && entropy("aaaa") == 0.0 && entropy("abcd") == 2.0);
        assert_eq!(masked("ghp_abcdef"), "ghp_... (10 characters)");
    }
}
