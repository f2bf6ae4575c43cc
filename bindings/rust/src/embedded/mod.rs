//! The whole platform in this process: backends picked and wired from a [`Config`].
//!
//! Below the folder of data: `lock`, `sh0.db` (records), `logs/`, `key` (seals secrets), `apps/` (the process runtime's),
//! `sources/` (checkouts and uploads), `edge/` (the proxy's, when it is a process of its own).

mod clock;
mod config;

pub use clock::SystemClock;
pub use config::{Config, Edge, Program, RuntimeChoice};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sh0_build::{Detector, Options};
use sh0_core::auth::Principal;
use sh0_core::engine::{Backends, Engine, EngineConfig, platform_id};
use sh0_core::model::{PlatformId, RuntimeKind};
use sh0_core::ops::Dispatch;
use sh0_core::traits::{Proxy, Runtime, Store};
use sh0_core::{Error, Result};
use sh0_services::probe::HttpProber;
use sh0_services::proxy::edge::{EdgeCommand, EdgeSupervisor};
use sh0_services::proxy::embedded::EmbeddedProxy;
use sh0_services::runtime::process::{ProcessConfig, ProcessRuntime, ShimCommand};
use sh0_services::source::LocalFetcher;
use sh0_store::lock::DataDir;
use sh0_store::logs::{FileLogStore, Limits};
use sh0_store::seal::KeyFileSealer;
use sh0_store::sqlite::SqliteStore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Platform, Sh0};

/// Requests that the proxy has begun may go on for so long at the end.
const GRACE: Duration = Duration::from_secs(10);

/// What the builder of a Docker Engine may keep from one build to the next, in bytes.
#[cfg(feature = "docker")]
const BUILD_CACHE: u64 = 10_000_000_000;

impl Sh0 {
    /// Opens the platform in `config.data`: it takes up what was interrupted, and runs until [`Sh0::shutdown`] or until
    /// the last clone is dropped. [`Code::Conflict`](crate::Code::Conflict) names the process that already has it open.
    pub async fn open(config: Config) -> Result<Sh0> {
        Sh0::open_with(config, |_| {}).await
    }

    /// The same, with parts of your own: `replace` may put any backend in the place of ours, such as a runtime.
    pub async fn open_with(config: Config, replace: impl FnOnce(&mut Backends)) -> Result<Sh0> {
        let data = DataDir::acquire(&config.data)?;
        let root = data.path().to_owned();
        let clock = Arc::new(SystemClock::new());
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&root).await?);
        // A new key beside old secrets would hide that theirs is lost.
        let untouched = *store.watch().borrow() == 0;
        let sealer = Arc::new(KeyFileSealer::open_or_create(root.join("key"), untouched)?);
        let platform = platform_id(store.clone(), &*clock).await?;
        let runtimes = runtimes(&config, &root, platform, &sealer).await?;
        let data_plane = DataPlane::start(&config.edge, &root).await?;
        let fetcher = LocalFetcher::open(root.join("sources"), sh0_services::source::Limits::default())?;
        let mut backends = Backends {
            store,
            logs: Arc::new(FileLogStore::open(root.join("logs"), Limits::default())?),
            runtimes,
            proxy: data_plane.proxy(),
            fetcher: Arc::new(fetcher.with_hidden([root.clone()])),
            planner: Arc::new(Detector::new(Options { mirror: config.image_mirror.clone(), ..Options::default() })),
            prober: Arc::new(HttpProber::new()),
            sealer,
            clock,
        };
        replace(&mut backends);
        if backends.runtimes.is_empty() {
            return Err(Error::unavailable(format!(
                "nothing to run apps with: no Docker Engine answers at {}, and there is no shim program for processes",
                config.docker_socket.display()
            )));
        }
        let engine = Engine::open(backends, engine_config(config, &root)).await?;
        Ok(Sh0::hosting(Arc::new(Embedded { engine, data_plane, data })))
    }
}

/// Who has the platform in this folder open now, if anybody.
pub fn holder(data: impl AsRef<Path>) -> Result<Option<sh0_store::lock::Holder>> {
    DataDir::holder(data)
}

fn engine_config(config: Config, root: &Path) -> EngineConfig {
    EngineConfig {
        app_bind: config.bind_of_apps(),
        version: config.version,
        data: root.to_owned(),
        default_runtime: config.runtime.kind(),
        listen: config.listen,
        base_domain: config.base_domain,
        parallel_builds: config.parallel_builds,
        keep_releases: config.keep_releases,
        keep_deployments: config.keep_deployments,
        keep_audit_rows: config.keep_audit_rows,
        ..EngineConfig::default()
    }
}

async fn runtimes(
    config: &Config,
    root: &Path,
    platform: PlatformId,
    sealer: &Arc<KeyFileSealer>,
) -> Result<BTreeMap<RuntimeKind, Arc<dyn Runtime>>> {
    let mut runtimes: BTreeMap<RuntimeKind, Arc<dyn Runtime>> = BTreeMap::new();
    #[cfg(feature = "docker")]
    if let Some(docker) = docker(config, root, platform, sealer).await? {
        runtimes.insert(RuntimeKind::Docker, docker);
    }
    if let Some(shim) = &config.shim {
        let shim = ShimCommand { program: shim.program.clone(), args: shim.args.clone() };
        let mut process = ProcessConfig::new(root.join("apps"), platform, shim);
        if let Some(path) = &config.path {
            process.path.clone_from(path);
        }
        process.toolchain.clone_from(&config.toolchain);
        process.build_env.clone_from(&config.build_env);
        process.sealer = Some(sealer.clone());
        process.hidden = config.hidden.iter().cloned().chain([root.to_owned()]).collect();
        let process = ProcessRuntime::open(process).await?;
        if let Some(caution) = process.caution().filter(|_| !runtimes.contains_key(&RuntimeKind::Docker)) {
            tracing::warn!("{caution}");
        }
        runtimes.insert(RuntimeKind::Process, Arc::new(process));
    }
    Ok(runtimes)
}

/// The Docker runtime, where the platform may need it: it was asked for, an engine answers, or one has answered before.
/// An engine that is down now comes back; its apps stay where they are.
#[cfg(feature = "docker")]
async fn docker(
    config: &Config,
    root: &Path,
    platform: PlatformId,
    sealer: &KeyFileSealer,
) -> Result<Option<Arc<dyn Runtime>>> {
    use sh0_docker::client::{Client, ClientOptions, Endpoint};
    use sh0_docker::runtime::{DockerOptions, DockerRuntime};

    let known = root.join("docker");
    let endpoint = Endpoint::unix(&config.docker_socket);
    let needed = match config.runtime {
        RuntimeChoice::Docker if !known.exists() && !config.docker_socket.exists() => {
            return Err(Error::unavailable(format!(
                "there is no Docker Engine on this machine (no socket at {}): install Docker or name its socket, or run \
                 apps without it, with `--runtime process`",
                config.docker_socket.display()
            )));
        }
        RuntimeChoice::Docker => true,
        RuntimeChoice::Process => known.exists(),
        RuntimeChoice::Auto => known.exists() || Client::connect(endpoint.clone()).await.is_ok(),
    };
    if !needed {
        return Ok(None);
    }
    std::fs::write(&known, b"")?;
    let subnet = config.docker_subnet.as_ref().map(|subnet| subnet.parse()).transpose()?;
    let options = DockerOptions {
        static_server: config.static_server.clone(),
        subnet,
        build_cache: Some(BUILD_CACHE),
        digest_key: Some(sealer.derived("digest of variables")),
        ..DockerOptions::default()
    };
    Ok(Some(Arc::new(DockerRuntime::new(Client::new(endpoint, ClientOptions::default()), platform, options))))
}

/// The proxy, here or in a process of its own.
enum DataPlane {
    Here(Arc<EmbeddedProxy>),
    Child {
        edge: Arc<EdgeSupervisor>,
        /// Starts the edge again when it dies; ends with this value, the edge does not.
        _watch: JoinSet<()>,
    },
}

impl DataPlane {
    async fn start(edge: &Edge, root: &Path) -> Result<DataPlane> {
        let Edge::Child(program) = edge else { return Ok(DataPlane::Here(Arc::new(EmbeddedProxy::new()))) };
        let command = EdgeCommand { program: program.program.clone(), args: program.args.clone() };
        let edge = Arc::new(EdgeSupervisor::spawn_or_adopt(command, root.join("edge")).await?);
        let mut watch = JoinSet::new();
        let watched = edge.clone();
        watch.spawn(async move { watched.supervise(CancellationToken::new()).await });
        Ok(DataPlane::Child { edge, _watch: watch })
    }

    fn proxy(&self) -> Arc<dyn Proxy> {
        match self {
            DataPlane::Here(proxy) => proxy.clone(),
            DataPlane::Child { edge, .. } => edge.proxy(),
        }
    }
}

/// The platform and what it owns. The folder's lock is let go last.
struct Embedded {
    engine: Engine,
    data_plane: DataPlane,
    data: DataDir,
}

#[async_trait]
impl Platform for Embedded {
    async fn authenticate(&self, token: &str) -> Result<Principal> {
        self.engine.authenticate(token).await
    }

    fn as_caller(&self, principal: Principal, request_id: String) -> Arc<dyn Dispatch> {
        Arc::new(self.engine.caller(principal, request_id))
    }

    async fn stopped(&self) -> bool {
        self.engine.stopped().await.stop_apps
    }

    fn announce(&self, socket: &Path) -> Result<()> {
        self.data.announce(socket)
    }

    async fn shutdown(&self, stop_apps: bool) -> Result<()> {
        let ended = self.engine.shutdown(stop_apps).await;
        match &self.data_plane {
            DataPlane::Here(proxy) => proxy.shutdown(GRACE).await,
            DataPlane::Child { edge, .. } if stop_apps => edge.stop(GRACE).await?,
            DataPlane::Child { .. } => {}
        }
        ended
    }
}

#[cfg(all(test, feature = "docker"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_docker_engine_the_docker_runtime_is_refused_at_once() -> Result<()> {
        let data = tempfile::tempdir()?;
        let socket = data.path().join("docker.sock");
        let config = || Config::new(data.path().join("data")).runtime(RuntimeChoice::Docker).docker_socket(&socket);
        let error = Sh0::open(config()).await.err();
        assert!(error.is_some_and(|error| error.detail().contains("`--runtime process`")));
        // Where there is one that does not answer now, it may later.
        let _listener = std::os::unix::net::UnixListener::bind(&socket)?;
        Sh0::open(config()).await?.shutdown().await?;
        // And where one was used before, its apps are still there.
        std::fs::remove_file(&socket)?;
        Sh0::open(config()).await?.shutdown().await
    }
}
