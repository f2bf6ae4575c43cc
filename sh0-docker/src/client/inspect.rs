//! What the engine tells about containers.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use serde::Deserialize;

use super::model::{Labels, Port, open_enum, or_default, strings, time};

open_enum! {
    /// The state of a container in one word.
    pub enum Status {
        /// Made, never started.
        Created = "created",
        /// Runs.
        Running = "running",
        /// Frozen.
        Paused = "paused",
        /// Ended, and about to be started again by the engine.
        Restarting = "restarting",
        /// Being removed.
        Removing = "removing",
        /// Ended.
        Exited = "exited",
        /// Could not be removed; not usable.
        Dead = "dead",
        /// Podman: ended, not yet cleaned up.
        Stopped = "stopped",
        /// Podman: was asked to end.
        Stopping = "stopping",
    }
}

open_enum! {
    /// What the engine's own health check says. It first runs one interval after the start, and inside the container.
    pub enum HealthStatus {
        /// No check. Podman writes an empty word for it.
        None = "none",
        /// Not decided yet.
        Starting = "starting",
        /// The last checks passed.
        Healthy = "healthy",
        /// The last checks failed.
        Unhealthy = "unhealthy",
    }
}

/// A container in full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// With the slash that the engine puts in front; see [`Container::name`].
    #[serde(rename = "Name", deserialize_with = "or_default")]
    raw_name: String,
    /// When it was made.
    #[serde(deserialize_with = "time")]
    pub created: Option<Timestamp>,
    /// Id of its image.
    #[serde(deserialize_with = "or_default")]
    pub image: String,
    /// Where it is in its life.
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerState,
    /// How often the engine restarted it.
    #[serde(deserialize_with = "or_default")]
    pub restart_count: Option<u64>,
    /// What it was created with.
    #[serde(deserialize_with = "or_default")]
    pub config: ContainerConfig,
    /// The limits it was created with, as they are now.
    #[serde(deserialize_with = "or_default")]
    pub host_config: HostConfig,
    /// What is mounted.
    #[serde(deserialize_with = "or_default")]
    pub mounts: Vec<MountPoint>,
    #[serde(deserialize_with = "or_default")]
    network_settings: NetworkSettings,
}

impl Container {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.raw_name.strip_prefix('/').unwrap_or(&self.raw_name)
    }

    /// Its networks, by name.
    #[must_use]
    pub fn networks(&self) -> &BTreeMap<String, NetworkEndpoint> {
        // The address beside this map is gone in API 1.52.
        &self.network_settings.networks
    }

    /// Where `port` is published on the host; empty while it does not run.
    pub fn published(&self, port: Port) -> impl Iterator<Item = &HostPort> {
        self.network_settings.ports.get(&port.to_string()).into_iter().flatten().flatten()
    }
}

/// Where a container is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct ContainerState {
    /// In one word.
    #[serde(deserialize_with = "or_default")]
    pub status: Option<Status>,
    /// Whether it runs; true while paused, and at times while restarting.
    #[serde(deserialize_with = "or_default")]
    pub running: bool,
    /// Whether the kernel killed it for lack of memory. `true` is certain; `false` with exit code 137 is not: when the
    /// end is told to the engine before its reason, 20.10 never sets this (5 of 100 kills under load), and may send no
    /// `oom` event either.
    #[serde(rename = "OOMKilled", deserialize_with = "or_default")]
    pub oom_killed: bool,
    /// Process id on the host; `None` while it does not run.
    #[serde(deserialize_with = "pid")]
    pub pid: Option<u32>,
    /// Exit code of the last run. 0 before the first.
    #[serde(deserialize_with = "or_default")]
    pub exit_code: Option<i64>,
    /// Why the last start failed, possibly empty.
    #[serde(deserialize_with = "or_default")]
    pub error: String,
    /// Last start.
    #[serde(deserialize_with = "time")]
    pub started_at: Option<Timestamp>,
    /// Last end.
    #[serde(deserialize_with = "time")]
    pub finished_at: Option<Timestamp>,
    /// The engine's health check, if there is one.
    #[serde(deserialize_with = "health")]
    pub health: Option<Health>,
}

/// What the engine's health check says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Health {
    /// In one word.
    #[serde(deserialize_with = "or_default")]
    pub status: Option<HealthStatus>,
    /// Failures in a row.
    #[serde(deserialize_with = "or_default")]
    pub failing_streak: Option<u64>,
}

/// What a container was created with. The environment is left out: it holds secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct ContainerConfig {
    /// Image as it was named.
    #[serde(deserialize_with = "or_default")]
    pub image: String,
    /// Labels, the image's included.
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
    /// Whether it has a terminal: its output is then raw.
    #[serde(deserialize_with = "or_default")]
    pub tty: bool,
    /// Whether standard input can be attached.
    #[serde(deserialize_with = "or_default")]
    pub open_stdin: bool,
    /// User, possibly empty.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// Arguments.
    #[serde(deserialize_with = "strings")]
    pub cmd: Vec<String>,
    /// Program.
    #[serde(deserialize_with = "strings")]
    pub entrypoint: Vec<String>,
    /// Directory to start in.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// Signal that asks it to stop.
    #[serde(deserialize_with = "or_default")]
    pub stop_signal: Option<String>,
    /// Grace in seconds before a stop kills it.
    #[serde(deserialize_with = "or_default")]
    pub stop_timeout: Option<i64>,
}

/// The limits of a container. The API's 0, "no limit", is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct HostConfig {
    /// Network it was created in.
    #[serde(deserialize_with = "or_default")]
    pub network_mode: Option<String>,
    /// Memory limit in bytes.
    #[serde(rename = "Memory", deserialize_with = "limit")]
    pub memory_bytes: Option<u64>,
    /// Memory and swap together, in bytes.
    #[serde(rename = "MemorySwap", deserialize_with = "limit")]
    pub memory_swap_bytes: Option<u64>,
    /// Billionths of a processor.
    #[serde(rename = "NanoCpus", deserialize_with = "limit")]
    pub cpus_nano: Option<u64>,
    /// Processes and threads at most.
    #[serde(deserialize_with = "limit")]
    pub pids_limit: Option<u64>,
}

/// Something mounted in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct MountPoint {
    /// `volume`, `bind`, `tmpfs`, ...
    #[serde(rename = "Type", deserialize_with = "or_default")]
    pub kind: String,
    /// Name of the volume.
    #[serde(deserialize_with = "or_default")]
    pub name: Option<String>,
    /// Path on the host.
    #[serde(deserialize_with = "or_default")]
    pub source: String,
    /// Path inside.
    #[serde(deserialize_with = "or_default")]
    pub destination: String,
    /// Whether it can be written.
    #[serde(rename = "RW", deserialize_with = "or_default")]
    pub writable: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "or_default")]
    networks: BTreeMap<String, NetworkEndpoint>,
    #[serde(deserialize_with = "or_default")]
    ports: BTreeMap<String, Option<Vec<HostPort>>>,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct NetworkEndpoint {
    /// Id of the network; its name in Podman.
    #[serde(rename = "NetworkID", deserialize_with = "or_default")]
    pub network_id: String,
    /// Address; `None` while the container does not run.
    #[serde(rename = "IPAddress", deserialize_with = "address")]
    pub ip: Option<IpAddr>,
    /// IPv6 address, if the network has any.
    #[serde(rename = "GlobalIPv6Address", deserialize_with = "address")]
    pub ipv6: Option<IpAddr>,
    /// Address of the network's gateway.
    #[serde(deserialize_with = "address")]
    pub gateway: Option<IpAddr>,
    /// Names it was given there; engines before API 1.45 add its short id.
    #[serde(deserialize_with = "strings")]
    pub aliases: Vec<String>,
    #[serde(rename = "IPAMConfig", deserialize_with = "or_default")]
    asked: AskedAddress,
}

impl NetworkEndpoint {
    /// The address it was created with, also while it does not run; `None` when the engine chooses.
    #[must_use]
    pub fn fixed(&self) -> Option<IpAddr> {
        self.asked.ipv4
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct AskedAddress {
    #[serde(rename = "IPv4Address", deserialize_with = "address")]
    ipv4: Option<IpAddr>,
}

/// A port on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct HostPort {
    /// Address; `None` for all.
    #[serde(rename = "HostIp", deserialize_with = "address")]
    pub ip: Option<IpAddr>,
    /// Port number.
    #[serde(rename = "HostPort", deserialize_with = "port_number")]
    pub port: Option<u16>,
}

/// A container in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct ContainerSummary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Names as the engine has them; see [`ContainerSummary::name`].
    #[serde(deserialize_with = "strings")]
    names: Vec<String>,
    /// Image as it was named, or its id when the name has moved on.
    #[serde(deserialize_with = "or_default")]
    pub image: String,
    /// Id of the image.
    #[serde(rename = "ImageID", deserialize_with = "or_default")]
    pub image_id: String,
    /// When it was made, in seconds since 1970.
    #[serde(deserialize_with = "or_default")]
    pub created: Option<i64>,
    /// State in one word.
    #[serde(deserialize_with = "or_default")]
    pub state: Option<Status>,
    /// State for people, e.g. `Up 3 minutes (healthy)`.
    #[serde(deserialize_with = "or_default")]
    pub status: String,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
    #[serde(deserialize_with = "or_default")]
    network_settings: NetworkSettings,
}

impl ContainerSummary {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let name = self.names.first()?;
        Some(name.strip_prefix('/').unwrap_or(name))
    }

    /// Its networks, by name.
    #[must_use]
    pub fn networks(&self) -> &BTreeMap<String, NetworkEndpoint> {
        &self.network_settings.networks
    }
}

fn pid<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let pid: Option<i64> = Option::deserialize(deserializer)?;
    Ok(pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0))
}

/// 0 and -1 mean "no limit".
fn limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let limit: Option<i64> = Option::deserialize(deserializer)?;
    Ok(limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0))
}

/// Empty texts mean "none", `0.0.0.0` and `::` mean "all".
fn address<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()).filter(|ip: &IpAddr| !ip.is_unspecified()))
}

fn port_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()).filter(|port| *port > 0))
}

/// Podman writes `{"Status": ""}` for a container without a check.
fn health<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Health>, D::Error> {
    let health: Option<Health> = Option::deserialize(deserializer)?;
    Ok(health.filter(|health| match &health.status {
        None | Some(HealthStatus::None) => false,
        Some(status) => !status.as_str().is_empty(),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn container(text: &str) -> Container {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_empty_answer_is_a_container() {
        assert_eq!(container("{}"), Container::default());
    }

    #[test]
    fn an_unknown_state_does_not_fail() {
        let odd = container(r#"{"State":{"Status":"initialized","Pid":0,"FinishedAt":"0001-01-01T00:00:00Z"}}"#);
        assert_eq!(odd.state.status, Some(Status::Other("initialized".into())));
        assert_eq!((odd.state.pid, odd.state.finished_at), (None, None));
    }

    #[test]
    fn podmans_empty_health_is_no_health() {
        assert_eq!(container(r#"{"State":{"Health":{"Status":""}}}"#).state.health, None);
        let healthy = container(r#"{"State":{"Health":{"Status":"healthy","Log":null}}}"#).state.health.unwrap();
        assert_eq!(healthy.status, Some(HealthStatus::Healthy));
    }

    #[test]
    fn addresses_and_ports_are_typed() {
        let web = container(
            r#"{"Name":"/web","NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}],"81/tcp":null},
                "Networks":{"shop":{"IPAddress":"10.0.0.7","GlobalIPv6Address":"","Aliases":null}}}}"#,
        );
        assert_eq!(web.name(), "web");
        assert_eq!(web.published(Port::tcp(80)).next().unwrap().port, Some(8080));
        assert_eq!(web.published(Port::tcp(81)).count(), 0);
        assert_eq!(web.networks()["shop"].ip, Some([10, 0, 0, 7].into()));
        assert_eq!(web.networks()["shop"].ipv6, None);
    }

    #[test]
    fn no_limit_is_none() {
        let free = container(r#"{"HostConfig":{"Memory":0,"MemorySwap":-1,"PidsLimit":null,"NanoCpus":500}}"#);
        assert_eq!(free.host_config.memory_bytes, None);
        assert_eq!(free.host_config.memory_swap_bytes, None);
        assert_eq!(free.host_config.cpus_nano, Some(500));
    }
}
