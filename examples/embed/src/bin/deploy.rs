//! Opens a platform in this process, deploys a folder, and follows what happens.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use futures_util::StreamExt;
use sh0::ops::apps::GetApp;
use sh0::{Config, Program, RuntimeChoice, Sh0, roles};

#[tokio::main]
async fn deploy() -> sh0::Result<()> {
    // Each app is a process with a small supervisor, the shim: this very program.
    let shim = Program::new(std::env::current_exe()?).arg("shim");
    let config = Config::new("target/embed").runtime(RuntimeChoice::Process).shim(shim);
    let sh0 = Sh0::open(config).await?;
    let deployment = sh0.deploy_folder("examples/apps/hello-static", "hello".parse()?).await?;
    let mut events = sh0.follow(&deployment).await?;
    while let Some(event) = events.next().await {
        println!("{:?}", event?.what);
    }
    let app = sh0.call(GetApp { app: deployment.app.into() }).await?;
    println!("{}", app.urls.join("\n"));
    sh0.shutdown_with(true).await
}

fn failed(error: sh0::Error) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(word) if word == "shim" => roles::shim(args),
        _ => deploy().map_or_else(failed, |()| ExitCode::SUCCESS),
    }
}
