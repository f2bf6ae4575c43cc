//! Doors for the fuzz targets (`xtask/fuzz`) to what is private, and what they share with the tests here. Only there with
//! `--cfg fuzzing`, and in tests.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncRead;

use super::frames::{Frame, FrameDecoder, FrameError};
use super::ndjson::{NdjsonDecoder, NdjsonError};
use super::{Error, LogRecord, LogStream, Result, Stats, buildkit::Transcript, hijack, output::OutputStream, stats};

/// Output of a container that comes in these chunks: its frames, and how it ended.
pub fn frames<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    limit: usize,
) -> (Vec<Frame>, std::result::Result<(), FrameError>) {
    let (mut decoder, mut frames) = (FrameDecoder::with_limit(limit), Vec::new());
    for chunk in chunks {
        decoder.feed(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, decoder.finish())
}

/// JSON that comes in these chunks: its values, and how it ended.
pub fn values<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    limit: usize,
) -> (Vec<Bytes>, std::result::Result<(), NdjsonError>) {
    let (mut decoder, mut values) = (NdjsonDecoder::with_limit(limit), Vec::new());
    for chunk in chunks {
        decoder.feed(chunk);
        loop {
            match decoder.next_value() {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Err(error)),
            }
        }
    }
    (values, decoder.finish())
}

/// Cuts `data` at the given positions, taken modulo its length.
#[cfg(test)]
pub(super) fn cut<'a>(data: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (data.len() + 1)).collect();
    at.extend([0, data.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect()
}

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
    let lines = messages.iter().filter_map(|message| transcript.add(message).ok()).flatten();
    lines.map(|line| format!("{line}\n")).collect()
}

/// A question of a build's session.
pub fn question(body: &[u8]) {
    super::buildkit::survive_question(body);
}
