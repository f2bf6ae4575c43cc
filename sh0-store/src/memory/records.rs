use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use serde_json::Value;
use sh0_core::Result;
use sh0_core::traits::{Batch, Entry, Kind, Put, Query, Record, Store};
use tokio::sync::watch;

use crate::batch;

/// A [`Store`] in memory.
///
/// ```
/// use sh0_core::traits::{Append, Batch, Store};
/// use sh0_store::memory::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> sh0_core::Result<()> {
/// let store = MemoryStore::new();
/// let audit = Append { stream: "audit".into(), body: serde_json::json!({ "who": "me" }) };
/// store.commit(Batch { appends: vec![audit], ..Batch::default() }).await?;
/// assert_eq!(store.read("audit", 0, 10).await?[0].seq, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    state: RwLock<State>,
    revision: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    revision: u64,
    records: BTreeMap<(Kind, String), Row>,
    uniques: HashMap<(Kind, String), String>,
    streams: HashMap<String, Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    /// How many entries were trimmed.
    trimmed: usize,
    bodies: VecDeque<Value>,
}

impl Stream {
    fn trim(&mut self, through: u64) {
        let through = usize::try_from(through).unwrap_or(usize::MAX);
        let gone = through.saturating_sub(self.trimmed).min(self.bodies.len().saturating_sub(1));
        self.bodies.drain(..gone);
        self.trimmed += gone;
    }

    fn read(&self, after: u64, limit: usize) -> Vec<Entry> {
        let skip = usize::try_from(after).unwrap_or(usize::MAX).saturating_sub(self.trimmed);
        let numbered = (self.trimmed as u64 + 1..).zip(&self.bodies).skip(skip).take(limit);
        numbered.map(|(seq, body)| Entry { seq, body: body.clone() }).collect()
    }
}

#[derive(Debug)]
struct Row {
    record: Record,
    unique: Vec<String>,
    indexes: BTreeMap<&'static str, String>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        MemoryStore { state: RwLock::default(), revision: watch::Sender::new(0) }
    }

    // A batch is checked whole before the first change, so a panic in between cannot leave half of one: a poisoned
    // lock is still a consistent state.
    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Record>> {
        Ok(self.state().record(kind, id).cloned())
    }

    async fn find(&self, kind: Kind, unique: &str) -> Result<Option<Record>> {
        let state = self.state();
        let id = state.uniques.get(&(kind, unique.to_owned()));
        Ok(id.and_then(|id| state.record(kind, id)).cloned())
    }

    async fn list(&self, query: &Query) -> Result<Vec<Record>> {
        Ok(self.state().list(query))
    }

    async fn commit(&self, batch: Batch) -> Result<u64> {
        batch::readable(&batch)?;
        let mut state = self.state_mut();
        state.check(&batch)?;
        if batch.is_empty() {
            return Ok(state.revision);
        }
        let revision = state.apply(batch);
        // Inside the lock, so that those who watch see revisions in their order.
        self.revision.send_replace(revision);
        Ok(revision)
    }

    async fn read(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<Entry>> {
        Ok(self.state().streams.get(stream).map(|stream| stream.read(after, limit)).unwrap_or_default())
    }

    async fn claim(&self) -> Result<u64> {
        let mut state = self.state_mut();
        state.epoch += 1;
        Ok(state.epoch)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

impl State {
    fn record(&self, kind: Kind, id: &str) -> Option<&Record> {
        self.records.get(&(kind, id.to_owned())).map(|row| &row.record)
    }

    fn list(&self, query: &Query) -> Vec<Record> {
        let of_kind =
            self.records.range((query.kind, String::new())..).take_while(|((kind, _), _)| *kind == query.kind);
        let fits = |record: &Record, indexes: &BTreeMap<&'static str, String>| {
            let beyond = |after: &String| if query.newest_first { record.id < *after } else { record.id > *after };
            query.after.as_ref().is_none_or(beyond)
                && query.parent.as_ref().is_none_or(|parent| record.parent == *parent)
                && query.index.as_ref().is_none_or(|(name, value)| indexes.get(name) == Some(value))
        };
        let mut found: Vec<&Record> =
            of_kind.filter(|(_, row)| fits(&row.record, &row.indexes)).map(|(_, row)| &row.record).collect();
        if query.newest_first {
            found.reverse();
        }
        found.into_iter().take(query.limit).cloned().collect()
    }

    /// Whether all of the batch can be applied.
    fn check(&self, batch: &Batch) -> Result<()> {
        batch::fence(batch.epoch, self.epoch)?;
        for check in &batch.checks {
            batch::hold(check, self.record(check.kind, &check.id).map(|record| record.revision))?;
        }
        self.check_keys(batch)
    }

    /// Walks the batch as `apply` will: first every key of a deleted or rewritten record is free, then the puts take
    /// theirs, one after the other.
    fn check_keys(&self, batch: &Batch) -> Result<()> {
        let rewritten = batch.puts.iter().map(|put| (put.kind, put.id.clone()));
        let mut holders: HashMap<(Kind, &str), Option<&str>> = HashMap::new();
        for key in batch.deletes.iter().cloned().chain(rewritten) {
            for unique in self.records.get(&key).map_or(&[][..], |row| &row.unique) {
                holders.insert((key.0, unique), None);
            }
        }
        for put in &batch.puts {
            let Put { kind, id, unique, .. } = put;
            // An earlier put of the same record in this batch gives its keys back.
            holders
                .iter_mut()
                .filter(|((k, _), holder)| k == kind && **holder == Some(id))
                .for_each(|(_, holder)| *holder = None);
            for key in unique {
                let stored = || self.uniques.get(&(*kind, key.clone())).map(String::as_str);
                match holders.get(&(*kind, key.as_str())).copied().unwrap_or_else(stored) {
                    Some(holder) if holder != id => return Err(batch::taken(*kind, key, holder)),
                    _ => holders.insert((*kind, key), Some(id)),
                };
            }
        }
        Ok(())
    }

    fn apply(&mut self, batch: Batch) -> u64 {
        self.revision += 1;
        for (kind, id) in batch.deletes {
            self.remove(kind, id);
        }
        for put in &batch.puts {
            self.remove(put.kind, put.id.clone());
        }
        for put in batch.puts {
            self.put(put);
        }
        for stream in batch.truncates {
            self.streams.remove(&stream);
        }
        for trim in batch.trims {
            if let Some(stream) = self.streams.get_mut(&trim.stream) {
                stream.trim(trim.through);
            }
        }
        for append in batch.appends {
            self.streams.entry(append.stream).or_default().bodies.push_back(append.body);
        }
        self.revision
    }

    fn put(&mut self, put: Put) {
        let Put { kind, id, parent, unique, indexes, schema, body } = put;
        self.remove(kind, id.clone());
        for key in &unique {
            self.uniques.insert((kind, key.clone()), id.clone());
        }
        let record = Record { id: id.clone(), parent, revision: self.revision, schema, body };
        self.records.insert((kind, id), Row { record, unique, indexes });
    }

    fn remove(&mut self, kind: Kind, id: String) {
        for key in self.records.remove(&(kind, id)).map(|row| row.unique).unwrap_or_default() {
            self.uniques.remove(&(kind, key));
        }
    }
}
