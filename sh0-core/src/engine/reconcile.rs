//! Compares what should be with what is, at the start, whenever a runtime says that something happened, and from time to
//! time. It never calls a runtime to change anything and never deletes: it takes what does not run at its address out of
//! rotation, and wakes the executor of an app that differs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;

use super::Engine;
use super::repo::{AppRow, Change, PruneRow, ReleaseRow, Row};
use super::rotation::withdraw_fallen;
use crate::model::{AppId, Deployment, RuntimeKind};
use crate::traits::{Observed, RuntimeEvent};
use crate::{Code, Error, Result};

/// How long a runtime may take to list its instances, at the start and in a round.
const START_WAITS: Duration = Duration::from_secs(5);
const ROUND_WAITS: Duration = Duration::from_secs(60);

/// What should be, and what is.
struct Seen {
    rows: Vec<Row<AppRow>>,
    observed: BTreeMap<AppId, Vec<Observed>>,
    /// Runtimes that did not answer.
    silent: BTreeSet<RuntimeKind>,
}

/// Between two tries to reach a runtime's events.
const RECONNECT: Duration = Duration::from_secs(1);

impl Engine {
    pub(crate) fn start_reconciler(&self) {
        for kind in self.inner.backends.runtimes.keys().copied() {
            let engine = self.for_task();
            self.spawn(async move { engine.watch_runtime(kind).await });
        }
        let engine = self.for_task();
        self.spawn(async move { engine.trim_caches().await });
        let engine = self.for_task();
        self.spawn(async move {
            engine.resume().await;
            loop {
                engine.sleep(engine.inner.config.reconcile_every).await;
                engine.sweep().await;
                engine.round().await;
            }
        });
    }

    /// At the start: deployments that were interrupted, and apps that differ.
    async fn resume(&self) {
        self.sweep().await;
        self.round().await;
    }

    /// Wakes the apps with open deployments, and removes copies of sources and uploads that none of them needs.
    async fn sweep(&self) {
        match self.repo().list::<Deployment>(|query| query.with("open", "yes")).await {
            Ok(open) => {
                let keep: Vec<_> = open.iter().map(|row| row.value.id).collect();
                if let Err(error) = self.inner.backends.fetcher.sweep(&keep).await {
                    tracing::warn!(%error, "old sources could not be swept");
                }
                open.iter().for_each(|row| self.wake(row.value.app));
            }
            Err(error) => tracing::warn!(%error, "open deployments could not be read; the next round tries again"),
        }
    }

    async fn round(&self) {
        if let Err(error) = self.trim_audit().await {
            tracing::warn!(%error, "old audit rows could not be forgotten; the next round tries again");
        }
        if let Err(error) = self.compare().await {
            tracing::warn!(%error, "a round of the reconciler failed; the next one tries again");
        }
    }

    /// Wakes every app whose instances are not what its record says.
    async fn compare(&self) -> Result<()> {
        self.check_proxy().await;
        for open in self.repo().list::<Deployment>(|query| query.with("open", "yes")).await? {
            self.wake(open.value.app);
        }
        for unpruned in self.repo().list::<PruneRow>(|query| query).await? {
            self.wake(unpruned.value.app);
        }
        let Seen { rows, mut observed, silent } = self.see(ROUND_WAITS).await?;
        self.withdraw_from(&rows, &observed, &silent).await?;
        for row in &rows {
            let seen = observed.remove(&row.value.app.id).unwrap_or_default();
            if row.value.app.runtime.is_some_and(|kind| silent.contains(&kind)) {
                continue;
            }
            self.collect_all(&row.value, &seen);
            if row.value.deleting.is_some() || self.differs(&row.value, self.live_release(row).await?.as_ref(), &seen) {
                self.wake(row.value.app.id);
            }
        }
        // Instances of apps that are gone: their executors find no record and remove them.
        observed.into_keys().for_each(|app| self.wake(app));
        Ok(())
    }

    /// At the start, before the first table of routes: as `withdraw_from`.
    pub(crate) async fn withdraw_stale(&self) -> Result<()> {
        let Seen { rows, observed, silent } = self.see(START_WAITS).await?;
        self.withdraw_from(&rows, &observed, &silent).await
    }

    /// Takes every upstream out of rotation that does not run at its address, in one commit. A runtime that does not answer
    /// is not judged.
    async fn withdraw_from(
        &self,
        rows: &[Row<AppRow>],
        observed: &BTreeMap<AppId, Vec<Observed>>,
        silent: &BTreeSet<RuntimeKind>,
    ) -> Result<()> {
        let mut change = Change::default();
        for row in rows {
            let mut row = row.clone();
            let seen = observed.get(&row.value.app.id).map(Vec::as_slice).unwrap_or_default();
            let judged = row.value.app.runtime.is_some_and(|kind| !silent.contains(&kind));
            if judged && withdraw_fallen(&mut row.value, seen) {
                change.update(&row)?;
                change.wake(row.value.app.id);
            }
        }
        if change.batch.is_empty() {
            return Ok(());
        }
        match self.commit(change).await {
            // Somebody wrote one of them meanwhile: each app's executor looks for itself.
            Err(error) if error.code() == Code::Conflict => Ok(()),
            committed => committed.map(drop),
        }
    }

    /// All apps, and what all runtimes have of them. The apps are read first: what is written later is not judged by it.
    async fn see(&self, patience: Duration) -> Result<Seen> {
        let rows = self.repo().list::<AppRow>(|query| query).await?;
        let mut seen = Seen { rows, observed: BTreeMap::new(), silent: BTreeSet::new() };
        let asked = self.inner.backends.runtimes.iter().map(|(kind, runtime)| async move {
            let listed = tokio::select! {
                biased;
                listed = runtime.list(None) => listed,
                () = self.sleep(patience) => Err(Error::new(Code::Timeout, format!("no list within {patience:?}"))),
            };
            (*kind, listed)
        });
        for (kind, listed) in futures_util::future::join_all(asked).await {
            match listed {
                Ok(all) => all
                    .into_iter()
                    .filter(|instance| self.owns(&instance.labels))
                    .for_each(|instance| seen.observed.entry(instance.labels.app).or_default().push(instance)),
                Err(error) => {
                    tracing::warn!(%kind, %error, "the runtime does not answer; its apps are left as they are");
                    seen.silent.insert(kind);
                }
            }
        }
        Ok(seen)
    }

    /// Follows the output of whatever runs: after a start of the platform, and where following broke off.
    fn collect_all(&self, row: &AppRow, seen: &[Observed]) {
        let Some(kind) = row.app.runtime.filter(|_| row.deleting.is_none()) else { return };
        self.collect_seen(kind, row.app.id, seen);
    }

    /// A proxy that was started anew may have an old table, or none.
    async fn check_proxy(&self) {
        match self.inner.backends.proxy.status().await {
            Ok(status) if status.generation >= *self.inner.generation.borrow() => {}
            Ok(_) => self.inner.routes_changed.notify_one(),
            Err(error) => tracing::warn!(%error, "the proxy does not answer; the next round asks again"),
        }
    }

    async fn live_release(&self, row: &Row<AppRow>) -> Result<Option<ReleaseRow>> {
        let Some(live) = &row.value.app.live else { return Ok(None) };
        Ok(self.repo().get::<ReleaseRow>(live.release).await?.map(|row| row.value))
    }

    /// Every event of a runtime is a reason to look; a gap, or a runtime that came back, to look at everything.
    async fn watch_runtime(&self, kind: RuntimeKind) {
        loop {
            let Ok(runtime) = self.runtime(kind) else { return };
            match runtime.events().await {
                Ok(mut events) => {
                    self.round().await;
                    while let Some(event) = events.next().await {
                        match event {
                            Ok(RuntimeEvent::Started(_, app)) => self.wake(app),
                            Ok(RuntimeEvent::Ended(_, app) | RuntimeEvent::Removed(_, app)) => {
                                self.wake(app);
                                self.fell(app).notify_one();
                            }
                            Ok(RuntimeEvent::Gap) => self.round().await,
                            Err(error) => {
                                tracing::warn!(%kind, %error, "the runtime's events broke off");
                                break;
                            }
                        }
                    }
                }
                Err(error) => tracing::debug!(%kind, %error, "the runtime's events cannot be read"),
            }
            self.sleep(RECONNECT).await;
        }
    }
}
