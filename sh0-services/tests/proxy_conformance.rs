//! The proxies against the suite of their trait: in this process, and as a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use sh0_core::Result;
use sh0_core::model::Capability;
use sh0_core::testkit;
use sh0_core::traits::{Proxy, ProxyStatus, RouteTable};
use sh0_services::proxy::edge::EdgeProxy;
use sh0_services::proxy::embedded::EmbeddedProxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    testkit::proxy::conformance(|| async { Arc::new(EmbeddedProxy::new()) as Arc<dyn Proxy> }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge() {
    testkit::proxy::conformance(|| async { Arc::new(ChildEdge::start()) as Arc<dyn Proxy> }).await;
}

/// An edge that ends with the check it was made for.
struct ChildEdge {
    proxy: EdgeProxy,
    child: std::process::Child,
    _dir: tempfile::TempDir,
}

impl ChildEdge {
    fn start() -> ChildEdge {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("edge.sock");
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_sh0-edge"))
            .arg("--socket")
            .arg(&socket)
            .arg("--state")
            .arg(dir.path().join("edge.json"))
            .env_clear()
            .spawn()
            .unwrap();
        ChildEdge { proxy: EdgeProxy::new(socket), child, _dir: dir }
    }
}

impl Drop for ChildEdge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[async_trait]
impl Proxy for ChildEdge {
    fn name(&self) -> String {
        self.proxy.name()
    }
    fn capabilities(&self) -> Vec<Capability> {
        self.proxy.capabilities()
    }
    async fn apply(&self, table: &RouteTable) -> Result<()> {
        self.proxy.apply(table).await
    }
    async fn status(&self) -> Result<ProxyStatus> {
        self.proxy.status().await
    }
    async fn find_port(&self, preferred: Option<u16>, taken: &BTreeSet<u16>) -> Result<u16> {
        self.proxy.find_port(preferred, taken).await
    }
}
