//! What the tests of the proxy share: raw origins, and a proxy with one app in front of them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sh0_core::model::{AppId, InstanceName, Millis, ReleaseId, Upstream};
use sh0_core::traits::{Listener, Proxy, ProxyStatus, Route, RouteTable, Target};
use sh0_services::proxy::embedded::{EmbeddedProxy, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub async fn soon<F: std::future::Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("this takes too long")
}

/// A proxy in this process with one app at one host name and a listener.
pub struct Site {
    pub proxy: EmbeddedProxy,
    pub door: SocketAddr,
    host: String,
    generation: Mutex<u64>,
}

impl Site {
    pub async fn of(host: &str, upstreams: &[SocketAddr]) -> Site {
        Site::with(Options::default(), host, upstreams).await
    }

    pub async fn with(options: Options, host: &str, upstreams: &[SocketAddr]) -> Site {
        let proxy = EmbeddedProxy::with(options);
        let door = free_door(&proxy).await;
        let site = Site { proxy, door, host: host.to_owned(), generation: Mutex::new(0) };
        site.serve(upstreams, 600_000).await;
        site
    }

    /// The next table: these upstreams, each with so long to drain.
    pub async fn serve(&self, upstreams: &[SocketAddr], drain_millis: u64) {
        let generation = {
            let mut generation = self.generation.lock().unwrap();
            *generation += 1;
            *generation
        };
        let table = table(generation, self.door, &self.host, upstreams, drain_millis);
        self.proxy.apply(&table).await.unwrap();
        let failed = self.proxy.status().await.unwrap().failed_listeners;
        assert!(failed.is_empty(), "{failed:?}");
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&ProxyStatus) -> bool) {
        until(&self.proxy, what, holds).await;
    }
}

pub async fn until(proxy: &dyn Proxy, what: &str, holds: impl Fn(&ProxyStatus) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = proxy.status().await.unwrap();
        if holds(&status) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn free_door(proxy: &dyn Proxy) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], proxy.find_port(None, &BTreeSet::new()).await.unwrap()))
}

pub fn table(generation: u64, door: SocketAddr, host: &str, upstreams: &[SocketAddr], drain_millis: u64) -> RouteTable {
    let app: AppId = format!("{:026}", 1).parse().unwrap();
    let release: ReleaseId = format!("{:026}", upstreams.first().map_or(0, SocketAddr::port)).parse().unwrap();
    let target = Target {
        name: host.to_owned(),
        release: Some(release),
        deployment: None,
        upstreams: upstreams.iter().map(|addr| Upstream { instance: instance(*addr), addr: *addr }).collect(),
        notice: None,
        drain_timeout: Millis(drain_millis),
    };
    RouteTable {
        generation,
        listeners: vec![Listener { addr: door, app: None }],
        routes: vec![Route { host: host.parse().unwrap(), path: None, app }],
        targets: [(app, target)].into(),
    }
}

pub fn instance(addr: SocketAddr) -> InstanceName {
    format!("sh0-at-{}", addr.port()).parse().unwrap()
}

/// An origin that records every byte that comes, and answers each head that ends with the same bytes.
pub struct Recorder {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Recorder {
    pub async fn start() -> Recorder {
        Recorder::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await
    }

    pub async fn answering(answer: &str) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (record, answer) = (seen.clone(), answer.to_owned());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(record_one(stream, record.clone(), answer.clone()));
            }
        });
        Recorder { addr, seen, task }
    }

    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record_one(mut stream: TcpStream, record: Arc<Mutex<Vec<u8>>>, answer: String) -> Option<()> {
    let mut own: Vec<u8> = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 {
            return None;
        }
        record.lock().unwrap().extend_from_slice(&buffer[..count]);
        own.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&own).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        // A body in chunks is whole with its last one (and trailers), any other with its length.
        let whole = if head.contains("transfer-encoding: chunked") {
            body.ends_with("\r\n\r\n") && (body.contains("\r\n0\r\n") || body.starts_with("0\r\n"))
        } else {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            body.len() >= length.unwrap_or(0)
        };
        if whole {
            own.clear();
            stream.write_all(answer.as_bytes()).await.ok()?;
            if answer.is_empty() || answer.to_ascii_lowercase().contains("connection: close") {
                return None;
            }
        }
    }
}

/// Sends bytes on a new connection and reads what comes, until the other side ends it or has said nothing for a while.
pub async fn exchange(door: SocketAddr, raw: &[u8]) -> String {
    let mut stream = soon(TcpStream::connect(door)).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let write = async {
        // A refusal may come, and the connection end, before all was sent.
        let _ = writer.write_all(raw).await;
        std::future::pending::<()>().await
    };
    let read = async {
        let mut buffer = [0; 16 * 1024];
        loop {
            let quiet = if answer.is_empty() { PATIENCE } else { Duration::from_millis(100) };
            match tokio::time::timeout(quiet, reader.read(&mut buffer)).await {
                Ok(Ok(count @ 1..)) => answer.extend_from_slice(&buffer[..count]),
                _ => return,
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
    String::from_utf8_lossy(&answer).into_owned()
}
