use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use super::lock;
use crate::Result;
use crate::model::{AppId, InstanceName, LogLine};
use crate::traits::{LogPosition, LogQuery, LogStore, NewLine};

/// Keeps every line.
#[derive(Clone, Default)]
pub struct FakeLogStore(Arc<Mutex<BTreeMap<AppId, App>>>);

struct App {
    lines: Vec<LogLine>,
    last: watch::Sender<u64>,
}

impl Default for App {
    fn default() -> Self {
        App { lines: Vec::new(), last: watch::Sender::new(0) }
    }
}

impl FakeLogStore {
    /// The texts of an app's lines, in order.
    pub fn texts(&self, app: AppId) -> Vec<String> {
        lock(&self.0).get(&app).map(|app| app.lines.iter().map(|line| line.text.clone()).collect()).unwrap_or_default()
    }
}

#[async_trait]
impl LogStore for FakeLogStore {
    async fn append(&self, app: AppId, lines: Vec<NewLine>) -> Result<()> {
        let mut apps = lock(&self.0);
        let app = apps.entry(app).or_default();
        for NewLine { at, instance, process, release, stream, text } in lines {
            let cursor = app.lines.len() as u64 + 1;
            app.lines.push(LogLine { cursor, at, instance, process, release, stream, text });
        }
        app.last.send_replace(app.lines.len() as u64);
        Ok(())
    }

    async fn read(&self, app: AppId, query: &LogQuery) -> Result<Vec<LogLine>> {
        Ok(lock(&self.0).get(&app).map(|app| app.read(query)).unwrap_or_default())
    }

    async fn follow(&self, app: AppId, query: LogQuery) -> Result<BoxStream<'static, Result<LogLine>>> {
        let (first, after, wake) = {
            let mut apps = lock(&self.0);
            let app = apps.entry(app).or_default();
            let last = app.lines.len() as u64;
            match query.tail {
                Some(_) => (app.read(&query), last, app.last.subscribe()),
                None => (Vec::new(), query.after.unwrap_or(0).min(last), app.last.subscribe()),
            }
        };
        let query = LogQuery { after: Some(after), tail: None, limit: 0, ..query };
        let start = (self.clone(), query, VecDeque::from(first), wake);
        let lines = stream::unfold(start, move |(store, mut query, mut ready, mut wake)| async move {
            loop {
                if let Some(line) = ready.pop_front() {
                    return Some((Ok(line), (store, query, ready, wake)));
                }
                wake.borrow_and_update();
                ready = store.read(app, &query).await.unwrap_or_default().into();
                match ready.back() {
                    Some(line) => query.after = Some(line.cursor),
                    None => wake.changed().await.ok()?,
                }
            }
        });
        Ok(lines.boxed())
    }

    async fn position(&self, app: AppId, instance: &InstanceName) -> Result<Option<LogPosition>> {
        let apps = lock(&self.0);
        let Some(app) = apps.get(&app) else { return Ok(None) };
        let of_it = || app.lines.iter().rev().filter(|line| line.instance == *instance);
        let Some(last) = of_it().next() else { return Ok(None) };
        let lines = of_it().take_while(|line| line.at == last.at).count() as u64;
        Ok(Some(LogPosition { at: last.at, lines }))
    }

    async fn remove(&self, app: AppId) -> Result<()> {
        lock(&self.0).remove(&app);
        Ok(())
    }
}

impl App {
    fn read(&self, query: &LogQuery) -> Vec<LogLine> {
        let limit = if query.limit == 0 { 1000 } else { query.limit };
        let fits = |line: &&LogLine| {
            query.after.is_none_or(|after| line.cursor > after)
                && query.since.is_none_or(|since| line.at >= since)
                && query.process.as_ref().is_none_or(|process| line.process == *process)
                && query.instance.as_ref().is_none_or(|instance| line.instance == *instance)
                && query.contains.as_ref().is_none_or(|part| line.text.contains(part))
        };
        match query.tail {
            None => self.lines.iter().filter(fits).take(limit).cloned().collect(),
            Some(tail) => {
                let most = if query.limit == 0 { tail } else { tail.min(limit) };
                let mut last: Vec<LogLine> = self.lines.iter().rev().filter(fits).take(most).cloned().collect();
                last.reverse();
                last
            }
        }
    }
}
