//! What apps print, in files: one folder an app, segments of a bounded size in it, the oldest deleted first.
//!
//! ```text
//! DIR/<app id>/00000000000000000001.log     sealed
//!              00000000000000000001.idx     what is known of a sealed segment: its newest time, and the positions
//!              00000000000000093127.log     the one that grows; its name is the cursor of its first line
//! ```
//!
//! A record is one line of text, its fields parted by tabs: cursor, nanoseconds since 1970, `o` or `e` for the pipe,
//! process, release, instance, and the text as a JSON string (so a record never holds a line end):
//!
//! ```text
//! 93127   1767225600123456789   o   web   01kdv...   sh0-01kdv...-web-0   "GET / 200"
//! ```
//!
//! Cursors count up by one within an app, across segments and restarts; a step of more than one is a gap. What does not
//! parse is skipped, and a torn end is cut when an app is first touched, so a crash costs at most the lines that were
//! not written. Files are flushed to disk every [`Limits::sync_every`]: a power cut may cost that much.
//!
//! No file stays open between two calls, so the number of apps costs no descriptors; reading never holds more than
//! [`READ_BYTES`] however long the log is, and followers wait for a wake-up, they do not poll.

mod app;
mod files;
mod follow;
mod record;
mod scan;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use sh0_core::model::{AppId, InstanceName, LogLine};
use sh0_core::traits::{LogPosition, LogQuery, LogStore, NewLine};
use sh0_core::{Error, Result};
use tokio::sync::Semaphore;
use tokio::task::{self, JoinHandle};

use crate::lock::private_dir;
use app::App;

/// What one read may hold in memory, in bytes of text and of what is kept beside it. A longer answer is cut: read on
/// after its last cursor (a tail keeps the newest lines).
pub const READ_BYTES: usize = 16 * 1024 * 1024;

/// So many files are read, and so many written, at once.
const AT_ONCE: usize = 4;

/// How much is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A segment that reaches this size is sealed: 8 MiB.
    pub segment_bytes: u64,
    /// All segments of an app together: 64 MiB. At least one segment is kept.
    pub app_bytes: u64,
    /// How long written lines may wait for the disk: one second.
    pub sync_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { segment_bytes: 8 * 1024 * 1024, app_bytes: 64 * 1024 * 1024, sync_every: Duration::from_secs(1) }
    }
}

/// A [`LogStore`] in files.
///
/// ```
/// use sh0_store::logs::{FileLogStore, Limits};
///
/// # let temp = tempfile::tempdir()?;
/// # let dir = temp.path();
/// let logs = FileLogStore::open(dir.join("logs"), Limits { app_bytes: 16 * 1024 * 1024, ..Limits::default() })?;
/// # let _: &dyn sh0_core::traits::LogStore = &logs;
/// # Ok::<(), sh0_core::Error>(())
/// ```
#[derive(Debug)]
pub struct FileLogStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    limits: Limits,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    apps: Mutex<HashMap<AppId, Arc<App>>>,
    unsynced: Mutex<Unsynced>,
}

/// What waits for the disk, and the task that brings it there. The task ends when nothing waits.
#[derive(Debug, Default)]
struct Unsynced {
    apps: HashSet<AppId>,
    task: Option<JoinHandle<()>>,
}

impl FileLogStore {
    /// Opens the folder, and creates it (mode 0700) when it is not there. No log is read yet.
    pub fn open(dir: impl Into<PathBuf>, limits: Limits) -> Result<FileLogStore> {
        let root = private_dir(&dir.into())?;
        let shared = Shared {
            root,
            limits,
            reads: Arc::new(Semaphore::new(AT_ONCE)),
            writes: Arc::new(Semaphore::new(AT_ONCE)),
            apps: Mutex::default(),
            unsynced: Mutex::default(),
        };
        Ok(FileLogStore { shared: Arc::new(shared) })
    }
}

#[async_trait]
impl LogStore for FileLogStore {
    async fn append(&self, id: AppId, lines: Vec<NewLine>) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let app = self.shared.app(id);
        let result = blocking(&self.shared.writes, move || app.append(lines)).await;
        // Also after a failure: the first lines of the batch may be in the file.
        self.shared.sync_soon(id);
        result
    }

    async fn read(&self, app: AppId, query: &LogQuery) -> Result<Vec<LogLine>> {
        let (app, query) = (self.shared.app(app), query.clone());
        blocking(&self.shared.reads, move || app.read(&query)).await
    }

    async fn follow(&self, app: AppId, query: LogQuery) -> Result<BoxStream<'static, Result<LogLine>>> {
        follow::follow(self.shared.reads.clone(), self.shared.app(app), query).await
    }

    async fn position(&self, app: AppId, instance: &InstanceName) -> Result<Option<LogPosition>> {
        let (app, instance) = (self.shared.app(app), instance.clone());
        blocking(&self.shared.reads, move || app.position(&instance)).await
    }

    async fn remove(&self, id: AppId) -> Result<()> {
        let app = self.shared.app(id);
        blocking(&self.shared.writes, move || app.remove()).await?;
        self.shared.forget(id);
        Ok(())
    }
}

impl Shared {
    fn app(&self, id: AppId) -> Arc<App> {
        let new = || Arc::new(App::new(self.root.join(id.to_string()), self.limits.clone()));
        lock(&self.apps).entry(id).or_insert_with(new).clone()
    }

    /// Drops what is kept of a removed app, unless somebody holds it: two of it would write the same files.
    fn forget(&self, id: AppId) {
        let mut apps = lock(&self.apps);
        if apps.get(&id).is_some_and(|app| Arc::strong_count(app) == 1) {
            apps.remove(&id);
        }
    }

    fn sync_soon(self: &Arc<Self>, app: AppId) {
        let mut unsynced = lock(&self.unsynced);
        unsynced.apps.insert(app);
        if unsynced.task.as_ref().is_none_or(JoinHandle::is_finished) {
            unsynced.task = Some(task::spawn(sync(Arc::downgrade(self), self.limits.sync_every)));
        }
    }

    /// The apps to sync now; when there are none the task that asks must end.
    fn to_sync(&self) -> Option<HashSet<AppId>> {
        let mut unsynced = lock(&self.unsynced);
        if unsynced.apps.is_empty() {
            unsynced.task = None;
            return None;
        }
        Some(std::mem::take(&mut unsynced.apps))
    }
}

async fn sync(shared: Weak<Shared>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(shared) = shared.upgrade() else { return };
        let Some(apps) = shared.to_sync() else { return };
        for id in apps {
            let app = shared.app(id);
            if let Err(error) = blocking(&shared.writes, move || app.sync()).await {
                tracing::warn!(app = %id, %error, "the log of an app could not be flushed to disk");
            }
        }
    }
}

/// Runs file work where it may block. It is finished even when nobody waits for it any more.
async fn blocking<T: Send + 'static>(
    permits: &Arc<Semaphore>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended = || Error::unavailable("the log store is shutting down: open it again");
    let permit = permits.clone().acquire_owned().await.map_err(|_| ended())?;
    let work = task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    work.await.map_err(|error| ended().with_source(error))?
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
