//! Following a log: a page from the files, then a wake-up, then the next page. A follower holds one page, however far
//! behind it is; what was deleted before it came there is skipped.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use sh0_core::Result;
use sh0_core::model::LogLine;
use sh0_core::traits::LogQuery;
use tokio::sync::{Semaphore, watch};

use super::app::{App, Last};
use super::blocking;
use super::scan::Place;

struct Follower {
    reads: Arc<Semaphore>,
    app: Arc<App>,
    query: Arc<LogQuery>,
    place: Place,
    ready: VecDeque<LogLine>,
    last: watch::Receiver<Last>,
    life: u64,
}

pub(super) async fn follow(
    reads: Arc<Semaphore>,
    app: Arc<App>,
    query: LogQuery,
) -> Result<BoxStream<'static, Result<LogLine>>> {
    // Before the first look at the files: nothing falls between.
    let mut last = app.watch();
    let life = last.borrow_and_update().life;
    let query = Arc::new(query);
    let (first, place) = blocking(&reads, {
        let (app, query) = (app.clone(), query.clone());
        move || app.start(&query)
    })
    .await?;
    // The tail was for the start, and the place says where to go on.
    let query = Arc::new(LogQuery { tail: None, after: None, ..(*query).clone() });
    let follower = Follower { reads, app, query, place, ready: first.into(), last, life };
    Ok(stream::try_unfold(follower, |mut follower| async { Ok(follower.next().await?.map(|line| (line, follower))) })
        .boxed())
}

impl Follower {
    /// `None` when the app was removed.
    async fn next(&mut self) -> Result<Option<LogLine>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let last = *self.last.borrow_and_update();
            if last.life != self.life {
                return Ok(None);
            }
            if last.cursor <= self.place.after {
                if self.last.changed().await.is_err() {
                    return Ok(None);
                }
                continue;
            }
            let (app, query, place) = (self.app.clone(), self.query.clone(), self.place);
            let (lines, place) = blocking(&self.reads, move || app.page(&query, place)).await?;
            (self.ready, self.place) = (lines.into(), place);
        }
    }
}
