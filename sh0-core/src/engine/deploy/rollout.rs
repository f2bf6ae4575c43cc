//! stop old, create, start, health, switch, drain, retire: from a release to instances that serve. And the way back.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::Deploy;
use crate::engine::instances::Wanted;
use crate::engine::repo::{CancelRow, Change, EnvRow, PruneRow, ReleaseRow};
use crate::model::{
    Deployment, DeploymentKind, DeploymentState, Desired, InstanceName, Live, Millis, Source, Step, Strategy,
};
use crate::traits::Runtime;
use crate::{Code, Error, Result};

impl Deploy<'_> {
    /// stop old (recreate only), create, start, health, switch.
    pub(super) async fn replace(&mut self, row: &ReleaseRow) -> Result<()> {
        let (engine, id) = (self.engine, self.row.value.id);
        let release = &row.release;
        let runtime = engine.runtime(release.artifact.runtime)?;
        // Who deploys a stopped app wants it to run; it stays stopped if the deployment fails. A change of its environment
        // or a restart does not start it.
        let asked_to_run =
            matches!(self.row.value.kind, DeploymentKind::Deploy { .. } | DeploymentKind::Rollback { .. });
        self.starts = asked_to_run && self.app.app.desired == Desired::Stopped;
        if self.starts {
            self.app.app.desired = Desired::Running;
        }
        let wanted = engine.wanted(&self.app, release, id);
        if release.settings.strategy == Strategy::Recreate && self.app.app.live.is_some() {
            self.stop_old(runtime).await?;
        }
        self.begin(Step::Create).await?;
        engine.create(runtime, row, id, &wanted).await?;
        self.begin(Step::Start).await?;
        engine.start(runtime, row, &wanted).await?;
        // Nothing is changed by looking: it need not wait until that is written.
        let ready = engine.ready(runtime, &wanted, &release.settings.health, true);
        let (begun, upstreams) = futures_util::future::join(self.begin(Step::Health), ready).await;
        begun?;
        self.upstreams = upstreams?;
        self.switch(row, &wanted).await
    }

    /// The old instances leave the routes, finish what they have begun, and stop. Requests are answered with 503 from here
    /// to the switch, or until convergence has brought the old ones back after a failure.
    async fn stop_old(&mut self, runtime: &dyn Runtime) -> Result<()> {
        self.begin(Step::StopOld).await?;
        self.hold.store(true, Ordering::SeqCst);
        self.commit_app(|app, _| {
            if let Some(live) = &mut app.app.live {
                live.upstreams.clear();
            }
            Ok(())
        })
        .await?;
        let (engine, app) = (self.engine, &self.app.app);
        engine.routed(app.id).await?;
        let old = self.others(runtime).await?;
        engine.drain(&old, app.settings.drain_timeout()).await?;
        let grace = app.settings.stop_grace();
        futures_util::future::try_join_all(old.iter().map(|name| runtime.stop(name, grace))).await.map(drop)
    }

    /// The commit point: one store commit makes the release live and changes the routes.
    async fn switch(&mut self, row: &ReleaseRow, wanted: &[Wanted]) -> Result<()> {
        self.enter(Step::Switch)?;
        let (engine, release, id) = (self.engine, &row.release, self.row.value.id);
        let (upstreams, starts) = (std::mem::take(&mut self.upstreams), self.starts);
        let live = Live { release: release.id, number: release.number, deployment: id, upstreams };
        let kind = self.row.value.kind.clone();
        // From here on the deployment is past its commit point: a restart goes on with draining.
        self.done(Step::Switch)?;
        self.row.value.step = Some(Step::Drain);
        self.intend(Step::Drain)?;
        self.commit_app(|app, change| {
            // A cancel that was accepted holds, whatever comes in between.
            change.check::<CancelRow>(id.to_string(), None);
            if app.deleting.is_some() {
                return Err(Error::new(Code::Cancelled, "the app is being destroyed"));
            }
            if starts {
                app.app.desired = Desired::Running;
            }
            app.app.live = Some(live.clone());
            app.app.runtime = Some(release.artifact.runtime);
            match &kind {
                DeploymentKind::Rollback { .. } => {
                    app.app.settings = release.settings.clone();
                    change.put(&EnvRow { app: release.app, vars: engine.thaw(row)? })?;
                }
                DeploymentKind::Deploy { source, .. } if !matches!(source, Source::Upload { .. }) => {
                    app.app.source.get_or_insert_with(|| source.clone());
                }
                _ => {}
            }
            if engine.wanted(app, release, id) != wanted {
                // Scaled meanwhile: this executor converges right after this deployment.
                change.wake(release.app);
            }
            change.routes(release.app);
            Ok(())
        })
        .await
    }

    pub(super) async fn after_switch(&mut self) -> Result<()> {
        let engine = self.engine;
        let release =
            self.row.value.made.release.ok_or_else(|| Error::internal("a deployment switched without a release"))?;
        let release = self.load_release(release).await?.release;
        let runtime = engine.runtime(release.artifact.runtime)?;
        engine.routed(self.app.app.id).await?;
        let old = self.others(runtime).await?;
        if self.row.value.step == Some(Step::Drain) {
            engine.drain(&old, self.app.app.settings.drain_timeout()).await?;
            self.begin(Step::Retire).await?;
        }
        engine.take_down(runtime, &old, self.app.app.settings.stop_grace()).await?;
        engine.inner.backends.fetcher.discard(self.row.value.id).await?;
        self.done(Step::Retire)?;
        engine.end(&mut self.pending, &mut self.row, DeploymentState::Live, None)?;
        self.pending.put(&PruneRow { app: self.app.app.id })?;
        engine.commit(std::mem::take(&mut self.pending)).await?;
        Ok(())
    }

    /// Instances of the app that this deployment did not start, one-off runs of people left alone.
    async fn others(&self, runtime: &dyn Runtime) -> Result<BTreeSet<InstanceName>> {
        let id = self.row.value.id;
        let observed = self.engine.observe(runtime, self.app.app.id).await?;
        Ok(observed.into_iter().filter(|i| i.labels.deployment != id && !i.labels.one_off).map(|i| i.name).collect())
    }

    /// Removes what this deployment made and writes why it failed. Until that is done the executor tries again.
    pub(super) async fn undo(&mut self, error: Error) -> Result<()> {
        let (engine, id, app) = (self.engine, self.row.value.id, self.app.app.id);
        self.pending = Change::default();
        let current = engine.repo().get::<Deployment>(id).await?.ok_or_else(|| Error::not_found("deployment", id))?;
        if current.value.step.is_some_and(|step| step >= Step::Drain) {
            // The switch was committed although its answer was lost: only forward.
            self.row = current;
            return self.after_switch().await;
        }
        self.row.revision = current.revision;
        // What is in memory may be ahead: a switch that was being committed has not happened.
        self.row.value.step = current.value.step;
        let problem = error.problem("");
        if current.value.error.as_ref() != Some(&problem) {
            // Written before the first thing is undone: an interrupted undo goes on, and does not begin again from the
            // front, with a release command that has been run.
            self.row.value.error = Some(problem);
            self.commit().await?;
        }
        for runtime in engine.inner.backends.runtimes.values() {
            let observed = match engine.observe(&**runtime, app).await {
                Ok(observed) => observed,
                // A runtime that does not answer cannot be cleaned now; the reconciler removes what nobody owns.
                Err(fault) if fault.is_transient() => continue,
                Err(fault) => return Err(fault),
            };
            let made = observed
                .into_iter()
                .filter(|instance| instance.labels.deployment == id)
                .map(|instance| instance.name)
                .collect();
            engine.take_down(&**runtime, &made, Millis::from_secs(2)).await?;
        }
        engine.inner.backends.fetcher.discard(id).await?;
        let made_release = matches!(self.row.value.kind, DeploymentKind::Deploy { .. } | DeploymentKind::Config);
        if let Some(release) = self.row.value.made.release.take_if(|_| made_release) {
            self.pending.delete::<ReleaseRow>(release);
        }
        let state = if error.code() == Code::Cancelled { DeploymentState::Cancelled } else { DeploymentState::Failed };
        let row = &mut self.row;
        row.value.made.number = row.value.made.number.filter(|_| !made_release);
        engine.end(&mut self.pending, row, state, Some(error))?;
        self.pending.put(&PruneRow { app })?;
        engine.commit(std::mem::take(&mut self.pending)).await?;
        Ok(())
    }
}
