//! Clients that never try again: what a platform drops, they have seen.
//!
//! Every request is one [`Record`]: when it began and ended, which release answered, and what went wrong. A broken
//! request is not repeated; the client takes a new connection and sends its next one.

mod http;
mod live;
mod once;
mod verdict;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use once::{Watch, Watched, Way, Who, ask};
pub use verdict::{Switch, Verdict};

/// A request that takes longer has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How many clients of each kind.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// One connection each, kept as long as it is let.
    pub keep_alive: usize,
    /// A connection for every request.
    pub new_connection: usize,
    /// HTTP/2 with prior knowledge, one connection each.
    pub http2: usize,
    /// Between two requests of one of the clients above.
    pub pause: Duration,
    /// Requests whose answer takes [`slow_for`](Self::slow_for).
    pub slow: usize,
    /// How long those take.
    pub slow_for: Duration,
    /// Uploads that take [`slow_for`](Self::slow_for) to send.
    pub uploads: usize,
    /// Streams of server-sent events.
    pub events: usize,
    /// Websockets that send a numbered message every 100 ms.
    pub websockets: usize,
}

impl Shape {
    /// Every kind of client.
    pub fn everything() -> Shape {
        Shape {
            keep_alive: 10,
            new_connection: 4,
            http2: 1,
            pause: Duration::from_millis(10),
            slow: 4,
            slow_for: Duration::from_secs(5),
            uploads: 2,
            events: 2,
            websockets: 10,
        }
    }

    /// A few short requests, and some of half a second that keep the draining busy.
    pub fn modest() -> Shape {
        let slow_for = Duration::from_millis(500);
        Shape { keep_alive: 2, new_connection: 2, slow: 2, slow_for, ..Shape::short_requests() }
    }

    /// Short requests only.
    pub fn short_requests() -> Shape {
        Shape { slow: 0, uploads: 0, events: 0, websockets: 0, ..Shape::everything() }
    }
}

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Requests over one kept connection.
    KeepAlive,
    /// A connection for every request.
    NewConnection,
    /// Requests over one HTTP/2 connection.
    Http2,
    /// A request that takes seconds.
    Slow,
    /// An upload that takes seconds.
    Upload,
    /// Server-sent events.
    Events,
    /// A websocket.
    WebSocket,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] =
        [Kind::KeepAlive, Kind::NewConnection, Kind::Http2, Kind::Slow, Kind::Upload, Kind::Events, Kind::WebSocket];

    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Kind::KeepAlive => "keep-alive requests",
            Kind::NewConnection => "requests on new connections",
            Kind::Http2 => "HTTP/2 requests",
            Kind::Slow => "slow requests",
            Kind::Upload => "slow uploads",
            Kind::Events => "event streams",
            Kind::WebSocket => "websockets",
        }
    }

    /// Whether it ends only because somebody ends it.
    pub fn is_stream(self) -> bool {
        matches!(self, Kind::Events | Kind::WebSocket)
    }
}

/// One request, or one stream from its opening to its end. Times count from the beginning of the load.
#[derive(Debug, Clone)]
pub struct Record {
    /// The kind of client.
    pub kind: Kind,
    /// When it was sent.
    pub began: Duration,
    /// When its last byte came.
    pub ended: Duration,
    /// The release in the body, which is the one in `x-sh0-release`.
    pub release: Option<Arc<str>>,
    /// The label in the body.
    pub label: Option<Arc<str>>,
    /// What went wrong.
    pub fault: Option<String>,
    /// How a websocket was closed by the other side.
    pub close_code: Option<u16>,
    /// The client itself ended the stream.
    pub ended_by_us: bool,
    /// Messages of a stream.
    pub messages: u64,
}

/// Running clients.
pub struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

/// What clients have in common.
pub(crate) struct Shared {
    pub(crate) addr: SocketAddr,
    pub(crate) shape: Shape,
    start: Instant,
    start_at: Timestamp,
    records: Mutex<Vec<Record>>,
    pub(crate) stop: CancellationToken,
    /// Kept connections that the server closed while nothing was under way.
    pub(crate) idle_closes: AtomicU64,
}

/// What clients saw.
pub struct Seen {
    /// Every request.
    pub records: Vec<Record>,
    /// Kept connections that the server closed while nothing was under way: no request is lost by that.
    pub idle_closes: u64,
    /// When the load began.
    pub start_at: Timestamp,
}

impl Load {
    /// Starts the clients. They ask the app at `addr`.
    pub fn start(addr: SocketAddr, shape: Shape) -> Load {
        let shared = Arc::new(Shared {
            addr,
            shape,
            start: Instant::now(),
            start_at: Timestamp::now(),
            records: Mutex::default(),
            stop: CancellationToken::new(),
            idle_closes: AtomicU64::new(0),
        });
        let mut clients = JoinSet::new();
        let counts = [
            (Kind::KeepAlive, shape.keep_alive),
            (Kind::NewConnection, shape.new_connection),
            (Kind::Http2, shape.http2),
            (Kind::Slow, shape.slow),
            (Kind::Upload, shape.uploads),
            (Kind::Events, shape.events),
            (Kind::WebSocket, shape.websockets),
        ];
        for (kind, count) in counts {
            for _ in 0..count {
                clients.spawn(client(kind, shared.clone()));
            }
        }
        Load { shared, clients }
    }

    /// How many requests failed until now.
    pub fn failed(&self) -> usize {
        self.shared.lock().iter().filter(|record| record.fault.is_some()).count()
    }

    /// Short requests that were answered until now.
    pub fn answered(&self) -> usize {
        self.shared.lock().iter().filter(|record| record.fault.is_none() && !record.kind.is_stream()).count()
    }

    /// Lets every request end, closes the streams, and answers what was seen.
    pub async fn stop(mut self) -> Seen {
        self.shared.stop.cancel();
        while self.clients.join_next().await.is_some() {}
        Seen {
            records: std::mem::take(&mut *self.shared.lock()),
            idle_closes: self.shared.idle_closes.load(Relaxed),
            start_at: self.shared.start_at,
        }
    }
}

impl Seen {
    /// A time of this machine as the clients count.
    pub fn since_start(&self, at: Timestamp) -> Duration {
        at.duration_since(self.start_at).try_into().unwrap_or_default()
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn record(&self, record: Record) {
        self.lock().push(record);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, at most until the end of the load.
    pub(crate) async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

async fn client(kind: Kind, shared: Arc<Shared>) {
    match kind {
        Kind::KeepAlive => http::kept(&shared).await,
        Kind::NewConnection => http::anew(&shared, Kind::NewConnection).await,
        Kind::Http2 => http::kept_http2(&shared).await,
        Kind::Slow | Kind::Upload => http::anew(&shared, kind).await,
        Kind::Events => live::events(&shared).await,
        Kind::WebSocket => live::websocket(&shared).await,
    }
}

/// Release and label in the first words of a body.
pub(crate) fn who(body: &str) -> (Option<Arc<str>>, Option<Arc<str>>) {
    let word = |name: &str| body.split_whitespace().find_map(|word| word.strip_prefix(name)).map(Arc::from);
    (word("release="), word("label="))
}
