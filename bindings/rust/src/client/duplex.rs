//! Duplex operations over a websocket (RFC 6455); the frames are those of [`sh0_core::ops::duplex`].

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderValue, Method, StatusCode};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sh0_core::model::{Exit, LogStream};
use sh0_core::ops::duplex::{Control, input, split};
use sh0_core::ops::http::{INPUT_HEADER, Parts};
use sh0_core::traits::{Session, SessionInput, Terminal};
use sh0_core::{Code, Error, Result};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::{Remote, accept, empty, failure};

/// Bytes of one message; larger writes are cut.
const CHUNK: usize = 64 * 1024;

/// A message larger than this ends the session.
const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Starts the command at the other end.
pub(super) async fn open(remote: &Remote, parts: &Parts) -> Result<Session> {
    let (sink, source) = handshake(remote, parts).await?.split();
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(send(receiver, sink));
    let (exit_sender, exit) = oneshot::channel();
    Ok(Session {
        input: Box::new(Input(sender)),
        output: stream::unfold(Some((source, exit_sender)), read).boxed(),
        exit: exit.map(|exit| exit.unwrap_or_else(|_| Err(broken()))).boxed(),
    })
}

/// RFC 6455 section 4.1, as an ordinary request of the client: an unsuccessful answer is an ordinary problem.
async fn handshake(remote: &Remote, parts: &Parts) -> Result<Socket> {
    let key = generate_key();
    let mut request = remote.request(Method::GET, &parts.uri, empty())?;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    accept(headers, SEC_WEBSOCKET_KEY, &key);
    let input = HeaderValue::try_from(parts.header.as_deref().unwrap_or_default());
    let mut input =
        input.map_err(|error| Error::invalid("input", error.to_string(), "it cannot travel in a header"))?;
    input.set_sensitive(true);
    headers.insert(INPUT_HEADER, input);
    let response = remote.send(request).await?;
    if response.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
        let text = "the command and its variables are too large to be sent; pipe large data to its standard input";
        return Err(Error::new(Code::TooLarge, text));
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(failure(response).await);
    }
    let proof = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if proof != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(Error::unavailable("what answers is not a websocket of a sh0 server: is a cache in between?"));
    }
    let upgraded = hyper::upgrade::on(response)
        .await
        .map_err(|error| Error::unavailable(format!("the connection broke: {error}")).with_source(error))?;
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_LIMIT)).max_frame_size(Some(MESSAGE_LIMIT));
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await)
}

/// Writes what the caller sends; the end of the caller's input is told, and ends this task.
async fn send(mut messages: mpsc::Receiver<Message>, mut sink: SplitSink<Socket, Message>) {
    while let Some(message) = messages.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
    if let Ok(close) = control(&Control::Close) {
        // The command may have ended meanwhile.
        let _ = sink.send(close).await;
    }
}

type Reading = (SplitStream<Socket>, oneshot::Sender<Result<Exit>>);

/// The next bytes of the command; at the end, how it ended goes to the session's `exit`.
async fn read(reading: Option<Reading>) -> Option<(Result<(LogStream, Bytes)>, Option<Reading>)> {
    let (mut source, exit) = reading?;
    let end = loop {
        match source.next().await {
            Some(Ok(Message::Binary(bytes))) => match split(bytes) {
                Some((1, bytes)) => return Some((Ok((LogStream::Stdout, bytes)), Some((source, exit)))),
                Some((2, bytes)) => return Some((Ok((LogStream::Stderr, bytes)), Some((source, exit)))),
                _ => {}
            },
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(Control::Exit(status)) => break Ok(status),
                Ok(Control::Error(problem)) => break Err(Error::from(problem)),
                // Words of a newer server.
                Ok(Control::Close | Control::Resize(_)) | Err(_) => {}
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => break Err(broken()),
        }
    };
    // Nobody may wait for it.
    let _ = exit.send(end);
    None
}

fn broken() -> Error {
    Error::unavailable("the connection broke before the command had ended; the server ends the command")
}

fn control(control: &Control) -> Result<Message> {
    Ok(Message::Text(Utf8Bytes::from(serde_json::to_string(control)?)))
}

/// The writing side. Dropping it ends the command's input.
struct Input(mpsc::Sender<Message>);

impl Input {
    async fn send(&self, message: Message) -> Result<()> {
        self.0.send(message).await.map_err(|_| Error::unavailable("the command does not take input any more"))
    }
}

#[async_trait]
impl SessionInput for Input {
    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let chunk = bytes.split_to(bytes.len().min(CHUNK));
            self.send(Message::Binary(input(&chunk))).await?;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        self.send(control(&Control::Close)?).await
    }

    async fn resize(&mut self, size: Terminal) -> Result<()> {
        self.send(control(&Control::Resize(size))?).await
    }
}
