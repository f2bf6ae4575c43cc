use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::Result;
use crate::model::{AppId, InstanceName, LogLine, LogStream, ProcessName, ReleaseId, Timestamp};

/// Keeps what apps print, bounded, in files of its own. May lose the last second at a power cut.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// Adds lines of one instance, in order.
    async fn append(&self, app: AppId, lines: Vec<NewLine>) -> Result<()>;

    /// Lines in order, oldest first.
    async fn read(&self, app: AppId, query: &LogQuery) -> Result<Vec<LogLine>>;

    /// What `read` answers, and then every new line that fits the query, until dropped. A reader that is too slow
    /// skips; the cursors show the gap.
    async fn follow(&self, app: AppId, query: LogQuery) -> Result<BoxStream<'static, Result<LogLine>>>;

    /// Where reading of an instance stopped: the time of its last stored line and how many lines share that very time,
    /// so that a collector resumes without a loss or a repetition.
    async fn position(&self, app: AppId, instance: &InstanceName) -> Result<Option<LogPosition>>;

    /// Forgets an app. Fine when there is nothing.
    async fn remove(&self, app: AppId) -> Result<()>;
}

/// A line to be stored; the store gives it its cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// When the runtime read it.
    pub at: Timestamp,
    /// The instance that printed it.
    pub instance: InstanceName,
    /// Its process type.
    pub process: ProcessName,
    /// Its release.
    pub release: ReleaseId,
    /// Which pipe.
    pub stream: LogStream,
    /// The line without its end.
    pub text: String,
}

/// Where a collector stopped reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    /// The time of the last stored line.
    pub at: Timestamp,
    /// How many stored lines have that very time.
    pub lines: u64,
}

/// Which lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Only lines after this cursor.
    pub after: Option<u64>,
    /// Only lines at or after this time.
    pub since: Option<Timestamp>,
    /// Only the last so many of those that fit; when absent, the first `limit`.
    pub tail: Option<usize>,
    /// At most so many at a time (1,000 when 0).
    pub limit: usize,
    /// Only this process type.
    pub process: Option<ProcessName>,
    /// Only this instance.
    pub instance: Option<InstanceName>,
    /// Only lines that contain this text.
    pub contains: Option<String>,
}
