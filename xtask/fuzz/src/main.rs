//! Fuzz targets for everything that reads bytes from a wire: `cargo xtask fuzz` builds and runs them.
//!
//! One program has them all; [`TARGET`] names the one to run. A target takes any bytes and panics when a property does not
//! hold. Where a stream is cut into chunks is part of the input: its first byte says how large they are.
//!
//! `seeds/TARGET/` holds inputs that a run begins with, so that it need not invent the notation. What a run finds to be
//! worth keeping goes to the target folder, and so does an input that breaks a property: mend the fault, and make of the
//! input an ordinary test beside the parser.
#![no_main]

mod client;
mod docker;
mod host;
mod names;
mod operations;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// The variable that names the target to run.
const TARGET: &str = "SH0_FUZZ_TARGET";

/// Of whatever needs one.
const ID: &str = "01k9zr3v5g8yqk7t2m4n6p8r0s";

type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("archive", host::archive),
    ("docker-answer", docker::answer),
    ("docker-build", docker::build),
    ("docker-frames", docker::frames),
    ("docker-json", docker::json),
    ("dotenv", names::dotenv),
    ("edge", host::edge),
    ("names", names::names),
    ("operations", operations::operations),
    ("problem", client::problem),
    ("request", host::request),
    ("session", host::session),
    ("sse", client::sse),
    ("websocket", host::websocket),
];

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var(TARGET).unwrap_or_default();
    match TARGETS.iter().find(|(known, _)| *known == name) {
        Some((_, target)) => *target,
        None => panic!("{TARGET} is {name:?}, and no target"),
    }
});

fuzz_target!(|data: &[u8]| CHOSEN(data));

/// Runs something asynchronous that waits for nothing outside.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The input without its first byte, whole and cut into chunks as that byte says.
fn chunks(data: &[u8]) -> Option<(&[u8], std::slice::Chunks<'_, u8>)> {
    let (size, data) = data.split_first()?;
    Some((data, data.chunks(usize::from(*size).max(1))))
}
