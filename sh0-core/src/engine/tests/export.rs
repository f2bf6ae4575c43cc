//! An app as the files of another platform: what serves, without a secret.

use serde_json::json;

use super::{deployed, open_shop, shop};
use crate::Code;
use crate::auth::{Principal, Role};
use crate::model::{ExportTarget, TokenId};
use crate::ops::apps::{ExportApp, ScaleApp, UpdateApp};
use crate::ops::domains::AddDomain;
use crate::ops::env::SetEnv;
use crate::testkit::fakes::{call, call_as, from};
use crate::traits::Clock;

fn wish() -> ExportApp {
    ExportApp { app: "shop".parse().unwrap(), to: ExportTarget::Compose }
}

#[tokio::test(start_paused = true)]
async fn what_serves_is_written_and_values_never_leave() {
    let (world, engine) = open_shop().await;
    let set = json!({ "app": "shop", "vars": { "DB_URL": "postgres://hunter2" }, "stage": true });
    call(&engine, serde_json::from_value::<SetEnv>(set).unwrap()).await.unwrap();
    let settings = json!({ "app": "shop", "settings": { "health": { "path": "/up" }, "volumes": [{ "name": "data", "path": "/data" }] } });
    call(&engine, serde_json::from_value::<UpdateApp>(settings).unwrap()).await.unwrap();
    deployed(&world, &engine, from("shop", "two")).await;
    // Set for a later deployment: it does not serve yet.
    let later = json!({ "app": "shop", "vars": { "LATER": "1" }, "stage": true });
    call(&engine, serde_json::from_value::<SetEnv>(later).unwrap()).await.unwrap();
    let scale = json!({ "app": "shop", "scale": { "web": 3 } });
    call(&engine, serde_json::from_value::<ScaleApp>(scale).unwrap()).await.unwrap();
    for domain in [
        json!({ "app": "shop", "host": "a.example.com" }),
        json!({ "app": "shop", "host": "b.example.com", "path": "/api" }),
    ] {
        call(&engine, serde_json::from_value::<AddDomain>(domain).unwrap()).await.unwrap();
    }
    world.settle(&engine).await;

    let token = Principal::token(TokenId::new(world.clock.ulid()), "ci", Role::ReadOnly);
    let export = call_as(&engine, token, wish()).await.unwrap();
    let text = export.file("compose.txt").unwrap();
    for word in [
        "shop",
        "start_command: Some(\"two\")",
        "DB_URL",
        "a.example.com",
        "b.example.com",
        "/api",
        "/up",
        "/data",
        "3",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let whole = serde_json::to_string(&export).unwrap();
    assert!(!whole.contains("hunter2") && !whole.contains("LATER"), "{whole}");
}

#[tokio::test(start_paused = true)]
async fn what_never_served_cannot_be_written() {
    let (_world, engine) = shop().await;
    let error = call(&engine, wish()).await.unwrap_err();
    assert_eq!(error.code(), Code::Conflict);
    assert!(error.detail().contains("deploy it, or export its folder"), "{error}");
}
