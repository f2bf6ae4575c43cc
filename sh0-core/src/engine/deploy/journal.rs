//! How a deployment is written down: an intent before each step, a done after it, events in between.

use serde_json::json;

use super::Deploy;
use crate::Result;
use crate::engine::repo::{AppRow, Change, journal};
use crate::engine::state::lock;
use crate::engine::tries::Tries;
use crate::model::{EventKind, Step};

impl Deploy<'_> {
    /// Ends the step before and begins this one: one commit with done, intent and the events in between.
    pub(super) async fn begin(&mut self, step: Step) -> Result<()> {
        self.enter(step)?;
        self.commit().await
    }

    /// The same, written by the next commit: for a step whose only effect is that commit.
    pub(super) fn enter(&mut self, step: Step) -> Result<()> {
        if let Some(before) = self.row.value.step.filter(|before| *before != step) {
            self.done(before)?;
        }
        self.row.value.step = Some(step);
        self.intend(step)
    }

    pub(super) fn intend(&mut self, step: Step) -> Result<()> {
        self.began = self.engine.now();
        self.pending.append(journal(self.row.value.id), json!({ "at": self.began, "step": step, "phase": "intent" }));
        self.tell(EventKind::StepStarted { step })
    }

    pub(super) fn done(&mut self, step: Step) -> Result<()> {
        // A step before the one that met faults is done at every try: that is no way forward.
        lock(&self.engine.inner.faults).retain(|id, (at, _)| *id != self.row.value.id || *at > Some(step));
        let now = self.engine.now();
        let millis = now.duration_since(self.began).as_millis().try_into().unwrap_or_default();
        self.pending.append(journal(self.row.value.id), json!({ "at": now, "step": step, "phase": "done" }));
        self.tell(EventKind::StepDone { step, millis })
    }

    pub(super) fn tell(&mut self, what: EventKind) -> Result<()> {
        self.engine.tell(&mut self.pending, &self.row.value, what)
    }

    /// Writes deployment and app with everything pending. Handlers write the app too: a change that came in between is
    /// read, and `edit` is done to what is there now.
    pub(super) async fn commit_app(&mut self, edit: impl Fn(&mut AppRow, &mut Change) -> Result<()>) -> Result<()> {
        let mut tries = Tries::default();
        loop {
            let mut app = self.engine.repo().app(self.app.app.id).await?;
            let mut change = self.pending.clone();
            edit(&mut app.value, &mut change)?;
            change.update(&app)?;
            change.update(&self.row)?;
            let Some(ended) = tries.ended(self.engine.commit(change).await) else { continue };
            self.row.revision = ended?;
            self.pending = Change::default();
            self.app = app.value;
            return Ok(());
        }
    }

    /// Writes the deployment with everything pending.
    pub(super) async fn commit(&mut self) -> Result<()> {
        let mut change = std::mem::take(&mut self.pending);
        change.update(&self.row)?;
        self.row.revision = self.engine.commit(change).await?;
        Ok(())
    }
}
