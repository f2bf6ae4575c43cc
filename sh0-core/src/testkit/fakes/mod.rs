//! A whole platform in memory: one fake a trait, and a [`World`] that outlives the engines that are opened on it, so that
//! a test can let an engine die and open the next one on what it left.
//!
//! Time is tokio's own: in a runtime whose clock is paused it flies, so a deployment with all its waiting takes
//! milliseconds, and every run is the same.
//!
//! ```
//! use sh0_core::ops::apps::CreateApp;
//! use sh0_core::ops::deployments::CreateDeployment;
//! use sh0_core::testkit::fakes::{Behaviour, FakeStore, World, app, call, from};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let world = World::new(FakeStore::default());
//! world.runtime.script("broken", Behaviour::Silent);
//! let engine = world.open().await?;
//!
//! call(&engine, app("hello")).await?;
//! call(&engine, from("hello", "good")).await?;
//! world.settle(&engine).await;
//! let live = world.proxy.table().targets.values().next().cloned().unwrap();
//! assert_eq!(live.upstreams.len(), 1);
//!
//! drop(engine); // as `kill -9` would
//! let engine = world.open().await?;
//! call(&engine, from("hello", "broken")).await?;
//! world.settle(&engine).await;
//! assert_eq!(world.proxy.table().targets.values().next(), Some(&live), "the old release serves on");
//! # Ok::<(), sh0_core::Error>(())
//! # }).unwrap();
//! ```
//!
//! **Deliberately absent:** sockets, files, processes and the passing of real time.

mod clock;
mod fetcher;
mod logs;
mod planner;
mod prober;
mod proxy;
mod runtime;
mod sealer;
mod stage;
mod store;
mod world;

pub use clock::TestClock;
pub use fetcher::FakeFetcher;
pub use logs::FakeLogStore;
pub use planner::FakePlanner;
pub use prober::FakeProber;
pub use proxy::{FakeProxy, InFlight};
pub use runtime::{Behaviour, FakeInstance, FakeRuntime, STAYS};
pub use sealer::PlainSealer;
pub use stage::{Deed, Stage};
pub use store::FakeStore;
pub use world::{World, app, call, call_as, follow, from};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that panics while it holds a lock has failed anyway; others may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
