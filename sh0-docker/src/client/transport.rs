//! Connections: a small pool of kept-alive ones for calls, fresh ones for streams.

use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, sync::Semaphore, time::timeout};

use super::{
    error::{Error, ProtocolError, Result},
    negotiate::Engine,
    request::{Call, Pace},
};

/// Request bodies: whole, or a stream of the caller's.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Sent with every request; HTTP/1.1 wants a host, a Unix socket has none.
pub(crate) const HOST: &str = "docker";
pub(crate) const USER_AGENT: &str = concat!("sh0-docker/", env!("CARGO_PKG_VERSION"));

/// Longest answer read into memory, in bytes: a list of some ten thousand containers.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Longest error text read, in bytes.
const MAX_ERROR: usize = 64 * 1024;

/// Where the engine listens.
///
/// ```
/// use sh0_docker::client::Endpoint;
/// let endpoint: Endpoint = "unix:///run/user/1000/docker.sock".parse()?;
/// assert_eq!(endpoint.path().to_str(), Some("/run/user/1000/docker.sock"));
/// assert!("ssh://host".parse::<Endpoint>().is_err());
/// # Ok::<(), sh0_docker::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    path: PathBuf,
}

impl Endpoint {
    /// The Unix socket at `path`.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// `/var/run/docker.sock`.
impl Default for Endpoint {
    fn default() -> Self {
        Self::unix("/var/run/docker.sock")
    }
}

/// Reads the notation of `DOCKER_HOST`: `unix:///path`.
impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') && !path.contains('\0') => Ok(Self::unix(path)),
            _ => Err(Error::InvalidInput {
                what: "Docker host",
                reason: format!("{text:?} is not of the form unix:///path/to/docker.sock"),
            }),
        }
    }
}

/// Limits of a [`Client`](super::Client).
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Connections kept for reuse, and quick calls in flight at once. Default 6.
    pub connections: usize,
    /// How long the engine may take to answer a call. Default 30 s. Bodies that are followed have no limit.
    pub answer_within: Duration,
    /// The same for calls that work before they answer (create, start, stop, remove, prune, ...), on top of a stop's
    /// grace. Default 120 s.
    pub work_within: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { connections: 6, answer_within: Duration::from_secs(30), work_within: Duration::from_secs(120) }
    }
}

/// An open connection and the version agreed on it.
pub(crate) struct Connection {
    sender: http1::SendRequest<Body>,
    pub(crate) engine: Arc<Engine>,
    reused: bool,
}

pub(crate) struct Transport {
    endpoint: Endpoint,
    pub(crate) options: ClientOptions,
    idle: Mutex<Vec<Connection>>,
    quick: Semaphore,
}

/// An answer whose body has been read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Transport {
    pub(crate) fn new(endpoint: Endpoint, options: ClientOptions) -> Self {
        let quick = Semaphore::new(options.connections.max(1));
        Self { endpoint, options, idle: Mutex::new(Vec::new()), quick }
    }

    /// Sends a call on a pooled connection and reads the whole answer. Statuses from 400 are errors.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer> {
        let within = self.limit(call);
        let exchange = async {
            // Calls that work for minutes must not keep the quick ones waiting.
            let _permit = match call.pace {
                Pace::Quick => self.quick.acquire().await.ok(),
                Pace::Slow(_) => None,
            };
            let (response, connection) = self.send_pooled(call).await?;
            let (parts, body) = response.into_parts();
            let limit = if parts.status.as_u16() >= 400 { MAX_ERROR } else { MAX_ANSWER };
            let body = read_whole(body, limit).await?;
            self.release(connection);
            check(parts.status, &body)?;
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        timed(call.name(), within, exchange).await
    }

    /// Sends a call on a connection of its own and returns as soon as the head is there; the body has no time limit.
    pub(crate) async fn stream(&self, call: &Call, body: Body) -> Result<(Response<Incoming>, Arc<Engine>)> {
        timed(call.name(), self.limit(call), self.stream_untimed(call, body)).await
    }

    /// Like [`stream`](Self::stream), with no limit for the head either; only the connection has one.
    pub(crate) async fn stream_untimed(&self, call: &Call, body: Body) -> Result<(Response<Incoming>, Arc<Engine>)> {
        let mut connection = timed(call.name(), self.options.answer_within, self.open()).await?;
        let engine = Arc::clone(&connection.engine);
        let request = build(call, &engine, body)?;
        connection.sender.ready().await?;
        let response = connection.sender.send_request(request).await?;
        let status = response.status();
        if status.as_u16() >= 400 {
            let text = read_whole(response.into_body(), MAX_ERROR).await.unwrap_or_default();
            return Err(Error::from_status(status.as_u16(), &text));
        }
        Ok((response, engine))
    }

    /// What the engine said about itself on the connection that would be used next.
    pub(crate) async fn engine(&self) -> Result<Arc<Engine>> {
        timed("HEAD /_ping".to_owned(), self.options.answer_within, async {
            let connection = self.acquire().await?;
            let engine = Arc::clone(&connection.engine);
            self.release(connection);
            Ok(engine)
        })
        .await
    }

    /// A bare socket, for upgrades.
    pub(crate) async fn dial(&self) -> Result<UnixStream> {
        let path = self.endpoint.path();
        let mut tries = 0;
        loop {
            match UnixStream::connect(path).await {
                Ok(stream) => return Ok(stream),
                // The listener's queue is full for a moment (EAGAIN, see connect(2) on Unix sockets).
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < 5 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(10 << tries)).await;
                }
                Err(error) => return Err(Error::unavailable(path, error)),
            }
        }
    }

    fn limit(&self, call: &Call) -> Duration {
        match call.pace {
            Pace::Quick => self.options.answer_within,
            Pace::Slow(extra) => self.options.work_within.saturating_add(extra),
        }
    }

    /// Sends on an idle connection if there is one. If the engine closed it meanwhile (it restarted), tries once more
    /// on a new one, provided that the engine cannot have acted on the call or acting twice does no harm. (A removal
    /// that was carried out before the connection broke is then "not found", which means the same to its caller.)
    async fn send_pooled(&self, call: &Call) -> Result<(Response<Incoming>, Connection)> {
        let mut connection = if call.fresh { self.open().await? } else { self.acquire().await? };
        let failure = match self.send_whole(call, &mut connection).await {
            Ok(response) => return Ok((response, connection)),
            Err(failure) => failure,
        };
        if !(connection.reused && (failure.unsent || call.is_idempotent())) {
            return Err(failure.error);
        }
        tracing::debug!(call = call.name(), error = %failure.error, "stale connection, trying again");
        // The others were opened to the same engine process.
        self.idle().clear();
        let mut connection = self.open().await?;
        let response = self.send_whole(call, &mut connection).await.map_err(|failure| failure.error)?;
        Ok((response, connection))
    }

    async fn send_whole(&self, call: &Call, connection: &mut Connection) -> Result<Response<Incoming>, Failure> {
        let request = build(call, &connection.engine, whole(call.body.clone()))
            .map_err(|error| Failure { error, unsent: false })?;
        connection
            .sender
            .try_send_request(request)
            .await
            .map_err(|mut error| Failure { unsent: error.take_message().is_some(), error: error.into_error().into() })
    }

    async fn acquire(&self) -> Result<Connection> {
        loop {
            let Some(mut connection) = self.idle().pop() else { return self.open().await };
            // Right after an answer the driver may still be tidying up; a closed connection fails here.
            if connection.sender.ready().await.is_ok() {
                connection.reused = true;
                return Ok(connection);
            }
        }
    }

    fn release(&self, connection: Connection) {
        let mut idle = self.idle();
        if !connection.sender.is_closed() && idle.len() < self.options.connections {
            idle.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // A list of connections is never left half-changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection and agrees on a version.
    async fn open(&self) -> Result<Connection> {
        let stream = self.dial().await?;
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection: when the sender and the body of its last answer are dropped.
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "connection to the engine ended");
            }
        });
        let engine = ping(&mut sender).await?;
        // Right after an answer the driver may still be tidying up, and would refuse the next request.
        sender.ready().await?;
        Ok(Connection { sender, engine: Arc::new(engine), reused: false })
    }
}

struct Failure {
    error: Error,
    /// The request never left this process.
    unsent: bool,
}

/// `HEAD /_ping`, and `GET` where that is not known (API section "Ping").
async fn ping(sender: &mut http1::SendRequest<Body>) -> Result<Engine> {
    let mut last = Error::head("no answer to /_ping");
    for method in [Method::HEAD, Method::GET] {
        let request = Request::builder()
            .method(method)
            .uri("/_ping")
            .header(header::HOST, HOST)
            .header(header::USER_AGENT, USER_AGENT)
            .body(whole(Bytes::new()))
            .map_err(|error| Error::head(error.to_string()))?;
        sender.ready().await?;
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let text = read_whole(body, MAX_ERROR).await?;
        last = match check(parts.status, &text) {
            // A failing ping still tells the version, but the engine is not well: say so.
            Err(error) => error,
            Ok(()) => match Engine::from_headers(&parts.headers) {
                Err(error @ Error::Protocol(_)) => error,
                result => return result,
            },
        };
    }
    Err(last)
}

pub(crate) fn whole(bytes: Bytes) -> Body {
    if bytes.is_empty() {
        return Empty::new().map_err(|never| match never {}).boxed_unsync();
    }
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The target of a call on a connection to `engine`.
pub(crate) fn target(call: &Call, engine: &Engine) -> String {
    let (path, query) = (&call.path, &call.query);
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/v{}{path}{mark}{query}", engine.api)
}

fn build(call: &Call, engine: &Engine, body: Body) -> Result<Request<Body>> {
    let mut request = Request::builder()
        .method(call.method.clone())
        .uri(target(call, engine))
        .header(header::HOST, HOST)
        .header(header::USER_AGENT, USER_AGENT);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    request.body(body).map_err(|error| Error::head(error.to_string()))
}

fn check(status: StatusCode, body: &[u8]) -> Result<()> {
    if status.as_u16() >= 400 { Err(Error::from_status(status.as_u16(), body)) } else { Ok(()) }
}

async fn read_whole(body: Incoming, limit: usize) -> Result<Bytes> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err((*error).into()),
            Err(_) => Err(ProtocolError::TooLarge { limit }.into()),
        },
    }
}

pub(crate) async fn timed<T>(call: String, after: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(after, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::Timeout { call, after }),
    }
}
