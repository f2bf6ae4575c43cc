//! Folders packed for the way to a server.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use futures_util::{StreamExt, TryStreamExt};

fn write(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Names and contents (or link targets) of an archive, folders left out.
async fn packed(dir: &Path) -> BTreeMap<String, String> {
    let pieces: Vec<_> = sh0::pack::archive(dir).try_collect().await.unwrap();
    let bytes = pieces.concat();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            text = format!("-> {}", target.display());
        }
        if !entry.header().entry_type().is_dir() {
            assert_eq!((entry.header().uid().unwrap(), entry.header().gid().unwrap()), (0, 0));
            found.insert(name, text);
        }
    }
    found
}

fn names(found: &BTreeMap<String, String>) -> Vec<&str> {
    found.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn what_is_ignored_and_secret_stays_here() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            ("index.js", "1"),
            (".gitignore", "node_modules\n*.log\n!keep.log\n"),
            (".sh0ignore", "/docs\n"),
            ("node_modules/a/index.js", "x"),
            ("web/node_modules/b.js", "x"),
            ("a.log", "x"),
            ("keep.log", "2"),
            ("docs/x.md", "x"),
            ("web/docs/y.md", "3"),
            ("web/.gitignore", "dist\n"),
            ("web/dist/z", "x"),
            (".env", "SECRET=x"),
            (".env.production", "SECRET=x"),
            ("web/.env.local", "SECRET=x"),
            (".env.example", "SECRET="),
            (".git/config", "x"),
            ("web/.git", "gitdir: elsewhere"),
            (".config/settings", "4"),
        ],
    );
    let found = packed(dir.path()).await;
    let expected = [
        ".config/settings",
        ".env.example",
        ".gitignore",
        ".sh0ignore",
        "index.js",
        "keep.log",
        "web/.gitignore",
        "web/docs/y.md",
    ];
    assert_eq!(names(&found), expected);
    assert_eq!(found["web/docs/y.md"], "3");
}

#[tokio::test]
async fn the_data_of_a_platform_stays_here() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("index.js", "1"), ("db/sh0.db", "of the app"), ("data/sh0.db", "x"), ("data/logs/x", "x")]);
    write(dir.path(), &[("data/lock", ""), ("data/key", "x"), ("old/sh0.db", "x"), ("old/key", "x")]);
    assert_eq!(names(&packed(dir.path()).await), ["db/sh0.db", "index.js"]);
    let itself: Result<Vec<_>, _> = sh0::pack::archive(dir.path().join("data")).try_collect().await;
    assert_eq!(itself.unwrap_err().code(), sh0::Code::Invalid);
}

#[tokio::test]
async fn what_a_dockerignore_names_is_for_the_builder() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(".dockerignore", "*.md\n"), ("Dockerfile", "FROM scratch"), ("README.md", "1")]);
    assert_eq!(names(&packed(dir.path()).await), [".dockerignore", "Dockerfile", "README.md"]);
}

#[tokio::test]
async fn links_modes_long_names_and_odd_files() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(150));
    write(dir.path(), &[("run.sh", "#!/bin/sh"), (&long, "long"), ("ünïcødé 😀", "u")]);
    fs::set_permissions(dir.path().join("run.sh"), fs::Permissions::from_mode(0o4751)).unwrap();
    symlink("run.sh", dir.path().join("link")).unwrap();
    symlink("/etc/passwd", dir.path().join("outside")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let found = packed(dir.path()).await;
    assert_eq!(found["link"], "-> run.sh");
    assert_eq!(found["outside"], "-> /etc/passwd", "as a link, never what it leads to");
    assert_eq!((found[&long].as_str(), found["ünïcødé 😀"].as_str()), ("long", "u"));
    assert!(!found.contains_key("socket"));
    let again = packed(dir.path()).await;
    assert_eq!(found, again);
}

#[tokio::test]
async fn memory_is_bounded_and_a_dropped_reader_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    // Text that gzip cannot make small, larger than all that may wait.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..8 * 1024 * 1024)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .collect();
    fs::write(dir.path().join("noise"), &noise).unwrap();
    let mut pieces = sh0::pack::archive(dir.path());
    let first = pieces.next().await.unwrap().unwrap();
    assert_eq!(first.len(), 64 * 1024);
    drop(pieces);
    let all: Vec<_> = sh0::pack::archive(dir.path()).try_collect().await.unwrap();
    assert!(all.iter().all(|piece| piece.len() <= 64 * 1024));
    assert!(all.concat().len() > 7 * 1024 * 1024);
}

#[tokio::test]
async fn what_cannot_be_packed_is_named() {
    let error = sh0::pack::archive("no/such/folder").try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.code(), sh0::Code::Invalid);
    assert!(error.detail().contains("no/such/folder"), "{error}");
}
