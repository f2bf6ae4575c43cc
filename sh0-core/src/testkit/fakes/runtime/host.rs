use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use crate::model::{
    AppId, Artifact, Exit, HealthCheck, InstanceName, InstanceState, LogStream, RuntimeKind, Timestamp, VolumeName,
};
use crate::traits::{CommandLine, InstanceSpec, Observed, Probe, RawLine};

/// What an instance plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers every probe as it should.
    Healthy,
    /// Refuses so many probes, then answers.
    HealthyAfter(u32),
    /// Answers every second probe.
    Flaps,
    /// Answers one probe and ends.
    DiesOnceProbed(Exit),
    /// Prints `boom` and ends as soon as it is started.
    Exits(Exit),
    /// Ends and is started again, for ever.
    CrashLoops,
    /// Runs, and never opens its port.
    Silent,
    /// Listens on the loopback address inside of the instance only.
    LoopbackOnly,
    /// Takes connections and never answers.
    Hangs,
    /// Answers with this HTTP status.
    Status(u16),
    /// Its program cannot be run.
    CannotStart(String),
    /// Its build fails, for this reason.
    BuildFails(String),
    /// Its build never ends.
    BuildHangs,
}

/// An instance on the host.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct FakeInstance {
    pub spec: InstanceSpec,
    pub behaviour: Behaviour,
    pub state: InstanceState,
    pub endpoint: Option<SocketAddr>,
    pub restarts: u64,
    pub started_at: Option<Timestamp>,
    pub probes: u32,
    /// Whether it has ever answered a probe as it should since its last start.
    pub answered: bool,
    pub lines: Vec<RawLine>,
}

pub(super) struct Host {
    kind: RuntimeKind,
    pub(super) away: bool,
    pub(super) scripts: BTreeMap<String, Behaviour>,
    pub(super) artifacts: BTreeMap<String, Built>,
    pub(super) instances: BTreeMap<InstanceName, FakeInstance>,
    pub(super) volumes: BTreeMap<(AppId, VolumeName), String>,
    last_port: u16,
}

pub(super) struct Built {
    pub(super) artifact: Artifact,
    /// Pulled images belong to nobody.
    pub(super) app: Option<AppId>,
}

impl Host {
    pub(super) fn new(kind: RuntimeKind) -> Self {
        Host {
            kind,
            away: false,
            scripts: BTreeMap::new(),
            artifacts: BTreeMap::new(),
            instances: BTreeMap::new(),
            volumes: BTreeMap::new(),
            last_port: 20_000,
        }
    }

    pub(super) fn next_port(&mut self) -> u16 {
        self.last_port += 1;
        self.last_port
    }

    /// Keeps an artifact; the same name gives the same one.
    pub(super) fn keep(&mut self, id: String, app: Option<AppId>, artifact: Artifact) -> Artifact {
        self.artifacts.entry(id).or_insert(Built { artifact, app }).artifact.clone()
    }

    pub(super) fn artifact(&self, id: &str) -> Artifact {
        Artifact { runtime: self.kind, id: id.to_owned(), image: None, port: None }
    }

    /// What this spec plays.
    pub(super) fn behaviour(&self, spec: &InstanceSpec) -> Behaviour {
        let command = match &spec.command {
            Some(CommandLine::Shell(line)) => line.clone(),
            Some(CommandLine::Exec(words)) => words.join(" "),
            None => spec.artifact.image.as_ref().map_or(&*spec.artifact.id, |image| image.as_str()).to_owned(),
        };
        let plain = if spec.labels.one_off { Behaviour::Exits(Exit::default()) } else { Behaviour::Healthy };
        self.scripts.get(&command).cloned().unwrap_or(plain)
    }

    pub(super) fn create(&mut self, spec: &InstanceSpec) -> bool {
        let behaviour = self.behaviour(spec);
        let new = !self.instances.contains_key(&spec.name);
        self.instances.entry(spec.name.clone()).or_insert_with(|| FakeInstance::new(spec.clone(), behaviour));
        new
    }
}

impl FakeInstance {
    /// One that was created and not started.
    pub fn new(spec: InstanceSpec, behaviour: Behaviour) -> Self {
        FakeInstance {
            spec,
            behaviour,
            state: InstanceState::Created,
            endpoint: None,
            restarts: 0,
            started_at: None,
            probes: 0,
            answered: false,
            lines: Vec::new(),
        }
    }

    /// What a runtime shows of it.
    pub fn observed(&self) -> Observed {
        Observed {
            name: self.spec.name.clone(),
            labels: self.spec.labels.clone(),
            state: self.state.clone(),
            endpoint: self.endpoint.filter(|_| self.state.is_running()),
            restarts: self.restarts,
            started_at: self.started_at,
        }
    }

    pub(super) fn begin(&mut self, at: Timestamp, port: u16) {
        self.started_at = Some(at);
        self.state = InstanceState::Running;
        (self.probes, self.answered) = (0, false);
        self.move_to(port);
        let print = |text: &str| RawLine { at, stream: LogStream::Stderr, text: text.to_owned() };
        match self.behaviour.clone() {
            Behaviour::Exits(exit) => {
                if exit.code != 0 {
                    self.lines.push(print("boom"));
                }
                self.end(exit);
            }
            Behaviour::CrashLoops => {
                self.lines.push(print("boom"));
                self.restarts += 1;
                self.state = InstanceState::Restarting;
            }
            _ => self.lines.push(print("started")),
        }
    }

    pub(super) fn move_to(&mut self, port: u16) {
        self.endpoint = self.spec.port.map(|_| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }

    pub(super) fn end(&mut self, exit: Exit) {
        self.state = InstanceState::Exited(exit);
    }

    pub(super) fn probe(&mut self, check: &HealthCheck) -> Probe {
        self.probes += 1;
        let probe = match &self.behaviour {
            Behaviour::Silent | Behaviour::LoopbackOnly => Probe::Refused,
            Behaviour::HealthyAfter(refused) if self.probes <= *refused => Probe::Refused,
            Behaviour::Flaps if self.probes.is_multiple_of(2) => Probe::Refused,
            Behaviour::Hangs => Probe::Unreachable("no answer in time".to_owned()),
            Behaviour::Status(status) if check.path.is_some() => Probe::Status(*status),
            _ => Probe::Healthy,
        };
        self.answered |= probe == Probe::Healthy;
        if let Behaviour::DiesOnceProbed(exit) = self.behaviour {
            self.end(exit);
        }
        probe
    }
}
