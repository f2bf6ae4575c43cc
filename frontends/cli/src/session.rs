//! A command inside an instance, joined to this terminal: `run` and `exec`.

use std::io::IsTerminal as _;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use sh0::Result;
use sh0::model::LogStream;
use sh0::traits::{ByteStream, Session, SessionInput, Terminal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The size of the terminal, when both ends of this program are one.
pub(crate) fn terminal() -> Option<Terminal> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return None;
    }
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    Some(Terminal { rows: size.ws_row, cols: size.ws_col })
}

/// Standard input as a stream of bytes.
pub(crate) fn stdin_bytes() -> ByteStream {
    bytes_of(tokio::io::stdin())
}

/// What a reader gives, piece by piece.
pub(crate) fn bytes_of(reader: impl AsyncRead + Send + Unpin + 'static) -> ByteStream {
    futures_util::stream::try_unfold(reader, |mut reader| async move {
        let mut piece = BytesMut::with_capacity(64 * 1024);
        let read = reader.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), reader)))
    })
    .boxed()
}

/// Joins the command to standard input and output until it ends; its exit code is ours.
pub(crate) async fn converse(session: Session, terminal: bool) -> Result<u8> {
    let _raw = if terminal { Raw::enter() } else { None };
    let Session { input, mut output, exit } = session;
    let writing = tokio::spawn(feed(input, terminal));
    let (mut out, mut err) = (tokio::io::stdout(), tokio::io::stderr());
    while let Some(piece) = output.next().await {
        match piece? {
            (LogStream::Stdout, bytes) => write(&mut out, &bytes).await?,
            (LogStream::Stderr, bytes) => write(&mut err, &bytes).await?,
        }
    }
    let exit = exit.await?;
    writing.abort();
    Ok(u8::try_from(exit.code).unwrap_or(1))
}

async fn write(to: &mut (impl AsyncWriteExt + Unpin), bytes: &Bytes) -> Result<()> {
    to.write_all(bytes).await?;
    Ok(to.flush().await?)
}

/// Sends what is typed, the end of it, and new sizes of the terminal.
async fn feed(mut input: Box<dyn SessionInput>, terminal_is_there: bool) -> Result<()> {
    let mut resized: Option<Signal> =
        if terminal_is_there { signal(SignalKind::window_change()).ok() } else { None };
    let mut typed = stdin_bytes();
    loop {
        tokio::select! {
            piece = typed.next() => match piece {
                Some(bytes) => input.write(bytes?).await?,
                None => break input.close().await?,
            },
            Some(()) = next(&mut resized) => if let Some(size) = terminal() { input.resize(size).await? },
        }
    }
    // Dropping the input would tear the session: it stays until the command has ended.
    std::future::pending().await
}

async fn next(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// The terminal without line editing and signals; as it was again when this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Raw> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}
