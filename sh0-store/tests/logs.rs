//! What log files promise beyond the trait: bounds, restarts, torn ends.
#![allow(clippy::unwrap_used)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use sh0_core::model::{AppId, DeploymentId, InstanceName, LogLine, LogStream, ReleaseId, Timestamp};
use sh0_core::traits::{LogPosition, LogQuery, LogStore, NewLine};
use sh0_store::logs::{FileLogStore, Limits};
use ulid::Ulid;

const SMALL: Limits = Limits { segment_bytes: 4_096, app_bytes: 16_384, sync_every: Duration::from_millis(50) };

fn app() -> AppId {
    AppId::new(Ulid(1))
}

fn web(index: u32) -> InstanceName {
    InstanceName::of(DeploymentId::new(Ulid(7)), &"web".parse().unwrap(), index)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn line(index: u32, second: i64, text: impl Into<String>) -> NewLine {
    NewLine {
        at: at(second),
        instance: web(index),
        process: "web".parse().unwrap(),
        release: ReleaseId::new(Ulid(3)),
        stream: LogStream::Stdout,
        text: text.into(),
    }
}

fn open(dir: &Path, limits: Limits) -> FileLogStore {
    FileLogStore::open(dir, limits).unwrap()
}

async fn all(store: &FileLogStore) -> Vec<LogLine> {
    store.read(app(), &LogQuery { limit: 1_000_000, ..LogQuery::default() }).await.unwrap()
}

async fn write(store: &FileLogStore, range: std::ops::Range<i64>) {
    for n in range {
        store.append(app(), vec![line(0, n, format!("line {n}"))]).await.unwrap();
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join(app().to_string())).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect();
    files.sort();
    files
}

fn size(dir: &Path) -> u64 {
    segments(dir).iter().map(|path| path.metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn the_oldest_go_and_cursors_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), SMALL);
    for n in 0..1_000 {
        write(&store, n..n + 1).await;
        assert!(size(dir.path()) <= SMALL.app_bytes, "never more than the limit");
    }
    assert!(size(dir.path()) > SMALL.app_bytes / 2, "and not much less");
    let kept = all(&store).await;
    assert_eq!(kept.last().unwrap().text, "line 999");
    assert!(kept.windows(2).all(|pair| pair[0].cursor + 1 == pair[1].cursor), "no holes between segments");
    assert_eq!(kept[0].text, format!("line {}", kept[0].cursor - 1), "cursors count all lines, also those deleted");
    let gap = store.read(app(), &LogQuery { after: Some(5), limit: 1, ..LogQuery::default() }).await.unwrap();
    assert_eq!(gap[0], kept[0], "whoever was too slow goes on with the oldest that is left");
    for cut in [0, 1, kept.len() / 2, kept.len() - 1] {
        let after = LogQuery { after: Some(kept[cut].cursor), limit: 1_000_000, ..LogQuery::default() };
        assert_eq!(store.read(app(), &after).await.unwrap(), kept[cut + 1..], "any cursor is found again");
        let tail = LogQuery { tail: Some(kept.len() - cut), ..LogQuery::default() };
        assert_eq!(store.read(app(), &tail).await.unwrap(), kept[cut..], "a tail crosses segments");
        let since = LogQuery { since: Some(kept[cut].at), limit: 1_000_000, ..LogQuery::default() };
        assert_eq!(store.read(app(), &since).await.unwrap(), kept[cut..], "and so does a time");
    }
}

#[tokio::test]
async fn a_slow_follower_skips_and_sees_the_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), SMALL);
    write(&store, 0..10).await;
    let mut lines = store.follow(app(), LogQuery { limit: 5, ..LogQuery::default() }).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().cursor, 1);
    write(&store, 10..1_000).await;
    let mut last = 1;
    let mut gaps = 0;
    while last < 1_000 {
        let cursor = lines.next().await.unwrap().unwrap().cursor;
        gaps += u32::from(cursor != last + 1);
        last = cursor;
    }
    assert_eq!(gaps, 1, "one gap, and then everything");
    store.remove(app()).await.unwrap();
    assert!(lines.next().await.is_none(), "following ends with the app");
}

#[tokio::test]
async fn restarts_keep_lines_cursors_and_positions() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..20 {
        let store = open(dir.path(), SMALL);
        assert_eq!(all(&store).await, expected, "round {round}");
        if round > 0 {
            let quiet = Some(LogPosition { at: at(0), lines: 2 });
            assert_eq!(store.position(app(), &web(9)).await.unwrap(), quiet, "also when its lines are long gone");
            let busy = Some(LogPosition { at: at(round - 1), lines: 20 });
            assert_eq!(store.position(app(), &web(0)).await.unwrap(), busy);
        } else {
            store.append(app(), vec![line(9, 0, "once"), line(9, 0, "twice")]).await.unwrap();
        }
        let before = expected.last().map_or(if round == 0 { 2 } else { 0 }, |line| line.cursor);
        for n in 0..20 {
            store.append(app(), vec![line(0, round, format!("round {round}, line {n}"))]).await.unwrap();
        }
        expected = all(&store).await;
        assert_eq!(expected.last().unwrap().cursor, before + 20, "cursors go on");
    }
    assert!(segments(dir.path()).len() > 2, "over several segments");
    assert!(expected[0].text.starts_with("round"), "the quiet instance's lines are gone");

    // A crash may leave an index beside the segment that grows: it is not the last word.
    let files = segments(dir.path());
    fs::copy(files[0].with_extension("idx"), files[files.len() - 1].with_extension("idx")).unwrap();
    let store = open(dir.path(), SMALL);
    assert_eq!(all(&store).await, expected);
    let busy = Some(LogPosition { at: at(19), lines: 20 });
    assert_eq!(store.position(app(), &web(0)).await.unwrap(), busy);
    drop(store);

    // Without the index files all that is left is read again.
    for segment in segments(dir.path()) {
        let _ = fs::remove_file(segment.with_extension("idx"));
    }
    let store = open(dir.path(), SMALL);
    assert_eq!(all(&store).await, expected);
    assert_eq!(store.position(app(), &web(0)).await.unwrap(), busy);
}

/// In a large segment a cursor is looked for by halving.
#[tokio::test]
async fn every_cursor_is_found_in_a_large_segment() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Limits::default());
    for n in 0..30 {
        let lines = (0..100).map(|m| line(0, n, "x".repeat((n * 31 + m * 7) as usize % 400)));
        store.append(app(), lines.collect()).await.unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 1);
    assert!(size(dir.path()) > 512 * 1024);
    for after in 0..3_000 {
        let query = LogQuery { after: Some(after), limit: 1, ..LogQuery::default() };
        assert_eq!(store.read(app(), &query).await.unwrap()[0].cursor, after + 1);
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_wherever_it_tore() {
    let whole = tempfile::tempdir().unwrap();
    let store = open(whole.path(), Limits::default());
    write(&store, 0..3).await;
    let lines = all(&store).await;
    let text = fs::read(&segments(whole.path())[0]).unwrap();
    let second_ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
    for cut in second_ends..text.len() {
        for garbage in [&b""[..], b"\0\0\0\0", b"\n\0\n", b"9\t8\to\tx\n"] {
            if cut == text.len() - 1 && garbage.starts_with(b"\n") {
                // That would be the missing line end.
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join(app().to_string());
            fs::create_dir(&folder).unwrap();
            let torn = [&text[..cut], garbage].concat();
            fs::write(folder.join(segments(whole.path())[0].file_name().unwrap()), torn).unwrap();
            let store = open(dir.path(), Limits::default());
            assert_eq!(all(&store).await, lines[..2], "cut at {cut}: the whole lines are there");
            store.append(app(), vec![line(0, 9, "after the crash")]).await.unwrap();
            let tail = store.read(app(), &LogQuery { tail: Some(2), ..LogQuery::default() }).await.unwrap();
            assert_eq!((tail[0].text.as_str(), tail[1].text.as_str()), ("line 1", "after the crash"));
            assert_eq!(tail[1].cursor, 3, "the torn line was never there");
            drop(store);
            assert_eq!(all(&open(dir.path(), Limits::default())).await.len(), 3, "and nothing of it is left");
        }
    }
}

#[tokio::test]
async fn garbage_in_the_middle_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Limits::default());
    write(&store, 0..2).await;
    drop(store);
    let mut file = OpenOptions::new().append(true).open(&segments(dir.path())[0]).unwrap();
    // Longer than any record, then a line that is none.
    file.write_all(&vec![0; 3 * 1024 * 1024]).unwrap();
    file.write_all(b"\nnot a record\n").unwrap();
    let mut good = fs::read_to_string(&segments(dir.path())[0]).unwrap().lines().next().unwrap().to_owned();
    good.replace_range(..1, "77");
    file.write_all(format!("{good}\n").as_bytes()).unwrap();
    let store = open(dir.path(), Limits::default());
    write(&store, 2..3).await;
    let cursors = |lines: Vec<LogLine>| lines.into_iter().map(|line| line.cursor).collect::<Vec<_>>();
    assert_eq!(cursors(all(&store).await), [1, 2, 77, 78]);
    let tail = LogQuery { tail: Some(10), ..LogQuery::default() };
    assert_eq!(cursors(store.read(app(), &tail).await.unwrap()), [1, 2, 77, 78]);
    let after = LogQuery { after: Some(2), ..LogQuery::default() };
    assert_eq!(cursors(store.read(app(), &after).await.unwrap()), [77, 78]);
}

#[tokio::test]
async fn a_long_line_is_cut_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Limits::default());
    let long = "ä".repeat(1024 * 1024);
    // The worst for JSON: six bytes for each.
    let control = "\u{1}".repeat(256 * 1024);
    store.append(app(), vec![line(0, 1, long.clone()), line(0, 2, control.clone()), line(0, 3, "next")]).await.unwrap();
    for query in [LogQuery::default(), LogQuery { tail: Some(3), ..LogQuery::default() }] {
        let lines = store.read(app(), &query).await.unwrap();
        let text = &lines[0].text;
        assert!(long.starts_with(&text[..256 * 1024]) && text.ends_with("[1835008 bytes cut]"), "{}", text.len());
        assert!(lines[1].text == control, "what is not too long is whole");
        assert_eq!(lines[2].text, "next");
    }
}

/// A read of a long log is cut by memory, not by lines, and can be continued.
#[tokio::test]
async fn reads_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Limits::default());
    let text = "x".repeat(100_000);
    for n in 0..20 {
        store.append(app(), (0..20).map(|m| line(0, n * 20 + m, text.clone())).collect()).await.unwrap();
    }
    let mut read = 0;
    let mut after = None;
    loop {
        let page = store.read(app(), &LogQuery { limit: 1_000_000, after, ..LogQuery::default() }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.cursor);
        read += page.len();
        let bytes: usize = page.iter().map(|line| line.text.len()).sum();
        assert!(bytes <= 17 * 1024 * 1024, "{bytes} bytes at once");
    }
    assert_eq!(read, 400, "and nothing is lost between pages");
    let tail = LogQuery { tail: Some(1_000_000), ..LogQuery::default() };
    let tail = store.read(app(), &tail).await.unwrap();
    assert!(tail.len() < 200, "a tail as well");
    assert_eq!(tail.last().unwrap().cursor, 400, "which keeps the newest");
}

#[tokio::test]
async fn files_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("logs");
    let store = open(&dir, SMALL);
    write(&store, 0..100).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = dir.join(app().to_string());
    assert_eq!((mode(&dir), mode(&folder)), (0o700, 0o700));
    for file in fs::read_dir(&folder).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    store.remove(app()).await.unwrap();
    assert!(!folder.exists(), "nothing is left of a removed app");
}

/// Fifty apps, followed and written, keep no file open.
#[tokio::test(flavor = "multi_thread")]
async fn many_apps_cost_no_descriptors() {
    let descriptors = || fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), SMALL);
    let before = descriptors();
    let mut followers = Vec::new();
    for n in 0..200 {
        let id = AppId::new(Ulid(n));
        store.append(id, vec![line(0, 1, "hello")]).await.unwrap();
        let mut lines = store.follow(id, LogQuery::default()).await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap().text, "hello");
        followers.push(lines);
    }
    // Other tests of this program run beside.
    assert!(descriptors() < before + 100, "{before} descriptors before, {} now", descriptors());
}
