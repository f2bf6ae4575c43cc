//! The engine: it dispatches operations, and makes the stored wish come true.
//!
//! | file | what |
//! | --- | --- |
//! | `dispatch` | who may call what; parse, authorize, handle, audit, commit |
//! | `handlers/<resource>` | what each operation does: reads, and a batch of writes |
//! | `repo` | typed records over the store |
//! | `executor` | one serial task per app: the next deployment, or convergence |
//! | `deploy/<step>` | the steps of a deployment |
//! | `converge` | makes the instances of an app what its record says |
//! | `router` | the route table as a function of the store, and the task that applies it |
//! | `reconcile` | compares what should be with what is, at start, on events, from time to time |
//! | `collect` | brings what instances print to the log store |

mod call;
mod dispatch;

pub use call::{Call, Converse, Follow, Handle, Receive};
pub use dispatch::{Authorized, Caller};

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::RuntimeKind;
use crate::traits::{Clock, Fetcher, LogStore, Planner, Prober, Proxy, Runtime, Sealer, Store};

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
    pub parallel_deploys: usize,
    /// Releases per app whose artifacts are kept.
    pub keep_releases: usize,
    /// Between two rounds of the reconciler without an event.
    pub reconcile_every: Duration,
    /// A build that takes longer fails.
    pub build_timeout: Duration,
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
            parallel_deploys: 2,
            keep_releases: 5,
            reconcile_every: Duration::from_secs(30),
            build_timeout: Duration::from_secs(30 * 60),
        }
    }
}

/// A running platform. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) backends: Backends,
    pub(crate) config: EngineConfig,
}
