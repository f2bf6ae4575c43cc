//! What SQLite promises beyond the trait: it survives restarts and crashes, and refuses what is not its own.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::json;
use sh0_core::Code;
use sh0_core::traits::{Append, Batch, Kind, Put, Query, Store};
use sh0_store::sqlite::SqliteStore;

const APP: Kind = Kind("app");
/// Tells the test binary, started anew, to be the writer that is killed.
const CHILD: &str = "SH0_TEST_CRASH_DIR";

fn batch(n: u64) -> Batch {
    let put = Put {
        kind: APP,
        id: format!("{n:06}"),
        parent: "p".into(),
        unique: vec![format!("key {n}")],
        indexes: BTreeMap::from([("state", "live".to_owned())]),
        schema: 3,
        body: json!({ "n": n, "padding": "x".repeat(300) }),
    };
    let append = Append { stream: "audit".into(), body: json!(n) };
    Batch { puts: vec![put], appends: vec![append], ..Batch::default() }
}

/// Every file of a directory.
fn bytes(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

/// Not `assert_eq`, which would print the files.
#[track_caller]
fn untouched(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) {
    assert!(before.keys().eq(after.keys()), "the same files: {:?}, then {:?}", before.keys(), after.keys());
    for (name, bytes) in before {
        assert!(after[name] == *bytes, "not a byte of {name} changed");
    }
}

async fn refused(dir: &Path) -> sh0_core::Error {
    SqliteStore::open(dir).await.expect_err("this file must be refused")
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let epoch = store.claim().await.unwrap();
    let mut revision = 0;
    for n in 1..=20 {
        revision = store.commit(Batch { epoch, ..batch(n) }).await.unwrap();
    }
    let before = store.list(&Query::all(APP)).await.unwrap();
    drop(store);
    assert_eq!(bytes(dir.path()).keys().collect::<Vec<_>>(), ["sh0.db"], "closing folds the log into the file");

    let store = SqliteStore::open(dir.path()).await.unwrap();
    assert_eq!(store.list(&Query::all(APP)).await.unwrap(), before);
    assert_eq!(store.find(APP, "key 7").await.unwrap().unwrap().id, "000007");
    assert_eq!(store.list(&Query::all(APP).with("state", "live")).await.unwrap().len(), 20);
    assert_eq!(store.read("audit", 19, 9).await.unwrap()[0].seq, 20);
    assert_eq!(*store.watch().borrow(), revision, "a watch begins at the last commit");
    let next = store.claim().await.unwrap();
    assert!(next > epoch, "epochs outlive the process");
    assert_eq!(store.commit(Batch { epoch, ..batch(21) }).await.unwrap_err().code(), Code::Conflict);
    assert!(store.commit(Batch { epoch: next, ..batch(21) }).await.unwrap() > revision, "revisions too");
    store.check().await.unwrap();
}

/// Two processes on one file, should the lock of the directory ever fail: the older writer is fenced off.
#[tokio::test]
async fn a_second_opener_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let old = SqliteStore::open(dir.path()).await.unwrap();
    let epoch = old.claim().await.unwrap();
    let new = SqliteStore::open(dir.path()).await.unwrap();
    let newer = new.claim().await.unwrap();
    let error = old.commit(Batch { epoch, ..batch(1) }).await.unwrap_err();
    assert_eq!(error.code(), Code::Conflict);
    assert!(error.detail().contains("took this store over"), "{error}");
    new.commit(Batch { epoch: newer, ..batch(2) }).await.unwrap();
    assert_eq!(old.list(&Query::all(APP)).await.unwrap().len(), 1, "and reads what the new one wrote");
}

#[tokio::test]
async fn a_newer_schema_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.commit(batch(1)).await.unwrap();
    drop(store);
    let newer = Connection::open(dir.path().join("sh0.db")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let before = bytes(dir.path());
    let error = refused(dir.path()).await;
    for word in ["newer sh0", "schema 99", "install that version"] {
        assert!(error.detail().contains(word), "{error}");
    }
    untouched(&before, &bytes(dir.path()));
}

/// The newer version may stand in the write-ahead log only, as after a crash of the newer program.
#[tokio::test]
async fn a_newer_schema_in_the_log_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.commit(batch(1)).await.unwrap();
    let newer = Connection::open(dir.path().join("sh0.db")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    let crashed = tempfile::tempdir().unwrap();
    for name in ["sh0.db", "sh0.db-wal"] {
        fs::copy(dir.path().join(name), crashed.path().join(name)).unwrap();
    }
    let before = bytes(crashed.path());
    let error = refused(crashed.path()).await;
    assert!(error.detail().contains("schema 99"), "{error}");
    let mut after = bytes(crashed.path());
    after.remove("sh0.db-shm");
    untouched(&before, &after);
}

#[tokio::test]
async fn what_is_not_ours_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sh0.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = bytes(dir.path());
    let error = refused(dir.path()).await;
    assert!(error.detail().contains("another program's database"), "{error}");
    untouched(&before, &bytes(dir.path()));

    fs::write(&path, "this is no database, but somebody's text ".repeat(200)).unwrap();
    let before = bytes(dir.path());
    let error = refused(dir.path()).await;
    assert_eq!(error.code(), Code::Internal);
    assert!(error.detail().contains("not an SQLite database: move it away"), "{error}");
    untouched(&before, &bytes(dir.path()));

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused(dir.path()).await;
}

#[tokio::test]
async fn damage_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    for n in 0..200 {
        store.commit(batch(n)).await.unwrap();
    }
    drop(store);
    let path = dir.path().join("sh0.db");
    let mut file = fs::read(&path).unwrap();
    let page = 4096;
    let half = file.len() / 2 / page * page;
    file[half..].fill(0xa5);
    fs::write(&path, file).unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    for error in [store.check().await.unwrap_err(), store.list(&Query::all(APP)).await.unwrap_err()] {
        assert_eq!(error.code(), Code::Internal);
        assert!(error.detail().contains("is damaged") && error.detail().contains("backup"), "{error}");
    }
}

#[tokio::test]
async fn a_foreign_writer_makes_it_unavailable_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    store.commit(batch(1)).await.unwrap();
    let foreign = Connection::open(store.path()).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.commit(batch(2)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    assert!(error.is_transient() && error.detail().contains("another program"), "{error}");
    assert_eq!(store.list(&Query::all(APP)).await.unwrap().len(), 1, "reads go on meanwhile");
    foreign.execute_batch("ROLLBACK").unwrap();
    store.commit(batch(2)).await.unwrap();
}

#[tokio::test]
async fn files_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/data");
    let store = SqliteStore::open(&dir).await.unwrap();
    store.commit(batch(1)).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let names: Vec<_> = bytes(&dir).into_keys().collect();
    assert_eq!(names, ["sh0.db", "sh0.db-shm", "sh0.db-wal"]);
    for name in names {
        assert_eq!(mode(&dir.join(&name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_could_not_be_read_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let append = |body| Batch { appends: vec![Append { stream: "s".into(), body }], ..Batch::default() };
    store.commit(append(nested(120))).await.unwrap();
    assert_eq!(store.commit(append(nested(121))).await.unwrap_err().code(), Code::Invalid);
    assert_eq!(store.read("s", 0, 9).await.unwrap().len(), 1, "and the stream stays readable");
}

/// A caller that goes away neither loses nor duplicates: what was handed over is done, once.
#[tokio::test]
async fn cancelled_callers_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path()).await.unwrap();
    let everything = Query::all(APP);
    for n in 0..50 {
        let mut commit = Box::pin(store.commit(batch(n)));
        let _ = futures_util::poll!(&mut commit);
        drop(commit);
        let mut read = Box::pin(store.list(&everything));
        let _ = futures_util::poll!(&mut read);
        tokio::task::yield_now().await;
    }
    store.commit(batch(1_000)).await.unwrap();
    let records = store.list(&Query::all(APP)).await.unwrap().len();
    assert_eq!(store.read("audit", 0, 100).await.unwrap().len(), records, "whole batches only");
    assert_eq!(records, 51, "each was handed over at the first poll");
}

/// `kill -9` at any moment: what was acknowledged is there, and every batch is whole.
#[tokio::test]
async fn a_killed_writer_loses_nothing_it_acknowledged() {
    for round in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_writer_that_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = 0_u64;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Each round ends at another moment of the loop; the log is folded in about every 1,000 pages.
        while acknowledged < 40 + 97 * round {
            let line = lines.next().expect("the child writes until it is killed").unwrap();
            acknowledged = line.strip_prefix("ack ").map_or(acknowledged, |n| n.parse().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it still said before it died counts too.
        for line in lines.map_while(Result::ok) {
            acknowledged = line.strip_prefix("ack ").and_then(|n| n.parse().ok()).unwrap_or(acknowledged);
        }

        let store = SqliteStore::open(dir.path()).await.unwrap();
        store.check().await.unwrap();
        let records = store.list(&Query::all(APP)).await.unwrap();
        let entries = store.read("audit", 0, 100_000).await.unwrap();
        let stored = entries.len() as u64;
        assert!(stored >= acknowledged, "{acknowledged} commits were acknowledged, {stored} are there");
        assert!(stored <= acknowledged + 1, "no more than the one in flight");
        assert!(
            records.iter().map(|record| &record.body["n"]).eq(entries.iter().map(|entry| &entry.body)),
            "whole batches"
        );
        for record in &records {
            let key = format!("key {}", record.body["n"]);
            assert_eq!(store.find(APP, &key).await.unwrap().as_ref(), Some(record), "keys belong to the batch");
        }
        assert_eq!(store.list(&Query::all(APP).with("state", "live")).await.unwrap(), records, "and index values");
        store.commit(batch(999_999)).await.unwrap();
    }
}

/// Not a test by itself: the child of the test above.
#[tokio::test]
async fn the_writer_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let store = SqliteStore::open(dir).await.unwrap();
    // Bounded, should the parent die first.
    for n in 1..20_000 {
        store.commit(batch(n)).await.unwrap();
        std::io::stdout().write_all(format!("\nack {n}\n").as_bytes()).unwrap();
    }
}
