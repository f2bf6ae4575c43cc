//! Lines that apps print.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InstanceName, ProcessName, ReleaseId, Timestamp};

/// Which pipe a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line that an instance printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Its place in the app's log: give it back to resume after it.
    pub cursor: u64,
    /// When the runtime read it.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// The instance that printed it.
    pub instance: InstanceName,
    /// Its process type.
    pub process: ProcessName,
    /// Its release.
    pub release: ReleaseId,
    /// Which pipe.
    pub stream: LogStream,
    /// The line, without line end; bytes that are not UTF-8 are replaced.
    pub text: String,
}

impl fmt::Display for LogLine {
    /// For a person: when, who, what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.instance.as_str().rsplit('-').next().unwrap_or_default();
        write!(f, "{:.3} {}.{index} | {}", self.at, self.process, self.text)
    }
}
