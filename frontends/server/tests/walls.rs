//! What the server refuses, and how: byte for byte, as a client that means no good would send it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use common::{Answer, Bench, Fake, raw};
use serde_json::{Value, json};
use sh0::ops;

const BEARER: &str = "host: localhost\nauthorization: Bearer admin\n";

async fn post(bench: &Bench, path: &str, headers: &str, body: &[u8]) -> Answer {
    let head = format!("POST /api/v1{path} HTTP/1.1\n{BEARER}{headers}content-length: {}", body.len());
    raw(bench.addr(), &head, body).await
}

async fn get(bench: &Bench, path: &str, headers: &str) -> Answer {
    raw(bench.addr(), &format!("GET {path} HTTP/1.1\n{headers}"), b"").await
}

#[tokio::test]
async fn bodies_are_json_of_a_bounded_size() {
    let bench = Bench::new(Fake::default()).await;
    let json = "content-type: application/json\n";
    let cases: [(&str, &[u8], u16); 10] = [
        (json, b"{\"name\":\"a\"}", 200),
        ("content-type: application/JSON; charset=utf-8\n", b"{\"name\":\"a\"}", 200),
        (json, b"", 200),
        ("", b"", 200),
        ("", b"{\"name\":\"a\"}", 415),
        ("content-type: text/plain\n", b"{\"name\":\"a\"}", 415),
        ("content-type: application/x-www-form-urlencoded\n", b"name=a", 415),
        (json, b"{\"name\":", 400),
        (json, b"\xff\xfe", 400),
        (json, b"[1]", 422),
    ];
    for (headers, body, status) in cases {
        let answer = post(&bench, "/projects", headers, body).await;
        assert_eq!(answer.status, status, "{headers}{body:?}: {answer:?}");
        if status >= 400 {
            answer.problem();
        }
    }
    let large = format!("{{\"name\":\"{}\"}}", "a".repeat(3 * 1024 * 1024));
    let answer = post(&bench, "/projects", json, large.as_bytes()).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.problem()["code"], "too_large");
    let deep = "[".repeat(500_000);
    assert_eq!(post(&bench, "/projects", json, deep.as_bytes()).await.status, 400);
}

#[tokio::test]
async fn paths_methods_and_ids() {
    let bench = Bench::new(Fake::default()).await;
    for (line, status, code) in [
        ("GET /api/v1/nothing", 404, "not_found"),
        ("GET /", 404, "not_found"),
        ("GET /api/v1/projects/a/../../../etc/passwd", 404, "not_found"),
        ("DELETE /api/v1/projects", 405, "invalid"),
        ("OPTIONS /api/v1/projects", 405, "invalid"),
        ("GET /api/v1/projects/default/apps/web/exec", 426, "invalid"),
        ("GET /api/v1/projects?a=%ff&a=1&a=2", 422, "invalid"),
        ("GET /api/v1/projects/%ff/apps", 400, "invalid"),
    ] {
        let answer = raw(bench.addr(), &format!("{line} HTTP/1.1\n{BEARER}"), b"").await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert_eq!(answer.problem()["code"], code, "{line}");
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    let first = get(&bench, "/healthz", BEARER).await;
    let second = get(&bench, "/healthz", BEARER).await;
    assert_eq!((first.status, first.body.as_str()), (200, "ok\n"));
    assert!(first.header("x-request-id").is_some_and(|id| id.len() == 26));
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    assert_eq!(get(&bench, "/readyz", "host: localhost").await.status, 200);
    let document = get(&bench, "/api/v1/openapi.json", "host: localhost").await;
    assert_eq!(serde_json::from_str::<Value>(&document.body).unwrap()["openapi"], "3.1.0");
    let endless = format!("x-padding: {}", "a".repeat(200_000));
    assert_eq!(get(&bench, "/healthz", &format!("host: localhost\n{endless}")).await.status, 431);
}

#[tokio::test]
async fn tcp_needs_a_token_and_the_role_counts() {
    let bench = Bench::new(Fake::default()).await;
    for header in [
        "",
        "authorization: Bearer\n",
        "authorization: Bearer wrong\n",
        "authorization: Basic YWRtaW46\n",
        "authorization: admin\n",
        "cookie: token=admin\n",
    ] {
        let answer = get(&bench, "/api/v1/projects", &format!("host: localhost\n{header}")).await;
        assert_eq!(answer.status, 401, "{header}");
        assert_eq!(answer.problem()["code"], "unauthorized");
        assert!(answer.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")));
    }
    let reader = "host: localhost\nauthorization: bearer reader\n";
    assert_eq!(get(&bench, "/api/v1/projects", reader).await.status, 200);
    assert_eq!(get(&bench, "/api/v1/tokens", reader).await.status, 403);
    let upgrade = "connection: upgrade\nupgrade: websocket\nsec-websocket-version: 13\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\n";
    let exec = "/api/v1/projects/default/apps/web/exec";
    let upgrade = &format!("{upgrade}sh0-input: {{\"command\":[\"id\"]}}\n");
    let answer = raw_upgrade(&bench, exec, &format!("{reader}{upgrade}")).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let answer = raw_upgrade(&bench, exec, &format!("{BEARER}{upgrade}origin: http://evil.com\n")).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(bench.calls().iter().all(|(_, op, _)| op == "projects.list"), "nothing else has come through");
}

/// Like `raw`, without its own `connection` header.
async fn raw_upgrade(bench: &Bench, path: &str, headers: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(bench.addr()).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\n{headers}\n").replace('\n', "\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut head = vec![0; 4096];
    let read = stream.read(&mut head).await.unwrap();
    String::from_utf8_lossy(&head[..read]).into_owned()
}

#[tokio::test]
async fn no_web_page_gets_in() {
    let bench = Bench::new(Fake::default()).await;
    let port = bench.addr().port();
    let token = "authorization: Bearer admin\n";
    for headers in [
        "host: evil.com\n".to_owned(),
        format!("host: localhost:{port}\norigin: http://evil.com\n"),
        format!("host: localhost:{port}\norigin: http://hello.localhost:{port}\n"),
        format!("host: localhost:{port}\norigin: null\n"),
        format!("host: localhost:{port}\nsec-fetch-site: cross-site\n"),
        format!("host: localhost:{port}\nsec-fetch-site: same-site\n"),
        "host: localhost\nhost: evil.com\n".to_owned(),
    ] {
        for op in ops::all() {
            let method = ops::openapi::method(op).as_str();
            let line = format!("{method} /api/v1{} HTTP/1.1", op.meta.path);
            let answer = raw(bench.addr(), &format!("{line}\n{headers}{token}"), b"").await;
            assert_eq!(answer.status, 403, "{line} {headers}");
            assert_eq!(answer.problem()["code"], "forbidden");
        }
        assert_eq!(get(&bench, "/readyz", &headers).await.status, 403, "{headers}");
    }
    for host in ["sh0.test", "localhost", "127.0.0.1", &bench.addr().to_string()] {
        assert_eq!(get(&bench, "/healthz", &format!("host: {host}\n")).await.status, 200, "{host}");
    }
    assert!(bench.calls().is_empty());
}

/// The other half of the next test: runs as another user, in a process of its own.
#[test]
fn as_another_user() {
    use std::io::{Read, Write};
    let Some(socket) = std::env::var_os("SH0_TEST_SOCKET") else { return };
    let mut answer = String::new();
    match std::os::unix::net::UnixStream::connect(PathBuf::from(socket)) {
        Err(error) => answer = format!("not connected: {:?}", error.kind()),
        Ok(mut stream) => {
            let shown = std::env::var("SH0_TEST_HEADER").map(|header| header + "\r\n").unwrap_or_default();
            write!(stream, "GET /api/v1/projects HTTP/1.1\r\nhost: localhost\r\n{shown}connection: close\r\n\r\n")
                .unwrap();
            stream.read_to_string(&mut answer).unwrap();
        }
    }
    println!("answer: {}", answer.lines().next().unwrap_or_default());
}

#[tokio::test]
async fn another_local_user_is_refused() {
    let bench = Bench::new(Fake::default()).await;
    let socket = bench.server.unix_socket().unwrap().to_owned();
    let key = std::fs::read_to_string(bench.dir.path().join("sh0.sock.key")).unwrap();
    let ask = |uid: Option<u32>, exe: PathBuf, header: &str| {
        let mut command = Command::new(exe);
        command.args(["--exact", "as_another_user", "--nocapture"]).env_clear().env("SH0_TEST_SOCKET", &socket);
        if !header.is_empty() {
            command.env("SH0_TEST_HEADER", header);
        }
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        tokio::task::spawn_blocking(move || String::from_utf8(command.output().unwrap().stdout).unwrap())
    };
    let this = std::env::current_exe().unwrap();
    let shown = format!("sh0-key: {key}");
    let owner = ask(None, this.clone(), &shown).await.unwrap();
    assert!(owner.contains("answer: HTTP/1.1 200"), "{owner}");
    // Where sh0 is not root, an app is a process of the same user: it can connect, but not read the key.
    for header in ["", "sh0-key: ", "sh0-key: 00000000000000000000000000000000", &format!("{shown}0")] {
        let app = ask(None, this.clone(), header).await.unwrap();
        assert!(app.contains("answer: HTTP/1.1 403"), "{header}: {app}");
    }
    let holder = ask(None, this.clone(), "authorization: Bearer admin").await.unwrap();
    assert!(holder.contains("answer: HTTP/1.1 200"), "a token is as good as over TCP: {holder}");
    let wrong = ask(None, this.clone(), "authorization: Bearer nobody").await.unwrap();
    assert!(wrong.contains("answer: HTTP/1.1 401"), "{wrong}");
    assert_eq!(bench.calls().len(), 2, "the owner's and the holder's");
    if !rustix::process::geteuid().is_root() {
        // Only root can be somebody else.
        return;
    }
    // The other user must be able to reach both the program and the socket's folder.
    let open = tempfile::tempdir().unwrap();
    let exe = open.path().join("test");
    std::fs::copy(&this, &exe).unwrap();
    for path in [open.path(), bench.dir.path(), &exe] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let stranger = ask(Some(65534), exe.clone(), &shown).await.unwrap();
    assert!(stranger.contains("answer: not connected: PermissionDenied"), "{stranger}");
    // Even where the file's mode would let them in.
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o666)).unwrap();
    let stranger = ask(Some(65534), exe, &shown).await.unwrap();
    assert!(stranger.contains("answer: HTTP/1.1 403"), "{stranger}");
    assert_eq!(bench.calls().len(), 0, "nothing of a stranger's");
}

#[tokio::test]
async fn the_head_of_a_stream_and_its_events() {
    let bench = Bench::new(Fake::default()).await;
    let path = "/api/v1/projects/default/apps/web/logs/follow?tail=2";
    let answer = get(&bench, path, &format!("{BEARER}last-event-id: 8")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let events: Vec<&str> = answer.body.lines().filter(|line| line.contains(": ")).collect();
    let item = |n: u64| json!({ "cursor": n, "text": format!("line\n{n}") }).to_string();
    let expected = [
        "id: 9".to_owned(),
        format!("data: {}", item(9)),
        "id: 10".into(),
        format!("data: {}", item(10)),
        "event: end".into(),
        "data: {}".into(),
    ];
    assert_eq!(events, expected);
    assert_eq!(bench.calls()[0].2, json!({ "app": "default/web", "after": 8 }));
}
