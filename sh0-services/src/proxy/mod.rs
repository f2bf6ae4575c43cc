//! The proxy: [`embedded`] serves HTTP inside this process, [`edge`] runs the same in a process of its own, so that apps
//! keep answering while the control plane restarts or is dead.
//!
//! ```
//! use sh0_core::traits::{Proxy, RouteTable};
//! use sh0_services::proxy::embedded::EmbeddedProxy;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> sh0_core::Result<()> {
//! let proxy = EmbeddedProxy::new();
//! proxy.apply(&RouteTable { generation: 1, ..RouteTable::default() }).await?;
//! assert_eq!(proxy.status().await?.generation, 1);
//! # Ok(())
//! # }
//! ```
//!
//! **Deliberately absent:** TLS, HTTP/3, TCP routes, caching, rewriting of bodies, health checks (the engine decides who
//! is in rotation), and any knowledge of apps beyond the last table.

pub mod edge;
pub mod embedded;
