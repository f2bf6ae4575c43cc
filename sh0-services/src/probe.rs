//! Asking an instance from outside whether it is ready.
//!
//! ```
//! use sh0_core::model::HealthCheck;
//! use sh0_core::traits::{Probe, Prober};
//! use sh0_services::probe::HttpProber;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let app = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let found = HttpProber::new().probe(app.local_addr()?, &HealthCheck::default()).await;
//! assert_eq!(found, Probe::Healthy);
//! # Ok(())
//! # }
//! ```
//!
//! **Deliberately absent:** how often, how long, and what follows from it: that is the engine's.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sh0_core::model::{HealthCheck, UrlPath};
use sh0_core::traits::{Probe, Prober};
use tokio::net::TcpStream;

/// Probes by HTTP, or by a TCP connection. Each probe is a connection of its own: one that was kept would say nothing
/// about whether new ones are accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpProber;

impl HttpProber {
    /// A prober.
    pub fn new() -> Self {
        HttpProber
    }
}

#[async_trait]
impl Prober for HttpProber {
    async fn probe(&self, addr: SocketAddr, check: &HealthCheck) -> Probe {
        let limit = Duration::from(check.timeout);
        let began = tokio::time::Instant::now();
        let stream = match tokio::time::timeout(limit, TcpStream::connect(addr)).await {
            Err(_) => return Probe::Unreachable(format!("accepted no connection within {}", words(limit))),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Probe::Refused,
            Ok(Err(error)) => return Probe::Unreachable(format!("could not be connected to: {error}")),
            Ok(Ok(stream)) => stream,
        };
        let Some(path) = &check.path else { return Probe::Healthy };
        let left = limit.saturating_sub(began.elapsed());
        match tokio::time::timeout(left, status_of(stream, addr, path)).await {
            Err(_) => Probe::Unreachable(format!("accepted the connection and did not answer within {}", words(limit))),
            Ok(Err(reason)) => Probe::Unreachable(reason),
            Ok(Ok(status)) if status.is_success() || status.is_redirection() => Probe::Healthy,
            Ok(Ok(status)) => Probe::Status(status.as_u16()),
        }
    }
}

async fn status_of(stream: TcpStream, addr: SocketAddr, path: &UrlPath) -> Result<StatusCode, String> {
    let request = Request::get(path.as_str())
        .header(HOST, addr.to_string())
        .header(USER_AGENT, "sh0-probe")
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("has a health path that cannot be asked for: {error}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    // The connection makes progress only while it is polled; nothing of it is left behind.
    let response = tokio::select! {
        biased;
        response = answer.as_mut() => response,
        _ = connection => answer.await,
    };
    response.map(|response| response.status()).map_err(|error| broken(&error))
}

fn broken(error: &hyper::Error) -> String {
    if error.is_parse() {
        return "answered with something that is not HTTP".to_owned();
    }
    "closed the connection without an answer".to_owned()
}

fn words(limit: Duration) -> String {
    match limit.subsec_millis() {
        0 => format!("{} s", limit.as_secs()),
        _ => format!("{} ms", limit.as_millis()),
    }
}
