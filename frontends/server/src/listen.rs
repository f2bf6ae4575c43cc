//! Sockets, connections and their limits, and the end of all of them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use sh0::{Code, Error, Result, Sh0};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use crate::guard::Peer;
use crate::router::{Shared, router};

/// Connections at the same time, over all listeners; more wait in the kernel.
const CONNECTIONS: usize = 1024;

/// The head of a request that takes longer ends its connection, as does a connection that is idle for so long.
const HEAD_WITHIN: Duration = Duration::from_secs(30);

/// The head of a request may have so many bytes.
const HEAD_LIMIT: usize = 64 * 1024;

/// What is in flight may take so long to finish when the server ends.
const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// Where a server listens, and which names it has.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// A socket for processes of the same user.
    pub unix_socket: Option<PathBuf>,
    /// Addresses for holders of tokens.
    pub tcp: Vec<SocketAddr>,
    /// Names, beside `localhost` and the addresses themselves, under which requests may come.
    pub allowed_hosts: Vec<String>,
}

/// A server that runs. Dropping it cuts its connections; [`Server::shutdown`] lets them finish.
pub struct Server {
    tcp: Vec<SocketAddr>,
    socket: Option<Socket>,
    tasks: JoinSet<()>,
    connections: TaskTracker,
    shared: Arc<Shared>,
}

/// Opens the listeners, and answers until the server is shut down or dropped.
pub async fn serve(sh0: Sh0, options: ServeOptions) -> Result<Server> {
    let hosts = options.allowed_hosts.iter().map(|host| host.trim_end_matches('.').to_ascii_lowercase()).collect();
    let shared = Arc::new(Shared { sh0, hosts, closing: CancellationToken::new(), sessions: TaskTracker::new() });
    let door = Door {
        router: router(shared.clone()),
        slots: Arc::new(Semaphore::new(CONNECTIONS)),
        connections: TaskTracker::new(),
        closing: shared.closing.clone(),
    };
    let (mut tasks, mut tcp, mut socket) = (JoinSet::new(), Vec::new(), None);
    for addr in options.tcp {
        let listener = TcpListener::bind(addr).await.map_err(|error| taken(addr, error))?;
        tcp.push(listener.local_addr()?);
        let listener = Arc::new(listener);
        tasks.spawn(door.clone().listen(move || {
            let listener = listener.clone();
            async move {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let local = stream.local_addr()?;
                Ok((stream, Peer::Network { local }))
            }
        }));
    }
    if let Some(path) = options.unix_socket {
        let (listener, owned) = Socket::bind(path).await?;
        let (listener, owner) = (Arc::new(listener), owned.owner);
        socket = Some(owned);
        tasks.spawn(door.clone().listen(move || {
            let listener = listener.clone();
            async move {
                let (stream, _) = listener.accept().await?;
                let uid = stream.peer_cred()?.uid();
                let peer = if uid == owner || uid == 0 { Peer::Owner { uid } } else { Peer::Stranger { uid } };
                Ok((stream, peer))
            }
        }));
    }
    Ok(Server { tcp, socket, tasks, connections: door.connections, shared })
}

fn taken(addr: SocketAddr, error: io::Error) -> Error {
    let detail = format!("{addr} cannot be listened on: {error}; choose another address or stop who has it");
    Error::new(if error.kind() == io::ErrorKind::AddrInUse { Code::Conflict } else { Code::Invalid }, detail).with_source(error)
}

impl Server {
    /// The addresses it listens on, with the ports that were chosen for port 0.
    pub fn tcp(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// The Unix socket it listens on.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(|socket| socket.path.as_path())
    }

    /// Takes no more connections, ends streams and sessions, and lets requests in flight finish.
    pub async fn shutdown(mut self) {
        self.shared.closing.cancel();
        while self.tasks.join_next().await.is_some() {}
        drop(self.socket.take());
        self.connections.close();
        self.shared.sessions.close();
        let finished = async { tokio::join!(self.connections.wait(), self.shared.sessions.wait()) };
        if tokio::time::timeout(FINISH_WITHIN, finished).await.is_err() {
            tracing::warn!("requests were still in flight when the server ended");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

/// What every listener does with a connection.
#[derive(Clone)]
struct Door {
    router: Router,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    closing: CancellationToken,
}

impl Door {
    async fn listen<S, F>(self, accept: impl Fn() -> F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<(S, Peer)>>,
    {
        loop {
            let accepted = async { (self.slots.clone().acquire_owned().await, accept().await) };
            match self.closing.run_until_cancelled(accepted).await {
                None => return,
                Some((Ok(slot), Ok((stream, peer)))) => {
                    let connection = self.clone().connection(stream, peer);
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

    async fn connection(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let router = self.router;
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            router.clone().call(request)
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(HEAD_LIMIT);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_WITHIN).max_header_list_size(HEAD_LIMIT as u32);
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
    async fn bind(path: PathBuf) -> Result<(UnixListener, Socket)> {
        if UnixStream::connect(&path).await.is_ok() {
            return Err(Error::conflict(format!("a server already answers at {}: stop it first", path.display())));
        }
        let failed = |error: io::Error| Error::from(error).context(format!("the socket {} cannot be made", path.display()));
        let private = path.with_extension(format!("{}.new", std::process::id()));
        DirBuilder::new().mode(0o700).create(&private).map_err(failed)?;
        let bound = Self::bind_in(&private, &path);
        // Best effort: an empty folder does no harm.
        let _ = fs::remove_dir_all(&private);
        let listener = bound.map_err(failed)?;
        let meta = fs::metadata(&path).map_err(failed)?;
        Ok((listener, Socket { inode: meta.ino(), owner: meta.uid(), path }))
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
