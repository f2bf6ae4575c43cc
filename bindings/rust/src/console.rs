//! This program's own terminal: a [`Session`] joined to it (or to a pipe, a test), a question to who sits there, a signal.
//!
//! ```no_run
//! # async fn example(sh0: sh0::Sh0, mut op: sh0::ops::instances::Exec) -> sh0::Result<()> {
//! op.terminal = sh0::console::size();
//! let with_terminal = op.terminal.is_some();
//! let exit = sh0::console::attach(sh0.duplex(op).await?, with_terminal).await?;
//! println!("it {exit}");
//! # Ok(())
//! # }
//! ```

use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::process::{Command, Stdio};

use bytes::BytesMut;
use futures_util::stream::Stream;
use futures_util::{StreamExt, stream};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::Value;
use sh0_core::model::{Exit, LogStream};
use sh0_core::ops::fields::has;
use sh0_core::ops::{Dispatch, OpDef};
use sh0_core::traits::{ByteStream, Session, SessionInput, Terminal};
use sh0_core::{Code, Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

/// The size of this program's terminal, when both its standard input and its standard output are one.
pub fn size() -> Option<Terminal> {
    let size = tcgetwinsize(stdout()).ok().filter(|_| stdin().is_terminal())?;
    Some(Terminal { rows: size.ws_row, cols: size.ws_col })
}

/// Runs a duplex operation here: with this program's terminal, where there is one and the operation takes one.
pub async fn converse(door: &dyn Dispatch, op: &'static OpDef, mut input: Value) -> Result<Exit> {
    let size = size().filter(|_| has(op, "terminal"));
    if let Some(size) = size {
        input["terminal"] = serde_json::to_value(size)?;
    }
    attach(door.duplex(op, input).await?, size.is_some()).await
}

/// Joins a command to this program's standard input, output and error. With a terminal, keys go to the command as they
/// are (Ctrl-C too), and its size follows; afterwards the terminal is as it was.
pub async fn attach(session: Session, with_terminal: bool) -> Result<Exit> {
    let _raw = if with_terminal { Raw::enter() } else { None };
    let changes = stream::unfold(signal(SignalKind::window_change())?, |mut changed| async {
        changed.recv().await.map(|()| (size(), changed))
    });
    let sizes = changes.filter_map(std::future::ready).boxed();
    join(session, bytes_of(tokio::io::stdin()), sizes, tokio::io::stdout(), tokio::io::stderr()).await
}

/// Lets a person type `word` before something is lost. [`Code::Cancelled`] when that does not happen; where nobody can,
/// the error tells the command that does without: this one, with `--yes`.
pub fn confirm(what: &str, word: &str) -> Result<()> {
    let declined = |text: String| Err(Error::new(Code::Cancelled, text));
    if !stdin().is_terminal() || !stderr().is_terminal() {
        let typed = std::env::args().collect::<Vec<_>>().join(" ");
        return declined(format!("something would be lost, and nobody is here to confirm it; run: {typed} --yes"));
    }
    write!(stderr(), "{what}\nType `{word}` to go on: ")?;
    let mut typed = String::new();
    stdin().read_line(&mut typed)?;
    if typed.trim() == word { Ok(()) } else { declined("declined: nothing was changed".into()) }
}

/// Shows an address in the browser of the desktop. Where that fails, nothing happens: print the address, too.
pub fn browse(url: &str) {
    let _ = Command::new("xdg-open").arg(url).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}

/// How a program ends that failed for this reason: stable, for scripts.
pub fn exit_code(code: Code) -> u8 {
    match code {
        Code::Invalid | Code::TooLarge => 2,
        Code::Cancelled => 3,
        Code::Unauthorized | Code::Forbidden => 4,
        Code::NotFound => 5,
        Code::Conflict | Code::Locked => 6,
        Code::BuildFailed | Code::DeployFailed => 7,
        Code::Timeout => 8,
        _ => 1,
    }
}

/// Ctrl-C, or the request to end that service managers send.
pub async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// The terminal without line editing and signals; as it was again when this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Raw> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Flush, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.0);
    }
}

/// What a reader gives, piece by piece.
pub fn bytes_of(reader: impl AsyncRead + Send + Unpin + 'static) -> ByteStream {
    stream::try_unfold(reader, |mut reader| async move {
        let mut piece = BytesMut::with_capacity(64 * 1024);
        let read = reader.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), reader)))
    })
    .boxed()
}

/// Sends `typed` and every new size of the terminal, writes what the command prints, and answers how it ended. Its end
/// does not wait for more to be typed.
pub async fn join(
    session: Session,
    typed: ByteStream,
    sizes: impl Stream<Item = Terminal> + Send + Unpin,
    mut out: impl AsyncWrite + Unpin,
    mut err: impl AsyncWrite + Unpin,
) -> Result<Exit> {
    let Session { input, mut output, exit } = session;
    let printing = async {
        while let Some(piece) = output.next().await {
            match piece? {
                (LogStream::Stdout, bytes) => {
                    out.write_all(&bytes).await?;
                    out.flush().await?;
                }
                (LogStream::Stderr, bytes) => {
                    err.write_all(&bytes).await?;
                    err.flush().await?;
                }
            }
        }
        exit.await
    };
    tokio::select! {
        ended = printing => ended,
        broken = feed(input, typed, sizes) => broken,
    }
}

/// Ends only when what is typed cannot be read. A command that takes no more input is no reason to end: its output and
/// its exit code still come.
async fn feed(
    mut input: Box<dyn SessionInput>,
    mut typed: ByteStream,
    mut sizes: impl Stream<Item = Terminal> + Send + Unpin,
) -> Result<Exit> {
    let mut open = true;
    while open {
        let sent = tokio::select! {
            piece = typed.next() => match piece {
                Some(bytes) => input.write(bytes?).await,
                None => {
                    open = false;
                    input.close().await
                }
            },
            Some(size) = sizes.next() => input.resize(size).await,
        };
        open &= sent.is_ok();
    }
    // Dropping the input would end the session of some backends: it stays until the command has ended.
    std::future::pending().await
}
