//! Doors for the fuzz targets (`xtask/fuzz`) to what is private. Only there with `--cfg fuzzing`.

use super::request::{Want, part, segments, with_slash};

/// The decoded parts of a path that may be served.
pub fn path(path: &str) -> Option<Vec<String>> {
    segments(path)
}

/// Where the parts are redirected to.
pub fn redirect(segments: &[String]) -> String {
    with_slash(segments, None)
}

/// What a `Range` asks for of a file: from, and how many bytes; `None` where it is all of it, or none.
pub fn range(range: &str, length: u64) -> Option<(u64, u64)> {
    match part(range, length) {
        Want::Part(from, count) => Some((from, count)),
        _ => None,
    }
}
