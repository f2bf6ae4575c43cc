use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Keeps records and ordered streams. It knows no entity: typed repositories over it live in the engine.
#[async_trait]
pub trait Store: Send + Sync {
    /// Its name and version, for people.
    fn name(&self) -> String;

    /// One record.
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Record>>;

    /// The record of `kind` that holds this unique key.
    async fn find(&self, kind: Kind, unique: &str) -> Result<Option<Record>>;

    /// Records by kind and parent, in the order of their ids.
    async fn list(&self, query: &Query) -> Result<Vec<Record>>;

    /// All of the batch or nothing of it, durable when it returns; answers the new revision of the store.
    ///
    /// [`Code::Conflict`](crate::Code::Conflict) when a check, a unique key or the epoch does not hold;
    /// [`Code::NoSpace`](crate::Code::NoSpace) when the disk is full.
    async fn commit(&self, batch: Batch) -> Result<u64>;

    /// Entries of a stream after `after`, in order, at most `limit`.
    async fn read(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<Entry>>;

    /// Makes this writer the only one: answers the new epoch. A [`Batch`] with an older epoch is refused.
    async fn claim(&self) -> Result<u64>;

    /// The revision of the last commit, and a wake-up at every one.
    fn watch(&self) -> tokio::sync::watch::Receiver<u64>;
}

/// What sort of record: `app`, `release`, ... A fixed word of core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub &'static str);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A stored record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id, unique within its kind.
    pub id: String,
    /// What it belongs to: the id of an app, a project, or the platform. Part of every listing.
    pub parent: String,
    /// The revision of the commit that wrote it.
    pub revision: u64,
    /// The version of the body's shape; core upgrades old ones.
    pub schema: u32,
    /// The body.
    pub body: serde_json::Value,
}

/// Which records.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Their kind.
    pub kind: Kind,
    /// Only those of this parent.
    pub parent: Option<String>,
    /// Only those whose declared index has this value.
    pub index: Option<(&'static str, String)>,
    /// Only ids after this one (before it when `newest_first`).
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Descending ids.
    pub newest_first: bool,
}

impl Query {
    /// All records of `kind`, at most 100,000.
    pub fn all(kind: Kind) -> Self {
        Query { kind, parent: None, index: None, after: None, limit: 100_000, newest_first: false }
    }

    /// Only those of `parent`.
    #[must_use]
    pub fn of(mut self, parent: impl Into<String>) -> Self {
        self.parent = Some(parent.into());
        self
    }

    /// Only those whose index `name` has `value`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.index = Some((name, value.into()));
        self
    }

    /// The newest first, at most `limit`.
    #[must_use]
    pub fn newest(mut self, limit: usize) -> Self {
        self.newest_first = true;
        self.limit = limit;
        self
    }
}

/// A change: all of it or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// The writer's epoch, from [`Store::claim`]; 0 skips the check (tools that open a store without a platform).
    pub epoch: u64,
    /// What must hold.
    pub checks: Vec<Check>,
    /// Records to write.
    pub puts: Vec<Put>,
    /// Records to remove; absent ones are fine.
    pub deletes: Vec<(Kind, String)>,
    /// Entries to add to streams.
    pub appends: Vec<Append>,
    /// Streams to remove.
    pub truncates: Vec<String>,
    /// Beginnings of streams to remove.
    pub trims: Vec<Trim>,
}

impl Batch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        let Batch { puts, deletes, appends, truncates, trims, .. } = self;
        puts.is_empty() && deletes.is_empty() && appends.is_empty() && truncates.is_empty() && trims.is_empty()
    }
}

/// What must hold for a batch to be committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The record's kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its revision; `None` demands that it does not exist.
    pub revision: Option<u64>,
}

/// A record to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Put {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// What it belongs to.
    pub parent: String,
    /// Keys that no other record of this kind may hold. They replace those it held before.
    pub unique: Vec<String>,
    /// Declared indexes and their values.
    pub indexes: BTreeMap<&'static str, String>,
    /// The version of the body's shape.
    pub schema: u32,
    /// The body.
    pub body: serde_json::Value,
}

/// An entry to add to a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The stream, such as `audit` or `events/<deployment>`.
    pub stream: String,
    /// The body.
    pub body: serde_json::Value,
}

/// The beginning of a stream, to be removed. Entries that stay keep their numbers, and the newest always stays, so that
/// the next one counts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trim {
    /// The stream.
    pub stream: String,
    /// The number of the last entry to remove.
    pub through: u64,
}

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts up from 1 within the stream, without holes; the first ones may have been trimmed.
    pub seq: u64,
    /// The body.
    pub body: serde_json::Value,
}
