use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use async_trait::async_trait;

use crate::Result;
use crate::model::{AppName, AppSettings, EnvKey, Export, ExportTarget, Plan, ProcessName, Report, Timestamp};

/// Knows source trees: how they are built and started, what in them will hurt, how other platforms write that down. Reads
/// the tree, changes nothing.
#[async_trait]
pub trait Planner: Send + Sync {
    /// The plan for a tree.
    ///
    /// Fails with [`Code::BuildFailed`](crate::Code::BuildFailed) when nothing is recognised: the text lists what was
    /// looked for and the quickest ways out.
    async fn plan(&self, request: PlanRequest<'_>) -> Result<Plan>;

    /// What the health rules find in a tree that has a plan.
    async fn check(&self, request: CheckRequest<'_>) -> Result<Report>;

    /// The app as the files of another platform. The same input gives the same files.
    fn export(&self, app: &ExportInput<'_>, target: ExportTarget) -> Export;
}

/// What to plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest<'a> {
    /// The tree.
    pub tree: &'a Path,
    /// The settings of the app, which override what is detected.
    pub settings: &'a AppSettings,
    /// What the runtime says of [`build_mounts`](super::Runtime::build_mounts).
    pub mounts: bool,
    /// The variables of the build, by name.
    pub env: &'a [EnvKey],
}

/// A tree to check, and what is known beyond it.
#[derive(Debug, Clone)]
pub struct CheckRequest<'a> {
    /// The tree.
    pub tree: &'a Path,
    /// Its plan.
    pub plan: &'a Plan,
    /// The settings of the app.
    pub settings: &'a AppSettings,
    /// The app's variables, which rules do not ask for.
    pub env: BTreeSet<EnvKey>,
    /// Now: decides what is past its end of life.
    pub now: Timestamp,
}

/// What is exported.
#[derive(Debug, Clone)]
pub struct ExportInput<'a> {
    /// The app's name.
    pub name: &'a AppName,
    /// How it is built and started.
    pub plan: &'a Plan,
    /// Its port, health check, resources, volumes and release command.
    pub settings: &'a AppSettings,
    /// How many instances of each process; its [`usual_scale`](ProcessName::usual_scale) when absent.
    pub scale: BTreeMap<ProcessName, u32>,
    /// Its variables.
    pub env: BTreeMap<EnvKey, ExportEnv>,
    /// What leads to it.
    pub domains: Vec<ExportDomain>,
    /// What runs at fixed times.
    pub crons: Vec<ExportCron>,
    /// The image, for platforms that only take images; a name to fill in when absent.
    pub image: Option<String>,
}

/// A host name of the app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExportDomain {
    /// The name.
    pub host: String,
    /// Only requests at or below this path; everything when absent.
    pub path: Option<String>,
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportEnv {
    /// As it is.
    Plain(String),
    /// Only its name is exported.
    Secret,
}

/// A command that runs at fixed times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportCron {
    /// Its name: lower-case letters, digits and dashes.
    pub name: String,
    /// When, in the five fields of cron.
    pub schedule: String,
    /// What.
    pub command: String,
}
