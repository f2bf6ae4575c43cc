//! What breaks comes back without a human: removed containers, killed shims, a dead edge, a restarted engine, and all of
//! them started again in any order. What sh0 did not label stays as it is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sh0::model::RuntimeKind;
use sh0_docker::client::{Client, Container, ContainerSpec, RemoveContainer, RestartPolicy, StopOptions};

use super::progress;
use crate::Outcome;
use crate::engine::{self, OwnEngine, labelled};
use crate::load::{Watch, Watched, Way, Who};
use crate::platform::{Platform, Programs, addr, probe_settings};
use crate::report::{Report, millis};
use crate::system::Process;
use crate::trees::{Manner, Trees};

/// Invariant I13 of the design: after the fault ends, all is as it should be within this time.
const LIMIT: Duration = Duration::from_secs(60);

/// The apps: two on the engine, whose addresses an engine may give in another order.
const APPS: [(&str, RuntimeKind); 3] = [
    ("on-process", RuntimeKind::Process),
    ("first-on-docker", RuntimeKind::Docker),
    ("next-on-docker", RuntimeKind::Docker),
];

/// How often the engine is restarted with nothing else being down.
const RESTARTS: usize = 3;

/// A platform with apps on each runtime, and an engine of its own.
struct Stage {
    platform: Platform,
    /// Two ways to each app: its own port, and its name at the port of all.
    ways: Vec<Way>,
    /// The apps' labels, by the id that their containers carry.
    labels: BTreeMap<String, &'static str>,
    /// Containers that sh0 did not make: one of an image of its own, one of the app's image.
    foreign: Vec<Container>,
    /// Dropped last: the platform's containers and network are removed through it.
    engine: OwnEngine,
}

/// What the faults showed.
#[derive(Default)]
struct Notes {
    rows: Vec<[String; 4]>,
    report: Report,
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
    let mut stage = Stage::set(&programs).await?;
    let (mut notes, before) = (Notes::default(), stage.addresses().await?);

    let watch = stage.watch();
    let healed = stage.container_removed().await;
    notes.add("`docker rm -f` of both containers", healed, watch).await;
    for with_app in [false, true] {
        let watch = stage.watch();
        let healed = stage.shim_killed(with_app).await;
        notes
            .add(if with_app { "`kill -9` of a shim and its app" } else { "`kill -9` of a shim" }, healed, watch)
            .await;
    }
    let watch = stage.watch();
    let healed = stage.edge_killed().await;
    notes.add("`kill -9` of the edge", healed, watch).await;
    let watch = stage.watch();
    let healed = stage.containers_turned().await;
    notes.add("`docker stop` of both containers, `docker start` in the other order", healed, watch).await;
    for _ in 0..RESTARTS {
        let watch = stage.watch();
        let healed = stage.engine_restarted().await;
        notes.add("stop and start of dockerd", healed, watch).await;
    }
    for order in Part::ORDERS {
        let watch = stage.watch();
        let healed = stage.started_in(order).await;
        notes.add(&format!("everything down, then {order:?}"), healed, watch).await;
    }

    let Notes { rows, mut report } = notes;
    report.section("From the fault, or the last start, until every app answered and nothing was left over");
    report.table(&["what", "time", "answers meanwhile", "no answer, or 5xx"], rows);
    report.say(
        "Every answer of an app was its own text: three apps, each asked every 20 ms on its own port and by its host name, \
         from before the fault until all was in order. An answer with the label of another app, from a stranger, or one \
         that says there is no such app, is a failure of the proof.",
    );
    let shown = |addresses: BTreeMap<&str, IpAddr>| {
        addresses.iter().map(|(app, ip)| format!("{app} {ip}")).collect::<Vec<_>>().join(", ")
    };
    let after = shown(stage.addresses().await?);
    report.say(format!("Addresses of the containers: at first {}; at the end {after}.", shown(before)));
    let untouched = stage.foreign_is_untouched().await;
    // The app's image is theirs too: nobody could remove it with the app.
    for container in &stage.foreign {
        let all = RemoveContainer { force: true, volumes: true };
        stage.client().await?.remove_container(&container.id, all).await?;
    }
    match untouched {
        Ok(()) => report.say("Two containers that sh0 did not make, one of them of the app's own image, were there and unchanged afterwards."),
        Err(error) => report.problem(error.to_string()),
    }
    report.say(
        "One app runs as a process and two on an engine of the proof's own. *Everything down* is `kill -9` of server, \
         edge, shims and apps, and a stop of dockerd. A part of an order is started and answers before the next one; \
         `Shims` at its place means that whichever shims run then are killed again, with their apps: nobody but the server \
         starts them. Nothing is asked of the platform in between.",
    );
    Ok(report)
}

impl Notes {
    async fn add(&mut self, what: &str, healed: Outcome<Duration>, watch: Watch) {
        let Watched { own, nobody, other } = watch.stop().await;
        progress(format!("{what}: {healed:?}; {own} answers, {nobody} requests without, {} wrong", other.len()));
        let time = match &healed {
            Ok(time) => format!("{:.0} ms", millis(*time)),
            Err(_) => "**not within 60 s**".to_owned(),
        };
        self.rows.push([what.to_owned(), time, own.to_string(), nobody.to_string()]);
        if let Err(error) = healed {
            self.report.problem(format!("{what}: {error}"));
        }
        if let Some(first) = other.first() {
            self.report.problem(format!("{what}: {} wrong answers, the first {first}", other.len()));
        }
    }
}

impl Stage {
    async fn set(programs: &Programs) -> Outcome<Stage> {
        let engine = OwnEngine::start().await?;
        let client = engine.client().await?;
        let socket = engine.socket();
        let socket = socket.to_str().ok_or("the socket's path is not UTF-8")?;
        let platform = Platform::start_with(programs, RuntimeKind::Docker, &["--docker-socket", socket]).await?;
        let (mut ways, mut labels) = (Vec::new(), BTreeMap::new());
        for (label, kind) in APPS {
            let trees = Trees::new(&platform.beside("trees"), &programs.probe_app, kind)?;
            let app = platform.create_app_on(label, probe_settings(Duration::from_secs(1))?, kind).await?;
            platform.deploy_well(&app, &trees.make(label, Manner::Plain)?).await?;
            labels.insert(app.id.to_string(), label);
            let (own, all) = (addr(&app), platform.listen());
            ways.push(Way { addr: own, host: own.to_string(), label: label.to_owned() });
            ways.push(Way { addr: all, host: format!("{label}.localhost"), label: label.to_owned() });
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
        Ok(Stage { platform, ways, labels, foreign, engine })
    }

    fn watch(&self) -> Watch {
        Watch::start(&self.ways)
    }

    /// Where the apps' containers are.
    async fn addresses(&self) -> Outcome<BTreeMap<&'static str, IpAddr>> {
        let owner = self.platform.id.ok_or("the platform has no id")?;
        let mut addresses = BTreeMap::new();
        for container in labelled(&self.client().await?, owner).await? {
            let app =
                container.labels.get("sh0.app").and_then(|id| self.labels.get(id)).ok_or("a container of no app")?;
            let ip = container.networks().values().find_map(|network| network.ip);
            addresses.insert(*app, ip.ok_or("a container without an address")?);
        }
        Ok(addresses)
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
        for (way, who) in self.ways.iter().zip(join_all(self.ways.iter().map(Way::ask)).await) {
            if let Who::Nobody(text) | Who::Other(text) = who {
                return Err(format!("{} at {}: {text}", way.host, way.addr).into());
            }
        }
        let owner = self.platform.id.ok_or("the platform has no id")?;
        let containers = labelled(&self.client().await?, owner).await?.len();
        let shims = self.platform.shims().len();
        // A killed shim leaves its app behind: that must not run on beside its successor.
        let is_app = |process: &Process| process.command.first().is_some_and(|word| word.ends_with("probe-app"));
        let apps = self.platform.processes().iter().filter(|process| is_app(process)).count();
        if (containers, shims, apps) != (2, 1, 1) {
            return Err(format!("{containers} containers, {shims} shims and {apps} apps, not 2, 1 and 1").into());
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

    /// What gives addresses in the order of starts gives each the other's.
    async fn containers_turned(&mut self) -> Outcome<Duration> {
        let client = self.client().await?;
        let owner = self.platform.id.ok_or("the platform has no id")?;
        let mut containers = labelled(&client, owner).await?;
        containers.sort_by_key(|container| container.networks().values().find_map(|network| network.ip));
        for container in &containers {
            client.stop_container(&container.id, &StopOptions::default()).await?;
        }
        for container in containers.iter().rev() {
            client.start_container(&container.id).await?;
        }
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
