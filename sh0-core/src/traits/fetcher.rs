use std::path::PathBuf;

use async_trait::async_trait;

use super::{ByteStream, OutputSink};
use crate::Result;
use crate::model::{DeploymentId, Revision, Source, Upload, UploadId};

/// Brings source trees to this machine, each to a folder of its own.
#[async_trait]
pub trait Fetcher: Send + Sync {
    /// A private copy of `source` for `deployment`. Calling it again gives the same tree, or starts over when the
    /// first call was interrupted: a partial tree is never returned. `.git` is left out.
    ///
    /// A [`Source::Image`] has no tree: [`Code::Unsupported`](crate::Code::Unsupported).
    async fn fetch(&self, deployment: DeploymentId, source: &Source, sink: &dyn OutputSink) -> Result<Checkout>;

    /// Removes the copy. Fine when there is none.
    async fn discard(&self, deployment: DeploymentId) -> Result<()>;

    /// Stores an archive (tar, optionally gzip). [`Code::TooLarge`](crate::Code::TooLarge) over the limit, and nothing
    /// is kept.
    async fn receive(&self, id: UploadId, archive: ByteStream) -> Result<Upload>;

    /// Removes copies and uploads that are older than a day, except for those of the given deployments.
    async fn sweep(&self, keep: &[DeploymentId]) -> Result<()>;
}

/// A source tree on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The folder.
    pub dir: PathBuf,
    /// What exactly it is.
    pub revision: Revision,
}
