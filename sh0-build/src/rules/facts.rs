//! What the text of the app says that checks of the whole tree put together.

use sh0_core::model::Severity;

use super::class::Class;
use super::rule::{Pattern, Verdict};
use super::scan::Found;

/// Something that is noted wherever it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A variable is read; [`Verdict::Hit`] when the program cannot do without it.
    EnvRead,
    /// A variable is read with a value beside it for when it is not set.
    EnvDefault,
    /// A port number that a server listens on.
    Listens,
    /// `PORT` is read.
    ReadsPort,
}

/// Every fact and how it looks.
pub(crate) static FACTS: &[(Fact, Pattern)] = &[
    (
        Fact::EnvRead,
        Pattern {
            what: "",
            keywords: &["process.env", "import.meta.env"],
            regex: r#"(?:process\.env|import\.meta\.env)(?:\.|\[['"])([A-Z][A-Z0-9_]{2,60})\b(?:['"]\])?(!)?"#,
            judge: needed_when_group_2,
        },
    ),
    (
        Fact::EnvRead,
        Pattern {
            what: "",
            keywords: &["os.environ["],
            regex: r#"os\.environ\[['"]([A-Z][A-Z0-9_]{2,60})['"]\](\s*=[^=])?"#,
            judge: |found| (in_the_app(found) && found.group(2).is_empty()).then_some(Verdict::Hit),
        },
    ),
    (
        Fact::EnvRead,
        Pattern {
            what: "",
            keywords: &["os.environ.get", "os.getenv", "env(", "getenv("],
            regex: r#"(?i-u:(?:os\.environ\.get|os\.getenv|\benv|\bgetenv))\(\s*['"]([A-Z][A-Z0-9_]{2,60})['"]"#,
            judge: optional,
        },
    ),
    (
        Fact::EnvRead,
        Pattern {
            what: "",
            keywords: &["env.fetch", "env["],
            regex: r#"\bENV(?:\.fetch\(|\[)['"]([A-Z][A-Z0-9_]{2,60})['"](?:(\))\s*(?:[;,)\]]|$)|\])?"#,
            judge: needed_when_group_2,
        },
    ),
    (
        Fact::EnvRead,
        Pattern {
            what: "",
            keywords: &["env::var"],
            regex: r#"env::var\("([A-Z][A-Z0-9_]{2,60})"\)(\s*\.(?:unwrap|expect)\(|\?)?"#,
            judge: needed_when_group_2,
        },
    ),
    (
        Fact::EnvRead,
        Pattern {
            what: "",
            keywords: &["os.getenv", "os.lookupenv", "system.getenv", "system.get_env", "getenvironmentvariable"],
            regex: r#"(?:os\.(?:Getenv|LookupEnv)|System\.getenv|System\.get_env|GetEnvironmentVariable)\("([A-Z][A-Z0-9_]{2,60})""#,
            judge: optional,
        },
    ),
    (
        Fact::EnvDefault,
        Pattern {
            what: "",
            keywords: &["process.env", "import.meta.env"],
            regex: r#"(?:process\.env|import\.meta\.env)(?:\.|\[['"])([A-Z][A-Z0-9_]{2,60})\b(?:['"]\])?\s*(?:\|\||\?\?)"#,
            judge: optional,
        },
    ),
    (
        Fact::EnvDefault,
        Pattern {
            what: "",
            keywords: &["environ.get", "env(", "env.fetch"],
            regex: r#"(?i-u:environ\.get|\bgetenv|\benv|\benv\.fetch)\(\s*['"]([A-Z][A-Z0-9_]{2,60})['"]\s*(?:,|\)\s*(?:\{|do\b|\?:))"#,
            judge: optional,
        },
    ),
    (
        Fact::EnvDefault,
        Pattern {
            what: "",
            keywords: &["env::var"],
            regex: r#"env::var\("([A-Z][A-Z0-9_]{2,60})"\)\s*\.unwrap_or"#,
            judge: optional,
        },
    ),
    (
        Fact::Listens,
        Pattern {
            what: "",
            keywords: &["listen(", "app.run(", "uvicorn.run(", "listenandserve(", "port:", "port =", "set :port"],
            regex: r#"(?:\.listen\(\s*(\d{2,5})\b|(?:app|uvicorn)\.run\([^)]*\bport\s*=\s*(\d{2,5})|ListenAndServe\(\s*"[^":]*:(\d{2,5})"|^\s*set :port,\s*(\d{2,5})|^\s*(?:const|let|var)\s+(?:PORT|port)\s*=\s*(\d{2,5})\s*;?\s*$)"#,
            judge: |found| {
                (!found.class.any(ELSEWHERE.and(Class::TOOLING)) && found.class.any(Class::CODE))
                    .then_some(Verdict::Hit)
            },
        },
    ),
    (
        Fact::ReadsPort,
        Pattern {
            what: "",
            keywords: &["port"],
            regex: r#"(?:env(?:iron)?(?:\.get)?[\[(.]\s*['"]?|getenv\(\s*['"]|env::var\("|\$\{?|fetch\(['"])((?:SERVER_|HTTP_)?PORT)\b"#,
            judge: |found| (!found.class.any(ELSEWHERE)).then_some(Verdict::Hit),
        },
    ),
];

/// Not the app itself.
pub(crate) const ELSEWHERE: Class =
    Class::TEST.and(Class::DOC).and(Class::SAMPLE).and(Class::LOCK).and(Class::VENDORED);

/// Of the app itself, and not commented out.
fn in_the_app(found: &Found<'_>) -> bool {
    !found.class.any(ELSEWHERE) && !found.in_comment()
}

fn needed_when_group_2(found: &Found<'_>) -> Option<Verdict> {
    if !in_the_app(found) {
        return None;
    }
    Some(if found.group(2).is_empty() { Verdict::As(Severity::Info) } else { Verdict::Hit })
}

fn optional(found: &Found<'_>) -> Option<Verdict> {
    in_the_app(found).then_some(Verdict::As(Severity::Info))
}
