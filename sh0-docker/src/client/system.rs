//! The engine itself: ping, version, info, disk usage.

use std::sync::Arc;

use serde::Deserialize;

use super::{
    Client,
    error::Result,
    model::{keys, or_default, strings},
    negotiate::Engine,
    request::Call,
};

/// Who made the engine and which versions it has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct EngineVersion {
    /// E.g. `28.3.0`.
    #[serde(deserialize_with = "or_default")]
    pub version: String,
    /// Newest API version.
    #[serde(deserialize_with = "or_default")]
    pub api_version: String,
    /// Oldest API version.
    #[serde(rename = "MinAPIVersion", deserialize_with = "or_default")]
    pub min_api_version: Option<String>,
    /// `linux`, `windows`.
    #[serde(deserialize_with = "or_default")]
    pub os: String,
    /// Processor, in Go's words: `amd64`, `arm64`.
    #[serde(deserialize_with = "or_default")]
    pub arch: String,
    /// The kernel's version.
    #[serde(deserialize_with = "or_default")]
    pub kernel_version: Option<String>,
}

/// What the engine says about itself and its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct EngineInfo {
    /// Id of the engine. Copied disks have the same one: it identifies no machine.
    #[serde(rename = "ID", deserialize_with = "or_default")]
    pub id: String,
    /// Host name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// E.g. `28.3.0`.
    #[serde(deserialize_with = "or_default")]
    pub server_version: String,
    /// Processors.
    #[serde(rename = "NCPU", deserialize_with = "or_default")]
    pub cpus: Option<u32>,
    /// Memory in bytes.
    #[serde(rename = "MemTotal", deserialize_with = "or_default")]
    pub memory_bytes: Option<u64>,
    /// Processor as the kernel names it: `x86_64`, `aarch64`.
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    /// `linux` or `windows`.
    #[serde(rename = "OSType", deserialize_with = "or_default")]
    pub os_type: String,
    /// E.g. `Debian GNU/Linux 12 (bookworm)`.
    #[serde(deserialize_with = "or_default")]
    pub operating_system: String,
    /// The kernel's version.
    #[serde(deserialize_with = "or_default")]
    pub kernel_version: String,
    /// Storage driver, e.g. `overlay2`.
    #[serde(deserialize_with = "or_default")]
    pub driver: String,
    /// Log driver of containers that name none.
    #[serde(deserialize_with = "or_default")]
    pub logging_driver: String,
    /// `cgroupfs`, `systemd` or `none`.
    #[serde(deserialize_with = "or_default")]
    pub cgroup_driver: Option<String>,
    /// `1` or `2`.
    #[serde(deserialize_with = "or_default")]
    pub cgroup_version: Option<String>,
    /// Where images and volumes are on the host.
    #[serde(deserialize_with = "or_default")]
    pub docker_root_dir: String,
    /// E.g. `name=seccomp,profile=default`, `name=rootless`.
    #[serde(deserialize_with = "strings")]
    pub security_options: Vec<String>,
    /// Whether containers go on while the engine restarts.
    #[serde(deserialize_with = "or_default")]
    pub live_restore_enabled: bool,
    /// Whether memory limits work.
    #[serde(deserialize_with = "or_default")]
    pub memory_limit: Option<bool>,
    /// Whether limits of swap work.
    #[serde(deserialize_with = "or_default")]
    pub swap_limit: Option<bool>,
    /// Whether limits of processes work.
    #[serde(deserialize_with = "or_default")]
    pub pids_limit: Option<bool>,
    /// OCI runtime of containers that name none.
    #[serde(deserialize_with = "or_default")]
    pub default_runtime: Option<String>,
    /// What the engine itself finds wrong with its machine.
    #[serde(deserialize_with = "strings")]
    pub warnings: Vec<String>,
    /// Names of the OCI runtimes.
    #[serde(deserialize_with = "keys")]
    pub runtimes: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    swarm: Swarm,
}

impl EngineInfo {
    /// Whether the engine is an active member of a swarm.
    #[must_use]
    pub fn in_swarm(&self) -> bool {
        self.swarm.state == "active"
    }

    /// Whether it runs without root.
    #[must_use]
    pub fn is_rootless(&self) -> bool {
        self.security_options.iter().any(|option| option == "name=rootless" || option == "rootless")
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Swarm {
    #[serde(rename = "LocalNodeState", deserialize_with = "or_default")]
    state: String,
}

/// What takes space on the engine's disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct DiskUsage {
    /// All image layers together, in bytes.
    #[serde(rename = "LayersSize", deserialize_with = "or_default")]
    pub layers_bytes: Option<u64>,
    /// Images.
    #[serde(deserialize_with = "or_default")]
    pub images: Vec<ImageUsage>,
    /// Volumes.
    #[serde(deserialize_with = "or_default")]
    pub volumes: Vec<VolumeUsage>,
    #[serde(deserialize_with = "or_default")]
    build_cache: Vec<CacheEntry>,
}

impl DiskUsage {
    /// Build cache that shares nothing with images, in bytes.
    #[must_use]
    pub fn build_cache_bytes(&self) -> u64 {
        self.build_cache.iter().filter(|entry| !entry.shared).map(|entry| entry.size).sum()
    }
}

/// What an image takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct ImageUsage {
    /// `sha256:..`.
    pub id: String,
    /// `name:tag`, every one it has.
    #[serde(deserialize_with = "strings")]
    pub repo_tags: Vec<String>,
    /// Bytes, layers shared with other images included.
    #[serde(rename = "Size", deserialize_with = "size")]
    pub bytes: Option<u64>,
    /// Of it in layers of other images, in bytes.
    #[serde(rename = "SharedSize", deserialize_with = "size")]
    pub shared_bytes: Option<u64>,
    /// Containers of it.
    #[serde(deserialize_with = "size")]
    pub containers: Option<u64>,
}

/// What a volume takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct VolumeUsage {
    /// Its name.
    pub name: String,
    #[serde(deserialize_with = "or_default")]
    usage_data: UsageData,
}

impl VolumeUsage {
    /// Size in bytes; `None` when its driver does not tell.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.usage_data.size
    }

    /// Containers that use it.
    #[must_use]
    pub fn containers(&self) -> Option<u64> {
        self.usage_data.ref_count
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UsageData {
    #[serde(deserialize_with = "size")]
    size: Option<u64>,
    #[serde(deserialize_with = "size")]
    ref_count: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CacheEntry {
    #[serde(deserialize_with = "or_default")]
    size: u64,
    #[serde(deserialize_with = "or_default")]
    shared: bool,
}

/// -1 means "not counted".
fn size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u64>, D::Error> {
    let size: Option<i64> = Option::deserialize(deserializer)?;
    Ok(size.and_then(|size| u64::try_from(size).ok()))
}

impl Client {
    /// What the engine said when the connection that would be used next was opened: versions, and whether it is
    /// Podman. Costs a round trip only when there is no open connection. API: `HEAD /_ping`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable),
    /// [`Error::UnsupportedVersion`](super::Error::UnsupportedVersion).
    pub async fn engine(&self) -> Result<Arc<Engine>> {
        self.transport.engine().await
    }

    /// Asks whether the engine is alive. API: `GET /_ping`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](super::Error::Unavailable), [`Error::Timeout`](super::Error::Timeout).
    pub async fn ping(&self) -> Result<()> {
        self.transport.call(&Call::get("/_ping")).await.map(drop)
    }

    /// The engine's versions. API: `GET /version`.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn version(&self) -> Result<EngineVersion> {
        self.json(&Call::get("/version")).await
    }

    /// The engine and its machine. API: `GET /info`.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn info(&self) -> Result<EngineInfo> {
        self.json(&Call::get("/info")).await
    }

    /// What takes space on the engine's disk. The engine measures every volume for it: seconds to minutes.
    /// API: `GET /system/df`.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        self.json(&Call::get("/system/df").slow()).await
    }
}
