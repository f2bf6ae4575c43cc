//! The lock of the data directory and the key of the secrets.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use sh0_core::Code;
use sh0_core::model::{Sealed, Secret};
use sh0_core::traits::Sealer;
use sh0_store::lock::{DataDir, Holder};
use sh0_store::seal::KeyFileSealer;

const CHILD: &str = "SH0_TEST_LOCK_DIR";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_data_directory_has_one_owner() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("new/data");
    assert_eq!(DataDir::holder(&path).unwrap(), None, "nobody has what is not there");
    let dir = DataDir::acquire(&path).unwrap();
    assert_eq!((mode(&path), mode(&path.join("lock"))), (0o700, 0o600));

    let error = DataDir::acquire(&path).unwrap_err();
    assert_eq!(error.code(), Code::Conflict);
    assert!(error.detail().contains(&format!("another sh0 (pid {})", std::process::id())), "{error}");
    dir.announce(Path::new("/run/sh0/a socket")).unwrap();
    let error = DataDir::acquire(&path).unwrap_err();
    assert!(error.detail().contains("its socket is /run/sh0/a socket"), "{error}");
    let holder = Holder { pid: std::process::id(), socket: Some("/run/sh0/a socket".into()) };
    assert_eq!(DataDir::holder(&path).unwrap(), Some(holder));

    drop(dir);
    assert_eq!(DataDir::holder(&path).unwrap(), None);
    DataDir::acquire(&path).unwrap();
}

#[test]
fn a_file_in_the_way_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("file");
    fs::write(&path, "").unwrap();
    let error = DataDir::acquire(&path).unwrap_err();
    assert_eq!(error.code(), Code::Invalid, "{error}");
    assert!(error.detail().contains("--data"), "{error}");
}

/// No stale lock: the kernel takes it back from a dead process.
#[test]
fn a_killed_owner_leaves_no_lock() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_owner_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD, temp.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while lines.next().expect("the child says when it has the lock").unwrap() != "locked" {}
    let error = DataDir::acquire(temp.path()).unwrap_err();
    assert!(error.detail().contains(&format!("(pid {})", child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    DataDir::acquire(temp.path()).unwrap();
}

/// Not a test by itself: the child of the test above. It ends with its standard input at the latest.
#[test]
fn the_owner_that_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let _dir = DataDir::acquire(dir).unwrap();
    std::io::stdout().write_all(b"\nlocked\n").unwrap();
    let _ = std::io::stdin().lines().next();
}

#[test]
fn secrets_open_in_their_row_alone() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("key");
    let sealer = KeyFileSealer::open_or_create(&path, true).unwrap();
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "nothing else is left behind");
    for text in ["", "hunter2", "$PATH 'quote' \n grüße 🦀", &"x".repeat(1_000_000)] {
        let sealed = sealer.seal("env/a/KEY", &Secret::new(text)).unwrap();
        assert!(text.is_empty() || !sealed.as_str().contains(text));
        assert!(sealer.open("env/a/KEY", &sealed).unwrap().expose() == text);
        for row in ["env/b/KEY", "env/a/KEY2", "", "env/a/key"] {
            let error = sealer.open(row, &sealed).unwrap_err();
            assert_eq!(error.code(), Code::Internal);
            assert!(error.detail().contains("moved here from another row"), "{error}");
        }
    }
    let (one, two) = (sealer.seal("r", &Secret::new("same")).unwrap(), sealer.seal("r", &Secret::new("same")).unwrap());
    assert_ne!(one, two, "equal secrets do not look equal");

    let again = KeyFileSealer::open_or_create(&path, false).unwrap();
    assert_eq!(again.open("r", &one).unwrap().expose(), "same", "the key outlives the process");
    assert_eq!(again.key_id(), sealer.key_id());
    let derived = ["one", "two"].map(|purpose| sealer.derived(purpose));
    assert_eq!(derived, ["one", "two"].map(|purpose| again.derived(purpose)));
    assert!(derived[0] != derived[1] && derived[0].expose().len() == 64);
    let shown = format!("{sealer:?}");
    let key = fs::read_to_string(&path).unwrap();
    assert!(shown.contains("key_id") && !shown.contains(key.trim().split_once(':').unwrap().1), "{shown}");
}

#[test]
fn every_changed_byte_is_noticed() {
    let temp = tempfile::tempdir().unwrap();
    let sealer = KeyFileSealer::open_or_create(temp.path().join("key"), true).unwrap();
    let sealed = sealer.seal("row", &Secret::new("secret")).unwrap();
    let text = sealed.as_str();
    for n in 0..text.len() {
        for other in ["A", "z", "=", "é", ""] {
            let changed = format!("{}{other}{}", &text[..n], &text[n + 1..]);
            if changed != text {
                assert!(sealer.open("row", &Sealed::new(&changed)).is_err(), "{changed}");
            }
        }
        assert!(sealer.open("row", &Sealed::new(&text[..n])).is_err(), "cut at {n}");
    }
}

#[test]
fn a_key_is_never_made_where_secrets_exist() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("key");
    let error = KeyFileSealer::open_or_create(&path, false).unwrap_err();
    assert!(error.detail().contains("is missing") && error.detail().contains("restore it"), "{error}");
    assert!(!path.exists());

    let lost = KeyFileSealer::open_or_create(&path, true).unwrap();
    let sealed = lost.seal("row", &Secret::new("secret")).unwrap();
    fs::remove_file(&path).unwrap();
    let other = KeyFileSealer::open_or_create(&path, true).unwrap();
    let error = other.open("row", &sealed).unwrap_err();
    assert!(error.detail().contains(&lost.key_id()) && error.detail().contains(&other.key_id()), "{error}");
}

#[test]
fn bad_key_files_are_refused_and_kept() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("key");
    KeyFileSealer::open_or_create(&path, true).unwrap();
    let good = fs::read_to_string(&path).unwrap();

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = KeyFileSealer::open_or_create(&path, true).unwrap_err();
    assert!(error.detail().contains("mode 640") && error.detail().contains("chmod 600"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

    let half = &good[..good.len() / 2];
    for text in ["", "\n", half, "sh0-key-1:", &good.replace("sh0-key-1", "sh0-key-2"), &format!("{good}{good}")] {
        fs::write(&path, text).unwrap();
        let error = KeyFileSealer::open_or_create(&path, true).unwrap_err();
        assert!(error.detail().contains("is damaged: restore it"), "{text:?}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), *text, "a damaged key is evidence");
    }
}
