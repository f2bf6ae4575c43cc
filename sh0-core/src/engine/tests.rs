//! The engine on fakes: time flies, and nothing but the engine is real.
#![cfg(feature = "testkit")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod cancel;
mod check;
mod env;
mod export;
mod fakes;
mod health;
mod hosts;
mod lifecycle;
mod lock;
mod logs;
mod queue;
mod reconcile;
mod releases;
mod retain;
mod rollout;
mod rotation;
mod secrecy;

use super::Engine;
use crate::model::{App, AppSettings, Deployment, DeploymentState};
use crate::ops::apps::UpdateApp;
use crate::ops::deployments::{CreateDeployment, GetDeployment};
use crate::testkit::fakes::{FakeStore, World, app, call, from};

/// A world with one app that was not deployed yet.
async fn shop() -> (World, Engine) {
    let world = World::new(FakeStore::default());
    let engine = world.open().await.unwrap();
    call(&engine, app("shop")).await.unwrap();
    (world, engine)
}

/// A world with one app whose first release serves.
async fn open_shop() -> (World, Engine) {
    let (world, engine) = shop().await;
    assert_eq!(deployed(&world, &engine, from("shop", "one")).await.state, DeploymentState::Live);
    (world, engine)
}

/// Deploys, waits until everything is at rest, answers how it ended.
async fn deployed(world: &World, engine: &Engine, wish: CreateDeployment) -> Deployment {
    let deployment = call(engine, wish).await.unwrap();
    world.settle(engine).await;
    assert_eq!(world.stage.violations(), [""; 0]);
    now(engine, &deployment).await
}

/// The deployment as it is now.
async fn now(engine: &Engine, deployment: &Deployment) -> Deployment {
    call(engine, GetDeployment { app: deployment.app.into(), deployment: deployment.id }).await.unwrap()
}

/// The app as it is now.
async fn seen(world: &World, engine: &Engine) -> App {
    world.app(engine, "shop").await.unwrap()
}

/// Changes the shop's settings. They hold from its next deployment on.
async fn change_settings(world: &World, engine: &Engine, edit: impl FnOnce(&mut AppSettings)) {
    let mut settings = seen(world, engine).await.settings;
    edit(&mut settings);
    let update =
        UpdateApp { app: "shop".parse().unwrap(), name: None, port: None, source: None, settings: Some(settings) };
    call(engine, update).await.unwrap();
}

/// Why a deployment failed, in words.
fn reason(deployment: &Deployment) -> String {
    assert_eq!(deployment.state, DeploymentState::Failed, "{deployment:?}");
    deployment.error.as_ref().expect("a failed deployment says why").detail.clone()
}
