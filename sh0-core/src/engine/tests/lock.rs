//! A lock keeps an app as it is: what it refuses, and what it does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{deployed, seen};
use crate::auth::Principal;
use crate::model::{DeploymentState, Secret};
use crate::ops::apps::{LockApp, UnlockApp};
use crate::ops::env::SetEnv;
use crate::ops::{self, Dispatch, OpDef, OpKind, Risk};
use crate::testkit::fakes::{FakeStore, World, app, call, from};
use crate::{Code, Result};

/// Every operation that changes something of an app: whether a lock refuses it, and its input beside the app.
fn cases() -> Vec<(&'static str, bool, Value)> {
    vec![
        ("apps.update", true, json!({ "name": "store" })),
        ("apps.update", true, json!({ "port": 31_000 })),
        ("apps.update", false, json!({ "settings": { "port": 8080 } })),
        ("apps.start", true, json!({})),
        ("apps.stop", true, json!({})),
        ("apps.restart", true, json!({})),
        ("apps.scale", true, json!({ "scale": { "web": 2 } })),
        ("apps.lock", false, json!({ "reason": "it is Friday" })),
        ("deployments.create", true, json!({})),
        ("deployments.cancel", false, json!({ "deployment": "01k9zr3v5g8yqk7t2m4n6p8r0s" })),
        ("releases.rollback", true, json!({})),
        ("env.set", false, json!({ "vars": { "A": "1" } })),
        ("env.unset", false, json!({ "names": ["A"] })),
        ("env.import", false, json!({ "content": "A=1" })),
        ("domains.add", true, json!({ "host": "new.example.com" })),
        ("domains.remove", true, json!({ "host": "shop.example.com" })),
        ("volumes.add", false, json!({ "name": "data", "path": "/data" })),
        ("volumes.remove", true, json!({ "volume": "old" })),
        ("instances.exec", false, json!({ "command": ["true"] })),
        ("instances.run", false, json!({ "command": ["true"] })),
        ("apps.delete", true, json!({})),
        ("apps.unlock", false, json!({})),
    ]
}

async fn attempt(caller: &super::super::Caller, op: &'static OpDef, mut input: Value) -> Result<()> {
    input["app"] = "shop".into();
    match op.meta.kind {
        OpKind::Duplex => caller.duplex(op, input).await.map(drop),
        _ => caller.call(op, input).await.map(drop),
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_would_notice_is_refused_with_the_reason() {
    let store = Arc::new(FakeStore::default());
    let world = World::over(store.clone());
    let engine = world.open().await.unwrap();
    call(&engine, app("shop")).await.unwrap();
    deployed(&world, &engine, from("shop", "one")).await;
    deployed(&world, &engine, from("shop", "two")).await;
    let domain = json!({ "app": "shop", "host": "shop.example.com" });
    call(&engine, serde_json::from_value::<ops::domains::AddDomain>(domain).unwrap()).await.unwrap();
    let lock = LockApp { app: "shop".parse().unwrap(), reason: "it is Friday".to_owned() };
    call(&engine, lock).await.unwrap();

    let mut changing: Vec<_> = ops::all()
        .filter(|op| op.meta.path.contains("{app}") && op.meta.risk != Risk::Read)
        .map(|op| op.meta.name)
        .collect();
    let mut listed: Vec<_> = cases().into_iter().map(|(name, ..)| name).collect();
    changing.sort_unstable();
    listed.sort_unstable();
    listed.dedup();
    assert_eq!(listed, changing, "a new operation has to be looked at");

    let caller = engine.caller(Principal::local("somebody"), "request-1");
    for (name, _, input) in cases().into_iter().filter(|(_, refused, _)| *refused) {
        let before = store.dump();
        let error = attempt(&caller, ops::find(name).unwrap(), input).await.unwrap_err();
        assert_eq!(error.code(), Code::Locked, "{name}: {error:?}");
        for part in ["it is Friday", "local:tester", "`sh0 unlock -a shop`"] {
            assert!(error.detail().contains(part), "{name}: {error:?}");
        }
        assert_eq!(store.dump(), before, "{name} leaves nothing, not even in audit");
    }
    for (name, _, input) in cases().into_iter().filter(|(_, refused, _)| !refused) {
        let code = attempt(&caller, ops::find(name).unwrap(), input).await.err().map(|error| error.code());
        // There is no deployment to cancel.
        assert_eq!(code, (name == "deployments.cancel").then_some(Code::NotFound), "{name}");
        world.settle(&engine).await;
    }
    // `apps.unlock` was the last of them.
    for (name, _, input) in cases().into_iter().filter(|(_, refused, _)| *refused) {
        let code = attempt(&caller, ops::find(name).unwrap(), input).await.err().map(|error| error.code());
        assert_ne!(code, Some(Code::Locked), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_changed_under_a_lock_waits_for_a_deployment_after_it() {
    let world = World::new(FakeStore::default());
    let engine = world.open().await.unwrap();
    call(&engine, app("shop")).await.unwrap();
    deployed(&world, &engine, from("shop", "one")).await;
    let before = seen(&world, &engine).await.live.unwrap();
    call(&engine, LockApp { app: "shop".parse().unwrap(), reason: String::new() }).await.unwrap();
    let vars = BTreeMap::from([("GREETING".parse().unwrap(), Secret::new("hello"))]);
    let change = call(&engine, SetEnv { app: "shop".parse().unwrap(), vars, stage: false }).await.unwrap();
    assert!(change.deployment.is_none());
    // What crashes comes back meanwhile, as it was.
    let instance = world.runtime.instances().remove(0).spec;
    world.runtime.crash(&instance.name, 1);
    world.settle(&engine).await;
    let after = world.runtime.instances().remove(0);
    assert!(after.state.is_running() && after.spec.env == instance.env, "{after:?}");
    let live = seen(&world, &engine).await.live.unwrap();
    assert_eq!((live.release, live.deployment), (before.release, before.deployment));

    call(&engine, UnlockApp { app: "shop".parse().unwrap() }).await.unwrap();
    assert_eq!(deployed(&world, &engine, from("shop", "two")).await.state, DeploymentState::Live);
    assert_eq!(world.runtime.instances()[0].spec.env[&"GREETING".parse().unwrap()].expose(), "hello");
}
