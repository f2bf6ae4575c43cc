//! Crash safety: every call of every backend goes wrong once, in every way, while an app is deployed, rolled back,
//! changed or destroyed. Afterwards everything must be as if nothing had happened, or as if it had not been asked for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "chaos/driver.rs"]
mod driver;
#[path = "chaos/scenario.rs"]
mod scenario;
#[path = "chaos/verdict.rs"]
mod verdict;

use driver::every_call;
use scenario::Scenario;
use sh0_core::Code;
use sh0_core::testkit::fakes::{World, app, call, from};
use sh0_store::memory::MemoryStore;

#[test]
fn a_first_deploy() {
    every_call(Scenario::FirstDeploy);
}

#[test]
fn a_second_deploy() {
    every_call(Scenario::SecondDeploy);
}

#[test]
fn a_failing_deploy() {
    every_call(Scenario::FailingDeploy);
}

#[test]
fn a_failing_release_command() {
    every_call(Scenario::FailingReleaseCommand);
}

#[test]
fn a_failing_deploy_that_stops_the_old_first() {
    every_call(Scenario::FailingRecreate);
}

#[test]
fn a_rollback() {
    every_call(Scenario::Rollback);
}

#[test]
fn a_change_of_the_environment() {
    every_call(Scenario::EnvChange);
}

#[test]
fn a_change_of_scale() {
    every_call(Scenario::Scale);
}

#[test]
fn a_stop() {
    every_call(Scenario::Stop);
}

#[test]
fn a_destroy() {
    every_call(Scenario::Destroy);
}

/// Who was the platform before has nothing to say any more (I12).
#[tokio::test(start_paused = true)]
async fn an_engine_that_was_replaced_cannot_write() {
    let world = World::new(MemoryStore::new());
    let old = world.open().await.unwrap();
    call(&old, app("shop")).await.unwrap();
    call(&old, from("shop", "one")).await.unwrap();
    world.settle(&old).await;
    let new = world.open().await.unwrap();

    let late = call(&old, from("shop", "two")).await.unwrap_err();
    assert_eq!(late.code(), Code::Conflict, "{late:?}");
    assert!(late.detail().contains("took this store over"), "{late:?}");
    world.settle(&new).await;
    assert_eq!(world.deployments(&new, &"shop".parse().unwrap()).await.unwrap().len(), 1);

    call(&new, from("shop", "two")).await.unwrap();
    world.settle(&new).await;
    assert_eq!(world.app(&new, "shop").await.unwrap().live.unwrap().number, 2);
    assert!(world.stage.violations().is_empty(), "{:?}", world.stage.violations());
}
