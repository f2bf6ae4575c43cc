//! The conformance suite of [`Store`]: every sentence of the trait's documentation, as a check.
//!
//! A backend of your own runs it with one line:
//!
//! ```
//! use std::sync::Arc;
//! use sh0_core::testkit;
//! use sh0_core::traits::Store;
//!
//! async fn my_store_conforms<S: Store + Default + 'static>() {
//!     testkit::store::conformance(|| async { Arc::new(S::default()) as Arc<dyn Store> }).await;
//! }
//! ```
//!
//! What the suite pins down beyond the words of the trait: a batch is applied in the order checks, deletes, puts,
//! truncates, trims, appends; checks see the state before the batch; a key freed by the batch may be taken by the same batch.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::traits::{Append, Batch, Check, Entry, Kind, Put, Query, Record, Store, Trim};
use crate::{Code, Result};

const APP: Kind = Kind("app");
const RELEASE: Kind = Kind("release");
/// No backend needs longer for one step; a hang is a failure, not a stuck test run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs every check, each on a fresh, empty store from `make`. Panics at the first that does not hold.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Store>>,
{
    empty_store(&*make().await).await;
    records_round_trip(&*make().await).await;
    bodies_round_trip(&*make().await).await;
    deletes(&*make().await).await;
    listing_is_ordered_and_scoped(&*make().await).await;
    listing_pages(&*make().await).await;
    indexes(&*make().await).await;
    checks(&*make().await).await;
    unique_keys(&*make().await).await;
    unique_keys_move_within_a_batch(&*make().await).await;
    batches_are_atomic(&*make().await).await;
    batches_have_an_order(&*make().await).await;
    streams(&*make().await).await;
    streams_lose_their_beginning(&*make().await).await;
    revisions_and_watch(&*make().await).await;
    epochs_fence(&*make().await).await;
    one_winner(make().await).await;
    writers_lose_nothing(make().await).await;
    readers_see_whole_batches(make().await).await;
}

async fn empty_store(store: &dyn Store) {
    assert!(!store.name().is_empty(), "a store has a name");
    assert_eq!(ok(store.get(APP, "a").await), None, "an empty store has no record");
    assert_eq!(ok(store.find(APP, "a").await), None, "an empty store holds no key");
    assert_eq!(ids(store, Query::all(APP)).await, [""; 0], "an empty store lists nothing");
    assert_eq!(ok(store.read("audit", 0, 10).await), [], "an unknown stream is empty");
    ok(store
        .commit(Batch { deletes: vec![(APP, "a".into())], truncates: vec!["audit".into()], ..Batch::default() })
        .await);
}

async fn records_round_trip(store: &dyn Store) {
    let first = ok(store.commit(puts([put(APP, "a", "p1", json!({"name": "one"}))])).await);
    let record = some(store.get(APP, "a").await);
    let expected =
        Record { id: "a".into(), parent: "p1".into(), revision: first, schema: 1, body: json!({"name": "one"}) };
    assert_eq!(record, expected, "a record reads back as it was put, with the revision of its commit");
    assert_eq!(ok(store.get(RELEASE, "a").await), None, "ids belong to their kind");

    let second = ok(store.commit(puts([Put { schema: 7, ..put(APP, "a", "p2", json!([1])) }])).await);
    assert!(second > first, "revisions count up: {first}, then {second}");
    let expected = Record { id: "a".into(), parent: "p2".into(), revision: second, schema: 7, body: json!([1]) };
    assert_eq!(some(store.get(APP, "a").await), expected, "a put replaces all of a record");
    assert_eq!(ids(store, Query::all(APP).of("p1")).await, [""; 0], "a record that moved left its old parent");
    assert_eq!(ids(store, Query::all(APP).of("p2")).await, ["a"], "a record that moved is at its new parent");
}

async fn bodies_round_trip(store: &dyn Store) {
    let long = "0123456789abcdef".repeat(65_536);
    let bodies = [
        Value::Null,
        json!(""),
        json!({}),
        json!([]),
        json!({"a": {"b": [1, -1, 1.5, true, null]}}),
        json!(u64::MAX),
        json!(i64::MIN),
        json!("quote ' \" back\\slash \n \r \t \u{0} \u{7f} \u{2028} grüße 日本 🦀"),
        json!({"": "empty key", "quote'\"": 1}),
        json!({ "megabyte": long }),
    ];
    for (n, body) in bodies.iter().enumerate() {
        let id = format!("body-{n}");
        let append = Append { stream: "bodies".into(), body: body.clone() };
        ok(store
            .commit(Batch { puts: vec![put(APP, &id, "p", body.clone())], appends: vec![append], ..Batch::default() })
            .await);
        assert!(some(store.get(APP, &id).await).body == *body, "body {n} reads back as it was put");
    }
    let entries = ok(store.read("bodies", 0, 100).await);
    assert!(entries.iter().map(|entry| &entry.body).eq(&bodies), "entries read back as they were appended");

    for id in ["with space", "per%cent_", "quo'te", "nul\u{0}", "grüße", "a/b", "*"] {
        ok(store.commit(puts([Put { unique: vec![id.into()], ..put(RELEASE, id, id, json!(id)) }])).await);
        assert_eq!(some(store.get(RELEASE, id).await).body, json!(id), "any text is an id");
        assert_eq!(some(store.find(RELEASE, id).await).id, id, "any text is a key");
        assert_eq!(ids(store, Query::all(RELEASE).of(id)).await, [id], "any text is a parent");
    }
}

async fn deletes(store: &dyn Store) {
    let indexes = BTreeMap::from([("state", "live".to_owned())]);
    let full = Put { unique: vec!["k".into()], indexes, ..put(APP, "a", "p", json!(1)) };
    ok(store.commit(puts([full.clone(), put(RELEASE, "a", "p", json!(2))])).await);
    let delete = Batch { deletes: vec![(APP, "a".into()), (APP, "never was".into())], ..Batch::default() };
    ok(store.commit(delete).await);
    assert_eq!(ok(store.get(APP, "a").await), None, "a deleted record is gone");
    assert_eq!(ok(store.find(APP, "k").await), None, "a deleted record frees its keys");
    assert_eq!(ids(store, Query::all(APP)).await, [""; 0], "a deleted record is not listed");
    assert_eq!(ids(store, Query::all(APP).with("state", "live")).await, [""; 0], "nor found by its indexes");
    assert_eq!(some(store.get(RELEASE, "a").await).body, json!(2), "a delete leaves other kinds alone");
    ok(store.commit(puts([Put { id: "b".into(), ..full }])).await);
    assert_eq!(some(store.find(APP, "k").await).id, "b", "a freed key can be taken");
}

async fn listing_is_ordered_and_scoped(store: &dyn Store) {
    // Order is that of the bytes: `B` before `a`, `10` before `9`.
    for (id, parent) in [("b", "p1"), ("a", "p2"), ("B", "p1"), ("9", "p1"), ("10", "p2"), ("ä", "p1")] {
        ok(store.commit(puts([put(APP, id, parent, json!(id)), put(RELEASE, id, "p1", json!(id))])).await);
    }
    assert_eq!(ids(store, Query::all(APP)).await, ["10", "9", "B", "a", "b", "ä"], "lists are in the order of ids");
    assert_eq!(ids(store, Query::all(APP).of("p1")).await, ["9", "B", "b", "ä"], "a parent's own, in order");
    assert_eq!(ids(store, Query::all(APP).of("p2")).await, ["10", "a"], "a parent's own, in order");
    assert_eq!(ids(store, Query::all(APP).of("p")).await, [""; 0], "a parent is matched whole");
    assert_eq!(ids(store, Query::all(APP).newest(3)).await, ["ä", "b", "a"], "newest first is descending");
    assert_eq!(ids(store, Query::all(APP).of("p1").newest(2)).await, ["ä", "b"], "descending within a parent");
    let listed = ok(store.list(&Query::all(APP).of("p2")).await);
    assert_eq!(listed.first(), Some(&some(store.get(APP, "10").await)), "a list has whole records");
}

async fn listing_pages(store: &dyn Store) {
    let all: Vec<String> = (0..25).map(|n| format!("id-{n:02}")).collect();
    let put_all = all.iter().map(|id| Put {
        indexes: BTreeMap::from([("odd", (id.ends_with(['1', '3', '5', '7', '9'])).to_string())]),
        ..put(APP, id, "p", Value::Null)
    });
    ok(store.commit(puts(put_all)).await);
    let odd: Vec<String> = all.iter().skip(1).step_by(2).cloned().collect();

    for (query, forward) in [
        (Query::all(APP), all.clone()),
        (Query::all(APP).of("p"), all.clone()),
        (Query::all(APP).with("odd", "true"), odd.clone()),
        (Query::all(APP).of("p").with("odd", "true"), odd),
    ] {
        for newest_first in [false, true] {
            let mut expected = forward.clone();
            if newest_first {
                expected.reverse();
            }
            let mut seen: Vec<String> = Vec::new();
            loop {
                let page = Query { limit: 7, newest_first, after: seen.last().cloned(), ..query.clone() };
                let got = ids(store, page).await;
                assert!(got.len() <= 7, "a page has at most `limit` records");
                if got.is_empty() {
                    break;
                }
                seen.extend(got);
                assert!(seen.len() <= expected.len(), "paging ends: {seen:?}");
            }
            assert_eq!(seen, expected, "pages of {query:?}, newest_first = {newest_first}");
        }
    }
    let between = Query { after: Some("id-03x".into()), limit: 1, ..Query::all(APP) };
    assert_eq!(ids(store, between.clone()).await, ["id-04"], "`after` need not exist");
    assert_eq!(ids(store, Query { newest_first: true, ..between }).await, ["id-03"], "`after` need not exist");
    assert_eq!(ids(store, Query { limit: 0, ..Query::all(APP) }).await, [""; 0], "a limit of 0 answers nothing");
    assert_eq!(ids(store, Query { limit: usize::MAX, ..Query::all(APP) }).await.len(), 25, "any limit is fine");
}

async fn indexes(store: &dyn Store) {
    let with = |id: &str, parent: &str, pairs: &[(&'static str, &str)]| Put {
        indexes: pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        ..put(APP, id, parent, Value::Null)
    };
    ok(store
        .commit(puts([
            with("a", "p1", &[("state", "live"), ("node", "n1")]),
            with("b", "p2", &[("state", "live")]),
            with("c", "p1", &[("state", "dead"), ("node", "live")]),
            with("d", "p1", &[]),
            Put { kind: RELEASE, ..with("e", "p1", &[("state", "live")]) },
        ]))
        .await);
    let live = || Query::all(APP).with("state", "live");
    assert_eq!(ids(store, live()).await, ["a", "b"], "by index: its name, its value, its kind");
    assert_eq!(ids(store, live().of("p1")).await, ["a"], "by index and parent");
    assert_eq!(ids(store, live().newest(1)).await, ["b"], "by index, descending");
    assert_eq!(ids(store, Query::all(APP).with("none", "live")).await, [""; 0], "an unknown index has nothing");
    ok(store.commit(puts([with("a", "p1", &[("state", "dead")])])).await);
    assert_eq!(ids(store, live()).await, ["b"], "a put replaces the index values");
    assert_eq!(ids(store, Query::all(APP).with("node", "n1")).await, [""; 0], "a put drops those it does not name");
    assert_eq!(ids(store, Query::all(APP).with("state", "dead")).await, ["a", "c"], "the new value is found");
}

async fn checks(store: &dyn Store) {
    let revision = ok(store.commit(puts([put(APP, "a", "p", json!(1))])).await);
    let checked = |id: &str, revision: Option<u64>, body: i64| Batch {
        checks: vec![Check { kind: APP, id: id.into(), revision }],
        ..puts([put(APP, "a", "p", json!(body))])
    };
    for (batch, why) in [
        (checked("a", None, 2), "it exists"),
        (checked("a", Some(revision + 1), 2), "another revision"),
        (checked("b", Some(revision), 2), "it does not exist"),
        (Batch { puts: Vec::new(), ..checked("a", None, 2) }, "checks hold without changes too"),
    ] {
        conflict(store.commit(batch).await, why);
        assert_eq!(some(store.get(APP, "a").await).body, json!(1), "a batch whose check fails changes nothing");
    }
    let next = ok(store.commit(checked("a", Some(revision), 3)).await);
    conflict(store.commit(checked("a", Some(revision), 4)).await, "the revision moved on");
    ok(store.commit(checked("b", None, 5)).await);
    assert!(some(store.get(APP, "a").await).revision > next, "a check that holds lets the batch through");
    ok(store
        .commit(Batch { checks: vec![Check { kind: RELEASE, id: "a".into(), revision: None }], ..Batch::default() })
        .await);
}

async fn unique_keys(store: &dyn Store) {
    let keyed = |kind: Kind, id: &str, keys: &[&str]| Put {
        unique: keys.iter().map(|key| (*key).to_owned()).collect(),
        ..put(kind, id, "p", Value::Null)
    };
    ok(store.commit(puts([keyed(APP, "a", &["p/one", "host one"]), keyed(RELEASE, "r", &["p/one"])])).await);
    assert_eq!(some(store.find(APP, "p/one").await).id, "a", "found by its key");
    assert_eq!(some(store.find(APP, "host one").await).id, "a", "found by each of its keys");
    assert_eq!(some(store.find(RELEASE, "p/one").await).id, "r", "keys belong to their kind");
    assert_eq!(ok(store.find(APP, "p/ONE").await), None, "keys are matched byte for byte");

    let error = conflict(store.commit(puts([keyed(APP, "b", &["p/two", "p/one"])])).await, "the key is taken");
    assert!(error.contains("p/one"), "the error names the key that is taken: {error}");
    assert!(!error.contains("p/two"), "and only that one: {error}");
    assert_eq!(ok(store.get(APP, "b").await), None, "a put whose key is taken stores nothing");
    assert_eq!(ok(store.find(APP, "p/two").await), None, "nor its other keys");

    ok(store.commit(puts([keyed(APP, "a", &["p/one", "p/three"])])).await);
    assert_eq!(some(store.find(APP, "p/one").await).id, "a", "a record may keep its key");
    assert_eq!(ok(store.find(APP, "host one").await), None, "the keys of a put replace those held before");
    ok(store.commit(puts([keyed(APP, "b", &["host one"])])).await);
    assert_eq!(some(store.find(APP, "host one").await).id, "b", "a key that was replaced is free");
}

async fn unique_keys_move_within_a_batch(store: &dyn Store) {
    let keyed = |id: &str, key: &str| Put { unique: vec![key.into()], ..put(APP, id, "p", Value::Null) };
    ok(store.commit(puts([keyed("a", "one"), keyed("b", "two")])).await);
    ok(store.commit(puts([keyed("a", "two"), keyed("b", "one")])).await);
    assert_eq!(some(store.find(APP, "one").await).id, "b", "two records may swap their keys in one batch");
    assert_eq!(some(store.find(APP, "two").await).id, "a", "two records may swap their keys in one batch");
    let replace = Batch { deletes: vec![(APP, "a".into())], ..puts([keyed("c", "two")]) };
    ok(store.commit(replace).await);
    assert_eq!(some(store.find(APP, "two").await).id, "c", "a key freed by a delete may be taken in the same batch");
    conflict(store.commit(puts([keyed("x", "new"), keyed("y", "new")])).await, "one key for two records of a batch");
    assert_eq!(ok(store.find(APP, "new").await), None, "and neither is stored");
}

async fn batches_are_atomic(store: &dyn Store) {
    let taken = Put { unique: vec!["k".into()], ..put(APP, "keep", "p", json!("old")) };
    let before = ok(store.commit(Batch { appends: vec![append("audit", 1)], ..puts([taken.clone()]) }).await);
    let watch = store.watch();
    // Everything in it is fine but the last put.
    let batch = Batch {
        puts: vec![put(APP, "new", "p", json!(1)), Put { id: "thief".into(), ..taken.clone() }],
        deletes: vec![(RELEASE, "r".into())],
        appends: vec![append("audit", 2), append("events", 1)],
        truncates: vec!["audit".into()],
        ..Batch::default()
    };
    conflict(store.commit(batch.clone()).await, "the key is taken");
    let failing = Batch { checks: vec![Check { kind: APP, id: "keep".into(), revision: None }], ..batch };
    conflict(store.commit(Batch { puts: Vec::new(), deletes: vec![(APP, "keep".into())], ..failing }).await, "a check");
    assert_eq!(ids(store, Query::all(APP)).await, ["keep"], "a refused batch stores and deletes nothing");
    assert_eq!(some(store.find(APP, "k").await).revision, before, "a refused batch moves no key");
    assert_eq!(bodies(ok(store.read("audit", 0, 10).await)), [json!(1)], "a refused batch leaves streams alone");
    assert_eq!(ok(store.read("events", 0, 10).await), [], "a refused batch appends nothing");
    assert_eq!(*watch.borrow(), before, "a refused batch is no new revision");
}

async fn batches_have_an_order(store: &dyn Store) {
    ok(store.commit(Batch { appends: vec![append("s", 1)], ..puts([put(APP, "a", "p", json!(1))]) }).await);
    let batch = Batch {
        deletes: vec![(APP, "a".into())],
        puts: vec![put(APP, "a", "p", json!(2)), put(APP, "b", "p", json!(1)), put(APP, "b", "p", json!(2))],
        truncates: vec!["s".into()],
        appends: vec![append("s", 2), append("s", 3)],
        ..Batch::default()
    };
    let revision = ok(store.commit(batch).await);
    let (a, b) = (some(store.get(APP, "a").await), some(store.get(APP, "b").await));
    assert_eq!((a.body, b.body), (json!(2), json!(2)), "deletes come before puts, and the last put of an id counts");
    assert_eq!((a.revision, b.revision), (revision, revision), "all of a batch has one revision");
    assert_eq!(bodies(ok(store.read("s", 0, 10).await)), [json!(2), json!(3)], "truncates come before appends");
}

async fn streams(store: &dyn Store) {
    for n in 1..=10 {
        let batch = Batch {
            appends: vec![append("s/1", n * 10), append("s/2", -n), append("s/1", n * 10 + 1)],
            ..Batch::default()
        };
        ok(store.commit(batch).await);
    }
    let all = ok(store.read("s/1", 0, 1_000).await);
    assert!(all.iter().map(|entry| entry.seq).eq(1..=20), "entries count up from 1 without holes");
    let expected = (1..=10).flat_map(|n| [json!(n * 10), json!(n * 10 + 1)]);
    assert!(all.iter().map(|entry| entry.body.clone()).eq(expected), "entries keep the order of their appends");
    assert!(ok(store.read("s/2", 0, 1_000).await).iter().map(|entry| entry.seq).eq(1..=10), "each stream counts alone");
    assert_eq!(ok(store.read("s/1", 7, 3).await), all[7..10], "`after` and `limit` cut a part out");
    assert_eq!(ok(store.read("s/1", 20, 3).await), [], "nothing follows the last");
    assert_eq!(ok(store.read("s/1", u64::MAX, 3).await), [], "nor what is far away");
    assert_eq!(ok(store.read("s/1", 0, 0).await), [], "a limit of 0 answers nothing");
    assert_eq!(ok(store.read("s/1", 0, usize::MAX).await).len(), 20, "any limit is fine");
    assert_eq!(ok(store.read("s", 0, 3).await), [], "a stream's name is matched whole");
    ok(store.commit(Batch { truncates: vec!["s/1".into()], ..Batch::default() }).await);
    assert_eq!(ok(store.read("s/1", 0, 3).await), [], "a truncated stream is gone");
    assert_eq!(ok(store.read("s/2", 0, 100).await).len(), 10, "and no other");
    ok(store.commit(Batch { appends: vec![append("s/1", 0)], ..Batch::default() }).await);
    assert_eq!(ok(store.read("s/1", 0, 3).await), [Entry { seq: 1, body: json!(0) }], "a new one begins at 1");
}

async fn streams_lose_their_beginning(store: &dyn Store) {
    let trim =
        |stream: &str, through| Batch { trims: vec![Trim { stream: stream.to_owned(), through }], ..Batch::default() };
    let appends = (1..=6).flat_map(|n| [append("s/1", n), append("s/2", n)]).collect();
    let before = ok(store.commit(Batch { appends, ..Batch::default() }).await);
    let all = ok(store.read("s/1", 0, 10).await);
    assert!(ok(store.commit(trim("s/1", 3)).await) > before, "a trim is a change");
    assert_eq!(ok(store.read("s/1", 0, 10).await), all[3..], "what stays keeps its numbers");
    assert_eq!(ok(store.read("s/1", 2, 2).await), all[3..5], "who asks for what is gone gets what follows it");
    assert_eq!(ok(store.read("s/1", 4, 10).await), all[4..]);
    assert_eq!(ok(store.read("s/2", 0, 10).await).len(), 6, "other streams stay whole");
    ok(store.commit(trim("s/1", 2)).await);
    assert_eq!(ok(store.read("s/1", 0, 10).await), all[3..], "what is gone is gone");
    ok(store.commit(Batch { appends: vec![append("s/1", 7)], ..trim("s/1", 5) }).await);
    let seqs: Vec<u64> = ok(store.read("s/1", 0, 10).await).iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [6, 7], "trims come before appends");
    ok(store.commit(trim("s/1", u64::MAX)).await);
    let last = Entry { seq: 7, body: json!(7) };
    assert_eq!(ok(store.read("s/1", 0, 10).await), std::slice::from_ref(&last), "the newest always stays");
    ok(store.commit(Batch { appends: vec![append("s/1", 8)], ..Batch::default() }).await);
    assert_eq!(ok(store.read("s/1", 0, 10).await), [last, Entry { seq: 8, body: json!(8) }], "and the next counts on");
    ok(store.commit(trim("never was", 5)).await);
    assert_eq!(ok(store.read("never was", 0, 10).await), []);
    ok(store.commit(Batch { truncates: vec!["s/1".into()], ..Batch::default() }).await);
    ok(store.commit(Batch { appends: vec![append("s/1", 0)], ..Batch::default() }).await);
    assert_eq!(ok(store.read("s/1", 0, 3).await), [Entry { seq: 1, body: json!(0) }], "a new stream begins at 1");
}

async fn revisions_and_watch(store: &dyn Store) {
    let mut watch = store.watch();
    let mut last = *watch.borrow_and_update();
    for n in 0..5 {
        let revision = ok(store.commit(puts([put(APP, "a", "p", json!(n))])).await);
        assert!(revision > last, "revisions count up: {last}, then {revision}");
        assert!(ok(watch.has_changed()), "a commit wakes those who watch");
        assert_eq!(*watch.borrow_and_update(), revision, "and shows its revision");
        assert_eq!(some(store.get(APP, "a").await).revision, revision, "which the record has");
        last = revision;
    }
    assert_eq!(*store.watch().borrow(), last, "a new watch begins at the last commit");
    let changed = tokio::time::timeout(PATIENCE, watch.changed());
    let (changed, committed) = tokio::join!(changed, store.commit(puts([put(APP, "b", "p", Value::Null)])));
    ok(ok(changed));
    assert_eq!(*watch.borrow(), ok(committed), "a commit wakes one who waits");
}

async fn epochs_fence(store: &dyn Store) {
    let write = |epoch: u64, body: u64| Batch { epoch, ..puts([put(APP, "a", "p", json!(body))]) };
    ok(store.commit(write(0, 0)).await);
    let first = ok(store.claim().await);
    assert!(first > 0, "an epoch is never 0");
    ok(store.commit(write(first, 1)).await);
    let second = ok(store.claim().await);
    assert!(second > first, "every claim is a newer epoch: {first}, then {second}");
    conflict(store.commit(write(first, 2)).await, "an older epoch");
    conflict(store.commit(Batch { epoch: first, ..Batch::default() }).await, "an older epoch, nothing to write");
    assert_eq!(some(store.get(APP, "a").await).body, json!(1), "the former writer changes nothing");
    ok(store.commit(write(second, 3)).await);
    ok(store.commit(write(0, 4)).await);
    assert_eq!(some(store.get(APP, "a").await).body, json!(4), "epoch 0 skips the check");
}

async fn one_winner(store: Arc<dyn Store>) {
    let revision = ok(store.commit(puts([put(APP, "a", "p", json!("start"))])).await);
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        racers.spawn(async move {
            let batch = Batch {
                checks: vec![Check { kind: APP, id: "a".into(), revision: Some(revision) }],
                appends: vec![append("wins", n)],
                ..puts([put(APP, "a", "p", json!(n))])
            };
            (n, store.commit(batch).await)
        });
    }
    let results = ok(tokio::time::timeout(PATIENCE, racers.join_all()).await);
    let winners: Vec<i64> = results.iter().filter(|(_, result)| result.is_ok()).map(|(n, _)| *n).collect();
    assert_eq!(winners.len(), 1, "of 50 commits with the same check one wins");
    for (_, result) in results.into_iter().filter(|(_, result)| result.is_err()) {
        conflict(result, "the others conflict");
    }
    assert_eq!(some(store.get(APP, "a").await).body, json!(winners[0]), "the winner's record is stored");
    assert_eq!(bodies(ok(store.read("wins", 0, 99).await)), [json!(winners[0])], "and only the winner's entry");
}

async fn writers_lose_nothing(store: Arc<dyn Store>) {
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = store.clone();
        writers.spawn(async move {
            let batch =
                Batch { appends: vec![append("all", n)], ..puts([put(APP, &format!("{n:02}"), "p", json!(n))]) };
            ok(store.commit(batch).await)
        });
    }
    let mut revisions = ok(tokio::time::timeout(PATIENCE, writers.join_all()).await);
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 50, "each commit has a revision of its own");
    assert_eq!(ids(&*store, Query::all(APP)).await.len(), 50, "every record is there");
    let entries = ok(store.read("all", 0, 99).await);
    assert!(entries.iter().map(|entry| entry.seq).eq(1..=50), "every entry is there, without holes");
    let last = revisions.last().copied();
    assert_eq!(last, Some(*store.watch().borrow()), "the watch shows the greatest revision");
}

async fn readers_see_whole_batches(store: Arc<dyn Store>) {
    let write = |n: i64| puts([put(APP, "a", "p", json!(n)), put(APP, "b", "p", json!(n))]);
    ok(store.commit(write(0)).await);
    let reader = tokio::spawn({
        let store = store.clone();
        async move {
            loop {
                let seen = ok(store.list(&Query::all(APP)).await);
                assert_eq!(seen[0].body, seen[1].body, "a reader sees all of a batch or nothing of it");
                if seen[0].body == json!(30) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    for n in 1..=30 {
        ok(store.commit(write(n)).await);
        assert_eq!(some(store.get(APP, "b").await).body, json!(n), "a commit is visible when it returns");
    }
    ok(ok(tokio::time::timeout(PATIENCE, reader).await));
}

fn put(kind: Kind, id: &str, parent: &str, body: Value) -> Put {
    Put { kind, id: id.into(), parent: parent.into(), unique: Vec::new(), indexes: BTreeMap::new(), schema: 1, body }
}

fn puts(puts: impl IntoIterator<Item = Put>) -> Batch {
    Batch { puts: puts.into_iter().collect(), ..Batch::default() }
}

fn append(stream: &str, body: i64) -> Append {
    Append { stream: stream.into(), body: json!(body) }
}

fn bodies(entries: Vec<Entry>) -> Vec<Value> {
    entries.into_iter().map(|entry| entry.body).collect()
}

async fn ids(store: &dyn Store, query: Query) -> Vec<String> {
    ok(store.list(&query).await).into_iter().map(|record| record.id).collect()
}

#[track_caller]
fn ok<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("this should succeed: {error:?}"),
    }
}

#[track_caller]
fn some(result: Result<Option<Record>>) -> Record {
    match ok(result) {
        Some(record) => record,
        None => panic!("this record should exist"),
    }
}

/// The text of the conflict that this must be.
#[track_caller]
fn conflict<T: std::fmt::Debug>(result: Result<T>, why: &str) -> String {
    match result {
        Err(error) if error.code() == Code::Conflict => error.detail().to_owned(),
        other => panic!("this should be a conflict ({why}), but it is {other:?}"),
    }
}
