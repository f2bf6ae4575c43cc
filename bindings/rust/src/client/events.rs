//! Streams as server-sent events (WHATWG HTML, section 9.2), resumed by cursor after a broken connection.
//!
//! Each event's data is one item, its id the item's cursor. `event: end` says that the stream is complete, `event: error`
//! carries a problem object. A body that ends without either was cut off: the stream is asked for again with
//! `Last-Event-ID`.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::header::HeaderName;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use sh0_core::ops::OpDef;
use sh0_core::ops::http::Parts;
use sh0_core::{Code, Error, Problem, Result};

use super::{Remote, accept, accept_events, failure};

/// Tries in a row without a new item before a stream is given up: about twenty seconds.
const TRIES: u32 = 9;

/// The server sends at least a comment every 15 seconds; a connection that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(60);

/// An event larger than this is refused.
const EVENT_LIMIT: usize = 16 * 1024 * 1024;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Opens the stream: an error of the first request is the caller's at once.
pub(super) async fn follow(
    remote: Remote,
    op: &'static OpDef,
    parts: Parts,
) -> Result<BoxStream<'static, Result<Value>>> {
    let mut following =
        Following { remote, op, parts, body: None, events: Events::default(), cursor: None, failures: 0 };
    following.connect().await?;
    Ok(stream::unfold(Some(following), |following| async move {
        let mut following = following?;
        match following.next().await {
            Ok(Some(item)) => Some((Ok(item), Some(following))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed())
}

struct Following {
    remote: Remote,
    op: &'static OpDef,
    parts: Parts,
    body: Option<Incoming>,
    events: Events,
    /// `None` before the first item; `Some(None)` after an item that has none.
    cursor: Option<Option<String>>,
    failures: u32,
}

impl Following {
    async fn connect(&mut self) -> Result<()> {
        let mut request = self.remote.op_request(self.op, &self.parts)?;
        accept_events(request.headers_mut());
        if let Some(Some(cursor)) = &self.cursor {
            accept(request.headers_mut(), LAST_EVENT_ID, cursor);
        }
        let response = self.remote.send(request).await?;
        if !response.status().is_success() {
            return Err(failure(response).await);
        }
        self.events = Events::default();
        self.body = Some(response.into_body());
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(event) = self.events.next() {
                return match event.name.as_str() {
                    "end" => Ok(None),
                    "error" => Err(serde_json::from_str::<Problem>(&event.data)?.into()),
                    _ => {
                        self.failures = 0;
                        self.cursor = Some(event.id);
                        Ok(Some(serde_json::from_str(&event.data)?))
                    }
                };
            }
            if !self.read().await? {
                self.resume().await?;
            }
        }
    }

    /// Takes the next piece of the body; `false` when the connection is gone.
    async fn read(&mut self) -> Result<bool> {
        let Some(body) = &mut self.body else { return Ok(false) };
        match tokio::time::timeout(SILENCE, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    self.events.push(&data)?;
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn resume(&mut self) -> Result<()> {
        self.body = None;
        if self.cursor == Some(None) {
            return Err(Error::unavailable("the connection broke, and this stream cannot be resumed: start it again"));
        }
        loop {
            self.failures += 1;
            if self.failures >= TRIES {
                return Err(Error::unavailable(
                    "the connection broke, and the server has not come back: try again later",
                ));
            }
            let pause = Duration::from_millis(100) * 2u32.pow(self.failures.min(6));
            tokio::time::sleep(pause.min(Duration::from_secs(4))).await;
            match self.connect().await {
                Ok(()) => return Ok(()),
                Err(error) if matches!(error.code(), Code::Unavailable | Code::Timeout) => {
                    tracing::debug!(op = self.op.meta.name, %error, failures = self.failures, "will try again");
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct SentEvent {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) data: String,
}

/// Cuts bytes into events. Lines end with LF or CR LF.
#[derive(Default)]
pub(super) struct Events {
    buffer: BytesMut,
    /// Bytes of the buffer that were searched for a line end.
    searched: usize,
    id: Option<String>,
    name: String,
    data: String,
    has_data: bool,
}

impl Events {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + self.data.len() + bytes.len() > EVENT_LIMIT {
            return Err(Error::new(Code::TooLarge, "the server sent an event of more than 16 MiB"));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn next(&mut self) -> Option<SentEvent> {
        loop {
            let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                return None;
            };
            let line = self.buffer.split_to(self.searched + end);
            self.buffer.advance(1);
            self.searched = 0;
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
            if !line.is_empty() {
                self.field(&line);
                continue;
            }
            let event = SentEvent {
                id: self.id.clone(),
                name: std::mem::take(&mut self.name),
                data: std::mem::take(&mut self.data),
            };
            if std::mem::take(&mut self.has_data) {
                return Some(event);
            }
        }
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "event" => self.name = value.to_owned(),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // "" is a comment; `retry` and what is unknown is ignored.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_they_are_cut() {
        let text = ": hello\n\nid: 7\ndata: {\"a\":1}\n\nevent: end\r\ndata:x\r\ndata: y\r\n\r\nid: 9\n\ndata\n\nretry: 5\n\ndata: cut off";
        let event =
            |id: &str, name: &str, data: &str| SentEvent { id: Some(id.into()), name: name.into(), data: data.into() };
        let expected = vec![event("7", "", "{\"a\":1}"), event("7", "end", "x\ny"), event("9", "", "")];
        for size in 1..=text.len() {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for chunk in text.as_bytes().chunks(size) {
                events.push(chunk).expect("small");
                while let Some(event) = events.next() {
                    found.push(event);
                }
            }
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::default();
        let refused = (0..20).find_map(|_| {
            let pushed = events.push(&[b'x'; 1024 * 1024]).err();
            assert!(events.next().is_none());
            pushed
        });
        assert_eq!(refused.map(|error| error.code()), Some(Code::TooLarge));
    }
}
