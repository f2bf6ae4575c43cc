use async_trait::async_trait;
use tokio::sync::watch;

use super::Chaos;
use crate::Result;
use crate::traits::{Batch, Entry, Kind, Query, Record, Store};

#[async_trait]
impl<T: Store + ?Sized> Store for Chaos<T> {
    fn name(&self) -> String {
        self.inner.name()
    }

    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Record>> {
        self.faults.call("store.get", self.inner.get(kind, id)).await
    }

    async fn find(&self, kind: Kind, unique: &str) -> Result<Option<Record>> {
        self.faults.call("store.find", self.inner.find(kind, unique)).await
    }

    async fn list(&self, query: &Query) -> Result<Vec<Record>> {
        self.faults.call("store.list", self.inner.list(query)).await
    }

    async fn commit(&self, batch: Batch) -> Result<u64> {
        self.faults.call("store.commit", self.inner.commit(batch)).await
    }

    async fn read(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<Entry>> {
        self.faults.call("store.read", self.inner.read(stream, after, limit)).await
    }

    async fn claim(&self) -> Result<u64> {
        self.faults.call("store.claim", self.inner.claim()).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.inner.watch()
    }
}
