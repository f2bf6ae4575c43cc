//! Apps: what should run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, Operation, operations};
use crate::auth::Permission;
use crate::model::{
    App, AppName, AppRef, AppSettings, Deployment, EnvKey, Page, ProcessName, ProjectRef, RuntimeKind, Secret, Source,
    wire,
};

/// List the apps of a project, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListApps {
    /// The project; the default one when absent.
    #[serde(default)]
    pub project: ProjectRef,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// At most so many: 100 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
}

impl Operation for ListApps {
    const META: Meta = Meta::get("apps.list", "/projects/{project}/apps");
    type Output = Page<App>;
}

/// Show an app.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetApp {
    /// The app.
    pub app: AppRef,
}

impl Operation for GetApp {
    const META: Meta = Meta::get("apps.get", "/projects/{project}/apps/{app}");
    type Output = App;
}

/// Create an app. Nothing runs until it is deployed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApp {
    /// The project; the default one when absent.
    #[serde(default)]
    pub project: ProjectRef,
    /// Its name, unique in the project.
    pub name: AppName,
    /// Where its code comes from when a deployment does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How it is built, started, checked and limited.
    #[serde(default)]
    pub settings: AppSettings,
    /// Where it runs; chosen at the first deployment when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeKind>,
    /// How many instances of each process; 1 when absent, 0 of types that are run by hand by convention, such as `console`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scale: BTreeMap<ProcessName, u32>,
    /// Its environment.
    #[serde(default, with = "wire::map", skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<EnvKey, Secret>")]
    pub env: BTreeMap<EnvKey, Secret>,
    /// The port on which the proxy answers for this app alone; a free one is chosen when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

impl Operation for CreateApp {
    const META: Meta = Meta::post("apps.create", "/projects/{project}/apps").secrets(&["env"]);
    type Output = App;
}

/// Change an app. What is absent stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateApp {
    /// The app.
    pub app: AppRef,
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AppName>,
    /// Where its code comes from when a deployment does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The port on which the proxy answers for this app alone, at once in place of the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// All settings, in place of the present ones. They take effect with the next deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<AppSettings>,
}

impl Operation for UpdateApp {
    const META: Meta = Meta::patch("apps.update", "/projects/{project}/apps/{app}");
    type Output = App;
}

/// Destroy an app: its instances, releases, domains, environment, logs and, unless told otherwise, its volumes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteApp {
    /// The app.
    pub app: AppRef,
    /// Leaves the volumes and their data where they are.
    #[serde(default)]
    pub keep_volumes: bool,
}

impl Operation for DeleteApp {
    const META: Meta = Meta::delete("apps.delete", "/projects/{project}/apps/{app}");
    type Output = ();
}

/// Run the live release of a stopped app again.
///
/// Environment and settings that were changed meanwhile come with it, by a new release of the same code.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartApp {
    /// The app.
    pub app: AppRef,
}

impl Operation for StartApp {
    const META: Meta = Meta::post("apps.start", "/projects/{project}/apps/{app}/start").permission(Permission::Deploy);
    type Output = App;
}

/// Stop all instances; data and releases stay, requests get 503.
///
/// Deployments that wait or have not come to serve yet are cancelled.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopApp {
    /// The app.
    pub app: AppRef,
}

impl Operation for StopApp {
    const META: Meta = Meta::post("apps.stop", "/projects/{project}/apps/{app}/stop").permission(Permission::Deploy);
    type Output = App;
}

/// Replace the instances of the live release by new ones, without dropping a request.
///
/// Environment and settings that were changed meanwhile come with them, by a new release of the same code.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestartApp {
    /// The app.
    pub app: AppRef,
}

impl Operation for RestartApp {
    const META: Meta =
        Meta::post("apps.restart", "/projects/{project}/apps/{app}/restart").permission(Permission::Deploy);
    type Output = Deployment;
}

/// Set how many instances of each process run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleApp {
    /// The app.
    pub app: AppRef,
    /// Process types and their number of instances, 0 to 100. Others stay as they are.
    pub scale: BTreeMap<ProcessName, u32>,
}

impl Operation for ScaleApp {
    const META: Meta = Meta::post("apps.scale", "/projects/{project}/apps/{app}/scale").permission(Permission::Deploy);
    type Output = App;
}

/// Keep an app as it is: what would change its instances, its addresses or its data is refused until it is unlocked.
///
/// That is: to deploy, roll back, restart, start, stop, scale, rename, move to another port, add or remove domains, remove
/// volumes, destroy. What runs goes on; environment and settings can be changed, and wait for a deployment after that.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LockApp {
    /// The app.
    pub app: AppRef,
    /// Why: shown to whoever is refused.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub reason: String,
}

impl Operation for LockApp {
    const META: Meta = Meta::post("apps.lock", "/projects/{project}/apps/{app}/lock").permission(Permission::Deploy);
    type Output = App;
}

/// Allow changes of a locked app again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnlockApp {
    /// The app.
    pub app: AppRef,
}

impl Operation for UnlockApp {
    const META: Meta =
        Meta::post("apps.unlock", "/projects/{project}/apps/{app}/unlock").permission(Permission::Deploy);
    type Output = App;
}

operations! {
    unary [ListApps, GetApp, CreateApp, UpdateApp, DeleteApp, StartApp, StopApp, RestartApp, ScaleApp, LockApp, UnlockApp]
}
