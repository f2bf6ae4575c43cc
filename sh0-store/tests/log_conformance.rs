//! Both log stores behave as the trait says.

use std::cell::Cell;
use std::sync::Arc;

use sh0_core::testkit;
use sh0_core::traits::LogStore;
use sh0_store::logs::{FileLogStore, Limits};
use sh0_store::memory::MemoryLogStore;

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    testkit::log_store::conformance(|| async { Arc::new(MemoryLogStore::default()) as Arc<dyn LogStore> }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files() {
    conformance(Limits::default()).await;
}

/// Every check crosses segments.
#[tokio::test(flavor = "current_thread")]
async fn files_with_tiny_segments() {
    conformance(Limits { segment_bytes: 500, ..Limits::default() }).await;
}

async fn conformance(limits: Limits) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let made = Cell::new(0);
    testkit::log_store::conformance(|| async {
        made.set(made.get() + 1);
        let dir = dir.path().join(made.get().to_string());
        Arc::new(FileLogStore::open(dir, limits.clone()).expect("the store opens")) as Arc<dyn LogStore>
    })
    .await;
}
