//! Upgraded connections: attach, exec and the sessions of builds take over the socket (API: `POST
//! /containers/{id}/attach`, "Hijacking").
//!
//! The engine answers 101, or 200 when something on the way dropped the upgrade header; in both cases the socket is
//! raw from there on. An HTTP client gives the socket back only after a 101, so the request is written here by hand.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, future, stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_util::io::ReaderStream;

use super::{
    error::{Error, Result},
    output::OutputStream,
    request::Call,
    transport::{HOST, Transport, USER_AGENT, target, timed},
};

/// Longest response head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Longest error body, in bytes.
const MAX_ERROR: u64 = 64 * 1024;
const READ_SIZE: usize = 32 * 1024;

/// A conversation with a process: its input and its output, which can be used and ended independently.
#[derive(Debug)]
pub struct Session {
    /// The process's standard input.
    pub input: Input,
    /// The process's output.
    pub output: OutputStream,
}

/// The writing half of a [`Session`].
///
/// `shutdown` closes the process's standard input while its output goes on; dropping does the same. To keep the input
/// of a process open, keep this value.
#[derive(Debug)]
pub struct Input {
    half: OwnedWriteHalf,
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.half).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_shutdown(cx)
    }
}

impl Transport {
    /// Sends `call` on a socket of its own and takes the socket over.
    pub(crate) async fn hijack(&self, call: &Call, tty: bool) -> Result<Session> {
        let (stream, rest) = timed(call.name(), self.options.answer_within, self.upgrade(call, "tcp")).await?;
        let (read, half) = stream.into_split();
        // Output may have come in the same read as the head.
        let first = stream::iter((!rest.is_empty()).then(|| Ok(rest)));
        let output = OutputStream::new(first.chain(socket_bytes(read)), tty);
        Ok(Session { input: Input { half }, output })
    }

    /// The socket, with what came behind the engine's answer.
    pub(super) async fn upgrade(&self, call: &Call, protocol: &str) -> Result<(UnixStream, Bytes)> {
        let engine = self.engine().await?;
        let mut stream = self.dial().await?;
        let mut request = format!(
            "{} {} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {USER_AGENT}\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nContent-Length: {}\r\n",
            call.method,
            target(call, &engine),
            call.body.len(),
        )
        .into_bytes();
        for (name, value) in &call.headers {
            request.extend_from_slice(name.as_str().as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(&call.body);
        stream.write_all(&request).await.map_err(|source| Error::Broken { source })?;

        let (head, rest) = read_head(&mut stream).await?;
        match head.status {
            101 => Ok((stream, rest)),
            200 if !head.chunked => Ok((stream, rest)),
            200 => Err(Error::head("the engine did not hand over the connection, its answer is chunked")),
            status => Err(refusal(status, &head, rest, &mut stream).await),
        }
    }
}

/// What follows on a raw socket.
fn socket_bytes(read: OwnedReadHalf) -> impl Stream<Item = Result<Bytes>> + Send {
    ReaderStream::with_capacity(read, READ_SIZE).filter_map(|chunk| {
        future::ready(match chunk {
            Ok(chunk) => Some(Ok(chunk)),
            // The engine closed the socket while input of ours was still unread, as when a process ends without
            // reading it all: the kernel reports that as a reset. All output was delivered before, and a frame cut
            // by it is noticed by the decoder.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(source) => Some(Err(Error::Broken { source })),
        })
    })
}

#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    chunked: bool,
    length: Option<u64>,
}

/// Reads one response head; returns it with the bytes that came after it. Interim answers (100) are skipped.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<(Head, Bytes)> {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        if let Some((head, used)) = parse_head(&buffer)? {
            let _ = buffer.split_to(used);
            if head.status >= 200 || head.status == 101 {
                return Ok((head, buffer.freeze()));
            }
            continue;
        }
        if buffer.len() > MAX_HEAD {
            return Err(Error::head("the head of the answer is too long"));
        }
        let count = stream.read_buf(&mut buffer).await.map_err(|source| Error::Broken { source })?;
        if count == 0 {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the answer was complete");
            return Err(Error::Broken { source });
        }
    }
}

fn parse_head(buffer: &[u8]) -> Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let used = match response.parse(buffer) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Error::head(format!("the answer is not HTTP: {error}"))),
    };
    let value = |name: &str| {
        let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let head = Head {
        status: response.code.unwrap_or_default(),
        chunked: value("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")),
        length: value("content-length").and_then(|value| value.trim().parse().ok()),
    };
    Ok(Some((head, used)))
}

/// Reads the body of a refusal. A chunked one keeps its chunk sizes, so the JSON is cut out of it.
async fn refusal(status: u16, head: &Head, rest: Bytes, stream: &mut UnixStream) -> Error {
    let length = match head.length {
        Some(length) => length.min(MAX_ERROR),
        None => MAX_ERROR,
    };
    let mut body = rest.to_vec();
    let missing = length.saturating_sub(body.len() as u64);
    // What was read until an error is still the best text there is. A chunked body ends with an empty chunk, not
    // with the connection.
    if head.chunked {
        while !body.ends_with(b"0\r\n\r\n") && (body.len() as u64) < MAX_ERROR {
            match stream.read_buf(&mut body).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    } else {
        let _ = stream.take(missing).read_to_end(&mut body).await;
    }
    let json = body.iter().position(|byte| *byte == b'{').zip(body.iter().rposition(|byte| *byte == b'}'));
    match json {
        Some((start, end)) if head.chunked && start < end => Error::from_status(status, &body[start..=end]),
        _ => Error::from_status(status, &body),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_head_may_come_byte_by_byte_and_bring_output_along() {
        let text =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhi";
        for size in [1, 2, 7, text.len()] {
            let mut stream = slow_reader(text, size);
            let (head, rest) = read_head(&mut stream).await.unwrap();
            assert_eq!(head.status, 101);
            let mut all = rest.to_vec();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"hi");
        }
    }

    #[tokio::test]
    async fn a_cut_or_foreign_head_is_an_error() {
        for text in [&b"HTTP/1.1 101 UP"[..], b"", b"SSH-2.0-OpenSSH\r\n\r\n"] {
            assert!(read_head(&mut slow_reader(text, 5)).await.is_err());
        }
        let endless = vec![b'a'; 3 * MAX_HEAD];
        let mut text = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
        text.extend(endless);
        assert!(read_head(&mut slow_reader(&text, 4096)).await.is_err());
    }

    /// A reader that gives `size` bytes at a time.
    fn slow_reader(text: &[u8], size: usize) -> impl AsyncRead + Unpin {
        let chunks: Vec<_> = text.chunks(size).map(|chunk| Ok::<_, io::Error>(Bytes::copy_from_slice(chunk))).collect();
        tokio_util::io::StreamReader::new(stream::iter(chunks))
    }
}
