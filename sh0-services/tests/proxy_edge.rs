//! The edge as a process: it outlives its control plane, comes back with its table, and goes when it is told to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod proxy_support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proxy_support::{Recorder, exchange, free_door, soon, table, until};
use sh0_core::Code;
use sh0_core::engine::{Backends, Engine};
use sh0_core::testkit::fakes::{FakeStore, World, app, call};
use sh0_core::traits::Proxy;
use sh0_services::proxy::edge::{EdgeCommand, EdgeOptions, EdgeProxy, EdgeSupervisor, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

fn command() -> EdgeCommand {
    EdgeCommand { program: env!("CARGO_BIN_EXE_sh0-edge").into(), args: Vec::new() }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A backup of the store was put back: its revisions are below the generation that the edge has in force.
#[tokio::test]
async fn an_edge_takes_the_table_of_an_older_store() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::start(&dir.path().join("edge")).await;
    let edge = watched.supervisor.proxy();
    let lost = Recorder::start().await;
    let door = free_door(&*edge).await;
    edge.apply(&table(1_000_000, door, "a.test", &[lost.addr], 1000)).await.unwrap();

    let world = World::new(FakeStore::default());
    let backends = || Backends { proxy: edge.clone(), ..world.backends() };
    let engine = Engine::open(backends(), world.config.clone()).await.unwrap();
    until(&*edge, "the older store's table", |status| status.generation > 1_000_000).await;
    let before = edge.status().await.unwrap().generation;
    let shop = call(&engine, app("shop")).await.unwrap();
    until(&*edge, "a change", |status| status.generation > before).await;
    let own = (std::net::Ipv4Addr::LOCALHOST, shop.port).into();
    assert!(exchange(own, GET).await.contains("it was not deployed yet"));
    assert!(TcpStream::connect(door).await.is_err(), "what the store does not know is gone");

    // And so it stays at the next start of the control plane.
    engine.shutdown(false).await.unwrap();
    let before = edge.status().await.unwrap().generation;
    let engine = Engine::open(backends(), world.config.clone()).await.unwrap();
    until(&*edge, "the table after a restart", |status| status.generation > before).await;
    let before = edge.status().await.unwrap().generation;
    let second = call(&engine, app("second")).await.unwrap();
    until(&*edge, "a change after a restart", |status| status.generation > before).await;
    let own = (std::net::Ipv4Addr::LOCALHOST, second.port).into();
    assert!(exchange(own, GET).await.contains("it was not deployed yet"));
    engine.shutdown(false).await.unwrap();
    watched.stop().await;
}

/// A supervisor, and the task that restarts the edge; both end with the edge at `stop`.
struct Watched {
    supervisor: Arc<EdgeSupervisor>,
    task: tokio::task::JoinHandle<()>,
}

impl Watched {
    async fn start(dir: &Path) -> Watched {
        let supervisor = Arc::new(EdgeSupervisor::spawn_or_adopt(command(), dir).await.unwrap());
        let own = supervisor.clone();
        let task = tokio::spawn(async move { own.supervise(CancellationToken::new()).await });
        Watched { supervisor, task }
    }

    async fn stop(self) {
        self.supervisor.stop(Duration::ZERO).await.unwrap();
        soon(self.task).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_edge_comes_back_with_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("run/edge");
    let app = Recorder::start().await;
    let watched = Watched::start(&dir).await;
    let proxy = watched.supervisor.proxy();
    let door = free_door(&*proxy).await;
    proxy.apply(&table(7, door, "a.test", &[app.addr], 1000)).await.unwrap();
    assert!(exchange(door, GET).await.starts_with("HTTP/1.1 200"));
    assert_eq!((mode(&dir), mode(&dir.join("edge.sock")), mode(&dir.join("edge.json"))), (0o700, 0o600, 0o600));

    let first = watched.supervisor.pid().await.unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
    let session = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, first.to_string(), "it leads a session of its own (proc_pid_stat(5), field 6)");

    kill(first);
    until(&*proxy, "the edge is back with its table", |status| status.generation == 7).await;
    assert!(exchange(door, GET).await.starts_with("HTTP/1.1 200"), "and serves without being told anything");

    // A disk that lost the table: the control plane has it.
    std::fs::write(dir.join("edge.json"), "lost").unwrap();
    kill(watched.supervisor.pid().await.filter(|pid| *pid != first).unwrap_or_else(|| second_pid(&dir, first)));
    until(&*proxy, "the edge has its table again", |status| status.generation == 7).await;
    assert!(exchange(door, GET).await.starts_with("HTTP/1.1 200"));
    watched.stop().await;
    assert!(TcpStream::connect(door).await.is_err(), "a stopped edge listens no more");
}

/// The edge that runs for `dir`, found by its command line.
fn second_pid(dir: &Path, not: u32) -> u32 {
    let socket = dir.join("edge.sock").to_string_lossy().into_owned();
    let pids =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let runs =
        |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&socket));
    pids.filter(|pid| *pid != not).find(runs).unwrap()
}

#[tokio::test]
async fn an_edge_outlives_its_supervisor_and_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let app = Recorder::start().await;
    let first = EdgeSupervisor::spawn_or_adopt(command(), dir.path()).await.unwrap();
    let door = free_door(&*first.proxy()).await;
    first.proxy().apply(&table(1, door, "a.test", &[app.addr], 1000)).await.unwrap();
    let pid = first.pid().await.unwrap();
    drop(first);
    assert!(exchange(door, GET).await.starts_with("HTTP/1.1 200"), "nobody supervises, apps answer");

    let second = EdgeSupervisor::spawn_or_adopt(command(), dir.path()).await.unwrap();
    assert_eq!(second.pid().await, Some(pid), "the same process");
    assert_eq!(second.proxy().status().await.unwrap().generation, 1);
    let other = EdgeOptions::new(dir.path().join("edge.sock"), dir.path().join("edge.json"));
    assert_eq!(run(other).await.unwrap_err().code(), Code::Conflict, "there is one edge at a socket");
    second.stop(Duration::ZERO).await.unwrap();
    assert!(!Path::new(&format!("/proc/{pid}/exe")).exists(), "its process is gone");
}

#[tokio::test]
async fn stop_lets_requests_end() {
    let dir = tempfile::tempdir().unwrap();
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let supervisor = Arc::new(EdgeSupervisor::spawn_or_adopt(command(), dir.path()).await.unwrap());
    let door = free_door(&*supervisor.proxy()).await;
    let addr = slow.local_addr().unwrap();
    supervisor.proxy().apply(&table(1, door, "a.test", &[addr], 1000)).await.unwrap();
    let mut client = TcpStream::connect(door).await.unwrap();
    client.write_all(GET).await.unwrap();
    let (mut app, _) = soon(slow.accept()).await.unwrap();
    assert!(soon(app.read(&mut [0; 1024])).await.unwrap() > 0);

    let own = supervisor.clone();
    let stopping = tokio::spawn(async move { own.stop(Duration::from_secs(30)).await });
    while TcpStream::connect(door).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // While the old one finishes, the next one serves already: that is how a new version takes over.
    let next = EdgeSupervisor::spawn_or_adopt(command(), dir.path()).await.unwrap();
    assert_eq!(next.proxy().status().await.unwrap().generation, 1, "with the table of the old one");
    drop(TcpStream::connect(door).await.unwrap());

    app.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.unwrap();
    let mut answer = String::new();
    soon(client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    soon(stopping).await.unwrap().unwrap();
    next.stop(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn an_edge_of_another_version_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("edge.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let name = socket.clone();
    // An old edge: says who it is, and goes when told to.
    let old = tokio::spawn(async move {
        let mut orders = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Some(order) = order(&mut stream).await {
                let stop = order.contains("stop");
                if stop {
                    std::fs::remove_file(&name).unwrap();
                }
                say(
                    &mut stream,
                    if stop { "\"done\"" } else { r#"{"pong":{"version":"0.0.0","pid":1,"generation":3}}"# },
                )
                .await;
                orders.push(order);
                if stop {
                    return orders;
                }
            }
        }
    });
    let supervisor = EdgeSupervisor::spawn_or_adopt(command(), dir.path()).await.unwrap();
    let orders = soon(old).await.unwrap();
    assert_eq!(orders.len(), 2, "{orders:?}");
    assert_eq!(supervisor.proxy().status().await.unwrap().generation, 0);
    supervisor.stop(Duration::ZERO).await.unwrap();
}

async fn order(stream: &mut UnixStream) -> Option<String> {
    let mut bytes = vec![0; stream.read_u32().await.ok()? as usize];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(String::from_utf8(bytes).unwrap())
}

fn framed(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}

async fn say(stream: &mut UnixStream, text: &str) {
    stream.write_all(&framed(text.len())).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn nonsense_on_the_socket_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = EdgeSupervisor::spawn_or_adopt(command(), dir.path()).await.unwrap();
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0\0\x02{}", b"\xff\xff\xff\xff", b"\0\0\0\x05\"pi", b""] {
        let mut stream = UnixStream::connect(dir.path().join("edge.sock")).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = soon(stream.read_to_end(&mut rest)).await;
        assert!(rest.is_empty(), "no answer to what is no order");
    }
    assert_eq!(supervisor.proxy().status().await.unwrap().generation, 0);
    supervisor.stop(Duration::ZERO).await.unwrap();
}

/// As an app could, which is a process of the same user where sh0 is not root.
#[tokio::test]
async fn who_does_not_show_the_key_gives_no_orders() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = EdgeSupervisor::spawn_or_adopt(command(), dir.path()).await.unwrap();
    let socket = dir.path().join("edge.sock");
    let file = dir.path().join("edge.sock.key");
    assert_eq!(mode(&file), 0o600);
    let key = std::fs::read_to_string(&file).unwrap();
    let ask = async |first: String| {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        // In one piece: who is refused is hung up on before a second one could be written.
        let orders = [first.as_str(), r#""ping""#].map(|order| [&framed(order.len())[..], order.as_bytes()].concat());
        stream.write_all(&orders.concat()).await.unwrap();
        (soon(order(&mut stream)).await, soon(order(&mut stream)).await)
    };
    for first in [
        r#""ping""#,
        r#"{"stop":{"grace":0}}"#,
        r#"{"key":""}"#,
        &format!(r#"{{"key":"{}"}}"#, key.replace(key.chars().next().unwrap(), "g")),
    ] {
        assert_eq!(ask(first.to_owned()).await, (None, None), "{first}");
    }
    // Much that is announced is not read.
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    stream.write_u32(64 * 1024 * 1024).await.unwrap();
    assert_eq!(soon(order(&mut stream)).await, None);
    let (done, pong) = ask(format!(r#"{{"key":"{key}"}}"#)).await;
    assert_eq!(done.as_deref(), Some("\"done\""));
    assert!(pong.unwrap().contains("pong"));
    assert_eq!(supervisor.proxy().status().await.unwrap().generation, 0, "it still serves its control plane");

    // The key stays when the edge is started again: its control plane may be another by then.
    supervisor.stop(Duration::ZERO).await.unwrap();
    let next = EdgeSupervisor::spawn_or_adopt(command(), dir.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
    next.stop(Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let gone = EdgeCommand { program: "/nowhere/sh0".into(), args: vec![] };
    let error = EdgeSupervisor::spawn_or_adopt(gone, dir.path()).await.err().unwrap();
    assert!(error.detail().contains("/nowhere/sh0"), "{error}");
    let wrong = EdgeCommand { args: vec!["--wrong".into(), "x".into()], ..command() };
    let error = EdgeSupervisor::spawn_or_adopt(wrong, dir.path()).await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.detail().contains("--wrong"), "the last lines of its log: {error}");
    let error = EdgeProxy::new(dir.path().join("edge.sock")).status().await.err().unwrap();
    assert_eq!(error.code(), Code::Unavailable);
}
