//! Releases: code, settings and environment go back together; retention; the runtime an app stays on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{change_settings, deployed, now, open_shop, reason, seen};
use crate::Code;
use crate::model::{RuntimeKind, Secret};
use crate::ops::deployments::{CancelDeployment, CreateDeployment};
use crate::ops::env::{RevealEnv, SetEnv};
use crate::ops::releases::{ListReleases, Rollback};
use crate::testkit::fakes::{FakeProber, FakeRuntime, call, from};
use crate::traits::{CommandLine, Runtime};

fn back(to: Option<u64>) -> Rollback {
    Rollback { app: "shop".parse().unwrap(), to }
}

fn greeting(text: &str, stage: bool) -> SetEnv {
    let vars = BTreeMap::from([("GREETING".parse().unwrap(), Secret::new(text))]);
    SetEnv { app: "shop".parse().unwrap(), vars, stage }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_restores_code_settings_and_environment() {
    let (world, engine) = open_shop().await;
    call(&engine, greeting("hello", false)).await.unwrap();
    world.settle(&engine).await;
    let before = seen(&world, &engine).await;
    assert_eq!(before.live.as_ref().unwrap().number, 2);

    change_settings(&world, &engine, |settings| settings.health.successes = 3).await;
    call(&engine, greeting("good day", true)).await.unwrap();
    deployed(&world, &engine, from("shop", "two")).await;
    assert_eq!(seen(&world, &engine).await.live.unwrap().number, 3);

    call(&engine, back(None)).await.unwrap();
    world.settle(&engine).await;
    let after = seen(&world, &engine).await;
    assert_eq!(after.live.as_ref().unwrap().number, 2);
    assert_eq!(after.settings, before.settings);
    let env = call(&engine, RevealEnv { app: "shop".parse().unwrap() }).await.unwrap().vars;
    assert_eq!(env[&"GREETING".parse().unwrap()].expose(), "hello");
    let instance = world.runtime.instances().remove(0);
    assert_eq!(instance.spec.command, Some(CommandLine::Shell("one".to_owned())));
    assert_eq!(instance.spec.env[&"GREETING".parse().unwrap()].expose(), "hello");
    let releases =
        call(&engine, ListReleases { app: "shop".parse().unwrap(), cursor: None, limit: None }).await.unwrap();
    assert_eq!(releases.items.iter().map(|release| release.number).collect::<Vec<_>>(), [3, 2, 1], "no new one");

    call(&engine, back(Some(3))).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(seen(&world, &engine).await.settings.health.successes, 3, "and forward again");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_names_what_it_cannot_do() {
    let (world, engine) = open_shop().await;
    assert_eq!(call(&engine, back(None)).await.unwrap_err().code(), Code::Conflict);
    assert_eq!(call(&engine, back(Some(1))).await.unwrap_err().code(), Code::Conflict);
    assert_eq!(call(&engine, back(Some(9))).await.unwrap_err().code(), Code::Invalid);
    deployed(&world, &engine, from("shop", "two")).await;
    let artifact = world.runtime.artifacts().remove(0);
    world.runtime.remove_artifact(&artifact).await.unwrap();
    let deployment = call(&engine, back(Some(1))).await.unwrap();
    world.rest().await.unwrap();
    assert!(reason(&now(&engine, &deployment).await).contains("was removed meanwhile"));
}

#[tokio::test(start_paused = true)]
async fn retention_keeps_the_newest_and_the_live_one() {
    let (mut world, engine) = open_shop().await;
    drop(engine);
    world.config.keep_releases = 2;
    let engine = world.open().await.unwrap();
    for tree in ["two", "three", "four"] {
        deployed(&world, &engine, from("shop", tree)).await;
    }
    assert_eq!(world.runtime.artifacts().len(), 2);
    let error = call(&engine, back(Some(1))).await.unwrap_err();
    assert!(error.code() == Code::Conflict && error.detail().contains("retention"), "{error:?}");

    call(&engine, back(Some(3))).await.unwrap();
    world.settle(&engine).await;
    for tree in ["bad-one", "bad-two"] {
        world.runtime.script(tree, crate::testkit::fakes::Behaviour::Silent);
        reason(&deployed(&world, &engine, from("shop", tree)).await);
    }
    assert_eq!(world.runtime.artifacts().len(), 2, "failed ones push nobody out");
}

/// What never came to be binds nobody.
#[tokio::test(start_paused = true)]
async fn an_app_without_a_release_may_choose_again() {
    let (world, engine) = super::shop().await;
    drop(engine);
    let process = FakeRuntime::new(RuntimeKind::Process, &world.clock, &world.stage);
    let mut backends = world.backends();
    backends.runtimes.insert(RuntimeKind::Process, Arc::new(process.clone()));
    backends.prober = Arc::new(FakeProber::new(&process));
    let engine = crate::engine::Engine::open(backends, world.config.clone()).await.unwrap();
    world.runtime.script("bad", crate::testkit::fakes::Behaviour::BuildHangs);
    let on = |kind, tree| CreateDeployment { runtime: Some(kind), ..from("shop", tree) };
    let failed = call(&engine, on(RuntimeKind::Docker, "bad")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let busy = call(&engine, on(RuntimeKind::Process, "one")).await.unwrap_err();
    assert_eq!(busy.code(), Code::Conflict, "a deployment is under way there: {busy:?}");
    call(&engine, CancelDeployment { app: failed.app.into(), deployment: failed.id }).await.unwrap();
    world.rest().await.unwrap();
    assert_eq!(seen(&world, &engine).await.runtime, Some(RuntimeKind::Docker));
    let moved = call(&engine, on(RuntimeKind::Process, "one")).await.unwrap();
    world.rest().await.unwrap();
    assert_eq!(now(&engine, &moved).await.state, crate::model::DeploymentState::Live);
    assert_eq!(process.instances().len(), 1);
    assert_eq!(call(&engine, on(RuntimeKind::Docker, "two")).await.unwrap_err().code(), Code::Conflict);
}

#[tokio::test(start_paused = true)]
async fn an_app_stays_on_its_runtime() {
    let (world, engine) = open_shop().await;
    drop(engine);
    let process = FakeRuntime::new(RuntimeKind::Process, &world.clock, &world.stage);
    let mut backends = world.backends();
    backends.runtimes.insert(RuntimeKind::Process, Arc::new(process.clone()));
    let engine = crate::engine::Engine::open(backends, world.config.clone()).await.unwrap();
    assert_eq!(seen(&world, &engine).await.runtime, Some(RuntimeKind::Docker));
    let moving = CreateDeployment { runtime: Some(RuntimeKind::Process), ..from("shop", "two") };
    assert_eq!(call(&engine, moving).await.unwrap_err().code(), Code::Conflict);

    world.runtime.set_away(true);
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    world.rest().await.unwrap();
    assert!(reason(&now(&engine, &deployment).await).contains("the fake runtime is away"));
    assert!(process.instances().is_empty(), "it is never moved silently");
    world.runtime.set_away(false);
    world.settle(&engine).await;
    assert_eq!(seen(&world, &engine).await.live.unwrap().number, 1);
}
