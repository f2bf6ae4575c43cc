//! The platform itself: projects, tokens, volumes, audit, status.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AppId, AppName, PlatformId, ProjectId, ProjectName, Revealed, Timestamp, TokenId, TokenName, VolumeName};
use crate::auth::Role;

/// A group of apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Its immutable id.
    pub id: ProjectId,
    /// Its name, unique on the platform.
    pub name: ProjectName,
    /// When it was created.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
}

/// An API token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Its immutable id.
    pub id: TokenId,
    /// Its name.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// When it stops to work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub expires_at: Option<Timestamp>,
    /// When it was created.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
}

/// A token that was just made: the only time its secret is shown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// The token.
    pub token: Token,
    /// What to put in `SH0_TOKEN`.
    pub secret: Revealed,
}

/// A folder that outlives releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Volume {
    /// The app it belongs to.
    pub app: AppId,
    /// Its name within the app.
    pub name: VolumeName,
    /// Where it is: a path on the host, or the runtime's name for it.
    pub location: String,
    /// Bytes in use, when the runtime can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// Whether the app's settings still mount it.
    pub mounted: bool,
}

/// One accepted change: who, what, when, and how it ended. Secrets are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRow {
    /// Its place in the log.
    pub cursor: u64,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Which operation.
    pub operation: String,
    /// Its input, redacted.
    pub input: serde_json::Value,
    /// Names the request in the server's log.
    pub request_id: String,
}

/// What the platform is and does now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The version of sh0.
    pub version: String,
    /// This platform's id: the owner in the labels.
    pub platform: PlatformId,
    /// The process id of the control plane.
    pub pid: u32,
    /// When it was started.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// Its folder of data.
    pub data: String,
    /// How many apps it has, with those that are being destroyed.
    pub apps: u64,
    /// Those that are being destroyed: no other operation finds them any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destroying: Vec<Destroying>,
    /// Deployments that wait or run.
    pub deployments: u64,
    /// Where the proxy listens for host names.
    pub listen: Vec<String>,
    /// The generation of routes in force.
    pub generation: u64,
    /// What each part can do.
    pub parts: Vec<Part>,
}

/// An app of which something is left still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Destroying {
    /// Its id.
    pub id: AppId,
    /// Its name; free again when nothing is left.
    pub name: AppName,
}

/// A part of the platform, and what it can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Such as `runtime docker`, `store sqlite`, `proxy embedded`.
    pub name: String,
    /// Whether it answers.
    pub ok: bool,
    /// What it is, in words: a version, a path.
    pub detail: String,
    /// What it can do, and what not, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
}

/// One thing that a backend may be able to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capability {
    /// What, such as `memory limit`.
    pub name: String,
    /// Whether.
    pub support: Support,
}

/// Whether a backend can do a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Support {
    /// Wholly.
    Yes,
    /// Less well than it could.
    Degraded {
        /// Why, and what would mend it.
        reason: String,
    },
    /// Not at all.
    No {
        /// Why, and what would mend it.
        reason: String,
    },
}

impl fmt::Display for Part {
    /// For a person: whether it works, and below that in plain words what it can and cannot do here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}: {}", if self.ok { "ok  " } else { "FAIL" }, self.name, self.detail)?;
        for Capability { name, support } in &self.capabilities {
            match support {
                Support::Yes => write!(f, "\n         yes  {name}")?,
                Support::Degraded { reason } => write!(f, "\n      partly  {name}: {reason}")?,
                Support::No { reason } => write!(f, "\n          no  {name}: {reason}")?,
            }
        }
        Ok(())
    }
}
