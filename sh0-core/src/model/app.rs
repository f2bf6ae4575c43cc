//! An app: what should run, and how.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AbsPath, AppId, AppName, Bytes, DeploymentId, FailOn, MilliCpus, Millis, ProcessName, ProjectId, RelPath,
    ReleaseId, Source, Timestamp, Upstream, UrlPath, VolumeName,
};

/// Process types that people run by hand, or that another platform runs at its own time: `console` and `rake` of Heroku's
/// Ruby buildpack, `postdeploy` of Scalingo and of `app.json`, `preflight` of Piku. See docs/decisions/005.
const ONE_OFF: &[&str] = &[
    "console",
    "dev",
    "irb",
    "manage",
    "migrate",
    "postdeploy",
    "predeploy",
    "preflight",
    "rails",
    "rake",
    "release",
    "seed",
    "shell",
    "test",
];

impl ProcessName {
    /// Whether by convention it ends by itself, or waits for a person.
    pub fn is_one_off(&self) -> bool {
        ONE_OFF.contains(&self.as_str())
    }

    /// How many instances there are of it until somebody says another number.
    pub fn usual_scale(&self) -> u32 {
        if self.is_one_off() { 0 } else { 1 }
    }
}

/// An app as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct App {
    /// Its immutable id.
    pub id: AppId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// Its name, unique in the project.
    pub name: AppName,
    /// Where it runs; pinned at its first deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeKind>,
    /// Where its code comes from when a deployment does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How it is built, started, checked and limited.
    pub settings: AppSettings,
    /// How many instances of each process; 1 when absent, but 0 of those that are run by hand by convention: `console`,
    /// `rake`, `migrate`, ...
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scale: BTreeMap<ProcessName, u32>,
    /// Whether it should run.
    pub desired: Desired,
    /// What serves now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Live>,
    /// Why changes are refused, while they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// The port on which the platform's proxy answers for this app alone, whatever the host name.
    pub port: u16,
    /// Addresses that answer, the plain one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// When it was created.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
}

impl App {
    /// How many instances of `process` should run.
    pub fn wanted(&self, process: &ProcessName) -> u32 {
        match self.desired {
            Desired::Running => self.scale.get(process).copied().unwrap_or_else(|| process.usual_scale()),
            Desired::Stopped => 0,
        }
    }
}

/// Which runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeKind {
    /// A Docker Engine.
    Docker,
    /// Plain processes of this host.
    Process,
}

impl RuntimeKind {
    /// The word that configuration and labels use.
    pub fn as_str(self) -> &'static str {
        match self {
            RuntimeKind::Docker => "docker",
            RuntimeKind::Process => "process",
        }
    }
}

impl std::fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an app should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Its live release serves.
    Running,
    /// Nothing of it runs; data and releases stay.
    Stopped,
}

/// The release that serves, the rollout that started its instances, and where they answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Live {
    /// The release.
    pub release: ReleaseId,
    /// Its number.
    pub number: u64,
    /// The deployment whose instances serve: instance names are made from it.
    pub deployment: DeploymentId,
    /// The healthy `web` instances and their addresses.
    pub upstreams: Vec<Upstream>,
}

/// Changes of what serves, of addresses and of data are refused until it is taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lock {
    /// Why.
    pub reason: String,
    /// Who locked it.
    pub by: String,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
}

/// How an app is built, started, checked and limited. Part of every release, so a rollback restores it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AppSettings {
    /// The folder of the app within its source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<RelPath>,
    /// The command that starts `web`, in place of the detected one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_command: Option<String>,
    /// Runs once before each switch, such as a database migration; a failure ends the deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_command: Option<String>,
    /// The port on which `web` listens, in place of the detected one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How it is found to be ready.
    pub health: HealthCheck,
    /// How a new release takes over.
    pub strategy: Strategy,
    /// How long the old release may finish what it has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_timeout: Option<Millis>,
    /// How long an instance may take to end after SIGTERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_grace: Option<Millis>,
    /// How grave a finding of the health rules has to be to block a deployment; as `sh0.toml` says when absent, never when
    /// that says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_on: Option<FailOn>,
    /// What an instance may use.
    pub resources: Resources,
    /// Folders that outlive releases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeMount>,
}

impl AppSettings {
    /// How long the old release may finish what it has begun: 30 s unless set.
    pub fn drain_timeout(&self) -> Millis {
        self.drain_timeout.unwrap_or(Millis::from_secs(30))
    }

    /// How long an instance may take to end after SIGTERM: 10 s unless set.
    pub fn stop_grace(&self) -> Millis {
        self.stop_grace.unwrap_or(Millis::from_secs(10))
    }
}

/// How a new release takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// New instances become healthy, traffic switches, old ones drain. No request is dropped.
    #[default]
    Rolling,
    /// Old instances stop first: for apps that must not run twice. Requests fail meanwhile.
    Recreate,
}

/// How an instance is found to be ready, from outside, by the platform itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheck {
    /// The path that must answer 2xx or 3xx; a TCP connection is enough when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<UrlPath>,
    /// Between two probes.
    pub interval: Millis,
    /// For one probe.
    pub timeout: Millis,
    /// Successes in a row that make it healthy.
    #[schemars(range(min = 1, max = 10))]
    pub successes: u32,
    /// How long a new instance may take to become healthy.
    pub start_period: Millis,
    /// Probes behind the start period, an interval apart, that may fail before the instance has failed.
    #[schemars(range(max = 10))]
    pub retries: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        HealthCheck {
            path: None,
            interval: Millis(200),
            timeout: Millis::from_secs(5),
            successes: 1,
            start_period: Millis::from_secs(60),
            retries: 0,
        }
    }
}

/// What an instance may use; absent is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Resources {
    /// Memory, swap included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<MilliCpus>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 4, max = 1_000_000))]
    pub pids: Option<u32>,
}

/// A volume of the app, and where an instance sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeMount {
    /// Its name within the app.
    pub name: VolumeName,
    /// The folder inside an instance. The process runtime has no private file system: there the app finds the folder
    /// in the variable `SH0_VOLUME_<NAME>`, and under `data/<name>` of its working folder.
    pub path: AbsPath,
}
