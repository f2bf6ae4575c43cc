//! The control plane's view of the edge.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sh0_core::model::{Capability, Millis};
use sh0_core::traits::{Proxy, ProxyStatus, RouteTable};
use sh0_core::{Code, Error, LocalKey, Result};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::protocol::{Answer, Pong, Request, Sent, VERSION, receive, send};
use crate::proxy::embedded::capabilities;

/// For one request and its answer: the largest table, on a slow disk.
const ANSWER: Duration = Duration::from_secs(20);
/// How long an edge that is being started again may keep us waiting.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A [`Proxy`] in another process. Connects when needed, and again when the edge was started again.
pub struct EdgeProxy {
    socket: PathBuf,
    wire: Mutex<Wire>,
}

#[derive(Default)]
struct Wire {
    stream: Option<UnixStream>,
    /// What the edge should have in force.
    table: Option<RouteTable>,
}

impl EdgeProxy {
    /// The edge that takes orders at `socket`. It need not run yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        EdgeProxy { socket: socket.into(), wire: Mutex::default() }
    }

    /// Where the edge takes orders.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    async fn call(&self, request: Sent<'_>) -> Result<Answer> {
        let mut wire = self.wire.lock().await;
        self.exchange(&mut wire, &request).await
    }

    /// One request, again on a new connection where the old one broke: everything that can be asked for is idempotent.
    async fn exchange(&self, wire: &mut Wire, request: &Sent<'_>) -> Result<Answer> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Taken out: a call that is given up half-way leaves no half answer for the next one.
            let mut stream = match wire.stream.take() {
                Some(stream) => stream,
                None => match self.connect(wire.table.as_ref()).await {
                    Ok(stream) => stream,
                    Err(error) if Instant::now() >= deadline => return Err(error),
                    Err(_) => {
                        tokio::time::sleep(POLL).await;
                        continue;
                    }
                },
            };
            match ask(&mut stream, request).await {
                Ok(answer) => {
                    wire.stream = Some(stream);
                    return match answer {
                        Answer::Refused(problem) => Err(problem.into()),
                        answer => Ok(answer),
                    };
                }
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// A connection to an edge that has in force what it should.
    async fn connect(&self, table: Option<&RouteTable>) -> Result<UnixStream> {
        let (mut stream, pong) = greet(&self.socket).await?;
        if let Some(table) = table.filter(|table| table.generation > pong.generation) {
            match ask(&mut stream, &Request::Apply(table)).await? {
                Answer::Done => tracing::info!(generation = table.generation, "the edge got its routes again"),
                Answer::Refused(problem) => return Err(problem.into()),
                _ => return Err(unexpected()),
            }
        }
        Ok(stream)
    }

    /// Connects if that is needed, and brings the edge up to date.
    pub(super) async fn catch_up(&self) -> Result<()> {
        match self.call(Request::Ping).await? {
            Answer::Pong(_) => Ok(()),
            _ => Err(unexpected()),
        }
    }
}

#[async_trait]
impl Proxy for EdgeProxy {
    fn name(&self) -> String {
        format!("edge {VERSION}")
    }

    fn capabilities(&self) -> Vec<Capability> {
        capabilities()
    }

    async fn apply(&self, table: &RouteTable) -> Result<()> {
        let mut wire = self.wire.lock().await;
        match self.exchange(&mut wire, &Request::Apply(table)).await? {
            Answer::Done => {
                if wire.table.as_ref().is_none_or(|last| last.generation <= table.generation) {
                    wire.table = Some(table.clone());
                }
                Ok(())
            }
            _ => Err(unexpected()),
        }
    }

    async fn status(&self) -> Result<ProxyStatus> {
        match self.call(Request::Status).await? {
            Answer::Status(status) => Ok(status),
            _ => Err(unexpected()),
        }
    }

    async fn find_port(&self, preferred: Option<u16>, taken: &BTreeSet<u16>) -> Result<u16> {
        match self.call(Request::FindPort { preferred, taken: taken.clone() }).await? {
            Answer::Port(port) => Ok(port),
            _ => Err(unexpected()),
        }
    }
}

/// Connects, and asks who is there.
pub(super) async fn greet(socket: &Path) -> Result<(UnixStream, Pong)> {
    let silent = |error: std::io::Error| {
        let text =
            format!("the edge does not answer at {}; it may be starting again, or run `sh0 serve`", socket.display());
        Error::unavailable(text).with_source(error)
    };
    let mut stream = UnixStream::connect(socket).await.map_err(silent)?;
    // None is there where an edge runs that asks for none, of a version before keys.
    if let Some(key) = LocalKey::read(socket)? {
        match ask(&mut stream, &Request::Key(key)).await? {
            Answer::Done => {}
            _ => return Err(unexpected()),
        }
    }
    match ask(&mut stream, &Request::Ping).await? {
        Answer::Pong(pong) => Ok((stream, pong)),
        _ => Err(unexpected()),
    }
}

/// Tells whoever is there to stop. When this returns, its listeners and its socket are free.
pub(super) async fn tell_to_stop(stream: &mut UnixStream, grace: Duration) -> Result<()> {
    let grace = Millis(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
    match ask(stream, &Request::Stop { grace }).await? {
        Answer::Done => Ok(()),
        _ => Err(unexpected()),
    }
}

async fn ask(stream: &mut UnixStream, request: &Sent<'_>) -> Result<Answer> {
    let exchange = async {
        send(stream, request).await?;
        receive::<Answer>(stream).await
    };
    match tokio::time::timeout(ANSWER, exchange).await {
        Ok(Ok(Some(answer))) => Ok(answer),
        Ok(Ok(None)) => Err(Error::unavailable("the edge ended in the middle of a request; try again")),
        Ok(Err(error)) => Err(Error::unavailable("the connection to the edge broke; try again").with_source(error)),
        Err(_) => Err(Error::new(Code::Timeout, format!("the edge did not answer within {} s", ANSWER.as_secs()))),
    }
}

fn unexpected() -> Error {
    Error::internal("the edge gave an answer to another question; restart it")
}
