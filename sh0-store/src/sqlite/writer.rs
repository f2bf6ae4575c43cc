use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use sh0_core::traits::{Append, Batch, Kind, Put, Trim};
use sh0_core::{Error, Result};
use tokio::sync::{mpsc, oneshot, watch};

use super::errors::explain;
use super::schema;
use crate::batch;

/// Commits that wait for the writer; who comes later waits for a place.
const QUEUE: usize = 64;

/// The thread that owns the only connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Job {
    Commit(Batch, oneshot::Sender<Result<u64>>),
    Claim(oneshot::Sender<Result<u64>>),
}

impl Writer {
    /// Opens the file in the writer's own thread; answers its path and the revision of every commit.
    pub(super) async fn start(dir: PathBuf) -> Result<(Writer, PathBuf, watch::Receiver<u64>)> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (opened, opening) = oneshot::channel();
        let thread = thread::Builder::new().name("sh0-store".to_owned()).spawn(move || match Work::open(&dir) {
            Err(error) => drop(opened.send(Err(error))),
            Ok((work, revision)) => {
                if opened.send(Ok((work.path.clone(), revision))).is_ok() {
                    work.run(queue);
                }
            }
        });
        let thread = thread.map_err(|error| Error::from(error).context("starting the writer of the store"))?;
        let writer = Writer { jobs: Some(jobs), thread: Some(thread) };
        let (path, revision) = opening.await.map_err(|_| ended())??;
        Ok((writer, path, revision))
    }

    pub(super) async fn commit(&self, batch: Batch) -> Result<u64> {
        batch::readable(&batch)?;
        self.send(|answer| Job::Commit(batch, answer)).await
    }

    pub(super) async fn claim(&self) -> Result<u64> {
        self.send(Job::Claim).await
    }

    /// Once a job is in the queue it is done, whether or not its caller still waits.
    async fn send(&self, job: impl FnOnce(oneshot::Sender<Result<u64>>) -> Job) -> Result<u64> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job(answer)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        // The thread ends after the job in hand; who drops the store may give its directory away next.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ended() -> Error {
    Error::unavailable("the writer of the store has ended: open the store again")
}

struct Work {
    connection: Connection,
    path: PathBuf,
    revision: watch::Sender<u64>,
}

impl Work {
    fn open(dir: &Path) -> Result<(Work, watch::Receiver<u64>)> {
        let (connection, path) = schema::open_writer(dir)?;
        let last = meta(&connection, "revision").map_err(|error| explain(&path, error))?;
        let (revision, receiver) = watch::channel(last);
        Ok((Work { connection, path, revision }, receiver))
    }

    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.blocking_recv() {
            // The caller may have gone; the work is done all the same.
            let _ = match job {
                Job::Commit(batch, answer) => answer.send(self.commit(&batch)),
                Job::Claim(answer) => answer.send(self.claim()),
            };
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<u64> {
        let revision = self.transaction(|transaction| apply(transaction, batch))?;
        self.revision.send_if_modified(|last| std::mem::replace(last, revision) != revision);
        Ok(revision)
    }

    fn claim(&mut self) -> Result<u64> {
        self.transaction(|transaction| Ok(increase(transaction, "epoch")?))
    }

    /// All of `change` or nothing of it, durable when it returns.
    fn transaction<T>(&mut self, change: impl FnOnce(&Transaction<'_>) -> Result<T, Refusal>) -> Result<T> {
        let path = &self.path;
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|error| explain(path, error))?;
        // Leaving early drops the transaction, which rolls it back.
        let value = change(&transaction).map_err(|refusal| match refusal {
            Refusal::Batch(error) => error,
            Refusal::Sqlite(error) => explain(path, error),
        })?;
        transaction.commit().map_err(|error| explain(path, error))?;
        Ok(value)
    }
}

/// Why a transaction ends without a commit.
enum Refusal {
    Batch(Error),
    Sqlite(rusqlite::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Batch(error)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Refusal::Sqlite(error)
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        Refusal::Batch(error.into())
    }
}

/// Checks, deletes, puts, truncates, trims, appends: in this order.
fn apply(transaction: &Transaction<'_>, batch: &Batch) -> Result<u64, Refusal> {
    batch::fence(batch.epoch, meta(transaction, "epoch")?)?;
    for check in &batch.checks {
        batch::hold(check, revision_of(transaction, check.kind, &check.id)?)?;
    }
    if batch.is_empty() {
        return Ok(meta(transaction, "revision")?);
    }
    let revision = increase(transaction, "revision")?;
    for (kind, id) in &batch.deletes {
        // Its keys and index values go with it: ON DELETE CASCADE.
        transaction.prepare_cached("DELETE FROM records WHERE kind = ?1 AND id = ?2")?.execute((kind.0, id))?;
    }
    // All of them first, so that two records can swap their keys.
    for put in &batch.puts {
        free_keys(transaction, put)?;
    }
    for put in &batch.puts {
        write(transaction, put, revision)?;
    }
    for stream in &batch.truncates {
        transaction.prepare_cached("DELETE FROM streams WHERE stream = ?1")?.execute((stream,))?;
    }
    for Trim { stream, through } in &batch.trims {
        let through = i64::try_from(*through).unwrap_or(i64::MAX);
        transaction
            .prepare_cached(
                "DELETE FROM streams
                 WHERE stream = ?1 AND seq <= ?2 AND seq < (SELECT max(seq) FROM streams WHERE stream = ?1)",
            )?
            .execute((stream, through))?;
    }
    for append in &batch.appends {
        add(transaction, append)?;
    }
    Ok(revision)
}

fn write(transaction: &Transaction<'_>, put: &Put, revision: u64) -> Result<(), Refusal> {
    let Put { kind, id, parent, unique, indexes, schema, body } = put;
    // Not REPLACE: that would delete the row first, and its keys with it.
    transaction
        .prepare_cached(
            "INSERT INTO records (kind, id, parent, revision, schema, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (kind, id) DO UPDATE SET parent = excluded.parent, revision = excluded.revision,
                 schema = excluded.schema, body = excluded.body",
        )?
        .execute((kind.0, id, parent, revision, schema, serde_json::to_string(body)?))?;

    free_keys(transaction, put)?;
    for key in unique {
        take_key(transaction, *kind, key, id)?;
    }
    transaction.prepare_cached("DELETE FROM indexes WHERE kind = ?1 AND id = ?2")?.execute((kind.0, id))?;
    for (name, value) in indexes {
        transaction
            .prepare_cached("INSERT INTO indexes (kind, name, value, id) VALUES (?1, ?2, ?3, ?4)")?
            .execute((kind.0, name, value, id))?;
    }
    Ok(())
}

fn free_keys(transaction: &Transaction<'_>, put: &Put) -> rusqlite::Result<usize> {
    transaction.prepare_cached("DELETE FROM uniques WHERE kind = ?1 AND id = ?2")?.execute((put.kind.0, &put.id))
}

fn take_key(transaction: &Transaction<'_>, kind: Kind, key: &str, id: &str) -> Result<(), Refusal> {
    let taken = transaction
        .prepare_cached("INSERT INTO uniques (kind, key, id) VALUES (?1, ?2, ?3) ON CONFLICT (kind, key) DO NOTHING")?
        .execute((kind.0, key, id))?;
    if taken == 1 {
        return Ok(());
    }
    let holder: String = transaction
        .prepare_cached("SELECT id FROM uniques WHERE kind = ?1 AND key = ?2")?
        .query_row((kind.0, key), |row| row.get(0))?;
    match holder == id {
        true => Ok(()),
        false => Err(batch::taken(kind, key, holder).into()),
    }
}

fn add(transaction: &Transaction<'_>, append: &Append) -> Result<(), Refusal> {
    transaction
        .prepare_cached(
            "INSERT INTO streams (stream, seq, body)
             SELECT ?1, coalesce(max(seq), 0) + 1, ?2 FROM streams WHERE stream = ?1",
        )?
        .execute((&append.stream, serde_json::to_string(&append.body)?))?;
    Ok(())
}

fn revision_of(connection: &Connection, kind: Kind, id: &str) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT revision FROM records WHERE kind = ?1 AND id = ?2")?
        .query_row((kind.0, id), |row| row.get(0))
        .optional()
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row((key,), |row| row.get(0))
}

fn increase(connection: &Connection, key: &str) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("UPDATE meta SET value = value + 1 WHERE key = ?1 RETURNING value")?
        .query_row((key,), |row| row.get(0))
}
