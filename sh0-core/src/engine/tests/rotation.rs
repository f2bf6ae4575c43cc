//! Requests are sent to who has answered, at the very address where it answered, and to nobody else.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Engine, change_settings, deployed, now, open_shop, seen};
use crate::model::{InstanceName, Upstream};
use crate::ops::apps::ScaleApp;
use crate::ops::deployments::CancelDeployment;
use crate::testkit::fakes::{Behaviour, World, app, call, from};

async fn after(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// The instance of this name as the proxy should know it.
fn standing(world: &World, name: &InstanceName) -> Upstream {
    let instance = world.runtime.instance(name).expect("it is there");
    Upstream { instance: name.clone(), addr: instance.endpoint.expect("it has an address") }
}

/// From now on the instance answers nobody.
fn silence(world: &World, name: &InstanceName) {
    let mut instance = world.runtime.instance(name).expect("it is there");
    instance.behaviour = Behaviour::Silent;
    world.runtime.plant(instance);
}

async fn routed(world: &World, engine: &Engine) -> Vec<Upstream> {
    world.proxy.target(seen(world, engine).await.id).unwrap().upstreams
}

#[tokio::test(start_paused = true)]
async fn what_never_became_healthy_is_never_routed() {
    let (world, engine) = open_shop().await;
    let name = routed(&world, &engine).await.remove(0).instance;
    world.runtime.script("one", Behaviour::Silent);
    world.runtime.vanish(&name);
    // Longer than it may take to start, and than several rounds of the reconciler.
    for second in 0..200 {
        after(1).await;
        assert_eq!(routed(&world, &engine).await, [], "after {second} s");
    }
    assert!(world.runtime.instance(&name).unwrap().state.is_running());
    world.runtime.script("one", Behaviour::Healthy);
    world.runtime.vanish(&name);
    world.settle(&engine).await;
    assert_eq!(routed(&world, &engine).await, [standing(&world, &name)]);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_was_left_is_withdrawn_at_once() {
    let (world, engine) = open_shop().await;
    let name = routed(&world, &engine).await.remove(0).instance;
    silence(&world, &name);
    world.runtime.restart(&name);
    for _ in 0..200 {
        after(1).await;
        assert_eq!(routed(&world, &engine).await, [], "neither where it was nor where it does not answer");
    }
    world.runtime.vanish(&name);
    world.settle(&engine).await;
}

/// After a reboot the address of one app may be that of another.
#[tokio::test(start_paused = true)]
async fn no_table_of_a_new_engine_has_an_address_of_before() {
    let (world, engine) = open_shop().await;
    call(&engine, app("blog")).await.unwrap();
    deployed(&world, &engine, from("blog", "two")).await;
    drop(engine);
    let before: Vec<_> = world.proxy.table().targets.into_values().flat_map(|target| target.upstreams).collect();
    assert_eq!(before.len(), 2);
    before.iter().for_each(|upstream| world.runtime.restart(&upstream.instance));
    let known = world.proxy.tables().len();
    let engine = world.open().await.unwrap();
    world.settle(&engine).await;
    let tables = world.proxy.tables().split_off(known);
    let mut routes = tables.iter().flat_map(|table| table.targets.values()).flat_map(|target| &target.upstreams);
    assert!(routes.all(|upstream| !before.contains(upstream)));
}

#[tokio::test(start_paused = true)]
async fn who_moves_while_a_deployment_runs_is_followed() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::BuildHangs);
    let slow = call(&engine, from("shop", "slow")).await.unwrap();
    after(1).await;
    let old = routed(&world, &engine).await.remove(0);
    world.runtime.restart(&old.instance);
    after(2).await;
    assert_ne!(standing(&world, &old.instance), old);
    assert_eq!(routed(&world, &engine).await, [standing(&world, &old.instance)]);
    silence(&world, &old.instance);
    world.runtime.restart(&old.instance);
    after(100).await;
    assert_eq!(routed(&world, &engine).await, []);
    assert!(!now(&engine, &slow).await.state.is_final());
    call(&engine, CancelDeployment { app: slow.app.into(), deployment: slow.id }).await.unwrap();
    world.runtime.vanish(&old.instance);
    world.settle(&engine).await;
}

/// What is asked is what the release was found healthy by, not what the next one will be asked.
#[tokio::test(start_paused = true)]
async fn the_health_check_is_that_of_the_release() {
    let (world, engine) = open_shop().await;
    world.runtime.script("plain", Behaviour::Status(503));
    deployed(&world, &engine, from("shop", "plain")).await;
    change_settings(&world, &engine, |settings| settings.health.path = Some("/healthz".parse().unwrap())).await;
    let name = routed(&world, &engine).await.remove(0).instance;
    world.runtime.vanish(&name);
    after(5).await;
    assert_eq!(routed(&world, &engine).await, [standing(&world, &name)]);
    world.runtime.restart(&name);
    after(5).await;
    assert_eq!(routed(&world, &engine).await, [standing(&world, &name)]);
}

/// Who does not answer keeps nobody else out, and nobody in who has ended.
#[tokio::test(start_paused = true)]
async fn instances_come_and_go_each_for_itself() {
    let (world, engine) = open_shop().await;
    let scale = BTreeMap::from([("web".parse().unwrap(), 3)]);
    call(&engine, ScaleApp { app: "shop".parse().unwrap(), scale }).await.unwrap();
    world.settle(&engine).await;
    let names: Vec<_> = routed(&world, &engine).await.into_iter().map(|upstream| upstream.instance).collect();
    silence(&world, &names[0]);
    world.runtime.restart(&names[0]);
    world.runtime.restart(&names[1]);
    after(5).await;
    let mut rest = vec![standing(&world, &names[1]), standing(&world, &names[2])];
    rest.sort();
    assert_eq!(routed(&world, &engine).await, rest, "the first is still being asked");

    let fallen = standing(&world, &names[2]);
    world.runtime.crash(&names[2], 1);
    after(5).await;
    let back = standing(&world, &names[2]);
    assert_ne!(back, fallen);
    let mut rest = vec![standing(&world, &names[1]), back];
    rest.sort();
    assert_eq!(routed(&world, &engine).await, rest, "it was started again meanwhile");
    world.runtime.vanish(&names[0]);
    world.settle(&engine).await;
}
