use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::lock;
use crate::model::{ImagePlan, Plan};
use crate::traits::{PlanRequest, Planner};
use crate::{Code, Error, Result};

/// Plans a tree by its name: `/src/good` is started by the command `good`, which [`FakeRuntime`](super::FakeRuntime) may
/// have been told how to play. A tree called `unknown` is not recognised.
#[derive(Debug, Clone, Default)]
pub struct FakePlanner(Arc<Mutex<BTreeMap<PathBuf, Plan>>>);

impl FakePlanner {
    /// The plan of one tree from now on.
    pub fn script(&self, tree: impl Into<PathBuf>, plan: Plan) {
        lock(&self.0).insert(tree.into(), plan);
    }

    /// The plan of a tree without a script.
    pub fn plain(command: &str) -> Plan {
        Plan {
            language: "fake".to_owned(),
            start_command: Some(command.to_owned()),
            port: Some(3000),
            image: ImagePlan::Generated { dockerfile: "FROM scratch\n".to_owned(), dockerignore: String::new() },
            ..Plan::default()
        }
    }
}

#[async_trait]
impl Planner for FakePlanner {
    async fn plan(&self, request: PlanRequest<'_>) -> Result<Plan> {
        let tree = request.tree;
        if let Some(plan) = lock(&self.0).get(tree) {
            return Ok(plan.clone());
        }
        match tree.file_name().and_then(|name| name.to_str()) {
            None | Some("unknown") => Err(Error::new(Code::BuildFailed, "nothing that this fake knows is in the tree")),
            Some(name) => Ok(FakePlanner::plain(name)),
        }
    }
}
