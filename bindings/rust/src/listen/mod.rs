//! The other end of [`Sh0::connect`](crate::Sh0::connect), for frontends that serve HTTP: a Unix socket that only the
//! platform's own user can open, with a key beside it that its apps cannot read, and TCP, with limits on everything that a client could let grow.
//!
//! What is served is any service of requests; each request carries its [`Peer`] as an extension. [`Admission`] keeps out
//! what a web page of another origin may have made. Who may do what is the service's business.

mod admission;

pub use admission::{Admission, peer};

use std::convert::Infallible;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use sh0_core::ops::http::KEY_HEADER;
use sh0_core::{Code, Error, LocalKey, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

/// Connections at the same time, over all listeners; more wait in the kernel.
const CONNECTIONS: usize = 1024;

/// The head of a request that takes longer ends its connection, as does a connection that is idle for so long.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// The head of a request may have so many bytes.
const HEAD_LIMIT: u32 = 64 * 1024;

/// What is in flight may take so long to finish at the end.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Who sent a request, as the operating system and the key of the socket say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// A process of this machine that may drive the platform: its user is the platform's own or root, and it has shown the
    /// key of the socket.
    Owner {
        /// Its user.
        uid: u32,
    },
    /// A process of that user that has not shown the key. It may be an app, where the platform is not root.
    Keyless {
        /// Its user.
        uid: u32,
    },
    /// A process of this machine whose user may not.
    Stranger {
        /// Its user.
        uid: u32,
    },
    /// Somebody who came over the network.
    Network {
        /// The address of ours that it came to.
        local: SocketAddr,
    },
}

/// Open listeners, and the connections that came through them. Dropping it cuts them all.
pub struct Listening {
    tcp: Vec<SocketAddr>,
    socket: Option<Socket>,
    closing: CancellationToken,
    accepting: JoinSet<()>,
    connections: TaskTracker,
}

/// Serves `service` on a Unix socket and on TCP addresses until `closing` is cancelled. The key of the socket is in the
/// file `<socket>.key`, made when it is not there.
pub async fn listen<S, B>(
    unix_socket: Option<PathBuf>,
    tcp: &[SocketAddr],
    service: S,
    closing: CancellationToken,
) -> Result<Listening>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connections = TaskTracker::new();
    let door = Door { service, key: None, slots: Arc::new(Semaphore::new(CONNECTIONS)), connections, closing };
    let (mut accepting, mut addrs, mut socket) = (JoinSet::new(), Vec::new(), None);
    for addr in tcp {
        let listener = TcpListener::bind(addr).await.map_err(|error| taken(*addr, error))?;
        addrs.push(listener.local_addr()?);
        let listener = Arc::new(listener);
        accepting.spawn(door.clone().accept(move || {
            let listener = listener.clone();
            async move {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let local = stream.local_addr()?;
                Ok((stream, Peer::Network { local }))
            }
        }));
    }
    if let Some(path) = unix_socket {
        let (listener, key, owned) = Socket::bind(path).await?;
        let (listener, owner) = (Arc::new(listener), owned.owner);
        socket = Some(owned);
        let door = Door { key: Some(Arc::new(key)), ..door.clone() };
        accepting.spawn(door.accept(move || {
            let listener = listener.clone();
            async move {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                let peer = if uid == owner || uid == 0 { Peer::Keyless { uid } } else { Peer::Stranger { uid } };
                Ok((stream, peer))
            }
        }));
    }
    let Door { connections, closing, .. } = door;
    Ok(Listening { tcp: addrs, socket, closing, accepting, connections })
}

fn taken(addr: SocketAddr, error: io::Error) -> Error {
    let code = if error.kind() == io::ErrorKind::AddrInUse { Code::Conflict } else { Code::Invalid };
    let detail = format!("{addr} cannot be listened on: {error}; choose another address, or stop who has it");
    Error::new(code, detail).with_source(error)
}

impl Listening {
    /// The addresses it listens on, with the ports that were chosen for port 0.
    pub fn tcp(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// The Unix socket it listens on.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(|socket| socket.path.as_path())
    }

    /// Takes no more connections, and lets requests in flight finish, for ten seconds at most.
    pub async fn finish(mut self) {
        self.closing.cancel();
        while self.accepting.join_next().await.is_some() {}
        drop(self.socket.take());
        self.connections.close();
        if tokio::time::timeout(FINISH_WITHIN, self.connections.wait()).await.is_err() {
            tracing::warn!("requests were still in flight when the server ended");
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// What every listener does with a connection.
#[derive(Clone)]
struct Door<S> {
    service: S,
    /// Of the Unix socket.
    key: Option<Arc<LocalKey>>,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    closing: CancellationToken,
}

impl<S, B> Door<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn accept<T, F>(self, accept: impl Fn() -> F)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<(T, Peer)>>,
    {
        loop {
            let accepted = async { (self.slots.clone().acquire_owned().await, accept().await) };
            match self.closing.run_until_cancelled(accepted).await {
                None => return,
                Some((Ok(slot), Ok((stream, peer)))) => {
                    let connection = self.clone().serve(stream, peer);
                    self.connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                }
                // Most likely too many open files, or a client that went away: neither is cured by hurry.
                Some((_, error)) => {
                    tracing::warn!(error = ?error.err(), "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// The peer of a connection, by what this request shows. The service does not get to see the key.
    fn known(&self, peer: &Peer, request: &mut Request<Incoming>) -> Peer {
        let shown = request.headers_mut().remove(KEY_HEADER);
        match (peer, &self.key, shown.as_ref().and_then(|shown| shown.to_str().ok())) {
            (Peer::Keyless { uid }, Some(key), Some(shown)) if key.is(shown) => Peer::Owner { uid: *uid },
            _ => peer.clone(),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let door = self.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let peer = door.known(&peer, &mut request);
            request.extensions_mut().insert(peer);
            door.service.clone().call(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_LIMIT as usize);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_WITHIN).max_header_list_size(HEAD_LIMIT);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = match self.closing.run_until_cancelled(connection.as_mut()).await {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(FINISH_WITHIN, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// A Unix socket of ours in the file system; removed when dropped.
struct Socket {
    path: PathBuf,
    inode: u64,
    /// Who owns the file: the user of this process.
    owner: u32,
}

impl Socket {
    /// Binds in a private folder and moves the socket to its place when its mode is right: at no moment can another
    /// user connect. A file that nobody listens on is replaced.
    async fn bind(path: PathBuf) -> Result<(UnixListener, LocalKey, Socket)> {
        if UnixStream::connect(&path).await.is_ok() {
            return Err(Error::conflict(format!("a server already answers at {}: stop it first", path.display())));
        }
        // Before the socket: whoever can connect finds it.
        let key = LocalKey::open_or_create(&path)?;
        let failed = |error| Error::from(error).context(format!("the socket {} cannot be made", path.display()));
        let private = path.with_extension(format!("{}.new", std::process::id()));
        DirBuilder::new().mode(0o700).create(&private).map_err(failed)?;
        let bound = Self::bind_in(&private, &path);
        // Best effort: an empty folder does no harm.
        let _ = fs::remove_dir_all(&private);
        let listener = bound.map_err(failed)?;
        let meta = fs::metadata(&path).map_err(failed)?;
        Ok((listener, key, Socket { inode: meta.ino(), owner: meta.uid(), path }))
    }

    fn bind_in(private: &Path, path: &Path) -> io::Result<UnixListener> {
        let new = private.join("s");
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        fs::rename(&new, path)?;
        Ok(listener)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A successor may have put its own in this place.
        if fs::metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
