use std::path::Path;

use async_trait::async_trait;

use crate::Result;
use crate::model::{AppSettings, Plan};

/// Finds out how a source tree is built and started. Reads the tree, changes nothing.
#[async_trait]
pub trait Planner: Send + Sync {
    /// The plan for `tree`. `settings` override what is detected.
    ///
    /// Fails with [`Code::BuildFailed`](crate::Code::BuildFailed) when nothing is recognised: the text lists what was
    /// looked for and the quickest ways out.
    async fn plan(&self, tree: &Path, settings: &AppSettings) -> Result<Plan>;
}
