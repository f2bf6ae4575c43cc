//! Logs: what apps print.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, OpKind, Operation, operations};
use crate::model::{AppRef, InstanceName, LogLine, Page, ProcessName, Timestamp};

/// Read lines of an app's log, oldest first; with `tail`, the last ones.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadLogs {
    /// The app.
    pub app: AppRef,
    /// Only lines after this cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only lines at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// Only the last so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10_000))]
    pub tail: Option<u32>,
    /// Only this process type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessName>,
    /// Only this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceName>,
    /// Only lines with this text in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub contains: Option<String>,
}

impl Operation for ReadLogs {
    const META: Meta = Meta::get("logs.read", "/projects/{project}/apps/{app}/logs");
    type Output = Page<LogLine>;
}

/// Read lines of an app's log, and go on with every new one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowLogs {
    /// The app.
    pub app: AppRef,
    /// Only lines after this cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Only lines at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// Begins with only the last so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10_000))]
    pub tail: Option<u32>,
    /// Only this process type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessName>,
    /// Only this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceName>,
    /// Only lines with this text in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub contains: Option<String>,
}

impl Operation for FollowLogs {
    const META: Meta = Meta::get("logs.follow", "/projects/{project}/apps/{app}/logs/follow").kind(OpKind::Stream);
    type Output = LogLine;
}

operations! {
    unary [ReadLogs]
    stream [FollowLogs]
}
