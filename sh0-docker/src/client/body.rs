//! Bodies that are followed: bytes as they come, and typed JSON values out of them.

use std::{
    io,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future::BoxFuture};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::{
    error::{Error, Result},
    ndjson::NdjsonDecoder,
    transport::Body,
};

/// The bytes of an answer, as they arrive. Dropping it closes the connection, which tells the engine to stop.
pub struct ByteStream {
    state: State,
}

enum State {
    /// The engine has not sent its head yet; see [`ByteStream::follow`].
    Waiting(BoxFuture<'static, Result<Incoming>>),
    Open(Incoming),
    Done,
}

impl ByteStream {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { state: State::Open(body) }
    }

    /// Waits for the head of a followed answer, but no longer than `patience`.
    ///
    /// Podman sends the head of `logs?follow` and `events` together with the first byte, which may be hours away
    /// (containers/podman #23712). So a late head is not an error: the stream is handed out without it, and a
    /// refusal becomes its first item.
    pub(crate) async fn follow(mut head: BoxFuture<'static, Result<Incoming>>, patience: Duration) -> Result<Self> {
        match tokio::time::timeout(patience, &mut head).await {
            Ok(body) => Ok(Self::new(body?)),
            Err(_) => Ok(Self { state: State::Waiting(head) }),
        }
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Waiting(head) => match ready!(head.as_mut().poll(cx)) {
                    Ok(body) => self.state = State::Open(body),
                    Err(error) => {
                        self.state = State::Done;
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Open(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => return Poll::Ready(Some(Ok(data))),
                        // Trailers say nothing in this API.
                        Err(_) => continue,
                    },
                    Some(Err(error)) => {
                        self.state = State::Done;
                        return Poll::Ready(Some(Err(error.into())));
                    }
                    None => self.state = State::Done,
                },
                State::Done => return Poll::Ready(None),
            }
        }
    }
}

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByteStream").finish_non_exhaustive()
    }
}

/// Typed values out of a stream of JSON. Ends after the first error.
pub struct JsonStream<T> {
    bytes: ByteStream,
    decoder: NdjsonDecoder,
    what: &'static str,
    done: bool,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> JsonStream<T> {
    pub(crate) fn new(bytes: ByteStream, what: &'static str) -> Self {
        Self { bytes, decoder: NdjsonDecoder::new(), what, done: false, value: PhantomData }
    }

    fn poll_value(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>>> {
        loop {
            if let Some(value) = self.decoder.next_value()? {
                return Poll::Ready(serde_json::from_slice(&value).map(Some).map_err(Error::json(self.what)));
            }
            match ready!(self.bytes.poll_next_unpin(cx)) {
                Some(chunk) => self.decoder.feed(&chunk?),
                None => {
                    self.decoder.finish()?;
                    return Poll::Ready(Ok(None));
                }
            }
        }
    }
}

impl<T: DeserializeOwned> Stream for JsonStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_value(cx)).transpose();
        self.done = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

impl<T> std::fmt::Debug for JsonStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonStream").field("what", &self.what).finish_non_exhaustive()
    }
}

/// A caller's stream as a request body.
pub(crate) fn upload<S>(stream: S) -> Body
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    StreamBody::new(stream.map(|chunk| chunk.map(Frame::data))).boxed_unsync()
}
