//! A release: code, settings and environment, frozen together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AppId, AppSettings, DeploymentId, EnvKey, ImageRef, Plan, ReleaseId, Revision, RuntimeKind, Sealed, Source,
    Timestamp,
};

/// One version of an app that was built, and can serve again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// Its immutable id.
    pub id: ReleaseId,
    /// The app.
    pub app: AppId,
    /// Counts up from 1 within the app; printed as `v1`.
    pub number: u64,
    /// The deployment that made it.
    pub deployment: DeploymentId,
    /// What was built.
    pub artifact: Artifact,
    /// How it is started.
    pub plan: Plan,
    /// The settings at that time.
    pub settings: AppSettings,
    /// The environment at that time, names only; the values are sealed.
    pub env: Vec<EnvKey>,
    /// Where it came from.
    pub source: Source,
    /// What exactly was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Who deployed it.
    pub created_by: String,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// Whether it serves now.
    #[serde(default)]
    pub live: bool,
    /// Whether its artifact has been removed by retention: such a release cannot serve again without a build.
    #[serde(default)]
    pub pruned: bool,
}

/// What a runtime built or pulled: enough to start instances from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// The runtime that has it.
    pub runtime: RuntimeKind,
    /// What that runtime calls it: an image id or digest, or a release directory's content hash.
    pub id: String,
    /// The registry image it is, when it was pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
    /// The port that the image says it listens on (`EXPOSE`), where it says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// An environment variable as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedVar {
    /// Its name.
    pub key: EnvKey,
    /// Its value, sealed to the row that holds it.
    pub value: Sealed,
}
