use std::path::Path;

use async_trait::async_trait;

use crate::Result;
use crate::model::{AppId, AppSettings, EnvKey, Plan};

/// Finds out how a source tree is built and started. Reads the tree, changes nothing.
#[async_trait]
pub trait Planner: Send + Sync {
    /// The plan for a tree.
    ///
    /// Fails with [`Code::BuildFailed`](crate::Code::BuildFailed) when nothing is recognised: the text lists what was
    /// looked for and the quickest ways out.
    async fn plan(&self, request: PlanRequest<'_>) -> Result<Plan>;
}

/// What to plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest<'a> {
    /// The app. What package managers keep between its builds is its own.
    pub app: AppId,
    /// The tree.
    pub tree: &'a Path,
    /// The settings of the app, which override what is detected.
    pub settings: &'a AppSettings,
    /// What the runtime says of [`build_mounts`](super::Runtime::build_mounts).
    pub mounts: bool,
    /// The variables of the build, by name.
    pub env: &'a [EnvKey],
}
