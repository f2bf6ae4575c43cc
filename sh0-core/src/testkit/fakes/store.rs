use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;

use super::lock;
use crate::traits::{Batch, Entry, Kind, Put, Query, Record, Store};
use crate::{Error, Result};

/// A store in memory, as plain as can be: every commit works on a copy that takes the place of the original. Slow with
/// many records; what embedders want is `sh0-store`'s `MemoryStore`.
pub struct FakeStore {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

#[derive(Debug, Clone, Default)]
struct State {
    epoch: u64,
    revision: u64,
    records: BTreeMap<(Kind, String), (Record, Put)>,
    streams: BTreeMap<String, Vec<Entry>>,
}

impl Default for FakeStore {
    fn default() -> Self {
        FakeStore { state: Mutex::default(), revision: watch::Sender::new(0) }
    }
}

impl FakeStore {
    /// Everything that is stored, as text: what somebody who steals the file sees.
    pub fn dump(&self) -> String {
        format!("{:?}", lock(&self.state))
    }
}

#[async_trait]
impl Store for FakeStore {
    fn name(&self) -> String {
        "fake store".to_owned()
    }

    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Record>> {
        Ok(lock(&self.state).records.get(&(kind, id.to_owned())).map(|(record, _)| record.clone()))
    }

    async fn find(&self, kind: Kind, unique: &str) -> Result<Option<Record>> {
        let state = lock(&self.state);
        let found = state.records.values().find(|(_, put)| put.kind == kind && put.unique.iter().any(|u| u == unique));
        Ok(found.map(|(record, _)| record.clone()))
    }

    async fn list(&self, query: &Query) -> Result<Vec<Record>> {
        let state = lock(&self.state);
        let fits = |record: &Record, put: &Put| {
            put.kind == query.kind
                && query.parent.as_ref().is_none_or(|parent| record.parent == *parent)
                && query.index.as_ref().is_none_or(|(name, value)| put.indexes.get(name) == Some(value))
                && query.after.as_ref().is_none_or(|after| match query.newest_first {
                    true => record.id < *after,
                    false => record.id > *after,
                })
        };
        let mut found: Vec<Record> = state
            .records
            .values()
            .filter(|(record, put)| fits(record, put))
            .map(|(record, _)| record.clone())
            .collect();
        if query.newest_first {
            found.reverse();
        }
        found.truncate(query.limit);
        Ok(found)
    }

    async fn commit(&self, batch: Batch) -> Result<u64> {
        let mut state = lock(&self.state);
        let mut next = state.clone();
        next.check(&batch)?;
        if batch.is_empty() {
            return Ok(state.revision);
        }
        next.apply(batch)?;
        let revision = next.revision;
        *state = next;
        self.revision.send_replace(revision);
        Ok(revision)
    }

    async fn read(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<Entry>> {
        let state = lock(&self.state);
        let entries = state.streams.get(stream).into_iter().flatten();
        Ok(entries.filter(|entry| entry.seq > after).take(limit).cloned().collect())
    }

    async fn claim(&self) -> Result<u64> {
        let mut state = lock(&self.state);
        state.epoch += 1;
        Ok(state.epoch)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

impl State {
    fn check(&self, batch: &Batch) -> Result<()> {
        if batch.epoch != 0 && batch.epoch != self.epoch {
            return Err(Error::conflict("another writer took this store over"));
        }
        for check in &batch.checks {
            let actual = self.records.get(&(check.kind, check.id.clone())).map(|(record, _)| record.revision);
            if actual != check.revision {
                let text = format!("the {} `{}` has the revision {actual:?}", check.kind, check.id);
                return Err(Error::conflict(text));
            }
        }
        Ok(())
    }

    fn apply(&mut self, batch: Batch) -> Result<()> {
        self.revision += 1;
        for key in batch.deletes.into_iter().chain(batch.puts.iter().map(|put| (put.kind, put.id.clone()))) {
            self.records.remove(&key);
        }
        for put in batch.puts {
            self.put(put)?;
        }
        for stream in batch.truncates {
            self.streams.remove(&stream);
        }
        for trim in batch.trims {
            let entries = self.streams.entry(trim.stream).or_default();
            let newest = entries.last().map(|entry| entry.seq);
            entries.retain(|entry| entry.seq > trim.through || Some(entry.seq) == newest);
        }
        for append in batch.appends {
            readable(&append.body)?;
            let entries = self.streams.entry(append.stream).or_default();
            let seq = entries.last().map_or(0, |entry| entry.seq) + 1;
            entries.push(Entry { seq, body: append.body });
        }
        Ok(())
    }

    fn put(&mut self, put: Put) -> Result<()> {
        readable(&put.body)?;
        let others = self.records.values().filter(|(_, other)| other.kind == put.kind && other.id != put.id);
        for (_, other) in others {
            if let Some(taken) = put.unique.iter().find(|key| other.unique.contains(key)) {
                return Err(Error::conflict(format!("`{taken}` is taken by another {} (id {})", put.kind, other.id)));
            }
        }
        let Put { kind, id, parent, schema, body, .. } = put.clone();
        let record = Record { id: id.clone(), parent, revision: self.revision, schema, body };
        self.records.insert((kind, id), (record, Put { body: Value::Null, ..put }));
        Ok(())
    }
}

/// `serde_json` reads no deeper than 128 levels.
fn readable(body: &Value) -> Result<()> {
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    match depth(body) {
        0..=120 => Ok(()),
        deep => Err(Error::invalid("body", format!("is nested {deep} levels deep"), "flatten it")),
    }
}
