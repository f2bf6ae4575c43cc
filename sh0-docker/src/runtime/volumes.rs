//! Named volumes.

use sh0_core::Result;
use sh0_core::model::{AppId, VolumeName};
use sh0_core::traits::ObservedVolume;

use super::DockerRuntime;
use super::fault::told;
use super::labels::{APP, MANAGED, PLATFORM};
use crate::client::{Labels, VolumeSpec};

const VOLUME: &str = "sh0.volume";

/// The engine's name for a volume of an app.
pub(super) fn volume_name(app: AppId, name: &VolumeName) -> String {
    format!("sh0-{app}-{name}")
}

impl DockerRuntime {
    pub(super) async fn make_volume(&self, app: AppId, name: &VolumeName) -> Result<String> {
        let spec = VolumeSpec {
            name: volume_name(app, name),
            labels: Labels::from([
                (MANAGED.to_owned(), "1".to_owned()),
                (PLATFORM.to_owned(), self.platform.to_string()),
                (APP.to_owned(), app.to_string()),
                (VOLUME.to_owned(), name.to_string()),
            ]),
            ..VolumeSpec::default()
        };
        Ok(self.client.create_volume(&spec).await.map_err(told)?.name)
    }

    pub(super) async fn volumes_of(&self, app: AppId) -> Result<Vec<ObservedVolume>> {
        let volumes = self.client.list_volumes(&self.ours(Some(app))).await.map_err(told)?;
        let mut observed: Vec<ObservedVolume> = volumes
            .into_iter()
            .filter_map(|volume| {
                let name = volume.labels.get(VOLUME)?.parse().ok()?;
                Some(ObservedVolume { name, location: volume.name, used: None })
            })
            .collect();
        observed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(observed)
    }

    pub(super) async fn drop_volume(&self, app: AppId, name: &VolumeName) -> Result<()> {
        match self.client.remove_volume(&volume_name(app, name), false).await {
            Err(error) if !error.is_not_found() => Err(told(error)),
            _ => Ok(()),
        }
    }
}
