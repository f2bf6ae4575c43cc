//! Volumes, ports, static apps.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;

use sh0_core::Code;
use sh0_core::model::{Bytes, Millis, Plan, Support, VolumeMount};
use sh0_core::traits::{InstanceSpec, Runtime};
use sh0_services::runtime::process::{ProcessRuntime, ShimCommand};

use crate::harness::*;

#[tokio::test]
async fn volumes_are_found_under_data() {
    let place = Place::new();
    place.tree(&[("data/uploads/first", "from the release")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let mount = VolumeMount { name: "uploads".parse().unwrap(), path: "/srv/uploads".parse().unwrap() };
    let mounted = |line: &str| InstanceSpec { volumes: vec![mount.clone()], ..place.spec(&artifact, line) };
    let (text, code) = run(&runtime, &mounted("cat data/uploads/first; echo second > data/uploads/second")).await;
    assert_eq!((text.as_str(), code), ("from the release", 0), "the release's files are its first content");
    let (text, _) = run(&runtime, &mounted("cat $SH0_VOLUME_UPLOADS/second; ls data/uploads | wc -l")).await;
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["second", "2"]);
    let volume = &runtime.list_volumes(place.app).await.unwrap()[0];
    assert!(volume.used >= Some(23), "{volume:?}");
    assert_eq!(fs::metadata(&volume.location).unwrap().mode() & 0o777, 0o700);
}

fn get(addr: std::net::SocketAddr, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&addr, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}

#[tokio::test]
async fn a_static_app_is_served_by_the_shim_itself() {
    let place = Place::new();
    place.tree(&[("public/index.html", "hello from files\n")]);
    let runtime = place.open().await;
    let plan = Plan { static_dir: Some("public".into()), spa_fallback: true, ..Plan::default() };
    let artifact = place.build(&runtime, &plan).await.unwrap();
    let mut spec = InstanceSpec { command: None, port: Some(80), ..place.spec(&artifact, "") };
    spec.resources.memory = Some(Bytes::from_mib(64));
    up(&runtime, &spec).await;
    let addr = runtime.inspect(&spec.name).await.unwrap().unwrap().endpoint.unwrap();
    eventually("it listens", || TcpStream::connect(addr).is_ok()).await;
    assert!(get(addr, "/").unwrap().ends_with("\r\n\r\nhello from files\n"));
    assert!(get(addr, "/some/page").unwrap().ends_with("hello from files\n"), "a single-page app");
    assert_eq!(runtime.diagnose(&spec.name, 80).await.unwrap(), None);
    assert_eq!(
        soon(runtime.stop(&spec.name, Millis::from_secs(30))).await.unwrap().unwrap().code,
        0,
        "it ends cleanly"
    );
    runtime.remove(&spec.name).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_replaced_and_a_wrong_one_diagnosed() {
    let place = Place::new();
    place.tree(&[("index.html", "")]);
    let mut config = place.config();
    config.readable.push(SHIM.into());
    let runtime = ProcessRuntime::open(config).await.unwrap();
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let with_port = |line: &str| InstanceSpec { port: Some(80), ..place.spec(&artifact, line) };
    let spec = with_port(&format!("echo port $PORT; {SHIM} static . --port $PORT"));
    up(&runtime, &spec).await;
    let first = runtime.inspect(&spec.name).await.unwrap().unwrap().endpoint.unwrap();
    eventually("it listens", || TcpStream::connect(first).is_ok()).await;
    soon(runtime.stop(&spec.name, Millis::from_secs(30))).await.unwrap();
    runtime.start(&spec.name).await.unwrap();
    let again = runtime.inspect(&spec.name).await.unwrap().unwrap().endpoint;
    assert_eq!(again, Some(first), "a port is kept");
    soon(runtime.stop(&spec.name, Millis::from_secs(30))).await.unwrap();
    let _thief = std::net::TcpListener::bind(first).unwrap();
    runtime.start(&spec.name).await.unwrap();
    let second = runtime.inspect(&spec.name).await.unwrap().unwrap().endpoint.unwrap();
    assert_ne!(second, first);
    printed(&runtime, &spec.name, &format!("port {}", second.port())).await;
    runtime.remove(&spec.name).await.unwrap();

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let wrong = with_port(&format!("{SHIM} static . --port {free}"));
    up(&runtime, &wrong).await;
    eventually("it listens", || TcpStream::connect(("127.0.0.1", free)).is_ok()).await;
    let why = runtime.diagnose(&wrong.name, 80).await.unwrap().unwrap();
    assert!(why.contains(&format!("listens on 127.0.0.1:{free}, not on the port")), "{why}");
    let six = with_port(&format!("{SHIM} static . --listen ::1"));
    up(&runtime, &six).await;
    let port = runtime.inspect(&six.name).await.unwrap().unwrap().endpoint.unwrap().port();
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        eventually("it listens", || TcpStream::connect(("::1", port)).is_ok()).await;
        let why = runtime.diagnose(&six.name, 80).await.unwrap().unwrap();
        assert!(why.contains("only, which 127.0.0.1 does not reach"), "{why}");
    }
    let none = with_port(STAY);
    up(&runtime, &none).await;
    let why = runtime.diagnose(&none.name, 80).await.unwrap().unwrap();
    assert!(why.contains("listens on no port"), "{why}");
    for name in [wrong.name, six.name, none.name] {
        runtime.remove(&name).await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_shim_is_said_in_words() {
    let place = Place::new();
    let mut config = place.config();
    config.shim = ShimCommand::new("/no/such/shim");
    let runtime = ProcessRuntime::open(config).await.unwrap();
    assert_eq!(runtime.info().await.unwrap_err().code(), Code::Unavailable);
    let supervisor = runtime.capabilities().await.into_iter().find(|one| one.name == "supervisor").unwrap();
    assert!(matches!(supervisor.support, Support::No { reason } if reason.contains("/no/such/shim")));
}
