#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use sh0::ops::fields::has;

/// What was typed, and the operation and input that it stands for.
const CASES: &[(&str, &str, &str)] = &[
    ("apps", "apps.list", "{}"),
    ("apps list --project shop", "apps.list", r#"{"project":"shop"}"#),
    (
        "apps create web --port 4000 -e A=1 --scale web=2",
        "apps.create",
        r#"{"env":{"A":"1"},"name":"web","port":4000,"scale":{"web":2}}"#,
    ),
    ("apps show shop/web", "apps.get", r#"{"app":"shop/web"}"#),
    ("open -a web", "apps.get", r#"{"app":"web"}"#),
    ("ps -a web", "instances.list", r#"{"app":"web"}"#),
    ("ps web", "instances.list", r#"{"app":"web"}"#),
    ("--runtime process stop shop/web", "apps.stop", r#"{"app":"shop/web"}"#),
    ("logs web -f", "logs.follow", r#"{"app":"web","tail":100}"#),
    ("env web", "env.list", r#"{"app":"web"}"#),
    ("env list web", "env.list", r#"{"app":"web"}"#),
    ("env web set A=1", "env.set", r#"{"app":"web","vars":{"A":"1"}}"#),
    ("domains web", "domains.list", r#"{"app":"web"}"#),
    ("releases web", "releases.list", r#"{"app":"web"}"#),
    ("lock web --reason why", "apps.lock", r#"{"app":"web","reason":"why"}"#),
    ("settings web --memory 1G", "apps.update", r#"{"app":"web","settings":{"resources":{"memory":1073741824}}}"#),
    ("ps -a web --usage", "instances.usage", r#"{"app":"web"}"#),
    ("logs -a web", "logs.read", r#"{"app":"web","tail":100}"#),
    (
        "logs -a web -f -n 5 --grep x --process worker",
        "logs.follow",
        r#"{"app":"web","contains":"x","process":"worker","tail":5}"#,
    ),
    ("logs -a web --since 2026-01-31T12:00:00Z", "logs.read", r#"{"app":"web","since":"2026-01-31T12:00:00Z"}"#),
    ("env -a web", "env.list", r#"{"app":"web"}"#),
    ("env list -a web --values", "env.reveal", r#"{"app":"web"}"#),
    ("env set -a web A=$x=y B= --stage", "env.set", r#"{"app":"web","stage":true,"vars":{"A":"$x=y","B":""}}"#),
    ("env -a web set A=1", "env.set", r#"{"app":"web","vars":{"A":"1"}}"#),
    ("env unset -a web A B", "env.unset", r#"{"app":"web","names":["A","B"]}"#),
    ("releases -a web", "releases.list", r#"{"app":"web"}"#),
    ("rollback -a web", "releases.rollback", r#"{"app":"web"}"#),
    ("rollback -a web v3", "releases.rollback", r#"{"app":"web","to":3}"#),
    ("deployments -a web", "deployments.list", r#"{"app":"web"}"#),
    ("deployments follow -a web 01jcz", "deployments.follow", r#"{"app":"web","deployment":"01jcz"}"#),
    ("cancel -a web 01jcz", "deployments.cancel", r#"{"app":"web","deployment":"01jcz"}"#),
    ("restart -a web", "apps.restart", r#"{"app":"web"}"#),
    ("scale -a web web=2 worker=0", "apps.scale", r#"{"app":"web","scale":{"web":2,"worker":0}}"#),
    (
        "run -a web -e A=1 -- ls -la --json",
        "instances.run",
        r#"{"app":"web","command":["ls","-la","--json"],"env":{"A":"1"}}"#,
    ),
    ("run -a web ls -la", "instances.run", r#"{"app":"web","command":["ls","-la"]}"#),
    (
        "exec -a web --process worker -- sh -c true",
        "instances.exec",
        r#"{"app":"web","command":["sh","-c","true"],"process":"worker"}"#,
    ),
    (
        "settings -a web --health-path /up --memory 512M --cpus 0.5 --strategy recreate --stop-grace 1m30s --port=",
        "apps.update",
        r#"{"app":"web","settings":{"health":{"path":"/up"},"port":null,"resources":{"cpus":500,"memory":536870912},"stop_grace":90000,"strategy":"recreate"}}"#,
    ),
    ("volumes add -a web data /data", "volumes.add", r#"{"app":"web","name":"data","path":"/data"}"#),
    ("volumes remove -a web data", "volumes.remove", r#"{"app":"web","volume":"data"}"#),
    (
        "domains add -a web app.example.com --path /api",
        "domains.add",
        r#"{"app":"web","host":"app.example.com","path":"/api"}"#,
    ),
    ("domains remove -a web app.example.com -y", "domains.remove", r#"{"app":"web","host":"app.example.com"}"#),
    ("lock -a web --reason why", "apps.lock", r#"{"app":"web","reason":"why"}"#),
    ("destroy web --keep-volumes --yes", "apps.delete", r#"{"app":"web","keep_volumes":true}"#),
    ("tokens create ci read-only --days 7", "tokens.create", r#"{"days":7,"name":"ci","role":"read_only"}"#),
    ("tokens revoke ci", "tokens.revoke", r#"{"token":"ci"}"#),
    ("status", "platform.status", "{}"),
    ("doctor", "platform.doctor", "{}"),
];

fn parse(line: &str) -> (&'static Verb, ArgMatches) {
    let words = std::iter::once("sh0").chain(line.split(' '));
    let matches = crate::command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
    let (name, inner) = matches.subcommand().expect(line);
    (verb(name, inner).expect(line).0, matches)
}

fn input_of(line: &str) -> (&'static str, Result<Value>) {
    let (verb, matches) = parse(line);
    let (name, inner) = matches.subcommand().expect(line);
    let (_, levels) = self::verb(name, inner).expect(line);
    let instead = verb.instead.filter(|(name, ..)| flag(name, &levels));
    (instead.map_or(verb.op, |(_, op, _)| op).meta.name, input(verb, &levels))
}

#[test]
fn what_is_typed_becomes_the_input_of_an_operation() {
    for (line, op, expected) in CASES {
        let (found, input) = input_of(line);
        assert_eq!((found, input.expect(line).to_string().as_str()), (*op, *expected), "{line}");
    }
}

#[test]
fn every_field_that_is_filled_is_one_that_the_operation_has() {
    for verb in VERBS.iter() {
        for op in [Some(verb.op), verb.instead.map(|(_, op, _)| op)].into_iter().flatten() {
            for field in typeable(verb) {
                assert!(has(op, field.path[0]), "{}: {:?}", verb.words, field.path);
            }
        }
    }
}

#[test]
fn every_line_of_the_table_is_a_verb() {
    let lines = include_str!("../verbs.txt").lines().filter(|line| !line.starts_with('#'));
    let (flags, verbs): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.trim_start().starts_with("--"));
    assert_eq!(VERBS.len(), verbs.len(), "each names an operation that exists");
    assert_eq!(VERBS.iter().filter(|verb| verb.instead.is_some()).count(), flags.len());
    crate::command().debug_assert();
    // What has no verb of its own is either hand-made or rare; a new operation has to be looked at.
    let without: Vec<&str> = sh0::ops::all()
        .map(|op| op.meta.name)
        .filter(|name| {
            !VERBS
                .iter()
                .any(|verb| verb.op.meta.name == *name || verb.instead.is_some_and(|(_, op, _)| op.meta.name == *name))
        })
        .collect();
    assert_eq!(without, ["apps.export", "deployments.create", "sources.upload", "platform.shutdown"]);
}

#[test]
fn secrets_are_read_from_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "A=1\nB='$x'\n").unwrap();
    let (op, input) = input_of(&format!("env import -a web {} --replace", file.path().display()));
    assert_eq!(op, "env.import");
    assert_eq!(input.unwrap(), json!({ "app": "web", "content": "A=1\nB='$x'\n", "replace": true }));
}

#[test]
fn ages_become_times() {
    let (_, input) = input_of("logs -a web --since 10m");
    let since: jiff::Timestamp = input.unwrap()["since"].as_str().unwrap().parse().unwrap();
    let ago = jiff::Timestamp::now().duration_since(since).as_secs();
    assert!((600..660).contains(&ago), "{ago}");
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    for (line, reason) in [
        ("scale -a web web", "NAME=VALUE"),
        ("scale -a web web=x", "whole number"),
        ("env set -a web A", "NAME=VALUE"),
        ("tokens create ci boss", "admin"),
        ("logs -a web --since yesterday", "2026-01-31"),
        ("settings -a web --stop-grace 30", "unit"),
        ("rollback -a web newest", "digits"),
        ("rollback web", "an app is named with -a"),
        ("scale web", "an app is named with -a"),
        ("env set web A=1", "an app is named with -a"),
        ("ps web shop", "unexpected argument"),
        ("env import -a web /does/not/exist", "No such file"),
        ("destroy", "APP"),
        ("nonsense", "nonsense"),
    ] {
        let words = std::iter::once("sh0").chain(line.split(' '));
        let error = crate::command().try_get_matches_from(words).expect_err(line);
        assert!(error.to_string().contains(reason), "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    for (line, reason) in
        [("ps", "-a APP"), ("run web ls", "-a APP"), ("ps web -a shop", "two apps"), ("env web list -a x", "two apps")]
    {
        let (_, input) = input_of(line);
        let error = input.expect_err(line);
        assert!(error.code() == Code::Invalid && error.detail().contains(reason), "{line}: {error}");
    }
}
