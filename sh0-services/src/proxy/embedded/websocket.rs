//! A websocket on its way through: bytes in both directions, and at the drain deadline a proper end.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use super::frames::{self, Frames};
use super::instance::Claim;

/// How long a frame that is on its way at the deadline may take to end, and a peer to answer the close.
const GRACE: Duration = Duration::from_secs(3);
/// How long one direction may go on after the other ended.
const LINGER: Duration = Duration::from_secs(10);
const BUFFER: usize = 8 * 1024;

/// Joins both sides once they are upgraded. Ends when the websocket does; the instance counts it until then.
pub(super) async fn join(client: OnUpgrade, instance: OnUpgrade, claim: &Claim) {
    let upgraded = tokio::time::timeout(LINGER, futures_util::future::try_join(client, instance)).await;
    match upgraded {
        Ok(Ok((client, instance))) => carry(client, instance, &claim.cut).await,
        Ok(Err(error)) => tracing::debug!(%error, "a websocket ended before it began"),
        Err(_) => tracing::debug!("a websocket was never opened by its client"),
    }
}

async fn carry(client: Upgraded, instance: Upgraded, cut: &CancellationToken) {
    let (client_read, client_write) = tokio::io::split(TokioIo::new(client));
    let (instance_read, instance_write) = tokio::io::split(TokioIo::new(instance));
    let mut up = Direction {
        from: client_read,
        to: instance_write,
        frames: Frames::default(),
        rest: Vec::new(),
        writing: false,
    };
    let mut down = Direction {
        from: instance_read,
        to: client_write,
        frames: Frames::default(),
        rest: Vec::new(),
        writing: false,
    };

    let ended = CancellationToken::new();
    let both = async { tokio::join!(up.run(cut, &ended), down.run(cut, &ended)) };
    let too_late = async {
        cut.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let finished = tokio::select! {
        ends = both => ends,
        () = too_late => (End::Cut, End::Cut),
    };
    if matches!(finished, (End::Cut, _) | (_, End::Cut)) {
        let (to_client, to_instance) = (frames::going_away(), frames::going_away_masked(mask()));
        let farewell = async {
            tokio::join!(down.say(&to_client), up.say(&to_instance));
            tokio::join!(up.until_closed(), down.until_closed());
        };
        if tokio::time::timeout(GRACE, farewell).await.is_err() {
            tracing::debug!("a websocket did not answer its close");
        }
    }
}

/// Why a direction stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The sender ended it, or a side broke.
    Over,
    /// The deadline came; it stopped between two frames.
    Cut,
}

struct Direction {
    from: ReadHalf<TokioIo<Upgraded>>,
    to: WriteHalf<TokioIo<Upgraded>>,
    frames: Frames,
    /// Read at the deadline and not passed on.
    rest: Vec<u8>,
    /// A part of a frame may be out: a write was given up.
    writing: bool,
}

impl Direction {
    async fn run(&mut self, cut: &CancellationToken, ended: &CancellationToken) -> End {
        let linger = async {
            ended.cancelled().await;
            tokio::time::sleep(LINGER).await;
        };
        let end = tokio::select! {
            end = self.pass(cut) => end.unwrap_or(End::Over),
            () = linger => End::Over,
        };
        if end == End::Over {
            let _ = self.to.shutdown().await;
            ended.cancel();
        }
        end
    }

    /// Passes bytes on; after the cut, only to the end of the frame that is on its way.
    async fn pass(&mut self, cut: &CancellationToken) -> std::io::Result<End> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = tokio::select! {
                biased;
                () = cut.cancelled(), if self.frames.at_boundary() => return Ok(End::Cut),
                count = self.from.read(&mut buffer) => count?,
            };
            if count == 0 {
                return Ok(End::Over);
            }
            let mut bytes = &buffer[..count];
            if cut.is_cancelled() {
                let (last, rest) = bytes.split_at(self.frames.finish_frame(bytes));
                self.rest.extend_from_slice(rest);
                bytes = last;
            } else {
                self.frames.follow(bytes);
            }
            self.writing = true;
            self.to.write_all(bytes).await?;
            self.to.flush().await?;
            self.writing = false;
        }
    }

    /// Says the last word in this direction, if it may.
    async fn say(&mut self, close: &[u8]) {
        let may = !self.writing && self.frames.at_boundary() && !self.frames.closed();
        if may && self.to.write_all(close).await.is_ok() {
            let _ = self.to.flush().await;
        }
    }

    /// Reads on until the sender closes. A socket closed with unread bytes sends a reset, which may destroy the close
    /// frame on its way.
    async fn until_closed(&mut self) {
        let mut buffer = [0; 1024];
        self.frames.follow(&std::mem::take(&mut self.rest));
        while !self.frames.closed() {
            match self.from.read(&mut buffer).await {
                Ok(count @ 1..) => self.frames.follow(&buffer[..count]),
                _ => return,
            }
        }
    }
}

/// Four bytes that nobody outside can foresee (RFC 6455 section 5.3).
fn mask() -> [u8; 4] {
    let [a, b, c, d, ..] = RandomState::new().hash_one(0u8).to_be_bytes();
    [a, b, c, d]
}
