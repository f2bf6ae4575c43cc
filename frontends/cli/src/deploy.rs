//! `sh0 deploy`, and the steps of any deployment as they happen.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use serde_json::Value;
use sh0::model::{AppRef, Deployment, Event};
use sh0::ops::deployments::CreateDeployment;
use sh0::text::Progress;
use sh0::{Result, Sh0, text};

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
    let released = platform.release(create, port, !detach, show(voice)).await?;
    voice.tell(&released);
    released.urls.iter().filter(|_| !voice.json).for_each(|url| voice.data(&format!("{url}\n")));
    Ok(0)
}

/// Waits for the deployment in an operation's output, and shows how it ended.
pub(crate) async fn settle(voice: Voice, platform: &Sh0, mut output: Value, detach: bool) -> Result<u8> {
    let deployment = platform.settle(&mut output, !detach, show(voice)).await?;
    if voice.json {
        voice.document(&output);
    }
    deployment.iter().filter(|_| !detach).try_for_each(Deployment::outcome)?;
    voice.say(text::settled(deployment.as_ref()));
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
