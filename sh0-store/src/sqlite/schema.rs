use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use sh0_core::{Code, Error, Result};

use super::errors::explain;
use crate::lock::private_dir;

/// Each brings the tables from the version of its place to the next. Never change one that was released: add one.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta (key, value) VALUES ('epoch', 0), ('revision', 0);

    CREATE TABLE records (
        kind TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL,
        revision INTEGER NOT NULL, schema INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX records_by_parent ON records (kind, parent, id);

    CREATE TABLE uniques (
        kind TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL,
        PRIMARY KEY (kind, key),
        FOREIGN KEY (kind, id) REFERENCES records (kind, id) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX uniques_by_id ON uniques (kind, id);

    CREATE TABLE indexes (
        kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, id TEXT NOT NULL,
        PRIMARY KEY (kind, name, value, id),
        FOREIGN KEY (kind, id) REFERENCES records (kind, id) ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX indexes_by_id ON indexes (kind, id);

    CREATE TABLE streams (
        stream TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (stream, seq)
    ) STRICT, WITHOUT ROWID;
"];

/// `sh0d` in the file header says whose database it is (`PRAGMA application_id`).
const APPLICATION: i64 = 0x7368_3064;
const BUSY: Duration = Duration::from_secs(5);

/// For the connection: how much it may keep in memory, never mapped files. An idle server stays small.
const WRITER_SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA mmap_size = 0;
    PRAGMA cache_size = -2000;
    PRAGMA journal_size_limit = 4194304;
";
const READER_SETTINGS: &str = "
    PRAGMA query_only = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA mmap_size = 0;
    PRAGMA cache_size = -1000;
";

/// Opens the file of `dir` for the one writer, at the newest version of the tables.
pub(super) fn open_writer(dir: &Path) -> Result<(Connection, PathBuf)> {
    let path = private_dir(dir)?.join("sh0.db");
    create_private(&path)?;
    let connection = connect(&path).map_err(|error| explain(&path, error))?;
    accept(&connection, &path)?;
    let mut connection = prepare(connection).map_err(|error| explain(&path, error))?;
    migrate(&mut connection, MIGRATIONS)
        .map_err(|error| explain(&path, error).context("bringing the store up to date"))?;
    Ok((connection, path))
}

/// Opens another connection that cannot write.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.execute_batch(READER_SETTINGS)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// SQLite gives the `-wal` and `-shm` files the mode of the database.
fn create_private(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && fs::metadata(path).is_ok_and(|m| m.is_file()) => {
            Ok(())
        }
        Err(error) => Err(Error::from(error).context(format_args!("creating {}", path.display()))),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // No URI flag: a `?` in a directory's name is no option. No SQLite mutex: each connection stays in one thread.
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Refuses a file that this sh0 must not write, before anything was written: a write-ahead log that is there is not
/// folded in either when the connection closes.
fn accept(connection: &Connection, path: &Path) -> Result<()> {
    let log = path.with_file_name("sh0.db-wal").exists();
    let look = || -> rusqlite::Result<(i64, i64, i64)> {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, log)?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        Ok((version, application, tables))
    };
    let (version, application, tables) = look().map_err(|error| explain(path, error))?;
    let (path, newest) = (path.display(), MIGRATIONS.len());
    if tables > 0 && application != APPLICATION {
        return Err(Error::new(
            Code::Internal,
            format!("{path} is another program's database: choose another --data directory"),
        ));
    }
    if usize::try_from(version).is_ok_and(|version| version > newest) {
        return Err(Error::new(
            Code::Internal,
            format!(
                "{path} was written by a newer sh0 (schema {version}; this one knows {newest}): install that version \
                 again, or restore a backup of before the upgrade. The file was not touched"
            ),
        ));
    }
    Ok(())
}

fn prepare(connection: Connection) -> rusqlite::Result<Connection> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        tracing::warn!(mode, "this file system cannot keep a write-ahead log: commits are slower and readers wait");
    }
    connection.execute_batch(WRITER_SETTINGS)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Each step is a transaction with its version number: a crash leaves a whole version.
fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(0);
    for (next, step) in (1_i64..).zip(steps).skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", next)?;
        transaction.commit()?;
        tracing::debug!(version = next, "the store has a new version");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_migration_is_whole_or_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = ["CREATE TABLE a (x)", "CREATE TABLE b (x); INSERT INTO b VALUES (1); SELECT nonsense"];
        assert!(migrate(&mut connection, &broken).is_err());
        assert_eq!(version(&connection), 1, "the first step stays");
        assert!(connection.prepare("SELECT * FROM b").is_err(), "nothing of the second is left");

        let mended = [broken[0], "CREATE TABLE b (x)", "CREATE TABLE c (x)"];
        migrate(&mut connection, &mended).unwrap();
        assert_eq!(version(&connection), 3, "and it goes on from there");
        migrate(&mut connection, &mended).unwrap();
    }

    #[test]
    fn connections_keep_their_promises() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, path) = open_writer(dir.path()).unwrap();
        let pragma = |connection: &Connection, name: &str| -> String {
            connection
                .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
                .map(|v| format!("{v:?}"))
                .unwrap()
        };
        assert_eq!(pragma(&writer, "journal_mode"), "Text(\"wal\")");
        assert_eq!(pragma(&writer, "synchronous"), "Integer(2)", "FULL");
        assert_eq!(pragma(&writer, "foreign_keys"), "Integer(1)");
        assert_eq!(pragma(&writer, "busy_timeout"), "Integer(5000)");
        assert_eq!(pragma(&writer, "cache_size"), "Integer(-2000)");
        assert_eq!(pragma(&writer, "mmap_size"), "Integer(0)");
        let reader = open_reader(&path).unwrap();
        assert!(reader.execute("UPDATE meta SET value = 9", ()).is_err(), "a reader cannot write");
    }
}
