//! `sh0 deploy`, and the steps of any deployment as they happen.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use sh0::model::{AppRef, Event};
use sh0::ops::apps::GetApp;
use sh0::ops::deployments::CreateDeployment;
use sh0::text::Progress;
use sh0::{Result, Sh0};

use crate::place::Place;
use crate::run::{Voice, colours};

#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// The folder; the present one, unless the app comes from git or a registry
    #[arg(conflicts_with_all = ["git", "image"])]
    path: Option<PathBuf>,
    /// A git repository, and a branch, tag or commit behind `#`
    #[arg(long, value_name = "URL[#REF]", conflicts_with = "image")]
    git: Option<String>,
    /// An image from a registry
    #[arg(long, value_name = "REF")]
    image: Option<String>,
    /// The app; it is created when there is none of this name
    #[arg(short, long, env = "SH0_APP", hide_env_values = true)]
    app: AppRef,
    /// Ignore caches of the build
    #[arg(long)]
    no_cache: bool,
    /// Do not wait until it is live
    #[arg(long)]
    detach: bool,
}

/// `sh0 deploy`.
pub(crate) async fn deploy(voice: Voice, place: &Place, deploy: Deploy) -> Result<u8> {
    let platform = &place.connect().await?;
    let source = platform.source(&deploy.app, deploy.git, deploy.image, deploy.path).await?;
    let create = CreateDeployment { app: deploy.app, source, runtime: place.runtime.kind(), no_cache: deploy.no_cache };
    release(voice, platform, create, None, deploy.detach).await
}

/// Creates the app when it is missing, deploys it, waits, and says where it answers: the last line of `up` and `deploy`.
pub(crate) async fn release(
    voice: Voice,
    platform: &Sh0,
    create: CreateDeployment,
    port: Option<u16>,
    detach: bool,
) -> Result<u8> {
    let mut deployment = platform.deploy(create, port).await?;
    if !detach {
        deployment = platform.watched(&deployment, show(voice)).await?;
        deployment.outcome()?;
    }
    let app = platform.call(GetApp { app: deployment.app.into() }).await?;
    if voice.json {
        voice.document(&json!({
            "app": app.name, "url": app.urls.first(), "urls": app.urls,
            "deployment": deployment.id, "release": deployment.made.number, "state": deployment.state,
        }));
        return Ok(0);
    }
    match deployment.made.number {
        Some(number) => voice.say(format!("{} v{number} is live at", app.name)),
        None => voice.say(format!("deployment {} of {} has begun; it will answer at", deployment.id, app.name)),
    }
    app.urls.iter().for_each(|url| voice.data(&format!("{url}\n")));
    Ok(0)
}

/// Waits for the deployment in an operation's output, and shows how it ended.
pub(crate) async fn settle(voice: Voice, platform: &Sh0, mut output: Value, detach: bool) -> Result<u8> {
    let deployment = platform.settle(&mut output, !detach, show(voice)).await?;
    if voice.json {
        voice.document(&output);
    }
    match deployment {
        None => voice.say("stored; the next deployment takes it along"),
        Some(begun) if detach => voice.say(format!("deployment {} has begun", begun.id)),
        Some(ended) => {
            ended.outcome()?;
            voice.say(format!("v{} is live", ended.made.number.unwrap_or_default()));
        }
    }
    Ok(0)
}

/// Shows what happens in a deployment.
fn show(voice: Voice) -> impl Fn(&Event) + Send {
    let stderr = std::io::stderr();
    let progress = Progress { terminal: stderr.is_terminal(), colour: colours(&stderr) };
    move |event| {
        if !voice.json {
            eprint!("{}", progress.text(&event.what))
        }
    }
}
