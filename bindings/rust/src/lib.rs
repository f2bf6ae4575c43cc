//! The batteries-included facade of sh0: open a platform in this process, or connect to one. Either way it is the same
//! [`Sh0`] with the same operations.
//!
//! ```no_run
//! # #[cfg(feature = "client")]
//! # async fn example() -> sh0::Result<()> {
//! use futures_util::StreamExt;
//! use sh0::ops::apps::ListApps;
//! use sh0::{Secret, Sh0, Target};
//!
//! let target: Target = "https://sh0.example.com".parse()?;
//! let sh0 = Sh0::connect(target, Some(Secret::new("sh0_..."))).await?;
//! let deployment = sh0.deploy_folder("./hello", "hello".parse()?).await?;
//! let mut events = sh0.follow(&deployment).await?;
//! while let Some(event) = events.next().await {
//!     println!("{:?}", event?.what);
//! }
//! for app in sh0.call(ListApps::default()).await?.items {
//!     println!("{}: {:?}", app.name, app.urls);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `client` | [`Sh0::connect`]: HTTP, HTTPS or a Unix socket; no engine, no SQLite |
//! | `engine` | the engine over backends of your own, as a [`Platform`] for [`Sh0::hosting`] |
//! | `embedded` | `Sh0::open`: the whole platform in this process, wired from a `Config` |
//! | `build` | plans, health rules and exports for source trees (`trees`), without a platform |
//! | `console` | commands inside instances joined to this program's own terminal |
//! | `listen` | sockets for frontends that serve HTTP |
//! | `docker` | the Docker runtime for `embedded` |
//!
//! **Deliberately absent:** rules about apps (they are in the engine), environment variables, printing, process-wide
//! state. Where the server is and which token to use are arguments.

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "console")]
pub mod console;
#[cfg(all(feature = "client", feature = "embedded"))]
pub mod daemon;
#[cfg(feature = "embedded")]
mod embedded;
pub mod export;
mod facade;
mod helpers;
#[cfg(feature = "listen")]
pub mod listen;
#[cfg(feature = "client")]
pub mod pack;
#[cfg(feature = "embedded")]
pub mod roles;
pub mod text;
#[cfg(feature = "build")]
pub mod trees;
pub mod typed;

#[cfg(feature = "client")]
pub use client::Target;
#[cfg(all(feature = "client", fuzzing))]
#[doc(hidden)]
pub use client::fuzz;
#[cfg(feature = "embedded")]
pub use embedded::{Config, Edge, Program, RuntimeChoice, SystemClock, holder};
pub use facade::{Platform, Sh0};
pub use helpers::{Destroyed, Released};
#[cfg(feature = "engine")]
pub use sh0_core::engine;
pub use sh0_core::model::Secret;
pub use sh0_core::{Code, Error, FieldError, ParseError, Problem, Result, auth, model, ops, traits};
