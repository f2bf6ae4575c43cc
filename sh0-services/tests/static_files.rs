//! The file server, over real connections.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sh0_services::static_files::{Options, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(60);

struct Site {
    addr: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    dir: tempfile::TempDir,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
        self.head.lines().find(|text| line(text)).map(|line| &line[name.len() + 2..])
    }
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Site {
    async fn new(spa: bool, files: &[(&str, &str)]) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("public");
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, root, Options { spa }, async {
            let _ = stopped.await;
        }));
        Site { addr, stop: Some(stop), served, dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Raw bytes: a client library would tidy up the paths.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut socket = TcpStream::connect(self.addr).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, socket.read_to_end(&mut bytes)).await.unwrap().unwrap();
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[split + 4..].to_vec() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }
}

#[tokio::test]
async fn pages_and_what_is_missing() {
    let site = Site::new(
        false,
        &[
            ("index.html", "home"),
            ("about.html", "about us"),
            ("docs/index.html", "docs"),
            ("a b/ü.txt", "spaces"),
            ("404.html", "own page for nothing"),
            (".env", "SECRET"),
            (".well-known/acme", "known"),
            ("empty", ""),
        ],
    )
    .await;
    for (path, status, body) in [
        ("/", 200, "home"),
        ("/index.html", 200, "home"),
        ("/about", 200, "about us"),
        ("/docs/", 200, "docs"),
        ("/?x=1", 200, "home"),
        ("/a%20b/%C3%BC.txt", 200, "spaces"),
        ("/.well-known/acme", 200, "known"),
        ("/empty", 200, ""),
        ("/nothing", 404, "own page for nothing"),
        ("/about.html/", 404, "own page for nothing"),
        ("/index.html/x", 404, "own page for nothing"),
        ("/.env", 404, "There is nothing here.\n"),
        ("/../public/index.html", 404, "There is nothing here.\n"),
        ("/%2e%2e/public/index.html", 404, "There is nothing here.\n"),
        ("/..%2fpublic/index.html", 404, "There is nothing here.\n"),
        ("/%00", 404, "There is nothing here.\n"),
    ] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{path}");
    }
    let redirect = site.get("/docs?x=1").await;
    assert_eq!((redirect.status, redirect.header("location")), (308, Some("/docs/?x=1")));
    let page = site.get("/").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("content-length"), Some("4"));
    let head = site.ask("HEAD", "/", "").await;
    assert_eq!((head.status, head.header("content-length"), head.text()), (200, Some("4"), ""));
    let post = site.ask("POST", "/", "content-length: 0\r\n").await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn symlinks_stay_inside() {
    let site = Site::new(false, &[("file", "inside"), ("404.html", "no")]).await;
    fs::write(site.path().join("secret"), "outside").unwrap();
    fs::create_dir(site.path().join("other")).unwrap();
    fs::write(site.path().join("other/index.html"), "outside").unwrap();
    for (link, target) in [("good", "file"), ("bad", "../secret"), ("folder", "../other"), ("page.html", "../secret")] {
        std::os::unix::fs::symlink(target, site.path().join("public").join(link)).unwrap();
    }
    let pipe = std::process::Command::new("mkfifo").arg(site.path().join("public/pipe")).status().unwrap();
    assert!(pipe.success());
    assert_eq!(site.get("/good").await.text(), "inside");
    for path in ["/bad", "/folder/", "/folder", "/folder/index.html", "/page", "/page.html", "/pipe"] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.text()), (404, "no"), "{path}");
    }
}

#[tokio::test]
async fn a_single_page_app_has_one_page() {
    let site = Site::new(true, &[("index.html", "app"), ("app.js", "code")]).await;
    assert_eq!(site.get("/any/route").await.text(), "app");
    assert_eq!(site.get("/app.js").await.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(site.get("/old-app.js").await.status, 404, "a missing script is not a page");
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let site = Site::new(false, &[("file.txt", "0123456789")]).await;
    let first = site.get("/file.txt").await;
    let (tag, date) = (first.header("etag").unwrap(), first.header("last-modified").unwrap());
    for headers in [
        format!("if-none-match: {tag}\r\n"),
        format!("if-none-match: \"other\", W/{tag}\r\n"),
        "if-none-match: *\r\n".to_owned(),
        format!("if-modified-since: {date}\r\n"),
    ] {
        let answer = site.ask("GET", "/file.txt", &headers).await;
        assert_eq!((answer.status, answer.text(), answer.header("etag")), (304, "", Some(tag)), "{headers}");
    }
    for headers in [
        "if-none-match: \"other\"\r\n".to_owned(),
        "if-modified-since: Thu, 01 Jan 1998 00:00:00 GMT\r\n".to_owned(),
        "if-modified-since: nonsense\r\n".to_owned(),
        format!("if-none-match: \"other\"\r\nif-modified-since: {date}\r\n"),
    ] {
        assert_eq!(site.ask("GET", "/file.txt", &headers).await.status, 200, "{headers}");
    }
    let path = site.path().join("public/file.txt");
    fs::write(&path, "abcdefghij").unwrap();
    let changed = site.ask("GET", "/file.txt", &format!("if-none-match: {tag}\r\n")).await;
    assert_eq!((changed.status, changed.text()), (200, "abcdefghij"));
}

#[tokio::test]
async fn parts_of_files() {
    let big: String = (0..40_000).map(|n| format!("{n:07}\n")).collect();
    let site = Site::new(false, &[("small", "0123456789"), ("big", &big)]).await;
    let part = site.ask("GET", "/small", "range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.text(), part.header("content-range")), (206, "234", Some("bytes 2-4/10")));
    let none = site.ask("GET", "/small", "range: bytes=10-\r\n").await;
    assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */10")));
    let stale = site.ask("GET", "/small", "range: bytes=2-4\r\nif-range: \"old\"\r\n").await;
    assert_eq!((stale.status, stale.text()), (200, "0123456789"));
    assert_eq!(site.get("/big").await.text(), big, "more than one chunk");
    let tail = site.ask("GET", "/big", "range: bytes=-200000\r\n").await;
    assert_eq!((tail.status, tail.text()), (206, &big[big.len() - 200_000..]));
}

#[tokio::test]
async fn compressed_files_beside_are_sent_to_who_takes_them() {
    let site = Site::new(false, &[("app.js", "plain"), ("app.js.br", "BR"), ("app.js.gz", "GZ"), ("x.js", "x")]).await;
    let accept = |what: &'static str| format!("accept-encoding: {what}\r\n");
    let mut tags = Vec::new();
    for (headers, body, encoding) in [
        (String::new(), "plain", None),
        (accept("gzip, br"), "BR", Some("br")),
        (accept("gzip"), "GZ", Some("gzip")),
        (accept("br;q=0, gzip;q=0.1"), "GZ", Some("gzip")),
        (accept("br") + "range: bytes=0-99\r\n", "plain", None),
    ] {
        let answer = site.ask("GET", "/app.js", &headers).await;
        assert_eq!((answer.text(), answer.header("content-encoding")), (body, encoding), "{headers}");
        assert_eq!(answer.header("vary"), Some("accept-encoding"));
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"));
        tags.push(answer.header("etag").unwrap().to_owned());
    }
    assert!(tags[0] != tags[1] && tags[1] != tags[2], "every encoding has a tag of its own: {tags:?}");
    assert_eq!(site.ask("GET", "/x.js", &accept("br")).await.header("vary"), None);
}

#[tokio::test]
async fn http2_and_a_graceful_end() {
    let text = "z".repeat(3_000_000);
    let mut site = Site::new(false, &[("index.html", "two"), ("big", &text)]).await;
    let socket = TcpStream::connect(site.addr).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request =
        |path: &str| http::Request::get(format!("http://{}{path}", site.addr)).body(Empty::<Bytes>::new()).unwrap();
    let answer = client.send_request(request("/")).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "two");
    let slow = client.send_request(request("/big")).await.unwrap();
    site.stop.take().unwrap().send(()).unwrap();
    let body = tokio::time::timeout(PATIENCE, slow.into_body().collect()).await.unwrap().unwrap().to_bytes();
    assert_eq!(body.len(), text.len(), "an answer that was begun is finished");
    drop(client);
    tokio::time::timeout(PATIENCE, &mut site.served).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(site.addr).await.is_err(), "nobody listens any more");
    let _ = driver.await;
}
