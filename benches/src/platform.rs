//! `sh0 serve` as a process of its own: started, killed, started again, and cleaned up whatever happened.

use std::fs::{self, File, OpenOptions, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sh0::model::{
    App, AppName, AppRef, AppSettings, Deployment, DeploymentState, Event, EventKind, HealthCheck, Instance, Millis,
    PlatformId, RuntimeKind, Source, Step, Strategy, Timestamp,
};
use sh0::ops::apps::{CreateApp, GetApp, UpdateApp};
use sh0::ops::deployments::{CreateDeployment, FollowDeployment, GetDeployment, ListDeployments};
use sh0::ops::instances::ListInstances;
use sh0::ops::platform::GetStatus;
use sh0::{Sh0, Target};
use tempfile::TempDir;

use crate::Outcome;
use crate::system::{Process, of_folder};

/// A server that does not answer for so long does not start.
const START: Duration = Duration::from_secs(60);
/// What is not removed by then is killed.
const UNINSTALL: Duration = Duration::from_secs(60);
/// A deployment that takes longer hangs.
const DEPLOY: Duration = Duration::from_secs(120);

/// Programs that proofs run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `sh0`.
    pub sh0: PathBuf,
    /// The app of `apps/probe-app`.
    pub probe_app: PathBuf,
}

impl Programs {
    /// Those in the folder behind `--programs` on the command line; else both are built as a user would, with the release
    /// profile.
    pub fn find() -> Outcome<Programs> {
        match crate::rows::word("--programs") {
            Some(dir) => {
                let dir = fs::canonicalize(dir)?;
                Ok(Programs { sh0: dir.join("sh0"), probe_app: dir.join("probe-app") })
            }
            None => Programs::build(),
        }
    }

    fn build() -> Outcome<Programs> {
        succeed(cargo().args(["build", "--quiet", "-p", "sh0-cli"]).arg("--release"))?;
        // Linked statically, so that it makes an image out of nothing.
        succeed(
            cargo()
                .args(["rustc", "--quiet", "-p", "sh0-benches", "--no-default-features", "--bin", "probe-app"])
                .arg("--release")
                .args(["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"]),
        )?;
        let dir = target()?.join("release");
        Ok(Programs { sh0: dir.join("sh0"), probe_app: dir.join("probe-app") })
    }
}

/// The cargo that runs us, at the root of the workspace. What it prints is no part of a report.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let ours = |name: &str| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR";
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        cargo.env_remove(name);
    }
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).stdin(Stdio::null()).stdout(Stdio::null());
    cargo
}

/// Runs a cargo; fails when it fails.
pub(crate) fn succeed(cargo: &mut Command) -> Outcome {
    let status = cargo.status()?;
    let args: Vec<_> = cargo.get_args().map(|arg| arg.to_string_lossy()).collect();
    if status.success() { Ok(()) } else { Err(format!("cargo {}: {status}", args.join(" ")).into()) }
}

/// The target folder that this program was built in.
pub(crate) fn target() -> Outcome<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(2).ok_or("not in a target folder")?.to_owned())
}

/// A server and everything that belongs to it. Dropping it removes all of it.
pub struct Platform {
    programs: Programs,
    dir: TempDir,
    runtime: RuntimeKind,
    listen: SocketAddr,
    server: Option<Child>,
    api: Option<Sh0>,
    /// More arguments of `sh0 serve`.
    more: Vec<String>,
    /// The owner in labels.
    pub id: Option<PlatformId>,
}

/// A deployment that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How.
    pub deployment: Deployment,
    /// What happened.
    pub events: Vec<Event>,
    /// When its end was known here.
    pub known_at: Timestamp,
}

impl Ended {
    /// When a step began.
    pub fn began(&self, step: Step) -> Option<Timestamp> {
        let started = |event: &&Event| matches!(&event.what, EventKind::StepStarted { step: began } if *began == step);
        self.events.iter().rfind(started).map(|event| event.at)
    }

    /// The steps that it went through.
    pub fn steps(&self) -> Vec<Step> {
        let begun = |event: &Event| match event.what {
            EventKind::StepStarted { step } => Some(step),
            _ => None,
        };
        self.events.iter().filter_map(begun).collect()
    }

    /// How long a step took.
    pub fn took(&self, step: Step) -> Option<Duration> {
        self.events.iter().rev().find_map(|event| match event.what {
            EventKind::StepDone { step: done, millis } if done == step => Some(Duration::from_millis(millis)),
            _ => None,
        })
    }

    /// The release it made; fails when it did not come to serve.
    pub fn release(&self) -> Outcome<String> {
        self.deployment.outcome()?;
        Ok(self.deployment.made.release.ok_or("a live deployment without a release")?.to_string())
    }
}

impl Platform {
    /// Starts a server in a folder of its own.
    pub async fn start(programs: &Programs, runtime: RuntimeKind) -> Outcome<Platform> {
        Platform::start_with(programs, runtime, &[]).await
    }

    /// The same with more arguments.
    pub async fn start_with(programs: &Programs, runtime: RuntimeKind, more: &[&str]) -> Outcome<Platform> {
        let dir = tempfile::Builder::new().prefix("sh0-proof-").tempdir()?;
        // Apps have users of their own, and pass through.
        fs::set_permissions(dir.path(), Permissions::from_mode(0o711))?;
        let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let more = more.iter().map(|&word| word.to_owned()).collect();
        let mut platform =
            Platform { programs: programs.clone(), dir, runtime, listen, server: None, api: None, more, id: None };
        platform.launch().await?;
        platform.id = Some(platform.api().call(GetStatus {}).await?.platform);
        Ok(platform)
    }

    /// Starts the server again, and waits until it answers. Answers how long that took.
    pub async fn launch(&mut self) -> Outcome<Duration> {
        let began = Instant::now();
        self.spawn()?;
        self.connect().await?;
        Ok(began.elapsed())
    }

    /// Starts the server's process.
    pub fn spawn(&mut self) -> Outcome {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut serve = Command::new(&self.programs.sh0);
        serve.arg("serve").arg("--data").arg(self.data());
        serve.arg("--runtime").arg(self.runtime.as_str()).arg("--listen").arg(self.listen.to_string());
        serve.args(&self.more).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.server = Some(serve.spawn()?);
        Ok(())
    }

    /// Waits until the server answers.
    pub async fn connect(&mut self) -> Outcome {
        let began = Instant::now();
        loop {
            match Sh0::connect(Target::unix(self.socket()), None).await {
                Ok(api) => {
                    self.api = Some(api);
                    return Ok(());
                }
                Err(error) if began.elapsed() > START => {
                    return Err(format!("the server does not answer: {error}\n{}", self.last_lines()).into());
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            if let Some(status) = self.server.as_mut().and_then(|server| server.try_wait().ok().flatten()) {
                return Err(format!("the server ended ({status}):\n{}", self.last_lines()).into());
            }
        }
    }

    /// `kill -9` of the server, and of nothing else.
    pub fn kill(&mut self) -> Outcome {
        let mut server = self.server.take().ok_or("there is no server to kill")?;
        server.kill()?;
        server.wait()?;
        self.api = None;
        Ok(())
    }

    /// The connection to the server.
    ///
    /// # Panics
    ///
    /// While it is dead.
    pub fn api(&self) -> &Sh0 {
        self.api.as_ref().expect("the server was killed and not started again")
    }

    /// The process id of the server.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Where the proxy listens for host names.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The folder of data.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A folder for what a proof needs beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The Unix socket of the API.
    pub fn socket(&self) -> PathBuf {
        self.data().join("sh0.sock")
    }

    /// What the server printed last.
    pub fn last_lines(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// Everything of this platform that runs: the server, the edge, shims, apps.
    pub fn processes(&self) -> Vec<Process> {
        of_folder(self.dir.path())
    }

    /// The process of the edge.
    pub fn edge(&self) -> Option<Process> {
        let role = |process: &Process| process.command.get(1).is_some_and(|word| word == "edge");
        self.processes().into_iter().find(role)
    }

    /// The processes of shims, each with one of its instances.
    pub fn shims(&self) -> Vec<Process> {
        let mut shims = self.processes();
        shims.retain(|process| process.command.get(1).is_some_and(|word| word == "__shim"));
        shims
    }

    // ---- apps ----

    /// Creates an app with settings that suit proofs.
    pub async fn create_app(&self, name: &str, settings: AppSettings) -> Outcome<App> {
        self.create_app_on(name, settings, self.runtime).await
    }

    /// The same on this runtime.
    pub async fn create_app_on(&self, name: &str, settings: AppSettings, runtime: RuntimeKind) -> Outcome<App> {
        let name: AppName = name.parse()?;
        let create = serde_json::json!({ "name": name, "settings": settings, "runtime": runtime });
        Ok(self.api().call(serde_json::from_value::<CreateApp>(create)?).await?)
    }

    /// The app as it is now.
    pub async fn app(&self, app: &App) -> Outcome<App> {
        Ok(self.api().call(GetApp { app: app.id.into() }).await?)
    }

    /// Changes settings; they take effect with the next deployment.
    pub async fn settings(&self, app: &App, settings: AppSettings) -> Outcome {
        let update = UpdateApp { app: app.id.into(), name: None, port: None, source: None, settings: Some(settings) };
        self.api().call(update).await?;
        Ok(())
    }

    /// Asks for a deployment of a folder.
    pub async fn begin(&self, app: &App, tree: &Path) -> Outcome<Deployment> {
        self.begin_with(app, tree, false).await
    }

    /// The same; with `no_cache`, nothing of an earlier build is used.
    pub async fn begin_with(&self, app: &App, tree: &Path, no_cache: bool) -> Outcome<Deployment> {
        let path = tree.to_str().ok_or("the folder is not UTF-8")?.parse()?;
        let source = Some(Source::Folder { path });
        let create = CreateDeployment { app: AppRef::from(app.id), source, runtime: None, no_cache };
        Ok(self.api().call(create).await?)
    }

    /// Deploys a folder, and waits for the end, whatever it is.
    pub async fn deploy(&self, app: &App, tree: &Path) -> Outcome<Ended> {
        let deployment = self.begin(app, tree).await?;
        self.finish(&deployment).await
    }

    /// Waits for the end of a deployment.
    pub async fn finish(&self, deployment: &Deployment) -> Outcome<Ended> {
        self.finish_within(deployment, DEPLOY).await
    }

    /// The same, when it may take long.
    pub async fn finish_within(&self, deployment: &Deployment, limit: Duration) -> Outcome<Ended> {
        let (app, id) = (deployment.app, deployment.id);
        let follow = async {
            let mut events = Vec::new();
            let mut stream =
                self.api().stream(FollowDeployment { app: app.into(), deployment: id, after: None }).await?;
            while let Some(event) = stream.next().await {
                events.push(event?);
            }
            let known_at = Timestamp::now();
            let deployment = self.api().call(GetDeployment { app: app.into(), deployment: id }).await?;
            Ok::<_, sh0::Error>(Ended { deployment, events, known_at })
        };
        match tokio::time::timeout(limit, follow).await {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(format!("deployment {id} did not end within {limit:?}\n{}", self.last_lines()).into()),
        }
    }

    /// Deploys a folder that must come to serve.
    pub async fn deploy_well(&self, app: &App, tree: &Path) -> Outcome<Ended> {
        let ended = self.deploy(app, tree).await?;
        ended.deployment.outcome()?;
        Ok(ended)
    }

    /// The newest deployments.
    pub async fn deployments(&self, app: &App) -> Outcome<Vec<Deployment>> {
        let list = ListDeployments { app: app.id.into(), cursor: None, limit: None };
        Ok(self.api().call(list).await?.items)
    }

    /// Waits until every deployment of the app has ended.
    pub async fn settled(&self, app: &App, limit: Duration) -> Outcome<Vec<Deployment>> {
        let began = Instant::now();
        loop {
            let deployments = self.deployments(app).await?;
            let open = deployments.iter().filter(|deployment| !deployment.state.is_final()).count();
            if open == 0 {
                return Ok(deployments);
            }
            if began.elapsed() > limit {
                return Err(format!("{open} deployments have not ended within {limit:?}\n{}", self.last_lines()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The instances of the app.
    pub async fn instances(&self, app: &App) -> Outcome<Vec<Instance>> {
        Ok(self.api().call(ListInstances { app: app.id.into() }).await?.items)
    }
}

/// The plain address of an app.
pub fn addr(app: &App) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, app.port))
}

/// Settings for the probe app: its health path, and times short enough for a proof.
pub fn probe_settings(drain: Duration) -> Outcome<AppSettings> {
    let millis = |time: Duration| Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    Ok(AppSettings {
        health: HealthCheck {
            path: Some("/healthz".parse()?),
            timeout: Millis(1000),
            start_period: Millis(4000),
            ..HealthCheck::default()
        },
        strategy: Strategy::Rolling,
        drain_timeout: Some(millis(drain)),
        stop_grace: Some(Millis(2000)),
        ..AppSettings::default()
    })
}

/// Whether the deployment came to serve.
pub fn is_live(deployment: &Deployment) -> bool {
    deployment.state == DeploymentState::Live
}

impl Drop for Platform {
    fn drop(&mut self) {
        // The program itself removes what it made; a proof that goes wrong must not leave anything either.
        let log = File::create(self.beside("uninstall.log")).map_or_else(|_| Stdio::null(), Stdio::from);
        let mut uninstall = Command::new(&self.programs.sh0);
        uninstall.arg("uninstall").args(["--purge", "--yes"]).arg("--data").arg(self.data());
        if let Ok(mut uninstall) = uninstall.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn() {
            let began = Instant::now();
            while matches!(uninstall.try_wait(), Ok(None)) && began.elapsed() < UNINSTALL {
                std::thread::sleep(Duration::from_millis(20));
            }
            drop(uninstall.kill());
            drop(uninstall.wait());
        }
        if let Some(mut server) = self.server.take() {
            drop(server.kill());
            drop(server.wait());
        }
        self.processes().iter().for_each(Process::kill);
    }
}
