//! Deployments and releases.

use futures_util::stream::{self, BoxStream, StreamExt};
use serde::Deserialize;

use super::apps::check_source;
use super::{cursor, limit, page};
use crate::engine::repo::{AppRow, CancelRow, Entity, ReleaseRow, Row, events};
use crate::engine::{Authorized, Engine, Follow, Handle};
use crate::model::{
    AppId, Deployment, DeploymentId, DeploymentKind, DeploymentState, Event, EventKind, Page, Release, Source,
    Timestamp,
};
use crate::ops::deployments::*;
use crate::ops::releases::{ListReleases, Rollback};
use crate::traits::Store;
use crate::{Code, Error, Result};

/// Events that one read of the store brings.
const BATCH: usize = 256;

impl Handle<CreateDeployment> for Engine {
    async fn handle(&self, op: CreateDeployment, cx: &Authorized) -> Result<Deployment> {
        let mut row = self.find_unlocked(&op.app).await?;
        check_source(op.source.as_ref(), cx)?;
        if let Some(kind) = op.runtime {
            self.offered(kind)?;
            match row.value.app.runtime {
                Some(pinned) if pinned != kind && self.stays(&row.value).await? => {
                    let text = format!(
                        "`{}` runs on {pinned} and stays there; create another app for {kind}",
                        row.value.app.name
                    );
                    return Err(Error::conflict(text));
                }
                _ => row.value.app.runtime = Some(kind),
            }
        }
        let source = op.source.or_else(|| row.value.app.source.clone()).ok_or_else(|| {
            Error::invalid(
                "source",
                "is missing, and the app has none of its own",
                "give a folder, a git URL, an image or an upload",
            )
        })?;
        if matches!(source, Source::Image { .. }) && row.value.app.runtime == Some(crate::model::RuntimeKind::Process) {
            return Err(Error::invalid(
                "source",
                "is an image, and this app runs as a process",
                "give a folder or a git URL, or create an app on Docker",
            ));
        }
        self.enqueue(cx, &row, DeploymentKind::Deploy { source, no_cache: op.no_cache })
    }
}

impl Handle<ListDeployments> for Engine {
    async fn handle(&self, op: ListDeployments, _: &Authorized) -> Result<Page<Deployment>> {
        let (after, limit) = (cursor(op.cursor)?, limit(op.limit)?);
        let app = self.find_app(&op.app).await?.value.app.id;
        let rows = self
            .repo()
            .list::<Deployment>(|mut query| {
                query.after = after;
                query.of(app.to_string()).newest(limit + 1)
            })
            .await?;
        Ok(page(rows.into_iter().map(|row| row.value).collect(), limit, |deployment| deployment.id.to_string()))
    }
}

impl Handle<GetDeployment> for Engine {
    async fn handle(&self, op: GetDeployment, _: &Authorized) -> Result<Deployment> {
        let app = self.find_app(&op.app).await?;
        Ok(self.deployment_of(&app.value, op.deployment).await?.value)
    }
}

impl Handle<CancelDeployment> for Engine {
    async fn handle(&self, op: CancelDeployment, cx: &Authorized) -> Result<Deployment> {
        let app = self.find_app(&op.app).await?;
        let row = self.deployment_of(&app.value, op.deployment).await?;
        if row.value.state.is_final() {
            return Err(Error::conflict(format!("it has ended already: {:?}", row.value.state).to_lowercase()));
        }
        if row.value.is_committed() {
            return Err(Error::conflict("its release serves already; roll back instead"));
        }
        self.cancel(cx, row, &format!("cancelled by {}", cx.principal()))
    }
}

impl Follow<FollowDeployment> for Engine {
    async fn follow(&self, op: FollowDeployment, _: &Authorized) -> Result<BoxStream<'static, Result<Event>>> {
        let app = self.find_app(&op.app).await?;
        let deployment = self.deployment_of(&app.value, op.deployment).await?.value.id;
        Ok(self.events(deployment, op.after.unwrap_or(0)))
    }
}

impl Handle<ListReleases> for Engine {
    async fn handle(&self, op: ListReleases, _: &Authorized) -> Result<Page<Release>> {
        let (after, limit) = (cursor(op.cursor)?, limit(op.limit)?);
        let app = self.find_app(&op.app).await?.value.app;
        let rows = self
            .repo()
            .list::<ReleaseRow>(|mut query| {
                query.after = after;
                query.of(app.id.to_string()).newest(limit + 1)
            })
            .await?;
        let live = app.live.map(|live| live.release);
        let releases = rows
            .into_iter()
            .map(|row| Release { live: Some(row.value.release.id) == live, ..row.value.release })
            .collect();
        Ok(page(releases, limit, |release: &Release| release.id.to_string()))
    }
}

impl Handle<Rollback> for Engine {
    async fn handle(&self, op: Rollback, cx: &Authorized) -> Result<Deployment> {
        let row = self.find_unlocked(&op.app).await?;
        let app = &row.value;
        let Some(live) = &app.app.live else {
            return Err(Error::conflict(format!(
                "`{}` was not deployed yet; there is nothing to go back to",
                app.app.name
            )));
        };
        let releases = self.repo().list::<ReleaseRow>(|query| query.of(app.app.id.to_string()).newest(10_000)).await?;
        let releases = releases.into_iter().map(|row| row.value.release);
        let target = match op.to {
            Some(number) => releases
                .into_iter()
                .find(|release| release.number == number)
                .ok_or_else(|| Error::invalid("to", format!("there is no release v{number}"), "see `releases.list`"))?,
            None => releases
                .into_iter()
                .find(|release| release.number < live.number && !release.pruned)
                .ok_or_else(|| Error::conflict(format!("there is no release before v{}", live.number)))?,
        };
        if target.id == live.release {
            return Err(Error::conflict(format!("v{} serves already", target.number)));
        }
        if target.pruned {
            let text = format!("what v{} runs was removed by retention; deploy its source again", target.number);
            return Err(Error::conflict(text));
        }
        self.enqueue(cx, &row, DeploymentKind::Rollback { to: target.id })
    }
}

impl Engine {
    /// Cancels a deployment that is neither over nor past its commit point.
    pub(crate) fn cancel(&self, cx: &Authorized, mut row: Row<Deployment>, why: &str) -> Result<Deployment> {
        let mut change = cx.change();
        match row.value.state {
            DeploymentState::Queued => {
                let error = Error::new(Code::Cancelled, format!("{why} before it began"));
                self.end(&mut change, &mut row, DeploymentState::Cancelled, Some(error))?;
            }
            _ => {
                let (deployment, app) = (row.value.id, row.value.app);
                change.put(&CancelRow { deployment, app, why: why.to_owned() })?;
                // One that switches meanwhile makes this read again.
                change.check::<Deployment>(deployment.to_string(), Some(row.revision));
                change.cancel.insert(deployment);
            }
        }
        Ok(row.value)
    }

    /// Whether something of the app is where it is pinned, or is being made there: it is not moved then.
    async fn stays(&self, app: &AppRow) -> Result<bool> {
        let id = app.app.id;
        let releases = self.repo().list::<ReleaseRow>(|query| query.of(id.to_string()).newest(1)).await?;
        Ok(app.app.live.is_some() || !releases.is_empty() || !self.open_deployments(id).await?.is_empty())
    }

    /// A rollback restores environment and settings: what is changed while it runs would be lost at its switch.
    pub(crate) async fn refuse_during_rollback(&self, app: AppId) -> Result<()> {
        let open = self.open_deployments(app).await?;
        match open.iter().any(|row| matches!(row.value.kind, DeploymentKind::Rollback { .. })) {
            true => Err(Error::conflict(
                "a rollback is under way and restores environment and settings; try again when it has ended",
            )),
            false => Ok(()),
        }
    }

    async fn deployment_of(&self, app: &AppRow, id: DeploymentId) -> Result<Row<Deployment>> {
        let row = self.repo().get::<Deployment>(id).await?.filter(|row| row.value.app == app.app.id);
        row.ok_or_else(|| Error::not_found("deployment", id))
    }

    /// The events of a deployment after a cursor; ends after the one with a final state.
    fn events(&self, deployment: DeploymentId, after: u64) -> BoxStream<'static, Result<Event>> {
        let (store, wake) = (self.inner.backends.store.clone(), self.inner.backends.store.watch());
        let start = (store, wake, after, std::collections::VecDeque::<Event>::new(), false);
        stream::try_unfold(start, move |(store, mut wake, mut after, mut waiting, mut over)| async move {
            while waiting.is_empty() && !over {
                // Marked as seen before reading: a commit in between wakes again.
                wake.borrow_and_update();
                // Asked before reading: what its last commit told is read with it.
                let ended = ended(&*store, deployment).await?;
                let entries = store.read(&events(deployment), after, BATCH).await?;
                for entry in entries {
                    after = entry.seq;
                    let Stored { at, what } = serde_json::from_value(entry.body)?;
                    waiting.push_back(Event { cursor: entry.seq, deployment, at, what });
                }
                if waiting.is_empty() && (ended || wake.changed().await.is_err()) {
                    over = true;
                }
            }
            let Some(event) = waiting.pop_front() else { return Ok(None) };
            over = matches!(&event.what, EventKind::State { state, .. } if state.is_final());
            if over {
                waiting.clear();
            }
            Ok(Some((event, (store, wake, after, waiting, over))))
        })
        .boxed()
    }
}

/// Whether nothing more will be told of a deployment: it is over, or gone with its app.
async fn ended(store: &dyn Store, id: DeploymentId) -> Result<bool> {
    let record = store.get(<Deployment as Entity>::KIND, &id.to_string()).await?;
    let state = record.and_then(|record| serde_json::from_value(record.body.get("state")?.clone()).ok());
    Ok(state.is_none_or(DeploymentState::is_final))
}

#[derive(Deserialize)]
struct Stored {
    at: Timestamp,
    what: EventKind,
}
