//! One deployment of an app runs, one waits; the newest wins.

use futures_util::TryStreamExt;

use super::{now, open_shop, seen};
use crate::model::{DeploymentState, EventKind, Step};
use crate::ops::deployments::CancelDeployment;
use crate::testkit::fakes::{Behaviour, app, call, follow, from};

#[tokio::test(start_paused = true)]
async fn the_newest_that_waits_wins() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::BuildHangs);
    let slow = call(&engine, from("shop", "slow")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(now(&engine, &slow).await.step, Some(Step::Build));
    let mut waiting = Vec::new();
    for tree in ["two", "three", "four"] {
        waiting.push(call(&engine, from("shop", tree)).await.unwrap());
    }
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    for deployment in &waiting {
        assert_eq!(now(&engine, deployment).await.state, DeploymentState::Queued, "they wait for the one that runs");
    }

    call(&engine, CancelDeployment { app: slow.app.into(), deployment: slow.id }).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(now(&engine, &slow).await.state, DeploymentState::Cancelled);
    let states = [now(&engine, &waiting[0]).await, now(&engine, &waiting[1]).await, now(&engine, &waiting[2]).await];
    let states = states.map(|deployment| deployment.state);
    assert_eq!(states, [DeploymentState::Superseded, DeploymentState::Superseded, DeploymentState::Live]);
    assert_eq!(seen(&world, &engine).await.live.unwrap().deployment, waiting[2].id);

    let events: Vec<_> = follow(&engine, "shop", waiting[0].id, None).await.unwrap().try_collect().await.unwrap();
    let last = &events.last().unwrap().what;
    assert!(matches!(last, EventKind::State { state: DeploymentState::Superseded, .. }), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn apps_do_not_wait_for_each_other() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::BuildHangs);
    let slow = call(&engine, from("shop", "slow")).await.unwrap();
    call(&engine, app("blog")).await.unwrap();
    let quick = call(&engine, from("blog", "one")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(now(&engine, &quick).await.state, DeploymentState::Live);
    assert_eq!(now(&engine, &slow).await.state, DeploymentState::Running);
}

#[tokio::test(start_paused = true)]
async fn builds_are_limited_over_all_apps() {
    let (mut world, engine) = open_shop().await;
    drop(engine);
    world.config.parallel_builds = 1;
    let engine = world.open().await.unwrap();
    world.runtime.script("slow", Behaviour::BuildHangs);
    let slow = call(&engine, from("shop", "slow")).await.unwrap();
    call(&engine, app("blog")).await.unwrap();
    let other = call(&engine, from("blog", "one")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(now(&engine, &other).await.state, DeploymentState::Queued, "it waits for its turn to build");
    call(&engine, CancelDeployment { app: slow.app.into(), deployment: slow.id }).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(now(&engine, &other).await.state, DeploymentState::Live);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_deployments_at_once_end_in_one_release() {
    let (world, engine) = open_shop().await;
    let wishes = (0..100).map(|_| call(&engine, from("shop", "two")));
    let accepted = futures_util::future::join_all(wishes).await;
    let newest = accepted.into_iter().map(|wish| wish.unwrap().id).max().unwrap();
    world.settle(&engine).await;
    assert_eq!(seen(&world, &engine).await.live.unwrap().deployment, newest, "nothing newer was lost");
    let all = world.deployments(&engine, &"shop".parse().unwrap()).await.unwrap();
    let count = |state| all.iter().filter(|deployment| deployment.state == state).count();
    assert_eq!(all.len(), 101);
    assert_eq!(count(DeploymentState::Live) + count(DeploymentState::Superseded), 101);
}
