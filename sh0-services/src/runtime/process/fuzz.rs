//! Doors for the fuzz targets (`xtask/fuzz`) to what is private. Only there with `--cfg fuzzing`.

use bytes::Bytes;
use sh0_core::Result;
use sh0_core::model::{Exit, LogStream};
use tokio::io::AsyncRead;
use tokio::sync::mpsc;

use super::session;
use super::shim::Frame;

/// What a shim sends of a session: the output, and how it ended.
pub async fn session(socket: impl AsyncRead + Unpin) -> (Vec<(LogStream, Bytes)>, Result<Exit>) {
    let (outputs, mut output) = mpsc::channel(1);
    let collect = async {
        let mut all = Vec::new();
        while let Some(piece) = output.recv().await {
            all.push(piece);
        }
        all
    };
    let (exit, all) = tokio::join!(session::receive(socket, outputs), collect);
    (all, exit)
}

/// A piece of output as a shim sends it.
pub fn stdout(bytes: &[u8]) -> Vec<u8> {
    Frame::bytes(Frame::STDOUT, bytes)
}
