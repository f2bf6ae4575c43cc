//! The wire form of a duplex operation: frames in both directions, each one websocket message.
//!
//! Binary messages carry bytes: the first byte is the channel (0 standard input, 1 standard output, 2 standard error).
//! Text messages carry [`Control`] as JSON. The last message of the server is `exit` or `error`.

use bytes::{BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Problem;
use crate::model::{Exit, LogStream};
use crate::traits::Terminal;

/// What is not bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Control {
    /// Client: standard input has ended.
    Close,
    /// Client: the terminal has a new size.
    Resize(Terminal),
    /// Server: the command has ended.
    Exit(Exit),
    /// Server: it could not be run, or the connection to it broke.
    Error(Problem),
}

/// A binary message for bytes of the server.
pub fn output(stream: LogStream, bytes: &Bytes) -> Bytes {
    framed(if stream == LogStream::Stdout { 1 } else { 2 }, bytes)
}

/// A binary message for bytes of the client.
pub fn input(bytes: &Bytes) -> Bytes {
    framed(0, bytes)
}

/// The channel and the bytes of a binary message; `None` for an empty one.
pub fn split(mut message: Bytes) -> Option<(u8, Bytes)> {
    match message.is_empty() {
        true => None,
        false => Some((message.split_to(1)[0], message)),
    }
}

fn framed(channel: u8, bytes: &Bytes) -> Bytes {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(channel);
    message.put_slice(bytes);
    message.freeze()
}
