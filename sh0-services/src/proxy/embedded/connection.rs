//! One client's connection: which version of HTTP it speaks, and the limits it lives under.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::body::Reply;
use super::{Shared, forward};

/// What an HTTP/2 client says first (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;

/// Serves a connection to its end. `stop` lets it finish what it does, and no more.
///
/// Most connections are idle most of the time, so what each holds is kept small: every stage lives in a box of its own
/// and is gone before the next one begins.
pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    door: SocketAddr,
    peer: SocketAddr,
    stop: CancellationToken,
) {
    let limit = shared.options.header_timeout;
    let begun = tokio::select! {
        begun = Box::pin(tokio::time::timeout(limit, begin(stream))) => begun,
        () = stop.cancelled() => return,
    };
    let Ok(Ok(begun)) = begun else { return };
    let answer = Answer { shared, door, peer };
    let work: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>> = match begun.speaks_http2() {
        true => Box::pin(serve_http2(begun, answer, stop)),
        false => Box::pin(serve_http1(begun, answer, stop)),
    };
    if let Err(error) = work.await {
        tracing::debug!(%error, "a client's connection ended early");
    }
}

fn serve_http1(
    begun: Begun,
    answer: Answer,
    stop: CancellationToken,
) -> impl Future<Output = hyper::Result<()>> + Send {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(answer.shared.options.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD + 8 * 1024)
        .serve_connection(TokioIo::new(begun), answer)
        .with_upgrades();
    let mut connection = Box::pin(connection);
    async move {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

fn serve_http2(
    begun: Begun,
    answer: Answer,
    stop: CancellationToken,
) -> impl Future<Output = hyper::Result<()>> + Send {
    let connection = http2::Builder::new(Streams(answer.shared.clone()))
        .timer(TokioTimer::new())
        .max_concurrent_streams(200)
        .max_header_list_size(65_536)
        // Rapid reset (CVE-2023-44487) and its kin (CVE-2025-8671): so many, then the connection ends.
        .max_pending_accept_reset_streams(50)
        .max_local_error_reset_streams(200)
        .max_send_buf_size(256 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(begun), answer);
    let mut connection = Box::pin(connection);
    async move {
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

/// A client that vanished without a word is noticed after about two minutes.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
    sockopt::set_tcp_keepcnt(stream, 4)?;
    // And one that reads nothing of what it asked for, after five (tcp(7), TCP_USER_TIMEOUT).
    sockopt::set_tcp_user_timeout(stream, 300_000)?;
    Ok(())
}

/// Reads until it is clear whether this is HTTP/2. Done here and not by a library: none of them puts a limit on the time
/// before the first byte.
async fn begin(mut stream: TcpStream) -> io::Result<Begun> {
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    let mut first = [0; PREFACE.len()];
    let mut length = 0;
    while length < first.len() && first[..length] == PREFACE[..length] {
        match stream.read(&mut first[length..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => length += count,
        }
    }
    Ok(Begun { first, at: 0, length, stream })
}

/// Answers the requests of one connection.
#[derive(Clone)]
struct Answer {
    shared: Arc<Shared>,
    door: SocketAddr,
    peer: SocketAddr,
}

impl Service<Request<Incoming>> for Answer {
    type Response = Response<Reply>;
    type Error = Infallible;
    // Boxed, so that a connection between two requests holds a pointer and not the room for one.
    type Future = Pin<Box<dyn Future<Output = Result<Response<Reply>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = forward::answer(self.shared.clone(), self.door, self.peer, request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// Runs HTTP/2 streams as tasks that end with the proxy.
#[derive(Clone)]
struct Streams(Arc<Shared>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

/// A connection of which the first bytes were read already.
struct Begun {
    first: [u8; 24],
    at: usize,
    length: usize,
    stream: TcpStream,
}

impl Begun {
    fn speaks_http2(&self) -> bool {
        self.length == PREFACE.len() && self.first == *PREFACE
    }
}

impl AsyncRead for Begun {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.at < self.length {
            let count = (self.length - self.at).min(buffer.remaining());
            buffer.put_slice(&self.first[self.at..self.at + count]);
            self.at += count;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
