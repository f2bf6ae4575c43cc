//! Volumes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::{
    Client,
    error::{Error, Result},
    model::{Filters, Labels, or_default, time},
    request::{Call, segment},
};

/// A volume to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Its name.
    pub name: String,
    /// `local` when absent.
    pub driver: Option<String>,
    /// The driver's options. They are fixed from then on.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: Labels,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// `local`, ...
    #[serde(deserialize_with = "or_default")]
    pub driver: String,
    /// Where it is on the host.
    #[serde(deserialize_with = "or_default")]
    pub mountpoint: String,
    /// When it was made.
    #[serde(deserialize_with = "time")]
    pub created_at: Option<Timestamp>,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
    /// The driver's options it was made with.
    #[serde(deserialize_with = "or_default")]
    pub options: BTreeMap<String, String>,
}

impl Client {
    /// Creates a volume. One of that name that exists is returned as it is, whatever its labels and options: compare
    /// them. API: `POST /volumes/create`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it exists with another driver; [`Error::InvalidInput`] without a name.
    pub async fn create_volume(&self, spec: &VolumeSpec) -> Result<Volume> {
        if spec.name.is_empty() {
            // The engine would make an anonymous one.
            return Err(Error::InvalidInput { what: "volume", reason: "it has no name".into() });
        }
        let body = json!({
            "Name": spec.name,
            "Driver": spec.driver.as_deref().unwrap_or("local"),
            "DriverOpts": spec.options,
            "Labels": spec.labels,
        });
        self.json(&Call::post("/volumes/create").json(&body)?.slow()).await
    }

    /// Looks at a volume. API: `GET /volumes/{name}`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn inspect_volume(&self, name: &str) -> Result<Volume> {
        self.json(&Call::get(format!("/volumes/{}", segment("volume", name)?))).await
    }

    /// Lists volumes; filters are `label`, `name`, `driver`, `dangling`. API: `GET /volumes`.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_volumes(&self, filters: &Filters) -> Result<Vec<Volume>> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default, rename = "Volumes", deserialize_with = "or_default")]
            volumes: Vec<Volume>,
        }
        let answer: Answer = self.json(&Call::get("/volumes").query_some("filters", filters.query())).await?;
        Ok(answer.volumes)
    }

    /// Removes a volume and its data. `force` also when its driver is gone. API: `DELETE /volumes/{name}`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] while a container, running or not, uses it.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<()> {
        let call = Call::delete(format!("/volumes/{}", segment("volume", name)?)).flag("force", force).slow();
        self.transport.call(&call).await.map(drop)
    }
}
