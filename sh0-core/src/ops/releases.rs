//! Releases: versions that were built and can serve again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, Operation, operations};
use crate::auth::Permission;
use crate::model::{AppRef, Deployment, Page, Release};

/// List the releases of an app, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListReleases {
    /// The app.
    pub app: AppRef,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most so many: 100 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
}

impl Operation for ListReleases {
    const META: Meta = Meta::get("releases.list", "/projects/{project}/apps/{app}/releases");
    type Output = Page<Release>;
}

/// Make an earlier release serve again: its code, settings and environment together.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The app.
    pub app: AppRef,
    /// The number of the release; the one before the live one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

impl Operation for Rollback {
    const META: Meta =
        Meta::post("releases.rollback", "/projects/{project}/apps/{app}/rollback").permission(Permission::Deploy);
    type Output = Deployment;
}

operations! { unary [ListReleases, Rollback] }
