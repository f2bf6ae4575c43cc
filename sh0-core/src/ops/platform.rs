//! The platform itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, Operation, operations};
use crate::auth::Permission;
use crate::model::{Page, Part, Status};

/// Show what the platform is and does now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetStatus {}

impl Operation for GetStatus {
    const META: Meta = Meta::get("platform.status", "/status");
    type Output = Status;
}

/// Ask every part whether it works, and what it can and cannot do here.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Doctor {}

impl Operation for Doctor {
    const META: Meta = Meta::get("platform.doctor", "/doctor");
    type Output = Page<Part>;
}

/// End the control plane in good order. Apps that outlive it go on serving.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// Stops the apps and the proxy too; they start again with the platform.
    #[serde(default)]
    pub stop_apps: bool,
}

impl Operation for Shutdown {
    const META: Meta = Meta::post("platform.shutdown", "/shutdown").permission(Permission::Manage);
    type Output = ();
}

operations! { unary [GetStatus, Doctor, Shutdown] }
