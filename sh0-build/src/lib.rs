//! From a source tree to a [`Plan`]: how it is built and started, and the Dockerfile that does it.
//!
//! A tree is a folder ([`DirTree`]) or only exists in memory ([`MemoryTree`]). One provider a language knows how trees
//! of its language look; a Dockerfile, a Procfile and a `sh0.toml` in the tree, and the settings of the app, override
//! what it says. Every decision comes with its reason, and with the file and line that it came from.
//!
//! ```
//! use sh0_build::{MemoryTree, Options, plan_tree};
//! use sh0_core::model::AppSettings;
//!
//! let tree = MemoryTree::from([
//!     ("package.json", r#"{ "scripts": { "start": "node server.js" }, "dependencies": { "express": "^5" } }"#),
//!     ("package-lock.json", "{}"),
//!     ("server.js", "require('express')().listen(process.env.PORT)"),
//! ]);
//! let plan = plan_tree(&tree, &AppSettings::default(), &Options::default())?;
//! assert_eq!(plan.install, ["npm ci --omit=dev"]);
//! assert_eq!(plan.start_command.as_deref(), Some("node server.js"));
//! assert_eq!(plan.framework.as_deref(), Some("express"));
//! # Ok::<(), sh0_core::Error>(())
//! ```
//!
//! What the process runtime does with a plan and what an image does are the same commands: dependencies of Python go
//! to `.venv` inside the folder of the app, those of Node to `node_modules`, and [`Plan::paths`] names the folders that
//! come first in `PATH`.
//!
//! A generated Dockerfile for static files is `FROM scratch`: it expects the program that serves them, with the
//! libraries that it loads, under `.sh0/rootfs/` in the build context (the program as `/sh0-static`). The runtime puts
//! it there; so such an app needs no registry.
//!
//! # Folders of apps
//!
//! A tree may hold several apps. [`Options::root`], `root` in the settings of the app, and `root` in the `sh0.toml` at
//! the top name the folder of one, in this order, and mean the same to plans, checks and builds:
//!
//! - A member of a workspace (npm, pnpm, yarn, bun, Nx; Cargo; Go; uv) is planned, checked and built from the top, where the
//!   lockfile and the other members are, and is started in its folder. Commands and paths of the settings and of the
//!   `sh0.toml` at the top, its `dockerfile` too, are said of the top; a Procfile, a Dockerfile and a `sh0.toml` in the
//!   member's own folder count in place of the top's, and are said of that folder. Where its `sh0.toml` names another
//!   `language` than the workspace's, it is no member but a folder such as any other.
//! - Any other folder is the whole tree, as if nothing were around it. [`Plan::root`] names it; everything else in the
//!   plan, and every setting, is said of that folder, and the build sees it alone. Reasons and findings name their files
//!   as the tree does.
//!
//! The `sh0.toml` at the top speaks of a folder when its `root` names that folder and the folder has no `sh0.toml`.
//!
//! Deliberately absent: the network, processes, the store. Nothing is installed, built, resolved or looked up; versions
//! come from one table in this crate (`images`). A tree is never written to.
//!
//! [`Plan::paths`]: sh0_core::model::Plan::paths
//! [`Plan::root`]: sh0_core::model::Plan::root

mod command;
mod config;
mod detect;
mod dockerfile;
mod dockerignore;
mod draft;
mod export;
mod foreign;
mod images;
mod provider;
mod recipe;
mod render;
mod root;
mod rules;
mod schema;
mod text;
mod tree;
mod yaml;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use sh0_core::model::{AppSettings, EnvKey, Plan, RelPath, Report};
pub use sh0_core::model::{Export, ExportFile, ExportTarget};
use sh0_core::traits::{CheckRequest, PlanRequest, Planner};
pub use sh0_core::traits::{ExportCron, ExportDomain, ExportEnv, ExportInput};
use sh0_core::{Error, Result};
use tokio::runtime::Handle;

pub use detect::{deployable_plan, plan_tree};
pub use export::export;
pub use images::default_images;
pub use rules::{CheckOptions, RuleInfo, check_tree, rule_table, to_sarif};
pub use schema::{config_schema, plan_schema};
pub use tree::{DirTree, Kind, MAX_ENTRIES, MAX_FILE_BYTES, MemoryTree, Tree};

/// The user and group that generated images run as: fixed, so that volumes keep their owner, and above those of systems.
pub const APP_UID: u32 = 10_001;

/// The port of apps that are told theirs in `PORT`.
pub const DEFAULT_PORT: u16 = 8080;

/// How plans are made on this platform.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Stands in front of the repository of every base image, in place of the default registry: with
    /// `mirror.example.com/hub`, `node:24` becomes `mirror.example.com/hub/library/node:24`.
    pub mirror: Option<String>,
    /// Images to take in place of a stack's own, by stack, such as `node`, `php`, `java`, `maven` ([`default_images`] has
    /// them all). One image both builds and ships.
    pub base_images: BTreeMap<String, String>,
    /// The folder of the app, in a tree with several: in place of what the settings of the app, or `root` in `sh0.toml`,
    /// say. See [Folders of apps](crate#folders-of-apps).
    pub root: Option<RelPath>,
    /// Variables that the build may read and no layer may keep, such as the token of a registry. They reach commands as
    /// secret mounts of BuildKit, `id` being the name; without BuildKit such a plan is refused.
    pub build_secrets: Vec<EnvKey>,
    /// The builder is BuildKit: what package managers fetch is kept in cache mounts. The classic builder refuses them.
    pub buildkit: bool,
}

impl Options {
    /// The folder that somebody asks for; the tree may name one where nobody does.
    pub(crate) fn root_of<'a>(&'a self, settings: &'a AppSettings) -> Option<&'a RelPath> {
        self.root.as_ref().or(settings.root.as_ref())
    }
}

/// Makes plans from folders: the [`Planner`] of the platform. What the builder can do comes with each request.
///
/// ```
/// use sh0_build::{Detector, Options};
/// let detector = Detector::new(Options { mirror: Some("mirror.example.com/hub".into()), ..Options::default() });
/// # let _: Box<dyn sh0_core::traits::Planner> = Box::new(detector);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Detector {
    options: Options,
}

impl Detector {
    /// With these options.
    pub fn new(options: Options) -> Self {
        Detector { options }
    }
}

#[async_trait]
impl Planner for Detector {
    async fn plan(&self, request: PlanRequest<'_>) -> Result<Plan> {
        let PlanRequest { tree, settings, mounts, env } = request;
        let build_secrets = if mounts { env.to_vec() } else { Vec::new() };
        let options = Options { build_secrets, buildkit: mounts, ..self.options.clone() };
        // A few dozen small reads: less than a hand-over to another thread costs on most trees.
        deployable_plan(&open(tree)?, settings, &options)
    }

    async fn check(&self, request: CheckRequest<'_>) -> Result<Report> {
        let (tree, plan) = (open(request.tree)?, request.plan.clone());
        let options = CheckOptions {
            now: Some(request.now),
            root: self.options.root_of(request.settings).cloned(),
            env: request.env.into_iter().map(String::from).collect(),
            volumes: request.settings.volumes.iter().map(|volume| volume.path.to_string()).collect(),
        };
        // Every file is read: that may take long, and is no work for a thread that others wait for.
        let work = move || check_tree(&tree, Some(&plan), &options);
        match Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(work).await.map_err(|error| Error::internal(error.to_string())),
            Err(_) => Ok(work()),
        }
    }

    fn export(&self, app: &ExportInput<'_>, target: ExportTarget) -> Export {
        export(app, target)
    }
}

fn open(tree: &Path) -> Result<DirTree> {
    DirTree::open(tree).map_err(|error| {
        Error::from(error).context(format!("the folder of the app, {}, cannot be read", tree.display()))
    })
}
