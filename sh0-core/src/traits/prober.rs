use std::net::SocketAddr;

use async_trait::async_trait;

use crate::model::HealthCheck;

/// Asks an instance from outside whether it is ready.
#[async_trait]
pub trait Prober: Send + Sync {
    /// One probe: HTTP `GET` of `check.path` (any 2xx or 3xx is healthy), or a TCP connection without one. Ends within
    /// `check.timeout`.
    async fn probe(&self, addr: SocketAddr, check: &HealthCheck) -> Probe;
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It answers as it should.
    Healthy,
    /// Nobody listens there (connection refused).
    Refused,
    /// It does not answer in time, or breaks off: the text says which.
    Unreachable(String),
    /// It answers with another HTTP status.
    Status(u16),
}
