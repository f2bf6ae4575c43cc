//! Requests that nobody honest sends, as raw bytes: what the client gets, and what the app behind may see of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod proxy_support;

use proxy_support::{Recorder, Site, exchange, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What an origin may see.
enum Seen {
    /// Nothing.
    Nothing,
    /// At most the beginning of one request, never its end.
    Unfinished,
    /// Exactly this many requests, each without any of these words, all with the others.
    Requests { count: usize, with: &'static [&'static str], without: &'static [&'static str] },
}

use Seen::{Nothing, Requests, Unfinished};

struct Case {
    name: &'static str,
    raw: &'static [u8],
    /// Status of the first answer; 0 when the connection ends without one.
    status: u16,
    seen: Seen,
}

const fn refused(name: &'static str, raw: &'static [u8], status: u16) -> Case {
    Case { name, raw, status, seen: Nothing }
}

const fn passed(
    name: &'static str,
    raw: &'static [u8],
    with: &'static [&'static str],
    without: &'static [&'static str],
) -> Case {
    Case { name, raw, status: 200, seen: Requests { count: 1, with, without } }
}

const CASES: &[Case] = &[
    // Framing: two ways to read where a body ends are one too many (RFC 9112 section 6.3).
    passed(
        "content-length and chunked: the length goes, the connection too",
        b"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
        &["transfer-encoding: chunked"],
        &["content-length", "/smuggled"],
    ),
    passed(
        "chunked and content-length, the other way round",
        b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
        &["transfer-encoding: chunked"],
        &["content-length", "/smuggled"],
    ),
    refused("two lengths that differ", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    refused("a list of lengths", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2, 2\r\n\r\nab", 400),
    refused("length +2", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: +2\r\n\r\nab", 400),
    refused("length 0x2", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0x2\r\n\r\nab", 400),
    refused("length -1", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: -1\r\n\r\nab", 400),
    refused("empty length", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: \r\n\r\nab", 400),
    refused("length beyond 2^64", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 18446744073709551617\r\n\r\nab", 400),
    refused("xchunked", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    refused("chunked, identity", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    refused("gzip, chunked", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    refused("two transfer-encodings", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    refused("a vertical tab before chunked", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    refused("chunked in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    refused("a space before the colon", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length : 2\r\n\r\nab", 400),
    refused("a space in a name", b"GET / HTTP/1.1\r\nHost: a.test\r\nX y: 1\r\n\r\n", 400),
    refused("a folded line", b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\n 2\r\n\r\n", 400),
    refused("a bare CR in a value", b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A: 1\rX-B: 2\r\n\r\n", 400),
    refused("a NUL in a value", b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A: a\x00b\r\n\r\n", 400),
    refused("no name", b"GET / HTTP/1.1\r\nHost: a.test\r\n: 1\r\n\r\n", 400),
    refused("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: a.test\r\n\r\n", 400),
    refused("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: a.test\r\n\r\n", 400),
    refused("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    // The client's own chunks are wrong: that is its fault (400), not the app's (502).
    Case { name: "a chunk size that is no number", raw: b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n", status: 400, seen: Unfinished },
    Case { name: "a chunk size that is negative", raw: b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n0\r\n\r\n", status: 400, seen: Unfinished },
    Case { name: "a chunk size beyond 2^64", raw: b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nab\r\n0\r\n\r\n", status: 400, seen: Unfinished },
    Case { name: "a bare LF in a chunk extension", raw: b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2;x\nab\r\n0\r\n\r\n", status: 400, seen: Unfinished },
    Case { name: "a chunk that is longer than it says", raw: b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", status: 400, seen: Unfinished },
    passed(
        "trailers cannot change framing or who asked",
        b"POST /a HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nTrailer: x-sum, content-length, x-forwarded-for\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\nX-Forwarded-For: 6.6.6.6\r\nHost: evil\r\n\r\n",
        &["x-sum: 7"],
        &["content-length: 9", "6.6.6.6", "evil"],
    ),
    passed("lines that end with a bare LF are written anew", b"GET /a HTTP/1.1\nHost: a.test\nX-A: 1\n\n", &["get /a http/1.1\r\n", "x-a: 1\r\n"], &[]),
    passed("pipelined", b"GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: a.test\r\n\r\n", &["get /a "], &["/b"]),
    // The host: one, and nothing but a host (RFC 9112 section 3.2).
    refused("two hosts", b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n", 400),
    refused("the same host twice", b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", 400),
    refused("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
    refused("an empty host", b"GET / HTTP/1.1\r\nHost: \r\n\r\n", 400),
    refused("user information in the host", b"GET / HTTP/1.1\r\nHost: evil@a.test\r\n\r\n", 400),
    refused("a path in the host", b"GET / HTTP/1.1\r\nHost: a.test/evil\r\n\r\n", 400),
    refused("a list of hosts", b"GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", 400),
    refused("a port that is none", b"GET / HTTP/1.1\r\nHost: a.test:80:80\r\n\r\n", 400),
    refused("a target for another host", b"GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    refused("a target with user information", b"GET http://u:p@a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    refused("a target with another scheme", b"GET ftp://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    refused("a target without Host header", b"GET http://a.test/ HTTP/1.1\r\n\r\n", 400),
    passed("a target for the same host", b"GET http://A.test:80/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n", &["get /x?y http/1.1", "host: a.test"], &["http://a.test"]),
    passed("a fragment never leaves", b"GET /x#/admin HTTP/1.1\r\nHost: a.test\r\n\r\n", &["get /x http/1.1"], &["admin"]),
    // Methods that are for proxies, or tell what a proxy added.
    refused("CONNECT", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 405),
    refused("TRACE", b"TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", 405),
    passed("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", &["options * http/1.1"], &[]),
    refused("an expectation nobody knows", b"GET / HTTP/1.1\r\nHost: a.test\r\nExpect: 200-ok\r\n\r\n", 417),
    // Who asked is for the proxy to say.
    passed(
        "forged forwarding headers",
        b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /evil\r\nProxy: http://evil\r\n\r\n",
        &["x-forwarded-for: 127.0.0.1\r\n", "x-real-ip: 127.0.0.1\r\n", "x-forwarded-proto: http\r\n", "x-forwarded-host: a.test\r\n"],
        &["6.6.6.6", "https", "evil", "443"],
    ),
    passed(
        "Connection cannot name away what the proxy says",
        b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: X-Forwarded-For, X-Real-IP, Host, X-Gone\r\nX-Gone: 1\r\n\r\n",
        &["x-forwarded-for: 127.0.0.1\r\n", "x-real-ip: 127.0.0.1\r\n", "host: a.test\r\n"],
        &["x-gone", "connection:"],
    ),
    // An upgrade that would leave the proxy blind (h2c smuggling).
    passed(
        "h2c",
        b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        &["get / http/1.1"],
        &["upgrade", "http2-settings"],
    ),
    passed("a websocket, or else h2c", b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", &["get / http/1.1"], &["upgrade"]),
    passed("hop by hop", b"GET / HTTP/1.1\r\nHost: a.test\r\nKeep-Alive: 9\r\nProxy-Connection: x\r\nProxy-Authorization: Basic x\r\nTE: gzip\r\nX-Stays: 1\r\n\r\n", &["x-stays: 1"], &["keep-alive", "proxy-", "te: gzip"]),
];

#[tokio::test]
async fn corpus() {
    let mut wrong = Vec::new();
    for case in CASES {
        if let Err(why) = check(case).await {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CASES.len(), wrong.join("\n---\n"));
}

async fn check(case: &Case) -> Result<(), String> {
    let recorder = Recorder::start().await;
    let site = Site::of("a.test", &[recorder.addr]).await;
    let answer = exchange(site.door, case.raw).await;
    let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    if status != case.status {
        return Err(format!("{status}, not {}: {answer:?}", case.status));
    }
    let seen = recorder.seen().to_ascii_lowercase();
    match &case.seen {
        Nothing if seen.is_empty() => {}
        Nothing => return Err(format!("the app sees {seen:?}")),
        Unfinished if !seen.contains("0\r\n\r\n") => {}
        Unfinished => return Err(format!("the app sees the end of {seen:?}")),
        Requests { count, with, without } => {
            let requests = seen.matches(" http/1.1\r\n").count();
            if requests != *count {
                return Err(format!("{requests} requests reach the app, not {count}: {seen:?}"));
            }
            if let Some(word) = with.iter().find(|word| !seen.contains(**word)) {
                return Err(format!("the app does not see {word:?}: {seen:?}"));
            }
            if let Some(word) = without.iter().find(|word| seen.contains(**word)) {
                return Err(format!("the app sees {word:?}: {seen:?}"));
            }
        }
    }
    // The proxy is as it was.
    let after = exchange(site.door, b"GET /after HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    match after.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => Err(format!("the next request is not answered: {after:?}")),
    }
}

/// The head and a good chunk are with the app already when the bad one comes.
#[tokio::test]
async fn a_body_that_breaks_half_way() {
    for rest in ["zz\r\n", "3\r\nabcd\r\n0\r\n\r\n"] {
        let recorder = Recorder::start().await;
        let site = Site::of("a.test", &[recorder.addr]).await;
        let mut client = TcpStream::connect(site.door).await.unwrap();
        client
            .write_all(b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n")
            .await
            .unwrap();
        while !recorder.seen().contains("good") {
            tokio::task::yield_now().await;
        }
        client.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(client.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "its own fault, not the app's: {answer:?}");
        assert!(!recorder.seen().contains("0\r\n\r\n"), "the app does not take it for whole: {:?}", recorder.seen());
    }
}

#[tokio::test]
async fn heads_that_are_too_large() {
    let recorder = Recorder::start().await;
    let site = Site::of("a.test", &[recorder.addr]).await;
    let with = |extra: String| format!("GET / HTTP/1.1\r\nHost: a.test\r\n{extra}\r\n");
    let many = |count: usize| with((0..count).map(|n| format!("X-{n}: 1\r\n")).collect());
    let long = |length: usize| with(format!("X-Long: {}\r\n", "a".repeat(length)));
    let cases = [
        (many(120), "200"),
        (many(200), "431"),
        (long(60_000), "200"),
        (long(70_000), "431"),
        (long(1_000_000), "431"),
        (format!("GET /{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "a".repeat(200_000)), "4"),
    ];
    for (request, status) in cases {
        let answer = exchange(site.door, request.as_bytes()).await;
        let line = answer.lines().next().unwrap_or_default();
        let found = line.strip_prefix("HTTP/1.1 ").unwrap_or_default();
        assert!(found.starts_with(status), "{} bytes: {line:?}, not {status}", request.len());
    }
}

#[tokio::test]
async fn responses_are_cleaned_too() {
    let answers: &[(&str, &[&str], &[&str])] = &[
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            &["transfer-encoding: chunked", "hello"],
            &["content-length"],
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Gone\r\nX-Gone: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nX-Sh0-Release: forged\r\n\r\nok",
            &["content-length: 2", "x-sh0-release: 0000000000"],
            &["x-gone", "keep-alive:", "upgrade", "forged"],
        ),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", &["502"], &["101"]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", &["502"], &["abc"]),
        ("nonsense\r\n\r\n", &["502", "a.test"], &["nonsense"]),
        ("", &["502"], &[]),
    ];
    for (raw, with, without) in answers {
        let origin = Recorder::answering(raw).await;
        let site = Site::of("a.test", &[origin.addr]).await;
        let answer = exchange(site.door, b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
        let answer = answer.to_ascii_lowercase();
        for word in *with {
            assert!(answer.contains(word), "{raw:?}: `{word}` in {answer}");
        }
        for word in *without {
            assert!(!answer.contains(word), "{raw:?}: no `{word}` in {answer}");
        }
    }
}

#[tokio::test]
async fn pages_speak_the_language_that_was_asked_for() {
    let site = Site::of("a.test", &[]).await;
    let text = exchange(site.door, b"GET / HTTP/1.1\r\nHost: <b>.test\r\nConnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    let html =
        exchange(site.door, b"GET / HTTP/1.1\r\nHost: b.test\r\nAccept: text/html,*/*\r\nConnection: close\r\n\r\n")
            .await;
    assert!(html.starts_with("HTTP/1.1 404") && html.contains("text/html") && html.contains("<p>"), "{html}");
    let text = exchange(site.door, b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("text/plain") && text.contains("a.test"), "{text}");
}
