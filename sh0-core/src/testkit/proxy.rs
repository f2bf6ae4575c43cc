//! The conformance suite of [`Proxy`]: every sentence of the trait's documentation, as a check, with raw sockets at both
//! ends.
//!
//! A backend of your own runs it with one line:
//!
//! ```
//! use std::sync::Arc;
//! use sh0_core::testkit;
//! use sh0_core::traits::Proxy;
//!
//! async fn my_proxy_conforms<P: Proxy + Default + 'static>() {
//!     testkit::proxy::conformance(|| async { Arc::new(P::default()) as Arc<dyn Proxy> }).await;
//! }
//! ```
//!
//! What the suite pins down beyond the words of the trait: an exact name that has no route for a path leaves the request
//! to a wildcard; a table of the same generation is applied, because the same wish may be sent twice; an instance that
//! returns while it drains keeps what it has begun; what has ended is not counted any more.

mod origin;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use origin::Origin;
use wire::{Client, PATIENCE, get, ok, request};

use crate::model::{AppId, InstanceName, Millis, ReleaseId, Upstream};
use crate::traits::{Listener, Proxy, ProxyStatus, Route, RouteTable, Target};

const LONG: Millis = Millis::from_secs(600);
const SHORT: Millis = Millis(200);

/// Runs every check, each on a new proxy from `make`. Panics at the first that does not hold.
pub async fn conformance<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Arc<dyn Proxy>>,
{
    new_proxies_do_nothing(&*make().await).await;
    ports_are_free(&*make().await).await;
    hosts_lead_to_apps(&*make().await).await;
    wildcards_and_paths(&*make().await).await;
    own_listeners_lead_to_their_app(&*make().await).await;
    http2_with_prior_knowledge(&*make().await).await;
    bodies_go_both_ways(&*make().await).await;
    all_instances_serve(&*make().await).await;
    apps_without_instances_say_why(&*make().await).await;
    tables_replace_each_other_whole(&*make().await).await;
    older_tables_are_ignored(&*make().await).await;
    new_requests_see_the_new_table(&*make().await).await;
    listeners_open_and_close(&*make().await).await;
    listeners_that_fail_are_reported(&*make().await).await;
    leaving_instances_finish(&*make().await).await;
    leaving_instances_are_cut_at_their_deadline(&*make().await).await;
    returning_instances_go_on(&*make().await).await;
    websockets_live_until_their_deadline(&*make().await).await;
    others_are_left_alone(&*make().await).await;
    requests_are_counted(&*make().await).await;
}

async fn new_proxies_do_nothing(proxy: &dyn Proxy) {
    assert!(!proxy.name().is_empty(), "a proxy has a name");
    assert!(proxy.capabilities().iter().all(|capability| !capability.name.is_empty()), "capabilities have names");
    assert_eq!(ok(proxy.status().await), ProxyStatus::default(), "before the first table nothing is in force");
    ok(proxy.apply(&RouteTable { generation: 1, ..RouteTable::default() }).await);
    assert_eq!(ok(proxy.status().await).generation, 1, "an empty table is a table");
}

async fn ports_are_free(proxy: &dyn Proxy) {
    let none = BTreeSet::new();
    let first = ok(proxy.find_port(None, &none).await);
    let held = ok(std::net::TcpListener::bind(("127.0.0.1", first)));
    let second = ok(proxy.find_port(Some(first), &none).await);
    assert_ne!(second, first, "a port that somebody listens on is not free");
    drop(held);
    assert_eq!(ok(proxy.find_port(Some(second), &none).await), second, "the preferred port, if it is free");
    let third = ok(proxy.find_port(Some(second), &[second].into()).await);
    assert_ne!(third, second, "a port that is taken is not given");
}

async fn hosts_lead_to_apps(proxy: &dyn Proxy) {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let door = door(proxy).await;
    let table = Setup::new(1)
        .door(door, None)
        .app(1, &[&one], LONG)
        .app(2, &[&two], LONG)
        .route("one.test", None, 1)
        .route("two.test", None, 2);
    table.apply(proxy).await;
    let cases = [
        ("one.test", 1),
        ("two.test", 2),
        ("ONE.Test", 1),
        ("one.test:8080", 1),
        ("one.test.", 1),
        ("Two.test.:80", 2),
    ];
    let mut client = Client::connect(door).await;
    for (host, app) in cases {
        let response = client.get(host, "/").await;
        assert_eq!((response.status, response.body.as_str()), (200, ["one", "two"][app - 1]), "{host}");
        let release = release(app).to_string();
        assert_eq!(
            response.header("x-sh0-release"),
            Some(release.as_str()),
            "the proxy names the release, nobody else"
        );
    }
    for host in ["three.test", "x.one.test", "test", "one.test.evil"] {
        assert_eq!(client.get(host, "/").await.status, 404, "{host} leads nowhere");
    }
    let seen = one.heads().join("").to_ascii_lowercase();
    assert!(seen.contains("host: one.test\r\n"), "the app sees the host that was asked for:\n{seen}");
    assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "and who asked:\n{seen}");
    assert!(!seen.contains("three.test"), "nothing else comes to it");
}

async fn wildcards_and_paths(proxy: &dyn Proxy) {
    let mut origins = Vec::new();
    for word in ["root", "api", "v2", "wild"] {
        origins.push(Origin::start(word).await);
    }
    let door = door(proxy).await;
    let mut setup = Setup::new(1).door(door, None);
    for (app, origin) in origins.iter().enumerate() {
        setup = setup.app(app + 1, &[origin], LONG);
    }
    let table = setup
        .route("a.test", None, 1)
        .route("a.test", Some("/api"), 2)
        .route("a.test", Some("/api/v2"), 3)
        .route("*.a.test", None, 4)
        .route("some.a.test", Some("/api"), 2);
    table.apply(proxy).await;
    let cases = [
        ("a.test", "/", "root"),
        ("a.test", "/api", "api"),
        ("a.test", "/api/x?y=/z", "api"),
        ("a.test", "/api?x", "api"),
        ("a.test", "/apix", "root"),
        ("a.test", "/api/v2", "v2"),
        ("a.test", "/api/v2/x", "v2"),
        ("a.test", "/api/v20", "api"),
        ("any.a.test", "/", "wild"),
        ("some.a.test", "/api/x", "api"),
        ("some.a.test", "/", "wild"),
    ];
    let mut client = Client::connect(door).await;
    for (host, path, word) in cases {
        assert_eq!(client.get(host, path).await.body, word, "{host}{path}");
    }
    assert_eq!(client.get("two.labels.a.test", "/").await.status, 404, "a wildcard matches one label");
    let seen = origins[1].heads().join("");
    assert!(seen.contains("GET /api/x?y=/z HTTP/1.1\r\n"), "the path arrives as it was sent:\n{seen}");
}

async fn own_listeners_lead_to_their_app(proxy: &dyn Proxy) {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let (shared, own) = (door(proxy).await, door(proxy).await);
    let setup = Setup::new(1).door(shared, None).door(own, Some(2)).app(1, &[&one], LONG).app(2, &[&two], LONG);
    setup.route("one.test", None, 1).apply(proxy).await;
    let mut client = Client::connect(own).await;
    for host in ["one.test", "127.0.0.1", "[::1]:99", "whatever"] {
        assert_eq!(client.get(host, "/").await.body, "two", "its own listener leads everything to the app");
    }
    assert_eq!(get(shared, "two.test", "/").await.status, 404, "and gives it no host name");

    // The same socket, another app.
    let setup = Setup::new(2).door(shared, None).door(own, Some(1)).app(1, &[&one], LONG).app(2, &[&two], LONG);
    setup.route("one.test", None, 1).apply(proxy).await;
    assert_eq!(client.get("x", "/").await.body, "one", "a listener may change hands without closing connections");
}

/// RFC 9113 by hand: preface, settings, one request; the answer is looked for among the frames.
async fn http2_with_prior_knowledge(proxy: &dyn Proxy) {
    let one = Origin::start("one").await;
    let door = door(proxy).await;
    Setup::new(1).door(door, None).app(1, &[&one], LONG).route("one.test", None, 1).apply(proxy).await;
    let mut client = Client::connect(door).await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.send(&frame(4, 0, 0, b"")).await;
    // HPACK (RFC 7541 appendix A): GET, http, /, and `:authority` with a literal value.
    let headers = [&[0x82, 0x86, 0x84, 0x41, 8], &b"one.test"[..]].concat();
    client.send(&frame(1, 0x5, 1, &headers)).await;
    let (mut status, mut body) = (None, Vec::new());
    loop {
        let mut head = [0; 9];
        ok(client.read(&mut head).await);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; ok(usize::try_from(length))];
        ok(client.read(&mut payload).await);
        let (kind, flags, stream) = (head[3], head[4], head[8]);
        match (kind, stream) {
            (0, 1) => body.extend(payload),
            (1, 1) => status = payload.iter().find(|byte| **byte & 0x80 != 0).copied(),
            (3, 1) | (7, 0) => panic!("the stream was refused: {head:?} {payload:?}"),
            _ => {}
        }
        if stream == 1 && flags & 1 == 1 {
            break;
        }
    }
    assert_eq!(status, Some(0x88), "status 200 is the static entry 8");
    assert_eq!(String::from_utf8_lossy(&body), "one");
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = ok(u8::try_from(payload.len()));
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

async fn bodies_go_both_ways(proxy: &dyn Proxy) {
    let one = Origin::start("one").await;
    let door = door(proxy).await;
    Setup::new(1).door(door, Some(1)).app(1, &[&one], LONG).apply(proxy).await;
    let mut client = Client::connect(door).await;
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(ok(client.response().await).body, "hello", "a body with a length");
    client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send(b"3\r\nabc\r\n").await;
    client.send(b"2\r\nde\r\n0\r\n\r\n").await;
    assert_eq!(ok(client.response().await).body, "abcde", "a body in chunks");
    client.send(request("a", "/stream").as_bytes()).await;
    ok(client.head().await);
    let mut first = [0; 10];
    ok(client.read(&mut first).await);
    assert_eq!(&first, b"5\r\nbegun\r\n", "what an instance has said arrives before it says more");
    one.release();
}

async fn all_instances_serve(proxy: &dyn Proxy) {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let door = door(proxy).await;
    Setup::new(1).door(door, Some(1)).app(1, &[&one, &two], LONG).apply(proxy).await;
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        seen.insert(get(door, "a", "/").await.body);
    }
    assert_eq!(seen, ["one".to_owned(), "two".to_owned()].into(), "every instance in rotation serves");
}

async fn apps_without_instances_say_why(proxy: &dyn Proxy) {
    let door = door(proxy).await;
    let mut setup = Setup::new(1).door(door, Some(1)).app(1, &[], LONG);
    setup.apply(proxy).await;
    let response = get(door, "a", "/").await;
    assert_eq!(response.status, 503, "an app without instances is not available");
    assert!(response.body.contains("app-1"), "the page names it: {}", response.body);
    assert!(response.header("retry-after").is_some(), "it should serve: clients are told to try again");
    setup.table.generation = 2;
    if let Some(target) = setup.table.targets.get_mut(&app_id(1)) {
        target.notice = Some("it was stopped for the winter".to_owned());
    }
    setup.apply(proxy).await;
    let response = get(door, "a", "/").await;
    assert!(response.body.contains("stopped for the winter"), "the page says the notice: {}", response.body);
}

async fn tables_replace_each_other_whole(proxy: &dyn Proxy) {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let door = door(proxy).await;
    let both = Setup::new(1).door(door, None).app(1, &[&one], LONG).app(2, &[&two], LONG);
    both.route("one.test", None, 1).route("two.test", None, 2).apply(proxy).await;
    let mut client = Client::connect(door).await;
    assert_eq!(client.get("one.test", "/").await.body, "one");
    let second = Setup::new(2).door(door, None).app(2, &[&two], LONG).route("new.test", None, 2);
    second.apply(proxy).await;
    assert_eq!(
        client.get("one.test", "/").await.status,
        404,
        "what is not in the table is gone, on old connections too"
    );
    assert_eq!(client.get("two.test", "/").await.status, 404);
    assert_eq!(client.get("new.test", "/").await.body, "two");
    second.apply(proxy).await;
    assert_eq!(client.get("new.test", "/").await.body, "two", "a table may be applied twice");
    let same = Setup::new(2).door(door, None).app(2, &[&two], LONG).route("same.test", None, 2);
    same.apply(proxy).await;
    assert_eq!(client.get("same.test", "/").await.body, "two", "the same generation replaces itself");
}

async fn older_tables_are_ignored(proxy: &dyn Proxy) {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let door = door(proxy).await;
    Setup::new(5).door(door, Some(1)).app(1, &[&one], LONG).apply(proxy).await;
    ok(proxy.apply(&Setup::new(4).door(door, Some(2)).app(2, &[&two], LONG).table).await);
    assert_eq!(ok(proxy.status().await).generation, 5, "the newer one stays in force");
    assert_eq!(get(door, "a", "/").await.body, "one");
}

async fn new_requests_see_the_new_table(proxy: &dyn Proxy) {
    let words = ["one", "two"];
    let origins = [Origin::start(words[0]).await, Origin::start(words[1]).await];
    let door = door(proxy).await;
    let mut kept: Option<Client> = None;
    for generation in 1..=60u64 {
        let turn = usize::from(generation % 2 == 0);
        let setup = Setup::new(generation).door(door, Some(1)).app(1, &[&origins[turn]], LONG);
        setup.apply(proxy).await;
        let client = match &mut kept {
            Some(client) => client,
            none => none.insert(Client::connect(door).await),
        };
        assert_eq!(client.get("a", "/").await.body, words[turn], "the next request, on a connection that was there");
        assert_eq!(get(door, "a", "/").await.body, words[turn], "and on a new one");
    }
}

async fn listeners_open_and_close(proxy: &dyn Proxy) {
    let one = Origin::start("one").await;
    let (first, second) = (door(proxy).await, door(proxy).await);
    Setup::new(1).door(first, Some(1)).app(1, &[&one], LONG).apply(proxy).await;
    let mut slow = Client::connect(first).await;
    slow.send(request("a", "/hold").as_bytes()).await;
    until(proxy, "the request is in flight", |status| status.in_flight.len() == 1).await;

    Setup::new(2).door(second, Some(1)).app(1, &[&one], LONG).apply(proxy).await;
    assert_eq!(get(second, "a", "/").await.body, "one", "a new listener answers");
    assert!(std::net::TcpStream::connect(first).is_err(), "a listener that is not in the table is closed");
    one.release();
    assert_eq!(ok(slow.response().await).body, "one", "what was begun there ends well");

    Setup::new(3).door(first, Some(1)).app(1, &[&one], LONG).apply(proxy).await;
    assert_eq!(get(first, "a", "/").await.body, "one", "a listener may come back");
}

async fn listeners_that_fail_are_reported(proxy: &dyn Proxy) {
    let one = Origin::start("one").await;
    let (good, bad) = (door(proxy).await, door(proxy).await);
    let squatter = ok(std::net::TcpListener::bind(bad));
    let setup = Setup::new(1).door(good, Some(1)).door(bad, Some(1)).app(1, &[&one], LONG);
    ok(proxy.apply(&setup.table).await);
    let failed = ok(proxy.status().await).failed_listeners;
    assert!(failed.get(&bad).is_some_and(|why| !why.is_empty()), "the listener and why it failed: {failed:?}");
    assert_eq!(failed.len(), 1);
    assert_eq!(get(good, "a", "/").await.body, "one", "the others go on");
    drop(squatter);
    ok(proxy.apply(&setup.table).await);
    until(proxy, "the listener opens", |status| status.failed_listeners.is_empty()).await;
    assert_eq!(get(bad, "a", "/").await.body, "one", "it is opened when the port is free");
}

async fn leaving_instances_finish(proxy: &dyn Proxy) {
    let (old, new) = (Origin::start("old").await, Origin::start("new").await);
    let door = door(proxy).await;
    Setup::new(1).door(door, Some(1)).app(1, &[&old], LONG).apply(proxy).await;
    let (mut held, mut stream) = (Client::connect(door).await, Client::connect(door).await);
    held.send(request("a", "/hold").as_bytes()).await;
    stream.send(request("a", "/stream").as_bytes()).await;
    ok(stream.head().await);
    let two = |status: &ProxyStatus| status.in_flight.get(&instance(&old)) == Some(&2);
    until(proxy, "both requests are in flight", two).await;

    Setup::new(2).door(door, Some(1)).app(1, &[&new], LONG).apply(proxy).await;
    assert!(two(&ok(proxy.status().await)), "an instance that left is still counted");
    for _ in 0..10 {
        assert_eq!(get(door, "a", "/").await.body, "new", "but gets nothing new");
    }
    assert_eq!(old.heads().len(), 2);
    old.release();
    let response = ok(held.response().await);
    assert_eq!((response.status, response.body.as_str()), (200, "old"), "a request that was begun ends well");
    assert_eq!(response.header("x-sh0-release"), Some(release(1).to_string().as_str()));
    let mut rest = [0; 25];
    ok(stream.read(&mut rest).await);
    assert_eq!(&rest, b"5\r\nbegun\r\n5\r\nended\r\n0\r\n\r\n", "and so does a response that was begun");
    until(proxy, "nothing is in flight", |status| status.in_flight.is_empty()).await;
    assert_eq!(held.get("a", "/").await.body, "new", "the connection outlives the change");
}

async fn leaving_instances_are_cut_at_their_deadline(proxy: &dyn Proxy) {
    let (old, new) = (Origin::start("old").await, Origin::start("new").await);
    let door = door(proxy).await;
    Setup::new(1).door(door, Some(1)).app(1, &[&old], SHORT).apply(proxy).await;
    let (mut held, mut stream) = (Client::connect(door).await, Client::connect(door).await);
    held.send(request("a", "/hold").as_bytes()).await;
    stream.send(request("a", "/stream").as_bytes()).await;
    ok(stream.head().await);
    until(proxy, "both requests are in flight", |status| status.in_flight.get(&instance(&old)) == Some(&2)).await;

    let left = Instant::now();
    Setup::new(2).door(door, Some(1)).app(1, &[&new], LONG).apply(proxy).await;
    if let Ok(response) = held.response().await {
        assert!(response.status >= 500, "a request that is cut does not succeed: {response:?}");
    }
    assert!(left.elapsed() >= Duration::from(SHORT), "nothing is cut before the deadline of the old target");
    let rest = String::from_utf8_lossy(&stream.rest().await).into_owned();
    assert!(!rest.contains("0\r\n\r\n"), "a response that is cut does not look whole: {rest:?}");
    until(proxy, "nothing is in flight", |status| status.in_flight.is_empty()).await;
    assert_eq!(get(door, "a", "/").await.body, "new");
}

async fn returning_instances_go_on(proxy: &dyn Proxy) {
    let (old, new) = (Origin::start("old").await, Origin::start("new").await);
    let door = door(proxy).await;
    let time = Millis(1500);
    Setup::new(1).door(door, Some(1)).app(1, &[&old], time).apply(proxy).await;
    let mut held = Client::connect(door).await;
    held.send(request("a", "/hold").as_bytes()).await;
    until(proxy, "the request is in flight", |status| !status.in_flight.is_empty()).await;
    Setup::new(2).door(door, Some(1)).app(1, &[&new], time).apply(proxy).await;
    Setup::new(3).door(door, Some(1)).app(1, &[&old], time).apply(proxy).await;
    tokio::time::sleep(Duration::from(time) + Duration::from_millis(500)).await;
    assert_eq!(get(door, "a", "/").await.body, "old", "it serves again");
    old.release();
    assert_eq!(ok(held.response().await).body, "old", "and its drain is called off");
}

async fn websockets_live_until_their_deadline(proxy: &dyn Proxy) {
    let (old, new) = (Origin::start("old").await, Origin::start("new").await);
    let door = door(proxy).await;
    let time = Millis(1000);
    Setup::new(1).door(door, Some(1)).app(1, &[&old], time).apply(proxy).await;
    let mut socket = websocket(door).await;
    ping_pong(&mut socket, 1).await;
    let one = |status: &ProxyStatus| status.in_flight.get(&instance(&old)) == Some(&1);
    until(proxy, "the websocket is in flight", one).await;

    let left = Instant::now();
    Setup::new(2).door(door, Some(1)).app(1, &[&new], LONG).apply(proxy).await;
    assert!(one(&ok(proxy.status().await)), "a websocket counts until it ends");
    ping_pong(&mut socket, 2).await;
    assert_eq!(get(door, "a", "/").await.body, "new");
    let mut close = [0; 4];
    ok(socket.read(&mut close).await);
    assert_eq!(close, [0x88, 2, 0x03, 0xe9], "the deadline is a close frame with 1001 (RFC 6455 section 5.5.1)");
    assert!(left.elapsed() >= Duration::from(time), "which does not come before the deadline");
    // A client answers a close with a close (masked, here with zeros).
    socket.send(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]).await;
    assert!(socket.rest().await.is_empty(), "nothing follows a close");
    until(proxy, "nothing is in flight", |status| status.in_flight.is_empty()).await;
}

async fn others_are_left_alone(proxy: &dyn Proxy) {
    let (mine, old, new) = (Origin::start("mine").await, Origin::start("old").await, Origin::start("new").await);
    let (own, door) = (door(proxy).await, door(proxy).await);
    let setup = |generation: u64| Setup::new(generation).door(own, Some(1)).door(door, Some(2)).app(1, &[&mine], SHORT);
    setup(1).app(2, &[&old], SHORT).apply(proxy).await;
    let mut socket = websocket(own).await;
    let mut stream = Client::connect(own).await;
    stream.send(request("a", "/stream").as_bytes()).await;
    ok(stream.head().await);
    setup(2).app(2, &[&new], SHORT).apply(proxy).await;
    assert_eq!(get(door, "a", "/").await.body, "new");
    tokio::time::sleep(Duration::from(SHORT) * 3).await;
    ping_pong(&mut socket, 1).await;
    mine.release();
    let mut rest = [0; 25];
    ok(stream.read(&mut rest).await);
    assert!(rest.ends_with(b"0\r\n\r\n"), "a change of one app does not touch the streams of another");
    drop(socket);
    until(proxy, "nothing is in flight", |status| status.in_flight.is_empty()).await;
}

async fn requests_are_counted(proxy: &dyn Proxy) {
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let (first, second) = (door(proxy).await, door(proxy).await);
    let setup =
        |generation: u64| Setup::new(generation).door(first, Some(1)).door(second, Some(2)).app(1, &[&one], LONG);
    setup(1).app(2, &[], LONG).apply(proxy).await;
    for _ in 0..3 {
        get(first, "a", "/").await;
    }
    setup(2).app(2, &[&two], LONG).apply(proxy).await;
    for _ in 0..4 {
        get(first, "a", "/").await;
        get(second, "a", "/").await;
    }
    let requests = ok(proxy.status().await).requests;
    assert_eq!(requests.get(&app_id(1)), Some(&7), "requests are counted by app, across tables: {requests:?}");
    assert!(requests.get(&app_id(2)).is_some_and(|count| *count >= 4), "{requests:?}");
}

/// A table in the making.
struct Setup {
    table: RouteTable,
}

impl Setup {
    fn new(generation: u64) -> Setup {
        Setup { table: RouteTable { generation, ..RouteTable::default() } }
    }

    fn door(mut self, addr: SocketAddr, app: Option<usize>) -> Setup {
        self.table.listeners.push(Listener { addr, app: app.map(app_id) });
        self
    }

    fn app(mut self, app: usize, origins: &[&Origin], drain_timeout: Millis) -> Setup {
        let upstreams =
            origins.iter().map(|origin| Upstream { instance: instance(origin), addr: origin.addr }).collect();
        let target = Target {
            name: format!("app-{app}"),
            release: Some(release(app)),
            deployment: None,
            upstreams,
            notice: None,
            drain_timeout,
        };
        self.table.targets.insert(app_id(app), target);
        self
    }

    fn route(mut self, host: &str, path: Option<&str>, app: usize) -> Setup {
        let path = path.map(|path| ok(path.parse()));
        self.table.routes.push(Route { host: ok(host.parse()), path, app: app_id(app) });
        self
    }

    /// Applies it and looks that all listeners are open.
    async fn apply(&self, proxy: &dyn Proxy) {
        ok(proxy.apply(&self.table).await);
        let status = ok(proxy.status().await);
        assert_eq!(status.generation, self.table.generation, "a table is in force when apply returns");
        assert_eq!(status.failed_listeners, BTreeMap::new(), "the ports were free a moment ago");
    }
}

fn app_id(app: usize) -> AppId {
    ok(format!("{app:026}").parse())
}

fn release(app: usize) -> ReleaseId {
    ok(format!("{:026}", app + 100).parse())
}

fn instance(origin: &Origin) -> InstanceName {
    ok(format!("sh0-origin-{}", origin.addr.port()).parse())
}

/// A free address to listen on.
async fn door(proxy: &dyn Proxy) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], ok(proxy.find_port(None, &BTreeSet::new()).await)))
}

/// Opens a websocket with the key of RFC 6455 section 1.3.
async fn websocket(door: SocketAddr) -> Client {
    let mut client = Client::connect(door).await;
    let request = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(request.as_bytes()).await;
    let head = ok(client.head().await);
    assert!(head.starts_with("HTTP/1.1 101"), "a websocket opens: {head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "with the instance's own answer: {head}");
    client
}

/// Sends a small masked text frame and gets the same bytes back.
async fn ping_pong(socket: &mut Client, number: u8) {
    let frame = [0x81, 0x81, 1, 2, 3, 4, number ^ 1];
    socket.send(&frame).await;
    let mut back = [0; 7];
    ok(socket.read(&mut back).await);
    assert_eq!(back, frame, "bytes pass as they are");
}

/// Waits until the status is as it should be.
async fn until(proxy: &dyn Proxy, what: &str, mut holds: impl FnMut(&ProxyStatus) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = ok(proxy.status().await);
        if holds(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s, but {status:?}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
