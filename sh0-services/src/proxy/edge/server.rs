//! The edge's own process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit, setsid};
use sh0_core::traits::{Proxy, RouteTable};
use sh0_core::{Code, Error, LocalKey, Result};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::protocol::{Answer, Pong, Received, VERSION, receive, send, shows};
use super::state;
use crate::proxy::embedded::{EmbeddedProxy, Options};

/// Within this the key must have come.
const KEY: Duration = Duration::from_secs(5);

/// How an edge runs.
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    /// Where it takes orders. Beside it, a file `<socket>.lock` says that it runs, and `<socket>.key` has what whoever
    /// gives orders must show.
    pub socket: PathBuf,
    /// Where it keeps the last table.
    pub state: PathBuf,
    /// Limits of its proxy.
    pub proxy: Options,
    /// How long requests may go on after SIGTERM.
    pub grace: Duration,
}

impl EdgeOptions {
    /// With everything else as usual.
    pub fn new(socket: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        EdgeOptions {
            socket: socket.into(),
            state: state.into(),
            proxy: Options::default(),
            grace: Duration::from_secs(10),
        }
    }
}

/// An order to end, and whom to tell.
struct Stop {
    grace: Duration,
    /// Told when listeners and socket are free for another edge.
    released: oneshot::Sender<()>,
    /// Ends when whoever gave the order has its answer.
    told: oneshot::Receiver<()>,
}

/// Runs an edge until it is told to stop, or gets SIGTERM or SIGINT. Meant to be all that its process does.
///
/// # Errors
///
/// [`Code::Conflict`] when another edge runs at this socket; what the system says when the socket cannot be opened.
pub async fn run(options: EdgeOptions) -> Result<()> {
    // Not a child of a terminal: Ctrl-C there is for the control plane. Fails where we lead a session already.
    let _ = setsid();
    allow_many_files();
    let lock = take_lock(&options.socket)?;
    let proxy = Arc::new(EmbeddedProxy::with(options.proxy.clone()));
    restore(&proxy, &options.state).await?;
    // Before the socket: whoever can connect finds it.
    let key = Arc::new(LocalKey::open_or_create(&options.socket)?);
    let listener = open_socket(&options.socket)?;

    let (orders, mut stops) = mpsc::channel(1);
    // Outlives `serve`: whoever ordered the stop waits for an answer.
    let mut clients = JoinSet::new();
    let stop = tokio::select! {
        () = serve(listener, key, &mut clients, &proxy, &options.state, orders) => None,
        stop = stops.recv() => stop,
        result = ended_by_signal() => { result?; None }
    };
    proxy.close().await;
    // First the name, then the lock: whoever has the lock may make the name anew.
    let _ = fs::remove_file(&options.socket);
    drop(lock);
    let grace = match stop {
        None => options.grace,
        Some(stop) => {
            let _ = stop.released.send(());
            let _ = tokio::time::timeout(Duration::from_secs(1), stop.told).await;
            stop.grace
        }
    };
    proxy.shutdown(grace).await;
    Ok(())
}

/// A connection needs a file descriptor at each side; 1,024, the usual soft limit, are few.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

fn take_lock(socket: &Path) -> Result<File> {
    let path = with_suffix(socket, ".lock");
    let doing = |error: io::Error| Error::from(error).context(format!("the lock {}", path.display()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(doing)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(Error::conflict(format!("another edge runs at {}; stop it first", socket.display())))
        }
        Err(error) => Err(doing(error.into())),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Serves what was served before. A file that cannot be read is no reason to refuse the control plane's next table.
async fn restore(proxy: &EmbeddedProxy, path: &Path) -> Result<()> {
    match state::load(path) {
        Ok(Some(table)) => proxy.apply(&table).await,
        Ok(None) => Ok(()),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the last table cannot be read; waiting for a new one");
            Ok(())
        }
    }
}

fn open_socket(path: &Path) -> Result<UnixListener> {
    let doing = |error: io::Error| Error::from(error).context(format!("the socket {}", path.display()));
    // Made under another name, so that nobody can connect before the mode is right. `peer_is_ours` holds anyway.
    let beside = with_suffix(path, ".new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(doing(error)),
        _ => {}
    }
    let listener = UnixListener::bind(&beside).map_err(doing)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).map_err(doing)?;
    fs::rename(&beside, path).map_err(doing)?;
    Ok(listener)
}

async fn ended_by_signal() -> Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn serve(
    listener: UnixListener,
    key: Arc<LocalKey>,
    clients: &mut JoinSet<()>,
    proxy: &Arc<EmbeddedProxy>,
    state: &Path,
    orders: mpsc::Sender<Stop>,
) {
    // Tables are saved in the order in which they came into force.
    let saving = Arc::new(tokio::sync::Mutex::new(()));
    loop {
        while clients.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) if peer_is_ours(&stream) => {
                let desk = Desk {
                    key: key.clone(),
                    proxy: proxy.clone(),
                    state: state.to_owned(),
                    saving: saving.clone(),
                    orders: orders.clone(),
                };
                clients.spawn(desk.attend(stream));
            }
            Ok(_) => tracing::warn!("another user tried to talk to the edge"),
            Err(error) => {
                tracing::debug!(%error, "a control connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn peer_is_ours(stream: &UnixStream) -> bool {
    let ours = geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours || peer.uid() == 0)
}

/// Attends to one control plane.
struct Desk {
    key: Arc<LocalKey>,
    proxy: Arc<EmbeddedProxy>,
    state: PathBuf,
    saving: Arc<tokio::sync::Mutex<()>>,
    orders: mpsc::Sender<Stop>,
}

impl Desk {
    async fn attend(self, mut stream: UnixStream) {
        // An app may be a process of the same user: it is the key that counts.
        if !tokio::time::timeout(KEY, shows(&mut stream, &self.key)).await.unwrap_or_default() {
            tracing::warn!("somebody without the key tried to talk to the edge");
            return;
        }
        if send(&mut stream, &Answer::Done).await.is_err() {
            return;
        }
        loop {
            let request = match receive::<Received>(&mut stream).await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "an order that the edge does not understand");
                    return;
                }
            };
            if let Received::Stop { grace } = request {
                return self.stop(stream, grace.into()).await;
            }
            let answer = self.answer(request).await.unwrap_or_else(|error| Answer::Refused(error.problem("")));
            if send(&mut stream, &answer).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, request: Received) -> Result<Answer> {
        match request {
            Received::Key(_) => Ok(Answer::Done),
            Received::Ping => {
                let generation = self.proxy.status().await?.generation;
                Ok(Answer::Pong(Pong { version: VERSION.to_owned(), pid: std::process::id(), generation }))
            }
            Received::Apply(table) => self.apply(table).await,
            Received::Status => Ok(Answer::Status(self.proxy.status().await?)),
            Received::FindPort { preferred, taken } => Ok(Answer::Port(self.proxy.find_port(preferred, &taken).await?)),
            Received::Stop { .. } => Err(Error::new(Code::Internal, "an order to stop is handled elsewhere")),
        }
    }

    async fn apply(&self, table: RouteTable) -> Result<Answer> {
        let _turn = self.saving.lock().await;
        if table.generation < self.proxy.status().await?.generation {
            return Ok(Answer::Done);
        }
        self.proxy.apply(&table).await?;
        let path = self.state.clone();
        let saved = tokio::task::spawn_blocking(move || state::save(&path, &table)).await;
        // A full disk does not keep requests from the new release; after a restart the control plane sends it again.
        if let Err(error) = saved.map_err(io::Error::other).and_then(|saved| saved) {
            tracing::warn!(path = %self.state.display(), %error, "the table could not be saved");
        }
        Ok(Answer::Done)
    }

    async fn stop(&self, mut stream: UnixStream, grace: Duration) {
        let (released, when_released) = oneshot::channel();
        let (telling, told) = oneshot::channel();
        if self.orders.send(Stop { grace, released, told }).await.is_ok() && when_released.await.is_ok() {
            let _ = send(&mut stream, &Answer::Done).await;
        }
        drop(telling);
    }
}
