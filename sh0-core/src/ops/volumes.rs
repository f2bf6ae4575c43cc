//! Volumes: folders that outlive releases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, Operation, operations};
use crate::model::{AbsPath, App, AppRef, Page, Volume, VolumeName};

/// List the volumes of an app.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListVolumes {
    /// The app.
    pub app: AppRef,
}

impl Operation for ListVolumes {
    const META: Meta = Meta::get("volumes.list", "/projects/{project}/apps/{app}/volumes");
    type Output = Page<Volume>;
}

/// Mount a volume in the instances of an app, from its next deployment on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddVolume {
    /// The app.
    pub app: AppRef,
    /// Its name within the app.
    pub name: VolumeName,
    /// Where an instance sees it.
    pub path: AbsPath,
}

impl Operation for AddVolume {
    const META: Meta = Meta::post("volumes.add", "/projects/{project}/apps/{app}/volumes");
    type Output = App;
}

/// Remove a volume and all its data. Refused while the app's settings or its live release mount it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveVolume {
    /// The app.
    pub app: AppRef,
    /// The volume.
    pub volume: VolumeName,
}

impl Operation for RemoveVolume {
    const META: Meta = Meta::delete("volumes.remove", "/projects/{project}/apps/{app}/volumes/{volume}");
    type Output = ();
}

operations! { unary [ListVolumes, AddVolume, RemoveVolume] }
