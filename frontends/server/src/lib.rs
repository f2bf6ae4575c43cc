//! REST, OpenAPI, server-sent events and websockets over [`sh0`]: a translation between HTTP and the operations, made
//! from their table. It holds no rule about apps and no list of operations.
//!
//! ```no_run
//! # async fn example(sh0: sh0::Sh0) -> sh0::Result<()> {
//! let options = sh0_server::ServeOptions {
//!     unix_socket: Some("/var/lib/sh0/sh0.sock".into()),
//!     tcp: vec![([127, 0, 0, 1], 9000).into()],
//!     allowed_hosts: vec!["sh0.example.com".into()],
//! };
//! let server = sh0_server::serve(sh0.clone(), options).await?;
//! sh0.stopped().await;
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Who gets in: processes of the same user (or root) over the Unix socket; holders of a token over TCP, loopback too. No
//! web page, deployed app or other local user can drive the platform.
//!
//! **Deliberately absent:** TLS (a proxy's work for now), CORS (no other origin has any business here), sessions,
//! handlers for single operations. Sockets and their limits are [`sh0::listen`].

mod duplex;
mod guard;
mod openapi;
mod refusal;
mod router;

pub use openapi::openapi;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sh0::listen::{Admission, Listening, listen};
use sh0::{Result, Sh0};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use router::Shared;

/// Where a server listens, and which names it has.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// A socket for processes of the same user.
    pub unix_socket: Option<PathBuf>,
    /// Addresses for holders of tokens.
    pub tcp: Vec<SocketAddr>,
    /// Names, beside `localhost` and the addresses themselves, under which requests may come.
    pub allowed_hosts: Vec<String>,
}

/// A server that runs. Dropping it cuts its connections; [`Server::shutdown`] lets them finish.
pub struct Server {
    listening: Listening,
    shared: Arc<Shared>,
}

/// Opens the listeners, and answers until the server is shut down or dropped.
pub async fn serve(sh0: Sh0, options: ServeOptions) -> Result<Server> {
    let admission = Admission::new(&options.allowed_hosts);
    let shared = Arc::new(Shared { sh0, admission, closing: CancellationToken::new(), sessions: TaskTracker::new() });
    let router = router::router(shared.clone());
    let listening = listen(options.unix_socket, &options.tcp, router, shared.closing.clone()).await?;
    if let Some(socket) = listening.unix_socket() {
        shared.sh0.announce(socket)?;
    }
    Ok(Server { listening, shared })
}

impl Server {
    /// The addresses it listens on, with the ports that were chosen for port 0.
    pub fn tcp(&self) -> &[SocketAddr] {
        self.listening.tcp()
    }

    /// The Unix socket it listens on.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.listening.unix_socket()
    }

    /// Takes no more connections, ends streams and sessions, and lets requests in flight finish.
    pub async fn shutdown(self) {
        self.listening.finish().await;
        self.shared.sessions.close();
        // Each of them has only its last message to send.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.shared.sessions.wait()).await;
    }
}
