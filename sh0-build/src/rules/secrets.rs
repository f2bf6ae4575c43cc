//! Keys, tokens and passwords where they can be read.

use sh0_core::model::{Category::Secrets, Severity};

use super::class::Class;
use super::facts::ELSEWHERE;
use super::judge::{entropy, is_everyday_password, is_placeholder, is_reference, milder_outside_of_the_app};
use super::rule::{Check, Pattern, Rule, Verdict};
use super::secret_judges::{
    curl_user, env_committed, framework_key, hardcoded, jwt, master_key, name_is, private_key, secret_in_image,
    url_credentials, written_down,
};
use super::tokens::{CLOUD, VENDORS};

/// The rule without a format to go by: silent where another one of these names what it has found.
pub(super) const GENERAL: &str = "SEC14";

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "SEC01",
        name: "private-key",
        category: Secrets,
        severity: Severity::Critical,
        title: "A private key lies in the source tree",
        why: "Whoever can read the repository, or a layer of the image, can act as the owner of the key.",
        fix: "Remove the file from the repository and its history, make a new key, and give it to the app as a secret.",
        check: Check::Text(&[
            Pattern {
                what: "a private key",
                keywords: &["private key"],
                regex: r"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?)-----",
                judge: private_key,
            },
            Pattern {
                what: "a PuTTY private key",
                keywords: &["putty-user-key-file"],
                regex: r"^(PuTTY-User-Key-File-\d)",
                judge: |found| Some(milder_outside_of_the_app(found.class)),
            },
        ]),
    },
    Rule {
        id: "SEC02",
        name: "cloud-key",
        category: Secrets,
        severity: Severity::Critical,
        title: "A key of a cloud account is written down",
        why: "Robots find such keys in public repositories within minutes, and they open the whole account.",
        fix: "Revoke the key at the provider, and give the new one to the app as a secret variable.",
        check: Check::Text(CLOUD),
    },
    Rule {
        id: "SEC03",
        name: "vendor-token",
        category: Secrets,
        severity: Severity::Critical,
        title: "A token of a service is written down",
        why: "The token works for everybody who reads it, and stays in the history of the repository.",
        fix: "Revoke the token where it was issued, and give the new one to the app as a secret variable.",
        check: Check::Text(VENDORS),
    },
    Rule {
        id: "SEC04",
        name: "env-committed",
        category: Secrets,
        severity: Severity::High,
        title: "An env file with secrets is part of the tree",
        why: "Env files travel with the repository and its forks; the values in them are no longer secret.",
        fix: "Add the file to .gitignore, set its values in the app's environment, and change those that were real.",
        check: Check::Tree(env_committed),
    },
    Rule {
        id: "SEC05",
        name: "url-credentials",
        category: Secrets,
        severity: Severity::High,
        title: "A password is part of an address",
        why: "Addresses end up in logs and error messages, and the password with them.",
        fix: "Read the address, or the user and the password, from secret variables.",
        check: Check::Text(&[
            Pattern {
                what: "an address with a password",
                keywords: &["://"],
                regex: r#"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://([^\s:/?#@"'<>{}$`\\]{1,100}):([^\s/?@"'<>{}`\\]{3,120})@([A-Za-z0-9.-]{3,253})"#,
                judge: url_credentials,
            },
            Pattern {
                what: "a password in a curl command",
                keywords: &["-u ", "--user "],
                regex: r#"(?:^|\s)(?:-u|--user)[ =]+((?:"[^"\n]*"|'[^'\n]*'|[^\s"'\n])+)"#,
                judge: curl_user,
            },
        ]),
    },
    Rule {
        id: "SEC06",
        name: "secret-in-image",
        category: Secrets,
        severity: Severity::High,
        title: "A Dockerfile writes a secret into the image",
        why: "ARG and ENV values stay in the image's history: `docker history` shows them to everybody who can pull it.",
        fix: "Use `RUN --mount=type=secret` for the build, and the app's environment for the run.",
        check: Check::Tree(secret_in_image),
    },
    Rule {
        id: "SEC07",
        name: "registry-credentials",
        category: Secrets,
        severity: Severity::High,
        title: "A package registry's credentials are written down",
        why: "With them, others can publish packages in your name, and your builds install them.",
        fix: "Write `${NPM_TOKEN}` (or the variable of your package manager) in the file, and give the value as a build secret.",
        check: Check::Text(&[
            Pattern {
                what: "npm credentials",
                keywords: &["_authtoken", "_auth", "_password"],
                regex: r"(?:^|:)_(?:authToken|auth|password)\s*=\s*([^\s$]{6,})",
                judge: |found| {
                    name_is(found, &[".npmrc", ".yarnrc", ".yarnrc.yml", "npmrc"]).and_then(|()| written_down(found))
                },
            },
            Pattern {
                what: "credentials of a package index",
                keywords: &["://"],
                regex: r"https?://[^\s:/@$]+:([^\s/@$]{3,})@",
                judge: |found| {
                    name_is(
                        found,
                        &[
                            "pip.conf",
                            "pip.ini",
                            ".pypirc",
                            "requirements.txt",
                            "poetry.toml",
                            "uv.toml",
                            "nuget.config",
                            "settings.xml",
                            ".gemrc",
                        ],
                    )
                    .and_then(|()| written_down(found))
                },
            },
            Pattern {
                what: "a package registry's password",
                keywords: &["password", "npmauthtoken", "cleartextpassword", "http-basic", "bearer"],
                regex: r#"(?i)(?:^\s*password\s*[=:]\s*|npmAuthToken:\s*['"]?|ClearTextPassword['"]?\s+value=['"]|<password>|"password"\s*:\s*")([^\s"'<$]{4,})"#,
                judge: |found| {
                    name_is(found, &[".pypirc", "pip.conf", ".yarnrc.yml", "nuget.config", "settings.xml", "auth.json"])
                        .and_then(|()| written_down(found))
                },
            },
        ]),
    },
    Rule {
        id: "SEC08",
        name: "framework-key",
        category: Secrets,
        severity: Severity::High,
        title: "The key that signs sessions is written down",
        why: "Whoever knows it can make cookies and tokens that the app takes for its own.",
        fix: "Generate a new key, read it from a secret variable, and remove it from the code.",
        check: Check::TextAndTree(
            &[
                Pattern {
                    what: "the SECRET_KEY of Django or Flask",
                    keywords: &["secret_key"],
                    regex: r#"^\s*(?:app\.)?(?:SECRET_KEY|secret_key|config\[['"]SECRET_KEY['"]\]|app\.config\[['"]SECRET_KEY['"]\])\s*=\s*[rbu]?['"]([^'"\n]{8,})['"]"#,
                    judge: framework_key,
                },
                Pattern {
                    what: "Laravel's APP_KEY",
                    keywords: &["base64:"],
                    regex: r"\b(?:APP_KEY|app_key|key)\b['\x22]?\s*(?:=|=>|:)\s*['\x22]?(base64:[A-Za-z0-9+/]{40,}={0,2})",
                    judge: framework_key,
                },
                Pattern {
                    what: "Rails' secret_key_base",
                    keywords: &["secret_key_base"],
                    regex: r#"(?i)secret_key_base['"]?\s*[=:]\s*['"]?([a-f0-9]{30,})"#,
                    judge: |found| {
                        // `rails new` writes one for development and one for tests.
                        let section = found.before(2_000);
                        let section =
                            section.lines().rev().find(|line| line.ends_with(':') && !line.starts_with([' ', '#']));
                        if section.is_some_and(|line| line.starts_with("test")) { None } else { framework_key(found) }
                    },
                },
                Pattern {
                    what: "a WordPress key",
                    keywords: &["_key'", "_salt'", "db_password'"],
                    regex: r"define\(\s*'((?:SECURE_)?AUTH_KEY|LOGGED_IN_KEY|NONCE_KEY|(?:SECURE_)?AUTH_SALT|LOGGED_IN_SALT|NONCE_SALT|DB_PASSWORD)'\s*,\s*'([^']{3,})'\s*\)",
                    judge: |found| {
                        let value = found.group(2);
                        let unset = value.contains("put your unique phrase")
                            || is_placeholder(value) && value.len() < 40
                            || value.ends_with("_here");
                        (!unset && !found.class.any(ELSEWHERE)).then_some(Verdict::Hit)
                    },
                },
                Pattern {
                    what: "the key of express-session or a JWT library",
                    keywords: &["session(", "secret:", "jwt.sign(", "jwt.verify(", "keys:"],
                    regex: r#"(?:\bsession\(\s*\{[^}\n]*secret|^\s*secret|jwt\.(?:sign|verify)\([^,\n]+,|cookieSession\(\{[^}\n]*keys)\s*[:]?\s*\[?\s*['"]([^'"\n]{3,})['"]"#,
                    judge: |found| {
                        let sessions = found.line().contains("jwt.")
                            || found.before(400).contains("session(")
                            || found.line().contains("ession(");
                        let code = found.class.any(Class::CODE) && !found.class.any(ELSEWHERE.and(Class::PROSE));
                        (sessions && code && !is_reference(found.value())).then_some(Verdict::As(Severity::Medium))
                    },
                },
            ],
            master_key,
        ),
    },
    Rule {
        id: "SEC09",
        name: "client-exposed-secret",
        category: Secrets,
        severity: Severity::High,
        title: "A secret is given a name that the browser gets to see",
        why: "Bundlers copy every variable with this prefix into the scripts that they send to visitors.",
        fix: "Rename the variable without the public prefix, and read it on the server only.",
        check: Check::Text(&[Pattern {
            what: "a public variable",
            keywords: &["next_public_", "vite_", "react_app_", "nuxt_public_", "gatsby_", "expo_public_", "vue_app_"],
            regex: r"\b((?:NEXT_PUBLIC|VITE|REACT_APP|NUXT_PUBLIC|GATSBY|EXPO_PUBLIC|VUE_APP)_[A-Z0-9_]*(?:SECRET|PRIVATE_KEY|PRIVATE|SERVICE_ROLE|PASSWORD|ADMIN_KEY)[A-Z0-9_]*)\b",
            judge: |found| (!found.class.any(ELSEWHERE)).then_some(Verdict::Hit),
        }]),
    },
    Rule {
        id: GENERAL,
        name: "hardcoded-secret",
        category: Secrets,
        severity: Severity::High,
        title: "A value that looks random is assigned to a name that says secret",
        why: "Code is copied, shared and shown; a secret in it cannot be changed without a release.",
        fix: "Read it from a secret variable, and change the value that was written down.",
        check: Check::Text(&[
            Pattern {
                what: "a secret in quotes",
                keywords: SECRET_WORDS,
                regex: r#"(?i)((?:secret|token|passw(?:or)?d|passphrase|_pwd|api[_.-]?key|access[_.-]?key|private[_.-]?key|credentials?|user_auth|auth[_.-]?key)[a-z0-9_-]{0,40})['"]?\]?\s*(?:=|:|=>|:=|\?=|,)\s*[rbu]?['"](?P<value>[^'"\s]{10,200})['"]"#,
                judge: |found| {
                    // The name begins before the word that was looked for.
                    let before = found.line_before();
                    let start =
                        before.rfind(|c: char| !c.is_ascii_alphanumeric() && !"_.-".contains(c)).map_or(0, |at| at + 1);
                    hardcoded(found, &format!("{}{}", &before[start..], found.group(1)), found.value())
                },
            },
            Pattern {
                what: "a secret in a setting",
                keywords: SECRET_WORDS,
                regex: r"(?i)^\s*(?:export\s+|set\s+)?([a-z0-9_.-]{0,60}?(?:secret|token|passw(?:or)?d|passphrase|_pwd|api[_.-]?key|access[_.-]?key|private[_.-]?key)[a-z0-9_-]{0,40})\s*[=:]\s*(?P<value>[a-z0-9+/=_.~!@-]{16,200})\s*(?:#.*)?$",
                judge: |found| {
                    let settings =
                        !found.class.any(Class::CODE.and(Class::MARKUP)) && !super::env::is_env_file(found.path);
                    if settings { hardcoded(found, found.group(1), found.group(2)) } else { None }
                },
            },
        ]),
    },
    Rule {
        id: "SEC15",
        name: "credential-file",
        category: Secrets,
        severity: Severity::High,
        title: "A file with the passwords of users or programs is part of the tree",
        why: "What was for one person or one machine reaches everybody with the repository; hashes are guessed at leisure.",
        fix: "Take the file or the line out of the repository, and change the passwords that are real.",
        check: Check::TextAndTree(super::credential_files::PATTERNS, super::credential_files::pgpass),
    },
    Rule {
        id: "SEC16",
        name: "signed-token",
        category: Secrets,
        severity: Severity::High,
        title: "A session's or a caller's token is written down",
        why: "Until it expires, whoever reads it is that session or that caller.",
        fix: "Revoke it, and read tokens from variables or from where they are issued.",
        check: Check::Text(&[
            Pattern {
                what: "a JSON Web Token",
                keywords: &["eyj"],
                regex: r"\b(ey[A-Za-z0-9_-]{15,}\.ey[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_/-]{10,}={0,2})",
                judge: jwt,
            },
            Pattern {
                what: "a JSON Web Token in base64",
                keywords: &["zxlk"],
                regex: r"\b(ZXlK[A-Za-z0-9+/_-]{60,}={0,2})",
                judge: |found| if is_placeholder(found.value()) { None } else { jwt(found) },
            },
            Pattern {
                what: "a token in a curl command",
                keywords: &[
                    "authorization:",
                    "-api-key:",
                    "x-auth-token:",
                    "private-token:",
                    "apikey:",
                    "api-key:",
                    "x-octopus-apikey:",
                    "token:",
                ],
                regex: r#"(?i)(?:-H|--header)[ =]*["']?[a-z-]*(?:authorization|api-?key|token)\s*:\s*(?:(?:basic|bearer|token|apikey|api-token|ssws|bot)\s+)?([a-z0-9=~@.+/_-]{8,500})"#,
                judge: |found| {
                    let curl = found.line().contains("curl") || found.before(600).contains("curl");
                    let random = entropy(found.value()) > 2.9
                        && !is_placeholder(found.value())
                        && !is_everyday_password(found.value());
                    let known = found.value().starts_with("eyJ") || found.value().contains("process.env");
                    (curl && random && !known && !found.class.any(Class::SAMPLE.and(Class::VENDORED)))
                        .then(|| milder_outside_of_the_app(found.class))
                },
            },
        ]),
    },
];

/// What names of secrets have in them.
const SECRET_WORDS: &[&str] = &[
    "secret",
    "token",
    "passw",
    "passphrase",
    "_pwd",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "accesskey",
    "access-key",
    "private_key",
    "privatekey",
    "credential",
    "user_auth",
    "auth_key",
    "auth-key",
    "authkey",
];
