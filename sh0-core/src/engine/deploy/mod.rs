//! A deployment: typed steps with a journal. Before each step's effect an intent is written, after it a done; names are
//! deterministic, so every effect is create-or-adopt and a step that was interrupted is simply run again.
//!
//! ```text
//! fetch -> plan -> check -> build -> release -> release command -> [stop old] -> create -> start -> health -> switch
//!   -> drain -> retire                                                                             commit point ^
//! ```
//!
//! Before the switch a failure or a cancel undoes everything that this deployment made, and the old release serves on
//! (invariant: a failed deploy changes nothing). After the switch there is only forward.

//!
//! | file | what |
//! | --- | --- |
//! | `release` | from a source to a release, and its release command |
//! | `rollout` | from a release to instances that serve, and back when that fails |
//! | `journal` | how a deployment is written down |
//! | `output` | what its commands print |

mod journal;
mod output;
mod release;
mod rollout;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Engine;
use super::executor::passes;
use super::repo::{AppRow, CancelRow, Change, ReleaseRow, Row};
use super::state::lock;
use crate::model::{Deployment, DeploymentKind, DeploymentState, EventKind, ReleaseId, Step, Timestamp, Upstream};
use crate::{Code, Error, Result};

/// A deployment on its way.
struct Deploy<'a> {
    engine: &'a Engine,
    app: AppRow,
    row: Row<Deployment>,
    cancel: CancellationToken,
    /// Events that the next commit takes along.
    pending: Change,
    /// When the present step began.
    began: Timestamp,
    upstreams: Vec<Upstream>,
    /// The app was stopped, and this deployment starts it.
    starts: bool,
    /// Set when the old instances are about to stop: none of them comes in rotation any more.
    hold: &'a AtomicBool,
}

impl Engine {
    /// Runs a deployment from where it is to its end. Fails only with what a later try may not meet.
    pub(crate) async fn deploy(&self, app: Row<AppRow>, row: Row<Deployment>, hold: &AtomicBool) -> Result<()> {
        let id = row.value.id;
        let cancel = CancellationToken::new();
        lock(&self.inner.cancels).insert(id, cancel.clone());
        if self.repo().get::<CancelRow>(id).await?.is_some() {
            cancel.cancel();
        }
        let mut deploy = Deploy {
            engine: self,
            app: app.value,
            row,
            cancel,
            pending: Change::default(),
            began: self.now(),
            upstreams: Vec::new(),
            starts: false,
            hold,
        };
        let ended = deploy.run().await;
        lock(&self.inner.cancels).remove(&id);
        if ended.is_ok() {
            lock(&self.inner.faults).remove(&id);
        }
        ended
    }
}

impl Deploy<'_> {
    async fn run(&mut self) -> Result<()> {
        let committed = self.row.value.step.is_some_and(|step| step >= Step::Drain);
        if let Some(problem) = self.row.value.error.clone().filter(|_| !committed) {
            // It had failed and was being undone: nothing of it is tried again.
            return self.undo(problem.into()).await;
        }
        if !committed {
            let cancel = self.cancel.clone();
            let before = cancel.run_until_cancelled(self.until_switch()).await;
            let before = match before {
                Some(done) => done,
                None => Err(self.cancelled().await?),
            };
            match before {
                Ok(()) => {}
                // The store itself is away or another writer came first: look again, decide then.
                Err(error) if passes(&error) && !self.gives_up(&error) => {
                    self.tell_passing(&error).await;
                    return Err(error);
                }
                Err(error) => return self.undo(error).await,
            }
        }
        self.after_switch().await
    }

    /// Who cancelled it, in words.
    async fn cancelled(&self) -> Result<Error> {
        let asked = self.engine.repo().get::<CancelRow>(self.row.value.id).await?.map(|row| row.value.why);
        let why = asked.filter(|why| !why.is_empty()).unwrap_or_else(|| "cancelled".to_owned());
        Ok(Error::new(Code::Cancelled, format!("{why} before the switch; nothing has changed")))
    }

    /// Whether a passing fault is held against the deployment: a runtime that is away while it is needed fails it, after
    /// faults at this step have gone on for as long as an instance may take to start.
    fn gives_up(&self, error: &Error) -> bool {
        if error.code() == Code::Conflict {
            return false;
        }
        let now = self.engine.now();
        let (_, since) =
            *lock(&self.engine.inner.faults).entry(self.row.value.id).or_insert((self.row.value.step, now));
        let waited: Duration = now.duration_since(since).try_into().unwrap_or_default();
        waited > self.app.app.settings.health.start_period.into()
    }

    /// Says why a step is begun again, to those who wait. An event and nothing else: what is in memory may be ahead of what
    /// is stored.
    async fn tell_passing(&self, error: &Error) {
        // Another writer came first: nothing that a person could do something about.
        let Some(step) = self.row.value.step.filter(|_| error.code() != Code::Conflict) else { return };
        let text = format!("{step} will be tried again: {error}");
        if let Err(error) = self.note(text).await {
            tracing::debug!(%error, "a note could not be stored");
        }
    }

    /// Nothing is told of a deployment that has ended meanwhile.
    async fn note(&self, text: String) -> Result<()> {
        let id = self.row.value.id;
        let stored = self.engine.repo().get::<Deployment>(id).await?;
        let Some(stored) = stored.filter(|row| !row.value.state.is_final()) else { return Ok(()) };
        let mut change = Change::default();
        change.check::<Deployment>(id.to_string(), Some(stored.revision));
        self.engine.tell(&mut change, &self.row.value, EventKind::Note { text })?;
        self.engine.commit(change).await.map(drop)
    }

    async fn until_switch(&mut self) -> Result<()> {
        self.row.value.state = DeploymentState::Running;
        self.row.value.started_at.get_or_insert(self.engine.now());
        self.row.value.step = None;
        self.tell(EventKind::State { state: DeploymentState::Running, error: None })?;
        let release = match self.row.value.kind.clone() {
            DeploymentKind::Deploy { source, no_cache } => self.make_release(source, no_cache).await?,
            DeploymentKind::Config => self.derive_release().await?,
            DeploymentKind::Rollback { to } => self.existing_release(to).await?,
            DeploymentKind::Restart => {
                let live = self.app.app.live.as_ref().ok_or_else(|| {
                    Error::new(Code::DeployFailed, "nothing serves that could be restarted; deploy first")
                })?;
                self.existing_release(live.release).await?
            }
        };
        if matches!(self.row.value.kind, DeploymentKind::Deploy { .. } | DeploymentKind::Config) {
            self.release_command(&release).await?;
        }
        self.replace(&release).await
    }
    async fn load_release(&self, id: ReleaseId) -> Result<ReleaseRow> {
        let row = self.engine.repo().get::<ReleaseRow>(id).await?;
        row.map(|row| row.value).ok_or_else(|| Error::not_found("release", id))
    }
}
