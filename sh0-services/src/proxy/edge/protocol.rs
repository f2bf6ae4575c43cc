//! The words between control plane and edge: a length (32 bits, big endian), then JSON. One answer for each request.

use std::collections::BTreeSet;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sh0_core::model::Millis;
use sh0_core::traits::{ProxyStatus, RouteTable};
use sh0_core::{LocalKey, Problem};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Both sides must be of the same version: the edge is replaced when they are not.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// 5,000 routes are about 2 MB.
const MAX_MESSAGE: usize = 256 * 1024 * 1024;
/// The first message, of somebody who may be anybody.
const MAX_FIRST: usize = 1024;

/// What the control plane wants.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request<T> {
    /// The first word on a connection: the sender can read the file beside the socket.
    Key(LocalKey),
    /// Who are you?
    Ping,
    /// Replace the table.
    Apply(T),
    /// What goes on?
    Status,
    /// A free port.
    FindPort { preferred: Option<u16>, taken: BTreeSet<u16> },
    /// Let go of the listeners, finish what goes on for at most `grace`, and end.
    Stop { grace: Millis },
}

/// What the edge receives.
pub(super) type Received = Request<RouteTable>;
/// What the control plane sends: it keeps its table.
pub(super) type Sent<'a> = Request<&'a RouteTable>;

/// What the edge says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Pong(Pong),
    Done,
    Status(ProxyStatus),
    Port(u16),
    Refused(Problem),
}

/// Who an edge is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pong {
    pub(super) version: String,
    pub(super) pid: u32,
    /// Of the table in force.
    pub(super) generation: u64,
}

/// Writes one message.
pub(super) async fn send<T: Serialize>(stream: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    // One write: length and text together.
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - 4;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_MESSAGE).ok_or_else(too_long)?;
    bytes[..4].copy_from_slice(&prefix.to_be_bytes());
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Reads one message; `None` where the other side ended between two.
pub(super) async fn receive<T: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    receive_at_most(stream, MAX_MESSAGE).await
}

/// Whether the other side begins with this key.
pub(super) async fn shows(stream: &mut (impl AsyncRead + Unpin), key: &LocalKey) -> bool {
    let first = receive_at_most::<Received>(stream, MAX_FIRST).await;
    matches!(first, Ok(Some(Request::Key(shown))) if key.is(shown.expose()))
}

async fn receive_at_most<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> io::Result<Option<T>> {
    let mut prefix = [0; 4];
    if let Err(error) = stream.read_exact(&mut prefix).await {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let length = u64::from(u32::from_be_bytes(prefix));
    if length > limit as u64 {
        return Err(too_long());
    }
    // Grows with what arrives, not with what was announced.
    let mut bytes = Vec::new();
    stream.take(length).read_to_end(&mut bytes).await?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message between control plane and edge is too long")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn messages_arrive_as_they_were_sent() {
        let (mut a, mut b) = tokio::io::duplex(64);
        let status = ProxyStatus {
            generation: 7,
            in_flight: [("sh0-a".parse().unwrap(), 2)].into(),
            failed_listeners: [("[::1]:80".parse().unwrap(), "no".to_owned())].into(),
            requests: [("00000000000000000000000001".parse().unwrap(), 9)].into(),
        };
        let message = Answer::Status(status.clone());
        let (sent, got) = tokio::join!(send(&mut a, &message), receive::<Answer>(&mut b));
        sent.unwrap();
        assert!(matches!(got.unwrap(), Some(Answer::Status(found)) if found == status));
        drop(a);
        assert!(receive::<Answer>(&mut b).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_too_long_or_not_json_is_an_error() {
        assert!(receive::<Answer>(&mut &[0xff, 0xff, 0xff, 0xff, b'{'][..]).await.is_err());
        assert!(receive::<Answer>(&mut &[0, 0, 0, 2, b'{', b'{'][..]).await.is_err());
        assert!(receive::<Answer>(&mut &[0, 0, 0, 9, b'"'][..]).await.is_err());
    }
}
