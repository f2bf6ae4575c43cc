use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, ToSql};
use sh0_core::traits::{Entry, Kind, Query, Record};
use sh0_core::{Error, Result};
use tokio::sync::Semaphore;
use tokio::task;

use super::errors::explain;
use super::{READERS, schema};

/// Connections that read, opened when first needed and lent to one read at a time.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Readers { path, permits: Arc::new(Semaphore::new(READERS)), idle: Mutex::default() }
    }

    /// Reads on a thread that may block. A read that nobody waits for any more ends by itself and gives its turn back.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| ended())?;
        let readers = self.clone();
        let read = task::spawn_blocking(move || {
            let _permit = permit;
            readers.lend(read)
        });
        read.await.map_err(|error| ended().with_source(error))?
    }

    /// Reads at once, in the thread of the caller: for a record that is found by its key. That takes microseconds; to
    /// another thread and back takes two turns of the scheduler, and each of them milliseconds on a busy machine.
    pub(super) async fn run_here<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let _permit = self.permits.acquire().await.map_err(|_| ended())?;
        self.lend(read)
    }

    fn lend<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let connection = self.take()?;
        // A connection that failed is closed, not lent again.
        let value = read(&connection).map_err(|error| explain(&self.path, error))?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(value)
    }

    fn take(&self) -> Result<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => schema::open_reader(&self.path).map_err(|error| explain(&self.path, error)),
        }
    }
}

fn ended() -> Error {
    Error::unavailable("the store is shutting down: open it again")
}

pub(super) fn get(connection: &Connection, kind: Kind, id: &str) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare_cached("SELECT id, parent, revision, schema, body FROM records WHERE kind = ?1 AND id = ?2")?
        .query_row((kind.0, id), record)
        .optional()
}

pub(super) fn find(connection: &Connection, kind: Kind, unique: &str) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare_cached(
            "SELECT r.id, r.parent, r.revision, r.schema, r.body FROM uniques u JOIN records r USING (kind, id)
             WHERE u.kind = ?1 AND u.key = ?2",
        )?
        .query_row((kind.0, unique), record)
        .optional()
}

pub(super) fn list(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Record>> {
    let (from, mut wheres) = match query.index {
        // The index leads: the planner has no statistics to choose with.
        Some(_) => (
            "indexes i CROSS JOIN records r USING (kind, id)",
            vec!["i.kind = :kind", "i.name = :name", "i.value = :value"],
        ),
        None => ("records r", vec!["r.kind = :kind"]),
    };
    let id = if query.index.is_some() { "i.id" } else { "r.id" };
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":kind", &query.kind.0), (":limit", &limit)];
    if let Some((name, value)) = &query.index {
        values.extend([(":name", name as &dyn ToSql), (":value", value)]);
    }
    if let Some(parent) = &query.parent {
        wheres.push("r.parent = :parent");
        values.push((":parent", parent));
    }
    let beyond = format!("{id} {} :after", if query.newest_first { "<" } else { ">" });
    if let Some(after) = &query.after {
        wheres.push(&beyond);
        values.push((":after", after));
    }
    let order = if query.newest_first { "DESC" } else { "ASC" };
    // Only words from here become SQL; every value is bound.
    let sql = format!(
        "SELECT r.id, r.parent, r.revision, r.schema, r.body FROM {from} WHERE {} ORDER BY {id} {order} LIMIT :limit",
        wheres.join(" AND ")
    );
    connection.prepare_cached(&sql)?.query_map(&*values, record)?.collect()
}

pub(super) fn entries(connection: &Connection, stream: &str, after: u64, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached("SELECT seq, body FROM streams WHERE stream = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3")?
        .query_map((stream, after, limit), |row| Ok(Entry { seq: row.get(0)?, body: json(row, 1)? }))?
        .collect()
}

pub(super) fn quick_check(connection: &Connection) -> rusqlite::Result<()> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => {
            Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(verdict)))
        }
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record { id: row.get(0)?, parent: row.get(1)?, revision: row.get(2)?, schema: row.get(3)?, body: json(row, 4)? })
}

fn json(row: &Row<'_>, column: usize) -> rusqlite::Result<serde_json::Value> {
    let text = row.get_ref(column)?;
    serde_json::from_slice(text.as_bytes()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, text.data_type(), Box::new(error)))
}
