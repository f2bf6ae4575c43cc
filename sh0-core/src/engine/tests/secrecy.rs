//! No secret is stored where it can be read: not in a record, not in a stream, not in audit.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use crate::auth::{Principal, Role};
use crate::model::{DeploymentState, Secret};
use crate::ops::audit::ListAudit;
use crate::ops::env::{ImportEnv, SetEnv};
use crate::ops::tokens::CreateToken;
use crate::ops::{self, Dispatch};
use crate::testkit::fakes::{FakeStore, World, app, call, from};

#[tokio::test(start_paused = true)]
async fn nothing_secret_lies_in_the_store() {
    let store = Arc::new(FakeStore::default());
    let world = World::over(store.clone());
    let engine = world.open().await.unwrap();
    let secret = |text: &str| BTreeMap::from([("KEY".parse().unwrap(), Secret::new(text))]);
    let mut wish = app("shop");
    wish.env = secret("hunter-create");
    call(&engine, wish).await.unwrap();
    call(&engine, from("shop", "one")).await.unwrap();
    world.settle(&engine).await;
    let set = SetEnv { app: "shop".parse().unwrap(), vars: secret("hunter-set"), stage: false };
    call(&engine, set).await.unwrap();
    world.settle(&engine).await;
    let content = Secret::new("OTHER=hunter-import\n# hunter-comment");
    let import = ImportEnv { app: "shop".parse().unwrap(), content, replace: false, stage: false };
    call(&engine, import).await.unwrap();
    world.settle(&engine).await;
    let token = CreateToken { name: "ci".parse().unwrap(), role: Role::Admin, days: None };
    let token = call(&engine, token).await.unwrap().secret.expose().to_owned();
    let run = json!({ "app": "shop", "command": ["true"], "env": { "KEY": "hunter-run" } });
    let caller = engine.caller(Principal::local("tester"), "request-1");
    drop(caller.duplex(ops::find("instances.run").unwrap(), run).await.unwrap());
    // Inputs that are refused are not kept either.
    let wrong = json!({ "app": "shop", "vars": { "PORT": "hunter-refused" } });
    caller.call(ops::find("env.set").unwrap(), wrong).await.unwrap_err();

    let dump = store.dump();
    assert!(dump.contains("apps.create") && dump.contains(&DeploymentState::Live.as_word()), "the dump is whole");
    assert!(!dump.contains("hunter"), "a secret lies in the store");
    assert!(!dump.contains(&token), "a token lies in the store");
}

/// The address of a repository is shown in apps, deployments, events and audit.
#[tokio::test(start_paused = true)]
async fn no_address_with_a_password_comes_in() {
    let store = Arc::new(FakeStore::default());
    let world = World::over(store.clone());
    let engine = world.open().await.unwrap();
    call(&engine, app("shop")).await.unwrap();
    let caller = engine.caller(Principal::local("tester"), "request-1");
    for url in [
        "https://me:hunter2@example.com/a.git",
        "https://hunter2@example.com/a.git",
        "https://example.com/a.git?private_token=hunter2",
        "ssh://git:hunter2@example.com/a.git",
    ] {
        let source = json!({ "type": "git", "url": url });
        for (op, input) in [
            ("apps.create", json!({ "name": "blog", "source": source })),
            ("apps.update", json!({ "app": "shop", "source": source })),
            ("deployments.create", json!({ "app": "shop", "source": source })),
        ] {
            let error = caller.call(ops::find(op).unwrap(), input).await.unwrap_err();
            let field = &error.fields()[0];
            assert!(field.field.starts_with("source") && field.hint.contains("leave it out"), "{op}: {error:?}");
            assert!(!format!("{error:?}").contains("hunter2"), "{op}: {error:?}");
        }
        let typed = crate::model::Source::git(url).unwrap_err();
        assert!(!format!("{typed:?}").contains("hunter2"), "{typed:?}");
    }
    world.settle(&engine).await;
    assert!(!store.dump().contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn audit_says_who_did_what_without_secrets() {
    let world = World::new(FakeStore::default());
    let engine = world.open().await.unwrap();
    let mut wish = app("shop");
    wish.env = BTreeMap::from([("KEY".parse().unwrap(), Secret::new("hunter"))]);
    call(&engine, wish).await.unwrap();
    call(&engine, app("shop")).await.unwrap_err();
    let rows = call(&engine, ListAudit { after: None, limit: None }).await.unwrap().items;
    assert_eq!(rows.len(), 1, "what was refused did not happen");
    let row = &rows[0];
    assert_eq!((row.operation.as_str(), row.actor.as_str()), ("apps.create", "local:tester"));
    assert_eq!((row.request_id.as_str(), row.cursor), ("request-1", 1));
    assert_eq!(row.input["env"], json!({ "KEY": "***" }));
    assert_eq!(row.input["name"], "shop");
}

trait Word {
    fn as_word(&self) -> String;
}

impl Word for DeploymentState {
    fn as_word(&self) -> String {
        serde_json::to_value(self).unwrap().as_str().unwrap().to_owned()
    }
}
