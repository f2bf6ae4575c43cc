//! The conformance suite of [`LogStore`]: every sentence of the trait's documentation, as a check.
//!
//! A backend of your own runs it with one line:
//!
//! ```
//! use std::sync::Arc;
//! use sh0_core::testkit;
//! use sh0_core::traits::LogStore;
//!
//! async fn my_logs_conform<S: LogStore + Default + 'static>() {
//!     testkit::log_store::conformance(|| async { Arc::new(S::default()) as Arc<dyn LogStore> }).await;
//! }
//! ```
//!
//! What the suite pins down beyond the words of the trait: with a `tail`, `limit` need not be given; a tail of 0 is
//! nothing, and following it begins with the next line; following without a tail gives all that is stored, page by page,
//! and then what comes.
//!
//! The store under test must keep at least a mebibyte of text for each app.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use jiff::ToSpan;
use ulid::Ulid;

use crate::Result;
use crate::model::{AppId, DeploymentId, InstanceName, LogLine, LogStream, ProcessName, ReleaseId, Timestamp};
use crate::traits::{LogPosition, LogQuery, LogStore, NewLine};

/// No backend needs longer for one step; a hang is a failure, not a stuck test run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs every check, each on a fresh, empty store from `make`. Panics at the first that does not hold.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn LogStore>>,
{
    empty_store(&*make().await).await;
    lines_round_trip(&*make().await).await;
    texts_round_trip(&*make().await).await;
    cursors_resume(&*make().await).await;
    limits_and_tails(&*make().await).await;
    filters(&*make().await).await;
    apps_are_apart(&*make().await).await;
    positions(&*make().await).await;
    follow_goes_on(&*make().await).await;
    follow_filters_and_pages(&*make().await).await;
    follow_a_tail(&*make().await).await;
    followers_come_and_go(&*make().await).await;
    removal(&*make().await).await;
    writers_keep_their_order(make().await).await;
    follow_misses_nothing_while_writing(make().await).await;
}

async fn empty_store(store: &dyn LogStore) {
    assert_eq!(ok(store.read(app(1), &LogQuery::default()).await), [], "an empty log has no line");
    assert_eq!(ok(store.read(app(1), &LogQuery { tail: Some(5), ..LogQuery::default() }).await), [], "nor a tail");
    assert_eq!(ok(store.position(app(1), &web(0)).await), None, "nothing was read yet");
    ok(store.append(app(1), Vec::new()).await);
    assert_eq!(ok(store.read(app(1), &LogQuery::default()).await), [], "appending nothing adds nothing");
    ok(store.remove(app(1)).await);
}

async fn lines_round_trip(store: &dyn LogStore) {
    let new = vec![
        NewLine { at: "2026-01-01T00:00:00.123456789Z".parse().expect("a time"), ..line(1, "one") },
        NewLine { stream: LogStream::Stderr, ..line(2, "two") },
        NewLine {
            process: process("worker"),
            instance: instance("worker", 3),
            release: release(9),
            ..line(0, "three")
        },
    ];
    ok(store.append(app(1), new.clone()).await);
    let lines = ok(store.read(app(1), &LogQuery::default()).await);
    let expected = |(new, line): (NewLine, &LogLine)| {
        let NewLine { at, instance, process, release, stream, text } = new;
        LogLine { cursor: line.cursor, at, instance, process, release, stream, text }
    };
    let expected: Vec<LogLine> = new.into_iter().zip(&lines).map(expected).collect();
    assert_eq!(lines, expected, "lines read back as they were added, in the order of adding");
    assert!(lines.windows(2).all(|pair| pair[0].cursor < pair[1].cursor), "cursors increase");
}

async fn texts_round_trip(store: &dyn LogStore) {
    let texts = [
        "",
        " ",
        "tab\tquote\"single'back\\slash",
        "inner\nline end, carriage\rreturn, form\u{c}feed",
        "nul\u{0} escape\u{1b}[31m del\u{7f} separators\u{2028}\u{2029}\u{85}",
        "grüße 日本 🦀 e\u{301} \u{feff}bom",
        "{\"json\":[1,2]}",
        "%s %d $HOME `id` {}",
    ];
    let long = "0123456789abcdef".repeat(4_096);
    let texts: Vec<&str> = texts.into_iter().chain([long.as_str()]).collect();
    ok(store.append(app(1), texts.iter().map(|text| line(1, text)).collect()).await);
    let read = ok(store.read(app(1), &LogQuery::default()).await);
    assert!(read.iter().map(|line| &line.text).eq(&texts), "any text reads back as it was: {read:?}");
    let tail = ok(store.read(app(1), &LogQuery { tail: Some(texts.len()), ..LogQuery::default() }).await);
    assert_eq!(tail, read, "and through a tail as well");
}

async fn cursors_resume(store: &dyn LogStore) {
    for n in 0..30 {
        ok(store.append(app(1), vec![line(n, &format!("line {n}"))]).await);
    }
    let all = ok(store.read(app(1), &LogQuery::default()).await);
    assert_eq!(all.len(), 30);
    for n in [0, 1, 15, 28, 29] {
        let rest = ok(store.read(app(1), &LogQuery { after: Some(all[n].cursor), ..LogQuery::default() }).await);
        assert_eq!(rest, all[n + 1..], "`after` a cursor come the lines after it");
    }
    let all_again = ok(store.read(app(1), &LogQuery { after: Some(0), ..LogQuery::default() }).await);
    assert_eq!(all_again, all, "every cursor is after 0");
    let far = LogQuery { after: Some(u64::MAX), ..LogQuery::default() };
    assert_eq!(ok(store.read(app(1), &far).await), [], "nothing comes after the last");

    let mut paged: Vec<LogLine> = Vec::new();
    loop {
        let query = LogQuery { after: paged.last().map(|line| line.cursor), limit: 7, ..LogQuery::default() };
        let page = ok(store.read(app(1), &query).await);
        assert!(page.len() <= 7, "a page has at most `limit` lines");
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all, "pages join without a loss or a repetition");
}

async fn limits_and_tails(store: &dyn LogStore) {
    ok(store.append(app(1), (0..1_500).map(|n| line(n, &format!("line {n}"))).collect()).await);
    let first = ok(store.read(app(1), &LogQuery::default()).await);
    assert_eq!(texts(&first), (0..1_000).map(|n| format!("line {n}")).collect::<Vec<_>>(), "a limit of 0 is 1,000");
    let all = ok(store.read(app(1), &LogQuery { limit: 100_000, ..LogQuery::default() }).await);
    assert_eq!(all.len(), 1_500, "a larger limit is fine");
    let tail = |tail| LogQuery { tail: Some(tail), ..LogQuery::default() };
    assert_eq!(ok(store.read(app(1), &tail(1)).await), all[1_499..], "the last line");
    assert_eq!(ok(store.read(app(1), &tail(700)).await), all[800..], "the last lines, oldest first");
    assert_eq!(ok(store.read(app(1), &tail(0)).await), [], "a tail of 0 is nothing");
    let after = LogQuery { after: Some(all[1_490].cursor), ..tail(700) };
    assert_eq!(ok(store.read(app(1), &after).await), all[1_491..], "a tail has only lines that fit");
    let few = LogQuery { contains: Some("line 12".into()), ..tail(3) };
    assert_eq!(
        texts(&ok(store.read(app(1), &few).await)),
        ["line 1297", "line 1298", "line 1299"],
        "the last that fit"
    );
}

async fn filters(store: &dyn LogStore) {
    let worker = |at, text| NewLine { process: process("worker"), instance: instance("worker", 0), ..line(at, text) };
    let second = |at, text| NewLine { instance: web(1), ..line(at, text) };
    let new =
        vec![line(10, "GET /"), worker(11, "job 1"), second(12, "GET /x"), line(11, "POST /"), worker(20, "job GET")];
    ok(store.append(app(1), new).await);
    let any = LogQuery::default();
    for (query, expected) in [
        (LogQuery { process: Some(process("web")), ..any.clone() }, vec!["GET /", "GET /x", "POST /"]),
        (LogQuery { process: Some(process("worker")), ..any.clone() }, vec!["job 1", "job GET"]),
        (LogQuery { process: Some(process("other")), ..any.clone() }, vec![]),
        (LogQuery { instance: Some(web(1)), ..any.clone() }, vec!["GET /x"]),
        (LogQuery { since: Some(at(12)), ..any.clone() }, vec!["GET /x", "job GET"]),
        (LogQuery { since: Some(at(11)), ..any.clone() }, vec!["job 1", "GET /x", "POST /", "job GET"]),
        (LogQuery { since: Some(at(21)), ..any.clone() }, vec![]),
        (LogQuery { contains: Some("GET".into()), ..any.clone() }, vec!["GET /", "GET /x", "job GET"]),
        (LogQuery { contains: Some("get".into()), ..any.clone() }, vec![]),
        (LogQuery { contains: Some("".into()), limit: 2, ..any.clone() }, vec!["GET /", "job 1"]),
        (
            LogQuery {
                process: Some(process("web")),
                since: Some(at(11)),
                contains: Some("/".into()),
                tail: Some(1),
                ..any
            },
            vec!["POST /"],
        ),
    ] {
        let found = ok(store.read(app(1), &query).await);
        assert_eq!(texts(&found), expected, "lines that fit {query:?}");
    }
}

async fn apps_are_apart(store: &dyn LogStore) {
    for n in 0..60 {
        ok(store.append(app(n), vec![line(1, &format!("app {n}"))]).await);
    }
    for n in 0..60 {
        ok(store.append(app(n), vec![line(2, "more")]).await);
        let lines = ok(store.read(app(n), &LogQuery::default()).await);
        assert_eq!(texts(&lines), [format!("app {n}"), "more".to_owned()], "each app has its own log");
    }
}

async fn positions(store: &dyn LogStore) {
    let position = async |instance| ok(store.position(app(1), &instance).await);
    ok(store.append(app(1), vec![line(5, "a")]).await);
    assert_eq!(position(web(0)).await, Some(LogPosition { at: at(5), lines: 1 }), "one line");
    ok(store.append(app(1), vec![line(5, "b"), NewLine { instance: web(1), ..line(9, "x") }, line(5, "c")]).await);
    assert_eq!(position(web(0)).await, Some(LogPosition { at: at(5), lines: 3 }), "three lines of that very time");
    assert_eq!(position(web(1)).await, Some(LogPosition { at: at(9), lines: 1 }), "each instance has its own");
    ok(store.append(app(1), vec![line(6, "d"), line(7, "e"), line(7, "f")]).await);
    assert_eq!(
        position(web(0)).await,
        Some(LogPosition { at: at(7), lines: 2 }),
        "a later time starts the count again"
    );
    assert_eq!(position(web(2)).await, None, "an instance that printed nothing has none");
    assert_eq!(ok(store.position(app(2), &web(0)).await), None, "nor has the same name in another app");
}

async fn follow_goes_on(store: &dyn LogStore) {
    ok(store.append(app(1), vec![line(1, "old 1"), line(2, "old 2")]).await);
    let mut lines = ok(store.follow(app(1), LogQuery::default()).await);
    assert_eq!(take(&mut lines, 2).await, ["old 1", "old 2"], "first what is stored");
    nothing_yet(&mut lines).await;
    ok(store.append(app(1), vec![line(3, "new 1"), line(4, "new 2")]).await);
    ok(store.append(app(1), vec![line(5, "new 3")]).await);
    assert_eq!(take(&mut lines, 3).await, ["new 1", "new 2", "new 3"], "then what comes");

    let (got, ()) = tokio::join!(take(&mut lines, 1), async {
        tokio::task::yield_now().await;
        ok(store.append(app(1), vec![line(6, "woken")]).await);
    });
    assert_eq!(got, ["woken"], "a new line wakes a follower that waits");

    let all = ok(store.read(app(1), &LogQuery::default()).await);
    let after = LogQuery { after: Some(all[3].cursor), ..LogQuery::default() };
    let mut resumed = ok(store.follow(app(1), after).await);
    assert_eq!(take(&mut resumed, 2).await, ["new 3", "woken"], "following resumes after a cursor");

    let mut early = ok(store.follow(app(2), LogQuery::default()).await);
    ok(store.append(app(2), vec![line(1, "first ever")]).await);
    assert_eq!(take(&mut early, 1).await, ["first ever"], "an app can be followed before it prints");
}

async fn follow_filters_and_pages(store: &dyn LogStore) {
    let batch = |range: std::ops::Range<i64>| range.map(|n| line(n, &format!("line {n}"))).collect::<Vec<_>>();
    ok(store.append(app(1), batch(0..1_200)).await);
    let mut all = ok(store.follow(app(1), LogQuery { limit: 10, ..LogQuery::default() }).await);
    let query = LogQuery { contains: Some("00".into()), since: Some(at(50)), ..LogQuery::default() };
    let mut some = ok(store.follow(app(1), query).await);
    ok(store.append(app(1), batch(1_200..1_301)).await);
    let expected: Vec<String> = (0..1_301).map(|n| format!("line {n}")).collect();
    assert_eq!(take(&mut all, 1_301).await, expected, "all that is stored, page by page, and then what comes");
    let expected: Vec<String> = (50..1_301).map(|n| format!("line {n}")).filter(|text| text.contains("00")).collect();
    assert_eq!(take(&mut some, expected.len()).await, expected, "only what fits, stored or new");
    nothing_yet(&mut some).await;
}

async fn follow_a_tail(store: &dyn LogStore) {
    ok(store.append(app(1), (0..100).map(|n| line(n, &format!("line {n}"))).collect()).await);
    let tail = |tail| LogQuery { tail: Some(tail), ..LogQuery::default() };
    let mut last = ok(store.follow(app(1), tail(2)).await);
    let mut new = ok(store.follow(app(1), tail(0)).await);
    let web_only = LogQuery { process: Some(process("worker")), ..tail(5) };
    let mut worker = ok(store.follow(app(1), web_only).await);
    ok(store.append(app(1), vec![line(100, "next")]).await);
    ok(store.append(app(1), vec![NewLine { process: process("worker"), ..line(101, "job") }]).await);
    assert_eq!(take(&mut last, 4).await, ["line 98", "line 99", "next", "job"], "the tail, and then all new lines");
    assert_eq!(take(&mut new, 2).await, ["next", "job"], "a tail of 0 begins with the next line");
    assert_eq!(take(&mut worker, 1).await, ["job"], "a tail that nothing fits begins with the next line that does");
}

async fn followers_come_and_go(store: &dyn LogStore) {
    let mut stays = ok(store.follow(app(1), LogQuery::default()).await);
    for n in 0..20 {
        let mut leaves = ok(store.follow(app(1), LogQuery::default()).await);
        ok(store.append(app(1), vec![line(n, &format!("line {n}"))]).await);
        assert_eq!(take(&mut leaves, 1).await, ["line 0"], "each follower reads on its own");
        drop(leaves);
    }
    let expected: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
    assert_eq!(take(&mut stays, 20).await, expected, "others that leave change nothing");
}

async fn removal(store: &dyn LogStore) {
    ok(store.append(app(1), vec![line(1, "gone"), line(2, "gone")]).await);
    ok(store.append(app(2), vec![line(1, "stays")]).await);
    ok(store.remove(app(1)).await);
    assert_eq!(ok(store.read(app(1), &LogQuery::default()).await), [], "a removed app has no lines");
    assert_eq!(ok(store.position(app(1), &web(0)).await), None, "and no positions");
    assert_eq!(texts(&ok(store.read(app(2), &LogQuery::default()).await)), ["stays"], "other apps keep theirs");
    ok(store.append(app(1), vec![line(3, "anew")]).await);
    assert_eq!(texts(&ok(store.read(app(1), &LogQuery::default()).await)), ["anew"], "it can begin again");
    ok(store.remove(app(1)).await);
    ok(store.remove(app(1)).await);
}

async fn writers_keep_their_order(store: Arc<dyn LogStore>) {
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            for m in 0..50 {
                let of = |text: String| NewLine { instance: web(n), ..line(m, &text) };
                ok(store.append(app(1), vec![of(format!("{m} a")), of(format!("{m} b"))]).await);
            }
        });
    }
    ok(tokio::time::timeout(PATIENCE, writers.join_all()).await);
    let all = ok(store.read(app(1), &LogQuery { limit: 10_000, ..LogQuery::default() }).await);
    assert_eq!(all.len(), 800, "every line is there");
    assert!(all.windows(2).all(|pair| pair[0].cursor < pair[1].cursor), "each has a cursor of its own, in order");
    let expected: Vec<String> = (0..50).flat_map(|m| [format!("{m} a"), format!("{m} b")]).collect();
    for n in 0..8 {
        let own = ok(store.read(app(1), &LogQuery { instance: Some(web(n)), ..LogQuery::default() }).await);
        assert_eq!(texts(&own), expected, "the lines of an instance keep their order");
        let position = ok(store.position(app(1), &web(n)).await);
        assert_eq!(position, Some(LogPosition { at: at(49), lines: 2 }), "and its position is right");
    }
}

async fn follow_misses_nothing_while_writing(store: Arc<dyn LogStore>) {
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 0..300 {
                ok(store.append(app(1), vec![line(n, &format!("line {n}"))]).await);
                tokio::task::yield_now().await;
            }
        }
    });
    let expected: Vec<String> = (0..300).map(|n| format!("line {n}")).collect();
    let mut followers = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let mut lines = ok(store.follow(app(1), LogQuery::default()).await);
        let expected = expected.clone();
        followers
            .spawn(async move { assert_eq!(take(&mut lines, 300).await, expected, "nothing lost, nothing twice") });
    }
    ok(writer.await);
    ok(tokio::time::timeout(PATIENCE, followers.join_all()).await);
}

fn app(n: u128) -> AppId {
    AppId::new(Ulid(n + 1))
}

fn release(n: u128) -> ReleaseId {
    ReleaseId::new(Ulid(n + 1))
}

fn process(name: &str) -> ProcessName {
    name.parse().expect("a process name")
}

fn instance(name: &str, index: u32) -> InstanceName {
    InstanceName::of(DeploymentId::new(Ulid(7)), &process(name), index)
}

fn web(index: u32) -> InstanceName {
    instance("web", index)
}

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + (1_800_000_000 + second).seconds()
}

fn line(second: i64, text: &str) -> NewLine {
    NewLine {
        at: at(second),
        instance: web(0),
        process: process("web"),
        release: release(1),
        stream: LogStream::Stdout,
        text: text.to_owned(),
    }
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

/// The texts of the next lines.
async fn take(lines: &mut BoxStream<'static, Result<LogLine>>, count: usize) -> Vec<String> {
    let (mut taken, mut last) = (Vec::new(), 0);
    while taken.len() < count {
        match tokio::time::timeout(PATIENCE, lines.next()).await {
            Ok(Some(line)) => {
                let line = ok(line);
                assert!(line.cursor > last, "cursors of a follower increase: {last}, then {}", line.cursor);
                last = line.cursor;
                taken.push(line.text);
            }
            Ok(None) => panic!("following ended after {taken:?}; {count} lines were expected"),
            Err(_) => panic!("no line for {PATIENCE:?} after {taken:?}; {count} lines were expected"),
        }
    }
    taken
}

/// A short look; a line that comes too early is caught by the order of the next ones as well.
async fn nothing_yet(lines: &mut BoxStream<'static, Result<LogLine>>) {
    if let Ok(line) = tokio::time::timeout(Duration::from_millis(20), lines.next()).await {
        panic!("nothing is expected yet, but this came: {line:?}");
    }
}

#[track_caller]
fn ok<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("this should succeed: {error:?}"),
    }
}
