//! The engine: it dispatches operations, and makes the stored wish come true.
//!
//! | file | what |
//! | --- | --- |
//! | `dispatch` | who may call what: parse, authorize, handle, audit, commit |
//! | `handlers/<resource>` | what each operation does: reads, and a batch of writes |
//! | `repo` | typed records over the store |
//! | `executor` | one serial task per app: the next deployment, or convergence |
//! | `deploy` | the steps of a deployment and their journal |
//! | `instances` | specs, health, draining, removal: what deploy and converge share |
//! | `converge` | makes the instances of an app what its record says |
//! | `rotation` | who is in rotation: out when it does not run at its address, in when it has answered |
//! | `router` | the route table as a function of the store, and the task that applies it |
//! | `reconcile` | compares what should be with what is: at start, on events, from time to time |
//! | `retain` | lets go of what is old |
//! | `collect` | brings what instances print to the log store |
//! | `tries` | a change that another one came in between of is decided anew |

mod call;
mod collect;
mod converge;
mod deploy;
mod dispatch;
mod dotenv;
mod executor;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod handlers;
mod health;
mod instances;
mod reconcile;
mod repo;
mod retain;
mod rotation;
mod router;
mod state;
#[cfg(test)]
mod tests;
mod tries;

pub use call::{Call, Converse, Follow, Handle, Receive};
pub use dispatch::{Authorized, Caller};

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::model::{Millis, PlatformId, Project, ProjectId, ProjectName, RuntimeKind};
use crate::traits::{Batch, Clock, Fetcher, LogStore, Planner, Prober, Proxy, Runtime, Sealer, Store};
use crate::{Error, Result};
use repo::{Change, PlatformRow, Repo};
use state::{Inner, lock};

/// The parts an engine is made of. Any of them may be your own.
#[derive(Clone)]
pub struct Backends {
    /// What should be.
    pub store: Arc<dyn Store>,
    /// What apps print.
    pub logs: Arc<dyn LogStore>,
    /// Where apps run: at least one.
    pub runtimes: BTreeMap<RuntimeKind, Arc<dyn Runtime>>,
    /// Who sends requests to them.
    pub proxy: Arc<dyn Proxy>,
    /// Who brings source trees here.
    pub fetcher: Arc<dyn Fetcher>,
    /// Who finds out how to build them.
    pub planner: Arc<dyn Planner>,
    /// Who asks instances whether they are ready.
    pub prober: Arc<dyn Prober>,
    /// Who encrypts.
    pub sealer: Arc<dyn Sealer>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// How an engine behaves.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The version of the program, for status.
    pub version: String,
    /// The folder of data, for status.
    pub data: PathBuf,
    /// The runtime of apps that name none: the first of `runtimes` that answers when absent (Docker before processes).
    pub default_runtime: Option<RuntimeKind>,
    /// Where the proxy listens for host names.
    pub listen: Vec<SocketAddr>,
    /// The address on which each app's own port is opened.
    pub app_bind: IpAddr,
    /// The suffix of the host name that every app has from its first day.
    pub base_domain: String,
    /// Deployments that build at the same time, over all apps.
    pub parallel_builds: usize,
    /// Artifacts per app that are kept, that of the live release included, and releases of each.
    pub keep_releases: usize,
    /// Deployments per app that are remembered with their events, beside those that made a release whose artifact is kept.
    pub keep_deployments: usize,
    /// Audit rows that are remembered.
    pub keep_audit_rows: usize,
    /// How long an audit row is remembered.
    pub keep_audit_for: Duration,
    /// Between two rounds of the reconciler without an event.
    pub reconcile_every: Duration,
    /// A build that takes longer fails.
    pub build_timeout: Duration,
    /// A release command that takes longer fails.
    pub release_command_timeout: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data: PathBuf::new(),
            default_runtime: None,
            listen: Vec::new(),
            app_bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            base_domain: "localhost".to_owned(),
            parallel_builds: 2,
            keep_releases: 5,
            keep_deployments: 100,
            keep_audit_rows: 100_000,
            keep_audit_for: Duration::from_secs(365 * 24 * 60 * 60),
            reconcile_every: Duration::from_secs(30),
            build_timeout: Duration::from_secs(30 * 60),
            release_command_timeout: Duration::from_secs(10 * 60),
        }
    }
}

/// Somebody asked the platform to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownRequest {
    /// The apps too; they start again with the platform.
    pub stop_apps: bool,
}

/// A running platform. Cheap to clone; its tasks end with [`Engine::shutdown`] or with its last clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
    _owner: Arc<Owner>,
}

/// Ends the engine's tasks when the last clone outside of them is dropped.
struct Owner(CancellationToken);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Engine {
    /// Opens a platform over its parts: claims the store, takes up what was interrupted, and begins to reconcile.
    pub async fn open(backends: Backends, config: EngineConfig) -> Result<Engine> {
        if backends.runtimes.is_empty() {
            return Err(Error::unavailable("no runtime: give the platform at least one"));
        }
        let epoch = backends.store.claim().await?;
        let repo = Repo::new(backends.store.clone());
        let platform = found(&backends.store, &*backends.clock, epoch).await?;
        let closing = CancellationToken::new();
        let inner = Arc::new(Inner {
            repo,
            platform,
            epoch,
            started_at: backends.clock.now(),
            builds: Semaphore::new(config.parallel_builds.max(1)),
            closing: closing.clone(),
            tasks: Mutex::default(),
            awake: Mutex::default(),
            retries: tokio::sync::Mutex::default(),
            urgent: Mutex::default(),
            fell: Mutex::default(),
            faults: Mutex::default(),
            cancels: Mutex::default(),
            stale_routes: Mutex::default(),
            routes_changed: Notify::new(),
            caches_grew: Notify::new(),
            in_force: Mutex::default(),
            generation: watch::channel(0).0,
            collected: Mutex::default(),
            shutdown: watch::channel(None).0,
            backends,
            config,
        });
        let engine = Engine { inner, _owner: Arc::new(Owner(closing)) };
        // Before anybody is sent anywhere: what answers at an address of before may be another app's by now.
        if let Err(error) = engine.withdraw_stale().await {
            tracing::warn!(%error, "upstreams could not be compared; the first round of the reconciler tries again");
        }
        engine.start_router().await?;
        engine.start_reconciler();
        Ok(engine)
    }

    /// Waits until somebody asks the platform to end (`platform.shutdown`).
    pub async fn stopped(&self) -> ShutdownRequest {
        let mut asked = self.inner.shutdown.subscribe();
        let request = asked.wait_for(Option::is_some).await.ok().and_then(|request| *request);
        request.unwrap_or(ShutdownRequest { stop_apps: false })
    }

    /// Ends all tasks. Deployments that run are taken up at the next start. With `stop_apps`, every instance is stopped;
    /// the next start runs them again.
    pub async fn shutdown(&self, stop_apps: bool) -> Result<()> {
        self.inner.closing.cancel();
        let mut tasks = std::mem::take(&mut *lock(&self.inner.tasks));
        while tasks.join_next().await.is_some() {}
        if stop_apps { self.stop_everything().await } else { Ok(()) }
    }

    async fn stop_everything(&self) -> Result<()> {
        for runtime in self.inner.backends.runtimes.values() {
            let observed = match runtime.list(None).await {
                Ok(observed) => observed,
                Err(error) if error.is_transient() => continue,
                Err(error) => return Err(error),
            };
            let stops = observed
                .iter()
                .filter(|instance| self.owns(&instance.labels))
                .map(|instance| runtime.stop(&instance.name, Millis::from_secs(10)));
            for stopped in futures_util::future::join_all(stops).await {
                stopped?;
            }
        }
        Ok(())
    }

    /// Without `_owner`: tasks of the engine must not keep it alive.
    fn for_task(&self) -> Engine {
        Engine { inner: self.inner.clone(), _owner: Arc::new(Owner(CancellationToken::new())) }
    }
}

/// The id of the platform in `store`, for runtimes that must know whose instances they see before the engine is open.
/// Founds the platform on its first day.
pub async fn platform_id(store: Arc<dyn Store>, clock: &dyn Clock) -> Result<PlatformId> {
    // Without an epoch: it writes only where there is nothing yet, and two that try are told apart by the store.
    Ok(found(&store, clock, 0).await?.id)
}

/// The platform's own record; made together with the default project on the first day.
async fn found(store: &Arc<dyn Store>, clock: &dyn Clock, epoch: u64) -> Result<PlatformRow> {
    if let Some(row) = Repo::new(store.clone()).get::<PlatformRow>(PlatformRow::ID).await? {
        return Ok(row.value);
    }
    let project = Project { id: ProjectId::new(clock.ulid()), name: ProjectName::default(), created_at: clock.now() };
    let platform = PlatformRow { id: PlatformId::new(clock.ulid()), default_project: project.id };
    let mut change = Change::default();
    change.create(&platform)?;
    change.create(&project)?;
    store.commit(Batch { epoch, ..change.batch }).await?;
    Ok(platform)
}
