//! A Docker Engine API client, a library of its own.
//!
//! It speaks HTTP/1.1 on hyper directly over the engine's Unix socket: no other Docker library, and no call of the
//! `docker` program. It works with Docker 20.10 to today's (API 1.41 to 1.51, agreed on every connection) and with
//! Podman's service for Docker clients.
//!
//! ```no_run
//! use futures_util::TryStreamExt;
//! use sh0_docker::client::{Client, ContainerSpec, Endpoint, LogOptions, RemoveContainer, WaitCondition};
//!
//! # async fn run() -> Result<(), sh0_docker::Error> {
//! let docker = Client::connect(Endpoint::default()).await?;
//! docker.pull_image("debian:bookworm", None).await?.finish().await?;
//!
//! let spec = ContainerSpec {
//!     image: "debian:bookworm".into(),
//!     cmd: Some(vec!["echo".into(), "hello".into()]),
//!     ..ContainerSpec::default()
//! };
//! let container = docker.create_container(None, &spec).await?.id;
//! // Watch first, then start: so the end cannot be missed.
//! let wait = docker.wait_container(&container, WaitCondition::NextExit).await?;
//! docker.start_container(&container).await?;
//! let exit = wait.exit().await?;
//!
//! let mut logs = docker.logs(&container, &LogOptions::default()).await?;
//! while let Some(record) = logs.try_next().await? {
//!     assert_eq!(&record.bytes[..], b"hello\n");
//! }
//! assert_eq!(exit.code, 0);
//! docker.remove_container(&container, RemoveContainer { force: true, volumes: true }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it is made
//!
//! - [`client::Client`] has the calls of the API as methods, a file per noun. Calls share a few kept-alive connections;
//!   everything that streams has a connection of its own, which closes when the stream is dropped.
//! - What is read from the engine is bounded, and decoded without I/O in [`client::frames`] (output of containers) and
//!   [`client::ndjson`] (progress, events, stats), so that it can be tested with any split of any input.
//! - Answers are lenient: every field optional, every word open. Requests are strict: what would mean something else
//!   than it says (an empty id, a pull without a tag, a prune without a label) is refused or made explicit.
//!
//! # What is deliberately absent
//!
//! - TCP, TLS and SSH: a remote engine is reached through a forwarded Unix socket.
//! - BuildKit's transfer of only those files that a build uses: both builders get the whole context, see
//!   [`client::BuildOptions`]. Pushing, plugins, swarm, secrets and configs.
//! - Auto-remove, `POST /commit`, and every field of the API that sh0 does not use.
//! - Looking at the environment: the caller decides where the engine is ([`client::Endpoint`] reads the notation of
//!   `DOCKER_HOST`). Printing: it logs to `tracing`, without queries, which may hold secrets.

pub mod client;
#[cfg(feature = "runtime")]
pub mod runtime;

pub use client::{Client, Error, Result};
