//! Every kind of operation, from the client of crate `sh0` through a real socket to a platform that records and plays.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Bench, Fake, ITEMS, UPLOAD_LIMIT, options, over};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use sh0::model::LogStream;
use sh0::ops::apps::{DeleteApp, GetApp};
use sh0::ops::find;
use sh0::traits::Terminal;
use sh0::{Code, Error, Sh0};

fn cursors(items: &[serde_json::Value]) -> Vec<u64> {
    items.iter().map(|item| item["cursor"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn values_go_both_ways() {
    let bench = Bench::new(Fake::default()).await;
    for (platform, who) in [(bench.over_unix().await, "local:"), (bench.over_tcp("admin").await, "token:boss")] {
        platform.call(DeleteApp { app: "shop/web".parse().unwrap(), keep_volumes: true }).await.unwrap();
        let missing = platform.call(GetApp { app: "web".parse().unwrap() }).await.unwrap_err();
        assert_eq!((missing.code(), missing.detail()), (Code::NotFound, "there is no app `nobody`"));
        let input = json!({ "app": "web", "vars": { "KEY": "a=b & $c 'ü\n😀" }, "stage": true });
        let echoed = platform.dispatch().call(find("env.set").unwrap(), input.clone()).await.unwrap();
        assert_eq!(echoed["input"]["vars"], input["vars"]);
        let refused = platform.dispatch().call(find("apps.create").unwrap(), json!({ "name": "x" })).await.unwrap_err();
        assert_eq!((refused.code(), refused.fields()[0].hint.as_str()), (Code::Invalid, "choose another"));
        let calls = bench.calls();
        assert!(calls.iter().all(|(caller, _, _)| caller.starts_with(who)), "{calls:?}");
        assert_eq!(calls[0].1, "apps.delete");
        assert_eq!(calls[0].2, json!({ "app": "shop/web", "keep_volumes": true }));
    }
}

#[tokio::test]
async fn a_stream_ends_and_fails_as_its_source_does() {
    let bench = Bench::new(Fake::default()).await;
    let door = bench.over_unix().await.dispatch();
    let follow = find("logs.follow").unwrap();
    let items: Vec<_> =
        door.stream(follow, json!({ "app": "web", "after": 3 })).await.unwrap().try_collect().await.unwrap();
    assert_eq!(cursors(&items), (4..=ITEMS).collect::<Vec<_>>());
    assert_eq!(items[0]["text"], "line\n4");

    let mut broken = door.stream(follow, json!({ "app": "web", "process": "broken" })).await.unwrap();
    assert_eq!(broken.next().await.unwrap().unwrap()["cursor"], 1);
    assert_eq!(broken.next().await.unwrap().unwrap_err().detail(), "there is no log `x`");
    assert!(broken.next().await.is_none());

    let refused = door.stream(follow, json!({ "app": "NOT A NAME" })).await.err().unwrap();
    assert_eq!(refused.code(), Code::Invalid);
}

#[tokio::test]
async fn a_stream_goes_on_with_a_new_server() {
    let bench = Bench::new(Fake { stall_after: Some(4), ..Fake::default() }).await;
    let door = bench.over_unix().await.dispatch();
    let mut items = door.stream(find("logs.follow").unwrap(), json!({ "app": "web", "tail": 5 })).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(items.next().await.unwrap().unwrap());
    }
    // The server goes; another one comes to the same socket. The stream does not notice.
    let first = bench.calls();
    bench.server.shutdown().await;
    let fake = Arc::new(Fake::default());
    let server = sh0_server::serve(over(&fake), options(&bench.dir)).await.unwrap();
    seen.extend(items.try_collect::<Vec<_>>().await.unwrap());
    assert_eq!(cursors(&seen), (1..=ITEMS).collect::<Vec<_>>(), "nothing twice, nothing missing");
    assert_eq!(first.last().unwrap().2["tail"], 5);
    let second = fake.calls.lock().unwrap().clone();
    assert_eq!(second[0].2, json!({ "app": "default/web", "after": 4 }), "without `tail`, which would skip");
    server.shutdown().await;
}

#[tokio::test]
async fn a_stream_gives_up_when_the_server_stays_away() {
    let bench = Bench::new(Fake { stall_after: Some(1), ..Fake::default() }).await;
    let door = bench.over_unix().await.dispatch();
    let mut items = door.stream(find("logs.follow").unwrap(), json!({ "app": "web" })).await.unwrap();
    items.next().await.unwrap().unwrap();
    bench.server.shutdown().await;
    tokio::time::pause();
    let error = items.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(items.next().await.is_none());
}

#[tokio::test]
async fn uploads_are_streamed_and_refused_with_a_reason() {
    let bench = Bench::new(Fake::default()).await;
    let upload = find("sources.upload").unwrap();
    let piece = Bytes::from(vec![7_u8; 1024 * 1024]);
    let pieces = |count: usize| stream::iter(vec![piece.clone(); count]).map(Ok).boxed();
    for (platform, token) in [(bench.over_unix().await, None), (bench.over_tcp("admin").await, Some("reader"))] {
        let stored = platform.dispatch().upload(upload, json!({}), pieces(32)).await.unwrap();
        assert_eq!(stored["size"], 32 * 1024 * 1024);
        let refused = platform.dispatch().upload(upload, json!({}), pieces(64)).await.unwrap_err();
        assert_eq!(refused.code(), Code::TooLarge, "{refused:?}; the limit is {UPLOAD_LIMIT}");
        if let Some(token) = token {
            let reader = bench.over_tcp(token).await;
            let refused = reader.dispatch().upload(upload, json!({}), pieces(64)).await.unwrap_err();
            assert_eq!(refused.code(), Code::Forbidden, "{refused:?}");
        }
        let source = stream::iter(vec![Ok(piece.clone()), Err(Error::new(Code::NoSpace, "the source broke"))]).boxed();
        let broken = platform.dispatch().upload(upload, json!({}), source).await.unwrap_err();
        assert_eq!((broken.code(), broken.detail()), (Code::NoSpace, "the source broke"), "the caller's own error");
    }
}

#[tokio::test]
async fn a_session_carries_bytes_sizes_and_the_exit() {
    let bench = Bench::new(Fake::default()).await;
    for platform in [bench.over_unix().await, bench.over_tcp("admin").await] {
        let input = json!({ "app": "web", "command": ["sh", "-c", "a b & c"], "terminal": { "rows": 24, "cols": 80 } });
        let mut session = platform.dispatch().duplex(find("instances.exec").unwrap(), input.clone()).await.unwrap();
        assert_eq!(bench.calls()[0].2["command"], input["command"]);
        let large = Bytes::from((0..300_000_u32).map(|n| n as u8).collect::<Vec<_>>());
        session.input.write(large.clone()).await.unwrap();
        let mut echoed = Vec::new();
        while echoed.len() < large.len() {
            let (stream, bytes) = session.output.next().await.unwrap().unwrap();
            assert_eq!(stream, LogStream::Stdout);
            echoed.extend_from_slice(&bytes);
        }
        assert_eq!(echoed, large);
        session.input.resize(Terminal { rows: 50, cols: 132 }).await.unwrap();
        assert_eq!(session.output.next().await.unwrap().unwrap(), (LogStream::Stderr, Bytes::from("132x50")));
        session.input.close().await.unwrap();
        assert!(session.output.next().await.is_none());
        assert_eq!(session.exit.await.unwrap().code, 7);
    }
}

/// What lies on the way of a websocket, and writes every address into its log.
#[tokio::test]
async fn what_is_run_does_not_travel_in_an_address() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    let proxy = tokio::spawn(async move {
        let (mut seen, mut heads) = (Vec::new(), 0);
        while heads < 2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.split();
            let mut lines = BufReader::new(read).lines();
            while let Some(line) = lines.next_line().await.unwrap() {
                let ended = line.is_empty();
                seen.push(line);
                if ended {
                    heads += 1;
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";
                    tokio::io::AsyncWriteExt::write_all(&mut write, answer.as_bytes()).await.unwrap();
                    break;
                }
            }
        }
        seen
    });
    let door = Sh0::connect(target.parse().unwrap(), None).await.unwrap().dispatch();
    let input = json!({ "app": "web", "command": ["psql", "hunter2"], "env": { "PASSWORD": "hunter2" } });
    door.duplex(find("instances.run").unwrap(), input).await.err().expect("it is no server");
    let seen = proxy.await.unwrap();
    let with_secrets: Vec<_> = seen.iter().filter(|line| line.contains("hunter2")).collect();
    assert!(seen.iter().any(|line| line == "GET /api/v1/projects/default/apps/web/run HTTP/1.1"), "{seen:?}");
    assert!(with_secrets.len() == 1 && with_secrets[0].starts_with("sh0-input: "), "{seen:?}");
}

#[tokio::test]
async fn variables_of_a_run_arrive_byte_for_byte() {
    let bench = Bench::new(Fake::default()).await;
    let nasty = "$HOME ${x} `id` \"q\" 'y' \\ \n\r\t\u{7f} = ü 😀 \u{202e}";
    let large = "ü".repeat(9_000);
    let input = json!({ "app": "web", "command": ["env", nasty], "env": { "NASTY": nasty, "LARGE": large } });
    for platform in [bench.over_unix().await, bench.over_tcp("admin").await] {
        let mut session = platform.dispatch().duplex(find("instances.run").unwrap(), input.clone()).await.unwrap();
        session.input.close().await.unwrap();
        assert!(session.output.next().await.is_none());
        assert_eq!(session.exit.await.unwrap().code, 7);
        let endless = json!({ "app": "web", "command": ["env"], "env": { "LARGE": "x".repeat(70_000) } });
        let refused = platform.dispatch().duplex(find("instances.run").unwrap(), endless).await.err().unwrap();
        assert!(refused.code() == Code::TooLarge && refused.detail().contains("standard input"), "{refused:?}");
    }
    for (_, _, seen) in bench.calls() {
        assert!(seen["env"] == input["env"] && seen["command"] == input["command"], "{seen}");
    }
}

#[tokio::test]
async fn dropping_a_session_ends_the_command() {
    let bench = Bench::new(Fake::default()).await;
    let input = json!({ "app": "web", "command": ["cat"] });
    let door = bench.over_unix().await.dispatch();
    let session = door.duplex(find("instances.exec").unwrap(), input.clone()).await.unwrap();
    drop(session);
    bench.fake.killed.notified().await;

    let mut session = door.duplex(find("instances.exec").unwrap(), input).await.unwrap();
    bench.server.shutdown().await;
    bench.fake.killed.notified().await;
    while let Some(piece) = session.output.next().await {
        piece.unwrap();
    }
    assert_eq!(session.exit.await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn requests_in_flight_finish_when_the_server_ends() {
    let bench = Bench::new(Fake::default()).await;
    let door = bench.over_tcp("admin").await.dispatch();
    let asked = tokio::spawn(async move { door.call(find("platform.doctor").unwrap(), json!({})).await });
    bench.fake.waiting.notified().await;
    let (addr, socket) = (bench.addr(), bench.dir.path().join("sh0.sock"));
    let ending = tokio::spawn(bench.server.shutdown());
    while tokio::net::TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    bench.fake.gate.notify_one();
    assert_eq!(asked.await.unwrap().unwrap(), json!({ "items": [] }));
    ending.await.unwrap();
    assert!(!socket.exists(), "the socket is removed");
    let gone = Sh0::connect(sh0::Target::unix(&socket), None).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable);
    assert!(gone.detail().contains("`sh0 serve`"), "{gone}");
}

#[tokio::test]
async fn what_is_no_server_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let error = Sh0::connect(format!("http://{free}").parse().unwrap(), None).await.unwrap_err();
    assert!(error.detail().contains("no sh0 server answers at") && error.detail().contains("`sh0 serve`"), "{error}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = listener.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await.unwrap();
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    let error = Sh0::connect(format!("http://{other}").parse().unwrap(), None).await.unwrap_err();
    assert!(error.detail().contains("not a sh0 server"), "{error}");
    answering.await.unwrap();
}

#[tokio::test]
async fn a_key_that_does_not_fit_is_told() {
    let bench = Bench::new(Fake::default()).await;
    let socket = bench.server.unix_socket().unwrap().to_owned();
    let file = bench.dir.path().join("sh0.sock.key");
    let key = std::fs::read_to_string(&file).unwrap();
    let connect = |token: Option<&str>| Sh0::connect(sh0::Target::unix(&socket), token.map(sh0::Secret::new));
    for wrong in [None, Some("00000000000000000000000000000000"), Some("no key")] {
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, wrong.unwrap_or_default()).unwrap();
        let error = connect(None).await.unwrap_err();
        assert_eq!(error.code(), Code::Forbidden);
        assert!(error.detail().contains("`<socket>.key`"), "{error}");
    }
    connect(Some("admin")).await.unwrap();
    // One that cannot be read; a folder is that for root too.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let error = connect(None).await.unwrap_err();
    assert!(error.code() == Code::Forbidden && error.detail().contains("sh0.sock.key"), "{error}");
    std::fs::remove_dir(&file).unwrap();

    // The next server takes the key that is there, so that clients of the last one go on.
    std::fs::write(&file, &key).unwrap();
    let mut private = std::fs::metadata(&file).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut private, 0o600);
    std::fs::set_permissions(&file, private).unwrap();
    let client = connect(None).await.unwrap();
    bench.server.shutdown().await;
    let next = sh0_server::serve(over(&bench.fake), options(&bench.dir)).await.unwrap();
    client.call(sh0::ops::projects::ListProjects::default()).await.unwrap();
    drop(next);
}

#[tokio::test]
async fn a_second_server_does_not_take_the_socket_and_a_dead_one_is_replaced() {
    let bench = Bench::new(Fake::default()).await;
    let taken = sh0_server::serve(over(&bench.fake), options(&bench.dir)).await.err().unwrap();
    assert_eq!(taken.code(), Code::Conflict);
    bench.over_unix().await;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sh0.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a socket file that nobody listens on");
    let server = sh0_server::serve(over(&bench.fake), options(&dir)).await.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left but its key");
    drop(server);
    assert!(!path.exists());
}
