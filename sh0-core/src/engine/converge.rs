//! Makes the instances of an app what its record says: the right number of the live release, healthy ones in rotation,
//! nothing else. It compares with what the runtime shows, never with what the store remembers.

use std::collections::BTreeSet;

use super::Engine;
use super::repo::{AppRow, CancelRow, Change, EnvRow, PruneRow, ReleaseRow, Row, events, journal};
use super::rotation::Look;
use super::tries::Tries;
use crate::Result;
use crate::model::{AppId, Deployment, Desired, Domain, InstanceName, InstanceState};
use crate::traits::{Observed, Runtime};

impl Engine {
    pub(crate) async fn converge(&self, app: AppId) -> Result<()> {
        let Some(look) = self.look(app).await? else { return self.clear(app).await };
        // Neither waits for the other: what never becomes healthy keeps nobody here who should go.
        let (gone, came) = futures_util::future::join(self.remove_extra(&look), self.bring_in(&look, None)).await;
        gone.and(came)
    }

    /// Removes what should not be; it has left the routes already.
    async fn remove_extra(&self, look: &Look) -> Result<()> {
        let extra: BTreeSet<InstanceName> = look
            .observed
            .iter()
            .filter(|o| !look.wanted.iter().any(|wanted| wanted.name == o.name))
            .filter(|o| may_go(o))
            .map(|o| o.name.clone())
            .collect();
        if extra.is_empty() {
            return Ok(());
        }
        let app = &look.row.app;
        self.routed(app.id).await?;
        self.drain(&extra, app.settings.drain_timeout()).await?;
        self.take_down(look.runtime(self)?, &extra, app.settings.stop_grace()).await
    }

    /// Edits an app and its routes, over whatever handlers write meanwhile.
    pub(crate) async fn change_app(&self, id: AppId, edit: impl Fn(&mut AppRow)) -> Result<()> {
        let mut tries = Tries::default();
        loop {
            let mut app = self.repo().app(id).await?;
            edit(&mut app.value);
            let mut change = Change::default();
            change.update(&app)?;
            change.routes(id);
            if let Some(ended) = tries.ended(self.commit(change).await) {
                return ended.map(drop);
            }
        }
    }

    /// Nothing of the app serves: what still runs of it was left by a deployment that could not be cleaned up.
    pub(crate) async fn clear(&self, app: AppId) -> Result<()> {
        for runtime in self.inner.backends.runtimes.values() {
            let observed = match self.observe(&**runtime, app).await {
                Ok(observed) => observed,
                Err(error) if error.is_transient() => continue,
                Err(error) => return Err(error),
            };
            let all =
                observed.into_iter().filter(|o| !o.labels.one_off || !o.state.is_running()).map(|o| o.name).collect();
            self.take_down(&**runtime, &all, crate::model::Millis::from_secs(2)).await?;
        }
        Ok(())
    }

    /// Whether the runtime shows what the record says: cheap enough to ask for every app in every round.
    pub(crate) fn differs(&self, row: &AppRow, release: Option<&ReleaseRow>, observed: &[Observed]) -> bool {
        let (Some(live), Some(release)) = (&row.app.live, release) else { return !observed.is_empty() };
        let wanted = self.wanted(row, &release.release, live.deployment);
        let missing = wanted.iter().any(|wanted| !observed.iter().any(|o| o.name == wanted.name && settled(o)));
        let extra = observed.iter().any(|o| may_go(o) && !wanted.iter().any(|wanted| wanted.name == o.name));
        let moved = live
            .upstreams
            .iter()
            .any(|up| !observed.iter().any(|o| o.name == up.instance && o.endpoint == Some(up.addr)));
        let idle = row.app.desired == Desired::Running
            && wanted
                .iter()
                .any(|wanted| wanted.is_web() && !live.upstreams.iter().any(|up| up.instance == wanted.name));
        missing || extra || moved || idle
    }

    /// Removes everything of an app; its record goes last, so that an interrupted destroy goes on.
    pub(crate) async fn destroy(&self, row: Row<AppRow>) -> Result<()> {
        let app = row.value.app.id;
        let keep_volumes = row.value.deleting.is_some_and(|deleting| deleting.keep_volumes);
        let mut unrouted = row;
        if unrouted.value.app.live.take().is_some() {
            let mut change = Change::default();
            change.update(&unrouted)?;
            change.routes(app);
            unrouted.revision = self.commit(change).await?;
        }
        self.routed(app).await?;
        let pinned = unrouted.value.app.runtime;
        if let Some(kind) = pinned {
            // What it left there is found through its record alone: the record waits for that runtime.
            self.runtime(kind)?;
        }
        for (kind, runtime) in &self.inner.backends.runtimes {
            match self.destroy_in(&**runtime, app, keep_volumes).await {
                // It never ran there, or what is left is removed when that runtime is back: nobody owns it then.
                Err(error) if error.is_transient() && pinned != Some(*kind) => {}
                result => result?,
            }
        }
        self.inner.backends.logs.remove(app).await?;
        let mut change = Change::default();
        for row in self.repo().list::<Deployment>(|query| query.of(app.to_string())).await? {
            change.forget_stream(events(row.value.id));
            change.forget_stream(journal(row.value.id));
            change.delete::<Deployment>(row.value.id);
            change.delete::<CancelRow>(row.value.id);
            self.inner.backends.fetcher.discard(row.value.id).await?;
        }
        for row in self.repo().list::<ReleaseRow>(|query| query.of(app.to_string())).await? {
            change.delete::<ReleaseRow>(row.value.release.id);
        }
        for row in self.repo().list::<Domain>(|query| query.of(app.to_string())).await? {
            change.delete::<Domain>(row.value.id);
        }
        change.delete::<EnvRow>(app);
        change.delete::<PruneRow>(app);
        change.delete::<AppRow>(app);
        change.routes(app);
        self.commit(change).await.map(drop)
    }

    async fn destroy_in(&self, runtime: &dyn Runtime, app: AppId, keep_volumes: bool) -> Result<()> {
        let all = self.observe(runtime, app).await?.into_iter().map(|o| o.name).collect();
        self.take_down(runtime, &all, crate::model::Millis::from_secs(5)).await?;
        for artifact in runtime.list_artifacts(app).await? {
            runtime.remove_artifact(&artifact).await?;
        }
        if !keep_volumes {
            for volume in runtime.list_volumes(app).await? {
                runtime.remove_volume(app, &volume.name).await?;
            }
        }
        Ok(())
    }
}

/// Whether an instance that is not wanted is removed. The one-off run of a person is left alone until it has ended. That
/// of a release command is not: no deployment runs while this is asked, and a runtime may finish making one after its
/// deployment was cancelled.
fn may_go(observed: &Observed) -> bool {
    let of_a_deployment = || observed.name == InstanceName::release_command(observed.labels.deployment);
    !observed.labels.one_off || of_a_deployment() || matches!(observed.state, InstanceState::Exited(_))
}

/// Runs, or its restart owner will run it: nothing to do for convergence.
pub(crate) fn settled(observed: &Observed) -> bool {
    matches!(observed.state, InstanceState::Running | InstanceState::Restarting)
}
