//! How a new release takes the place of the old one.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;

use super::{change_settings, deployed, now, open_shop, reason, seen, shop};
use crate::Code;
use crate::engine::Engine;
use crate::model::{DeploymentState, Exit, InstanceName, Step, Strategy};
use crate::testkit::chaos::{Faults, Mode, wrap};
use crate::testkit::fakes::{Behaviour, Deed, FakePlanner, FakeStore, World, call, follow, from};

/// Where in the world's history something was done.
fn position(world: &World, fits: impl Fn(&Deed) -> bool) -> usize {
    world.stage.deeds().iter().position(fits).expect("it was done")
}

#[tokio::test(start_paused = true)]
async fn rolling_never_leaves_a_moment_without_service() {
    let (world, engine) = open_shop().await;
    let old = seen(&world, &engine).await.live.unwrap();
    let new = deployed(&world, &engine, from("shop", "two")).await;
    let (old, new_name) = (&old.upstreams[0].instance, InstanceName::of(new.id, &"web".parse().unwrap(), 0));
    let routed = position(&world, |deed| matches!(deed, Deed::Routed(to) if to.contains(&new_name)));
    let stopped = position(&world, |deed| *deed == Deed::Stopped(old.clone()));
    assert!(routed < stopped);
    assert!(!world.proxy.served(new.app).iter().skip(1).any(Option::is_none));
}

#[tokio::test(start_paused = true)]
async fn requests_that_go_on_are_waited_for() {
    let (world, engine) = open_shop().await;
    let old = seen(&world, &engine).await.live.unwrap().upstreams[0].instance.clone();
    let request = world.proxy.begin(&old);
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(now(&engine, &deployment).await.step, Some(Step::Drain));
    assert!(world.runtime.instance(&old).unwrap().state.is_running());
    drop(request);
    world.settle(&engine).await;
    assert!(world.runtime.instance(&old).is_none());
}

#[tokio::test(start_paused = true)]
async fn requests_are_not_waited_for_longer_than_the_drain_timeout() {
    let (world, engine) = open_shop().await;
    let old = seen(&world, &engine).await.live.unwrap().upstreams[0].instance.clone();
    let _request = world.proxy.begin(&old);
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(now(&engine, &deployment).await.state, DeploymentState::Live);
}

#[tokio::test(start_paused = true)]
async fn recreate_stops_the_old_first() {
    let (world, engine) = open_shop().await;
    change_settings(&world, &engine, |settings| settings.strategy = Strategy::Recreate).await;
    let old = seen(&world, &engine).await.live.unwrap().upstreams[0].instance.clone();
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    world.settle(&engine).await;
    let new = InstanceName::of(deployment.id, &"web".parse().unwrap(), 0);
    let stopped = position(&world, |deed| *deed == Deed::Stopped(old.clone()));
    let started = position(&world, |deed| *deed == Deed::Started(new.clone()));
    assert!(stopped < started, "two of them never run at once");
    assert_eq!(world.stage.violations(), [""; 0], "nobody is sent to an instance that stops");
    assert!(world.proxy.served(deployment.app).contains(&None), "meanwhile nobody serves");
}

#[tokio::test(start_paused = true)]
async fn recreate_lets_the_old_finish_what_they_have_begun() {
    let (world, engine) = open_shop().await;
    change_settings(&world, &engine, |settings| settings.strategy = Strategy::Recreate).await;
    let old = seen(&world, &engine).await.live.unwrap().upstreams[0].instance.clone();
    let request = world.proxy.begin(&old);
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(now(&engine, &deployment).await.step, Some(Step::StopOld));
    assert!(world.runtime.instance(&old).unwrap().state.is_running());
    assert_eq!(world.proxy.target(deployment.app).unwrap().upstreams, [], "nothing new reaches it");
    drop(request);
    world.settle(&engine).await;
    assert_eq!(world.stage.violations(), [""; 0]);
    assert_eq!(now(&engine, &deployment).await.state, DeploymentState::Live);
}

#[tokio::test(start_paused = true)]
async fn recreate_brings_the_old_back_when_the_new_fails() {
    let (world, engine) = open_shop().await;
    change_settings(&world, &engine, |settings| settings.strategy = Strategy::Recreate).await;
    world.runtime.script("bad", Behaviour::Exits(Exit { code: 1, oom: false }));
    let before = seen(&world, &engine).await.live.unwrap();
    let deployment = call(&engine, from("shop", "bad")).await.unwrap();
    world.settle(&engine).await;
    reason(&now(&engine, &deployment).await);
    let after = seen(&world, &engine).await.live.unwrap();
    assert_eq!((after.release, after.deployment), (before.release, before.deployment));
    assert_eq!(after.upstreams.len(), 1, "it serves again");
}

#[tokio::test(start_paused = true)]
async fn the_release_command_runs_once_before_the_switch() {
    let (world, engine) = open_shop().await;
    change_settings(&world, &engine, |settings| settings.release_command = Some("migrate".to_owned())).await;
    let deployment = deployed(&world, &engine, from("shop", "two")).await;
    let command = InstanceName::release_command(deployment.id);
    assert_eq!(world.stage.count(|deed| *deed == Deed::Started(command.clone())), 1);
    let web = InstanceName::of(deployment.id, &"web".parse().unwrap(), 0);
    let ran = position(&world, |deed| *deed == Deed::Started(command.clone()));
    assert!(ran < position(&world, |deed| *deed == Deed::Created(web.clone())));
    assert!(deployment.made.release_command);
}

#[tokio::test(start_paused = true)]
async fn a_failing_release_command_ends_the_deployment() {
    let (world, engine) = open_shop().await;
    change_settings(&world, &engine, |settings| settings.release_command = Some("migrate".to_owned())).await;
    world.runtime.script("migrate", Behaviour::Exits(Exit { code: 3, oom: false }));
    let reason = reason(&deployed(&world, &engine, from("shop", "two")).await);
    assert!(reason.contains("(the release command) exited with code 3") && reason.contains("boom"), "{reason}");
    world.runtime.script("migrate", Behaviour::Healthy);
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    tokio::time::sleep(world.config.release_command_timeout).await;
    world.settle(&engine).await;
    let endless = super::reason(&now(&engine, &deployment).await);
    assert!(endless.contains("took longer than 600 s"), "{endless}");
    assert_eq!(seen(&world, &engine).await.live.unwrap().number, 1);
}

#[tokio::test(start_paused = true)]
async fn workers_come_and_go_with_web() {
    let (world, engine) = shop().await;
    let mut plan = FakePlanner::plain("serve");
    plan.processes = BTreeMap::from([("worker".parse().unwrap(), "work".to_owned())]);
    world.planner.script("/src/both", plan);
    assert_eq!(deployed(&world, &engine, from("shop", "both")).await.state, DeploymentState::Live);
    assert_eq!(world.runtime.instances().len(), 2);
    world.runtime.script("work", Behaviour::CrashLoops);
    let reason = reason(&deployed(&world, &engine, from("shop", "both")).await);
    assert!(reason.contains("worker-0 ended and was started again"), "{reason}");
}

/// What took long before a fault is not held against the deployment.
#[tokio::test(start_paused = true)]
async fn patience_begins_with_the_first_fault() {
    for k in 1.. {
        let (world, faults) = (World::new(FakeStore::default()), Faults::default());
        let engine = Engine::open(wrap(world.backends(), &faults), world.config.clone()).await.unwrap();
        call(&engine, crate::testkit::fakes::app("shop")).await.unwrap();
        // Twice as long as the start period.
        faults.arm(k, Mode::Hangs);
        let asked = call(&engine, from("shop", "one")).await;
        world.settle(&engine).await;
        match faults.hit() {
            Some("runtime.build") => {
                let deployment = now(&engine, &asked.unwrap()).await;
                assert_eq!(deployment.state, DeploymentState::Live, "{deployment:?}");
                return;
            }
            Some(_) => {}
            None => panic!("nothing was built"),
        }
    }
}

/// Who waits is told why nothing seems to happen.
#[tokio::test(start_paused = true)]
async fn a_fault_that_passes_is_told_and_does_no_harm() {
    for k in 1.. {
        let (world, faults) = (World::new(FakeStore::default()), Faults::default());
        let engine = Engine::open(wrap(world.backends(), &faults), world.config.clone()).await.unwrap();
        call(&engine, crate::testkit::fakes::app("shop")).await.unwrap();
        faults.arm(k, Mode::Refused(Code::Unavailable));
        let asked = call(&engine, from("shop", "one")).await;
        world.settle(&engine).await;
        match faults.hit() {
            Some("fetcher.fetch") => {
                let deployment = now(&engine, &asked.unwrap()).await;
                assert_eq!(deployment.state, DeploymentState::Live);
                let events = follow(&engine, "shop", deployment.id, None).await.unwrap();
                let told: Vec<String> = events.map(|event| event.unwrap().what.to_string()).collect().await;
                let notes: Vec<_> = told.iter().filter(|text| text.contains("fetch will be tried again: ")).collect();
                assert_eq!(notes.len(), 1, "{told:#?}");
                return;
            }
            Some(_) => {}
            None => panic!("the tree was never fetched"),
        }
    }
}
