//! Websockets: the frames are those of [`sh0::ops::duplex`].

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::{BoxStream, SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use sh0::model::LogStream;
use sh0::ops::duplex::{Control, output, split};
use sh0::traits::{Session, SessionInput};
use sh0::{Error, Result};
use tokio_util::sync::CancellationToken;

use crate::guard::RequestId;

/// A message larger than this ends the session.
pub(crate) const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// Finds out about clients that are gone without a word.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Carries bytes both ways until the command has ended. When the client goes first, dropping the session ends it.
pub(crate) async fn converse(socket: WebSocket, session: Session, closing: CancellationToken, id: RequestId) {
    let (mut sink, source) = socket.split();
    let end = tokio::select! {
        () = receive(source, session.input) => return,
        sent = send(&mut sink, session.output) => match sent {
            Ok(()) => session.exit.await.map(Control::Exit),
            Err(error) => Err(error),
        },
        () = closing.cancelled() => Err(Error::unavailable("the server ends: the command was ended with it")),
    };
    let end = end.unwrap_or_else(|error| Control::Error(error.problem(&*id.0)));
    let text = serde_json::to_string(&end).unwrap_or_default();
    // The client may have gone meanwhile.
    let _ = sink.send(Message::Text(text.into())).await;
    let _ = sink.close().await;
}

/// From the client to the command. Ends when the client is gone.
async fn receive(mut source: SplitStream<WebSocket>, mut input: Box<dyn SessionInput>) {
    while let Some(Ok(message)) = source.next().await {
        let done = match message {
            Message::Binary(bytes) => match split(bytes) {
                Some((0, bytes)) => input.write(bytes).await,
                _ => Ok(()),
            },
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(Control::Close) => input.close().await,
                Ok(Control::Resize(size)) => input.resize(size).await,
                _ => Ok(()),
            },
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => return,
        };
        if let Err(error) = done {
            // It has closed its input, or has ended: its output says how.
            tracing::debug!(%error, "a command takes no more input");
        }
    }
}

type Output = BoxStream<'static, Result<(LogStream, Bytes)>>;

/// From the command to the client, until its output ends.
async fn send(sink: &mut SplitSink<WebSocket, Message>, mut printed: Output) -> Result<()> {
    loop {
        let message = match tokio::time::timeout(PING_EVERY, printed.next()).await {
            Ok(Some(piece)) => {
                let (stream, bytes) = piece?;
                Message::Binary(output(stream, &bytes))
            }
            Ok(None) => return Ok(()),
            Err(_) => Message::Ping(Bytes::new()),
        };
        sink.send(message).await.map_err(|error| Error::unavailable(format!("the client is gone: {error}")))?;
    }
}
