//! The data plane as a process of its own: `sh0 edge` holds the listeners and the last table, so apps keep answering
//! while the control plane restarts, is upgraded, or is dead.
//!
//! - [`run`] is that process: an [`EmbeddedProxy`](super::embedded::EmbeddedProxy), fed over a Unix socket (0600, same
//!   user only, and only for who shows the key beside it: where sh0 is not root, apps are processes of the same user). Every table it says yes to is on disk first, so it serves the same after its own restart.
//! - [`EdgeProxy`] is the [`Proxy`](sh0_core::traits::Proxy) of the control plane: the client of that socket. Whenever
//!   it connects anew it looks at the generation in force and sends its last table if the edge lost it.
//! - [`EdgeSupervisor`] starts the process or adopts a running one, and starts it again when it dies.
//!
//! **An upgrade** replaces the edge when its version differs from ours. The old one closes its listeners, lets go of the
//! socket, and then finishes its requests beside the new one. Between the two, for the few milliseconds that the new
//! process needs to start, new connections are refused; passing the listening sockets on would close that gap and is not
//! built yet.

mod client;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod protocol;
mod server;
mod state;
mod supervisor;

pub use client::EdgeProxy;
pub use server::{EdgeOptions, run};
pub use supervisor::{EdgeCommand, EdgeSupervisor, open_log};
