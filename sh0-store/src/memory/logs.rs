use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use sh0_core::Result;
use sh0_core::model::{AppId, InstanceName, LogLine};
use sh0_core::traits::{LogPosition, LogQuery, LogStore, NewLine};
use tokio::sync::watch;

use crate::lines;

/// A [`LogStore`] in memory: the newest lines of each app, up to a number of bytes of text.
///
/// ```
/// use sh0_store::memory::MemoryLogStore;
///
/// let logs = MemoryLogStore::new(1024 * 1024);
/// # let _: &dyn sh0_core::traits::LogStore = &logs;
/// ```
#[derive(Debug)]
pub struct MemoryLogStore {
    bytes_per_app: usize,
    apps: Arc<Mutex<HashMap<AppId, App>>>,
}

#[derive(Debug)]
struct App {
    lines: VecDeque<LogLine>,
    bytes: usize,
    positions: lines::Positions,
    /// The cursor of the last line.
    last: watch::Sender<u64>,
}

impl MemoryLogStore {
    /// Keeps at most so many bytes of text for each app, and always its last line.
    pub fn new(bytes_per_app: usize) -> Self {
        MemoryLogStore { bytes_per_app, apps: Arc::default() }
    }
}

impl Default for MemoryLogStore {
    /// A mebibyte for each app.
    fn default() -> Self {
        MemoryLogStore::new(1024 * 1024)
    }
}

fn lock(apps: &Mutex<HashMap<AppId, App>>) -> MutexGuard<'_, HashMap<AppId, App>> {
    apps.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl LogStore for MemoryLogStore {
    async fn append(&self, app: AppId, lines: Vec<NewLine>) -> Result<()> {
        let mut apps = lock(&self.apps);
        let app = apps.entry(app).or_insert_with(App::new);
        for line in lines {
            app.push(line, self.bytes_per_app);
        }
        Ok(())
    }

    async fn read(&self, app: AppId, query: &LogQuery) -> Result<Vec<LogLine>> {
        Ok(lock(&self.apps).get(&app).map(|app| app.read(query)).unwrap_or_default())
    }

    async fn follow(&self, app: AppId, query: LogQuery) -> Result<BoxStream<'static, Result<LogLine>>> {
        let (first, query, last) = {
            let mut apps = lock(&self.apps);
            let app = apps.entry(app).or_insert_with(App::new);
            let (first, after) = app.start(&query);
            (first, LogQuery { after: Some(after), tail: None, ..query }, app.last.subscribe())
        };
        let follower = Follower { apps: self.apps.clone(), app, query, ready: first.into(), last };
        Ok(stream::unfold(follower, |mut follower| async { Some((Ok(follower.next().await?), follower)) }).boxed())
    }

    async fn position(&self, app: AppId, instance: &InstanceName) -> Result<Option<LogPosition>> {
        Ok(lock(&self.apps).get(&app).and_then(|app| app.positions.get(instance)))
    }

    async fn remove(&self, app: AppId) -> Result<()> {
        lock(&self.apps).remove(&app);
        Ok(())
    }
}

impl App {
    fn new() -> Self {
        App { lines: VecDeque::new(), bytes: 0, positions: lines::Positions::default(), last: watch::Sender::new(0) }
    }

    fn push(&mut self, new: NewLine, limit: usize) {
        let cursor = *self.last.borrow() + 1;
        let line = lines::stored(new, cursor);
        self.positions.note(&line.instance, line.at, cursor);
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.bytes > limit && self.lines.len() > 1 {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.text.len());
        }
        self.last.send_replace(cursor);
    }

    fn read(&self, query: &LogQuery) -> Vec<LogLine> {
        match lines::tail(query) {
            None => self.fitting(query).take(lines::limit(query)).cloned().collect(),
            Some(tail) => {
                let mut found: Vec<LogLine> = self.fitting(query).rev().take(tail).cloned().collect();
                found.reverse();
                found
            }
        }
    }

    /// What a follower gets first, and the cursor after which it goes on.
    fn start(&self, query: &LogQuery) -> (Vec<LogLine>, u64) {
        let last = *self.last.borrow();
        match query.tail {
            Some(_) => (self.read(query), last),
            None => (Vec::new(), query.after.unwrap_or(0).min(last)),
        }
    }

    fn fitting<'a>(&'a self, query: &'a LogQuery) -> impl DoubleEndedIterator<Item = &'a LogLine> {
        self.lines.iter().filter(|line| lines::fits(query, line))
    }
}

struct Follower {
    apps: Arc<Mutex<HashMap<AppId, App>>>,
    app: AppId,
    query: LogQuery,
    ready: VecDeque<LogLine>,
    last: watch::Receiver<u64>,
}

impl Follower {
    /// `None` when the app is forgotten.
    async fn next(&mut self) -> Option<LogLine> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            let seen = *self.last.borrow_and_update();
            self.ready = lock(&self.apps).get(&self.app).map(|app| app.read(&self.query)).unwrap_or_default().into();
            // When a page is not full there is nothing more up to `seen`; a longer look next time would be wasted.
            let read = self.ready.back().map(|line| line.cursor);
            self.query.after = read.or(self.query.after.max(Some(seen)));
            if read.is_none() {
                self.last.changed().await.ok()?;
            }
        }
    }
}
