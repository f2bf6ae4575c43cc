//! For each name: a table of good and bad texts, and the property that whatever parses prints itself.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::model::{AppId, AppRef, DeploymentId, InstanceName, ProjectRef};

/// Texts near the border between good and bad: characters that the grammars know, in any order.
const NEAR: &str = "[a-zA-Z0-9._:/@*~^?#{}%=\\\\ -]{0,80}";

/// Texts that begin like something good.
const SHAPES: &str =
    "(https://|ssh://|git@|file:///|/|\\*\\.|\\./|localhost:5000/|a/|@sha256:|sh0-)[a-z0-9._/@:*-]{0,40}";

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), NEAR, SHAPES, "[a-z0-9-]{1,70}", "[a-z0-9.]{200,300}", "[a-z/]{470,520}"]
}

/// Whatever parses prints itself and survives JSON; whatever does not says why and what to do. Nothing panics.
fn prints_itself<T>(text: &str)
where
    T: FromStr<Err = ParseError> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    match text.parse::<T>() {
        Ok(name) => {
            assert_eq!(name.to_string().parse::<T>().as_ref(), Ok(&name), "{text:?} printed as {name}");
            let json = serde_json::to_string(&name).expect("a name is a string");
            assert_eq!(serde_json::from_str::<T>(&json).expect("what was written can be read"), name);
        }
        Err(error) => {
            assert!(!error.reason().is_empty() && !error.hint().is_empty() && !error.what().is_empty(), "{text:?}");
            assert!(serde_json::from_value::<T>(text.into()).is_err(), "{text:?} has no other door");
        }
    }
}

macro_rules! properties {
    ($( $test:ident: $name:ty; )*) => { proptest! { $(
        #[test]
        fn $test(text in any_text()) {
            prints_itself::<$name>(&text);
        }
    )* } };
}

properties! {
    app_name_prints_itself: AppName;
    project_name_prints_itself: ProjectName;
    process_name_prints_itself: ProcessName;
    volume_name_prints_itself: VolumeName;
    token_name_prints_itself: TokenName;
    env_key_prints_itself: EnvKey;
    host_name_prints_itself: HostName;
    rel_path_prints_itself: RelPath;
    abs_path_prints_itself: AbsPath;
    url_path_prints_itself: UrlPath;
    git_url_prints_itself: GitUrl;
    git_ref_prints_itself: GitRef;
    image_ref_prints_itself: ImageRef;
    instance_name_prints_itself: InstanceName;
    app_ref_prints_itself: AppRef;
    project_ref_prints_itself: ProjectRef;
    app_id_prints_itself: AppId;
    deployment_id_prints_itself: DeploymentId;
}

proptest! {
    #[test]
    fn a_suggestion_is_a_name(text in any_text()) {
        let suggestion = suggest_label(&text);
        assert_eq!(suggestion.parse::<AppName>().map(|name| name.to_string()), Ok(suggestion));
    }

    #[test]
    fn paths_stay_below(text in any_text()) {
        if let Ok(path) = text.parse::<RelPath>() {
            assert!(!path.as_str().starts_with('/') && path.as_str().split('/').all(|part| !["", ".", ".."].contains(&part)));
        }
        if let Ok(path) = text.parse::<AbsPath>() {
            assert!(path.as_str().starts_with('/') && path.as_str().split('/').all(|part| ![".", ".."].contains(&part)));
        }
    }

    #[test]
    fn nothing_becomes_an_option_of_git(text in any_text()) {
        let dash = |name: &str| name.starts_with('-');
        assert!(!text.parse::<GitUrl>().is_ok_and(|url| dash(url.as_str())));
        assert!(!text.parse::<GitRef>().is_ok_and(|name| dash(name.as_str())));
    }
}

/// Good texts and what they print as; bad ones and a part of the reason.
fn table<T>(good: &[(&str, &str)], bad: &[(&str, &str)])
where
    T: FromStr<Err = ParseError> + Display,
{
    for (text, printed) in good {
        assert_eq!(text.parse::<T>().map(|name| name.to_string()).as_deref(), Ok(*printed), "{text:?}");
    }
    for (text, reason) in bad {
        match text.parse::<T>() {
            Ok(name) => panic!("{text:?} parsed as {name}"),
            Err(error) => assert!(error.reason().contains(reason), "{text:?}: {error} does not say `{reason}`"),
        }
    }
}

#[test]
fn labels() {
    let longest = "a".repeat(63);
    let good = [("web", "web"), ("a", "a"), ("0", "0"), ("a-b--c", "a-b--c"), (longest.as_str(), longest.as_str())];
    let too_long = "a".repeat(64);
    let bad = [
        ("", "is empty"),
        ("Web", "contains 'W'"),
        ("a_b", "contains '_'"),
        ("a b", "contains ' '"),
        ("a.b", "contains '.'"),
        ("grüße", "contains 'ü'"),
        ("$(id)", "contains '$'"),
        ("../etc", "contains '.'"),
        ("a\n", "contains '\\n'"),
        ("a\0", "contains '\\0'"),
        ("-a", "starts or ends with `-`"),
        ("a-", "starts or ends with `-`"),
        (too_long.as_str(), "is 64 bytes long"),
    ];
    table::<AppName>(&good, &bad);
    table::<ProjectName>(&good, &bad);
    table::<ProcessName>(&good, &bad);
    table::<VolumeName>(&good, &bad);
    table::<TokenName>(&good, &bad);
}

#[test]
fn suggestions() {
    for (text, suggestion) in [
        ("Hello World", "hello-world"),
        ("my_app.v2", "my-app-v2"),
        ("", "app"),
        ("!!!", "app"),
        ("--a--", "a"),
        ("grüße", "gr-e"),
    ] {
        assert_eq!(suggest_label(text), suggestion, "{text:?}");
    }
}

#[test]
fn environment_keys() {
    table::<EnvKey>(
        &[("A", "A"), ("_a1", "_a1"), ("DATABASE_URL", "DATABASE_URL"), ("lower", "lower")],
        &[
            ("", "is empty"),
            ("1A", "starts with '1'"),
            ("A-B", "contains '-'"),
            ("A=B", "contains '='"),
            ("A B", "contains ' '"),
            ("Ä", "starts with 'Ä'"),
            ("A\0", "contains '\\0'"),
            (&"A".repeat(256), "is 256 bytes long"),
        ],
    );
}

#[test]
fn host_names() {
    let label = "a".repeat(63);
    let longest = [label.as_str(); 4].join(".");
    table::<HostName>(
        &[
            ("example.com", "example.com"),
            ("EXAMPLE.com.", "example.com"),
            ("*.Example.com", "*.example.com"),
            ("localhost", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a1.b2", "a1.b2"),
        ],
        &[
            ("", "is empty"),
            (".", "is empty"),
            ("*.", "label `*`"),
            ("a..b", "label `` is empty"),
            (".a", "label `` is empty"),
            ("http://a.b", "label `http://a`"),
            ("a.b:80", "label `b:80`"),
            ("a.b/c", "label `b/c`"),
            ("a.*.b", "label `*`"),
            ("**.a", "label `**`"),
            ("-a.b", "starts or ends with `-`"),
            ("bücher.example", "contains 'ü'"),
            ("127.0.0.1", "ends like an IP address"),
            ("a.1", "ends like an IP address"),
            ("[::1]", "label"),
            (&longest, "is 255 bytes long"),
        ],
    );
}

#[test]
fn paths() {
    table::<RelPath>(
        &[("web", "web"), ("./a//b/", "a/b"), ("a/./b", "a/b"), ("grüße 🎉", "grüße 🎉"), ("...", "...")],
        &[
            ("", "is empty"),
            (".", "is empty"),
            ("/a", "starts with `/`"),
            ("..", "contains `..`"),
            ("a/../b", "contains `..`"),
            ("a\0b", "control character"),
            ("a\nb", "control character"),
            (&"a".repeat(1025), "is 1025 bytes long"),
        ],
    );
    table::<AbsPath>(
        &[("/", "/"), ("/data/", "/data"), ("//a//b", "/a/b"), ("/a/./b", "/a/b")],
        &[("", "does not start with `/`"), ("a", "does not start"), ("/a/..", "contains `..`"), ("/a\0", "control")],
    );
    table::<UrlPath>(
        &[("/", "/"), ("/healthz", "/healthz"), ("/a/b/", "/a/b/"), ("/a%20b", "/a%20b"), ("/a/...", "/a/...")],
        &[
            ("", "does not start with `/`"),
            ("healthz", "does not start with `/`"),
            ("/a?b", "contains '?'"),
            ("/a#b", "contains '#'"),
            ("/a b", "contains ' '"),
            ("/a\\b", "contains '\\\\'"),
            ("/ü", "contains 'ü'"),
            ("/../a", "contains `..`"),
            ("/a/%2E%2e/b", "contains `..`"),
            ("/a\r\nHost: b", "contains '\\r'"),
        ],
    );
}

#[test]
fn git() {
    table::<GitUrl>(
        &[
            ("https://example.com/a/b.git", "https://example.com/a/b.git"),
            ("http://localhost:8080/a", "http://localhost:8080/a"),
            ("ssh://git@example.com:22/a", "ssh://git@example.com:22/a"),
            ("git@example.com:a/b.git", "git@example.com:a/b.git"),
            ("file:///srv/a.git", "file:///srv/a.git"),
            ("/srv//a.git", "/srv/a.git"),
        ],
        &[
            ("", "is not the address of a repository"),
            ("example.com/a", "is not the address"),
            ("--upload-pack=id", "names a remote helper or an option"),
            ("ext::sh -c id", "contains ' '"),
            ("ext::id", "names a remote helper"),
            ("ftp://example.com/a", "has the scheme `ftp`"),
            ("ssh://-oProxyCommand=id/a", ""),
            ("ssh://-o@example.com/a", "starts with `-`"),
            ("-u@example.com:a", "option"),
            ("git@-o:a", "is not the address"),
            ("git@example.com:-a", "is not the address"),
            ("https://", ""),
            ("https://me:hunter2@example.com/a", "has a user, password or token"),
            ("https://hunter2@example.com/a", "has a user, password or token"),
            ("HTTPS://me:hunter2@example.com/a", "has the scheme `HTTPS`"),
            ("https://:hunter2@example.com/a", "has a user, password or token"),
            ("https://\\me:hunter2@example.com/a", "has a user, password or token"),
            ("ssh://git:hunter2@example.com/a", "has a user, password or token"),
            ("https://example.com/a?private_token=hunter2", "has a query"),
            ("me:hunter2@example.com:a", "is not the address"),
            ("https://example.com/a\n", "contains '\\n'"),
            ("/a/../b", "contains `..`"),
        ],
    );
    table::<GitRef>(
        &[("main", "main"), ("v1.2.0", "v1.2.0"), ("feature/a-b", "feature/a-b"), ("3f2a1c9", "3f2a1c9")],
        &[
            ("", "is not a valid reference name"),
            ("@", "is not a valid"),
            ("-f", "is not a valid"),
            ("/a", "is not a valid"),
            (".a", "is not a valid"),
            ("a/", "is not a valid"),
            ("a.", "is not a valid"),
            ("a.lock", "is not a valid"),
            ("a..b", "is not a valid"),
            ("a//b", "is not a valid"),
            ("a/.b", "is not a valid"),
            ("a@{1}", "is not a valid"),
            ("a b", "contains ' '"),
            ("a~1", "contains '~'"),
            ("a^", "contains '^'"),
            ("a:b", "contains ':'"),
            ("a?", "contains '?'"),
            ("a*", "contains '*'"),
            ("a[", "contains '['"),
            ("a\\b", "contains '\\\\'"),
            ("a\x7f", "contains"),
        ],
    );
}

#[test]
fn images() {
    let digest = format!("sha256:{}", "0f".repeat(32));
    let with_digest = format!("nginx@{digest}");
    let whole = format!("docker.io/library/nginx@{digest}");
    let tag_and_digest = format!("localhost:5000/a:v1@{digest}");
    table::<ImageRef>(
        &[
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("team/app", "docker.io/team/app:latest"),
            ("registry.example.com/team/app:v3", "registry.example.com/team/app:v3"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            (&with_digest, &whole),
            (&tag_and_digest, &tag_and_digest),
            ("a/b-c_d.e/f", "docker.io/a/b-c_d.e/f:latest"),
        ],
        &[
            ("", "has the repository part ``"),
            ("Nginx", "has the repository part `Nginx`"),
            ("nginx:", "has the tag ``"),
            ("nginx:-a", "has the tag `-a`"),
            ("nginx:a b", "has the tag `a b`"),
            ("nginx@sha256:00", "which is not sha256"),
            ("nginx@md5:00", "which is not sha256"),
            ("a//b", "has the repository part ``"),
            ("-a", "has the repository part `-a`"),
            ("../a", "has the registry `..`"),
            ("localhost:+80/a", "has the registry"),
            (&"a".repeat(500), "is 525 bytes long"),
            ("a.b:99999/c", "has the registry"),
            ("-a.b/c", "has the registry"),
            (&format!("nginx:{}", "a".repeat(129)), "has the tag"),
            (&"a".repeat(513), "is 513 bytes long"),
        ],
    );
}

#[test]
fn references_and_instances() {
    let id = "01arz3ndektsv4rrffq69g5fav";
    let by_id = format!("shop/{id}");
    table::<AppRef>(
        &[("web", "web"), ("shop/web", "shop/web"), ("default/web", "web"), (id, id), (&by_id, id)],
        &[("", "is empty"), ("a/b/c", "contains '/'"), ("A", "contains 'A'"), ("/web", "is empty")],
    );
    table::<InstanceName>(
        &[("sh0-a-web-0", "sh0-a-web-0")],
        &[("", "is not one"), ("web", "is not one"), ("sh0-A", "is not one"), ("sh0-a/../b", "is not one")],
    );
    table::<AppId>(&[(id, id), (&id.to_uppercase(), id)], &[("", "is not an id"), ("0", "is not an id")]);
}
