//! What is written down of a release and of an instance.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sh0_core::model::{
    AppId, Artifact, DeploymentId, EnvKey, InstanceName, Plan, PlatformId, ProcessName, RelPath, ReleaseId, Resources,
    Sealed, Secret, VolumeMount, wire,
};
use sh0_core::traits::{CommandLine, InstanceSpec, Labels, Sealer};
use sh0_core::{Error, LocalKey, Result};

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
    pub env: Variables,
    pub resources: Resources,
    pub volumes: Vec<VolumeMount>,
    pub restart: bool,
    /// Its own port on 127.0.0.1.
    pub port: Option<u16>,
    /// Who may ask its shim.
    pub key: LocalKey,
}

/// The variables of an instance, for its next start and for commands beside it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Variables {
    /// JSON, sealed with the name of the instance.
    Sealed(Sealed),
    /// Where the runtime has no sealer.
    Plain(#[serde(with = "wire::map")] BTreeMap<EnvKey, Secret>),
}

/// For what is inside of the seal.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Inside(#[serde(with = "wire::map")] BTreeMap<EnvKey, Secret>);

impl Variables {
    pub(crate) fn keep(
        sealer: Option<&dyn Sealer>,
        name: &InstanceName,
        env: BTreeMap<EnvKey, Secret>,
    ) -> Result<Self> {
        let Some(sealer) = sealer else { return Ok(Variables::Plain(env)) };
        let text = Secret::new(serde_json::to_string(&Inside(env))?);
        Ok(Variables::Sealed(sealer.seal(&row(name), &text)?))
    }

    pub(crate) fn open(&self, sealer: Option<&dyn Sealer>, name: &InstanceName) -> Result<BTreeMap<EnvKey, Secret>> {
        match (self, sealer) {
            (Variables::Plain(env), _) => Ok(env.clone()),
            (Variables::Sealed(sealed), Some(sealer)) => {
                Ok(serde_json::from_str::<Inside>(sealer.open(&row(name), sealed)?.expose())?.0)
            }
            (Variables::Sealed(_), None) => {
                Err(Error::internal(format!("the variables of {name} are sealed, and there is no key")))
            }
        }
    }
}

fn row(name: &InstanceName) -> String {
    format!("instance/{name}")
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
    pub(crate) fn new(spec: &InstanceSpec, env: Variables, port: Option<u16>, key: LocalKey) -> Record {
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
            env,
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
