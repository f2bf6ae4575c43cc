//! What breaks comes back without a human: removed containers, killed shims, a dead edge, a restarted engine, and all of
//! them started again in any order. What sh0 did not label stays as it is.

use std::time::{Duration, Instant};

use sh0::model::{App, RuntimeKind};
use sh0_docker::client::{Client, Container, ContainerSpec, RemoveContainer, RestartPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::progress;
use crate::Outcome;
use crate::engine::{self, OwnEngine, labelled};
use crate::platform::{Platform, Programs, addr, probe_settings};
use crate::report::{Report, millis};
use crate::system::Process;
use crate::trees::{Manner, Trees};

/// Invariant I13 of the design: after the fault ends, all is as it should be within this time.
const LIMIT: Duration = Duration::from_secs(60);

/// A platform with an app on each runtime, and an engine of its own.
struct Stage {
    engine: OwnEngine,
    platform: Platform,
    apps: Vec<(RuntimeKind, App)>,
    /// Containers that sh0 did not make: one of an image of its own, one of the app's image.
    foreign: Vec<Container>,
}

/// The parts that are started in every order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Engine,
    Shims,
    Server,
}

impl Part {
    const ORDERS: [[Part; 3]; 6] = [
        [Part::Engine, Part::Shims, Part::Server],
        [Part::Engine, Part::Server, Part::Shims],
        [Part::Shims, Part::Engine, Part::Server],
        [Part::Shims, Part::Server, Part::Engine],
        [Part::Server, Part::Engine, Part::Shims],
        [Part::Server, Part::Shims, Part::Engine],
    ];
}

/// The whole row.
pub async fn prove() -> Outcome<Report> {
    let programs = Programs::find()?;
    let mut report = Report::default();
    let mut stage = Stage::set(&programs).await?;
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut note = |report: &mut Report, what: &str, healed: Outcome<Duration>| {
        progress(format!("{what}: {healed:?}"));
        match healed {
            Ok(time) => rows.push([what.to_owned(), format!("{:.0} ms", millis(time))]),
            Err(error) => {
                rows.push([what.to_owned(), "**not within 60 s**".to_owned()]);
                report.problem(format!("{what}: {error}"));
            }
        }
    };

    let healed = stage.container_removed().await;
    note(&mut report, "`docker rm -f` of an instance", healed);
    let healed = stage.shim_killed(false).await;
    note(&mut report, "`kill -9` of a shim", healed);
    let healed = stage.shim_killed(true).await;
    note(&mut report, "`kill -9` of a shim and its app", healed);
    let healed = stage.edge_killed().await;
    note(&mut report, "`kill -9` of the edge", healed);
    let healed = stage.engine_restarted().await;
    note(&mut report, "stop and start of dockerd", healed);
    for order in Part::ORDERS {
        let healed = stage.started_in(order).await;
        note(&mut report, &format!("everything down, then {order:?}"), healed);
    }
    report.section("From the fault, or the last start, until every app answered and nothing was left over");
    report.table(&["what", "time"], rows);
    match stage.foreign_is_untouched().await {
        Ok(()) => report.say("Two containers that sh0 did not make, one of them of the app's own image, were there and unchanged afterwards."),
        Err(error) => report.problem(error.to_string()),
    }
    report.say(
        "One app runs as a process and one on an engine of the proof's own. *Everything down* is `kill -9` of server, \
         edge, shims and apps, and a stop of dockerd. A part of an order is started and answers before the next one; \
         `Shims` at its place means that whichever shims run then are killed again, with their apps: nobody but the server \
         starts them. Nothing is asked of the platform in between.",
    );
    Ok(report)
}

impl Stage {
    async fn set(programs: &Programs) -> Outcome<Stage> {
        let engine = OwnEngine::start().await?;
        let client = engine.client().await?;
        let socket = engine.socket();
        let socket = socket.to_str().ok_or("the socket's path is not UTF-8")?;
        let platform = Platform::start_with(programs, RuntimeKind::Docker, &["--docker-socket", socket]).await?;
        let mut apps = Vec::new();
        for kind in [RuntimeKind::Process, RuntimeKind::Docker] {
            let trees = Trees::new(&platform.beside("trees"), &programs.probe_app, kind)?;
            let name = format!("on-{kind}");
            let app = platform.create_app_on(&name, probe_settings(Duration::from_secs(1))?, kind).await?;
            platform.deploy_well(&app, &trees.make(&name, Manner::Plain)?).await?;
            apps.push((kind, app));
        }
        let owner = platform.id.ok_or("the platform has no id")?;
        let ours = labelled(&client, owner).await?;
        let image = ours.first().ok_or("no container of the app")?.image_id.clone();
        let trees = Trees::new(&platform.beside("trees"), &programs.probe_app, RuntimeKind::Docker)?;
        engine::build(&client, &trees.make("foreign", Manner::Plain)?, "not-of-sh0:latest").await?;
        let mut foreign = Vec::new();
        for image in ["not-of-sh0:latest".to_owned(), image] {
            let restart = RestartPolicy::UnlessStopped;
            let id =
                client.create_container(None, &ContainerSpec { image, restart, ..ContainerSpec::default() }).await?.id;
            client.start_container(&id).await?;
            foreign.push(client.inspect_container(&id).await?);
        }
        Ok(Stage { engine, platform, apps, foreign })
    }

    async fn client(&self) -> Outcome<Client> {
        self.engine.client().await
    }

    /// Waits until every app answers, several times in a row, from instances of which there is one each.
    async fn healed(&self) -> Outcome<Duration> {
        let began = Instant::now();
        let mut good: Option<Instant> = None;
        let mut last = String::new();
        while began.elapsed() < LIMIT {
            match self.whole().await {
                Ok(()) => {
                    let since = *good.get_or_insert_with(Instant::now);
                    // It lasts.
                    if since.elapsed() > Duration::from_secs(2) {
                        return Ok(since - began);
                    }
                }
                Err(error) => (good, last) = (None, error.to_string()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(format!("{last}\n{}", self.platform.last_lines()).into())
    }

    async fn whole(&self) -> Outcome {
        for (kind, app) in &self.apps {
            let text = tokio::time::timeout(Duration::from_secs(2), ask(app)).await.map_err(|_| "no answer")?;
            let text = text.map_err(|error| format!("the app on {kind}: {error}"))?;
            if !text.starts_with("HTTP/1.1 200") || !text.contains(&format!("label=on-{kind}")) {
                return Err(format!("the app on {kind} answers {:?}", text.lines().next()).into());
            }
        }
        let owner = self.platform.id.ok_or("the platform has no id")?;
        let containers = labelled(&self.client().await?, owner).await?.len();
        let shims = self.platform.shims().len();
        // A killed shim leaves its app behind: that must not run on beside its successor.
        let is_app = |process: &Process| process.command.first().is_some_and(|word| word.ends_with("probe-app"));
        let apps = self.platform.processes().iter().filter(|process| is_app(process)).count();
        if (containers, shims, apps) != (1, 1, 1) {
            return Err(format!("{containers} containers, {shims} shims and {apps} apps, not one of each").into());
        }
        Ok(())
    }

    async fn container_removed(&mut self) -> Outcome<Duration> {
        let client = self.client().await?;
        let owner = self.platform.id.ok_or("the platform has no id")?;
        for container in labelled(&client, owner).await? {
            client.remove_container(&container.id, RemoveContainer { force: true, volumes: true }).await?;
        }
        self.healed().await
    }

    async fn shim_killed(&mut self, with_app: bool) -> Outcome<Duration> {
        let before = self.platform.shims();
        self.kill_shims(with_app);
        if before.is_empty() {
            return Err("there was no shim to kill".into());
        }
        let healed = self.healed().await?;
        if self.platform.shims() == before {
            return Err("the shim was not killed".into());
        }
        Ok(healed)
    }

    fn kill_shims(&self, with_app: bool) {
        let all = self.platform.processes();
        for shim in self.platform.shims() {
            shim.kill();
            if with_app {
                all.iter().filter(|process| process.parent == shim.pid).for_each(|app| app.kill());
            }
        }
    }

    async fn edge_killed(&mut self) -> Outcome<Duration> {
        self.platform.edge().ok_or("there is no edge")?.kill();
        self.healed().await
    }

    async fn engine_restarted(&mut self) -> Outcome<Duration> {
        self.engine.stop()?;
        self.engine.spawn()?;
        self.engine.ready().await?;
        self.healed().await
    }

    async fn started_in(&mut self, order: [Part; 3]) -> Outcome<Duration> {
        self.platform.kill()?;
        if let Some(edge) = self.platform.edge() {
            edge.kill();
        }
        self.kill_shims(true);
        self.engine.stop()?;
        for part in order {
            match part {
                Part::Engine => {
                    self.engine.spawn()?;
                    self.engine.ready().await?;
                }
                Part::Shims => self.kill_shims(true),
                Part::Server => drop(self.platform.launch().await?),
            }
        }
        self.healed().await
    }

    async fn foreign_is_untouched(&self) -> Outcome {
        for before in &self.foreign {
            let now = self.client().await?.inspect_container(&before.id).await?;
            if now.config != before.config || now.name() != before.name() {
                return Err("a container that sh0 did not make was changed".into());
            }
            // It has the engine's own restart policy.
            if now.state.pid.is_none() {
                return Err("a container that sh0 did not make does not run".into());
            }
        }
        Ok(())
    }
}

async fn ask(app: &App) -> Outcome<String> {
    let addr = addr(app);
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
