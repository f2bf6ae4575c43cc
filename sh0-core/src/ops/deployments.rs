//! Deployments: attempts to make a release serve.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, OpKind, Operation, operations};
use crate::auth::Permission;
use crate::model::{AppRef, Deployment, DeploymentId, Event, Page, RuntimeKind, Source};

/// Deploy an app and switch traffic to it once it is healthy. Answers at once; follow `deployments.follow`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDeployment {
    /// The app.
    pub app: AppRef,
    /// Where the code or image comes from; the app's own source when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The runtime for an app that was never deployed; refused when it differs from the one the app is pinned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeKind>,
    /// Ignores caches of the build.
    #[serde(default)]
    pub no_cache: bool,
}

impl Operation for CreateDeployment {
    const META: Meta =
        Meta::post("deployments.create", "/projects/{project}/apps/{app}/deployments").permission(Permission::Deploy);
    type Output = Deployment;
}

/// List the deployments of an app, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListDeployments {
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

impl Operation for ListDeployments {
    const META: Meta = Meta::get("deployments.list", "/projects/{project}/apps/{app}/deployments");
    type Output = Page<Deployment>;
}

/// Show a deployment.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetDeployment {
    /// The app.
    pub app: AppRef,
    /// The deployment.
    pub deployment: DeploymentId,
}

impl Operation for GetDeployment {
    const META: Meta = Meta::get("deployments.get", "/projects/{project}/apps/{app}/deployments/{deployment}");
    type Output = Deployment;
}

/// Cancel a deployment that waits or runs. Up to the switch nothing has changed; after it, it is too late.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelDeployment {
    /// The app.
    pub app: AppRef,
    /// The deployment.
    pub deployment: DeploymentId,
}

impl Operation for CancelDeployment {
    const META: Meta =
        Meta::post("deployments.cancel", "/projects/{project}/apps/{app}/deployments/{deployment}/cancel")
            .permission(Permission::Deploy);
    type Output = Deployment;
}

/// Follow what happens in a deployment, from its beginning or after a cursor, until it has ended.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowDeployment {
    /// The app.
    pub app: AppRef,
    /// The deployment.
    pub deployment: DeploymentId,
    /// Only events after this cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl Operation for FollowDeployment {
    const META: Meta =
        Meta::get("deployments.follow", "/projects/{project}/apps/{app}/deployments/{deployment}/events")
            .kind(OpKind::Stream);
    type Output = Event;
}

operations! {
    unary [CreateDeployment, ListDeployments, GetDeployment, CancelDeployment]
    stream [FollowDeployment]
}
