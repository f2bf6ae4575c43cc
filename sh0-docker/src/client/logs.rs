//! Logs, and attaching to a container's own input and output.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;

use super::{
    Client,
    body::ByteStream,
    containers::container_path,
    error::Result,
    frames::{Frame, Source},
    hijack::Session,
    model::unix_nano,
    output::OutputStream,
    request::Call,
    transport::whole,
};

/// How long a followed stream waits for its head before it is handed out without one.
pub(crate) const HEAD_PATIENCE: Duration = Duration::from_secs(2);
/// Longest line of a TTY log that is held together, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// The keys that end an attached terminal. The default, ctrl-p ctrl-q, would hold back every ctrl-p, which shells use.
/// Nothing switches them off, so this is a sequence that nobody types.
pub(crate) const DETACH_KEYS: &str = "ctrl-^,ctrl-],ctrl-^,ctrl-],ctrl-^";

/// Which part of a log to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Standard output. Default true.
    pub stdout: bool,
    /// Standard error. Default true.
    pub stderr: bool,
    /// Go on with what is written from now, until the container ends.
    pub follow: bool,
    /// Not before this time. The line of exactly this time comes again.
    pub since: Option<Timestamp>,
    /// Not after this time.
    pub until: Option<Timestamp>,
    /// The last lines only, so many.
    pub tail: Option<u64>,
    /// Ask for each line's time: the only order that survives a reconnect.
    pub timestamps: bool,
    /// Whether the container has a TTY, if that is known; asked otherwise.
    pub tty: Option<bool>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            stdout: true,
            stderr: true,
            follow: false,
            since: None,
            until: None,
            tail: None,
            timestamps: false,
            tty: None,
        }
    }
}

/// A piece of log: one line, or a part of one that is longer than 16 KiB, or, with a TTY and without timestamps,
/// whatever came in one read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// When the engine got it, if that was asked for.
    pub time: Option<Timestamp>,
    /// Which output.
    pub source: Source,
    /// The bytes, with the line end if there was one.
    pub bytes: Bytes,
}

impl LogRecord {
    /// Whether the line goes on in the next record of the same source.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.bytes.ends_with(b"\n")
    }
}

/// A log. Ends with the log or, when followed, with the container; ends after the first error.
#[derive(Debug)]
pub struct LogStream {
    output: OutputStream,
    timestamps: bool,
    /// Start of a line whose end has not come; TTY with timestamps only.
    line: BytesMut,
    ready: VecDeque<LogRecord>,
    done: bool,
}

impl LogStream {
    pub(super) fn new(output: OutputStream, timestamps: bool) -> Self {
        Self { output, timestamps, line: BytesMut::new(), ready: VecDeque::new(), done: false }
    }

    fn accept(&mut self, frame: Frame) {
        if !self.timestamps {
            self.ready.push_back(LogRecord { time: None, source: frame.source, bytes: frame.bytes });
        } else if frame.source != Source::Console {
            // A frame is a line, with its time in front.
            self.ready.push_back(stamped(frame.source, frame.bytes));
        } else {
            self.line.extend_from_slice(&frame.bytes);
            while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let line = self.line.split_to(end + 1).freeze();
                self.ready.push_back(stamped(Source::Console, line));
            }
            if self.line.len() > MAX_LINE {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            let line = self.line.split().freeze();
            self.ready.push_back(stamped(Source::Console, line));
        }
    }
}

impl Stream for LogStream {
    type Item = Result<LogRecord>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(record)));
            }
            if self.done {
                return Poll::Ready(None);
            }
            match ready!(self.output.poll_next_unpin(cx)) {
                Some(Ok(frame)) => self.accept(frame),
                Some(Err(error)) => {
                    self.done = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.done = true;
                    self.flush();
                }
            }
        }
    }
}

/// Takes the time off the front. A line without one stays as it is.
fn stamped(source: Source, mut bytes: Bytes) -> LogRecord {
    let mut time = None;
    // RFC 3339 with nanoseconds and a zone has at most 35 characters.
    if let Some(space) = bytes.iter().take(40).position(|byte| *byte == b' ') {
        time = std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse().ok());
        if time.is_some() {
            bytes.advance(space + 1);
        }
    }
    LogRecord { time, source, bytes }
}

/// What to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachOptions {
    /// Standard input; the container must have been created with `open_stdin`.
    pub stdin: bool,
    /// Standard output. Default true.
    pub stdout: bool,
    /// Standard error. Default true.
    pub stderr: bool,
    /// What was written before, first.
    pub logs: bool,
    /// Whether the container has a TTY, if that is known; asked otherwise.
    pub tty: Option<bool>,
    /// Keys that detach a terminal, in Docker's notation; a sequence nobody types by default.
    pub detach_keys: Option<String>,
}

impl Default for AttachOptions {
    fn default() -> Self {
        Self { stdin: false, stdout: true, stderr: true, logs: false, tty: None, detach_keys: None }
    }
}

impl Client {
    /// Reads a container's log. Works for drivers that can be read: `json-file`, `local`, `journald`.
    /// API: `GET /containers/{id}/logs`.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound). For a followed log on an engine that does not answer until there
    /// is output, errors are the first item of the stream.
    pub async fn logs(&self, id: &str, options: &LogOptions) -> Result<LogStream> {
        let tty = self.has_tty(id, options.tty).await?;
        let call = Call::get(container_path(id, "logs")?)
            .flag("stdout", options.stdout)
            .flag("stderr", options.stderr)
            .flag("follow", options.follow)
            .flag("timestamps", options.timestamps)
            .query_some("since", options.since.map(unix_nano))
            .query_some("until", options.until.map(unix_nano))
            .query_some("tail", options.tail.map(|lines| lines.to_string()));
        let bytes = if options.follow {
            self.follow(call).await?
        } else {
            ByteStream::new(self.transport.stream(&call, whole(Bytes::new())).await?.0.into_body())
        };
        Ok(LogStream::new(OutputStream::new(bytes, tty), options.timestamps))
    }

    /// Attaches to a container's own input and output. To see all its output, attach before the start.
    /// The session may outlive the process: let [`Client::wait_container`] tell the end.
    /// API: `POST /containers/{id}/attach`.
    ///
    /// # Errors
    /// [`Error::NotFound`](super::Error::NotFound).
    pub async fn attach(&self, id: &str, options: &AttachOptions) -> Result<Session> {
        let tty = self.has_tty(id, options.tty).await?;
        let call = Call::post(container_path(id, "attach")?)
            .flag("stream", true)
            .flag("stdin", options.stdin)
            .flag("stdout", options.stdout)
            .flag("stderr", options.stderr)
            .flag("logs", options.logs)
            .query("detachKeys", options.detach_keys.as_deref().unwrap_or(DETACH_KEYS));
        self.transport.hijack(&call, tty).await
    }

    async fn has_tty(&self, id: &str, known: Option<bool>) -> Result<bool> {
        match known {
            Some(tty) => Ok(tty),
            None => Ok(self.inspect_container(id).await?.config.tty),
        }
    }

    /// Opens a stream that may stay silent for ever.
    pub(crate) async fn follow(&self, call: Call) -> Result<ByteStream> {
        let transport = std::sync::Arc::clone(&self.transport);
        let head = async move {
            let (response, _) = transport.stream_untimed(&call, whole(Bytes::new())).await?;
            Ok(response.into_body())
        };
        ByteStream::follow(head.boxed(), HEAD_PATIENCE).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::{TryStreamExt, stream};

    const STAMP: &str = "2026-01-02T03:04:05.000000006Z";

    async fn read(chunks: Vec<Bytes>, tty: bool) -> Vec<LogRecord> {
        let output = OutputStream::new(stream::iter(chunks.into_iter().map(Ok)), tty);
        LogStream::new(output, true).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn the_time_is_taken_off_each_frame() {
        let text = format!("{STAMP} hello\n");
        let mut frame = vec![2, 0, 0, 0, 0, 0, 0, u8::try_from(text.len()).unwrap()];
        frame.extend_from_slice(text.as_bytes());
        let records = read(vec![frame.into()], false).await;
        assert_eq!(records[0].time.unwrap().subsec_nanosecond(), 6);
        assert_eq!((records[0].source, &records[0].bytes[..]), (Source::Stderr, &b"hello\n"[..]));
        assert!(!records[0].is_partial());
    }

    #[tokio::test]
    async fn terminal_lines_are_put_together_for_their_times() {
        let text = Bytes::from(format!("{STAMP} one\r\n{STAMP} two"));
        let records = read(text.chunks(5).map(Bytes::copy_from_slice).collect(), true).await;
        let lines: Vec<_> = records.iter().map(|record| &record.bytes[..]).collect();
        assert_eq!(lines, [&b"one\r\n"[..], b"two"]);
        assert!(records.iter().all(|record| record.time.is_some() && record.source == Source::Console));
    }

    #[tokio::test]
    async fn a_line_without_a_time_is_kept_whole() {
        let records = read(vec![Bytes::from_static(b"no time here\n")], true).await;
        assert_eq!((records[0].time, &records[0].bytes[..]), (None, &b"no time here\n"[..]));
    }
}
