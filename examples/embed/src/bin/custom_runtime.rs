//! A platform with a runtime of its own: instances are tasks of this process. Everything else is sh0's.
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use sh0::model::RuntimeKind;
use sh0::ops::apps::GetApp;
use sh0::{Config, Sh0};
use sh0_examples::pages::Pages;

#[tokio::main]
async fn main() -> sh0::Result<()> {
    let config = Config::new("target/custom-runtime");
    let sh0 = Sh0::open_with(config, |parts| {
        parts.runtimes = [(RuntimeKind::Process, Arc::new(Pages::default()) as _)].into();
    })
    .await?;
    let deployment = sh0.deploy_folder("examples/apps/hello-static", "hello".parse()?).await?;
    println!("{:?}", sh0.finished(&deployment).await?.state);
    let app = sh0.call(GetApp { app: deployment.app.into() }).await?;
    println!("{}", app.urls.join("\n"));
    sh0.shutdown_with(true).await
}
