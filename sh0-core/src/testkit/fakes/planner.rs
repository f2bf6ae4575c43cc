use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::lock;
use crate::model::{Category, Export, ExportFile, ExportTarget, FailOn, Finding, ImagePlan, Plan, Report, Severity};
use crate::traits::{CheckRequest, ExportInput, PlanRequest, Planner};
use crate::{Code, Error, Result};

/// Plans a tree by its name: `/src/good` is started by the command `good`, which [`FakeRuntime`](super::FakeRuntime) may
/// have been told how to play. A tree called `unknown` is not recognised; in one called `careless`, and in `strict`, whose
/// owner wants that to block, something grave is found.
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

    async fn check(&self, request: CheckRequest<'_>) -> Result<Report> {
        let name = request.tree.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !["careless", "strict"].contains(&name) {
            return Ok(Report { score: 100, files: 1, ..Report::default() });
        }
        let finding = Finding {
            rule: "FAKE01".to_owned(),
            name: "carelessness".to_owned(),
            category: Category::Security,
            severity: Severity::High,
            file: Some("main".to_owned()),
            line: Some(7),
            message: "nobody looked".to_owned(),
            why: "It hurts.".to_owned(),
            fix: "Look.".to_owned(),
        };
        let fail_on = (name == "strict").then_some(FailOn::Medium);
        Ok(Report { score: 85, findings: vec![finding], files: 1, fail_on, ..Report::default() })
    }

    /// One file that names what it was made from.
    fn export(&self, app: &ExportInput<'_>, target: ExportTarget) -> Export {
        let contents = format!("{app:?}");
        Export { target, files: vec![ExportFile { path: format!("{target}.txt"), contents }], notes: Vec::new() }
    }
}
