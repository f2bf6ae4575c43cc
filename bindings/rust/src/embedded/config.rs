//! What a platform in this process is made of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use sh0_core::ParseError;
use sh0_core::model::{RuntimeKind, Secret};
use sh0_services::runtime::process::BUILD_VARIABLES;

/// How a platform is opened. Only the folder of data has no default.
///
/// ```
/// use sh0::{Config, Edge, Program, RuntimeChoice};
///
/// let config = Config::new("/var/lib/sh0")
///     .runtime(RuntimeChoice::Process)
///     .listen(["0.0.0.0:80".parse()?])
///     .base_domain("apps.example.com")
///     .shim(Program::new("/usr/lib/sh0/sh0-shim"))
///     .edge(Edge::Child(Program::new("/usr/bin/sh0").arg("edge")));
/// assert_eq!(config.base_domain, "apps.example.com");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of data: records, logs, keys, releases, volumes. One platform at a time has it.
    pub data: PathBuf,
    /// Where apps run that do not say so themselves.
    pub runtime: RuntimeChoice,
    /// The socket of the Docker Engine.
    pub docker_socket: PathBuf,
    /// The subnet of the network in which the platform's containers are, such as `10.213.0.0/20`: one that this host does
    /// not use is chosen when absent. Counts when the network is made, with the first container.
    pub docker_subnet: Option<String>,
    /// Stands in front of the repository of every base image, in place of the default registry.
    pub image_mirror: Option<String>,
    /// The program that serves static files, followed by the shared libraries it loads: they go into the images of static
    /// apps, which then need no base image.
    pub static_server: Vec<PathBuf>,
    /// The program that owns each process of the process runtime. Without it there is no process runtime.
    pub shim: Option<Program>,
    /// `PATH` of builds and apps of the process runtime.
    pub path: Option<String>,
    /// Variables that toolchains need there, such as `RUSTUP_HOME`; folders they name are readable.
    pub toolchain: BTreeMap<String, String>,
    /// Variables that builds of the process runtime get, and apps do not: certificates, proxies, registries.
    pub build_env: BTreeMap<String, Secret>,
    /// Folders that no app of the process runtime may see, beside the folder of data.
    pub hidden: Vec<PathBuf>,
    /// Where the proxy runs.
    pub edge: Edge,
    /// Where the proxy listens for host names.
    pub listen: Vec<SocketAddr>,
    /// The address on which each app's own port is opened; follows from `listen` when absent, see
    /// [`Config::bind_of_apps`].
    pub app_bind: Option<IpAddr>,
    /// The suffix of the host name that every app has from its first day.
    pub base_domain: String,
    /// Deployments that build at the same time.
    pub parallel_builds: usize,
    /// Releases per app whose artifacts are kept, the live one included.
    pub keep_releases: usize,
    /// Deployments per app that are remembered with their events, beside those of releases whose artifacts are kept.
    pub keep_deployments: usize,
    /// Audit rows that are remembered, none of them longer than a year.
    pub keep_audit_rows: usize,
    /// The version of the program, for status.
    pub version: String,
}

impl Config {
    /// A platform with its data in `data`: the proxy in this process, on loopback only.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Config {
            data: data.into(),
            runtime: RuntimeChoice::Auto,
            docker_socket: "/var/run/docker.sock".into(),
            docker_subnet: None,
            image_mirror: None,
            static_server: Vec::new(),
            shim: None,
            path: None,
            toolchain: BTreeMap::new(),
            build_env: BTreeMap::new(),
            hidden: Vec::new(),
            edge: Edge::InProcess,
            listen: Vec::new(),
            app_bind: None,
            base_domain: "localhost".to_owned(),
            parallel_builds: 2,
            keep_releases: 5,
            keep_deployments: 100,
            keep_audit_rows: 100_000,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Where apps run that do not say so themselves.
    #[must_use]
    pub fn runtime(mut self, runtime: RuntimeChoice) -> Self {
        self.runtime = runtime;
        self
    }

    /// The socket of the Docker Engine.
    #[must_use]
    pub fn docker_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.docker_socket = path.into();
        self
    }

    /// The subnet of the network in which the platform's containers are.
    #[must_use]
    pub fn docker_subnet(mut self, subnet: impl Into<String>) -> Self {
        self.docker_subnet = Some(subnet.into());
        self
    }

    /// Stands in front of the repository of every base image, in place of the default registry.
    #[must_use]
    pub fn image_mirror(mut self, mirror: impl Into<String>) -> Self {
        self.image_mirror = Some(mirror.into());
        self
    }

    /// The program that serves static files inside images, followed by the shared libraries it loads.
    #[must_use]
    pub fn static_server(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.static_server = files.into_iter().collect();
        self
    }

    /// The program that owns each process of the process runtime.
    #[must_use]
    pub fn shim(mut self, shim: Program) -> Self {
        self.shim = Some(shim);
        self
    }

    /// `PATH` of builds and apps of the process runtime.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// A variable that a toolchain of the process runtime needs.
    #[must_use]
    pub fn toolchain(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.toolchain.insert(name.into(), value.into());
        self
    }

    /// Those of these variables that tell builds of the process runtime how the world is reached: the ones in
    /// [`BUILD_VARIABLES`](sh0_services::runtime::process::BUILD_VARIABLES), such as `HTTPS_PROXY`. For programs that hand on
    /// their own environment (`std::env::vars_os`).
    ///
    /// ```
    /// let variables = [("HTTPS_PROXY", "http://proxy:3128"), ("AWS_SECRET_ACCESS_KEY", "x")];
    /// let config = sh0::Config::new("/x").build_env(variables.map(|(name, value)| (name.into(), value.into())));
    /// assert_eq!(config.build_env.keys().collect::<Vec<_>>(), ["HTTPS_PROXY"]);
    /// ```
    #[must_use]
    pub fn build_env(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let known = |name: &String| BUILD_VARIABLES.contains(&name.as_str());
        for (name, value) in variables {
            if let (Some(name), Ok(value)) = (name.into_string().ok().filter(known), value.into_string()) {
                self.build_env.insert(name, Secret::new(value));
            }
        }
        self
    }

    /// A folder that no app of the process runtime may see.
    #[must_use]
    pub fn hide(mut self, folder: impl Into<PathBuf>) -> Self {
        self.hidden.push(folder.into());
        self
    }

    /// Where the proxy runs.
    #[must_use]
    pub fn edge(mut self, edge: Edge) -> Self {
        self.edge = edge;
        self
    }

    /// Where the proxy listens for host names.
    #[must_use]
    pub fn listen(mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.listen = addrs.into_iter().collect();
        self
    }

    /// The address on which each app's own port is opened, in place of what follows from where the proxy listens.
    #[must_use]
    pub fn app_bind(mut self, addr: IpAddr) -> Self {
        self.app_bind = Some(addr);
        self
    }

    /// The address on which each app's own port is opened: `app_bind`, else apps are no more public than the proxy. Where it
    /// listens beside loopback on one address alone, it is that one; loopback where it listens on none, or on several.
    ///
    /// ```
    /// let bind = |listen: &[&str]| {
    ///     let listen = listen.iter().map(|addr| addr.parse()).collect::<Result<Vec<_>, _>>()?;
    ///     Ok::<_, std::net::AddrParseError>(sh0::Config::new("/x").listen(listen).bind_of_apps().to_string())
    /// };
    /// assert_eq!(bind(&["127.0.0.1:80"])?, "127.0.0.1");
    /// assert_eq!(bind(&["127.0.0.1:80", "10.0.0.7:80", "10.0.0.7:8080"])?, "10.0.0.7");
    /// assert_eq!(bind(&["10.0.0.7:80", "0.0.0.0:80"])?, "0.0.0.0");
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn bind_of_apps(&self) -> IpAddr {
        let public = || self.listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_loopback());
        let one = public().next().filter(|first| public().all(|ip| ip == *first));
        let derived = public().find(IpAddr::is_unspecified).or(one);
        self.app_bind.or(derived).unwrap_or(Ipv4Addr::LOCALHOST.into())
    }

    /// The suffix of the host name that every app has from its first day.
    #[must_use]
    pub fn base_domain(mut self, domain: impl Into<String>) -> Self {
        self.base_domain = domain.into();
        self
    }

    /// The version of the program, for status.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }
}

/// Where apps run that do not say so themselves. An app that was deployed stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RuntimeChoice {
    /// Docker where an engine answers, processes of this host where none does.
    #[default]
    Auto,
    /// Docker.
    Docker,
    /// Processes of this host.
    Process,
}

impl RuntimeChoice {
    /// The runtime that was chosen, if one was.
    pub fn kind(self) -> Option<RuntimeKind> {
        match self {
            RuntimeChoice::Auto => None,
            RuntimeChoice::Docker => Some(RuntimeKind::Docker),
            RuntimeChoice::Process => Some(RuntimeKind::Process),
        }
    }
}

impl fmt::Display for RuntimeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().map_or("auto", RuntimeKind::as_str))
    }
}

impl FromStr for RuntimeChoice {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let all = [RuntimeChoice::Auto, RuntimeChoice::Docker, RuntimeChoice::Process];
        let found = all.into_iter().find(|choice| choice.to_string() == text);
        found.ok_or_else(|| ParseError::new("runtime", format!("is `{text}`"), "it is auto, docker or process"))
    }
}

/// Where the proxy runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Edge {
    /// In this process: apps answer while it lives.
    #[default]
    InProcess,
    /// In a process of its own, which outlives this one: apps go on answering while it is restarted or dead. The program
    /// is started with `--socket PATH --state FILE` after its arguments.
    Child(Program),
}

/// A program of this host, and its first arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program, as an absolute path.
    pub program: PathBuf,
    /// Its first arguments.
    pub args: Vec<String>,
}

impl Program {
    /// A program without arguments.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Program { program: program.into(), args: Vec::new() }
    }

    /// With one argument more.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &[&str]) -> Config {
        Config::new("/x").listen(listen.iter().filter_map(|addr| addr.parse().ok()))
    }

    #[test]
    fn apps_are_no_more_public_than_the_proxy() {
        for (listen, bind) in [
            (&[][..], "127.0.0.1"),
            (&["127.0.0.1:80", "[::1]:80"], "127.0.0.1"),
            (&["127.0.0.1:80", "10.0.0.7:80", "10.0.0.7:81"], "10.0.0.7"),
            (&["[fd00::7]:80"], "fd00::7"),
            (&["10.0.0.7:80", "192.168.1.7:80"], "127.0.0.1"),
            (&["10.0.0.7:80", "0.0.0.0:81"], "0.0.0.0"),
            (&["[::]:80"], "::"),
        ] {
            assert_eq!(config(listen).bind_of_apps().to_string(), bind, "{listen:?}");
        }
    }

    #[test]
    fn what_was_said_counts_whenever_it_was_said() {
        let said = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listen = || ["0.0.0.0:80".parse().ok()].into_iter().flatten();
        assert_eq!(Config::new("/x").app_bind(said).listen(listen()).bind_of_apps(), said);
        assert_eq!(Config::new("/x").listen(listen()).app_bind(said).bind_of_apps(), said);
    }
}
