//! Stop, start, restart, scale, rename, destroy.

use std::collections::BTreeMap;

use super::{deployed, open_shop, reason, seen, shop};
use crate::Code;
use crate::model::{DeploymentState, Desired, Destroying, InstanceName, Plan};
use crate::ops::apps::{DeleteApp, RestartApp, ScaleApp, StartApp, StopApp, UpdateApp};
use crate::ops::domains::AddDomain;
use crate::ops::platform::GetStatus;
use crate::testkit::fakes::{Behaviour, FakePlanner, app, call, from};

#[tokio::test(start_paused = true)]
async fn a_stopped_app_runs_again_when_it_is_started() {
    let (world, engine) = open_shop().await;
    let id = seen(&world, &engine).await.id;
    call(&engine, StopApp { app: id.into() }).await.unwrap();
    world.settle(&engine).await;
    assert!(world.runtime.instances().is_empty());
    assert_eq!(world.proxy.target(id).unwrap().notice.as_deref(), Some("it was stopped by its owner"));
    let error = call(&engine, RestartApp { app: id.into() }).await.unwrap_err();
    assert!(error.detail().contains("is stopped"), "{error:?}");

    drop(engine);
    let engine = world.open().await.unwrap();
    world.settle(&engine).await;
    assert!(world.runtime.instances().is_empty(), "a restart of the platform starts nobody who was stopped");

    call(&engine, StartApp { app: id.into() }).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(world.proxy.target(id).unwrap().upstreams.len(), 1);
    assert_eq!(world.stage.violations(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deployment_starts_a_stopped_app_unless_it_fails() {
    let (world, engine) = open_shop().await;
    let stop = || StopApp { app: "shop".parse().unwrap() };
    call(&engine, stop()).await.unwrap();
    world.settle(&engine).await;
    world.runtime.script("bad", Behaviour::Silent);
    reason(&deployed(&world, &engine, from("shop", "bad")).await);
    assert_eq!(seen(&world, &engine).await.desired, Desired::Stopped);
    assert!(world.runtime.instances().is_empty());
    deployed(&world, &engine, from("shop", "two")).await;
    assert_eq!(seen(&world, &engine).await.desired, Desired::Running);
    assert_eq!(world.runtime.instances().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restart_replaces_the_instances() {
    let (world, engine) = open_shop().await;
    let before = seen(&world, &engine).await.live.unwrap();
    call(&engine, RestartApp { app: "shop".parse().unwrap() }).await.unwrap();
    world.settle(&engine).await;
    let after = seen(&world, &engine).await.live.unwrap();
    assert_eq!(after.release, before.release);
    assert_ne!(after.upstreams, before.upstreams);
    assert_eq!(world.stage.violations(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn scale_up_and_down() {
    let (world, engine) = open_shop().await;
    let scale =
        |count| ScaleApp { app: "shop".parse().unwrap(), scale: BTreeMap::from([("web".parse().unwrap(), count)]) };
    for count in [3, 1, 0, 2] {
        call(&engine, scale(count)).await.unwrap();
        world.settle(&engine).await;
        let id = seen(&world, &engine).await.id;
        assert_eq!(world.proxy.target(id).unwrap().upstreams.len(), count as usize);
    }
    assert_eq!(world.stage.violations(), [""; 0]);
    deployed(&world, &engine, from("shop", "two")).await;
    assert_eq!(world.runtime.instances().len(), 2, "the next release has as many");
    assert_eq!(call(&engine, scale(101)).await.unwrap_err().code(), Code::Invalid);
    let unknown = ScaleApp { app: "shop".parse().unwrap(), scale: BTreeMap::from([("wep".parse().unwrap(), 1)]) };
    let error = call(&engine, unknown).await.unwrap_err();
    assert_eq!((error.code(), error.fields()[0].field.as_str()), (Code::Invalid, "scale.wep"));
}

#[tokio::test(start_paused = true)]
async fn what_is_run_by_hand_starts_when_it_is_scaled() {
    let (world, engine) = shop().await;
    let processes = ["web", "worker", "console", "migrate"].map(|name| (name.parse().unwrap(), "run".to_owned()));
    let plan = Plan { processes: processes.into(), ..FakePlanner::plain("run") };
    world.planner.script("/src/four", plan);
    let running = || -> Vec<String> {
        world.runtime.instances().into_iter().map(|instance| instance.spec.labels.process.to_string()).collect()
    };
    assert_eq!(deployed(&world, &engine, from("shop", "four")).await.state, DeploymentState::Live);
    assert_eq!(running(), ["web", "worker"]);
    let scale = |count| {
        let scale = BTreeMap::from([("console".parse().unwrap(), count)]);
        call(&engine, ScaleApp { app: "shop".parse().unwrap(), scale })
    };
    scale(1).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(running(), ["console", "web", "worker"]);
    scale(0).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(running(), ["web", "worker"]);
}

/// What was scaled while a deployment ran holds for the new release too.
#[tokio::test(start_paused = true)]
async fn scale_during_a_deployment() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::HealthyAfter(30));
    let deployment = call(&engine, from("shop", "slow")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let scale = ScaleApp { app: "shop".parse().unwrap(), scale: BTreeMap::from([("web".parse().unwrap(), 3)]) };
    call(&engine, scale).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(super::now(&engine, &deployment).await.state, DeploymentState::Live);
    let names: Vec<_> = world.runtime.instances().into_iter().map(|instance| instance.spec.name).collect();
    let web = "web".parse().unwrap();
    assert_eq!(names, [0, 1, 2].map(|index| InstanceName::of(deployment.id, &web, index)));
}

#[tokio::test(start_paused = true)]
async fn a_rename_moves_the_host_name() {
    let (world, engine) = open_shop().await;
    let update = UpdateApp {
        app: "shop".parse().unwrap(),
        name: Some("store".parse().unwrap()),
        port: None,
        source: None,
        settings: None,
    };
    call(&engine, update).await.unwrap();
    world.settle(&engine).await;
    let hosts: Vec<_> = world.proxy.table().routes.into_iter().map(|route| route.host.to_string()).collect();
    assert_eq!(hosts, ["store.localhost"]);
}

#[tokio::test(start_paused = true)]
async fn an_app_moves_to_a_port_that_is_free() {
    let (world, engine) = open_shop().await;
    let blog = call(&engine, app("blog")).await.unwrap();
    let to =
        |port| UpdateApp { app: "shop".parse().unwrap(), name: None, port: Some(port), source: None, settings: None };
    world.proxy.occupy(31_000);
    for (port, code) in [(blog.port, Code::Conflict), (31_000, Code::Conflict), (0, Code::Invalid)] {
        assert_eq!(call(&engine, to(port)).await.unwrap_err().code(), code, "{port}");
    }
    let before = seen(&world, &engine).await;
    let moved = call(&engine, to(31_001)).await.unwrap();
    world.settle(&engine).await;
    let ports: Vec<_> = world.proxy.table().listeners.iter().map(|listener| listener.addr.port()).collect();
    assert!(ports.contains(&31_001) && !ports.contains(&before.port), "{ports:?}");
    assert_eq!((moved.urls[0].as_str(), &moved.live), ("http://127.0.0.1:31001", &before.live), "at once");
    // Where it is already, it is not refused for being in use.
    world.proxy.occupy(31_001);
    call(&engine, to(31_001)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_status_names_what_is_being_destroyed_until_it_is_gone() {
    let (world, engine) = open_shop().await;
    let shop = seen(&world, &engine).await;
    world.runtime.set_away(true);
    call(&engine, DeleteApp { app: shop.id.into(), keep_volumes: false }).await.unwrap();
    world.rest().await.unwrap();
    let status = call(&engine, GetStatus {}).await.unwrap();
    assert_eq!((status.apps, status.destroying), (1, vec![Destroying { id: shop.id, name: shop.name }]));
    world.runtime.set_away(false);
    world.settle(&engine).await;
    let status = call(&engine, GetStatus {}).await.unwrap();
    assert_eq!((status.apps, status.destroying), (0, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_destroy_leaves_nothing_but_volumes_that_are_kept() {
    for keep_volumes in [false, true] {
        let (world, engine) = shop().await;
        let mut wish = app("blog");
        wish.settings.volumes = serde_json::from_str(r#"[{"name": "data", "path": "/data"}]"#).unwrap();
        let blog = call(&engine, wish).await.unwrap().id;
        deployed(&world, &engine, from("blog", "one")).await;
        world.runtime.write_volume(blog, &"data".parse().unwrap(), "precious").unwrap();
        let domain = AddDomain { app: blog.into(), host: "blog.example.com".parse().unwrap(), path: None };
        call(&engine, domain).await.unwrap();
        deployed(&world, &engine, from("shop", "one")).await;
        let shop = world.proxy.target(seen(&world, &engine).await.id);

        call(&engine, DeleteApp { app: blog.into(), keep_volumes }).await.unwrap();
        world.settle(&engine).await;
        assert_eq!(world.runtime.volume(blog, &"data".parse().unwrap()).is_some(), keep_volumes);
        assert_eq!(world.proxy.target(seen(&world, &engine).await.id), shop, "others do not notice");
        assert!(call(&engine, app("blog")).await.is_ok(), "its name is free again");
    }
}

/// A destroy does not wait for the deployment that runs.
#[tokio::test(start_paused = true)]
async fn a_destroy_interrupts_a_deployment() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::BuildHangs);
    call(&engine, from("shop", "slow")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    call(&engine, DeleteApp { app: "shop".parse().unwrap(), keep_volumes: false }).await.unwrap();
    world.settle(&engine).await;
    assert!(world.app(&engine, "shop").await.is_err());
    assert!(world.runtime.instances().is_empty() && world.runtime.artifacts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn shutdown_stops_apps_only_when_asked() {
    let (world, engine) = open_shop().await;
    engine.shutdown(false).await.unwrap();
    assert!(world.runtime.instances()[0].state.is_running());
    let engine = world.open().await.unwrap();
    engine.shutdown(true).await.unwrap();
    assert!(!world.runtime.instances()[0].state.is_running());
    let engine = world.open().await.unwrap();
    world.settle(&engine).await;
    assert!(world.runtime.instances()[0].state.is_running(), "they start again with the platform");
}
