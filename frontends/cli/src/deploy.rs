//! `sh0 deploy`, and the steps of any deployment as they happen.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use futures_util::StreamExt;
use serde_json::{Value, json};
use sh0::model::{AppRef, Deployment, EventKind, Source};
use sh0::ops::apps::GetApp;
use sh0::ops::deployments::{CreateDeployment, GetDeployment};
use sh0::{Result, RuntimeChoice, Sh0};

use crate::run::Voice;

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
    /// Where an app that was never deployed runs: auto, docker or process
    #[arg(long, default_value = "auto")]
    runtime: RuntimeChoice,
    /// Ignore caches of the build
    #[arg(long)]
    no_cache: bool,
    /// Do not wait until it is live
    #[arg(long)]
    detach: bool,
}

/// `sh0 deploy`.
pub(crate) async fn deploy(voice: Voice, platform: &Sh0, deploy: Deploy) -> Result<u8> {
    let own = platform.find_app(&deploy.app).await?.and_then(|app| app.source);
    let source = match (deploy.git, deploy.image, deploy.path) {
        (Some(git), _, _) => Some(Source::git(&git)?),
        (_, Some(image), _) => Some(Source::Image { image: image.parse()? }),
        (_, _, None) if matches!(own, Some(Source::Git { .. } | Source::Image { .. })) => None,
        (_, _, path) => Some(platform.folder(&path.unwrap_or_else(|| ".".into())).await?),
    };
    let create =
        CreateDeployment { app: deploy.app, source, runtime: deploy.runtime.kind(), no_cache: deploy.no_cache };
    place(voice, platform, create, None, deploy.detach).await
}

/// Creates the app when it is missing, deploys it, waits, and says where it answers: the last line of `up` and `deploy`.
pub(crate) async fn place(
    voice: Voice,
    platform: &Sh0,
    create: CreateDeployment,
    port: Option<u16>,
    detach: bool,
) -> Result<u8> {
    let mut deployment = platform.deploy(create, port).await?;
    if !detach {
        deployment = follow(voice, platform, &deployment).await?;
        deployment.outcome()?;
    }
    let app = platform.call(GetApp { app: deployment.app.into() }).await?;
    let release = deployment.made.number;
    if voice.json {
        voice.document(&json!({
            "app": app.name, "url": app.urls.first(), "urls": app.urls,
            "deployment": deployment.id, "release": release, "state": deployment.state,
        }));
        return Ok(0);
    }
    match release {
        Some(number) => voice.say(format!("{} v{number} is live at", app.name)),
        None => voice.say(format!("deployment {} of {} has begun; it will answer at", deployment.id, app.name)),
    }
    app.urls.iter().for_each(|url| voice.data(&format!("{url}\n")));
    Ok(0)
}

/// Waits for the deployment in an operation's output, and shows how it ended.
pub(crate) async fn settle(voice: Voice, platform: &Sh0, mut output: Value, detach: bool) -> Result<u8> {
    let is_one = output.get("kind").is_some();
    let slot = if is_one { Some(&mut output) } else { output.get_mut("deployment") };
    let (mut ended, mut words) = (Ok(()), "stored; the next deployment takes it along".to_owned());
    if let Some(slot) = slot {
        let mut deployment: Deployment = serde_json::from_value(slot.clone())?;
        words = format!("deployment {} has begun", deployment.id);
        if !detach {
            deployment = follow(voice, platform, &deployment).await?;
            ended = deployment.outcome();
            words = format!("v{} is live", deployment.made.number.unwrap_or_default());
        }
        *slot = serde_json::to_value(&deployment)?;
    }
    match (voice.json, &ended) {
        (true, _) => voice.document(&output),
        (false, Ok(())) => voice.say(words),
        (false, Err(_)) => {}
    }
    ended.map(|()| 0)
}

/// Shows what happens until the deployment has ended, and answers how: on a terminal, the step under way stands in the
/// last line.
async fn follow(voice: Voice, platform: &Sh0, deployment: &Deployment) -> Result<Deployment> {
    let tty = std::io::stderr().is_terminal();
    let colour = tty && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut events = platform.follow(deployment).await?;
    while let Some(event) = events.next().await.transpose()? {
        let text = event.what.to_string().replace('\n', "\n  ");
        if voice.json {
            continue;
        }
        if tty {
            eprint!("\r\x1b[K");
        }
        match event.what {
            EventKind::State { .. } => {}
            EventKind::StepStarted { .. } if tty => eprint!("  {text}"),
            EventKind::StepStarted { .. } => {}
            EventKind::StepDone { .. } => eprintln!("  {text}"),
            _ if colour => eprintln!("  \x1b[2m{text}\x1b[0m"),
            _ => eprintln!("  {text}"),
        }
    }
    platform.call(GetDeployment { app: deployment.app.into(), deployment: deployment.id }).await
}
