//! Source trees on this machine: how they would be built, what will hurt. No platform is needed, and nothing is run.
//!
//! ```
//! # fn main() -> sh0::Result<()> {
//! let plan = sh0::trees::plan(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/apps/hello-node").as_ref(), None)?;
//! assert_eq!(plan.language, "node");
//! assert!(sh0::trees::dockerfile(&plan)?.contains("FROM node:"));
//! # Ok(())
//! # }
//! ```

use std::path::Path;

use serde_json::Value;
use sh0_build::{CheckOptions, DirTree, Options, check_tree, config_schema, plan_schema, plan_tree, to_sarif};
use sh0_core::model::{AppSettings, ImagePlan, Plan, RelPath, Report, Timestamp};
use sh0_core::{Error, Result};

/// How the app in a folder would be built and started, on an engine with BuildKit; `root` is the folder of the app in
/// it, such as a member of a workspace.
pub fn plan(folder: &Path, root: Option<RelPath>) -> Result<Plan> {
    let options = Options { root, buildkit: true, ..Options::default() };
    plan_tree(&open(folder)?, &AppSettings::default(), &options)
}

/// The Dockerfile that sh0 wrote for the plan.
pub fn dockerfile(plan: &Plan) -> Result<&str> {
    match &plan.image {
        ImagePlan::Generated { dockerfile, .. } => Ok(dockerfile),
        ImagePlan::Dockerfile { path } => {
            Err(Error::conflict(format!("sh0 writes no Dockerfile here: the tree has its own, {path}")))
        }
        _ => Err(Error::conflict("sh0 writes no Dockerfile here: this is not one app that it can make an image of")),
    }
}

/// What the health rules find in a folder, or in the folder of the app in it. A tree without a plan may have findings
/// all the same.
pub fn check(folder: &Path, root: Option<RelPath>) -> Result<Report> {
    let tree = open(folder)?;
    let options = Options { root: root.clone(), ..Options::default() };
    let plan = match plan_tree(&tree, &AppSettings::default(), &options) {
        // There is no such folder.
        Err(error) if error.fields().iter().any(|field| field.field == "root") => return Err(error),
        planned => planned.ok(),
    };
    let options = CheckOptions { now: Some(Timestamp::now()), root, ..CheckOptions::default() };
    Ok(check_tree(&tree, plan.as_ref(), &options))
}

/// A report as SARIF 2.1.0, which code hosts show beside the lines.
pub fn sarif(report: &Report) -> Value {
    to_sarif(report)
}

/// The JSON Schema of what has this name: `plan`, or `sh0.toml`.
pub fn schema(of: &str) -> Result<Value> {
    match of {
        "plan" => Ok(plan_schema()),
        "sh0.toml" => Ok(config_schema()),
        _ => Err(Error::invalid(
            "schema",
            format!("there is none of `{of}`"),
            "there is one of plan and one of sh0.toml",
        )),
    }
}

fn open(folder: &Path) -> Result<DirTree> {
    let unreadable = |error| Error::from(error).context(format!("the folder {} cannot be read", folder.display()));
    DirTree::open(folder).map_err(unreadable)
}
