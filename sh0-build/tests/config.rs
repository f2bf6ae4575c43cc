//! `docs/sh0-toml.md` against the reader of the file, and what the reader refuses.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use sh0_build::{MemoryTree, Options, config_schema, plan_tree};
use sh0_core::Result;
use sh0_core::model::{AppSettings, Plan};

/// A tree in which every example of the page has something to say.
fn planned(config: &str) -> Result<Plan> {
    let package = r#"{ "scripts": { "build": "true", "docs": "true", "start": "node server.js" }, "dependencies": { "express": "5.1.0" } }"#;
    let mut tree = MemoryTree::from([
        ("package.json", package),
        ("package-lock.json", "{}"),
        ("server.js", ""),
        ("apps/web/package.json", package),
        ("apps/web/server.js", ""),
        ("deploy/Dockerfile", "FROM node:24-slim\nCMD [\"node\", \"server.js\"]\n"),
        ("docs/demo.md", "A demo."),
    ]);
    tree.insert("sh0.toml", config);
    plan_tree(&tree, &AppSettings::default(), &Options::default())
}

#[test]
fn the_page_names_every_key_and_its_examples_are_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sh0-toml.md");
    let page = std::fs::read_to_string(file).unwrap();
    let examples: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect();
    let keys: Vec<toml::Table> = examples.iter().map(|example| example.parse().unwrap()).collect();
    let schema = config_schema();
    for key in schema["properties"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("| [`{key}`](#")), "{key} has no row");
        assert!(keys.iter().any(|table| table.contains_key(key)), "{key} has no example");
    }
    for example in examples {
        planned(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (config, said) in [
        ("\nlanguage = \"algol\"", "sh0.toml:2: language: there is no provider"),
        ("\nversion = \"1\"", "sh0.toml:2: version: there is no base image"),
        ("\npackage_manager = \"pip\"", "sh0.toml:2: package_manager: a node app"),
        ("\npackages = [\"a b\"]", "sh0.toml:2: packages: `a b` is not"),
        ("\npaths = [\"../x\"]", "sh0.toml:2: paths: "),
        ("\ndockerfile = \"none\"", "sh0.toml:2: dockerfile: there is no Dockerfile"),
        ("port = 1\nprot = 2", "sh0.toml:2: there is no key `prot`"),
        ("start_command = \"a\"\nstatic_dir = \"b\"", "sh0.toml:2: static_dir: and start_command are both set"),
        ("static_dir = \"b\"\n[processes]\nweb = \"a\"", "sh0.toml:1: static_dir: and processes.web are both set"),
        ("start_command = \"a\"\n[processes]\nweb = \"b\"", "sh0.toml:1: start_command: and processes.web name two"),
    ] {
        let error = planned(config).expect_err(config).to_string();
        assert!(error.starts_with(&format!("Invalid: {said}")) || error.starts_with(said), "{error}");
        assert_eq!(error.matches("did you mean").count(), 0, "the hint stands beside: {error}");
    }
    let both = "start_command = \"node server.js\"\n[processes]\nweb = \"node server.js\"";
    assert_eq!(planned(both).unwrap().start_command.as_deref(), Some("node server.js"));
}
