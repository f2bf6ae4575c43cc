//! Where websocket frames begin and end (RFC 6455 section 5.2): enough to put a frame of our own between two.

/// Follows one direction of a websocket. It never holds more than a frame's header.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: Vec<u8>,
    payload: u64,
    closed: bool,
}

const CLOSE: u8 = 0x8;

impl Frames {
    /// Between two frames: a frame of our own may go here.
    pub(super) fn at_boundary(&self) -> bool {
        self.header.is_empty() && self.payload == 0
    }

    /// Whether a close frame went by: nothing may follow it (section 5.5.1).
    pub(super) fn closed(&self) -> bool {
        self.closed && self.at_boundary()
    }

    /// Follows all of `bytes`.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = self.finish_frame(bytes);
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// Follows `bytes` up to the end of the frame that goes on, and says how many that were.
    pub(super) fn finish_frame(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        if self.payload == 0 {
            for byte in bytes {
                self.header.push(*byte);
                used += 1;
                if let Some((opcode, length)) = parse(&self.header) {
                    self.closed |= opcode == CLOSE;
                    self.payload = length;
                    self.header.clear();
                    break;
                }
            }
        }
        let rest = u64::try_from(bytes.len() - used).unwrap_or(u64::MAX);
        let part = self.payload.min(rest);
        self.payload -= part;
        used + usize::try_from(part).unwrap_or(usize::MAX)
    }
}

/// Opcode and payload length of a frame whose header is complete.
fn parse(header: &[u8]) -> Option<(u8, u64)> {
    let (first, second) = (*header.first()?, *header.get(1)?);
    let (size, length) = match second & 0x7f {
        126 => (4, u64::from(u16::from_be_bytes(header.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(header.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(short)),
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    (header.len() >= size + mask).then_some((first & 0x0f, length))
}

/// A close frame with 1001, "going away" (section 7.4.1), as a server sends it: not masked.
pub(super) fn going_away() -> Vec<u8> {
    let [high, low] = 1001u16.to_be_bytes();
    vec![0x80 | CLOSE, 2, high, low]
}

/// The same as a client sends it: masked (section 5.3).
pub(super) fn going_away_masked(mask: [u8; 4]) -> Vec<u8> {
    let [high, low] = 1001u16.to_be_bytes();
    let mut frame = vec![0x80 | CLOSE, 0x80 | 2];
    frame.extend_from_slice(&mask);
    frame.extend_from_slice(&[high ^ mask[0], low ^ mask[1]]);
    frame
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn frame(opcode: u8, length: usize, masked: bool) -> Vec<u8> {
        let bit = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..=125 => frame.push(bit | u8::try_from(length).unwrap()),
            126..=65_535 => {
                frame.push(bit | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend(std::iter::repeat_n(0xff, if masked { 4 } else { 0 } + length));
        frame
    }

    #[test]
    fn boundaries_whatever_the_cuts() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536];
        let all: Vec<Vec<u8>> = lengths.iter().flat_map(|n| [frame(1, *n, false), frame(2, *n, true)]).collect();
        let bytes = all.concat();
        for size in [1, 2, 3, 7, 1000, 65_537, bytes.len()] {
            let mut frames = Frames::default();
            for chunk in bytes.chunks(size) {
                frames.follow(chunk);
            }
            assert!(frames.at_boundary() && !frames.closed(), "chunks of {size}");
        }
        let mut frames = Frames::default();
        let mut rest = &bytes[..];
        for frame in &all {
            assert_eq!(frames.finish_frame(rest), frame.len());
            assert!(frames.at_boundary());
            rest = &rest[frame.len()..];
        }
    }

    #[test]
    fn inside_a_frame_is_no_boundary() {
        let mut frames = Frames::default();
        frames.follow(&frame(1, 10, true)[..5]);
        assert!(!frames.at_boundary());
        frames.follow(&[0; 10]);
        assert!(!frames.at_boundary());
        frames.follow(&[0]);
        assert!(frames.at_boundary());
    }

    #[test]
    fn close_frames_are_seen() {
        let mut frames = Frames::default();
        frames.follow(&going_away()[..3]);
        assert!(!frames.closed());
        frames.follow(&going_away()[3..]);
        assert!(frames.closed());
        let mut frames = Frames::default();
        frames.follow(&going_away_masked([1, 2, 3, 4]));
        assert!(frames.closed() && frames.at_boundary());
    }

    #[test]
    fn absurd_lengths_do_no_harm() {
        let mut frames = Frames::default();
        frames.follow(&[0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        frames.follow(&[0; 100]);
        assert!(!frames.at_boundary());
    }
}
