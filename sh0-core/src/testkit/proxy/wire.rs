//! HTTP as bytes: just enough to ask a proxy and to read what it says, without a library that would be kind to it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// No proxy needs longer for one step; a hang is a failure, not a stuck test run.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A response, read whole.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Response {
    /// The value of a header that is there once.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim());
        let value = values.next();
        assert!(values.next().is_none(), "the header {name} is there more than once:\n{}", self.head);
        value
    }
}

/// A client's connection.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(super) async fn connect(addr: SocketAddr) -> Client {
        Client { stream: BufReader::new(ok(soon(TcpStream::connect(addr)).await)) }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        ok(soon(self.stream.write_all(bytes)).await);
    }

    /// The next bytes, as many as `buffer` takes.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        soon(self.stream.read_exact(buffer)).await.map(drop)
    }

    /// Everything until the end of the connection.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends a connection as well.
        let _ = soon(self.stream.read_to_end(&mut rest)).await;
        rest
    }

    /// The next head.
    pub(super) async fn head(&mut self) -> io::Result<String> {
        soon(head(&mut self.stream)).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The next response, whole.
    pub(super) async fn response(&mut self) -> io::Result<Response> {
        let head = self.head().await?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let body = soon(body(&mut self.stream, &head)).await?;
        Ok(Response { status, head, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// One request and its response; the connection stays.
    pub(super) async fn get(&mut self, host: &str, path: &str) -> Response {
        self.send(request(host, path).as_bytes()).await;
        ok(self.response().await)
    }
}

/// A request without a body.
pub(super) fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// One request on a connection of its own.
pub(super) async fn get(addr: SocketAddr, host: &str, path: &str) -> Response {
    Client::connect(addr).await.get(host, path).await
}

/// Reads a head, its empty line included; `None` where the connection ended before.
pub(super) async fn head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut head = String::new();
    loop {
        match stream.read_line(&mut head).await? {
            0 if head.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if head.ends_with("\r\n\r\n") => return Ok(Some(head)),
            _ => {}
        }
    }
}

/// Reads the body that a head announces.
pub(super) async fn body(stream: &mut BufReader<TcpStream>, head: &str) -> io::Result<Vec<u8>> {
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if lower.contains("transfer-encoding: chunked") {
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let begin = body.len();
            body.resize(begin + size + 2, 0);
            stream.read_exact(&mut body[begin..]).await?;
            body.truncate(begin + size);
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    body.resize(length.unwrap_or(0), 0);
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Waits, but not for ever.
#[track_caller]
pub(super) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("this takes longer than {} s ({caller})", PATIENCE.as_secs()),
        }
    }
}

#[track_caller]
pub(super) fn ok<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("this should succeed: {error:?}"),
    }
}
