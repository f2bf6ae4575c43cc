//! The client against a real engine.
//!
//! Needs a Docker engine (at `DOCKER_HOST`, or its default socket) and a small Linux image with a shell, by default
//! `sh0-test/debian:bookworm`, or the one named by `SH0_TEST_IMAGE`. Without them the tests say what to install and
//! pass, except where `CI` is set: there they fail.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "engine/harness.rs"]
mod harness;

#[path = "engine/archive.rs"]
mod archive;
#[path = "engine/build.rs"]
mod build;
#[path = "engine/buildkit.rs"]
mod buildkit;
#[path = "engine/containers.rs"]
mod containers;
#[path = "engine/events.rs"]
mod events;
#[path = "engine/exec.rs"]
mod exec;
#[path = "engine/images.rs"]
mod images;
#[path = "engine/logs.rs"]
mod logs;
#[path = "engine/networks.rs"]
mod networks;
#[path = "engine/stats.rs"]
mod stats;
#[path = "engine/system.rs"]
mod system;
#[path = "engine/volumes.rs"]
mod volumes;
