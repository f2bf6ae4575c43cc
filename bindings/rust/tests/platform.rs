//! A whole platform in this process, over real backends: SQLite, processes, the embedded proxy. This test is its own
//! shim and its own edge, so it has no harness: `main` plays the roles first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use sh0::model::DeploymentState;
use sh0::ops::apps::GetApp;
use sh0::ops::platform::GetStatus;
use sh0::ops::tokens::{CreateToken, ListTokens};
use sh0::{Code, Config, RuntimeChoice, Sh0};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn main() -> sh0::Result<ExitCode> {
    let args: Vec<_> = std::env::args_os().collect();
    if let Some(ended) = sh0::roles::enter(&args) {
        return ended;
    }
    if args.iter().any(|arg| arg == "--list") {
        println!("one_owner_at_a_time: test\nan_app_outlives_the_control_plane: test");
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        one_owner_at_a_time().await;
        println!("test one_owner_at_a_time ... ok");
        an_app_outlives_the_control_plane().await;
        println!("test an_app_outlives_the_control_plane ... ok");
    });
    Ok(ExitCode::SUCCESS)
}

fn config(data: &Path, child: bool) -> Config {
    Config::new(data).runtime(RuntimeChoice::Process).own_program(child).unwrap()
}

async fn one_owner_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let first = Sh0::open(config(&data, false)).await.unwrap();
    let status = first.call(GetStatus {}).await.unwrap();
    let create = CreateToken { name: "ci".parse().unwrap(), role: sh0::auth::Role::Admin, days: None };
    let token = first.call(create).await.unwrap().secret.expose().to_owned();
    first.announce(&data.join("sh0.sock")).unwrap();

    let second = Sh0::open(config(&data, false)).await.unwrap_err();
    assert_eq!(second.code(), Code::Conflict);
    assert!(
        second.detail().contains("sh0.sock") && second.detail().contains(&std::process::id().to_string()),
        "{second}"
    );

    first.shutdown().await.unwrap();
    drop(first);
    assert_eq!(sh0::holder(&data).unwrap(), None);
    let again = Sh0::open(config(&data, false)).await.unwrap();
    assert_eq!(again.call(GetStatus {}).await.unwrap().platform, status.platform, "the same platform");
    assert!(again.authenticate(&token).await.is_ok());
    assert_eq!(again.call(ListTokens {}).await.unwrap().items.len(), 1);
    again.shutdown().await.unwrap();
    drop(again);

    // Secrets that nothing opens must not be covered up by a new key.
    std::fs::remove_file(data.join("key")).unwrap();
    let keyless = Sh0::open(config(&data, false)).await.unwrap_err();
    assert!(keyless.detail().contains("key"), "{keyless}");
}

async fn an_app_outlives_the_control_plane() {
    let dir = tempfile::tempdir().unwrap();
    // The data inside the app's folder, as with `sh0 up .` in a project: it is no part of the app.
    let (data, source) = (dir.path().join("hello/data"), dir.path().join("hello"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("index.html"), "hello from v1").unwrap();
    let platform = Sh0::open(config(&data, true)).await.unwrap();
    let deployment = platform.deploy_folder(&source, "hello".parse().unwrap()).await.unwrap();
    let ended = platform.finished(&deployment).await.unwrap();
    assert_eq!(ended.state, DeploymentState::Live, "{:?}", ended.error);
    let app = platform.call(GetApp { app: "hello".parse().unwrap() }).await.unwrap();
    assert!(get(app.port).await.ends_with("hello from v1"));
    assert!(data.join("key").exists());
    assert!(get_path(app.port, "/data/key").await.starts_with("HTTP/1.1 404"), "the key is not served");

    platform.shutdown().await.unwrap();
    drop(platform);
    assert!(get(app.port).await.ends_with("hello from v1"), "while nobody is in control");

    std::fs::write(source.join("index.html"), "hello from v2").unwrap();
    let platform = Sh0::open(config(&data, true)).await.unwrap();
    let deployment = platform.deploy_folder(&source, "hello".parse().unwrap()).await.unwrap();
    let ended = platform.finished(&deployment).await.unwrap();
    assert_eq!(ended.state, DeploymentState::Live, "{:?}", ended.error);
    assert!(get(app.port).await.ends_with("hello from v2"));

    platform.shutdown_with(true).await.unwrap();
    let gone = tokio::net::TcpStream::connect(("127.0.0.1", app.port)).await;
    assert!(gone.is_err(), "the edge ends with the apps");
}

async fn get(port: u16) -> String {
    get_path(port, "/").await
}

async fn get_path(port: u16, path: &str) -> String {
    let answer = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(Duration::from_secs(30), answer).await.unwrap()
}
