//! `sh0 deploy`, and how the steps of any deployment are shown.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use futures_util::StreamExt;
use serde_json::{Value, json};
use sh0::model::{
    App, AppRef, Deployment, DeploymentState, EventKind, RuntimeKind, Source,
};
use sh0::ops::apps::{CreateApp, GetApp};
use sh0::ops::deployments::{CreateDeployment, GetDeployment};
use sh0::{Code, Error, Sh0};

use crate::exit::{DECLINED, DEPLOY_FAILED, Failure, Outcome};
use crate::render;
use crate::run::Voice;

/// What to deploy.
#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// The folder; the present one unless the app has a source of its own
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
    /// Where an app that was never deployed runs
    #[arg(long, default_value = "auto", value_parser = runtime)]
    runtime: Wish,
    /// Ignore caches of the build
    #[arg(long)]
    no_cache: bool,
    /// Do not wait until it is live
    #[arg(long)]
    detach: bool,
}

/// A runtime, or `auto`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish(pub(crate) Option<RuntimeKind>);

/// Reads `auto`, `docker` or `process`.
pub(crate) fn runtime(text: &str) -> Result<Wish, String> {
    match text {
        "auto" => Ok(Wish(None)),
        "docker" => Ok(Wish(Some(RuntimeKind::Docker))),
        "process" => Ok(Wish(Some(RuntimeKind::Process))),
        _ => Err("it is auto, docker or process".into()),
    }
}

/// Everything a new deployment is made of.
pub(crate) struct Order {
    pub(crate) app: AppRef,
    /// The app's own when absent.
    pub(crate) source: Option<Source>,
    pub(crate) runtime: Option<RuntimeKind>,
    pub(crate) no_cache: bool,
    pub(crate) port: Option<u16>,
    pub(crate) detach: bool,
}

/// `sh0 deploy`.
pub(crate) async fn deploy(voice: Voice, platform: &Sh0, deploy: Deploy) -> Outcome {
    let own = find_app(platform, &deploy.app).await?.and_then(|app| app.source);
    let source = match (deploy.git, deploy.image, deploy.path) {
        (Some(git), _, _) => Some(git_source(&git)?),
        (_, Some(image), _) => Some(Source::Image { image: image.parse()? }),
        (_, _, None) if matches!(own, Some(Source::Git { .. } | Source::Image { .. })) => None,
        (_, _, path) => Some(platform.folder(&path.unwrap_or_else(|| ".".into())).await?),
    };
    let Wish(runtime) = deploy.runtime;
    let order = Order { app: deploy.app, source, runtime, no_cache: deploy.no_cache, port: None, detach: deploy.detach };
    place(voice, platform, order).await?;
    Ok(0)
}

/// Creates the app when it is missing, deploys it, waits, and says where it answers.
pub(crate) async fn place(voice: Voice, platform: &Sh0, order: Order) -> Outcome<App> {
    let app = match find_app(platform, &order.app).await? {
        Some(app) => app,
        None => {
            let AppRef::Name(project, name) = order.app else { return Err(Error::not_found("app", order.app).into()) };
            voice.say(&format!("creating the app {name}"));
            // An archive is used up by one deployment: it is no source for later ones.
            let source = order.source.clone().filter(|source| !matches!(source, Source::Upload { .. }));
            let (settings, scale, env) = Default::default();
            let app = CreateApp { project, name, source, settings, runtime: order.runtime, scale, env, port: order.port };
            platform.call(app).await?
        }
    };
    let (source, runtime) = (order.source, order.runtime);
    let create = CreateDeployment { app: app.id.into(), source, runtime, no_cache: order.no_cache };
    let deployment = platform.call(create).await?;
    if order.detach {
        voice.say(&format!("deployment {} of {} has begun", deployment.id, app.name));
        report(voice, &app, &deployment);
        return Ok(app);
    }
    let deployment = follow(voice, platform, &deployment).await?;
    judge(&deployment)?;
    let app = platform.call(GetApp { app: app.id.into() }).await?;
    report(voice, &app, &deployment);
    Ok(app)
}

/// The last line of `up` and `deploy`.
fn report(voice: Voice, app: &App, deployment: &Deployment) {
    if voice.json {
        voice.document(&json!({
            "app": app.name,
            "url": app.urls.first(),
            "urls": app.urls,
            "deployment": deployment.id,
            "release": deployment.made.number,
            "state": deployment.state,
        }));
        return;
    }
    if deployment.state == DeploymentState::Live {
        let release = deployment.made.number.map(|number| format!(" v{number}")).unwrap_or_default();
        voice.say(&format!("{}{release} is live at", app.name));
        app.urls.iter().for_each(|url| voice.data(&format!("{url}\n")));
    }
}

/// Waits for the deployment in an operation's output, and puts its final form there.
pub(crate) async fn settle(voice: Voice, platform: &Sh0, output: &mut Value, detach: bool) -> Outcome<()> {
    let place = if output.get("kind").is_some() { output } else { &mut output["deployment"] };
    if detach || place.is_null() {
        return Ok(());
    }
    let deployment = follow(voice, platform, &serde_json::from_value(place.clone())?).await?;
    *place = serde_json::to_value(&deployment)?;
    judge(&deployment)
}

/// One line about the deployment in an operation's output.
pub(crate) fn ending(output: &Value, detach: bool) -> String {
    let deployment = if output.get("kind").is_some() { output } else { &output["deployment"] };
    match (deployment["state"].as_str(), detach) {
        (None, _) => "stored; the next deployment takes it along".into(),
        (Some("live"), _) => format!("{} is live", render::version(&deployment["made"]["number"])),
        (Some(_), true) => format!("deployment {} has begun", render::text(&deployment["id"])),
        (Some(_), false) => String::new(),
    }
}

/// A deployment that did not come to serve is a failure, with its reason.
fn judge(deployment: &Deployment) -> Outcome<()> {
    let (exit, words) = match deployment.state {
        DeploymentState::Live => return Ok(()),
        DeploymentState::Cancelled => (DECLINED, "the deployment was cancelled"),
        DeploymentState::Superseded => (6, "a newer deployment took the place of this one before it began"),
        _ => (DEPLOY_FAILED, "the deployment failed"),
    };
    let error = match &deployment.error {
        Some(problem) => Error::from(problem.clone()),
        None => Error::new(Code::DeployFailed, words),
    };
    match deployment.step {
        Some(step) if exit == DEPLOY_FAILED => Err(Failure { error: error.context(step), exit }),
        _ => Err(Failure { error, exit }),
    }
}

/// Shows what happens until the deployment has ended, and answers how.
async fn follow(voice: Voice, platform: &Sh0, deployment: &Deployment) -> Outcome<Deployment> {
    let mut progress = Progress { voice, tty: std::io::stderr().is_terminal(), unfinished: false };
    let mut events = platform.follow(deployment).await?;
    while let Some(event) = events.next().await.transpose()? {
        progress.show(&event.what);
    }
    let get = GetDeployment { app: deployment.app.into(), deployment: deployment.id };
    Ok(platform.call(get).await?)
}

/// Steps as lines on standard error; on a terminal, what is under way stands in the last one.
struct Progress {
    voice: Voice,
    tty: bool,
    /// A line without an end stands on the terminal.
    unfinished: bool,
}

impl Progress {
    fn show(&mut self, what: &EventKind) {
        if self.voice.json {
            return;
        }
        if std::mem::take(&mut self.unfinished) {
            eprint!("\r\x1b[K");
        }
        match what {
            EventKind::StepStarted { step } if self.tty => {
                self.unfinished = true;
                eprint!("  {step} ...");
            }
            EventKind::StepDone { step, millis } => eprintln!("  {step:<15} {}", render::span(*millis)),
            EventKind::Note { text } => eprintln!("  {}", self.dim(text)),
            EventKind::Output { lines, .. } => lines.iter().for_each(|line| eprintln!("  {}", self.dim(&format!("| {line}")))),
            EventKind::StepStarted { .. } | EventKind::State { .. } => {}
        }
    }

    fn dim(&self, text: &str) -> String {
        let colour = self.tty && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if colour { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The app, if there is one.
pub(crate) async fn find_app(platform: &Sh0, app: &AppRef) -> Result<Option<App>, Error> {
    match platform.call(GetApp { app: app.clone() }).await {
        Ok(app) => Ok(Some(app)),
        Err(error) if error.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn git_source(text: &str) -> Result<Source, Error> {
    let (url, reference) = match text.split_once('#') {
        Some((url, reference)) => (url, Some(reference.parse()?)),
        None => (text, None),
    };
    Ok(Source::Git { url: url.parse()?, reference, root: None })
}
