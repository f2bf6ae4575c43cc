//! The fetcher, with real folders, a real git and archives of every kind, hostile ones too.

#![cfg(feature = "git")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sh0_core::Code;
use sh0_core::model::{DeploymentId, LogStream, Source, UploadId};
use sh0_core::traits::{ByteStream, Checkout, Fetcher, NoOutput, OutputSink};
use sh0_services::source::{Limits, LocalFetcher};

const ID: &str = "01k9zr3v5g8yqk7t2m4n6p8r0s";

fn id() -> DeploymentId {
    ID.parse().unwrap()
}

fn other(last: char) -> DeploymentId {
    format!("{}{last}", &ID[..25]).parse().unwrap()
}

struct Bench {
    folder: tempfile::TempDir,
    fetcher: LocalFetcher,
}

impl Bench {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fetcher = LocalFetcher::open(folder.path().join("home"), limits).unwrap();
        Bench { folder, fetcher }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything that lies under the fetcher's trees, finished or not.
    fn trees(&self) -> Vec<String> {
        names(&self.path("home/trees"))
    }

    async fn fetch(&self, source: &Source) -> sh0_core::Result<Checkout> {
        self.fetcher.fetch(id(), source, &NoOutput).await
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn folder(path: &Path) -> Source {
    Source::Folder { path: path.to_str().unwrap().parse().unwrap() }
}

fn read(checkout: &Checkout, path: &str) -> String {
    fs::read_to_string(checkout.dir.join(path)).unwrap()
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl OutputSink for Lines {
    fn line(&self, _: LogStream, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

impl Lines {
    fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

// ---- folders ----

#[tokio::test]
async fn a_folder_is_copied_without_what_does_not_belong_to_it() {
    let bench = Bench::new();
    let app = bench.path("app");
    write(
        &app,
        &[
            ("package.json", "{}"),
            ("src/a.js", "a"),
            ("run.sh", "#!/bin/sh"),
            (".env", "SECRET=1"),
            ("src/.env.production", "SECRET=1"),
            (".env.example", "SECRET="),
            (".gitignore", "*.log\n/dist\n"),
            (".sh0ignore", "!/dist\nnotes\n"),
            ("dist/app.js", "built"),
            ("notes/a", "x"),
            ("src/debug.log", "x"),
            ("node_modules/x/index.js", "x"),
            (".git/config", "x"),
            ("venv/pyvenv.cfg", "x"),
            ("src/__pycache__/a.pyc", "x"),
            ("static/node_modules/kept.js", "no package.json beside it"),
        ],
    );
    fs::set_permissions(app.join("run.sh"), fs::Permissions::from_mode(0o4777)).unwrap();
    fs::create_dir(app.join("empty")).unwrap();
    symlink("src/a.js", app.join("inside")).unwrap();
    symlink("/etc/passwd", app.join("outside")).unwrap();
    symlink("src/../../x", app.join("tricky")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(app.join("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(app.join("socket")).unwrap();

    let lines = Lines::default();
    let checkout = bench.fetcher.fetch(id(), &folder(&app), &lines).await.unwrap();
    let expected = [
        ".env.example",
        ".gitignore",
        ".sh0ignore",
        "dist",
        "empty",
        "inside",
        "package.json",
        "run.sh",
        "src",
        "static",
    ];
    assert_eq!(names(&checkout.dir), expected);
    assert_eq!(names(&checkout.dir.join("src")), ["a.js"]);
    assert_eq!(read(&checkout, "inside"), "a");
    assert_eq!(fs::metadata(checkout.dir.join("run.sh")).unwrap().permissions().mode() & 0o7111, 0o111);
    assert!(checkout.revision.id.starts_with("sha256:"));
    for left_out in ["outside", "tricky", "pipe", "socket", ".env.production"] {
        assert!(lines.text().contains(left_out), "{left_out} is not mentioned: {}", lines.text());
    }
}

/// The data folder of a platform inside the folder of an app: its key and its records were served over HTTP.
#[tokio::test]
async fn the_data_of_a_platform_is_never_part_of_a_source() {
    let bench = Bench::new();
    let app = bench.path("app");
    let data = app.join("data");
    let others = [("index.html", "1"), ("old/sh0.db", "x"), ("old/key", "secret"), ("db/sh0.db", "of the app")];
    write(&app, &others);
    write(&app, &[("data/key", "secret"), ("data/logs/a", "secret"), ("data/apps/volumes/x", "secret")]);
    let fetcher = LocalFetcher::open(data.join("sources"), Limits::default()).unwrap().with_hidden([data.clone()]);
    let checkout = fetcher.fetch(id(), &folder(&app), &NoOutput).await.unwrap();
    assert_eq!(names(&checkout.dir), ["db", "index.html"], "nor is that of another platform");
    fs::write(data.join("key"), "another").unwrap();
    let again = fetcher.fetch(other('x'), &folder(&app), &NoOutput).await.unwrap();
    assert_eq!(again.revision, checkout.revision, "what lies there does not count either");
    symlink(&data, bench.path("alias")).unwrap();
    for within in [data.clone(), data.join("apps/volumes"), bench.path("alias/logs"), app.join("old")] {
        let error = fetcher.fetch(other('y'), &folder(&within), &NoOutput).await.unwrap_err();
        assert_eq!(error.code(), Code::Invalid, "{}: {error}", within.display());
    }
}

#[tokio::test]
async fn the_revision_of_a_folder_is_its_content() {
    let bench = Bench::new();
    let (a, b) = (bench.path("a"), bench.path("b"));
    write(&a, &[("x/1", "1"), ("y", "2")]);
    write(&b, &[("y", "2"), ("x/1", "1")]);
    let of = async |deployment, path: &Path| {
        bench.fetcher.fetch(deployment, &folder(path), &NoOutput).await.unwrap().revision
    };
    let first = of(other('a'), &a).await;
    assert_eq!(first, of(other('b'), &b).await);
    fs::set_permissions(b.join("y"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_ne!(first, of(other('c'), &b).await, "executable or not is content");
    fs::set_permissions(b.join("y"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::rename(b.join("x/1"), b.join("x/2")).unwrap();
    assert_ne!(first, of(other('d'), &b).await, "names are content");
}

#[tokio::test]
async fn the_same_fetch_gives_the_same_tree() {
    let bench = Bench::new();
    let app = bench.path("app");
    write(&app, &[("a", "1")]);
    let first = bench.fetch(&folder(&app)).await.unwrap();
    write(&app, &[("a", "2")]);
    let again = bench.fetch(&folder(&app)).await.unwrap();
    assert_eq!((first, "1".to_owned()), (again.clone(), read(&again, "a")));
    bench.fetcher.discard(id()).await.unwrap();
    bench.fetcher.discard(id()).await.unwrap();
    assert!(bench.trees().is_empty());
    let fresh = bench.fetch(&folder(&app)).await.unwrap();
    assert_eq!(read(&fresh, "a"), "2");
}

#[tokio::test]
async fn what_was_interrupted_starts_over() {
    let bench = Bench::new();
    let app = bench.path("app");
    write(&app, &[("a", "1")]);
    let trees = bench.path("home/trees");
    // A crash in the middle: a stage without a record, and a place without one.
    write(&trees, &[(&format!(".{ID}.1.0/tree/half"), "x"), (&format!("{ID}/tree/half"), "x")]);
    let checkout = bench.fetch(&folder(&app)).await.unwrap();
    assert_eq!(names(&checkout.dir), ["a"]);
    // A record of an earlier start of the machine does not count either.
    fs::write(trees.join(ID).join("revision.json"), r#"{"revision":{"id":"old"},"boot":"another"}"#).unwrap();
    assert_ne!(bench.fetch(&folder(&app)).await.unwrap().revision.id, "old");
    bench.fetcher.discard(id()).await.unwrap();
    assert!(bench.trees().is_empty(), "{:?}", bench.trees());
}

#[tokio::test]
async fn a_dropped_fetch_leaves_nothing() {
    let bench = Bench::new();
    let app = bench.path("app");
    for n in 0..300 {
        write(&app, &[(&format!("d{n}/f"), &"x".repeat(10_000))]);
    }
    let source = folder(&app);
    let mut fetch = Box::pin(bench.fetch(&source));
    assert!(futures_util::poll!(&mut fetch).is_pending());
    drop(fetch);
    // The copying thread stops by itself; whatever it still wrote is gone with the next fetch and discard.
    let checkout = bench.fetch(&source).await.unwrap();
    assert_eq!(names(&checkout.dir).len(), 300);
    bench.fetcher.discard(id()).await.unwrap();
    assert!(!bench.trees().contains(&ID.to_owned()));
}

#[tokio::test]
async fn a_tree_has_a_limit() {
    let bench = Bench::with(Limits { tree_bytes: 1000, tree_entries: 5, ..Limits::default() });
    let big = bench.path("big");
    write(&big, &[("a", &"x".repeat(1001))]);
    assert_eq!(bench.fetch(&folder(&big)).await.unwrap_err().code(), Code::TooLarge);
    let many = bench.path("many");
    write(&many, &[("1", ""), ("2", ""), ("3", ""), ("4", ""), ("5", ""), ("6", "")]);
    assert_eq!(bench.fetch(&folder(&many)).await.unwrap_err().code(), Code::TooLarge);
    assert!(bench.trees().is_empty());
    assert_eq!(bench.fetch(&folder(&bench.path("absent"))).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn old_copies_are_swept_and_wanted_ones_stay() {
    let bench = Bench::new();
    let trees = bench.path("home/trees");
    let (wanted, unwanted) = (other('a'), other('b'));
    for name in [wanted.to_string(), unwanted.to_string(), format!(".{unwanted}.1.0"), "fresh".to_owned()] {
        fs::create_dir(trees.join(&name)).unwrap();
        if name != "fresh" {
            let old = std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600);
            fs::File::open(trees.join(&name)).unwrap().set_modified(old).unwrap();
        }
    }
    bench.fetcher.sweep(&[wanted]).await.unwrap();
    assert_eq!(bench.trees(), [wanted.to_string(), "fresh".to_owned()]);
}

// ---- uploads ----

fn upload_id() -> UploadId {
    ID.parse().unwrap()
}

fn body(bytes: Vec<u8>) -> ByteStream {
    let chunks: Vec<_> = bytes.chunks(700).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks).boxed()
}

/// A tar with what the builder puts in it.
fn archive(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    fill(&mut builder);
    builder.into_inner().unwrap()
}

/// An entry whose path and link are written as they are, without the checks of the crate.
fn raw(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, path: &str, link: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn unpacked(bench: &Bench, bytes: Vec<u8>) -> sh0_core::Result<Checkout> {
    bench.fetcher.receive(upload_id(), body(bytes)).await?;
    bench.fetcher.discard(id()).await?;
    bench.fetch(&Source::Upload { upload: upload_id() }).await
}

#[tokio::test]
async fn an_archive_gives_the_same_tree_as_its_folder() {
    let bench = Bench::new();
    let app = bench.path("app");
    write(&app, &[("b/c/d", "deep"), ("a", "1"), ("b.txt", "2")]);
    fs::set_permissions(app.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("b/c", app.join("link")).unwrap();
    let tar = archive(|builder| {
        builder.follow_symlinks(false);
        builder.append_dir_all(".", &app).unwrap();
    });
    let from_folder = bench.fetch(&folder(&app)).await.unwrap().revision;
    for bytes in [tar.clone(), gzip(&tar)] {
        let checkout = unpacked(&bench, bytes).await.unwrap();
        assert_eq!(checkout.revision, from_folder);
        assert_eq!(read(&checkout, "link/d"), "deep");
    }
    let stored = bench.path("home/uploads").join(ID);
    assert_eq!(fs::metadata(stored).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn the_only_folder_of_an_archive_is_the_app() {
    let bench = Bench::new();
    let tar = archive(|b| {
        raw(b, tar::EntryType::XGlobalHeader, "pax_global_header", "", b"19 comment=x\n");
        raw(b, tar::EntryType::Regular, "shop-1.2/index.html", "", b"hi");
        raw(b, tar::EntryType::Link, "shop-1.2/copy.html", "shop-1.2/index.html", b"");
        raw(b, tar::EntryType::Regular, "shop-1.2/.git/config", "", b"x");
    });
    let checkout = unpacked(&bench, tar).await.unwrap();
    assert_eq!(names(&checkout.dir), ["copy.html", "index.html"]);
    assert_eq!(read(&checkout, "copy.html"), "hi");
}

#[tokio::test]
async fn hostile_archives_are_refused_and_write_nothing_outside() {
    use tar::EntryType::{Block, Char, Directory, Fifo, GNULongName, Link, Regular, Symlink, XHeader};
    let bench = Bench::new();
    let guard = bench.path("guard");
    fs::create_dir(&guard).unwrap();
    let outside = guard.to_str().unwrap().to_owned();
    type Fill<'a> = Box<dyn FnOnce(&mut tar::Builder<Vec<u8>>) + 'a>;
    let cases: Vec<(&str, Fill<'_>)> = vec![
        ("absolute path", Box::new(|b| raw(b, Regular, &format!("{outside}/x"), "", b"x"))),
        ("path upwards", Box::new(|b| raw(b, Regular, "a/../../../../guard/x", "", b"x"))),
        ("link outside", Box::new(|b| raw(b, Symlink, "l", &outside, b""))),
        ("link upwards", Box::new(|b| raw(b, Symlink, "d/l", "../../x", b""))),
        (
            "link through links",
            Box::new(|b| {
                raw(b, Symlink, "a/b/q", "../..", b"");
                raw(b, Symlink, "p", "a/b/q/../../..", b"");
            }),
        ),
        (
            "file through a link",
            Box::new(|b| {
                raw(b, Symlink, "l", &outside, b"");
                raw(b, Regular, "l/x", "", b"x");
            }),
        ),
        (
            "link out of the only folder, which becomes the top",
            Box::new(|b| {
                raw(b, Regular, "shop/index.html", "", b"x");
                raw(b, Symlink, "shop/l", "..", b"");
            }),
        ),
        ("hard link outside", Box::new(|b| raw(b, Link, "l", "/etc/passwd", b""))),
        ("hard link upwards", Box::new(|b| raw(b, Link, "l", "../../uploads", b""))),
        (
            "hard link to a link",
            Box::new(|b| {
                raw(b, Symlink, "s", "x", b"");
                raw(b, Link, "l", "s", b"");
            }),
        ),
        ("device", Box::new(|b| raw(b, Block, "dev", "", b""))),
        ("character device", Box::new(|b| raw(b, Char, "dev", "", b""))),
        ("pipe", Box::new(|b| raw(b, Fifo, "pipe", "", b""))),
        (
            "a file as a folder",
            Box::new(|b| {
                raw(b, Regular, "a", "", b"x");
                raw(b, Regular, "a/b", "", b"x");
            }),
        ),
        (
            "a folder as a file",
            Box::new(|b| {
                raw(b, Directory, "a", "", b"");
                raw(b, Regular, "a/b", "", b"x");
                raw(b, Regular, "a", "", b"x");
            }),
        ),
        (
            "a NUL byte in a name",
            Box::new(|b| {
                raw(b, XHeader, "x", "", b"12 path=a\0b\n");
                raw(b, Regular, "a", "", b"x");
            }),
        ),
        (
            "a NUL byte in a link",
            Box::new(|b| {
                raw(b, XHeader, "x", "", b"16 linkpath=a\0b\n");
                raw(b, Symlink, "l", "a", b"");
            }),
        ),
        (
            "a long name",
            Box::new(|b| {
                raw(b, GNULongName, "x", "", &[b'n'; 300]);
                raw(b, Regular, "a", "", b"x");
            }),
        ),
        ("nothing", Box::new(|_| {})),
    ];
    for (name, fill) in cases {
        let error = unpacked(&bench, archive(fill)).await.expect_err(name);
        assert_eq!(error.code(), Code::Invalid, "{name}: {error:?}");
        assert!(bench.trees().is_empty(), "{name} left {:?}", bench.trees());
        assert!(names(&guard).is_empty(), "{name} wrote outside");
    }
}

#[tokio::test]
async fn a_link_and_then_a_file_of_its_name_is_the_file() {
    let bench = Bench::new();
    let tar = archive(|b| {
        raw(b, tar::EntryType::Symlink, "a", "b", b"");
        raw(b, tar::EntryType::Regular, "a", "", b"own");
        raw(b, tar::EntryType::Regular, "b", "", b"other");
    });
    let checkout = unpacked(&bench, tar).await.unwrap();
    assert_eq!((read(&checkout, "a"), read(&checkout, "b")), ("own".into(), "other".into()));
}

#[tokio::test]
async fn bombs_end_early() {
    let bench = Bench::with(Limits { tree_entries: 50, ..Limits::default() });
    let zeros = archive(|b| raw(b, tar::EntryType::Regular, "zeros", "", &vec![0; 80 << 20]));
    let packed = gzip(&zeros);
    assert!(packed.len() < 200_000);
    assert_eq!(unpacked(&bench, packed).await.unwrap_err().code(), Code::TooLarge);
    let many = archive(|b| (0..60).for_each(|n| raw(b, tar::EntryType::Regular, &format!("f{n}"), "", b"")));
    assert_eq!(unpacked(&bench, gzip(&many)).await.unwrap_err().code(), Code::TooLarge);
    // A header that promises more than any disk has.
    let liar = archive(|b| {
        let mut header = tar::Header::new_gnu();
        header.set_path("big").unwrap();
        header.set_size(1 << 50);
        header.set_cksum();
        b.append(&header, std::io::empty()).unwrap();
    });
    assert_eq!(unpacked(&bench, liar).await.unwrap_err().code(), Code::TooLarge);
    assert!(bench.trees().is_empty());
}

#[tokio::test]
async fn broken_archives_are_invalid() {
    let bench = Bench::new();
    let tar = archive(|b| raw(b, tar::EntryType::Regular, "a", "", &[7; 5000]));
    let good = gzip(&tar);
    // Its checksum (RFC 1952 section 2.3.1) is looked at in the middle of a file.
    let mut wrong_sum = gzip(&tar[..2000]);
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    for (name, bytes) in [
        ("text", b"hello".to_vec()),
        ("nothing", Vec::new()),
        ("zip", b"PK\x03\x04................".repeat(40)),
        ("cut", good[..good.len() / 2].to_vec()),
        ("wrong checksum", wrong_sum),
        ("gzip of noise", gzip(&[1; 3000])),
        ("gzip magic alone", vec![0x1f, 0x8b]),
    ] {
        let error = unpacked(&bench, bytes).await.expect_err(name);
        assert_eq!(error.code(), Code::Invalid, "{name}: {error:?}");
    }
}

#[tokio::test]
async fn an_upload_over_the_limit_or_cut_off_is_not_kept() {
    let bench = Bench::with(Limits { upload_bytes: 2000, ..Limits::default() });
    let tar = archive(|b| raw(b, tar::EntryType::Regular, "a", "", &[7; 5000]));
    assert_eq!(bench.fetcher.receive(upload_id(), body(tar.clone())).await.unwrap_err().code(), Code::TooLarge);
    let cut =
        body(tar[..1024].to_vec()).chain(stream::once(async { Err(sh0_core::Error::unavailable("gone")) })).boxed();
    assert_eq!(bench.fetcher.receive(upload_id(), cut).await.unwrap_err().code(), Code::Unavailable);
    assert!(names(&bench.path("home/uploads")).is_empty());
    let absent = Source::Upload { upload: upload_id() };
    assert_eq!(bench.fetch(&absent).await.unwrap_err().code(), Code::NotFound);
    let image = Source::Image { image: "nginx".parse().unwrap() };
    assert_eq!(bench.fetch(&image).await.unwrap_err().code(), Code::Unsupported);
}
