//! What makes an attack easy.

use sh0_core::model::{Category::Security, Severity};

use super::class::Class;
use super::context::Context;
use super::env::EnvFile;
use super::facts::ELSEWHERE;
use super::rule::{Check, Hits, Pattern, Rule, Verdict};
use super::scan::Found;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "SEC10",
        name: "debug-in-production",
        category: Security,
        severity: Severity::High,
        title: "The app runs with its debugger on",
        why: "Error pages then show code, settings and secrets to visitors, and some let them run commands.",
        fix: "Read the switch from a variable, and let it be off when the variable is not set.",
        check: Check::TextAndTree(
            &[
                Pattern {
                    what: "Django's debug mode",
                    keywords: &["debug = true", "debug=true"],
                    regex: r"^(DEBUG\s*=\s*True)\b",
                    judge: |found| {
                        let name = found.path.rsplit('/').next().unwrap_or(found.path);
                        let production = !["dev", "local", "test", "debug"].iter().any(|kind| name.contains(kind));
                        (name.ends_with(".py")
                            && name.contains("settings")
                            && production
                            && !found.class.any(ELSEWHERE))
                        .then_some(Verdict::Hit)
                    },
                },
                Pattern {
                    what: "an ASP.NET image in development mode",
                    keywords: &["aspnetcore_environment"],
                    regex: r"^\s*ENV\s+(ASPNETCORE_ENVIRONMENT[ =]Development)",
                    judge: own_code,
                },
            ],
            debug_settings,
        ),
    },
    Rule {
        id: "SEC11",
        name: "git-in-image",
        category: Security,
        severity: Severity::Medium,
        title: "The git history is copied into the image",
        why: "It holds every file that was ever committed, secrets that were removed later among them.",
        fix: "Add .git to .dockerignore.",
        check: Check::Tree(git_in_image),
    },
    Rule {
        id: "SEC12",
        name: "tls-verification-off",
        category: Security,
        severity: Severity::High,
        title: "Certificates are not checked",
        why: "Anybody between the app and the other end can read and change what they say.",
        fix: "Trust the certificate authority that is missing (`NODE_EXTRA_CA_CERTS`, `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE`) in place of all.",
        check: Check::Text(&[
            Pattern {
                what: "Node's checks are off",
                keywords: &["node_tls_reject_unauthorized"],
                regex: r#"(NODE_TLS_REJECT_UNAUTHORIZED['"\]]?\s*[=: ]\s*['"]?0\b)"#,
                judge: own_code,
            },
            Pattern {
                what: "git's checks are off",
                keywords: &["git_ssl_no_verify", "sslverify"],
                regex: r"(?i)(GIT_SSL_NO_VERIFY\s*[= ]\s*['\x22]?(?:1|true)|http\.sslverify[= ]+['\x22]?false)",
                judge: own_code,
            },
            Pattern {
                what: "npm's checks are off",
                keywords: &["strict-ssl"],
                regex: r"(?i)(strict-ssl[= ]+['\x22]?false)",
                judge: own_code,
            },
            Pattern {
                what: "Python's checks are off",
                keywords: &["verify=false", "pythonhttpsverify", "verify = false"],
                regex: r"((?:requests|httpx|session|client|s)\.(?:get|post|put|patch|delete|request|head)\([^\n]*verify\s*=\s*False|PYTHONHTTPSVERIFY\s*[= ]\s*['\x22]?0)",
                judge: own_code,
            },
            Pattern {
                what: "Node's checks are off",
                keywords: &["rejectunauthorized"],
                regex: r"(rejectUnauthorized\s*:\s*false)",
                judge: |found| {
                    if found.line().contains('?') || found.class.any(Class::TOOLING) {
                        None
                    } else {
                        own_code(found).map(|_| Verdict::As(Severity::Medium))
                    }
                },
            },
            Pattern {
                what: "Go's checks are off",
                keywords: &["insecureskipverify"],
                regex: r"(InsecureSkipVerify:\s*true)",
                judge: own_code,
            },
            Pattern {
                what: "a download is not checked",
                keywords: &["curl ", "wget "],
                regex: r"(\bcurl\s+(?:-[a-zA-Z]*k[a-zA-Z]*|(?:[^|;&\n]*\s)?(?:-k|--insecure))\s[^|;&\n]*https://|\bwget\s[^|;&\n]*--no-check-certificate)",
                judge: |found| {
                    let build = found.class.any(Class::SHELL)
                        && !found.line().contains("localhost")
                        && !found.line().contains("127.0.0.1");
                    if build { own_code(found) } else { None }
                },
            },
        ]),
    },
    Rule {
        id: "SEC13",
        name: "any-host",
        category: Security,
        severity: Severity::Medium,
        title: "The app answers for every host name, or shares sessions with every site",
        why: "Forged Host headers end up in links that the app mails out; any site may act as the visitor who is logged in.",
        fix: "List the host names and origins that are yours.",
        check: Check::Text(&[
            Pattern {
                what: "Django answers for every host",
                keywords: &["allowed_hosts"],
                regex: r#"^(ALLOWED_HOSTS\s*=\s*\[\s*['"]\*['"]\s*,?\s*\])"#,
                judge: |found| {
                    let name = found.path.rsplit('/').next().unwrap_or(found.path);
                    let development = ["dev", "local", "test"].iter().any(|kind| name.contains(kind));
                    if development { None } else { own_code(found) }
                },
            },
            Pattern {
                what: "every origin, with credentials",
                keywords: &["allow_origins", "cors_allow_all_origins", "cors_origin_allow_all"],
                regex: r#"(allow_origins\s*=\s*\[\s*['"]\*['"]\s*\]|CORS_(?:ALLOW_ALL_ORIGINS|ORIGIN_ALLOW_ALL)\s*=\s*True)"#,
                judge: |found| {
                    let with =
                        found.file_has("allow_credentials=True") || found.file_has("CORS_ALLOW_CREDENTIALS = True");
                    if with { own_code(found) } else { None }
                },
            },
        ]),
    },
    Rule {
        id: "SEC17",
        name: "secret-file-copied",
        category: Security,
        severity: Severity::High,
        title: "A Dockerfile copies a file of secrets into the image",
        why: "Everybody who can pull the image can read it, even when a later step removes it.",
        fix: "Use `RUN --mount=type=secret` for the build, and the app's environment for the run.",
        check: Check::Tree(secret_file_copied),
    },
];

fn own_code(found: &Found<'_>) -> Option<Verdict> {
    let comment = found.line().trim_start().starts_with(['#', '/', '*', ';']);
    (!found.class.any(ELSEWHERE.and(Class::PROSE)) && !comment).then_some(Verdict::Hit)
}

/// Flask's debugger when the start command reaches it, and Laravel's in an env file that is shipped.
fn debug_settings(cx: &Context<'_>, hits: &mut Hits) {
    if let Some((command, file, line)) = cx.start()
        && command.contains("flask")
        && command.contains("--debug")
    {
        hits.at(if file.is_empty() { "sh0.toml".into() } else { file }, line, format!("start command: {command}"));
    }
    if let Some((command, ..)) = cx.start() {
        let script =
            command.split_whitespace().find(|word| word.ends_with(".py")).filter(|_| command.starts_with("python"));
        if let Some(text) = script.and_then(|script| cx.text(script)) {
            let debug = (1..).zip(text.lines()).find(|(_, line)| {
                line.contains(".run(") && line.contains("debug=True") && !line.trim_start().starts_with('#')
            });
            if let (Some((line, _)), Some(script)) = (debug, script) {
                hits.at(script, line, "Flask's debugger, which the start command reaches");
            }
        }
    }
    for path in
        [".env", ".env.production"].into_iter().filter(|path| cx.has(path) && !cx.untracked(path) && cx.enters(path))
    {
        let values = EnvFile::parse(&cx.text(path).unwrap_or_default()).values;
        if let Some(value) = values.iter().find(|value| value.key == "APP_DEBUG" && value.text == "true") {
            hits.at(path, value.line, "APP_DEBUG=true");
            hits.severity(Severity::Medium);
        }
    }
}

fn git_in_image(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    if !cx.files.is_folder(".git") || !cx.enters(".git") {
        return;
    }
    let all = |source: &String| matches!(source.as_str(), "." | "./" | ".git");
    let copy = file.instructions.iter().find(|i| {
        matches!(i.word.as_str(), "COPY" | "ADD") && i.flag("from").is_none() && i.paths().iter().rev().skip(1).any(all)
    });
    if let Some(copy) = copy {
        hits.at(path, copy.line, format!("{} {}", copy.word, copy.rest));
    }
}

fn secret_file_copied(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for i in
            file.instructions.iter().filter(|i| matches!(i.word.as_str(), "COPY" | "ADD") && i.flag("from").is_none())
        {
            let paths = i.paths();
            let Some((_, sources)) = paths.split_last() else { continue };
            let secret = sources.iter().find(|source| {
                let name = source.trim_end_matches('*').rsplit('/').next().unwrap_or(source);
                let key = matches!(
                    name,
                    "id_rsa"
                        | "id_ed25519"
                        | "id_ecdsa"
                        | ".netrc"
                        | ".git-credentials"
                        | "credentials.json"
                        | "service-account.json"
                        | ".pypirc"
                        | "master.key"
                ) || name.ends_with(".key") && !name.ends_with(".pub.key")
                    || source.contains(".aws/")
                    || source.contains(".ssh/");
                key || super::env::is_env_file(name) && !Class::of(name).any(Class::SAMPLE)
            });
            if let Some(secret) = secret {
                hits.at(path, i.line, format!("{} {secret}", i.word));
            }
        }
    }
}
