//! Nothing grows for ever.

use std::time::Duration;

use super::{deployed, now, seen, shop};
use crate::engine::Engine;
use crate::model::{DeploymentState, Exit};
use crate::ops::audit::ListAudit;
use crate::ops::deployments::GetDeployment;
use crate::ops::env::SetEnv;
use crate::ops::releases::{ListReleases, Rollback};
use crate::testkit::chaos::{Faults, Mode, wrap};
use crate::testkit::fakes::{Behaviour, FakeStore, World, app, call, from};
use crate::traits::{Kind, Query};
use crate::{Code, Result};

fn back(to: u64) -> Rollback {
    Rollback { app: "shop".parse().unwrap(), to: Some(to) }
}

async fn numbers(engine: &Engine) -> Vec<u64> {
    let list = ListReleases { app: "shop".parse().unwrap(), cursor: None, limit: None };
    call(engine, list).await.unwrap().items.iter().map(|release| release.number).collect()
}

async fn cursors(engine: &Engine) -> Vec<u64> {
    let rows = call(engine, ListAudit { after: None, limit: Some(1000) }).await.unwrap().items;
    rows.iter().map(|row| row.cursor).collect()
}

/// A world with an app, and little room.
async fn small_shop() -> (World, Engine) {
    let (mut world, engine) = shop().await;
    drop(engine);
    world.config.keep_releases = 2;
    world.config.keep_deployments = 3;
    let engine = world.open().await.unwrap();
    (world, engine)
}

#[tokio::test(start_paused = true)]
async fn old_deployments_are_forgotten_with_all_that_was_told_of_them() {
    let (world, engine) = small_shop().await;
    let first = deployed(&world, &engine, from("shop", "one")).await;
    deployed(&world, &engine, from("shop", "two")).await;
    world.runtime.script("bad", Behaviour::Exits(Exit { code: 1, oom: false }));
    for _ in 0..6 {
        deployed(&world, &engine, from("shop", "bad")).await;
    }
    // Three failed ones, and those that made the two releases that can serve.
    let all = world.deployments(&engine, &"shop".parse().unwrap()).await.unwrap();
    assert_eq!(all.len(), 5, "{all:#?}");
    assert_eq!(all[0].id, first.id);
    assert_eq!(numbers(&engine).await, [2, 1]);
    call(&engine, back(1)).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(seen(&world, &engine).await.live.unwrap().number, 1, "what is kept can serve again");

    for tree in ["three", "four", "five", "six", "seven"] {
        deployed(&world, &engine, from("shop", tree)).await;
    }
    assert_eq!(numbers(&engine).await, [13, 12, 11], "numbers count on, failed ones too");
    let gone = GetDeployment { app: "shop".parse().unwrap(), deployment: first.id };
    assert_eq!(call(&engine, gone).await.unwrap_err().code(), Code::NotFound);
    for stream in [format!("events/{}", first.id), format!("journal/{}", first.id)] {
        assert_eq!(world.store.read(&stream, 0, 10).await.unwrap(), [], "{stream}");
    }
    assert_eq!(world.deployments(&engine, &"shop".parse().unwrap()).await.unwrap().len(), 3);
}

/// Changes of the environment are releases of the same code: they do not push older code out.
#[tokio::test(start_paused = true)]
async fn what_to_go_back_to_is_counted_by_code() {
    let (world, engine) = small_shop().await;
    for tree in ["zero", "one", "two"] {
        deployed(&world, &engine, from("shop", tree)).await;
    }
    for value in 0..6 {
        let vars = [("A".parse().unwrap(), crate::model::Secret::new(value.to_string()))].into();
        call(&engine, SetEnv { app: "shop".parse().unwrap(), vars, stage: false }).await.unwrap();
        world.settle(&engine).await;
    }
    assert_eq!(world.runtime.artifacts().len(), 2);
    let list = ListReleases { app: "shop".parse().unwrap(), cursor: None, limit: None };
    let releases = call(&engine, list).await.unwrap().items;
    let able: Vec<_> = releases.iter().filter(|release| !release.pruned).map(|release| release.number).collect();
    assert_eq!(able, [9, 8, 2], "two of the newest code, and the code before it");
    call(&engine, back(2)).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(seen(&world, &engine).await.live.unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn what_serves_is_kept_however_old_it_is() {
    let (world, engine) = small_shop().await;
    let first = deployed(&world, &engine, from("shop", "one")).await;
    for tree in ["two", "three", "four"] {
        deployed(&world, &engine, from("shop", tree)).await;
    }
    deployed(&world, &engine, from("shop", "five")).await;
    assert_eq!(numbers(&engine).await, [5, 4, 3]);
    call(&engine, back(4)).await.unwrap();
    world.settle(&engine).await;
    world.runtime.script("bad", Behaviour::Exits(Exit { code: 1, oom: false }));
    for _ in 0..5 {
        deployed(&world, &engine, from("shop", "bad")).await;
    }
    let app = seen(&world, &engine).await;
    let live = app.live.unwrap();
    let all = world.deployments(&engine, &"shop".parse().unwrap()).await.unwrap();
    assert_eq!(live.number, 4);
    assert!(all.iter().any(|deployment| deployment.id == live.deployment), "the rollback that made it serve");
    assert!(all.iter().all(|deployment| deployment.id != first.id));
}

#[tokio::test(start_paused = true)]
async fn the_audit_log_is_bounded_by_rows_and_by_age() {
    let (mut world, engine) = shop().await;
    drop(engine);
    world.config.keep_audit_rows = 5;
    world.config.keep_audit_for = Duration::from_secs(3600);
    let engine = world.open().await.unwrap();
    let set = || SetEnv { app: "shop".parse().unwrap(), vars: Default::default(), stage: true };
    for _ in 0..9 {
        call(&engine, set()).await.unwrap();
    }
    assert_eq!(cursors(&engine).await.len(), 10);
    tokio::time::sleep(world.config.reconcile_every * 2).await;
    assert_eq!(cursors(&engine).await, [6, 7, 8, 9, 10], "the newest stay, with their cursors");
    tokio::time::sleep(Duration::from_secs(1800)).await;
    call(&engine, set()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1801)).await;
    assert_eq!(cursors(&engine).await, [11], "the others are too old");
    tokio::time::sleep(Duration::from_secs(7200)).await;
    let revision = *world.store.watch().borrow();
    tokio::time::sleep(Duration::from_secs(7200)).await;
    assert_eq!(cursors(&engine).await, [11], "the newest carries the count on");
    assert_eq!(*world.store.watch().borrow(), revision, "and nothing is written for its sake");
}

/// Every call goes wrong once while retention lets something go.
#[tokio::test(start_paused = true)]
async fn retention_survives_faults() {
    for mode in [Mode::Refused(Code::Unavailable), Mode::LostAnswer(Code::Internal), Mode::DiesAfter] {
        for k in 1.. {
            let (mut world, faults) = (World::new(FakeStore::default()), Faults::default());
            world.config.keep_releases = 1;
            world.config.keep_deployments = 1;
            world.config.keep_audit_rows = 2;
            let engine = Engine::open(wrap(world.backends(), &faults), world.config.clone()).await.unwrap();
            prepare(&world, &engine).await.unwrap();
            faults.arm(k, mode);
            let asked = tokio::select! {
                () = faults.died() => None,
                asked = call(&engine, from("shop", "three")) => {
                    tokio::select! {
                        () = faults.died() => {}
                        () = tokio::time::sleep(Duration::from_secs(40)) => {}
                    }
                    asked.ok()
                }
            };
            faults.disarm();
            drop(engine);
            tokio::task::yield_now().await;
            let engine = world.open().await.unwrap();
            world.settle(&engine).await;
            if let Some(deployment) = asked {
                let ended = now(&engine, &deployment).await;
                assert!(ended.state == DeploymentState::Live || mode_fails(mode), "{mode:?} {k}: {ended:?}");
            }
            // Retention runs when a deployment ends.
            deployed(&world, &engine, from("shop", "four")).await;
            tokio::time::sleep(world.config.reconcile_every * 2).await;
            let what = format!("{mode:?}, call {k} ({:?})", faults.hit());
            assert_eq!(world.deployments(&engine, &"shop".parse().unwrap()).await.unwrap().len(), 1, "{what}");
            assert_eq!(numbers(&engine).await.len(), 1, "{what}");
            assert_eq!(cursors(&engine).await.len(), 2, "{what}");
            if faults.hit().is_none() {
                break;
            }
        }
    }
}

/// What builds keep is trimmed beside everything else.
#[tokio::test(start_paused = true)]
async fn no_app_waits_for_caches_to_be_trimmed() {
    for mode in [Mode::Hangs, Mode::Refused(Code::Internal)] {
        for k in 1.. {
            let (mut world, faults) = (World::new(FakeStore::default()), Faults::default());
            world.config.keep_deployments = 1;
            let engine = Engine::open(wrap(world.backends(), &faults), world.config.clone()).await.unwrap();
            prepare(&world, &engine).await.unwrap();
            faults.arm(k, mode);
            let asked = call(&engine, from("shop", "three")).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            let hit = faults.hit().expect("it is trimmed after a deployment");
            if hit != "runtime.trim_build_cache" {
                continue;
            }
            faults.disarm();
            for deployment in [asked.unwrap(), call(&engine, from("shop", "four")).await.unwrap()] {
                tokio::time::sleep(Duration::from_secs(5)).await;
                let all = world.deployments(&engine, &"shop".parse().unwrap()).await.unwrap();
                assert!(all.iter().all(|one| one.id != deployment.id || one.state == DeploymentState::Live), "{all:?}");
            }
            assert_eq!(numbers(&engine).await[0], 4);
            let waits = world.store.list(&Query::all(Kind("prune"))).await.unwrap();
            assert!(waits.is_empty(), "retention is done: {waits:?}");
            break;
        }
    }
}

fn mode_fails(mode: Mode) -> bool {
    matches!(mode, Mode::Refused(Code::Internal) | Mode::LostAnswer(Code::Internal))
}

async fn prepare(world: &World, engine: &Engine) -> Result<()> {
    let mut wish = app("shop");
    wish.settings.drain_timeout = Some(crate::model::Millis(100));
    call(engine, wish).await?;
    for tree in ["one", "two"] {
        call(engine, from("shop", tree)).await?;
        world.rest().await?;
    }
    Ok(())
}
