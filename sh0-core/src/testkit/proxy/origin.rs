//! An instance for proxies to reach: a server of a few raw behaviours, chosen by the path.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::wire::{self, ok};

/// Answers with its own word. `/hold...` waits for [`Origin::release`], `/stream...` sends a first chunk before it
/// waits, `/echo...` answers with the body it got, `/ws...` is a websocket that sends bytes back as they came.
pub(super) struct Origin {
    pub(super) addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    gate: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Origin {
    pub(super) async fn start(word: &str) -> Origin {
        let listener = ok(TcpListener::bind("127.0.0.1:0").await);
        let addr = ok(listener.local_addr());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (gate, opened) = watch::channel(false);
        let (word, seen) = (word.to_owned(), heads.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, word.clone(), seen.clone(), opened.clone()));
            }
        });
        Origin { addr, heads, gate, task }
    }

    /// The heads of all requests that came here.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets go what is held.
    pub(super) fn release(&self) {
        self.gate.send_replace(true);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    word: String,
    heads: Arc<Mutex<Vec<String>>>,
    mut gate: watch::Receiver<bool>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let head = wire::head(&mut stream).await.ok().flatten()?;
        heads.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
        let body = wire::body(&mut stream, &head).await.ok()?;
        let path = head.split(' ').nth(1).unwrap_or_default();
        if path.starts_with("/ws") {
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.ok()?;
            return echo(stream).await;
        }
        if path.starts_with("/hold") {
            gate.wait_for(|open| *open).await.ok()?;
        }
        if path.starts_with("/stream") {
            let begin = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n";
            stream.write_all(begin.as_bytes()).await.ok()?;
            gate.wait_for(|open| *open).await.ok()?;
            stream.write_all(b"5\r\nended\r\n0\r\n\r\n").await.ok()?;
            continue;
        }
        let body = if path.starts_with("/echo") { body } else { word.clone().into_bytes() };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Sh0-Release: forged\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).await.ok()?;
    }
}

async fn echo(mut stream: BufReader<TcpStream>) -> Option<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 {
            return None;
        }
        stream.write_all(&buffer[..count]).await.ok()?;
    }
}
