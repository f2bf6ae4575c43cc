//! `Options::root` means what `root` in `sh0.toml` means.

#![allow(clippy::unwrap_used)]

use sh0_build::{MemoryTree, Options, plan_tree};
use sh0_core::model::{AppSettings, Plan};

/// Trees with several apps: the files, and the folder of one of the apps.
fn trees() -> Vec<(MemoryTree, &'static str)> {
    let node = r#"{ "name": "web", "scripts": { "start": "node a.js" } }"#;
    let cargo = "[package]\nname = \"api\"\nversion = \"1.0.0\"\n";
    vec![
        (
            MemoryTree::from([
                ("package.json", r#"{ "workspaces": ["apps/*"] }"#),
                ("package-lock.json", "{}"),
                ("apps/web/package.json", node),
                ("apps/web/a.js", ""),
                ("apps/docs/package.json", node),
                ("apps/docs/a.js", ""),
            ]),
            "apps/docs",
        ),
        (
            MemoryTree::from([
                ("Cargo.toml", "[workspace]\nmembers = [\"web\", \"api\"]\n"),
                ("Cargo.lock", ""),
                ("web/Cargo.toml", &cargo.replace("api", "web")),
                ("web/src/main.rs", "fn main() {}"),
                ("api/Cargo.toml", cargo),
                ("api/src/main.rs", "fn main() {}"),
            ]),
            "api",
        ),
        (
            MemoryTree::from([
                ("go.work", "go 1.24\n\nuse (\n\t./web\n\t./api\n)\n"),
                ("web/go.mod", "module web\n"),
                ("web/main.go", "package main\n"),
                ("api/go.mod", "module api\n"),
                ("api/main.go", "package main\n"),
            ]),
            "api",
        ),
        (MemoryTree::from([("README.md", ""), ("site/app.py", "print(1)"), ("site/requirements.txt", "")]), "site"),
    ]
}

fn planned(tree: &MemoryTree, root: Option<&str>) -> sh0_core::Result<Plan> {
    let options = Options { root: root.map(|root| root.parse().unwrap()), ..Options::default() };
    plan_tree(tree, &AppSettings::default(), &options)
}

#[test]
fn the_folder_of_the_app_can_be_named_by_whoever_asks() {
    for (tree, root) in trees() {
        let asked = planned(&tree, Some(root)).unwrap();
        let mut written = tree.clone();
        written.insert("sh0.toml", format!("root = \"{root}\"\n"));
        let said = planned(&written, None).unwrap();
        let bare = |plan: &Plan| Plan { reasons: Vec::new(), ..plan.clone() };
        assert_eq!(bare(&asked), bare(&said), "{root}");
        assert!(asked.reasons.iter().any(|reason| reason.what == format!("root = {root}")), "{:?}", asked.reasons);
        assert!(asked.reasons.iter().all(|reason| reason.file.as_deref() != Some("sh0.toml")), "{:?}", asked.reasons);
        // Who asks is heard before the file.
        written.insert("sh0.toml", "root = \"nowhere\"\n");
        assert_eq!(bare(&planned(&written, Some(root)).unwrap()), bare(&asked));
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (tree, _) = trees().remove(0);
    let error = planned(&tree, Some("apps/nope")).unwrap_err();
    let field = &error.fields()[0];
    assert_eq!((field.field.as_str(), error.detail().contains("apps/nope")), ("root", true), "{error:?}");
}
