//! A socket that is closed without losing what was sent last.
//!
//! Closing a socket with unread input resets the connection, and the reset throws away what the other end has not
//! received yet (RFC 9112 section 9.6). An HTTP/2 client sends window updates until the end, so that would happen at
//! every graceful end: the rest is read, for a moment, before the close.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long the other end may take to close its side.
const MOMENT: Duration = Duration::from_secs(2);

/// One of several handles of a socket.
#[derive(Clone)]
pub(super) struct Lingering(Arc<TcpStream>);

impl Lingering {
    pub(super) fn new(socket: TcpStream) -> Lingering {
        Lingering(Arc::new(socket))
    }

    /// Ends our side and reads what still comes.
    pub(super) async fn close(self) {
        let _ = rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write);
        let rest = async {
            let mut buffer = [0; 4096];
            loop {
                let read =
                    poll_fn(|cx| self.poll_try(cx, TcpStream::poll_read_ready, |socket| socket.try_read(&mut buffer)));
                if matches!(read.await, Ok(0) | Err(_)) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(MOMENT, rest).await;
    }

    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        ready: impl Fn(&TcpStream, &mut Context<'_>) -> Poll<io::Result<()>>,
        mut work: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(ready(&self.0, cx))?;
            match work(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(
            self.poll_try(cx, TcpStream::poll_read_ready, |socket| { socket.try_read(buffer.initialize_unfilled()) })
        )?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_try(cx, TcpStream::poll_write_ready, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, TcpStream::poll_write_ready, |socket| socket.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(&*self.0, rustix::net::Shutdown::Write).map_err(Into::into))
    }
}
