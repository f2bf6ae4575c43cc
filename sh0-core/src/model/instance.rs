//! One running copy of a process of a release.

use std::fmt;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AppId, DeploymentId, ParseError, ProcessName, ReleaseId, Timestamp};

/// The name of an instance, made from what it belongs to, so that the same wish always has the same name and an
/// interrupted platform adopts what it finds: `sh0-<deployment>-<process>-<index>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceName(String);

impl InstanceName {
    /// The `index`th instance of `process` that `deployment` started.
    pub fn of(deployment: DeploymentId, process: &ProcessName, index: u32) -> Self {
        InstanceName(format!("sh0-{deployment}-{process}-{index}"))
    }

    /// The one-off run with which `deployment` executes its release command.
    pub fn release_command(deployment: DeploymentId) -> Self {
        InstanceName(format!("sh0-{deployment}-release"))
    }

    /// A one-off run that nobody but its caller waits for.
    pub fn one_off(id: ulid::Ulid) -> Self {
        InstanceName(format!("sh0-run-{}", id.to_string().to_ascii_lowercase()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for InstanceName {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let good = text.len() <= 128
            && text.starts_with("sh0-")
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        match good {
            true => Ok(InstanceName(text.to_owned())),
            false => {
                Err(ParseError::new("instance name", "is not one that sh0 gave", "take it from the list of instances"))
            }
        }
    }
}

impl TryFrom<String> for InstanceName {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<InstanceName> for String {
    fn from(name: InstanceName) -> String {
        name.0
    }
}

impl JsonSchema for InstanceName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "InstanceName".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": 128, "pattern": "^sh0-[a-z0-9-]+$", "description": "instance name" })
    }
}

/// An instance and the address at which the proxy reaches it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Upstream {
    /// The instance.
    pub instance: InstanceName,
    /// IP address and port.
    #[schemars(with = "String")]
    pub addr: SocketAddr,
}

/// What the platform observes of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// Its name.
    pub name: InstanceName,
    /// The app it belongs to.
    pub app: AppId,
    /// The release it runs.
    pub release: ReleaseId,
    /// The deployment that started it.
    pub deployment: DeploymentId,
    /// Its process type.
    pub process: ProcessName,
    /// Counts from 0 within its process type.
    pub index: u32,
    /// What it does.
    pub state: InstanceState,
    /// How often it was restarted since it was created.
    #[serde(default)]
    pub restarts: u64,
    /// When it was started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// Whether traffic reaches it.
    #[serde(default)]
    pub serving: bool,
}

/// What an instance does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InstanceState {
    /// Exists, was never started.
    Created,
    /// Runs.
    Running,
    /// Ended, and its restart owner waits before the next try.
    Restarting,
    /// Ended.
    Exited(Exit),
    /// A word of the runtime that sh0 does not know.
    Unknown {
        /// The word.
        raw: String,
    },
}

impl InstanceState {
    /// Whether it runs now.
    pub fn is_running(&self) -> bool {
        matches!(self, InstanceState::Running)
    }
}

/// How an instance or a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Exit {
    /// The exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The kernel ended it because it used more memory than allowed.
    #[serde(default)]
    pub oom: bool,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.oom {
            return f.write_str("was killed because it used more memory than its limit");
        }
        match self.code {
            code @ 129..=192 => write!(f, "was ended by signal {}", code - 128),
            126 => f.write_str("exited with code 126 (the command is not executable)"),
            127 => f.write_str("exited with code 127 (the command was not found)"),
            code => write!(f, "exited with code {code}"),
        }
    }
}

/// What an instance uses at one moment; absent is unknown, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// CPU time since its start, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_micros: Option<u64>,
    /// Memory in bytes, without file cache where the runtime can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
}
