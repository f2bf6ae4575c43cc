use std::net::SocketAddr;

use async_trait::async_trait;

use super::FakeRuntime;
use crate::model::HealthCheck;
use crate::traits::{Probe, Prober};

/// Asks the fake runtime whether anybody answers at an address.
#[derive(Clone)]
pub struct FakeProber(FakeRuntime);

impl FakeProber {
    /// Probes the instances of this runtime.
    pub fn new(runtime: &FakeRuntime) -> Self {
        FakeProber(runtime.clone())
    }
}

#[async_trait]
impl Prober for FakeProber {
    async fn probe(&self, addr: SocketAddr, check: &HealthCheck) -> Probe {
        let probe = self.0.probe(addr, check);
        if matches!(probe, Probe::Unreachable(_)) {
            tokio::time::sleep(check.timeout.into()).await;
        }
        probe
    }
}
