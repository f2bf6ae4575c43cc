//! A scripted engine on a Unix socket: answers byte for byte what a test tells it to.

#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::{Client, ClientOptions, Endpoint};

/// What the engine does next on a connection. After the last step it closes the connection.
pub(super) enum Step {
    /// Reads a request and answers it as a ping with this API version.
    Ping(&'static str),
    /// Reads a request: head, and body by its length.
    Read,
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Reads what comes until the client closes its side.
    ReadToEnd,
    /// Keeps the connection for a while.
    Pause(Duration),
    /// Keeps the connection until the client closes it.
    Hold,
}

pub(super) struct Fake {
    _dir: tempfile::TempDir,
    pub(super) client: Client,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// An engine that accepts as many connections as there are scripts.
    pub(super) fn new(scripts: Vec<Vec<Step>>) -> Self {
        Self::with_options(scripts, ClientOptions::default())
    }

    pub(super) fn with_options(scripts: Vec<Vec<Step>>, options: ClientOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            for script in scripts {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(play(stream, script, Arc::clone(&log)));
            }
        });
        Self { _dir: dir, client: Client::new(Endpoint::unix(path), options), requests }
    }

    /// One connection that was pinged, then reads a request and sends `answer`.
    pub(super) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        Self::new(vec![vec![Step::Ping("1.41"), Step::Read, Step::Send(answer.into())]])
    }

    /// Everything that was received, request by request.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// First lines of the requests.
    pub(super) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

async fn play(mut stream: UnixStream, script: Vec<Step>, log: Arc<Mutex<Vec<String>>>) {
    for step in script {
        match step {
            Step::Ping(version) => {
                let Some(request) = read_request(&mut stream).await else { return };
                log.lock().unwrap().push(request);
                let answer = format!("HTTP/1.1 200 OK\r\nApi-Version: {version}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Step::Read => {
                let Some(request) = read_request(&mut stream).await else { return };
                log.lock().unwrap().push(request);
            }
            Step::Send(bytes) => {
                // The client may have closed already; that is then what the test is about.
                let _ = stream.write_all(&bytes).await;
            }
            Step::ReadToEnd => {
                let mut text = Vec::new();
                let _ = stream.read_to_end(&mut text).await;
                log.lock().unwrap().push(String::from_utf8_lossy(&text).into_owned());
            }
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Hold => {
                let _ = stream.read(&mut [0]).await;
            }
        }
    }
}

async fn read_request(stream: &mut UnixStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
        if text.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(text).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// A whole answer with a length.
pub(super) fn answer(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

pub(super) fn json(body: &str) -> Vec<u8> {
    answer("200 OK", "application/json", body)
}

/// A chunked answer of these chunks, with its end.
pub(super) fn chunked(chunks: &[&[u8]]) -> Vec<u8> {
    let mut out = cut_chunked(chunks);
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// A chunked answer that never ends.
pub(super) fn cut_chunked(chunks: &[&[u8]]) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in chunks {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out
}
