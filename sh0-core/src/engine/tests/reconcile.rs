//! What happens behind the platform's back is mended; what is not its own is left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{deployed, now, open_shop, seen, shop};
use crate::model::{AppId, DeploymentId, DeploymentState, InstanceName, InstanceState, PlatformId};
use crate::ops::apps::ScaleApp;
use crate::ops::releases::Rollback;
use crate::testkit::fakes::{Behaviour, Deed, FakeInstance, World, call, from};
use crate::traits::{Clock, InstanceSpec, Labels};

fn only(world: &World) -> InstanceName {
    let instances = world.runtime.instances();
    assert_eq!(instances.len(), 1);
    instances[0].spec.name.clone()
}

#[tokio::test(start_paused = true)]
async fn what_ended_or_was_removed_comes_back() {
    let (world, engine) = open_shop().await;
    let name = only(&world);
    world.runtime.vanish(&name);
    world.settle(&engine).await;
    world.runtime.crash(&name, 1);
    world.settle(&engine).await;
    let before = seen(&world, &engine).await.live.unwrap().upstreams;
    world.runtime.restart(&name);
    world.settle(&engine).await;
    let after = seen(&world, &engine).await.live.unwrap().upstreams;
    assert_eq!(only(&world), name);
    assert_ne!(after, before, "it answers at another address, and the proxy knows");
}

/// Nobody tells that an instance can be reached again: it is not out of rotation until the next round of the reconciler.
#[tokio::test(start_paused = true)]
async fn what_is_out_of_sight_for_a_moment_is_back_in_rotation_soon() {
    let hidden: [fn(&mut FakeInstance); 2] =
        [|instance| instance.endpoint = None, |instance| instance.state = InstanceState::Restarting];
    for hide in hidden {
        let (world, engine) = open_shop().await;
        call(&engine, from("shop", "two")).await.unwrap();
        world.settle(&engine).await;
        call(&engine, Rollback { app: "shop".parse().unwrap(), to: Some(1) }).await.unwrap();
        world.settle(&engine).await;
        let (name, id) = (only(&world), seen(&world, &engine).await.id);
        let before = world.runtime.instance(&name).unwrap();
        let mut unseen = before.clone();
        hide(&mut unseen);
        world.runtime.plant(unseen);
        let scale = BTreeMap::from([("web".parse().unwrap(), 2)]);
        call(&engine, ScaleApp { app: "shop".parse().unwrap(), scale }).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let routed = world.proxy.target(id).unwrap().upstreams;
        assert!(routed.len() == 1 && routed[0].instance != name, "only the new one can be reached: {routed:?}");
        world.runtime.plant(before);
        tokio::time::sleep(world.config.reconcile_every / 3).await;
        assert_eq!(world.proxy.target(id).unwrap().upstreams.len(), 2);
        world.settle(&engine).await;
    }
}

/// One that is sick is out of rotation; the others serve.
#[tokio::test(start_paused = true)]
async fn what_cannot_come_back_is_out_of_rotation() {
    let (world, engine) = open_shop().await;
    let id = seen(&world, &engine).await.id;
    let name = only(&world);
    world.runtime.script("one", Behaviour::Exits(crate::model::Exit { code: 1, oom: false }));
    world.runtime.vanish(&name);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let starts = world.stage.count(|deed| *deed == Deed::Started(name.clone()));
    assert!(starts < 30, "it was started {starts} times in two minutes");
    world.runtime.script("one", Behaviour::Healthy);
    world.runtime.vanish(&name);
    world.settle(&engine).await;
    assert_eq!(world.proxy.target(id).unwrap().upstreams.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_others_labelled_is_left_alone_and_orphans_are_not() {
    let (world, engine) = open_shop().await;
    let own = world.runtime.instance(&only(&world)).unwrap().spec;
    let planted = |name: &str, platform: Option<PlatformId>, app: Option<AppId>| {
        let mut labels = own.labels.clone();
        labels.platform = platform.unwrap_or(labels.platform);
        labels.app = app.unwrap_or(labels.app);
        let spec = InstanceSpec { name: name.parse().unwrap(), labels, ..own.clone() };
        world.runtime.plant(FakeInstance::new(spec, Behaviour::Healthy));
    };
    let (foreign, nobody) = (PlatformId::new(world.clock.ulid()), AppId::new(world.clock.ulid()));
    planted("sh0-foreign-web-0", Some(foreign), None);
    planted("sh0-orphan-web-0", None, Some(nobody));
    planted("sh0-extra-web-0", None, None);
    world.settle(&engine).await;
    assert!(world.runtime.instance(&"sh0-foreign-web-0".parse().unwrap()).is_some(), "another platform's");
    assert!(world.runtime.instance(&"sh0-orphan-web-0".parse().unwrap()).is_none(), "an app that is gone");
    assert!(world.runtime.instance(&"sh0-extra-web-0".parse().unwrap()).is_none(), "one too many");
    assert_eq!(world.stage.violations(), [""; 0]);
}

/// A runtime may finish making what a deployment asked for after that deployment was cancelled.
#[tokio::test(start_paused = true)]
async fn a_release_command_without_a_deployment_goes_and_runs_of_people_stay() {
    let (world, _engine) = open_shop().await;
    let own = world.runtime.instance(&only(&world)).unwrap().spec;
    let planted = |name: InstanceName, deployment: DeploymentId| {
        let labels = Labels { deployment, one_off: true, ..own.labels.clone() };
        world.runtime.plant(FakeInstance::new(InstanceSpec { name, labels, ..own.clone() }, Behaviour::Healthy));
    };
    let cancelled = DeploymentId::new(world.clock.ulid());
    let (command, run) = (InstanceName::release_command(cancelled), InstanceName::one_off(world.clock.ulid()));
    planted(command.clone(), cancelled);
    planted(run.clone(), own.labels.deployment);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(world.runtime.instance(&command).is_none());
    assert!(world.runtime.instance(&run).is_some(), "somebody is about to start it");
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_away_fails_nobody() {
    let (world, engine) = open_shop().await;
    let before = seen(&world, &engine).await;
    let table = world.proxy.table();
    let name = only(&world);
    world.runtime.set_away(true);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(seen(&world, &engine).await, before);
    assert_eq!(world.proxy.table().targets, table.targets, "who runs goes on serving");
    world.runtime.vanish(&name);
    world.runtime.set_away(false);
    world.settle(&engine).await;
    assert_eq!(only(&world), name);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_waits_a_while_for_its_runtime() {
    let (world, engine) = open_shop().await;
    world.runtime.set_away(true);
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!now(&engine, &deployment).await.state.is_final());
    world.runtime.set_away(false);
    world.settle(&engine).await;
    assert_eq!(now(&engine, &deployment).await.state, DeploymentState::Live);
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_made_up_for() {
    let (world, engine) = open_shop().await;
    let own = world.runtime.instance(&only(&world)).unwrap().spec;
    // Planting says nothing to anybody, and the next round is half a minute away.
    let spec = InstanceSpec { name: "sh0-extra-web-0".parse().unwrap(), ..own };
    world.runtime.plant(FakeInstance::new(spec, Behaviour::Healthy));
    world.runtime.gap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.runtime.instances().len(), 1);
    drop(engine);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_forgot_its_table_gets_it_again() {
    let (world, engine) = open_shop().await;
    let table = world.proxy.table();
    world.proxy.forget();
    world.settle(&engine).await;
    assert_eq!(world.proxy.table().targets, table.targets);
    world.proxy.set_away(true);
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(world.runtime.instances().len() == 2, "the old one serves until the proxy has said so");
    world.proxy.set_away(false);
    world.settle(&engine).await;
    assert_eq!(now(&engine, &deployment).await.state, DeploymentState::Live);
    assert_eq!(world.stage.violations(), [""; 0]);
}

/// Many deaths in a row.
#[tokio::test(start_paused = true)]
async fn an_engine_may_die_again_and_again() {
    let (world, engine) = shop().await;
    deployed(&world, &engine, from("shop", "one")).await;
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    drop(engine);
    for millis in 0..50 {
        let engine = world.open().await.unwrap();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        drop(engine);
    }
    let engine = world.open().await.unwrap();
    world.settle(&engine).await;
    assert_eq!(now(&engine, &deployment).await.state, DeploymentState::Live);
    assert_eq!(world.stage.violations(), [""; 0]);
}
