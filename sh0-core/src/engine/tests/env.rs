//! The environment: literal, checked, and changed by many at once without a loss.

use std::collections::BTreeMap;

use super::{open_shop, seen, shop};
use crate::Code;
use crate::model::{EnvKey, Secret};
use crate::ops::apps::{RestartApp, StartApp, StopApp};
use crate::ops::env::{ImportEnv, ListEnv, RevealEnv, SetEnv, UnsetEnv};
use crate::testkit::fakes::{Deed, World, call, from};

fn set(key: &str, value: &str, stage: bool) -> SetEnv {
    let vars = BTreeMap::from([(key.parse().unwrap(), Secret::new(value))]);
    SetEnv { app: "shop".parse().unwrap(), vars, stage }
}

#[tokio::test(start_paused = true)]
async fn values_arrive_byte_for_byte() {
    let (world, engine) = open_shop().await;
    let values = ["$HOME ${X} $(id) `id`", "a\"b'c\\d", "line one\nline two\r\n\ttab", "x=y==", "grüße 🎉", " ", ""];
    let keys: Vec<EnvKey> = (0..values.len()).map(|at| format!("V{at}").parse().unwrap()).collect();
    let vars = keys.iter().cloned().zip(values.map(Secret::new)).collect();
    call(&engine, SetEnv { app: "shop".parse().unwrap(), vars, stage: false }).await.unwrap();
    world.settle(&engine).await;
    let env = world.runtime.instances().remove(0).spec.env;
    for (key, value) in keys.iter().zip(values) {
        assert_eq!(env[key].expose(), value);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_and_not_stored() {
    let (world, engine) = shop().await;
    let before = *world.store.watch().borrow();
    let large = "x".repeat(128 * 1024);
    for (key, value, reason) in [
        ("PORT", "1", "is set by the platform"),
        ("SH0_RELEASE", "1", "is set by the platform"),
        ("A", "nul\0", "NUL"),
        ("A", &large, "is larger"),
    ] {
        let error = call(&engine, set(key, value, false)).await.unwrap_err();
        assert_eq!(error.code(), Code::Invalid);
        let field = &error.fields()[0];
        assert_eq!(field.field, format!("vars.{key}"));
        assert!(field.reason.contains(reason) && !field.hint.is_empty(), "{field:?}");
    }
    assert_eq!(*world.store.watch().borrow(), before);
}

#[tokio::test(start_paused = true)]
async fn many_who_change_it_at_once_lose_nothing() {
    let (_world, engine) = shop().await;
    let keys: Vec<String> = (0..6).map(|at| format!("KEY_{at}")).collect();
    let changes = keys.iter().map(|key| call(&engine, set(key, "1", true)));
    for change in futures_util::future::join_all(changes).await {
        change.unwrap();
    }
    let names = call(&engine, ListEnv { app: "shop".parse().unwrap() }).await.unwrap().names;
    assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), keys);
}

#[tokio::test(start_paused = true)]
async fn only_a_change_makes_a_release_and_only_of_an_app_that_runs() {
    let (world, engine) = shop().await;
    assert!(call(&engine, set("A", "1", false)).await.unwrap().deployment.is_none(), "nothing runs");
    call(&engine, from("shop", "one")).await.unwrap();
    world.settle(&engine).await;
    assert!(call(&engine, set("A", "2", true)).await.unwrap().deployment.is_none(), "it is staged");
    assert!(call(&engine, set("A", "3", false)).await.unwrap().deployment.is_some());
    world.settle(&engine).await;
    let unset = UnsetEnv { app: "shop".parse().unwrap(), names: vec!["NOT_THERE".parse().unwrap()], stage: false };
    assert!(call(&engine, unset).await.unwrap().deployment.is_none(), "nothing has changed");
}

#[tokio::test(start_paused = true)]
async fn the_same_value_again_is_no_change() {
    let (world, engine) = open_shop().await;
    call(&engine, set("A", "1", false)).await.unwrap();
    world.settle(&engine).await;
    let revision = seen(&world, &engine).await.live.unwrap().number;
    let again = call(&engine, set("A", "1", false)).await.unwrap();
    assert!(!again.changed && again.deployment.is_none(), "{again:?}");
    let import = ImportEnv { app: "shop".parse().unwrap(), content: Secret::new("A=1"), replace: true, stage: false };
    assert!(!call(&engine, import).await.unwrap().changed);
    let other = call(&engine, set("A", "2", false)).await.unwrap();
    assert!(other.changed && other.deployment.is_some());
    world.settle(&engine).await;
    assert_eq!(seen(&world, &engine).await.live.unwrap().number, revision + 1);
}

/// What was set while nothing ran, or was only staged, is not forgotten.
#[tokio::test(start_paused = true)]
async fn a_start_and_a_restart_take_it_along() {
    let (world, engine) = open_shop().await;
    let app = || "shop".parse().unwrap();
    let runs = |world: &World, value: &str| {
        let instances = world.runtime.instances();
        assert_eq!(instances.len(), 1);
        assert_eq!(instances[0].spec.env[&"A".parse().unwrap()].expose(), value);
    };
    call(&engine, StopApp { app: app() }).await.unwrap();
    world.settle(&engine).await;
    call(&engine, set("A", "1", false)).await.unwrap();
    let before = world.stage.deeds().len();
    call(&engine, StartApp { app: app() }).await.unwrap();
    world.settle(&engine).await;
    runs(&world, "1");
    let started = world.stage.deeds().split_off(before);
    let started = started.iter().filter(|deed| matches!(deed, Deed::Started(_))).count();
    assert_eq!(started, 1, "the release of before was not started first");
    call(&engine, set("A", "2", true)).await.unwrap();
    call(&engine, RestartApp { app: app() }).await.unwrap();
    world.settle(&engine).await;
    runs(&world, "2");
    let number = seen(&world, &engine).await.live.unwrap().number;
    call(&engine, RestartApp { app: app() }).await.unwrap();
    call(&engine, StopApp { app: app() }).await.unwrap();
    call(&engine, StartApp { app: app() }).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(seen(&world, &engine).await.live.unwrap().number, number, "without a change no release is made");
}

#[tokio::test(start_paused = true)]
async fn an_import_adds_or_replaces() {
    let (_world, engine) = shop().await;
    let import = |content: &str, replace| ImportEnv {
        app: "shop".parse().unwrap(),
        content: Secret::new(content),
        replace,
        stage: true,
    };
    call(&engine, import("A=1\nB='two words'\n", false)).await.unwrap();
    call(&engine, import("C=3", false)).await.unwrap();
    let shown = call(&engine, RevealEnv { app: "shop".parse().unwrap() }).await.unwrap().vars;
    let shown: Vec<_> = shown.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
    assert_eq!(shown, [("A", "1"), ("B", "two words"), ("C", "3")]);
    call(&engine, import("D=4", true)).await.unwrap();
    let names = call(&engine, ListEnv { app: "shop".parse().unwrap() }).await.unwrap().names;
    assert_eq!(names.len(), 1);
    assert_eq!(call(&engine, import("nothing", true)).await.unwrap_err().code(), Code::Invalid);
}
