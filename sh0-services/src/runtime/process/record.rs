//! What is written down of a release and of an instance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sh0_core::model::{
    AppId, Artifact, DeploymentId, EnvKey, InstanceName, Plan, PlatformId, ProcessName, RelPath, ReleaseId, Resources,
    Secret, VolumeMount, wire,
};
use sh0_core::traits::{CommandLine, InstanceSpec, Labels};

use super::launch::Key;

/// meta.json of a release: that it is whole, whose it is, and how it is started by itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub platform: PlatformId,
    pub app: AppId,
    pub static_dir: Option<String>,
    pub spa_fallback: bool,
    pub start_command: Option<String>,
    pub paths: Vec<RelPath>,
}

impl Meta {
    pub(crate) fn new(platform: PlatformId, app: AppId, plan: &Plan) -> Meta {
        Meta {
            platform,
            app,
            static_dir: plan.static_dir.clone(),
            spa_fallback: plan.spa_fallback,
            start_command: plan.start_command.clone(),
            paths: plan.paths.clone(),
        }
    }
}

/// spec.json of an instance: its [`InstanceSpec`], and what the runtime added.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub name: InstanceName,
    pub platform: PlatformId,
    pub app: AppId,
    pub release: ReleaseId,
    pub deployment: DeploymentId,
    pub process: ProcessName,
    pub index: u32,
    pub one_off: bool,
    pub artifact: Artifact,
    pub command: Option<Command>,
    #[serde(with = "wire::map")]
    pub env: BTreeMap<EnvKey, Secret>,
    pub resources: Resources,
    pub volumes: Vec<VolumeMount>,
    pub restart: bool,
    /// Its own port on 127.0.0.1.
    pub port: Option<u16>,
    /// Who may ask its shim.
    pub key: Key,
}

/// A [`CommandLine`] that can be written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Shell(String),
    Exec(Vec<String>),
}

impl From<&CommandLine> for Command {
    fn from(command: &CommandLine) -> Self {
        match command {
            CommandLine::Shell(line) => Command::Shell(line.clone()),
            CommandLine::Exec(words) => Command::Exec(words.clone()),
        }
    }
}

impl Record {
    pub(crate) fn new(spec: &InstanceSpec, port: Option<u16>, key: Key) -> Record {
        Record {
            name: spec.name.clone(),
            platform: spec.labels.platform,
            app: spec.labels.app,
            release: spec.labels.release,
            deployment: spec.labels.deployment,
            process: spec.labels.process.clone(),
            index: spec.labels.index,
            one_off: spec.labels.one_off,
            artifact: spec.artifact.clone(),
            command: spec.command.as_ref().map(Command::from),
            env: spec.env.clone(),
            resources: spec.resources,
            volumes: spec.volumes.clone(),
            restart: spec.restart,
            port,
            key,
        }
    }

    pub(crate) fn labels(&self) -> Labels {
        Labels {
            platform: self.platform,
            app: self.app,
            release: self.release,
            deployment: self.deployment,
            process: self.process.clone(),
            index: self.index,
            one_off: self.one_off,
        }
    }
}
