//! What an instance belongs to, written on its container.

use sh0_core::model::{AppId, PlatformId};
use sh0_core::traits::{InstanceSpec, Labels};

use crate::client;

/// Marks everything of sh0; nothing without it is ever touched.
pub(super) const MANAGED: &str = "sh0.managed";
pub(super) const APP: &str = "sh0.app";
pub(super) const PLATFORM: &str = "sh0.platform";
const RELEASE: &str = "sh0.release";
const DEPLOYMENT: &str = "sh0.deployment";
const PROCESS: &str = "sh0.process";
const INDEX: &str = "sh0.index";
const ONE_OFF: &str = "sh0.one-off";
const PORT: &str = "sh0.port";

pub(super) fn write(spec: &InstanceSpec) -> client::Labels {
    let labels = &spec.labels;
    let mut written = client::Labels::from([
        (MANAGED.to_owned(), "1".to_owned()),
        (PLATFORM.to_owned(), labels.platform.to_string()),
        (APP.to_owned(), labels.app.to_string()),
        (RELEASE.to_owned(), labels.release.to_string()),
        (DEPLOYMENT.to_owned(), labels.deployment.to_string()),
        (PROCESS.to_owned(), labels.process.to_string()),
        (INDEX.to_owned(), labels.index.to_string()),
        (ONE_OFF.to_owned(), labels.one_off.to_string()),
    ]);
    if let Some(port) = spec.port {
        written.insert(PORT.to_owned(), port.to_string());
    }
    written
}

/// `None` for a container that sh0 did not make, or whose labels somebody has changed.
pub(super) fn read(written: &client::Labels) -> Option<Labels> {
    let get = |name: &str| written.get(name).map(String::as_str);
    get(MANAGED).filter(|value| *value == "1")?;
    Some(Labels {
        platform: get(PLATFORM)?.parse().ok()?,
        app: get(APP)?.parse().ok()?,
        release: get(RELEASE)?.parse().ok()?,
        deployment: get(DEPLOYMENT)?.parse().ok()?,
        process: get(PROCESS)?.parse().ok()?,
        index: get(INDEX)?.parse().ok()?,
        one_off: get(ONE_OFF)? == "true",
    })
}

/// The port on which the instance should listen.
pub(super) fn port(written: &client::Labels) -> Option<u16> {
    written.get(PORT)?.parse().ok()
}

/// Containers, images or volumes of a platform, of one app or of all.
pub(super) fn filter(platform: PlatformId, app: Option<AppId>) -> client::Filters {
    let filters = client::Filters::new().label(format!("{MANAGED}=1")).label(format!("{PLATFORM}={platform}"));
    match app {
        Some(app) => filters.label(format!("{APP}={app}")),
        None => filters,
    }
}
