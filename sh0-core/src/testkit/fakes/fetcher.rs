use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::StreamExt;

use super::{Deed, Stage, lock};
use crate::model::{DeploymentId, LogStream, Revision, Source, Upload, UploadId};
use crate::traits::{ByteStream, Checkout, Fetcher, OutputSink};
use crate::{Code, Error, Result};

/// Uploads larger than this are refused.
const LARGEST: u64 = 1 << 20;

/// Keeps in mind which trees were fetched and not given back.
#[derive(Clone)]
pub struct FakeFetcher {
    state: Arc<Mutex<State>>,
    stage: Stage,
}

#[derive(Default)]
struct State {
    checkouts: BTreeMap<DeploymentId, PathBuf>,
    uploads: BTreeMap<UploadId, u64>,
}

impl FakeFetcher {
    /// Nothing is fetched yet.
    pub fn new(stage: &Stage) -> Self {
        FakeFetcher { state: Arc::default(), stage: stage.clone() }
    }

    /// Trees that were fetched and not given back.
    pub fn checkouts(&self) -> Vec<DeploymentId> {
        lock(&self.state).checkouts.keys().copied().collect()
    }

    fn place(&self, source: &Source) -> Result<PathBuf> {
        match source {
            Source::Folder { path } if path.as_str().ends_with("/missing") => Err(Error::not_found("folder", path)),
            Source::Folder { path } => Ok(path.as_str().into()),
            Source::Git { url, .. } => Ok(PathBuf::from(url.as_str().trim_end_matches(".git"))),
            Source::Upload { upload } if lock(&self.state).uploads.contains_key(upload) => {
                Ok(PathBuf::from(format!("/uploads/{upload}")))
            }
            Source::Upload { upload } => Err(Error::not_found("upload", upload)),
            Source::Image { .. } => Err(Error::new(Code::Unsupported, "an image has no tree")),
        }
    }
}

#[async_trait]
impl Fetcher for FakeFetcher {
    async fn fetch(&self, deployment: DeploymentId, source: &Source, sink: &dyn OutputSink) -> Result<Checkout> {
        let dir = self.place(source)?;
        sink.line(LogStream::Stdout, &format!("fetching {}", dir.display()));
        lock(&self.state).checkouts.insert(deployment, dir.clone());
        self.stage.did(Deed::Fetched(deployment));
        let revision = Revision { id: format!("revision-of-{}", dir.display()), message: None };
        Ok(Checkout { dir, revision })
    }

    async fn discard(&self, deployment: DeploymentId) -> Result<()> {
        if lock(&self.state).checkouts.remove(&deployment).is_some() {
            self.stage.did(Deed::Discarded(deployment));
        }
        Ok(())
    }

    async fn receive(&self, id: UploadId, mut archive: ByteStream) -> Result<Upload> {
        let mut size = 0;
        while let Some(chunk) = archive.next().await {
            size += chunk?.len() as u64;
            if size > LARGEST {
                return Err(Error::new(Code::TooLarge, format!("the archive is larger than {LARGEST} bytes")));
            }
        }
        lock(&self.state).uploads.insert(id, size);
        Ok(Upload { id, size })
    }

    async fn sweep(&self, keep: &[DeploymentId]) -> Result<()> {
        // A real one lets young ones be; here nothing is young enough to need that.
        lock(&self.state).checkouts.retain(|id, _| keep.contains(id));
        Ok(())
    }
}
