//! What a container is created from.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    error::{Error, Result},
    model::{Labels, Port, Vars},
};

/// A container to be created.
///
/// What is absent is the image's or the engine's default. There is no "auto remove": it takes the exit code and the
/// logs away with the container.
///
/// ```
/// use sh0_docker::client::{ContainerSpec, LogConfig, Mount, NetworkMode};
/// let spec = ContainerSpec {
///     image: "shop/web:42".into(),
///     memory_bytes: Some(256 << 20),
///     cpus_nano: Some(500_000_000),
///     init: Some(true),
///     network: Some(NetworkMode::Named("shop".into())),
///     mounts: vec![Mount::volume("shop-data", "/data")],
///     log: Some(LogConfig::json_file(10 << 20, 3)),
///     ..ContainerSpec::default()
/// };
/// # let _ = spec;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerSpec {
    /// Image name or id.
    pub image: String,
    /// Program, in place of the image's; an empty list takes the image's away.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments, in place of the image's.
    pub cmd: Option<Vec<String>>,
    /// Environment, on top of the image's.
    pub env: Vars,
    /// Labels.
    pub labels: Labels,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// Directory to start in.
    pub working_dir: Option<String>,
    /// Host name inside.
    pub hostname: Option<String>,
    /// `os/arch` of the image to use.
    pub platform: Option<String>,

    /// Give it a terminal. Its output is then one raw stream.
    pub tty: bool,
    /// Keep standard input open for [`attach`](super::Client::attach).
    pub open_stdin: bool,
    /// Close standard input when the first attached client ends its own.
    pub stdin_once: bool,
    /// Run a small init as process 1, which passes signals on and reaps. Without it a program that does not handle
    /// SIGTERM takes the whole grace to stop.
    pub init: Option<bool>,
    /// Signal that asks it to stop.
    pub stop_signal: Option<String>,
    /// How long it may take to stop before it is killed; whole seconds, rounded up.
    pub stop_grace: Option<Duration>,
    /// Who restarts it. The engine does not, by default.
    pub restart: RestartPolicy,
    /// Switch the image's health check off.
    pub no_healthcheck: bool,

    /// Which network it joins.
    pub network: Option<NetworkMode>,
    /// Names it answers to in a [`NetworkMode::Named`] network. Aliases are shared: two containers with the same one
    /// both get the traffic.
    pub aliases: Vec<String>,
    /// A fixed address in a [`NetworkMode::Named`] network that was given its subnet. Whether it is free shows at start
    /// only.
    pub address: Option<IpAddr>,
    /// Ports published on the host.
    pub publish: Vec<Publish>,
    /// More names for its hosts file, `name:address`; `host-gateway` is the host's address.
    pub extra_hosts: Vec<String>,
    /// Name servers, in place of the engine's.
    pub dns: Vec<IpAddr>,

    /// Volumes, host directories and temporary file systems.
    pub mounts: Vec<Mount>,
    /// Make the root file system read-only.
    pub read_only: bool,
    /// Size of `/dev/shm` in bytes.
    pub shm_bytes: Option<u64>,

    /// Memory limit in bytes.
    pub memory_bytes: Option<u64>,
    /// Swap on top of the memory limit, in bytes; none by default. Has no meaning without a memory limit.
    pub swap_bytes: u64,
    /// Memory that is kept for it under pressure, in bytes.
    pub memory_reservation_bytes: Option<u64>,
    /// Processor time in billionths of one processor: 500 000 000 is half of one.
    pub cpus_nano: Option<u64>,
    /// Weight against other containers when processors are busy; 1024 is the default.
    pub cpu_shares: Option<u64>,
    /// Processes and threads at most.
    pub pids_limit: Option<u64>,
    /// Limits of `setrlimit`.
    pub ulimits: Vec<Ulimit>,
    /// -1000 to 1000: whom the kernel kills first when memory is short.
    pub oom_score_adj: Option<i32>,

    /// Capabilities taken away; `ALL` for all.
    pub cap_drop: Vec<String>,
    /// Capabilities given.
    pub cap_add: Vec<String>,
    /// E.g. `no-new-privileges`.
    pub security_opt: Vec<String>,
    /// All capabilities and devices of the host.
    pub privileged: bool,
    /// Kernel parameters of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// OCI runtime, e.g. `runsc`.
    pub runtime: Option<String>,
    /// Where its output goes. Without rotation the engine's default file grows for ever.
    pub log: Option<LogConfig>,
}

/// Who starts a container again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Nobody, or another owner than the engine.
    #[default]
    No,
    /// The engine, always; also after the engine's own restart if it had been stopped by hand.
    Always,
    /// The engine, unless it was stopped by hand.
    UnlessStopped,
    /// The engine, when the exit code is not 0, at most so many times.
    OnFailure(u32),
}

/// Which network a container joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// The default bridge, which has no DNS.
    Bridge,
    /// The host's own network.
    Host,
    /// Loopback only.
    None,
    /// A user network, by name or id.
    Named(String),
    /// The network of another container, by name or id.
    Container(String),
}

/// A port published on the host. Whether the host port is free shows at start only
/// ([`Error::is_port_taken`](super::Error::is_port_taken)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Port inside.
    pub port: Port,
    /// Address on the host; all addresses when absent.
    pub host_ip: Option<IpAddr>,
    /// Port on the host; a free one when absent.
    pub host_port: Option<u16>,
}

/// What is mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// A named volume, made on first use. Its content starts as the image's at that path, unless `no_copy`.
    Volume {
        /// Name of the volume.
        name: String,
        /// Path inside.
        target: String,
        /// Whether it may only be read.
        read_only: bool,
        /// Start empty instead.
        no_copy: bool,
        /// Labels of the volume, should it be made here.
        labels: Labels,
    },
    /// A directory or file of the host. It must exist.
    Bind {
        /// Absolute path on the host.
        source: String,
        /// Path inside.
        target: String,
        /// Whether it may only be read.
        read_only: bool,
    },
    /// A file system in memory, which counts against the memory limit.
    Tmpfs {
        /// Path inside.
        target: String,
        /// Size at most, in bytes; no limit of its own when absent.
        size_bytes: Option<u64>,
        /// Permission bits, e.g. `0o1777`.
        mode: Option<u32>,
    },
}

impl Mount {
    /// A writable named volume.
    #[must_use]
    pub fn volume(name: impl Into<String>, target: impl Into<String>) -> Self {
        Self::Volume {
            name: name.into(),
            target: target.into(),
            read_only: false,
            no_copy: false,
            labels: Labels::new(),
        }
    }

    /// A writable directory or file of the host.
    #[must_use]
    pub fn bind(source: impl Into<String>, target: impl Into<String>) -> Self {
        Self::Bind { source: source.into(), target: target.into(), read_only: false }
    }

    /// A file system in memory.
    #[must_use]
    pub fn tmpfs(target: impl Into<String>, size_bytes: Option<u64>) -> Self {
        Self::Tmpfs { target: target.into(), size_bytes, mode: None }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Volume { name, target, read_only, no_copy, labels } => json!({
                "Type": "volume", "Source": name, "Target": target, "ReadOnly": read_only,
                "VolumeOptions": { "NoCopy": no_copy, "Labels": labels },
            }),
            Self::Bind { source, target, read_only } => json!({
                "Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only,
            }),
            Self::Tmpfs { target, size_bytes, mode } => {
                let mut options = Map::new();
                put(&mut options, "SizeBytes", *size_bytes);
                put(&mut options, "Mode", *mode);
                json!({ "Type": "tmpfs", "Target": target, "TmpfsOptions": options })
            }
        }
    }
}

/// A limit of `setrlimit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// E.g. `nofile`.
    pub name: String,
    /// Limit in force.
    pub soft: i64,
    /// Limit up to which the process may raise it.
    pub hard: i64,
}

/// A log driver and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// E.g. `json-file`, `local`, `none`.
    pub driver: String,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
}

impl LogConfig {
    /// The `json-file` driver with files of at most `max_bytes`, of which `files` are kept.
    #[must_use]
    pub fn json_file(max_bytes: u64, files: u32) -> Self {
        Self::rotated("json-file", max_bytes, files)
    }

    /// The `local` driver, which is more compact, with files of at most `max_bytes`, of which `files` are kept.
    #[must_use]
    pub fn local(max_bytes: u64, files: u32) -> Self {
        Self::rotated("local", max_bytes, files)
    }

    fn rotated(driver: &str, max_bytes: u64, files: u32) -> Self {
        let options = [("max-size", max_bytes.to_string()), ("max-file", files.to_string())];
        Self { driver: driver.into(), options: options.map(|(name, value)| (name.to_owned(), value)).into() }
    }
}

/// An address that is asked for.
pub(crate) fn fixed(address: IpAddr) -> Value {
    let family = if address.is_ipv4() { "IPv4Address" } else { "IPv6Address" };
    json!({ family: address })
}

impl ContainerSpec {
    /// The body of `POST /containers/create`.
    pub(crate) fn to_json(&self) -> Result<Value> {
        if self.image.is_empty() {
            return Err(Error::InvalidInput { what: "container", reason: "it names no image".into() });
        }
        let mut body = Map::new();
        body.insert("Image".into(), self.image.as_str().into());
        put(&mut body, "Entrypoint", self.entrypoint.as_ref());
        put(&mut body, "Cmd", self.cmd.as_ref());
        put(&mut body, "User", self.user.as_ref());
        put(&mut body, "WorkingDir", self.working_dir.as_ref());
        put(&mut body, "Hostname", self.hostname.as_ref());
        put(&mut body, "StopSignal", self.stop_signal.as_ref());
        put(&mut body, "StopTimeout", self.stop_grace.map(whole_seconds));
        put_list(&mut body, "Env", &self.env.pairs());
        body.insert("Labels".into(), json!(self.labels));
        body.insert("Tty".into(), self.tty.into());
        body.insert("OpenStdin".into(), self.open_stdin.into());
        body.insert("StdinOnce".into(), self.stdin_once.into());
        if self.no_healthcheck {
            body.insert("Healthcheck".into(), json!({ "Test": ["NONE"] }));
        }
        if !self.publish.is_empty() {
            let ports: Map<_, _> = self.publish.iter().map(|port| (port.port.to_string(), json!({}))).collect();
            body.insert("ExposedPorts".into(), ports.into());
        }
        if let Some(NetworkMode::Named(name)) = &self.network {
            // One network only: engines before API 1.44 refuse more here; connect the others afterwards.
            let mut endpoint = json!({ "Aliases": self.aliases });
            if let Some(address) = self.address {
                endpoint["IPAMConfig"] = fixed(address);
            }
            body.insert("NetworkingConfig".into(), json!({ "EndpointsConfig": { name.as_str(): endpoint } }));
        }
        body.insert("HostConfig".into(), self.host_config().into());
        Ok(body.into())
    }

    fn host_config(&self) -> Map<String, Value> {
        let mut host = Map::new();
        put(&mut host, "Init", self.init);
        put(&mut host, "ShmSize", self.shm_bytes);
        put(&mut host, "Memory", self.memory_bytes);
        // Without this the engine allows as much swap again as there is memory.
        put(&mut host, "MemorySwap", self.memory_bytes.map(|memory| memory.saturating_add(self.swap_bytes)));
        put(&mut host, "MemoryReservation", self.memory_reservation_bytes);
        put(&mut host, "NanoCpus", self.cpus_nano);
        put(&mut host, "CpuShares", self.cpu_shares);
        put(&mut host, "PidsLimit", self.pids_limit);
        put(&mut host, "OomScoreAdj", self.oom_score_adj);
        put(&mut host, "Runtime", self.runtime.as_ref());
        put(&mut host, "NetworkMode", self.network.as_ref().map(NetworkMode::word));
        put_list(&mut host, "CapAdd", &self.cap_add);
        put_list(&mut host, "CapDrop", &self.cap_drop);
        put_list(&mut host, "SecurityOpt", &self.security_opt);
        put_list(&mut host, "ExtraHosts", &self.extra_hosts);
        put_list(&mut host, "Dns", &self.dns);
        put_list(&mut host, "Mounts", &self.mounts.iter().map(Mount::to_json).collect::<Vec<_>>());
        host.insert("RestartPolicy".into(), self.restart.to_json());
        host.insert("ReadonlyRootfs".into(), self.read_only.into());
        host.insert("Privileged".into(), self.privileged.into());
        if !self.sysctls.is_empty() {
            host.insert("Sysctls".into(), json!(self.sysctls));
        }
        if !self.ulimits.is_empty() {
            let ulimits = self.ulimits.iter();
            let ulimits = ulimits.map(|limit| json!({ "Name": limit.name, "Soft": limit.soft, "Hard": limit.hard }));
            host.insert("Ulimits".into(), ulimits.collect());
        }
        if let Some(log) = &self.log {
            host.insert("LogConfig".into(), json!({ "Type": log.driver, "Config": log.options }));
        }
        if !self.publish.is_empty() {
            host.insert("PortBindings".into(), self.port_bindings());
        }
        host
    }

    fn port_bindings(&self) -> Value {
        let mut bindings: BTreeMap<Port, Vec<Value>> = BTreeMap::new();
        for publish in &self.publish {
            // An empty address or port is how the API says "any".
            let ip = publish.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
            let port = publish.host_port.map(|port| port.to_string()).unwrap_or_default();
            bindings.entry(publish.port).or_default().push(json!({ "HostIp": ip, "HostPort": port }));
        }
        bindings.into_iter().map(|(port, hosts)| (port.to_string(), Value::from(hosts))).collect()
    }
}

impl NetworkMode {
    fn word(&self) -> String {
        match self {
            Self::Bridge => "bridge".into(),
            Self::Host => "host".into(),
            Self::None => "none".into(),
            Self::Named(name) => name.clone(),
            Self::Container(id) => format!("container:{id}"),
        }
    }
}

impl RestartPolicy {
    pub(crate) fn to_json(self) -> Value {
        match self {
            Self::No => json!({ "Name": "no" }),
            Self::Always => json!({ "Name": "always" }),
            Self::UnlessStopped => json!({ "Name": "unless-stopped" }),
            Self::OnFailure(times) => json!({ "Name": "on-failure", "MaximumRetryCount": times }),
        }
    }
}

/// The API counts in seconds; a grace cut down to 0 would be a kill.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

pub(crate) fn put(map: &mut Map<String, Value>, name: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), json!(value));
    }
}

fn put_list(map: &mut Map<String, Value>, name: &str, list: &[impl Serialize]) {
    if !list.is_empty() {
        map.insert(name.to_owned(), json!(list));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_memory_limit_allows_no_swap_unless_asked() {
        let mut spec = ContainerSpec { image: "x".into(), memory_bytes: Some(100), ..ContainerSpec::default() };
        assert_eq!(spec.to_json().unwrap()["HostConfig"]["MemorySwap"], 100);
        spec.swap_bytes = 20;
        assert_eq!(spec.to_json().unwrap()["HostConfig"]["MemorySwap"], 120);
        spec.memory_bytes = None;
        assert!(spec.to_json().unwrap()["HostConfig"].get("MemorySwap").is_none());
    }

    #[test]
    fn what_is_absent_is_not_sent() {
        let body = ContainerSpec { image: "x".into(), ..ContainerSpec::default() }.to_json().unwrap();
        for name in ["Entrypoint", "Cmd", "Env", "User", "StopTimeout", "Healthcheck", "NetworkingConfig"] {
            assert!(body.get(name).is_none(), "{name}");
        }
        assert!(body["HostConfig"].get("AutoRemove").is_none());
        assert!(ContainerSpec::default().to_json().is_err());
    }

    #[test]
    fn ports_mounts_and_networks_have_the_shape_of_the_api() {
        let spec = ContainerSpec {
            image: "x".into(),
            network: Some(NetworkMode::Named("net".into())),
            aliases: vec!["web-1".into()],
            address: Some([10, 1, 8, 1].into()),
            publish: vec![Publish { port: Port::tcp(80), host_ip: Some([127, 0, 0, 1].into()), host_port: None }],
            mounts: vec![Mount::volume("v", "/v"), Mount::tmpfs("/t", Some(1024))],
            stop_grace: Some(Duration::from_millis(1500)),
            ..ContainerSpec::default()
        };
        let body = spec.to_json().unwrap();
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"]["net"]["Aliases"][0], "web-1");
        assert_eq!(body["NetworkingConfig"]["EndpointsConfig"]["net"]["IPAMConfig"]["IPv4Address"], "10.1.8.1");
        assert_eq!(body["HostConfig"]["NetworkMode"], "net");
        assert_eq!(body["HostConfig"]["PortBindings"]["80/tcp"][0], json!({"HostIp": "127.0.0.1", "HostPort": ""}));
        assert_eq!(body["ExposedPorts"], json!({"80/tcp": {}}));
        assert_eq!(body["HostConfig"]["Mounts"][0]["Type"], "volume");
        assert_eq!(body["HostConfig"]["Mounts"][1]["TmpfsOptions"], json!({"SizeBytes": 1024}));
        assert_eq!(body["StopTimeout"], 2);
    }
}
