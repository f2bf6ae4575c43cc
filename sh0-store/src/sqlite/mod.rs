//! Records in one SQLite file, `DIR/sh0.db`: the default store.
//!
//! One writer thread owns the only connection that writes; a commit is one transaction, on disk (write-ahead log,
//! `synchronous=FULL`) before it returns. Up to [`READERS`] connections read beside it and never block it. Nothing
//! here holds a lock across an `.await`.
//!
//! | table | keeps |
//! | --- | --- |
//! | `records(kind, id, parent, revision, schema, body)` | one row a record, its body as JSON text |
//! | `uniques(kind, key, id)` | who holds a unique key |
//! | `indexes(kind, name, value, id)` | the declared indexes |
//! | `streams(stream, seq, body)` | the entries of streams |
//! | `meta(key, value)` | the revision of the last commit and the writer's epoch |
//!
//! The version of these tables is `PRAGMA user_version`; a file of a newer sh0 is refused and left untouched.

mod errors;
mod reader;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sh0_core::Result;
use sh0_core::traits::{Batch, Entry, Kind, Query, Record, Store};
use tokio::sync::watch;

use reader::Readers;
use writer::Writer;

/// So many reads run at once; the others wait their turn.
pub const READERS: usize = 3;

/// A [`Store`] in an SQLite file.
///
/// Dropping it waits for the commit in flight and closes the file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    // Before the writer: the last connection that closes folds the write-ahead log into the file, and only the writer
    // may write.
    readers: Arc<Readers>,
    writer: Writer,
    revision: watch::Receiver<u64>,
}

impl SqliteStore {
    /// Opens `dir/sh0.db`, and creates both (modes 0700 and 0600) when they are not there. Hold the
    /// [`DataDir`](crate::lock::DataDir) of `dir` meanwhile.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<SqliteStore> {
        let (writer, path, revision) = Writer::start(dir.into()).await?;
        Ok(SqliteStore { readers: Arc::new(Readers::new(path.clone())), path, writer, revision })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole file and says whether it is sound (`PRAGMA quick_check`): for `doctor`.
    pub async fn check(&self) -> Result<()> {
        self.readers.run(reader::quick_check).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn name(&self) -> String {
        format!("SQLite {}", rusqlite::version())
    }

    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Record>> {
        self.readers.run_here(|connection| reader::get(connection, kind, id)).await
    }

    async fn find(&self, kind: Kind, unique: &str) -> Result<Option<Record>> {
        self.readers.run_here(|connection| reader::find(connection, kind, unique)).await
    }

    async fn list(&self, query: &Query) -> Result<Vec<Record>> {
        let query = query.clone();
        self.readers.run(move |connection| reader::list(connection, &query)).await
    }

    async fn commit(&self, batch: Batch) -> Result<u64> {
        self.writer.commit(batch).await
    }

    async fn read(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<Entry>> {
        let stream = stream.to_owned();
        self.readers.run(move |connection| reader::entries(connection, &stream, after, limit)).await
    }

    async fn claim(&self) -> Result<u64> {
        self.writer.claim().await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }
}
