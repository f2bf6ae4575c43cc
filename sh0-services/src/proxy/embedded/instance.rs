//! One instance as the proxy sees it: what is in flight, idle connections, and its end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use sh0_core::model::InstanceName;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::body::Upload;

/// Locks, whatever a thread that panicked left behind: every value behind these locks is whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection on which one request can be sent.
pub(super) type Sender = SendRequest<Upload>;

/// How the proxy uses connections to instances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For a new TCP connection.
    pub(super) connect: Duration,
    /// Longest time for which an unused connection is kept.
    pub(super) idle: Duration,
    /// Most unused connections to one instance.
    pub(super) spare: usize,
}

/// A connection that waits for its next request.
struct Spare {
    sender: Sender,
    since: Instant,
}

/// An instance at an address. One that comes back at another address is another one here: connections of the former
/// never carry requests for the latter.
pub(super) struct Instance {
    pub(super) name: InstanceName,
    pub(super) addr: SocketAddr,
    in_flight: AtomicU64,
    leaving: AtomicBool,
    /// Counts how often it left, so that a drain that was called off is told from the next one.
    departures: AtomicU64,
    /// Says that the last request in flight of a leaving instance ended, or that it came back.
    settled: Notify,
    /// Ends everything that still goes on with it.
    pub(super) cut: CancellationToken,
    spares: Mutex<Vec<Spare>>,
    /// When a connection to it failed last.
    failed: Mutex<Option<Instant>>,
}

impl Instance {
    pub(super) fn new(name: InstanceName, addr: SocketAddr) -> Arc<Instance> {
        Arc::new(Instance {
            name,
            addr,
            in_flight: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            departures: AtomicU64::new(0),
            settled: Notify::new(),
            cut: CancellationToken::new(),
            spares: Mutex::new(Vec::new()),
            failed: Mutex::new(None),
        })
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(SeqCst)
    }

    /// Counts a request in, unless the instance left. First counted, then looked: whoever makes it leave and looks at the
    /// count afterwards sees every request that will ever reach it.
    pub(super) fn claim(self: &Arc<Self>) -> Option<Claim> {
        self.in_flight.fetch_add(1, SeqCst);
        let claim = Claim(self.clone());
        (!self.leaving.load(SeqCst)).then_some(claim)
    }

    /// From now on no request begins. Returns the number of this departure.
    pub(super) fn leave(&self) -> u64 {
        let departure = self.departures.fetch_add(1, SeqCst) + 1;
        self.leaving.store(true, SeqCst);
        lock(&self.spares).clear();
        departure
    }

    /// It is in the table again.
    pub(super) fn come_back(&self) {
        self.leaving.store(false, SeqCst);
        self.settled.notify_waiters();
    }

    /// Whether this departure is still going on.
    pub(super) fn is_leaving(&self, departure: u64) -> bool {
        self.leaving.load(SeqCst) && self.departures.load(SeqCst) == departure
    }

    /// Waits until nothing is in flight any more, or the departure was called off.
    pub(super) async fn settled(&self, departure: u64) {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.in_flight() == 0 || !self.is_leaving(departure) {
                return;
            }
            settled.await;
        }
    }

    /// Whether connecting failed a moment ago: others are asked first.
    pub(super) fn failed_lately(&self) -> bool {
        lock(&self.failed).is_some_and(|when| when.elapsed() < Duration::from_secs(1))
    }

    /// An unused connection that waited for less than `fresh`.
    pub(super) fn spare(&self, fresh: Duration) -> Option<Sender> {
        let mut spares = lock(&self.spares);
        // The last one used is the least likely to have been closed meanwhile.
        let found = spares.iter().rposition(|spare| spare.sender.is_ready() && spare.since.elapsed() < fresh)?;
        Some(spares.remove(found).sender)
    }

    /// Takes a connection back after its response was read whole.
    pub(super) fn keep(&self, sender: Sender, limits: &Limits) {
        if sender.is_closed() || self.leaving.load(SeqCst) {
            return;
        }
        let mut spares = lock(&self.spares);
        if spares.len() < limits.spare {
            spares.push(Spare { sender, since: Instant::now() });
        }
        drop(spares);
        if self.leaving.load(SeqCst) {
            lock(&self.spares).clear();
        }
    }

    /// Drops connections that waited too long or were closed by the other side.
    pub(super) fn prune(&self, limits: &Limits) {
        let mut spares = lock(&self.spares);
        spares.retain(|spare| !spare.sender.is_closed() && spare.since.elapsed() < limits.idle);
        if spares.is_empty() {
            spares.shrink_to_fit();
        }
    }

    /// Opens a connection. Its task ends with the connection, at the cut, or with `end`.
    pub(super) async fn connect(&self, limits: &Limits, end: &CancellationToken) -> std::io::Result<Sender> {
        let opened = self.open(limits, end).await;
        *lock(&self.failed) = opened.is_err().then(Instant::now);
        opened
    }

    async fn open(&self, limits: &Limits, end: &CancellationToken) -> std::io::Result<Sender> {
        let stream = tokio::time::timeout(limits.connect, TcpStream::connect(self.addr)).await??;
        stream.set_nodelay(true)?;
        let mut builder = Builder::new();
        builder.max_headers(256).max_buf_size(256 * 1024);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        let (cut, end) = (self.cut.clone(), end.clone());
        tokio::spawn(async move {
            tokio::select! {
                result = connection.with_upgrades() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection to an instance ended early");
                    }
                }
                () = cut.cancelled() => {}
                () = end.cancelled() => {}
            }
        });
        Ok(sender)
    }
}

/// A request, or a websocket, in flight: counted until this is dropped.
pub(super) struct Claim(Arc<Instance>);

impl std::ops::Deref for Claim {
    type Target = Arc<Instance>;
    fn deref(&self) -> &Arc<Instance> {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, SeqCst) == 1 && self.0.leaving.load(SeqCst) {
            self.0.settled.notify_waiters();
        }
    }
}
