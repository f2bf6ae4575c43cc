//! The control plane's side of a session: frames over a socket become a [`Session`].

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use sh0_core::model::{Exit, LogStream};
use sh0_core::traits::{Session, SessionInput, Terminal};
use sh0_core::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::config::ShimCommand;
use super::launch::{Launch, write_json};
use super::procfs::Proc;
use super::shim::Frame;

/// Frames on their way to somebody who does not read.
const WAITING: usize = 16;
/// How long a shim may take to end after its session.
const LAST_ACT: Duration = Duration::from_secs(15);
/// A launch file that is older is wreckage.
const UNREAD: Duration = Duration::from_secs(60);

/// Starts the command of `launch` below a shim. When it has ended, or when both output and exit were dropped (that
/// kills it), `after` is done, and only then the exit is known.
pub(crate) fn open(
    shim: &ShimCommand,
    folder: &Path,
    launch: &Launch,
    after: BoxFuture<'static, Result<()>>,
) -> Result<Session> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = folder.join(format!("{}-{number}.json", std::process::id()));
    // Secrets are in it; the step before the command removes it.
    write_json(&file, launch)?;
    let started = start(shim, &file);
    let (socket, mut shim) = started.inspect_err(|_| drop(std::fs::remove_file(&file)))?;
    let (read, write) = socket.into_split();
    let (input, inputs) = mpsc::channel(WAITING);
    let (outputs, output) = mpsc::channel(WAITING);
    let (tell_exit, exit) = oneshot::channel();
    let cancel = CancellationToken::new();
    let guard = Arc::new(cancel.clone().drop_guard());
    tokio::spawn(send(write, inputs, cancel.clone()));
    tokio::spawn(async move {
        let exit = tokio::select! {
            exit = receive(read, outputs) => exit,
            () = cancel.cancelled() => Err(Error::unavailable("nobody waited for the command any more")),
        };
        // Closes the socket from this side too: a shim that still runs ends its command.
        cancel.cancel();
        // It kills what is left first: only then folders and groups can be removed.
        let _ = tokio::time::timeout(LAST_ACT, shim.wait()).await;
        let done = after.await;
        let _ = tell_exit.send(exit.and_then(|exit| done.map(|()| exit)));
        let _ = std::fs::remove_file(file);
    });
    Ok(Session {
        input: Box::new(Input(Some(input))),
        output: stream::unfold((output, guard.clone()), next_output).boxed(),
        exit: Box::pin(wait(exit, guard)),
    })
}

/// Removes launch files that nobody will read: of control planes that were killed before a shim did. Secrets are in them.
pub(crate) fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let writer = name.to_string_lossy().trim_start_matches('.').split('-').next().and_then(|pid| pid.parse().ok());
        let lives = writer.is_some_and(|pid| Proc::of(pid).is_some());
        // The same number may be another process by now; no shim needs a minute to read its file.
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if !lives || age.is_some_and(|age| age > UNREAD) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn start(shim: &ShimCommand, file: &Path) -> Result<(UnixStream, Child)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = tokio::process::Command::new(&shim.program);
    command.args(&shim.args).arg("session").arg(file).env_clear();
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| {
        Error::unavailable(format!("the shim {} cannot be started: {error}", shim.program.display())).with_source(error)
    })?;
    Ok((UnixStream::from_std(ours)?, child))
}

type Output = Result<(LogStream, Bytes)>;

async fn next_output(
    (mut output, guard): (mpsc::Receiver<(LogStream, Bytes)>, Arc<DropGuard>),
) -> Option<(Output, (mpsc::Receiver<(LogStream, Bytes)>, Arc<DropGuard>))> {
    let item = output.recv().await?;
    Some((Ok(item), (output, guard)))
}

async fn wait(exit: oneshot::Receiver<Result<Exit>>, guard: Arc<DropGuard>) -> Result<Exit> {
    let exit = exit.await;
    drop(guard);
    exit.unwrap_or_else(|_| Err(Error::unavailable("the session was given up")))
}

pub(super) async fn receive(
    mut socket: impl AsyncRead + Unpin,
    outputs: mpsc::Sender<(LogStream, Bytes)>,
) -> Result<Exit> {
    let lost = |error: std::io::Error| {
        Error::unavailable("the command was killed together with its shim before it ended").with_source(error)
    };
    loop {
        let mut head = [0; Frame::HEAD];
        socket.read_exact(&mut head).await.map_err(lost)?;
        let (kind, length) = Frame::head(head);
        if length > Frame::MAX {
            return Err(Error::internal("the shim sent a frame that is too long"));
        }
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.map_err(lost)?;
        // Whoever dropped the output may still want the exit.
        match kind {
            Frame::STDOUT => drop(outputs.send((LogStream::Stdout, body.into())).await),
            Frame::STDERR => drop(outputs.send((LogStream::Stderr, body.into())).await),
            Frame::EXIT => return Ok(serde_json::from_slice(&body)?),
            _ => {}
        }
    }
}

/// Keeps its half open after the end of input: closing it would end the command.
async fn send(mut socket: OwnedWriteHalf, mut inputs: mpsc::Receiver<Vec<u8>>, cancel: CancellationToken) {
    let send_all = async {
        while let Some(frame) = inputs.recv().await {
            if socket.write_all(&frame).await.is_err() {
                return;
            }
        }
        let _ = socket.write_all(&Frame::bytes(Frame::INPUT_END, &[])).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = send_all => {}
        () = cancel.cancelled() => {}
    }
}

struct Input(Option<mpsc::Sender<Vec<u8>>>);

impl Input {
    async fn frame(&self, kind: u8, body: &[u8]) -> Result<()> {
        let ended = || Error::conflict("the input of this command was closed, or it has ended");
        let input = self.0.as_ref().ok_or_else(ended)?;
        input.send(Frame::bytes(kind, body)).await.map_err(|_| ended())
    }
}

#[async_trait]
impl SessionInput for Input {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        for piece in bytes.chunks(Frame::MAX / 4) {
            self.frame(Frame::INPUT, piece).await?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.0 = None;
        Ok(())
    }

    async fn resize(&mut self, size: Terminal) -> Result<()> {
        let [a, b] = size.rows.to_be_bytes();
        let [c, d] = size.cols.to_be_bytes();
        self.frame(Frame::RESIZE, &[a, b, c, d]).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn launch_files_of_the_dead_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::process::id();
        // Beyond the largest process id there can be (proc_sys_kernel(5), pid_max).
        let dead = 4_194_305;
        for name in [format!("{own}-0.json"), format!("{dead}-0.json"), format!(".{dead}-1.json.{dead}"), "odd".into()]
        {
            std::fs::write(dir.path().join(name), "{}").unwrap();
        }
        let old = std::fs::File::create(dir.path().join(format!("{own}-1.json"))).unwrap();
        old.set_modified(std::time::SystemTime::now() - UNREAD * 2).unwrap();
        sweep(dir.path());
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [format!("{own}-0.json").as_str()]);
    }
}
