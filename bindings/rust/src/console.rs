//! A [`Session`] joined to somebody's own ends: a terminal, a pipe, a test.
//!
//! ```no_run
//! # async fn example(sh0: sh0::Sh0, op: sh0::ops::instances::Exec) -> sh0::Result<()> {
//! use futures_util::stream;
//! let session = sh0.duplex(op).await?;
//! let typed = sh0::console::bytes_of(tokio::io::stdin());
//! let exit = sh0::console::join(session, typed, stream::pending(), tokio::io::stdout(), tokio::io::stderr()).await?;
//! println!("it {exit}");
//! # Ok(())
//! # }
//! ```

use bytes::BytesMut;
use futures_util::stream::Stream;
use futures_util::{StreamExt, stream};
use sh0_core::Result;
use sh0_core::model::{Exit, LogStream};
use sh0_core::traits::{ByteStream, Session, SessionInput, Terminal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

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
