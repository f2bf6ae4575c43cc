//! The heart of sh0: what an app, a release and a deployment *are*, the traits that touch the world, the operations
//! that every frontend offers, and the engine that makes the stored wish come true.
//!
//! ```
//! use sh0_core::model::{AppName, ImageRef};
//!
//! let name: AppName = "hello".parse()?;
//! assert_eq!(name.to_string(), "hello");
//! let err = "Hello World".parse::<AppName>().unwrap_err();
//! assert!(err.hint().contains("hello-world"));
//! let image: ImageRef = "nginx".parse()?;
//! assert_eq!(image.as_str(), "docker.io/library/nginx:latest");
//! # Ok::<(), sh0_core::ParseError>(())
//! ```
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`model`] | the vocabulary: names, apps, releases, deployments, plans, events |
//! | [`traits`] | what a backend implements: runtime, store, proxy, planner, fetcher, logs, clock, sealer, prober |
//! | [`ops`] | every operation, declared once as data |
//! | [`auth`] | principals, roles, permissions |
//! | [`LocalKey`] | how a process of this machine proves that it may drive another |
//! | [`engine`] | (feature `engine`) dispatch, executors, journal, reconciler, router |
//! | [`testkit`] | (feature `testkit`) one conformance suite a trait, fakes, chaos |
//!
//! **Deliberately absent:** HTTP, SQL, Docker, process spawning, environment variables, printing, global clocks and
//! tasks that nobody owns. They live in the adapters (`sh0-store`, `sh0-docker`, `sh0-build`, `sh0-services`) and the
//! frontends.

pub mod auth;
#[cfg(feature = "engine")]
pub mod engine;
mod error;
mod local_key;
pub mod model;
pub mod ops;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod traits;

pub use error::{Code, Error, FieldError, Problem, Result};
pub use local_key::LocalKey;
pub use model::ParseError;
