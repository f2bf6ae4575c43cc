//! REST, OpenAPI, server-sent events and websockets over [`sh0`]: a translation between HTTP and the operations, made
//! from their table. It holds no rule about apps and no list of operations.
//!
//! ```no_run
//! # async fn example(sh0: sh0::Sh0) -> sh0::Result<()> {
//! let options = sh0_server::ServeOptions {
//!     unix_socket: Some("/var/lib/sh0/sh0.sock".into()),
//!     tcp: vec!["127.0.0.1:9000".parse().expect("an address")],
//!     allowed_hosts: vec!["sh0.example.com".into()],
//! };
//! let server = sh0_server::serve(sh0.clone(), options).await?;
//! sh0.stopped().await;
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `router` | a route an operation; how each kind of operation travels |
//! | `duplex` | websockets |
//! | `guard` | who may come in: peers, tokens, `Host`, `Origin` |
//! | `refusal` | errors as problem objects |
//! | `openapi` | the document |
//! | `listen` | sockets, connections, their limits, the end |
//!
//! Who gets in: processes of the same user (or root) over the Unix socket; holders of a token over TCP, loopback too.
//! `Host` must be a name of this server and `Origin` its own: a web page, a deployed app or another local user cannot
//! drive the platform.
//!
//! **Deliberately absent:** TLS (a proxy's work for now), CORS (no other origin has any business here), sessions,
//! handlers for single operations.

mod duplex;
mod guard;
mod listen;
mod openapi;
mod refusal;
mod router;

pub use listen::{ServeOptions, Server, serve};
pub use openapi::openapi;
