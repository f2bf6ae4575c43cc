//! Doors for the fuzz targets (`xtask/fuzz`) to what is private. Only there with `--cfg fuzzing`.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncRead;

use super::{Error, LogRecord, LogStream, Result, Stats, buildkit::Transcript, hijack, output::OutputStream, stats};

/// A log that comes in these chunks: its records, and how it ended.
pub async fn log(chunks: Vec<Bytes>, tty: bool, timestamps: bool) -> (Vec<LogRecord>, Result<()>) {
    let output = OutputStream::new(stream::iter(chunks.into_iter().map(Ok)), tty);
    let mut records = Vec::new();
    let mut log = LogStream::new(output, timestamps);
    loop {
        match log.try_next().await {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return (records, Ok(())),
            Err(error) => {
                return (records, log.next().await.map_or(Err(error), |_| panic!("an error is the last item")));
            }
        }
    }
}

/// The head of an answer that hands over its connection: the status, and what came after it.
pub async fn head(mut stream: impl AsyncRead + Unpin) -> Result<(u16, Bytes)> {
    hijack::read_head(&mut stream).await.map(|(head, rest)| (head.status, rest))
}

/// A sample of what a container uses.
pub fn stats(text: &[u8]) -> serde_json::Result<Stats> {
    serde_json::from_slice::<stats::Wire>(text).map(Stats::from)
}

/// What a refusal means.
pub fn refusal(status: u16, body: &[u8]) -> Error {
    Error::from_status(status, body)
}

/// Messages of BuildKit's progress: what they tell.
pub fn progress(messages: &[&[u8]]) -> String {
    let mut transcript = Transcript::default();
    messages.iter().filter_map(|message| transcript.add(message).ok()).collect()
}

/// A question of a build's session.
pub fn question(body: &[u8]) {
    super::buildkit::survive_question(body);
}
