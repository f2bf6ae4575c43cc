//! The same against a server: `connect unix:///path/to/sh0.sock`, or `connect https://sh0.example.com TOKEN`.
#![allow(clippy::print_stdout)]

use futures_util::StreamExt;
use sh0::ops::apps::GetApp;
use sh0::{Error, Secret, Sh0};

#[tokio::main]
async fn main() -> sh0::Result<()> {
    let mut args = std::env::args().skip(1);
    let server = args.next().ok_or_else(|| Error::invalid("server", "is missing", "name its address"))?;
    let sh0 = Sh0::connect(server.parse()?, args.next().map(Secret::new)).await?;
    let deployment = sh0.deploy_folder("examples/apps/hello-static", "hello".parse()?).await?;
    let mut events = sh0.follow(&deployment).await?;
    while let Some(event) = events.next().await {
        println!("{:?}", event?.what);
    }
    let app = sh0.call(GetApp { app: deployment.app.into() }).await?;
    println!("{}", app.urls.join("\n"));
    Ok(())
}
