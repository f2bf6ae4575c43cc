//! Doors for the fuzz targets (`xtask/fuzz`) to what is private. Only there with `--cfg fuzzing`.

use http::request;

use super::frames::Frames;
use super::host::host_of;

/// The host that a request is for, as routes are found by it; `None` where there is none or it is refused.
pub fn host(parts: &request::Parts) -> Option<String> {
    Some(host_of(parts).ok()??.name)
}

/// Follows a websocket that comes in these chunks: whether a frame has just ended, and whether it was the last one.
pub fn websocket<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (bool, bool) {
    let mut frames = Frames::default();
    chunks.into_iter().for_each(|chunk| frames.follow(chunk));
    (frames.at_boundary(), frames.closed())
}

/// Cuts a websocket's bytes behind each frame. The rest, which is no whole frame, is the last piece.
pub fn websocket_frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut pieces) = (Frames::default(), Vec::new());
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(frames.finish_frame(bytes));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
