//! An app that does not come up fails its deployment with the very reason, and the old release serves on.

use super::{change_settings, deployed, open_shop, reason, seen, shop};
use crate::engine::Engine;
use crate::model::{AppSettings, DeploymentState, Exit, Millis};
use crate::testkit::fakes::{Behaviour, World, call, from};

#[tokio::test(start_paused = true)]
async fn every_way_to_fail_says_so() {
    let exit = |code| Exit { code, oom: false };
    let cases = [
        (Behaviour::Exits(exit(1)), "exited with code 1", "boom"),
        (Behaviour::Exits(exit(127)), "the command was not found", "boom"),
        (Behaviour::Exits(Exit { code: 137, oom: true }), "more memory than its limit", "boom"),
        (Behaviour::Exits(exit(0)), "ended instead of serving: it exited with code 0", "it printed nothing"),
        (Behaviour::CrashLoops, "ended and was started again", "boom"),
        (Behaviour::Silent, "never opened port", "listen on the port in the variable PORT"),
        (Behaviour::LoopbackOnly, "listens on 127.0.0.1", "listen on 0.0.0.0"),
        (Behaviour::Hangs, "opened its port but did not answer", "no answer in time"),
        (Behaviour::Status(503), "HTTP 503", "a 2xx or 3xx is healthy"),
        (Behaviour::DiesOnceProbed(exit(2)), "exited with code 2", "started"),
        (Behaviour::CannotStart("no such program".into()), "no such program", ""),
        (Behaviour::BuildFails("npm says no".into()), "npm says no", ""),
    ];
    let (world, engine) = open_shop().await;
    change_settings(&world, &engine, |settings| settings.health.path = Some("/healthz".parse().unwrap())).await;
    let before = seen(&world, &engine).await;
    for (at, (behaviour, first, second)) in cases.into_iter().enumerate() {
        let tree = format!("case-{at}");
        world.runtime.script(&tree, behaviour.clone());
        let ended = deployed(&world, &engine, from("shop", &tree)).await;
        let reason = reason(&ended);
        assert!(reason.contains(first) && reason.contains(second), "{behaviour:?}: {reason}");
        assert_eq!(seen(&world, &engine).await, before, "{behaviour:?} changed the app");
    }
    let served = world.proxy.served(before.id);
    assert_eq!(served, [None, Some(before.live.unwrap().release)], "nobody else ever served, and never nobody");
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_cannot_be_had_or_read_says_so() {
    let (world, engine) = open_shop().await;
    assert!(reason(&deployed(&world, &engine, from("shop", "missing")).await).contains("/src/missing"));
    assert!(reason(&deployed(&world, &engine, from("shop", "unknown")).await).contains("nothing that this fake knows"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_starter_has_time() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::HealthyAfter(50));
    assert_eq!(deployed(&world, &engine, from("shop", "slow")).await.state, DeploymentState::Live);
}

/// How a deployment of `slow` ends, which is asked every second and has hardly a start period.
async fn tried(world: &World, engine: &Engine, retries: u32, successes: u32) -> DeploymentState {
    change_settings(world, engine, |AppSettings { health, .. }| {
        (health.interval, health.start_period) = (Millis(1_000), Millis(100));
        (health.retries, health.successes) = (retries, successes);
    })
    .await;
    deployed(world, engine, from("shop", "slow")).await.state
}

#[tokio::test(start_paused = true)]
async fn retries_come_after_the_start_period() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::HealthyAfter(7));
    for (retries, state) in [(0, DeploymentState::Failed), (10, DeploymentState::Live)] {
        assert_eq!(tried(&world, &engine, retries, 1).await, state, "{retries} retries");
    }
}

#[tokio::test(start_paused = true)]
async fn good_answers_use_up_no_retries() {
    let (world, engine) = open_shop().await;
    // Two bad answers after the start period, then four good ones.
    world.runtime.script("slow", Behaviour::HealthyAfter(7));
    for (retries, state) in [(1, DeploymentState::Failed), (2, DeploymentState::Live)] {
        assert_eq!(tried(&world, &engine, retries, 4).await, state, "{retries} retries");
    }
}

#[tokio::test(start_paused = true)]
async fn successes_must_follow_each_other() {
    let (world, engine) = open_shop().await;
    world.runtime.script("flaps", Behaviour::Flaps);
    assert_eq!(deployed(&world, &engine, from("shop", "flaps")).await.state, DeploymentState::Live);
    change_settings(&world, &engine, |AppSettings { health, .. }| {
        (health.successes, health.start_period) = (2, Millis(5_000));
    })
    .await;
    reason(&deployed(&world, &engine, from("shop", "flaps")).await);
}

#[tokio::test(start_paused = true)]
async fn a_first_deployment_that_fails_leaves_nothing() {
    let (world, engine) = shop().await;
    world.runtime.script("bad", Behaviour::Silent);
    reason(&deployed(&world, &engine, from("shop", "bad")).await);
    assert!(world.runtime.instances().is_empty() && world.runtime.artifacts().is_empty());
    assert_eq!(seen(&world, &engine).await.live, None);
    let target = world.proxy.target(seen(&world, &engine).await.id).unwrap();
    assert_eq!(target.notice.as_deref(), Some("it was not deployed yet"));
}

#[tokio::test(start_paused = true)]
async fn a_build_that_takes_too_long_is_given_up() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::BuildHangs);
    let deployment = call(&engine, from("shop", "slow")).await.unwrap();
    tokio::time::sleep(world.config.build_timeout).await;
    world.settle(&engine).await;
    assert!(reason(&super::now(&engine, &deployment).await).contains("took longer than 1800 s"));
}
