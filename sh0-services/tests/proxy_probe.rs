//! Probes against real sockets that behave and misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod proxy_support;

use std::net::SocketAddr;

use proxy_support::{Recorder, soon};
use sh0_core::model::{HealthCheck, Millis};
use sh0_core::traits::{Probe, Prober};
use sh0_services::probe::HttpProber;
use tokio::net::TcpListener;

fn check(path: Option<&str>, timeout: u64) -> HealthCheck {
    HealthCheck { path: path.map(|path| path.parse().unwrap()), timeout: Millis(timeout), ..HealthCheck::default() }
}

async fn probe(addr: SocketAddr, check: HealthCheck) -> Probe {
    soon(HttpProber::new().probe(addr, &check)).await
}

#[tokio::test]
async fn answers() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Probe::Healthy),
        ("HTTP/1.1 204 No Content\r\n\r\n", Probe::Healthy),
        ("HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello", Probe::Healthy),
        ("HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", Probe::Healthy),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Probe::Status(404)),
        ("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n", Probe::Status(503)),
    ];
    for (answer, expected) in cases {
        let app = Recorder::answering(answer).await;
        assert_eq!(probe(app.addr, check(Some("/up"), 5000)).await, expected, "{answer}");
    }
}

#[tokio::test]
async fn what_is_asked() {
    let app = Recorder::start().await;
    for _ in 0..2 {
        assert_eq!(probe(app.addr, check(Some("/healthz"), 5000)).await, Probe::Healthy);
    }
    let seen = app.seen();
    assert_eq!(seen.matches("GET /healthz HTTP/1.1\r\n").count(), 2, "{seen}");
    assert!(seen.contains(&format!("host: {}\r\n", app.addr)) && seen.contains("connection: close\r\n"), "{seen}");
}

#[tokio::test]
async fn what_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    assert_eq!(probe(addr, check(None, 5000)).await, Probe::Healthy, "a connection is enough without a path");
    let silent = probe(addr, check(Some("/"), 100)).await;
    assert!(matches!(&silent, Probe::Unreachable(why) if why.contains("did not answer within 100 ms")), "{silent:?}");
    drop(listener);
    assert_eq!(probe(addr, check(None, 5000)).await, Probe::Refused);
    assert_eq!(probe(addr, check(Some("/"), 5000)).await, Probe::Refused);

    let closing = Recorder::answering("").await;
    let closed = probe(closing.addr, check(Some("/"), 5000)).await;
    assert!(matches!(&closed, Probe::Unreachable(why) if why.contains("without an answer")), "{closed:?}");
    let other = Recorder::answering("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
    let other = probe(other.addr, check(Some("/"), 5000)).await;
    assert!(matches!(&other, Probe::Unreachable(why) if why.contains("not HTTP")), "{other:?}");
}
