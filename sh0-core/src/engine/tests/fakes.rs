//! The fakes themselves behave as the traits say.

use std::sync::Arc;

use crate::testkit::fakes::{FakeLogStore, FakeStore, World, app, call, from};
use crate::testkit::{log_store, store};
use crate::traits::{LogStore, Store};

#[tokio::test(flavor = "multi_thread")]
async fn the_store_conforms() {
    store::conformance(|| async { Arc::new(FakeStore::default()) as Arc<dyn Store> }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_store_conforms() {
    log_store::conformance(|| async { Arc::new(FakeLogStore::default()) as Arc<dyn LogStore> }).await;
}

#[tokio::test(start_paused = true)]
async fn a_world_outlives_its_engines() {
    let world = World::new(FakeStore::default());
    let engine = world.open().await.unwrap();
    call(&engine, app("hello")).await.unwrap();
    call(&engine, from("hello", "good")).await.unwrap();
    world.settle(&engine).await;
    let served = world.proxy.table().targets;
    drop(engine);
    let engine = world.open().await.unwrap();
    world.settle(&engine).await;
    assert_eq!(world.proxy.table().targets, served);
    assert!(world.stage.violations().is_empty(), "{:?}", world.stage.violations());
}
