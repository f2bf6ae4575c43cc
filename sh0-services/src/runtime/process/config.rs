use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use sh0_core::model::{PlatformId, Secret};
use sh0_core::traits::Sealer;

/// Variables of the host that say how programs reach the world: which certificates they trust, through which proxy and to
/// which registries they go. Builds get those that are set ([`ProcessConfig::build_env`]), instances none.
pub const BUILD_VARIABLES: &[&str] = &[
    // Certificates: OpenSSL and what follows it (Ruby, Go, uv, Deno), then those that look elsewhere.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "BUNDLE_SSL_CA_CERT",
    "HEX_CACERTS_PATH",
    "DENO_CERT",
    "npm_config_cafile",
    // Proxies.
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    // Registries and mirrors.
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "YARN_REGISTRY",
    "YARN_NPM_REGISTRY_SERVER",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "GOPROXY",
    "GONOPROXY",
    "GONOSUMDB",
    "GOSUMDB",
    "GOPRIVATE",
    "RUSTUP_DIST_SERVER",
    "RUSTUP_UPDATE_ROOT",
    "HEX_MIRROR",
];

/// How the process runtime is set up.
#[derive(Clone)]
pub struct ProcessConfig {
    /// Its folder: releases, instances, volumes, caches. Two platforms may share one.
    pub root: PathBuf,
    /// The platform whose instances it sees.
    pub platform: PlatformId,
    /// How the shim is started.
    pub shim: ShimCommand,
    /// `PATH` of builds and instances: where the host's toolchains are.
    pub path: String,
    /// Variables that toolchains need, such as `RUSTUP_HOME`; folders they name are readable.
    pub toolchain: BTreeMap<String, String>,
    /// Variables that builds get besides, such as `HTTPS_PROXY` (it may hold a password); the app's own win over them.
    /// Files and folders that they name are readable.
    pub build_env: BTreeMap<String, Secret>,
    /// Folders that no app may see: the platform's data, its keys, its socket. `root` always is one.
    pub hidden: Vec<PathBuf>,
    /// More folders that apps may read.
    pub readable: Vec<PathBuf>,
    /// As root, every app gets a user of its own. Off only for tests of what happens without.
    pub own_users: bool,
    /// Encrypts the variables of instances, which are kept until the instance is removed. Without one they lie in files
    /// that only the platform's user can read.
    pub sealer: Option<Arc<dyn Sealer>>,
}

impl ProcessConfig {
    /// With the usual system folders in `PATH` and nothing else.
    pub fn new(root: impl Into<PathBuf>, platform: PlatformId, shim: ShimCommand) -> Self {
        ProcessConfig {
            root: root.into(),
            platform,
            shim,
            path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            toolchain: BTreeMap::new(),
            build_env: BTreeMap::new(),
            hidden: Vec::new(),
            readable: Vec::new(),
            own_users: true,
            sealer: None,
        }
    }
}

impl fmt::Debug for ProcessConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("ProcessConfig");
        fields.field("root", &self.root).field("platform", &self.platform).field("shim", &self.shim);
        fields.field("sealed", &self.sealer.is_some()).finish_non_exhaustive()
    }
}

/// The program that is the shim, and what comes before its subcommand: `sh0-shim` alone, or `sh0 __shim`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimCommand {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub args: Vec<String>,
}

impl ShimCommand {
    /// The binary `sh0-shim` at this path.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        ShimCommand { program: program.into(), args: Vec::new() }
    }
}
