//! What a running engine holds beside its backends: who is awake, what is cancelled, which routes are in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::repo::{AppRow, Change, Entity, PlatformRow, Repo};
use super::{Backends, Engine, EngineConfig, ShutdownRequest};
use crate::model::{AppId, DeploymentId, InstanceName, RuntimeKind, Step, Timestamp};
use crate::traits::Runtime;
use crate::{Code, Error, Result};

pub(crate) struct Inner {
    pub(crate) backends: Backends,
    pub(crate) config: EngineConfig,
    pub(crate) repo: Repo,
    pub(crate) platform: PlatformRow,
    pub(crate) epoch: u64,
    pub(crate) started_at: Timestamp,
    /// Ends every task of the engine.
    pub(crate) closing: CancellationToken,
    /// Every task of the engine; they end with it.
    pub(crate) tasks: Mutex<JoinSet<()>>,
    /// Apps with a running executor, and whether they were woken meanwhile.
    pub(crate) awake: Mutex<BTreeMap<AppId, bool>>,
    /// Held by the one handler that tries its change again.
    pub(crate) retries: tokio::sync::Mutex<()>,
    /// Interrupts convergence and back-off.
    pub(crate) urgent: Mutex<BTreeMap<AppId, Arc<Notify>>>,
    /// Rings when an instance of the app has ended or was removed.
    pub(crate) fell: Mutex<BTreeMap<AppId, Arc<Notify>>>,
    /// Since when, and at which step, a deployment meets faults that may pass.
    pub(crate) faults: Mutex<BTreeMap<DeploymentId, (Option<Step>, Timestamp)>>,
    /// Interrupts running deployments.
    pub(crate) cancels: Mutex<BTreeMap<DeploymentId, CancellationToken>>,
    /// Limits how many deployments build at the same time.
    pub(crate) builds: Semaphore,
    /// Apps whose routes the router must read again.
    pub(crate) stale_routes: Mutex<BTreeSet<AppId>>,
    pub(crate) routes_changed: Notify,
    /// Retention has run: builds may keep more than they should.
    pub(crate) caches_grew: Notify,
    /// The revision of each app's record whose routes the proxy has in force.
    pub(crate) in_force: Mutex<BTreeMap<AppId, u64>>,
    /// The generation that the proxy has in force.
    pub(crate) generation: watch::Sender<u64>,
    /// Instances whose output is being collected.
    pub(crate) collected: Mutex<BTreeSet<InstanceName>>,
    pub(crate) shutdown: watch::Sender<Option<ShutdownRequest>>,
}

/// A mutex is poisoned only by a panic of ours; the maps behind it stay usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    pub(crate) fn now(&self) -> Timestamp {
        self.inner.backends.clock.now()
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.inner.backends.clock.sleep(time).await;
    }

    /// Rings when somebody asks something of the app while its executor converges or waits.
    pub(crate) fn urgent(&self, app: AppId) -> Arc<Notify> {
        lock(&self.inner.urgent).entry(app).or_default().clone()
    }

    /// Rings when an instance of the app has ended or was removed; who listens looks whom that concerns.
    pub(crate) fn fell(&self, app: AppId) -> Arc<Notify> {
        lock(&self.inner.fell).entry(app).or_default().clone()
    }

    pub(crate) fn repo(&self) -> &Repo {
        &self.inner.repo
    }

    pub(crate) fn runtime(&self, kind: RuntimeKind) -> Result<&dyn Runtime> {
        let runtime = self.inner.backends.runtimes.get(&kind);
        runtime.map(|runtime| &**runtime).ok_or_else(|| {
            Error::unavailable(format!(
                "the {kind} runtime, to which this app is pinned, is not available on this platform now"
            ))
        })
    }

    /// Commits, then does what must follow: routes, wake-ups, interruptions. Nothing else in the engine writes.
    ///
    /// In a task of its own: a caller that goes away while the store works does not tear a change from what follows.
    pub(crate) async fn commit(&self, change: Change) -> Result<u64> {
        let (answer, committed) = oneshot::channel();
        let engine = self.for_task();
        self.spawn(async move {
            // The caller may have gone away.
            let _ = answer.send(engine.commit_whole(change).await);
        });
        committed.await.unwrap_or_else(|_| Err(Error::unavailable("the platform is closing")))
    }

    async fn commit_whole(&self, mut change: Change) -> Result<u64> {
        // Whoever waits for the routes of an app waits for its newest record.
        let apps = change.batch.puts.iter().filter(|put| put.kind == AppRow::KIND);
        change.routes.extend(apps.filter_map(|put| put.id.parse::<AppId>().ok()));
        let committed = match change.batch.is_empty() {
            true => Ok(*self.inner.backends.store.watch().borrow()),
            false => {
                change.batch.epoch = self.inner.epoch;
                self.inner.backends.store.commit(change.batch).await
            }
        };
        match &committed {
            Ok(_) => {}
            Err(error) if matches!(error.code(), Code::Conflict | Code::Invalid) => return committed,
            // The answer may be all that was lost. Who follows looks at what is stored; nobody is interrupted in vain.
            Err(_) => change.cancel.clear(),
        }
        if !change.routes.is_empty() {
            lock(&self.inner.stale_routes).extend(change.routes);
            self.inner.routes_changed.notify_one();
        }
        for deployment in change.cancel {
            if let Some(token) = lock(&self.inner.cancels).get(&deployment) {
                token.cancel();
            }
        }
        for app in change.wake {
            self.wake(app);
            self.urgent(app).notify_waiters();
        }
        committed
    }

    /// Runs a task that ends with the engine.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closing = self.inner.closing.clone();
        let mut tasks = lock(&self.inner.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            closing.run_until_cancelled(task).await;
        });
    }
}
