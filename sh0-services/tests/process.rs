//! The process runtime, with real processes of this host.

#![cfg(feature = "runtime-process")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "process/harness.rs"]
mod harness;

#[path = "process/builds.rs"]
mod builds;
#[path = "process/cancelled.rs"]
mod cancelled;
#[path = "process/conformance.rs"]
mod conformance;
#[path = "process/crashes.rs"]
mod crashes;
#[path = "process/hostile.rs"]
mod hostile;
#[path = "process/limits.rs"]
mod limits;
#[path = "process/logs.rs"]
mod logs;
#[path = "process/sandbox.rs"]
mod sandbox;
#[path = "process/secrets.rs"]
mod secrets;
#[path = "process/serving.rs"]
mod serving;
