//! Streams that end only because somebody ends them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::{Kind, LIMIT, Record, Shared, who};
use crate::Outcome;

/// Between two messages of a websocket.
const TICK: Duration = Duration::from_millis(100);
/// An echo that takes longer is a lost message.
const PATIENCE: Duration = Duration::from_secs(2);
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What is known of a stream while it lasts.
#[derive(Default)]
struct Stream {
    release: Option<Arc<str>>,
    label: Option<Arc<str>>,
    messages: u64,
    close_code: Option<u16>,
    ended_by_us: bool,
}

impl Stream {
    fn note(self, shared: &Shared, kind: Kind, began: Duration, ended: Outcome) -> bool {
        let fault = ended.err().map(|error| error.to_string());
        let good = fault.is_none();
        let Stream { release, label, messages, close_code, ended_by_us } = self;
        let ended = shared.now();
        shared.record(Record { kind, began, ended, release, label, fault, close_code, ended_by_us, messages });
        good
    }

    /// One release answers from the first message to the last.
    fn heard(&mut self, text: &str) -> Outcome {
        let (release, label) = who(text);
        if self.messages > 0 && self.release != release {
            return Err(format!("the stream began with release {:?} and went on with {release:?}", self.release).into());
        }
        (self.release, self.label) = (release, label);
        self.messages += 1;
        Ok(())
    }
}

/// Websockets, one after the other.
pub(super) async fn websocket(shared: &Shared) {
    while !shared.stop.is_cancelled() {
        let began = shared.now();
        let mut stream = Stream::default();
        let ended = talk(shared, &mut stream).await;
        if !stream.note(shared, Kind::WebSocket, began, ended) {
            shared.pause(AFTER_FAILURE).await;
        }
    }
}

/// Sends numbers and gets them back in order, until either side closes.
async fn talk(shared: &Shared, stream: &mut Stream) -> Outcome {
    let tcp = tokio::time::timeout(LIMIT, TcpStream::connect(shared.addr)).await??;
    tcp.set_nodelay(true)?;
    let url = format!("ws://{}/ws", shared.addr);
    let (mut socket, response) = tokio::time::timeout(LIMIT, tokio_tungstenite::client_async(url, tcp)).await??;
    let header = response.headers().get("x-sh0-release").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut tick = tokio::time::interval(TICK);
    let mut waiting: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut next = 0u64;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                if waiting.front().is_some_and(|(_, sent)| sent.elapsed() > PATIENCE) {
                    return Err(format!("message {:?} was not echoed within {PATIENCE:?}", waiting.front()).into());
                }
                // Once the other side has closed, nothing more may be sent; the close itself comes with the next read.
                if socket.send(Message::text(next.to_string())).await.is_ok() {
                    waiting.push_back((next, Instant::now()));
                    next += 1;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    stream.heard(&text)?;
                    if stream.release.as_deref() != header.as_deref() {
                        return Err(format!("the header says release {header:?}, the socket {:?}", stream.release).into());
                    }
                    let expected = waiting.pop_front().map(|(number, _)| format!("echo={number}"));
                    if text.split_whitespace().last().map(str::to_owned) != expected {
                        return Err(format!("expected {expected:?}, got {text}").into());
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    stream.close_code = frame.map(|frame| frame.code.into());
                    let lost = waiting.iter().filter(|(_, sent)| sent.elapsed() > PATIENCE / 4).count();
                    if lost > 0 {
                        return Err(format!("{lost} messages from before the close were not echoed").into());
                    }
                    // Our answer to the close is on its way with this read.
                    drop(tokio::time::timeout(PATIENCE, socket.next()).await);
                    return Ok(());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(format!("broke without a close: {error}").into()),
                None => return Err("ended without a close".into()),
            },
            () = shared.stop.cancelled() => {
                stream.ended_by_us = true;
                drop(tokio::time::timeout(PATIENCE, socket.close(None)).await);
                return Ok(());
            }
        }
    }
}

/// Server-sent events, one stream after the other.
pub(super) async fn events(shared: &Shared) {
    while !shared.stop.is_cancelled() {
        let began = shared.now();
        let mut stream = Stream::default();
        let ended = listen(shared, &mut stream).await;
        if !stream.note(shared, Kind::Events, began, ended) {
            shared.pause(AFTER_FAILURE).await;
        }
    }
}

/// Reads numbered events until the stream ends. A gap, or silence, is a fault; when it ended is for the verdict.
async fn listen(shared: &Shared, stream: &mut Stream) -> Outcome {
    let mut tcp = tokio::time::timeout(LIMIT, TcpStream::connect(shared.addr)).await??;
    let request = format!("GET /sse HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", shared.addr);
    tcp.write_all(request.as_bytes()).await?;
    let mut lines = BufReader::new(tcp).lines();
    let status = tokio::time::timeout(LIMIT, lines.next_line()).await??.unwrap_or_default();
    if !status.contains(" 200 ") {
        return Err(format!("the stream began with {status:?}").into());
    }
    loop {
        let line = tokio::select! {
            line = tokio::time::timeout(PATIENCE, lines.next_line()) => line,
            () = shared.stop.cancelled() => {
                stream.ended_by_us = true;
                return Ok(());
            }
        };
        // Lines of chunk sizes and headers are none of ours: each event is one chunk.
        let text = match line.map_err(|_| "no event for too long")? {
            Ok(Some(line)) => line,
            // Cut, or ended in good order.
            Ok(None) | Err(_) => return Ok(()),
        };
        if let Some(event) = text.strip_prefix("data: ") {
            let expected = format!("n={}", stream.messages);
            stream.heard(event)?;
            if event.split_whitespace().last() != Some(&*expected) {
                return Err(format!("expected {expected}, got {event}").into());
            }
        }
    }
}
