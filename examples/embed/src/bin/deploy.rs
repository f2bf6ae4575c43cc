//! Opens a platform in this process, deploys a folder, and follows what happens.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use futures_util::StreamExt;
use sh0::ops::apps::GetApp;
use sh0::{Config, RuntimeChoice, Sh0, roles};

#[tokio::main]
async fn deploy() -> sh0::Result<()> {
    let config = Config::new("target/embed").runtime(RuntimeChoice::Process).own_program(false)?;
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

fn main() -> sh0::Result<ExitCode> {
    // The platform starts this very program again, as the supervisor of each app.
    let args: Vec<_> = std::env::args_os().collect();
    roles::enter(&args).unwrap_or_else(|| deploy().map(|()| ExitCode::SUCCESS))
}
