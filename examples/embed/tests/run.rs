//! Every example runs, from a folder that looks like the root of the repository, and deploys the static app.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use sh0::model::RuntimeKind;
use sh0::{Config, Sh0};
use sh0_examples::pages::Pages;
use sh0_server::ServeOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

/// A folder with the app where the examples look for it.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let app = root.path().join("examples/apps/hello-static");
    fs::create_dir_all(&app).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps/hello-static/index.html");
    fs::copy(page, app.join("index.html")).unwrap();
    root
}

async fn run(program: &str, args: &[&str], root: &Path) -> String {
    let output = Command::new(program)
        .args(args)
        .current_dir(root)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{program}: {printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

#[tokio::test]
async fn deploy() {
    let root = root();
    let printed = run(env!("CARGO_BIN_EXE_deploy"), &[], root.path()).await;
    assert!(printed.contains("state: Live"), "{printed}");
    assert!(printed.contains("http://127.0.0.1:"), "{printed}");
}

#[tokio::test]
async fn custom_runtime() {
    let root = root();
    let printed = run(env!("CARGO_BIN_EXE_custom_runtime"), &[], root.path()).await;
    assert!(printed.starts_with("Live\nhttp://127.0.0.1:"), "{printed}");
}

#[tokio::test]
async fn connect() {
    let root = root();
    let socket = root.path().join("sh0.sock");
    let platform = Sh0::open_with(Config::new(root.path().join("data")), |parts| {
        parts.runtimes = [(RuntimeKind::Process, Arc::new(Pages::default()) as _)].into();
    });
    let platform = platform.await.unwrap();
    let options = ServeOptions { unix_socket: Some(socket.clone()), tcp: Vec::new(), allowed_hosts: Vec::new() };
    let server = sh0_server::serve(platform.clone(), options).await.unwrap();

    let address = format!("unix://{}", socket.display());
    let printed = run(env!("CARGO_BIN_EXE_connect"), &[&address], root.path()).await;
    assert!(printed.contains("state: Live"), "{printed}");
    let url = printed.lines().find(|line| line.starts_with("http://127.0.0.1:")).unwrap();
    assert!(get(url).await.contains("Hello from sh0"));

    server.shutdown().await;
    platform.shutdown_with(true).await.unwrap();
}

/// The app, through the platform's proxy.
async fn get(url: &str) -> String {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
