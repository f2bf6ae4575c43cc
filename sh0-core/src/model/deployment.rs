//! A deployment: one attempt to make a release serve.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AppId, Artifact, CheckSummary, DeploymentId, Plan, ReleaseId, Revision, Source, Timestamp};
use crate::{Code, Error, Problem, Result};

/// One attempt to make a release serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
    /// Its immutable id.
    pub id: DeploymentId,
    /// The app.
    pub app: AppId,
    /// What it does.
    pub kind: DeploymentKind,
    /// Where it is.
    pub state: DeploymentState,
    /// The step it is in, or ended in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What the steps so far have made.
    #[serde(default)]
    pub made: Made,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// Who asked for it.
    pub created_by: String,
    /// When it was asked for.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When its first step began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
}

impl Deployment {
    /// Whether its release serves, or has served: it cannot be cancelled any more.
    pub fn is_committed(&self) -> bool {
        self.step.is_some_and(|step| step >= Step::Drain)
    }

    /// Whether it came to serve; the reason as an error when it did not.
    pub fn outcome(&self) -> Result<()> {
        let step = self.step.map(|step| format!(" in the step {step}")).unwrap_or_default();
        Err(match (self.state, &self.error) {
            (DeploymentState::Live, _) => return Ok(()),
            (DeploymentState::Queued | DeploymentState::Running, _) => {
                Error::unavailable("the deployment has not ended yet")
            }
            (DeploymentState::Cancelled, _) => Error::new(Code::Cancelled, "the deployment was cancelled"),
            (DeploymentState::Superseded, _) => {
                Error::conflict("a newer deployment took the place of this one before it began")
            }
            (DeploymentState::Failed, Some(problem)) => {
                let code = if problem.code == Code::BuildFailed { Code::BuildFailed } else { Code::DeployFailed };
                Error::new(code, format!("the deployment failed{step}: {}", problem.detail))
            }
            (DeploymentState::Failed, None) => Error::new(Code::DeployFailed, format!("the deployment failed{step}")),
        })
    }
}

/// What a deployment does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeploymentKind {
    /// Fetches, builds and releases.
    Deploy {
        /// Where from.
        source: Source,
        /// Ignores caches of the build.
        #[serde(default)]
        no_cache: bool,
    },
    /// Makes an earlier release serve again: its code, settings and environment.
    Rollback {
        /// Which one.
        to: ReleaseId,
    },
    /// Releases the live code with changed environment or settings.
    Config,
    /// Replaces the instances of the live release.
    Restart,
}

/// Where a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// Waits for its turn.
    Queued,
    /// Runs its steps.
    Running,
    /// Its release serves.
    Live,
    /// It failed and changed nothing.
    Failed,
    /// Somebody cancelled it before it served.
    Cancelled,
    /// A newer one took its place before it began.
    Superseded,
}

impl std::fmt::Display for DeploymentState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            DeploymentState::Queued => "queued",
            DeploymentState::Running => "running",
            DeploymentState::Live => "live",
            DeploymentState::Failed => "failed",
            DeploymentState::Cancelled => "cancelled",
            DeploymentState::Superseded => "superseded",
        })
    }
}

impl DeploymentState {
    /// Whether it can still change.
    pub fn is_final(self) -> bool {
        !matches!(self, DeploymentState::Queued | DeploymentState::Running)
    }
}

/// The steps of a deployment, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Brings the source here.
    Fetch,
    /// Finds out how to build and start it.
    Plan,
    /// Looks for what will hurt in production, by the health rules.
    Check,
    /// Makes the artifact.
    Build,
    /// Freezes artifact, settings and environment.
    Release,
    /// Runs the release command.
    ReleaseCommand,
    /// Stops the old instances first (strategy `recreate` only).
    StopOld,
    /// Creates the new instances.
    Create,
    /// Starts them.
    Start,
    /// Waits until they are healthy.
    Health,
    /// Sends traffic to them: the commit point.
    Switch,
    /// Lets the old instances finish.
    Drain,
    /// Removes the old instances and what retention lets go.
    Retire,
}

impl Step {
    /// All steps in their order.
    pub const ALL: &'static [Step] = &[
        Step::Fetch,
        Step::Plan,
        Step::Check,
        Step::Build,
        Step::Release,
        Step::ReleaseCommand,
        Step::StopOld,
        Step::Create,
        Step::Start,
        Step::Health,
        Step::Switch,
        Step::Drain,
        Step::Retire,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Fetch => "fetch",
            Step::Plan => "plan",
            Step::Check => "check",
            Step::Build => "build",
            Step::Release => "release",
            Step::ReleaseCommand => "release_command",
            Step::StopOld => "stop_old",
            Step::Create => "create",
            Step::Start => "start",
            Step::Health => "health",
            Step::Switch => "switch",
            Step::Drain => "drain",
            Step::Retire => "retire",
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the steps of a deployment have made so far; a restarted platform goes on from here.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Made {
    /// By `fetch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// By `plan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// By `check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckSummary>,
    /// By `build`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// By `release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// By `release_command`: it has run, and is not run again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub release_command: bool,
}
