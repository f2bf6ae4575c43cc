//! A platform that records and plays, and a plain HTTP client that can send what a good one would not.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};
use sh0::auth::{Principal, Role};
use sh0::model::{Exit, LogStream, TokenId};
use sh0::ops::{Dispatch, OpDef};
use sh0::traits::{ByteStream, Session, SessionInput, Terminal};
use sh0::{Code, Error, Platform, Result, Sh0};
use sh0_server::{ServeOptions, Server, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

/// What the fake platform was asked.
#[derive(Default)]
pub struct Fake {
    pub calls: Mutex<Vec<(String, String, Value)>>,
    /// `platform.doctor` waits for it.
    pub gate: Notify,
    pub waiting: Notify,
    /// Streams stop after so many items, but do not end: only a new connection gets the rest.
    pub stall_after: Option<usize>,
    /// Woken when a session of this platform was dropped before its end.
    pub killed: Arc<Notify>,
}

pub const ITEMS: u64 = 10;
pub const UPLOAD_LIMIT: u64 = 48 * 1024 * 1024;

pub fn token_id() -> TokenId {
    "01jcz0000000000000000000ab".parse().unwrap()
}

#[async_trait]
impl Platform for FakePlatform {
    async fn authenticate(&self, token: &str) -> Result<Principal> {
        match token {
            "admin" => Ok(Principal::token(token_id(), "boss", Role::Admin)),
            "reader" => Ok(Principal::token(token_id(), "looker", Role::ReadOnly)),
            _ => Err(Error::new(Code::Unauthorized, "the token is not known")),
        }
    }

    fn as_caller(&self, principal: Principal, _: String) -> Arc<dyn Dispatch> {
        Arc::new(FakeCaller { fake: self.0.clone(), principal })
    }

    async fn stopped(&self) -> bool {
        std::future::pending().await
    }

    async fn shutdown(&self, _: bool) -> Result<()> {
        Ok(())
    }
}

pub struct FakePlatform(pub Arc<Fake>);

struct FakeCaller {
    fake: Arc<Fake>,
    principal: Principal,
}

impl FakeCaller {
    fn note(&self, op: &OpDef, input: &Value) -> Result<()> {
        if !self.principal.may(op.meta.permission) {
            return Err(Error::new(Code::Forbidden, "the role lacks the permission"));
        }
        self.fake.calls.lock().unwrap().push((self.principal.to_string(), op.meta.name.to_owned(), input.clone()));
        Ok(())
    }
}

#[async_trait]
impl Dispatch for FakeCaller {
    async fn call(&self, op: &'static OpDef, input: Value) -> Result<Value> {
        self.note(op, &input)?;
        match op.meta.name {
            "platform.doctor" => {
                self.fake.waiting.notify_one();
                self.fake.gate.notified().await;
                Ok(json!({ "items": [] }))
            }
            "apps.delete" => Ok(Value::Null),
            "apps.get" => Err(Error::not_found("app", "nobody")),
            "apps.create" => Err(Error::invalid("name", "is taken", "choose another")),
            _ => Ok(json!({ "items": [], "input": input })),
        }
    }

    async fn stream(&self, op: &'static OpDef, input: Value) -> Result<BoxStream<'static, Result<Value>>> {
        self.note(op, &input)?;
        if input.get("process") == Some(&json!("broken")) {
            let items = [Ok(json!({ "cursor": 1 })), Err(Error::not_found("log", "x")), Ok(json!({ "cursor": 2 }))];
            return Ok(stream::iter(items).boxed());
        }
        let after = input.get("after").and_then(Value::as_u64).unwrap_or(0);
        let items = stream::iter(after + 1..=ITEMS).map(|n| Ok(json!({ "cursor": n, "text": format!("line\n{n}") })));
        match self.fake.stall_after {
            Some(count) => Ok(items.take(count).chain(stream::pending()).boxed()),
            None => Ok(items.boxed()),
        }
    }

    async fn upload(&self, op: &'static OpDef, input: Value, mut bytes: ByteStream) -> Result<Value> {
        self.note(op, &input)?;
        let mut size = 0;
        while let Some(piece) = bytes.next().await {
            size += piece?.len() as u64;
            if size > UPLOAD_LIMIT {
                return Err(Error::new(Code::TooLarge, "the archive is larger than the limit"));
            }
        }
        Ok(json!({ "id": "01jcz0000000000000000000ab", "size": size }))
    }

    /// Echoes its input; a resize is told on standard error; the end of input is the end, with code 7.
    async fn duplex(&self, op: &'static OpDef, input: Value) -> Result<Session> {
        self.note(op, &input)?;
        let (sender, receiver) = mpsc::channel(1);
        let guard = Killed(Some(self.fake.killed.clone()));
        let output = stream::unfold((receiver, guard), |(mut receiver, mut guard)| async move {
            match receiver.recv().await {
                Some(Some(piece)) => Some((Ok(piece), (receiver, guard))),
                Some(None) => {
                    guard.0.take();
                    None
                }
                // The input was dropped.
                None => std::future::pending().await,
            }
        });
        Ok(Session {
            input: Box::new(Echo(sender)),
            output: output.boxed(),
            exit: async { Ok(Exit { code: 7, oom: false }) }.boxed(),
        })
    }
}

struct Killed(Option<Arc<Notify>>);

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(notify) = self.0.take() {
            notify.notify_one();
        }
    }
}

struct Echo(mpsc::Sender<Option<(LogStream, Bytes)>>);

#[async_trait]
impl SessionInput for Echo {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.0.send(Some((LogStream::Stdout, bytes))).await.map_err(|_| Error::unavailable("closed"))
    }
    async fn close(&mut self) -> Result<()> {
        self.0.send(None).await.map_err(|_| Error::unavailable("closed"))
    }
    async fn resize(&mut self, size: Terminal) -> Result<()> {
        let text = Bytes::from(format!("{}x{}", size.cols, size.rows));
        self.0.send(Some((LogStream::Stderr, text))).await.map_err(|_| Error::unavailable("closed"))
    }
}

/// A server over a fake platform, on a Unix socket and on loopback.
pub struct Bench {
    pub fake: Arc<Fake>,
    pub server: Server,
    pub dir: tempfile::TempDir,
}

impl Bench {
    pub async fn new(fake: Fake) -> Bench {
        let fake = Arc::new(fake);
        let dir = tempfile::tempdir().unwrap();
        let server = serve(over(&fake), options(&dir)).await.unwrap();
        Bench { fake, server, dir }
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.tcp()[0]
    }

    pub async fn over_unix(&self) -> Sh0 {
        Sh0::connect(sh0::Target::unix(self.server.unix_socket().unwrap()), None).await.unwrap()
    }

    pub async fn over_tcp(&self, token: &str) -> Sh0 {
        let target = format!("http://{}", self.addr()).parse().unwrap();
        Sh0::connect(target, Some(sh0::Secret::new(token))).await.unwrap()
    }

    pub fn calls(&self) -> Vec<(String, String, Value)> {
        std::mem::take(&mut *self.fake.calls.lock().unwrap())
    }
}

pub fn over(fake: &Arc<Fake>) -> Sh0 {
    Sh0::hosting(Arc::new(FakePlatform(fake.clone())))
}

pub fn options(dir: &tempfile::TempDir) -> ServeOptions {
    ServeOptions {
        unix_socket: Some(dir.path().join("sh0.sock")),
        tcp: vec![([127, 0, 0, 1], 0).into()],
        allowed_hosts: vec!["sh0.test".into()],
    }
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"), "{self:?}");
        problem
    }
}

/// Sends a request as written, byte for byte, and reads until the server closes.
pub async fn raw(addr: SocketAddr, head: &str, body: &[u8]) -> Answer {
    exchange(addr, head, body, |_| false).await
}

/// The same, but does not wait for the end of a stream of events.
pub async fn raw_but_endless(addr: SocketAddr, head: &str, body: &[u8]) -> Answer {
    exchange(addr, head, body, |answer| {
        let text = String::from_utf8_lossy(answer);
        text.contains("\r\n\r\n") && text.contains("content-type: text/event-stream")
    })
    .await
}

async fn exchange(addr: SocketAddr, head: &str, body: &[u8], enough: impl Fn(&[u8]) -> bool) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = head.trim().replace('\n', "\r\n");
    stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    // The server may refuse before it has read everything.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    while stream.read_buf(&mut answer).await.unwrap() > 0 && !enough(&answer) {}
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
