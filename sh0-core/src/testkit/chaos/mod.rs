//! Faults at every call. [`Chaos`] stands round a backend; all of an engine share one [`Faults`], which counts their
//! calls and lets one of them go wrong: the k-th, in one [`Mode`]. A test runs a scenario for k = 1, 2, 3, ... until a run
//! is not hit any more (SQLite's out-of-memory loop), and looks each time whether everything ends as it should: see
//! [`invariants`].
//!
//! Your own backend goes through the same:
//!
//! ```
//! use std::sync::Arc;
//! use sh0_core::testkit::chaos::{Chaos, Faults, Mode};
//! use sh0_core::testkit::fakes::{FakeStore, World, app, call, from};
//! # use sh0_core::traits::Runtime;
//!
//! # fn my_runtime(world: &World) -> Arc<dyn Runtime> { Arc::new(world.runtime.clone()) }
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! for k in 1.. {
//!     let (world, faults) = (World::new(FakeStore::default()), Faults::default());
//!     let mut backends = world.backends();
//!     let mine = my_runtime(&world);
//!     backends.runtimes = [(mine.kind(), Arc::new(Chaos::new(mine, &faults)) as Arc<dyn Runtime>)].into();
//!     let engine = sh0_core::engine::Engine::open(backends, world.config.clone()).await?;
//!     call(&engine, app("hello")).await?;
//!
//!     faults.arm(k, Mode::LostAnswer(sh0_core::Code::Unavailable));
//!     call(&engine, from("hello", "good")).await?;
//!     world.settle(&engine).await; // panics with what is not as it should be
//!     faults.disarm();
//!     if faults.hit().is_none() {
//!         break;
//!     }
//! }
//! # Ok::<(), sh0_core::Error>(())
//! # }).unwrap();
//! ```
//!
//! **Deliberately absent:** macros and fail points in the engine. It does not know that it is being tested.

mod backends;
mod faults;
mod invariants;
mod store;
mod streams;

pub use backends::wrap;
pub use faults::{Chaos, Faults, Mode};
pub use invariants::invariants;
