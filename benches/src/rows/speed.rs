//! How fast and how small: against bare calls of the engine and bare processes, in the same run.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sh0::Secret;
use sh0::model::{App, Deployment, EventKind, RuntimeKind, Step, Timestamp};
use sh0::ops::apps::{GetApp, ListApps};
use sh0::ops::deployments::FollowDeployment;
use sh0::ops::env::SetEnv;
use sh0::ops::logs::FollowLogs;
use sh0_docker::client::{Client, ContainerSpec, LogConfig, NetworkMode, NetworkSpec, RemoveContainer, RestartPolicy};
use tokio::task::JoinSet;

use super::progress;
use crate::Outcome;
use crate::engine;
use crate::load::{ask, who};
use crate::platform::{Ended, Platform, Programs, addr, probe_settings};
use crate::report::{Report, Series, millis};
use crate::system::pss;
use crate::trees::{Manner, Trees};

/// Between two looks of whoever waits for an answer.
const POLL: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_secs(60);
const MEGABYTE: f64 = 1e6;

/// What is measured, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Deployments of each kind.
    pub runs: usize,
    /// Apps for the reads of the API.
    pub many_apps: usize,
    /// Apps that run and talk while memory is measured.
    pub running_apps: usize,
    /// With a Docker Engine.
    pub docker: bool,
}

/// The whole row.
pub async fn prove(scope: Scope) -> Outcome<Report> {
    let programs = Programs::find()?;
    let mut report = Report::default();
    let mut targets = Targets::default();
    report.section("Deploys");
    let mut rows = Vec::new();
    let mut runtimes = vec![RuntimeKind::Process];
    if scope.docker {
        runtimes.push(RuntimeKind::Docker);
    }
    for runtime in runtimes {
        let deploys = deploys(&programs, runtime, scope.runs).await?;
        if runtime == RuntimeKind::Docker {
            targets.check("deploy on Docker over create + start + poll, p50", deploys.config.over.median(), 60.0, "ms");
        }
        rows.extend(deploys.rows(runtime));
    }
    report.table(&["what", "bare, in the same run", "sh0", "sh0 over bare"], rows);
    report.say(
        "Each deploy is measured from the call to the first answer of the new release through the proxy; the bare way \
         from its first call to the first answer. Both look every millisecond once the instance was started. *New \
         instances* is a changed variable: \
         the same image or folder, a new release. *Changed folder* is a whole deploy: fetch, plan, build and the rest, \
         over a bare build through the same API. Both ways put their container into a network that was made for it, for \
         which the engine starts a resolver in the container: what that costs the engine, the line about its default \
         bridge shows. The route swap is from the commit of the switch to the first answer of \
         the new release.",
    );
    start_and_idle(&programs, &mut report, &mut targets).await?;
    many_apps(&programs, scope.many_apps, &mut report, &mut targets).await?;
    running_apps(&programs, scope.running_apps, &mut report, &mut targets).await?;
    report.section("Targets");
    report.table(&["what", "measured", "target", ""], targets.rows);
    report.problems("target missed", targets.missed);
    Ok(report)
}

#[derive(Default)]
struct Targets {
    rows: Vec<[String; 4]>,
    missed: Vec<String>,
}

impl Targets {
    fn check(&mut self, what: &str, measured: f64, target: f64, unit: &str) {
        let met = measured <= target;
        let verdict = if met { "met" } else { "**missed**" };
        self.rows.push([
            what.to_owned(),
            format!("{measured:.1} {unit}"),
            format!("<= {target:.0} {unit}"),
            verdict.to_owned(),
        ]);
        if !met {
            self.missed.push(format!("{what}: {measured:.1} {unit}, more than {target:.0}"));
        }
    }
}

/// One way of deploying, against its bare counterpart.
#[derive(Default)]
struct Pair {
    bare: Series,
    ours: Series,
    over: Series,
    steps: BTreeMap<Step, Series>,
}

impl Pair {
    fn add(&mut self, bare: Duration, ours: Duration, ended: &Ended) {
        self.bare.add(millis(bare));
        self.ours.add(millis(ours));
        self.over.add(millis(ours) - millis(bare));
        for step in Step::ALL {
            if let Some(took) = ended.took(*step) {
                self.steps.entry(*step).or_default().add(millis(took));
            }
        }
    }

    fn row(&self, what: String) -> [String; 4] {
        let steps = self.steps.iter().map(|(step, took)| format!("{step} {:.0}", took.median()));
        let steps: Vec<String> = steps.collect();
        let what = format!("{what}; steps, p50 in ms: {}", steps.join(", "));
        [what, self.bare.millis(), self.ours.millis(), self.over.millis()]
    }
}

#[derive(Default)]
struct Deploys {
    config: Pair,
    folder: Pair,
    /// Bare containers on the engine's default bridge.
    bridged: Series,
    swap: Series,
}

impl Deploys {
    fn rows(&self, runtime: RuntimeKind) -> Vec<[String; 4]> {
        let mut rows = vec![
            self.config.row(format!("{runtime}: new instances")),
            self.folder.row(format!("{runtime}: changed folder")),
            [format!("{runtime}: route swap"), String::new(), self.swap.millis(), String::new()],
        ];
        if runtime == RuntimeKind::Docker {
            let what = format!("{runtime}: a bare container on the engine's default bridge");
            rows.push([what, self.bridged.millis(), String::new(), String::new()]);
        }
        rows
    }
}

async fn deploys(programs: &Programs, runtime: RuntimeKind, runs: usize) -> Outcome<Deploys> {
    let platform = Platform::start(programs, runtime).await?;
    let trees = Trees::new(&platform.beside("trees"), &programs.probe_app, runtime)?;
    let app = platform.create_app("probe", probe_settings(Duration::from_secs(5))?).await?;
    let first = trees.make("first", Manner::Plain)?;
    let mut serving = platform.deploy_well(&app, &first).await?.release()?;
    let client = match runtime {
        RuntimeKind::Docker => Some(engine::usual().await?),
        RuntimeKind::Process => None,
    };
    if let Some(client) = &client {
        engine::build(client, &first, BARE).await?;
        drop(client.remove_network(BARE_NETWORK).await);
        client.create_network(&NetworkSpec { name: BARE_NETWORK.to_owned(), ..NetworkSpec::default() }).await?;
    }
    let mut measured = Deploys::default();
    for run in 0..runs {
        // New instances of the same artifact.
        let bare = match &client {
            Some(client) => {
                measured.bridged.add(millis(bare_container(client, None).await?));
                bare_container(client, placed()).await?
            }
            None => bare_process(&programs.probe_app).await?,
        };
        let vars = BTreeMap::from([("RUN".parse()?, Secret::new(run.to_string()))]);
        let began = Instant::now();
        let set = platform.api().call(SetEnv { app: app.id.into(), vars, stage: false }).await?;
        let deployment = set.deployment.ok_or("a change of the environment made no deployment")?;
        let (ours, ended, swap) = until_served(&platform, &app, deployment, &serving, began).await?;
        serving = ended.release()?;
        measured.config.add(bare, ours, &ended);
        measured.swap.add(swap);

        // A changed folder.
        let tree = trees.make(&format!("run-{run}"), Manner::Plain)?;
        let bare = match &client {
            Some(client) => {
                let began = Instant::now();
                engine::build(client, &tree, BARE).await?;
                began.elapsed() + bare_container(client, placed()).await?
            }
            None => bare_process(&programs.probe_app).await?,
        };
        let began = Instant::now();
        let deployment = platform.begin(&app, &tree).await?;
        let (ours, ended, swap) = until_served(&platform, &app, deployment, &serving, began).await?;
        serving = ended.release()?;
        measured.folder.add(bare, ours, &ended);
        measured.swap.add(swap);
        progress(format!("{runtime}: {} of {runs} deploys", run + 1));
    }
    if let Some(client) = &client {
        client.remove_network(BARE_NETWORK).await?;
        drop(client.remove_image(BARE, sh0_docker::client::RemoveImage::default()).await);
    }
    Ok(measured)
}

/// Waits until another release than before answers through the proxy, and for the deployment's end; answers how long the
/// first took, and the part of it that came after the commit of the switch.
async fn until_served(
    platform: &Platform,
    app: &App,
    deployment: Deployment,
    before: &str,
    began: Instant,
) -> Outcome<(Duration, Ended, f64)> {
    until_started(platform, &deployment).await?;
    first_answer(addr(app), |release| release.is_some_and(|release| release != before)).await?;
    let (took, served_at) = (began.elapsed(), Timestamp::now());
    let ended = platform.finish(&deployment).await?;
    ended.deployment.outcome()?;
    let switched = ended.began(Step::Drain).ok_or("no switch")?;
    let swap = served_at.duration_since(switched).as_secs_f64() * 1000.0;
    Ok((took, ended, swap))
}

/// Waits until the deployment has started its instances. No new release answers before, and asking all that time would
/// take from the engine's start what the bare way leaves it.
async fn until_started(platform: &Platform, deployment: &Deployment) -> Outcome {
    let follow = FollowDeployment { app: deployment.app.into(), deployment: deployment.id, after: None };
    let mut events = platform.api().stream(follow).await?;
    while let Some(event) = events.next().await {
        if matches!(event?.what, EventKind::StepStarted { step } if step >= Step::Health) {
            return Ok(());
        }
    }
    platform.finish(deployment).await?.deployment.outcome()?;
    Err("a deployment ended without starting anything".into())
}

/// Asks every millisecond until an answer is 200 and comes from the right release.
async fn first_answer(addr: SocketAddr, right: impl Fn(Option<&str>) -> bool) -> Outcome {
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        if let Ok(text) = ask(addr, &addr.to_string(), "/").await
            && text.starts_with("HTTP/1.1 200")
            && right(who(&text).0.as_deref())
        {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    Err(format!("no answer from {addr} within {LIMIT:?}").into())
}

const BARE: &str = "sh0-proof-bare:latest";
const BARE_NETWORK: &str = "sh0-proof-bare";

/// Where sh0 puts its containers too: in a network that is not the engine's default one, with a resolver of its own.
fn placed() -> Option<NetworkMode> {
    Some(NetworkMode::Named(BARE_NETWORK.to_owned()))
}

/// Create and start through the API, with what sh0 also asks for, then ask every millisecond.
async fn bare_container(client: &Client, network: Option<NetworkMode>) -> Outcome<Duration> {
    let spec = ContainerSpec {
        image: BARE.to_owned(),
        network,
        init: Some(true),
        restart: RestartPolicy::UnlessStopped,
        no_healthcheck: true,
        security_opt: vec!["no-new-privileges".into()],
        log: Some(LogConfig::json_file(10 * 1024 * 1024, 3)),
        ..ContainerSpec::default()
    };
    let began = Instant::now();
    let id = client.create_container(None, &spec).await?.id;
    client.start_container(&id).await?;
    let container = client.inspect_container(&id).await?;
    let ip = container.networks().values().find_map(|network| network.ip).ok_or("the container has no address")?;
    let answered = first_answer(SocketAddr::new(ip, 8080), |_| true).await;
    let took = began.elapsed();
    client.remove_container(&id, RemoveContainer { force: true, volumes: true }).await?;
    answered.map(|()| took)
}

/// Spawn, then ask every millisecond.
async fn bare_process(program: &Path) -> Outcome<Duration> {
    let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let began = Instant::now();
    let mut child = Command::new(program)
        .env("PORT", addr.port().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let answered = first_answer(addr, |_| true).await;
    let took = began.elapsed();
    child.kill()?;
    child.wait()?;
    answered.map(|()| took)
}

async fn start_and_idle(programs: &Programs, report: &mut Report, targets: &mut Targets) -> Outcome {
    let mut platform = Platform::start(programs, RuntimeKind::Process).await?;
    let (mut alone, mut with_edge) = (Series::default(), Series::default());
    for _ in 0..20 {
        platform.kill()?;
        alone.add(millis(platform.launch().await?));
    }
    for _ in 0..10 {
        let edge = platform.edge().ok_or("there is no edge")?;
        platform.kill()?;
        edge.kill();
        while crate::system::runs(edge.pid) {
            tokio::time::sleep(POLL).await;
        }
        with_edge.add(millis(platform.launch().await?));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let server = pss(platform.pid().ok_or("no server")?)? as f64 / MEGABYTE;
    let edge = pss(platform.edge().ok_or("there is no edge")?.pid)? as f64 / MEGABYTE;
    let size = std::fs::metadata(&programs.sh0)?.len() as f64 / MEGABYTE;
    report.section("Start, idle memory, size");
    report.table(
        &["what", ""],
        [
            ["start of the process to the first answer of the API, edge running".to_owned(), alone.millis()],
            ["the same, and the edge is started too".to_owned(), with_edge.millis()],
            ["idle server, PSS".to_owned(), format!("{server:.1} MB")],
            ["idle edge, PSS".to_owned(), format!("{edge:.1} MB")],
            ["the program `sh0`, stripped, everything in it".to_owned(), format!("{size:.1} MB")],
        ],
    );
    targets.check("start to ready, p50", with_edge.median(), 100.0, "ms");
    targets.check("idle server, PSS", server, 20.0, "MB");
    Ok(())
}

async fn many_apps(programs: &Programs, count: usize, report: &mut Report, targets: &mut Targets) -> Outcome {
    let mut platform = Platform::start(programs, RuntimeKind::Process).await?;
    let (mut creates, mut gets, mut lists) = (Series::default(), Series::default(), Series::default());
    let settings = probe_settings(Duration::from_secs(5))?;
    let mut apps = Vec::new();
    for number in 0..count {
        let began = Instant::now();
        apps.push(platform.create_app(&format!("app-{number}"), settings.clone()).await?);
        creates.add(millis(began.elapsed()));
    }
    progress(format!("{count} apps were created"));
    for number in 0..2000 {
        let app = &apps[number * 7919 % apps.len()];
        let began = Instant::now();
        platform.api().call(GetApp { app: app.id.into() }).await?;
        gets.add(millis(began.elapsed()));
    }
    for _ in 0..300 {
        let began = Instant::now();
        let page = platform.api().call(ListApps::default()).await?;
        lists.add(millis(began.elapsed()));
        if page.items.len() != count.min(100) {
            return Err(format!("a page has {} apps", page.items.len()).into());
        }
    }
    platform.kill()?;
    let start = millis(platform.launch().await?);
    report.section(&format!("The API with {count} apps, over its Unix socket, one call after the other"));
    report.table(
        &["what", ""],
        [
            ["create an app".to_owned(), creates.millis()],
            ["read one app".to_owned(), gets.millis()],
            ["read a page of 100".to_owned(), lists.millis()],
            ["start to ready".to_owned(), format!("{start:.0} ms")],
        ],
    );
    // The issue names no figure; these are ours.
    targets.check("read one app of many, p99", gets.quantile(0.99), 10.0, "ms");
    targets.check("read a page of 100 of many, p99", lists.quantile(0.99), 50.0, "ms");
    Ok(())
}

async fn running_apps(programs: &Programs, count: usize, report: &mut Report, targets: &mut Targets) -> Outcome {
    let platform = Platform::start(programs, RuntimeKind::Process).await?;
    let trees = Trees::new(&platform.beside("trees"), &programs.probe_app, RuntimeKind::Process)?;
    let tree = trees.make_with("chatty", &[("PROBE_CHATTY_MS", "500")])?;
    let mut followers = JoinSet::new();
    for number in 0..count {
        let app = platform.create_app(&format!("app-{number}"), probe_settings(Duration::from_secs(5))?).await?;
        platform.deploy_well(&app, &tree).await?;
        let follow = serde_json::from_value::<FollowLogs>(serde_json::json!({ "app": app.id }))?;
        let mut lines = platform.api().stream(follow).await?;
        followers.spawn(async move {
            let mut count = 0u64;
            while let Some(Ok(_)) = lines.next().await {
                count += 1;
                if count == 20 {
                    break;
                }
            }
            // Stays connected, as a person who watches.
            (count, lines)
        });
    }
    progress(format!("{count} apps run"));
    let mut watched = Vec::new();
    while let Some(follower) = followers.join_next().await {
        let (lines, stream) = follower?;
        if lines < 20 {
            return Err("a followed log ended".into());
        }
        watched.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let shims = platform.shims();
    let server = pss(platform.pid().ok_or("no server")?)? as f64 / MEGABYTE;
    let edge = pss(platform.edge().ok_or("there is no edge")?.pid)? as f64 / MEGABYTE;
    let shim: f64 = shims.iter().map(|shim| pss(shim.pid).map_or(0.0, |bytes| bytes as f64)).sum::<f64>() / MEGABYTE;
    report
        .section(&format!("Memory with {count} running apps, two lines a second each, every log followed by a client"));
    report.table(
        &["what", "PSS"],
        [
            ["server".to_owned(), format!("{server:.1} MB")],
            ["edge".to_owned(), format!("{edge:.1} MB")],
            [format!("{} shims", shims.len()), format!("{shim:.1} MB, {:.2} each", shim / shims.len().max(1) as f64)],
            ["together".to_owned(), format!("{:.1} MB", server + edge + shim)],
        ],
    );
    if shims.len() != count {
        report.problem(format!("{} shims for {count} apps", shims.len()));
    }
    targets.check("server, edge and shims with running apps, PSS", server + edge + shim, 60.0, "MB");
    drop(watched);
    Ok(())
}
