//! An HTTP proxy inside this process: hyper at the door, a table behind one atomic pointer, connections to instances of
//! our own making.
//!
//! A request loads the newest table, is counted in at an instance of it, and stays counted until the last byte of its
//! response is read, or its websocket ends. A new table takes the old one's place in one store; what is not in it any
//! more gets no request from then on, finishes what it has begun, and is cut at its deadline. Client connections know
//! nothing of tables, so a change closes none of them.
//!
//! The proxy owns every task it starts: dropping it ends them, [`EmbeddedProxy::shutdown`] lets them finish.

mod body;
mod connection;
mod forward;
mod frames;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod headers;
mod host;
mod instance;
mod listen;
mod page;
mod ports;
mod table;
mod websocket;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use sh0_core::model::{Capability, Millis, Support};
use sh0_core::traits::{Proxy, ProxyStatus, RouteTable};
use sh0_core::{Error, Result};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use instance::{Instance, Limits, lock};
use listen::Doors;
use table::{Registry, Table};

/// How an [`EmbeddedProxy`] behaves where a table says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// For the whole head of a request, and between two requests on one connection.
    pub header_timeout: Duration,
    /// For a new connection to an instance.
    pub connect_timeout: Duration,
    /// How long an unused connection to an instance is kept. Shorter than what common servers allow (Node: 5 s).
    pub idle_timeout: Duration,
    /// Most unused connections to one instance.
    pub max_idle: usize,
    /// Most connections of clients at once; further ones wait.
    pub max_connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            header_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(4),
            max_idle: 128,
            max_connections: 16_384,
        }
    }
}

/// Between two looks at idle connections and at listeners that failed.
const UPKEEP: Duration = Duration::from_secs(1);
/// How long websockets may take to say goodbye after they were cut.
const FAREWELL: Duration = Duration::from_secs(5);

/// The proxy inside this process. See the [module](self).
pub struct EmbeddedProxy {
    shared: Arc<Shared>,
}

/// What all tasks of one proxy share.
pub(crate) struct Shared {
    options: Options,
    limits: Limits,
    table: ArcSwap<Table>,
    registry: Mutex<Registry>,
    doors: tokio::sync::Mutex<Doors>,
    room: Arc<Semaphore>,
    /// Connections of clients, HTTP/2 streams, websockets.
    tasks: TaskTracker,
    /// Ends every task at once.
    end: CancellationToken,
    kept_up: AtomicBool,
}

impl Default for EmbeddedProxy {
    fn default() -> Self {
        EmbeddedProxy::new()
    }
}

impl EmbeddedProxy {
    /// A proxy without a table: it listens nowhere.
    pub fn new() -> EmbeddedProxy {
        EmbeddedProxy::with(Options::default())
    }

    /// The same with other limits.
    pub fn with(options: Options) -> EmbeddedProxy {
        let limits = Limits { connect: options.connect_timeout, idle: options.idle_timeout, spare: options.max_idle };
        let room = Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Shared {
            options,
            limits,
            table: ArcSwap::default(),
            registry: Mutex::default(),
            doors: tokio::sync::Mutex::default(),
            room,
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            kept_up: AtomicBool::new(false),
        };
        EmbeddedProxy { shared: Arc::new(shared) }
    }

    /// Stops listening. Connections that exist finish the requests they have begun.
    pub async fn close(&self) {
        self.shared.doors.lock().await.close_all_but(&BTreeSet::new()).await;
        // Nothing opens a door again: a later table is refused.
        self.shared.tasks.close();
    }

    /// Stops listening, lets requests and websockets go on for at most `grace`, closes the rest (websockets with 1001)
    /// and returns when all is over.
    pub async fn shutdown(&self, grace: Duration) {
        self.close().await;
        if tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_err() {
            for instance in lock(&self.shared.registry).all() {
                instance.cut.cancel();
            }
            if tokio::time::timeout(FAREWELL, self.shared.tasks.wait()).await.is_err() {
                tracing::debug!("some connections did not end in time");
            }
        }
        self.shared.end.cancel();
    }
}

impl Drop for EmbeddedProxy {
    fn drop(&mut self) {
        self.shared.end.cancel();
    }
}

#[async_trait]
impl Proxy for EmbeddedProxy {
    fn name(&self) -> String {
        format!("embedded {}", env!("CARGO_PKG_VERSION"))
    }

    fn capabilities(&self) -> Vec<Capability> {
        capabilities()
    }

    async fn apply(&self, table: &RouteTable) -> Result<()> {
        let shared = &self.shared;
        // One change at a time; requests do not wait for it.
        let mut doors = shared.doors.lock().await;
        if shared.tasks.is_closed() {
            return Err(Error::unavailable("the proxy is closing; start another one"));
        }
        if table.generation < shared.table.load().generation {
            return Ok(());
        }
        shared.keep_up();
        let wanted: BTreeSet<SocketAddr> = table.listeners.iter().map(|listener| listener.addr).collect();
        doors.close_all_but(&wanted).await;
        let opened = doors.open(&wanted);
        shared.swap(table);
        doors.accept(shared, opened);
        Ok(())
    }

    async fn status(&self) -> Result<ProxyStatus> {
        let mut status = ProxyStatus::default();
        let table = self.shared.table.load_full();
        status.generation = table.generation;
        status.requests = table.answered();
        for instance in lock(&self.shared.registry).all() {
            match instance.in_flight() {
                0 => {}
                count => *status.in_flight.entry(instance.name.clone()).or_default() += count,
            }
        }
        status.failed_listeners = self.shared.doors.lock().await.failed().clone();
        Ok(status)
    }

    async fn find_port(&self, preferred: Option<u16>, taken: &BTreeSet<u16>) -> Result<u16> {
        ports::find(preferred, taken)
    }
}

/// What this proxy can do, in process or as `sh0 edge`.
pub(crate) fn capabilities() -> Vec<Capability> {
    let yes = ["http/1.1", "http/2 (prior knowledge)", "websockets", "streaming", "draining", "wildcard hosts"];
    let later = ["tls", "http/3", "tcp routes"];
    let no = Support::No { reason: "not built yet; put a proxy that has it in front".into() };
    let yes = yes.into_iter().map(|name| Capability { name: name.to_owned(), support: Support::Yes });
    yes.chain(later.into_iter().map(|name| Capability { name: name.to_owned(), support: no.clone() })).collect()
}

impl Shared {
    /// Runs a task that belongs to this proxy.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        // Boxed: moved into the task as it is, it would take its room twice.
        let task = Box::pin(task);
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = end.cancelled() => {}
            }
        });
    }

    /// Puts the next table in force. In this order: a request that still finds the old table finds its instance leaving
    /// and looks again.
    fn swap(self: &Arc<Self>, next: &RouteTable) {
        let mut registry = lock(&self.registry);
        let change = registry.change(&self.table.load(), next);
        self.table.store(Arc::new(change.table));
        for (instance, time) in change.leaving {
            let departure = instance.leave();
            tokio::spawn(drain(self.clone(), instance, departure, time));
        }
    }

    fn keep_up(self: &Arc<Self>) {
        if !self.kept_up.swap(true, SeqCst) {
            tokio::spawn(keep_up(Arc::downgrade(self), self.end.clone()));
        }
    }
}

/// Waits until an instance that left has nothing in flight; at its deadline it cuts what is left.
async fn drain(shared: Arc<Shared>, instance: Arc<Instance>, departure: u64, time: Millis) {
    let settled = async {
        if tokio::time::timeout(time.into(), instance.settled(departure)).await.is_err() {
            lock(&shared.registry).cut(&instance, departure);
            // Nothing reaches it any more. A client that does not read what it got may still hold its own connection.
            let _ = tokio::time::timeout(FAREWELL * 2, instance.settled(departure)).await;
        }
    };
    tokio::select! {
        () = settled => lock(&shared.registry).forget(&instance, departure),
        () = shared.end.cancelled() => {}
    }
}

async fn keep_up(shared: std::sync::Weak<Shared>, end: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP) => {}
            () = end.cancelled() => return,
        }
        let Some(shared) = shared.upgrade() else { return };
        for instance in lock(&shared.registry).serving() {
            instance.prune(&shared.limits);
        }
        let mut doors = shared.doors.lock().await;
        if !doors.failed().is_empty() && !shared.tasks.is_closed() {
            doors.retry(&shared);
        }
    }
}
