//! Doors for the fuzz targets (`xtask/fuzz`) to what is private. Only there with `--cfg fuzzing`.

use sh0_core::Error;

use super::{events, told};

/// Server-sent events that come in these chunks: id, name and data of each.
pub fn events<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Option<String>, String, String)> {
    let (mut events, mut found) = (events::Events::default(), Vec::new());
    for chunk in chunks {
        if events.push(chunk).is_err() {
            break;
        }
        found.extend(std::iter::from_fn(|| events.next()).map(|event| (event.id, event.name, event.data)));
    }
    found
}

/// The error that an unsuccessful answer stands for.
pub fn problem(status: u16, body: &[u8]) -> Option<Error> {
    Some(told(http::StatusCode::from_u16(status).ok()?, body))
}
