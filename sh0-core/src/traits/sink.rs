use crate::model::LogStream;

/// Takes the lines that a long effect prints while it works. Never blocks: a slow reader loses lines, with a mark.
pub trait OutputSink: Send + Sync {
    /// One line, without line end.
    fn line(&self, stream: LogStream, line: &str);
}

/// Drops everything.
pub struct NoOutput;

impl OutputSink for NoOutput {
    fn line(&self, _: LogStream, _: &str) {}
}
