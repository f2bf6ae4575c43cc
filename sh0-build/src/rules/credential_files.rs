//! Files where programs keep passwords, and how the passwords look in them.

use sh0_core::model::Severity;

use super::class::Class;
use super::context::Context;
use super::judge::{is_placeholder, is_reference, masked, milder_outside_of_the_app};
use super::rule::{Hits, Pattern, Verdict};
use super::scan::Found;

pub(super) static PATTERNS: &[Pattern] = &[
    Pattern {
        what: "the hash of a password",
        keywords: &["$1$", "$5$", "$6$", "$y$", "$apr1$", "$2a$", "$2b$", "$2y$"],
        regex: r"(\$(?:1|5|6|y|apr1)\$[A-Za-z0-9./]{1,22}\$[A-Za-z0-9./]{20,}|\$2[aby]\$\d\d\$[A-Za-z0-9./]{53})",
        judge: |found| {
            let data = !found.class.any(
                Class::CODE.and(Class::DOC).and(Class::SAMPLE).and(Class::VENDORED).and(Class::TEST).and(Class::MARKUP),
            );
            // What fills a database is seldom for the one that is served.
            let filling = found.path.ends_with(".sql")
                || found.path.split('/').any(|part| matches!(part, "seed" | "seeds" | "demo" | "migrations"));
            data.then_some(if filling { Verdict::As(Severity::Medium) } else { Verdict::Hit })
        },
    },
    Pattern {
        what: "a login of .netrc",
        keywords: &["password"],
        regex: r"(?:^|\s)machine\s+\S+\s+login\s+\S+\s+password\s+(\S{3,})",
        judge: written,
    },
    Pattern {
        what: "git credentials",
        keywords: &["://"],
        regex: r"^https?://[^:@\s]+(?:@[^:\s]+)?:(\S{3,})@",
        judge: |found| if named(found, &[".git-credentials"]) { written(found) } else { None },
    },
    Pattern {
        what: "a registry login of Docker",
        keywords: &["\"auth\"", "identitytoken"],
        regex: r#""(?:auth|identitytoken)"\s*:\s*"([A-Za-z0-9+/=._-]{12,})""#,
        judge: |found| {
            let docker = found.path.contains(".docker/") || named(found, &[".dockercfg", ".dockerconfigjson"]);
            if docker { written(found) } else { None }
        },
    },
    Pattern {
        what: "a password of FileZilla",
        keywords: &["<pass"],
        regex: r"<Pass(?:\s[^>]*)?>([^<]{3,})</Pass>",
        judge: |found| if found.file_has("FileZilla") { Some(milder_outside_of_the_app(found.class)) } else { None },
    },
    Pattern {
        what: "a saved login of a browser",
        keywords: &["encryptedusername", "encryptedpassword"],
        regex: r#""encrypted(?:Username|Password)"\s*:\s*"([^"]{20,})""#,
        judge: |found| if named(found, &["logins.json"]) { written(found) } else { None },
    },
    Pattern {
        what: "a password of a deployment tool",
        keywords: &["pass"],
        regex: r#""(?:password|pass|passphrase|userPassword|sshPassphrase|sshUserPassword)"\s*:\s*"([^"]{3,})""#,
        judge: |found| {
            let tools = [
                "sftp.json",
                "sftp-config.json",
                ".ftpconfig",
                ".remote-sync.json",
                "deployment-config.json",
                "robomongo.json",
                "ftp-sync.json",
                ".sftp.json",
            ];
            if named(found, &tools) { written(found) } else { None }
        },
    },
    Pattern {
        what: "a password of an IDE",
        keywords: &["password="],
        regex: r#"\bpassword="([^"]{3,})""#,
        judge: |found| {
            let ide = found.path.contains(".idea/")
                || found.path.contains("dbeaver")
                || named(found, &["webservers.xml", "data-sources.xml"]);
            if ide { written(found) } else { None }
        },
    },
    Pattern {
        what: "a password in a program's settings",
        keywords: &["pass"],
        regex: r#"(?i)^\s*(?:\w{0,20}password|\w{0,12}_?pass)(?:\s*=\s*|\s+)['"]?([^\s'"=]{3,})['"]?\s*$"#,
        judge: |found| {
            let name = found.path.rsplit('/').next().unwrap_or(found.path).to_ascii_lowercase();
            let settings = [".esmtprc", ".msmtprc", ".fetchmailrc", ".my.cnf", "config", ".s3cfg", ".mailrc"]
                .contains(&name.as_str())
                || name.ends_with("_srv.ini");
            if settings { written(found) } else { None }
        },
    },
    Pattern {
        what: "a GitHub login of hub",
        keywords: &["oauth_token"],
        regex: r#"^\s*oauth_token:\s*['"]?([a-f0-9]{40}|gh[a-z]_\w+)"#,
        judge: written,
    },
    Pattern {
        what: "a database password in PHP",
        keywords: &["pass"],
        regex: r#"^\s*\$(?:db_?pass(?:wd|word)?|database_password|dbPassword)\s*=\s*['"]([^'"$]{3,})['"]"#,
        judge: |found| if found.path.ends_with(".php") { written(found) } else { None },
    },
    Pattern {
        what: "a Salesforce login",
        keywords: &[".login("],
        regex: r#"\bconn\w*\.login\(\s*['"][^'"]+@[^'"]+['"]\s*,\s*['"]([^'"]{4,})['"]"#,
        judge: written,
    },
];

/// `.pgpass`: its lines have no word to look for.
pub(super) fn pgpass(cx: &Context<'_>, hits: &mut Hits) {
    for path in cx.paths.iter().filter(|path| path.ends_with(".pgpass") || path.ends_with("pgpass.conf")) {
        for (number, line) in (1..).zip(cx.text(path).unwrap_or_default().lines()) {
            let fields: Vec<&str> = line.split(':').collect();
            if let [host, _, _, _, password] = fields[..]
                && !host.starts_with('#')
                && password.len() > 2
            {
                hits.at(path, number, format!("a password of PostgreSQL: {}", masked(password)));
            }
        }
    }
}

fn named(found: &Found<'_>, names: &[&str]) -> bool {
    let name = found.path.rsplit('/').next().unwrap_or(found.path).to_ascii_lowercase();
    names.contains(&name.as_str())
}

fn written(found: &Found<'_>) -> Option<Verdict> {
    let skip = found.class.any(Class::SAMPLE.and(Class::VENDORED).and(Class::DOC)) || is_reference(found.value());
    let made_up = is_placeholder(found.value()) && found.value().len() < 24;
    (!skip && !made_up).then(|| milder_outside_of_the_app(found.class))
}
