//! The multiplexed output stream of logs, attach and exec without a TTY, decoded without I/O.
//!
//! Each frame is an 8-byte header and a payload (API: `POST /containers/{id}/attach`, "Stream format"): one byte for
//! the source, three zero bytes, the length as a big-endian `u32`. Frames do not align with HTTP chunks or reads.

use bytes::{Buf, Bytes, BytesMut};

const HEADER: usize = 8;

/// Where a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The container's standard input, echoed by the engine.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A terminal: both outputs in one, with no framing.
    Console,
}

/// One frame: what a process wrote in one go, or, in logs, one line or a 16 KiB part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Where the bytes came from.
    pub source: Source,
    /// The payload, possibly empty.
    pub bytes: Bytes,
}

/// Why a multiplexed stream cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The stream ended inside a frame: output is missing.
    #[error("the output stream was cut: {missing} more bytes were announced")]
    Truncated {
        /// Bytes still missing, at least.
        missing: usize,
    },
    /// The engine reported a failure of its own in the stream (source 3) and ended it.
    #[error("the engine failed while sending output: {0}")]
    Engine(String),
    /// The header is not one: the stream has a TTY, or the reader is out of step.
    #[error("not a frame header: {0:02x?}")]
    BadHeader([u8; HEADER]),
    /// The frame is longer than the limit.
    #[error("a frame of {length} bytes is longer than the limit of {limit}")]
    TooLarge {
        /// Announced length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

/// Turns bytes, split anywhere, into whole [`Frame`]s.
///
/// A frame that lies within one chunk is a slice of that chunk; only a frame that spans chunks is copied.
///
/// ```
/// use sh0_docker::client::frames::{FrameDecoder, Source};
///
/// let mut decoder = FrameDecoder::new();
/// decoder.feed(bytes::Bytes::from_static(b"\x01\0\0\0\0\0\0\x03hi\n"));
/// let frame = decoder.next_frame()?.expect("one frame");
/// assert_eq!((frame.source, &frame.bytes[..]), (Source::Stdout, &b"hi\n"[..]));
/// assert!(decoder.next_frame()?.is_none());
/// decoder.finish()?;
/// # Ok::<(), sh0_docker::client::frames::FrameError>(())
/// ```
#[derive(Debug)]
pub struct FrameDecoder {
    /// Bytes of an unfinished frame, header included; empty while `chunk` starts at a frame boundary.
    partial: BytesMut,
    chunk: Bytes,
    limit: usize,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// Longest frame accepted by [`FrameDecoder::new`], in bytes. Engines send at most some 32 KiB.
    pub const DEFAULT_LIMIT: usize = 16 * 1024 * 1024;

    /// A decoder with [`DEFAULT_LIMIT`](Self::DEFAULT_LIMIT).
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(Self::DEFAULT_LIMIT)
    }

    /// A decoder that refuses frames whose payload is longer than `limit` bytes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Self { partial: BytesMut::new(), chunk: Bytes::new(), limit, failed: None }
    }

    /// Takes the next bytes of the stream. Call [`next_frame`](Self::next_frame) until it returns `None` before
    /// feeding more; otherwise the rest is copied.
    pub fn feed(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
            joined.extend_from_slice(&self.chunk);
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// The next whole frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// Any [`FrameError`] but `Truncated`. The error is final: it is returned again by every later call.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = self.step();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// Checks that the stream ended between two frames.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] when it did not, or the error that ended decoding before.
    pub fn finish(&self) -> Result<(), FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let have = self.partial.len() + self.chunk.len();
        if have == 0 {
            return Ok(());
        }
        let head: Vec<u8> = self.partial.iter().chain(self.chunk.iter()).take(HEADER).copied().collect();
        let whole = match <[u8; HEADER]>::try_from(head) {
            Ok(head) => HEADER.saturating_add(length_of(&head)),
            Err(_) => HEADER,
        };
        Err(FrameError::Truncated { missing: whole.saturating_sub(have) })
    }

    fn step(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.partial.is_empty() {
            // The common case: look at the chunk in place.
            let Some(head) = self.chunk.first_chunk::<HEADER>() else {
                self.keep(self.chunk.len());
                return Ok(None);
            };
            let (kind, length) = self.parse(*head)?;
            if self.chunk.len() - HEADER < length {
                self.keep(self.chunk.len());
                return Ok(None);
            }
            self.chunk.advance(HEADER);
            let payload = self.chunk.split_to(length);
            return frame(kind, payload).map(Some);
        }
        self.keep(HEADER.saturating_sub(self.partial.len()));
        let Some(head) = self.partial.first_chunk::<HEADER>() else { return Ok(None) };
        let (kind, length) = self.parse(*head)?;
        self.keep(HEADER + length - self.partial.len());
        if self.partial.len() < HEADER + length {
            return Ok(None);
        }
        self.partial.advance(HEADER);
        frame(kind, self.partial.split().freeze()).map(Some)
    }

    /// Moves up to `count` bytes from the chunk to the unfinished frame. Memory grows with what arrived, not with
    /// what a header announced.
    fn keep(&mut self, count: usize) {
        let count = count.min(self.chunk.len());
        self.partial.extend_from_slice(&self.chunk.split_to(count));
    }

    fn parse(&self, head: [u8; HEADER]) -> Result<(u8, usize), FrameError> {
        let [kind, 0, 0, 0, ..] = head else { return Err(FrameError::BadHeader(head)) };
        if kind > 3 {
            return Err(FrameError::BadHeader(head));
        }
        let length = length_of(&head);
        if length > self.limit {
            return Err(FrameError::TooLarge { length, limit: self.limit });
        }
        Ok((kind, length))
    }
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self::new()
    }
}

fn length_of(head: &[u8; HEADER]) -> usize {
    let [.., a, b, c, d] = *head;
    u32::from_be_bytes([a, b, c, d]) as usize
}

fn frame(kind: u8, bytes: Bytes) -> Result<Frame, FrameError> {
    let source = match kind {
        0 => Source::Stdin,
        1 => Source::Stdout,
        2 => Source::Stderr,
        _ => return Err(FrameError::Engine(String::from_utf8_lossy(&bytes).trim().to_owned())),
    };
    Ok(Frame { source, bytes })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::fuzz::{self, cut};
    use super::*;
    use proptest::prelude::*;

    fn wire(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 0, 0, 0];
        out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        out.extend_from_slice(payload);
        out
    }

    fn decode(chunks: &[&[u8]]) -> (Vec<Frame>, Result<(), FrameError>) {
        fuzz::frames(chunks.iter().copied(), 1 << 20)
    }

    #[test]
    fn a_frame_inside_one_chunk_is_not_copied() {
        let chunk = Bytes::from(wire(1, b"hello"));
        let mut decoder = FrameDecoder::new();
        decoder.feed(chunk.clone());
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.bytes.as_ptr(), chunk.slice(8..).as_ptr());
    }

    #[test]
    fn an_empty_frame_is_a_frame() {
        let (frames, end) = decode(&[&wire(2, b""), &wire(1, b"x")]);
        assert_eq!(frames.len(), 2);
        assert!(frames[0].bytes.is_empty());
        assert_eq!(end, Ok(()));
    }

    #[test]
    fn the_end_inside_header_or_payload_is_truncation() {
        let whole = wire(1, b"hello");
        for cut in 1..whole.len() {
            let (frames, end) = decode(&[&whole[..cut]]);
            assert!(frames.is_empty());
            assert!(matches!(end, Err(FrameError::Truncated { missing }) if missing > 0), "cut at {cut}");
        }
    }

    #[test]
    fn the_engines_own_error_ends_the_stream() {
        let (frames, end) = decode(&[&wire(1, b"ok"), &wire(3, b"error grabbing logs\n"), &wire(1, b"never")]);
        assert_eq!(frames.len(), 1);
        assert_eq!(end, Err(FrameError::Engine("error grabbing logs".into())));
    }

    #[test]
    fn errors_are_final() {
        let mut decoder = FrameDecoder::new();
        decoder.feed(Bytes::from_static(b"\x1b[0mhello world"));
        let first = decoder.next_frame().unwrap_err();
        decoder.feed(Bytes::from(wire(1, b"x")));
        assert_eq!(decoder.next_frame().unwrap_err(), first);
        assert_eq!(decoder.finish().unwrap_err(), first);
    }

    #[test]
    fn an_announced_giant_takes_no_memory() {
        let mut decoder = FrameDecoder::new();
        decoder.feed(Bytes::from_static(b"\x01\0\0\0\xff\xff\xff\xff"));
        assert!(matches!(decoder.next_frame(), Err(FrameError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            frames in prop::collection::vec((0u8..3, prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            lost in 0usize..12,
        ) {
            let mut data: Vec<u8> = frames.iter().flat_map(|(kind, payload)| wire(*kind, payload)).collect();
            data.truncate(data.len().saturating_sub(lost));
            prop_assert_eq!(decode(&cut(&data, &cuts)), decode(&[&data]));
        }

        #[test]
        fn any_bytes_are_survived(
            data in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..200),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            prop_assert_eq!(decode(&cut(&data, &cuts)), decode(&[&data]));
        }
    }
}
