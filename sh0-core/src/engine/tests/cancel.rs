//! A deployment can be cancelled wherever it is, until its release serves.

use std::time::Duration;

use super::{Engine, deployed, now, open_shop, seen};
use crate::Code;
use crate::model::{Deployment, DeploymentState, Desired, Step};
use crate::ops::apps::StopApp;
use crate::ops::deployments::CancelDeployment;
use crate::testkit::chaos::{Faults, Mode, wrap};
use crate::testkit::fakes::{Behaviour, FakeStore, World, app, call, from};

fn cancel(deployment: &Deployment) -> CancelDeployment {
    CancelDeployment { app: deployment.app.into(), deployment: deployment.id }
}

/// Every call of a deployment hangs once, and somebody cancels it there.
#[tokio::test(start_paused = true)]
async fn at_every_call() {
    let mut seen_steps = std::collections::BTreeSet::new();
    for k in 1.. {
        let (world, faults) = (World::new(FakeStore::default()), Faults::default());
        let engine = Engine::open(wrap(world.backends(), &faults), world.config.clone()).await.unwrap();
        let mut wish = app("shop");
        wish.settings.release_command = Some("migrate".to_owned());
        wish.settings.drain_timeout = Some(crate::model::Millis(100));
        call(&engine, wish).await.unwrap();
        call(&engine, from("shop", "one")).await.unwrap();
        world.settle(&engine).await;
        let before = seen(&world, &engine).await;

        faults.arm(k, Mode::Hangs);
        let Ok(deployment) = call(&engine, from("shop", "two")).await else { continue };
        tokio::time::sleep(Duration::from_secs(10)).await;
        faults.disarm();
        if faults.hit().is_none() {
            // The old stop first only with another strategy.
            let expected = |step: &&Step| **step < Step::Switch && **step != Step::StopOld;
            for step in Step::ALL.iter().filter(expected) {
                assert!(seen_steps.contains(step), "nobody cancelled in the step {step}");
            }
            return;
        }
        let (call_name, at) = (faults.hit().unwrap(), now(&engine, &deployment).await);
        match call(&engine, cancel(&deployment)).await {
            Ok(_) => {
                seen_steps.extend(at.step);
                let patience = Duration::from_secs(180);
                let rest = world.try_settle(&engine, patience).await;
                assert_eq!(rest, Ok(()), "cancelled at call {k} ({call_name}) in {:?}", at.step);
                let ended = now(&engine, &deployment).await;
                assert_eq!(ended.state, DeploymentState::Cancelled, "call {k} ({call_name}) in {:?}", at.step);
                assert_eq!(ended.error.unwrap().code, Code::Cancelled);
                assert_eq!(seen(&world, &engine).await, before, "a cancelled deployment changes nothing");
                assert_eq!(world.stage.violations(), [""; 0]);
            }
            Err(error) => {
                assert_eq!(error.code(), Code::Conflict, "call {k} ({call_name}): {error:?}");
                assert!(at.step >= Some(Step::Drain), "call {k} ({call_name}) in {:?}: {error:?}", at.step);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_waits() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::BuildHangs);
    let slow = call(&engine, from("shop", "slow")).await.unwrap();
    let waiting = call(&engine, from("shop", "two")).await.unwrap();
    let ended = call(&engine, cancel(&waiting)).await.unwrap();
    assert_eq!(ended.state, DeploymentState::Cancelled);
    call(&engine, cancel(&slow)).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(seen(&world, &engine).await.live.unwrap().number, 1);
}

#[tokio::test(start_paused = true)]
async fn not_when_it_has_ended() {
    let (world, engine) = open_shop().await;
    let first = world.deployments(&engine, &"shop".parse().unwrap()).await.unwrap().remove(0);
    let error = call(&engine, cancel(&first)).await.unwrap_err();
    assert_eq!(error.code(), Code::Conflict);
    assert!(error.detail().contains("ended already"), "{error:?}");
}

/// A stop is not undone by what was asked for before it, wherever that is.
#[tokio::test(start_paused = true)]
async fn by_a_stop_at_every_call() {
    for k in 1.. {
        let (world, faults) = (World::new(FakeStore::default()), Faults::default());
        let engine = Engine::open(wrap(world.backends(), &faults), world.config.clone()).await.unwrap();
        call(&engine, app("shop")).await.unwrap();
        call(&engine, from("shop", "one")).await.unwrap();
        world.settle(&engine).await;
        faults.arm(k, Mode::Hangs);
        let Ok(running) = call(&engine, from("shop", "two")).await else { continue };
        tokio::time::sleep(Duration::from_secs(10)).await;
        faults.disarm();
        let waiting = call(&engine, from("shop", "three")).await.unwrap();
        call(&engine, StopApp { app: "shop".parse().unwrap() }).await.unwrap();
        let rest = world.try_settle(&engine, Duration::from_secs(180)).await;
        assert_eq!(rest, Ok(()), "stopped at call {k} ({:?})", faults.hit());
        assert_eq!(seen(&world, &engine).await.desired, Desired::Stopped, "call {k} ({:?})", faults.hit());
        assert_eq!(world.runtime.instances().len(), 0);
        if faults.hit().is_none() {
            return;
        }
        for deployment in [running, waiting] {
            let ended = now(&engine, &deployment).await;
            if ended.state != DeploymentState::Live {
                assert_eq!(ended.state, DeploymentState::Cancelled);
                let why = ended.error.unwrap().detail;
                assert!(why.starts_with("the app was stopped by local:tester before"), "{why}");
            }
        }
        deployed(&world, &engine, from("shop", "four")).await;
        assert_eq!(seen(&world, &engine).await.desired, Desired::Running, "a later one starts it");
    }
}

/// Who cancels and dies need not cancel again.
#[tokio::test(start_paused = true)]
async fn across_a_crash() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::BuildHangs);
    let slow = call(&engine, from("shop", "slow")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    call(&engine, cancel(&slow)).await.unwrap();
    drop(engine);
    let engine = world.open().await.unwrap();
    world.settle(&engine).await;
    assert_eq!(now(&engine, &slow).await.state, DeploymentState::Cancelled);
}
