//! Source trees on this machine: how they would be built, what will hurt, how other platforms write them down. No platform
//! is needed, and nothing is run.
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
use sh0_build::{
    CheckOptions, DirTree, ExportInput, Options, check_tree, config_schema, deployable_plan, plan_schema, plan_tree,
    to_sarif,
};
use sh0_core::model::{AppRef, AppSettings, Export, ExportTarget, ImagePlan, Plan, RelPath, Report, Timestamp};
use sh0_core::ops::apps::ExportApp;
use sh0_core::{Code, Error, Result};

use crate::Sh0;
use crate::helpers::name_of_folder;

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
        // There is no such folder; or the owner's file, which may say when to fail, cannot be read.
        Err(error) if error.code() == Code::Invalid => return Err(error),
        planned => planned.ok(),
    };
    let options = CheckOptions { now: Some(Timestamp::now()), root, ..CheckOptions::default() };
    Ok(check_tree(&tree, plan.as_ref(), &options))
}

/// A report as SARIF 2.1.0, which code hosts show beside the lines.
pub fn sarif(report: &Report) -> Value {
    to_sarif(report)
}

/// The app in a folder as the files of another platform: with the folder's name, and its processes at their usual
/// scale. `root` is the folder of the app in it.
///
/// ```
/// # fn main() -> sh0::Result<()> {
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/apps/hello-node");
/// let export = sh0::trees::export(folder.as_ref(), None, sh0::model::ExportTarget::Kubernetes)?;
/// assert!(export.file("kubernetes.yaml").is_some_and(|text| text.contains("name: hello-node")));
/// # Ok(())
/// # }
/// ```
pub fn export(folder: &Path, root: Option<RelPath>, target: ExportTarget) -> Result<Export> {
    let (tree, settings) = (open(folder)?, AppSettings::default());
    let plan = deployable_plan(&tree, &settings, &Options { root, buildkit: true, ..Options::default() })?;
    let input = ExportInput {
        name: &name_of_folder(folder)?,
        plan: &plan,
        settings: &settings,
        scale: Default::default(),
        env: Default::default(),
        domains: Vec::new(),
        crons: Vec::new(),
        image: None,
    };
    Ok(sh0_build::export(&input, target))
}

/// Whether a word can only be a folder, and not an app: it begins with `.` or `/`, or is no name of an app, or has a `/` and
/// is there.
fn is_folder(word: &str) -> bool {
    word.starts_with(['.', '/']) || word.parse::<AppRef>().is_err() || (word.contains('/') && Path::new(word).is_dir())
}

/// The app of this name as the files of another platform; or, where the platform has none, there is no platform, or `root`
/// names the folder of an app, the folder of this name. `platform` is asked for where an app may be meant.
pub async fn export_named(
    platform: impl AsyncFnOnce() -> Result<Option<Sh0>>,
    word: &str,
    root: Option<RelPath>,
    target: ExportTarget,
) -> Result<Export> {
    let folder = Path::new(word);
    if root.is_some() || is_folder(word) {
        return export(folder, root, target);
    }
    let Some(platform) = platform().await? else {
        if !folder.is_dir() {
            let text = format!("no server runs that may have an app `{word}`, and there is no folder of this name");
            return Err(Error::unavailable(text));
        }
        return export(folder, None, target);
    };
    match platform.call(ExportApp { app: word.parse()?, to: target }).await {
        Err(error) if error.code() == Code::NotFound && folder.is_dir() => export(folder, None, target),
        exported => exported,
    }
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

#[cfg(test)]
mod tests {
    use super::is_folder;

    #[test]
    fn what_can_only_be_a_folder() {
        assert!(is_folder(".") && is_folder("../shop") && is_folder("My Shop") && is_folder("/srv/shop"));
        assert!(!is_folder("shop") && !is_folder("team/shop"));
    }
}
