//! The environment of an app: literal values, sealed at rest.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, Operation, operations};
use crate::auth::Permission;
use crate::model::{AppRef, Deployment, EnvKey, Revealed, Secret, wire};

/// List the names of an app's variables.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListEnv {
    /// The app.
    pub app: AppRef,
}

impl Operation for ListEnv {
    const META: Meta = Meta::get("env.list", "/projects/{project}/apps/{app}/env");
    type Output = EnvNames;
}

/// The names of an app's variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvNames {
    /// The names, sorted.
    pub names: Vec<EnvKey>,
}

/// Show an app's variables with their values.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevealEnv {
    /// The app.
    pub app: AppRef,
}

impl Operation for RevealEnv {
    const META: Meta =
        Meta::get("env.reveal", "/projects/{project}/apps/{app}/env/values").permission(Permission::ReadSecrets);
    type Output = EnvValues;
}

/// An app's variables with their values.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EnvValues {
    /// Names and values.
    pub vars: BTreeMap<EnvKey, Revealed>,
}

/// Set variables; others stay. A running app gets them by a new release of the same code.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetEnv {
    /// The app.
    pub app: AppRef,
    /// Names and literal values: nothing in them is interpreted.
    #[serde(with = "wire::map")]
    #[schemars(with = "BTreeMap<EnvKey, Secret>")]
    pub vars: BTreeMap<EnvKey, Secret>,
    /// Only stores them; the next deployment takes them along.
    #[serde(default)]
    pub stage: bool,
}

impl Operation for SetEnv {
    const META: Meta = Meta::patch("env.set", "/projects/{project}/apps/{app}/env").secrets(&["vars"]);
    type Output = EnvChange;
}

/// Remove variables. Names that are not set are fine.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnsetEnv {
    /// The app.
    pub app: AppRef,
    /// The names.
    pub names: Vec<EnvKey>,
    /// Only stores it; the next deployment takes it along.
    #[serde(default)]
    pub stage: bool,
}

impl Operation for UnsetEnv {
    const META: Meta = Meta::post("env.unset", "/projects/{project}/apps/{app}/env/unset");
    type Output = EnvChange;
}

/// Set variables from the text of a `.env` file.
///
/// One `NAME=value` a line; `export ` in front, blank lines and lines that start with `#` are skipped. A value in single
/// quotes is literal; in double quotes `\n`, `\t`, `\r`, `\"`, `\\` and `\$` are escapes and it may go over several
/// lines; without quotes it ends before ` #` or the line's end. `$` is never expanded.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportEnv {
    /// The app.
    pub app: AppRef,
    /// The text of the file.
    #[serde(with = "wire")]
    #[schemars(with = "Secret")]
    pub content: Secret,
    /// Removes variables that the file does not name.
    #[serde(default)]
    pub replace: bool,
    /// Only stores them; the next deployment takes them along.
    #[serde(default)]
    pub stage: bool,
}

impl Operation for ImportEnv {
    const META: Meta = Meta::post("env.import", "/projects/{project}/apps/{app}/env/import").secrets(&["content"]);
    type Output = EnvChange;
}

/// What a change of the environment did.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EnvChange {
    /// All names that are set now.
    pub names: Vec<EnvKey>,
    /// Whether anything is another than before. Without a change nothing is deployed.
    pub changed: bool,
    /// The deployment that brings them to the running instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
}

operations! { unary [ListEnv, RevealEnv, SetEnv, UnsetEnv, ImportEnv] }
