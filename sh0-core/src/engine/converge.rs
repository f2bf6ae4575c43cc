//! Makes the instances of an app what its record says: the right number of the live release, healthy ones in rotation,
//! nothing else. It compares with what the runtime shows, never with what the store remembers.

use std::collections::BTreeSet;

use super::Engine;
use super::instances::Wanted;
use super::repo::{AppRow, CancelRow, Change, EnvRow, PruneRow, ReleaseRow, Row, events, journal};
use crate::model::{AppId, Deployment, Desired, Domain, InstanceName, InstanceState, Live, Upstream};
use crate::traits::{Observed, Runtime};
use crate::{Code, Error, Result};

impl Engine {
    pub(crate) async fn converge(&self, row: AppRow) -> Result<()> {
        let Some(live) = row.app.live.clone() else { return self.clear(row.app.id).await };
        let release = self.repo().get::<ReleaseRow>(live.release).await?;
        let release = release.ok_or_else(|| Error::not_found("release", live.release))?.value;
        let runtime = self.runtime(release.release.artifact.runtime)?;
        let mut observed = self.observe(runtime, row.app.id).await?;
        let wanted = self.wanted(&row, &release.release, live.deployment);

        let down: Vec<Wanted> = wanted.iter().filter(|wanted| !runs(&observed, &wanted.name)).cloned().collect();
        let mut ready = Vec::new();
        if !down.is_empty() {
            self.bring_up(runtime, &release, live.deployment, &down).await?;
            ready = self.ready(runtime, &down, &row.app.settings.health, false).await?;
            // Meanwhile others may have ended, or come back.
            observed = self.observe(runtime, row.app.id).await?;
        }
        for instance in observed.iter().filter(|o| o.state.is_running() && !o.labels.one_off) {
            self.collect(runtime.kind(), &instance.name, &instance.labels.process, row.app.id, instance.labels.release);
        }
        let all_in = self.rotate(runtime, &row, &live, &wanted, &observed, &ready).await?;

        let extra: BTreeSet<InstanceName> = observed
            .iter()
            .filter(|o| !wanted.iter().any(|wanted| wanted.name == o.name))
            .filter(|o| !o.labels.one_off || matches!(o.state, InstanceState::Exited(_)))
            .map(|o| o.name.clone())
            .collect();
        if !extra.is_empty() {
            self.routed(row.app.id).await?;
            self.drain(&extra, row.app.settings.drain_timeout()).await?;
            self.take_down(runtime, &extra, row.app.settings.stop_grace()).await?;
        }
        match all_in {
            true => Ok(()),
            // Nobody may tell when that changes: it is looked at again soon, not at the next round of the reconciler.
            false => Err(Error::unavailable("not every instance is in rotation yet")),
        }
    }

    /// Puts the healthy `web` instances in rotation, and only them; those that are `ready` were asked just now. Answers
    /// whether all are in that should be.
    async fn rotate(
        &self,
        runtime: &dyn Runtime,
        row: &AppRow,
        live: &Live,
        wanted: &[Wanted],
        observed: &[Observed],
        ready: &[Upstream],
    ) -> Result<bool> {
        let (mut upstreams, web) = (Vec::new(), wanted.iter().filter(|wanted| wanted.is_web()));
        for wanted in web.clone() {
            let running = observed.iter().find(|o| o.name == wanted.name && o.state.is_running());
            let Some((instance, addr)) = running.and_then(|o| Some((o, o.endpoint?))) else { continue };
            let upstream = Upstream { instance: instance.name.clone(), addr };
            if live.upstreams.contains(&upstream) || ready.contains(&upstream) {
                upstreams.push(upstream);
                continue;
            }
            // Started again by its restart owner, or at another address: it must answer before it gets traffic.
            match self.ready(runtime, std::slice::from_ref(wanted), &row.app.settings.health, false).await {
                Ok(ready) => upstreams.extend(ready),
                Err(error) => tracing::warn!(instance = %instance.name, %error, "stays out of rotation"),
            }
        }
        upstreams.sort();
        let all_in = upstreams.len() == web.count();
        let mut before = live.upstreams.clone();
        before.sort();
        if upstreams == before {
            return Ok(all_in);
        }
        let id = row.app.id;
        self.change_app(id, |app| {
            // A deployment cannot have come in between: this executor runs them too.
            if let Some(live) = &mut app.app.live {
                live.upstreams.clone_from(&upstreams);
            }
        })
        .await?;
        Ok(all_in)
    }

    /// Edits an app and its routes, over whatever handlers write meanwhile.
    pub(crate) async fn change_app(&self, id: AppId, edit: impl Fn(&mut AppRow)) -> Result<()> {
        loop {
            let mut app = self.repo().app(id).await?;
            edit(&mut app.value);
            let mut change = Change::default();
            change.update(&app)?;
            change.routes(id);
            match self.commit(change).await {
                Err(error) if error.code() == Code::Conflict => {}
                result => return result.map(drop),
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
        let extra = observed.iter().any(|o| match o.labels.one_off {
            true => matches!(o.state, InstanceState::Exited(_)),
            false => !wanted.iter().any(|wanted| wanted.name == o.name),
        });
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

fn runs(observed: &[Observed], name: &InstanceName) -> bool {
    observed.iter().any(|o| o.name == *name && settled(o))
}

/// Runs, or its restart owner will run it: nothing to do for convergence.
fn settled(observed: &Observed) -> bool {
    matches!(observed.state, InstanceState::Running | InstanceState::Restarting)
}
