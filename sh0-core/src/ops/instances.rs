//! Instances: what runs now, and commands inside it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, OpKind, Operation, operations};
use crate::auth::Permission;
use crate::model::{AppRef, EnvKey, Exit, Instance, InstanceName, Page, ProcessName, Secret, Usage, wire};
use crate::traits::Terminal;

/// List the instances of an app, as the runtime sees them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListInstances {
    /// The app.
    pub app: AppRef,
}

impl Operation for ListInstances {
    const META: Meta = Meta::get("instances.list", "/projects/{project}/apps/{app}/instances");
    type Output = Page<Instance>;
}

/// Show what the instances of an app use now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListUsage {
    /// The app.
    pub app: AppRef,
}

impl Operation for ListUsage {
    const META: Meta = Meta::get("instances.usage", "/projects/{project}/apps/{app}/usage");
    type Output = Page<InstanceUsage>;
}

/// What one instance uses now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct InstanceUsage {
    /// The instance.
    pub instance: InstanceName,
    /// What it uses.
    pub usage: Usage,
}

/// Run a command inside a running instance.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The app.
    pub app: AppRef,
    /// The instance; the first running one of `process` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceName>,
    /// The process type; `web` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessName>,
    /// Program and arguments.
    #[schemars(length(min = 1, max = 1000))]
    pub command: Vec<String>,
    /// With a terminal of this size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Terminal>,
}

impl Operation for Exec {
    const META: Meta = Meta::post("instances.exec", "/projects/{project}/apps/{app}/exec")
        .permission(Permission::Exec)
        .kind(OpKind::Duplex);
    type Output = Exit;
}

/// Run a command once in an instance of its own: the live release's code, settings, environment and volumes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The app.
    pub app: AppRef,
    /// Program and arguments.
    #[schemars(length(min = 1, max = 1000))]
    pub command: Vec<String>,
    /// Variables on top of the release's.
    #[serde(default, with = "wire::map", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<EnvKey, Secret>")]
    pub env: BTreeMap<EnvKey, Secret>,
    /// With a terminal of this size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Terminal>,
}

impl Operation for Run {
    const META: Meta = Meta::post("instances.run", "/projects/{project}/apps/{app}/run")
        .permission(Permission::Exec)
        .kind(OpKind::Duplex)
        .secrets(&["env"]);
    type Output = Exit;
}

operations! {
    unary [ListInstances, ListUsage]
    duplex [Exec, Run]
}
