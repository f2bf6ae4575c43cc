//! A disk that is really full: a small tmpfs, mounted by root. Elsewhere these tests say so and pass.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;
use std::process::Command;

use serde_json::json;
use sh0_core::Code;
use sh0_core::model::{AppId, DeploymentId, InstanceName, LogStream, ReleaseId, Timestamp};
use sh0_core::traits::{Append, Batch, LogQuery, LogStore, NewLine, Store};
use sh0_store::logs::{FileLogStore, Limits};
use sh0_store::sqlite::SqliteStore;
use ulid::Ulid;

/// Unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(kib: u32) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"], dir.path());
        if !mounted {
            eprintln!("skipped: mounting a tmpfs needs root");
        }
        mounted.then_some(SmallDisk(dir))
    }

    fn grow(&self, kib: u32) {
        assert!(run("mount", &["-o", &format!("remount,size={kib}k")], self.0.path()));
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &[], self.0.path());
    }
}

fn run(program: &str, args: &[&str], path: &Path) -> bool {
    Command::new(program).args(args).arg(path).output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn the_store_says_so_keeps_what_it_has_and_goes_on() {
    let Some(disk) = SmallDisk::mount(1_024) else { return };
    let store = SqliteStore::open(disk.path()).await.unwrap();
    let append = |n: u64| {
        let append = Append { stream: "s".into(), body: json!({ "n": n, "padding": "x".repeat(10_000) }) };
        Batch { appends: vec![append], ..Batch::default() }
    };
    let mut stored = 0;
    let error = loop {
        match store.commit(append(stored)).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1_000, "a megabyte does not hold that much");
    };
    assert_eq!(error.code(), Code::NoSpace, "{error:?}");
    assert!(error.detail().contains("free some space"), "{error}");
    assert_eq!(*store.watch().borrow(), stored, "a failed commit is no revision");
    assert_eq!(store.commit(append(stored)).await.unwrap_err().code(), Code::NoSpace, "again, the same");
    let entries = store.read("s", 0, 10_000).await.unwrap();
    assert!(
        entries.iter().map(|entry| entry.body["n"].as_u64().unwrap()).eq(0..stored),
        "all that was stored is there"
    );
    store.check().await.unwrap();

    disk.grow(8_192);
    store.commit(append(stored)).await.expect("with space again it goes on, without a restart");
    drop(store);
    let store = SqliteStore::open(disk.path()).await.unwrap();
    assert_eq!(store.read("s", 0, 10_000).await.unwrap().len() as u64, stored + 1);
    store.check().await.unwrap();
}

/// No space even for the tables: the error is the same, and a later start works.
#[tokio::test]
async fn a_store_that_cannot_begin_says_so() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let error = SqliteStore::open(disk.path()).await.expect_err("16 KiB is too small");
    assert_eq!(error.code(), Code::NoSpace, "{error:?}");
    disk.grow(1_024);
    SqliteStore::open(disk.path()).await.unwrap();
}

#[tokio::test]
async fn logs_say_so_and_go_on() {
    let Some(disk) = SmallDisk::mount(256) else { return };
    let logs = FileLogStore::open(disk.path(), Limits { segment_bytes: 64 * 1024, ..Limits::default() }).unwrap();
    let app = AppId::new(Ulid(1));
    let line = |n: u64| NewLine {
        at: Timestamp::UNIX_EPOCH,
        instance: InstanceName::of(DeploymentId::new(Ulid(1)), &"web".parse().unwrap(), 0),
        process: "web".parse().unwrap(),
        release: ReleaseId::new(Ulid(1)),
        stream: LogStream::Stdout,
        text: format!("{n} {}", "x".repeat(3_000)),
    };
    let mut stored = 0;
    let error = loop {
        match logs.append(app, vec![line(stored)]).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 1_000, "256 KiB do not hold that much");
    };
    assert_eq!(error.code(), Code::NoSpace, "{error:?}");
    let all = LogQuery { limit: 10_000, ..LogQuery::default() };
    assert_eq!(logs.read(app, &all).await.unwrap().len() as u64, stored, "no half line");
    disk.grow(1_024);
    logs.append(app, vec![line(stored)]).await.expect("with space again it goes on");
    drop(logs);
    let logs = FileLogStore::open(disk.path(), Limits::default()).unwrap();
    let lines = logs.read(app, &all).await.unwrap();
    assert!(lines.iter().map(|line| line.cursor).eq(1..=stored + 1), "without a hole");
}
