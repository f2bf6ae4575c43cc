//! One serial task per app: it takes the next thing to do, does it, and ends when there is nothing left. Two changes of
//! one app never run at the same time; different apps do.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Engine;
use super::repo::{AppRow, CancelRow, Change, Row, events};
use super::state::lock;
use crate::model::{AppId, Deployment, DeploymentKind, DeploymentState, EventKind};
use crate::{Code, Error, Result};

/// Between two tries of work that fails.
const BACK_OFF: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
];

impl Engine {
    /// The app may have something to do: starts its executor, or tells the running one to look again.
    pub(crate) fn wake(&self, app: AppId) {
        {
            let mut awake = lock(&self.inner.awake);
            if let Some(again) = awake.get_mut(&app) {
                *again = true;
                return;
            }
            awake.insert(app, false);
        }
        let engine = self.for_task();
        self.spawn(async move {
            let asleep = FallsAsleep { engine: &engine, app };
            engine.execute(app).await;
            // It has taken itself off the list, and another may be on it already.
            std::mem::forget(asleep);
        });
    }

    async fn execute(&self, app: AppId) {
        let mut failures = 0;
        loop {
            match self.work(app).await {
                Ok(true) => {
                    failures = 0;
                    continue;
                }
                Ok(false) => failures = 0,
                Err(error) => {
                    tracing::warn!(%app, %error, failures, "will try again");
                    let urgent = self.urgent(app);
                    tokio::select! {
                        () = urgent.notified() => {}
                        () = self.sleep(BACK_OFF[failures.min(BACK_OFF.len() - 1)]) => {}
                    }
                    failures += 1;
                    continue;
                }
            }
            let mut awake = lock(&self.inner.awake);
            match awake.get_mut(&app) {
                Some(again) if *again => *again = false,
                _ => {
                    awake.remove(&app);
                    return;
                }
            }
        }
    }

    /// Does one thing; `false` when everything is as it should be.
    async fn work(&self, app: AppId) -> Result<bool> {
        // Listened to before anything is read: whatever is asked from here on is heard.
        let urgent = self.urgent(app);
        let mut called = std::pin::pin!(urgent.notified());
        called.as_mut().enable();
        let Some(row) = self.repo().get::<AppRow>(app).await? else {
            self.clear(app).await?;
            return Ok(false);
        };
        if row.value.deleting.is_some() {
            self.destroy(row).await?;
            return Ok(false);
        }
        match self.next_deployment(app).await? {
            Some(deployment) => {
                let hold = AtomicBool::new(false);
                tokio::select! {
                    biased;
                    done = self.deploy(row, deployment, &hold) => done.map(|()| true),
                    never = self.tend(app, &hold) => match never {},
                }
            }
            None => {
                let pinned = row.value.app.runtime;
                let converged = tokio::select! {
                    biased;
                    // Somebody wants something else now: an app that does not become healthy must not hold up its mend.
                    () = called => return Ok(true),
                    converged = self.converge(app) => converged,
                };
                // Also when an instance does not become healthy for days.
                self.prune_if_asked(app, pinned).await?;
                converged.map(|()| false)
            }
        }
    }

    /// A deployment that was interrupted, else the newest that waits; those it overtakes end as superseded.
    async fn next_deployment(&self, app: AppId) -> Result<Option<Row<Deployment>>> {
        let mut open = self.open_deployments(app).await?;
        if let Some(running) = open.iter().position(|row| row.value.state == DeploymentState::Running) {
            return Ok(Some(open.swap_remove(running)));
        }
        let Some(next) = next_in_line(open.iter().map(|row| &row.value.kind)) else { return Ok(None) };
        let mut overtaken = open.drain(..next).collect::<Vec<_>>();
        let chosen = open.swap_remove(0);
        // A restart after a change of the environment is done by that change.
        overtaken.extend(open.into_iter().filter(|later| {
            matches!((&chosen.value.kind, &later.value.kind), (DeploymentKind::Config, DeploymentKind::Restart))
        }));
        for row in overtaken {
            self.finish(row, DeploymentState::Superseded, None).await?;
        }
        Ok(Some(chosen))
    }

    /// Deployments of the app that are not over, the oldest first.
    pub(crate) async fn open_deployments(&self, app: AppId) -> Result<Vec<Row<Deployment>>> {
        self.repo().list(|query| query.of(app.to_string()).with("open", "yes")).await
    }

    /// Writes how a deployment ended.
    pub(crate) async fn finish(
        &self,
        mut row: Row<Deployment>,
        state: DeploymentState,
        error: Option<Error>,
    ) -> Result<()> {
        let mut change = Change::default();
        self.end(&mut change, &mut row, state, error)?;
        self.commit(change).await?;
        Ok(())
    }

    pub(crate) fn end(
        &self,
        change: &mut Change,
        row: &mut Row<Deployment>,
        state: DeploymentState,
        error: Option<Error>,
    ) -> Result<()> {
        let problem = error.map(|error| error.problem(""));
        row.value.state = state;
        row.value.error.clone_from(&problem);
        row.value.finished_at = Some(self.now());
        change.update(row)?;
        change.delete::<CancelRow>(row.value.id);
        self.tell(change, &row.value, EventKind::State { state, error: problem })
    }

    /// Adds an event to a deployment's stream.
    pub(crate) fn tell(&self, change: &mut Change, deployment: &Deployment, what: EventKind) -> Result<()> {
        let body = serde_json::json!({ "at": self.now(), "what": serde_json::to_value(what)? });
        change.append(events(deployment.id), body);
        Ok(())
    }
}

/// Which of the waiting deployments (the oldest first) runs next; those before it are overtaken. New code overtakes
/// everything that waited before it, for it takes the environment along. A change of the environment or a restart never
/// overtakes code: it runs after it.
fn next_in_line<'a>(waiting: impl Iterator<Item = &'a DeploymentKind>) -> Option<usize> {
    let kinds: Vec<_> = waiting.collect();
    let newest = |wanted: fn(&DeploymentKind) -> bool| kinds.iter().rposition(|kind| wanted(kind));
    newest(|kind| matches!(kind, DeploymentKind::Deploy { .. } | DeploymentKind::Rollback { .. }))
        .or_else(|| newest(|kind| matches!(kind, DeploymentKind::Config)))
        .or_else(|| newest(|kind| matches!(kind, DeploymentKind::Restart)))
}

/// Takes an executor off the list when it ends in any other way than by having nothing left to do.
struct FallsAsleep<'a> {
    engine: &'a Engine,
    app: AppId,
}

impl Drop for FallsAsleep<'_> {
    fn drop(&mut self) {
        lock(&self.engine.inner.awake).remove(&self.app);
    }
}

/// An error that a later try may not meet: the executor tries again instead of giving up.
pub(crate) fn passes(error: &Error) -> bool {
    error.is_transient() || error.code() == Code::Conflict
}
