//! A plan: how a source tree is built and started. A person can read it, keep it and edit it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnvKey, ProcessName, RelPath, RuntimeKind};

/// How a source tree is built and started. The keys are stable: `sh0 plan --json` prints this, and
/// those that tell of every tree also when there is nothing to say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Plan {
    /// The language, such as `node` or `python`; `static`, `compose`, `docker` and `image` for trees without one.
    pub language: String,
    /// The folder of the source that is the app: all else in the plan is said of it, and it alone is built. Absent for
    /// the source itself, and for a member of a workspace, which is built from the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<RelPath>,
    /// The package manager, such as `npm`.
    pub package_manager: Option<String>,
    /// The framework, such as `express`.
    pub framework: Option<String>,
    /// The version of the language.
    pub version: Option<String>,
    /// Commands that install dependencies, in order; each runs in a shell inside the build.
    pub install: Vec<String>,
    /// Commands that build, in order.
    pub build: Vec<String>,
    /// The command that starts `web`. With [`ImagePlan::Dockerfile`] it is for runtimes without images: a container runs
    /// the image's own command, unless `processes` has a `web` or the settings of the app name one.
    pub start_command: Option<String>,
    /// The port on which `web` listens; it also gets it in `PORT`.
    pub port: Option<u16>,
    /// Every process type and its command; `web` among them, unless nothing listens.
    pub processes: BTreeMap<ProcessName, String>,
    /// Runs once before each switch (the Procfile's `release`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_command: Option<String>,
    /// The folder of files to serve, when that is all the app is.
    pub static_dir: Option<String>,
    /// Unknown paths answer `index.html` (a single-page app).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub spa_fallback: bool,
    /// Variables for build and run that the stack needs, such as `NODE_ENV`. The value [`OWN_PORT`] is the port of the
    /// instance, for servers that look for it under another name than `PORT`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<EnvKey, String>,
    /// Variables that the stack needs where there is no image: beside the tree's own Dockerfile, whose image has its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub host_env: BTreeMap<EnvKey, String>,
    /// Folders of the app that come first in `PATH`, in builds and in instances, such as `.venv/bin`: absolute there,
    /// relative to the app's folder here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<RelPath>,
    /// The services of a compose file, by name. Without an image of its own such a plan can be read, not deployed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, ComposeService>,
    /// How an image is made from the tree.
    pub image: ImagePlan,
    /// Programs that the process runtime needs on the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Why each decision was made.
    pub reasons: Vec<Reason>,
    /// What the owner should know.
    pub warnings: Vec<String>,
}

impl Plan {
    /// The variables that the plan says on this runtime.
    ///
    /// ```
    /// use sh0_core::model::{Plan, RuntimeKind};
    /// let mut plan = Plan::default();
    /// plan.host_env.insert("BUNDLE_PATH".parse()?, "vendor/bundle".into());
    /// assert_eq!(plan.variables(RuntimeKind::Process).len(), 1);
    /// assert_eq!(plan.variables(RuntimeKind::Docker).len(), 0);
    /// # Ok::<(), sh0_core::Error>(())
    /// ```
    pub fn variables(&self, runtime: RuntimeKind) -> BTreeMap<&EnvKey, &str> {
        let host = self.host_env.iter().filter(|_| runtime == RuntimeKind::Process);
        host.chain(&self.env).map(|(key, value)| (key, value.as_str())).collect()
    }
}

/// The whole value of a variable that gets the port of its instance, such as `ROCKET_PORT`.
pub const OWN_PORT: &str = "$PORT";

/// The `ARG` of a generated Dockerfile whose value changes with the variables of the build: a step that has run with others
/// is not taken from the cache. It is a digest under a key of the platform, without which nobody can try values on it.
pub const ENV_DIGEST: &str = "SH0_ENV_DIGEST";

/// How a command of a generated Dockerfile gets one variable of the build: as a file, which a secret mount of BuildKit makes
/// while the command runs, and as a variable of the command alone. Who writes such commands and who shows them to people
/// take the text from here.
///
/// ```
/// use sh0_core::model::SecretMount;
/// let token = SecretMount("TOKEN");
/// assert_eq!(token.mount(), "--mount=type=secret,id=TOKEN,target=/run/secrets/TOKEN ");
/// assert_eq!(token.export("\""), "export TOKEN=\"$(cat /run/secrets/TOKEN)\" && ");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretMount<'k>(pub &'k str);

impl SecretMount<'_> {
    /// How a mount begins: the name of the variable follows, and a comma.
    pub const BEGIN: &'static str = "--mount=type=secret,id=";

    /// Stands before the command, for the builder.
    pub fn mount(self) -> String {
        format!("{}{},target={} ", Self::BEGIN, self.0, self.file())
    }

    /// Stands before the command, for its shell. `quote` is a double quote, escaped as the place asks where it is written.
    pub fn export(self, quote: &str) -> String {
        format!("export {}={quote}$(cat {}){quote} && ", self.0, self.file())
    }

    fn file(self) -> String {
        format!("/run/secrets/{}", self.0)
    }
}

/// How an image is made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ImagePlan {
    /// No image can be made.
    #[default]
    None,
    /// By a Dockerfile that sh0 wrote.
    Generated {
        /// Its text.
        dockerfile: String,
        /// The text of the `.dockerignore` that goes with it.
        dockerignore: String,
    },
    /// By the tree's own Dockerfile.
    Dockerfile {
        /// Where it is.
        path: RelPath,
    },
    /// It is an image already.
    Pull,
}

/// A service of a compose file, as far as a plan tells. Its variables are not part of it: they may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ComposeService {
    /// The image that it runs, or the name of the one that is built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it is built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<ComposeBuild>,
    /// Ports that it publishes, as `PUBLISHED:TARGET`, variables as they are written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Volumes and folders, as `SOURCE:TARGET`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Services that are started before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

/// What a service is built from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ComposeBuild {
    /// The folder, `.` for that of the file; an address when it is elsewhere.
    pub context: String,
    /// The Dockerfile in it, unless it has the usual name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The stage that is built, unless it is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A program that must be on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// The program, such as `npm`.
    pub program: String,
    /// What to install when it is missing, such as `nodejs and npm (Debian: apt-get install nodejs npm)`.
    pub install_hint: String,
}

/// Why a decision was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// What was decided, such as `package_manager = npm`.
    pub what: String,
    /// Why.
    pub why: String,
    /// The file that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}
