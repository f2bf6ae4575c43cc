//! Both stores behave as the trait says.

use std::sync::Arc;

use sh0_core::testkit;
use sh0_core::traits::Store;
use sh0_store::memory::MemoryStore;
use sh0_store::sqlite::SqliteStore;

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    testkit::store::conformance(|| async { Arc::new(MemoryStore::new()) as Arc<dyn Store> }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let made = std::cell::Cell::new(0);
    testkit::store::conformance(|| async {
        made.set(made.get() + 1);
        let dir = dir.path().join(made.get().to_string());
        Arc::new(SqliteStore::open(dir).await.expect("the store opens")) as Arc<dyn Store>
    })
    .await;
}

/// Bindings may own a runtime of a single thread.
#[tokio::test(flavor = "current_thread")]
async fn sqlite_on_one_thread() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let made = std::cell::Cell::new(0);
    testkit::store::conformance(|| async {
        made.set(made.get() + 1);
        let dir = dir.path().join(made.get().to_string());
        Arc::new(SqliteStore::open(dir).await.expect("the store opens")) as Arc<dyn Store>
    })
    .await;
}
