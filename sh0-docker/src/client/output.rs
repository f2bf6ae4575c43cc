//! What containers and execs write: one stream type for logs, attach and exec.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};

use super::{
    error::Result,
    frames::{Frame, FrameDecoder, Source},
};

/// The output of a process, as [`Frame`]s.
///
/// With a TTY the engine sends raw bytes: each frame is what one read gave, from [`Source::Console`], and nothing is
/// held back until a newline comes. Without one, frames are decoded and say whether they are standard output or error.
/// Which of both it is must be known beforehand: it cannot be told from the bytes, and before API 1.42 not from the
/// headers either.
pub struct OutputStream {
    bytes: BoxStream<'static, Result<Bytes>>,
    /// `None` for a TTY.
    decoder: Option<FrameDecoder>,
    done: bool,
}

impl OutputStream {
    pub(crate) fn new(bytes: impl Stream<Item = Result<Bytes>> + Send + 'static, tty: bool) -> Self {
        Self { bytes: bytes.boxed(), decoder: (!tty).then(FrameDecoder::new), done: false }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>>> {
        loop {
            if let Some(decoder) = &mut self.decoder
                && let Some(frame) = decoder.next_frame()?
            {
                return Poll::Ready(Ok(Some(frame)));
            }
            match (ready!(self.bytes.poll_next_unpin(cx)).transpose()?, &mut self.decoder) {
                (Some(chunk), Some(decoder)) => decoder.feed(chunk),
                (Some(chunk), None) if chunk.is_empty() => {}
                (Some(bytes), None) => return Poll::Ready(Ok(Some(Frame { source: Source::Console, bytes }))),
                (None, Some(decoder)) => {
                    decoder.finish()?;
                    return Poll::Ready(Ok(None));
                }
                (None, None) => return Poll::Ready(Ok(None)),
            }
        }
    }
}

/// Ends after the first error.
impl Stream for OutputStream {
    type Item = Result<Frame>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_frame(cx)).transpose();
        self.done = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

impl std::fmt::Debug for OutputStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutputStream").field("tty", &self.decoder.is_none()).finish_non_exhaustive()
    }
}
