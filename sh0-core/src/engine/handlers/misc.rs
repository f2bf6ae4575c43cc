//! Domains, volumes, logs, uploads.

use futures_util::stream::BoxStream;

use crate::engine::repo::{AppRow, Entity, ReleaseRow, domain_key};
use crate::engine::{Authorized, Engine, Follow, Handle, Receive};
use crate::model::{App, Domain, DomainId, LogLine, Page, Upload, UploadId, Volume, VolumeMount};
use crate::ops::domains::*;
use crate::ops::logs::*;
use crate::ops::sources::UploadSource;
use crate::ops::volumes::*;
use crate::traits::{ByteStream, LogQuery};
use crate::{Error, Result};

impl Handle<ListDomains> for Engine {
    async fn handle(&self, op: ListDomains, _: &Authorized) -> Result<Page<Domain>> {
        let app = self.find_app(&op.app).await?.value.app.id;
        let rows = self.repo().list::<Domain>(|query| query.of(app.to_string())).await?;
        Ok(Page::whole(rows.into_iter().map(|row| row.value).collect()))
    }
}

impl Handle<AddDomain> for Engine {
    async fn handle(&self, op: AddDomain, cx: &Authorized) -> Result<Domain> {
        let row = self.find_unlocked(&op.app).await?;
        let app = row.value.app.id;
        let key = domain_key(&op.host, op.path.as_ref());
        let turn = match self.is_own_host(&op.host) {
            true => Some(self.turn_of_hosts().await?),
            false => None,
        };
        if let Some(owner) = self.owner_of(&op.host).await? {
            let whose = self.name_of(owner).await?;
            let text = format!("{} is the own host of {whose}, and leads there with every path", op.host);
            return Err(Error::conflict(format!("{text}; use a host of your own")));
        }
        if let Some(taken) = self.repo().find::<Domain>(&key).await? {
            let text = match taken.value.app == app {
                true => format!("{key} leads to this app already"),
                false => {
                    format!("{key} leads to {} already; remove it there first", self.name_of(taken.value.app).await?)
                }
            };
            return Err(Error::conflict(text));
        }
        let domain = Domain {
            id: DomainId::new(self.inner.backends.clock.ulid()),
            app,
            host: op.host,
            path: op.path,
            created_at: self.now(),
        };
        let mut change = cx.change();
        change.create(&domain)?;
        if let Some(turn) = turn {
            change.update(&turn)?;
        }
        // A lock or a destroy that comes in between makes this read again.
        change.check::<AppRow>(row.value.id(), Some(row.revision));
        change.routes(app);
        Ok(domain)
    }
}

impl Handle<RemoveDomain> for Engine {
    async fn handle(&self, op: RemoveDomain, cx: &Authorized) -> Result<()> {
        let row = self.find_unlocked(&op.app).await?;
        let app = row.value.app.id;
        let key = domain_key(&op.host, op.path.as_ref());
        let found = self.repo().find::<Domain>(&key).await?.filter(|row| row.value.app == app);
        let domain = found.ok_or_else(|| Error::not_found("domain", &key))?;
        let mut change = cx.change();
        change.delete::<Domain>(domain.value.id);
        change.check::<AppRow>(row.value.id(), Some(row.revision));
        change.routes(app);
        Ok(())
    }
}

impl Handle<ListVolumes> for Engine {
    async fn handle(&self, op: ListVolumes, _: &Authorized) -> Result<Page<Volume>> {
        let app = self.find_app(&op.app).await?.value.app;
        let mut volumes: Vec<Volume> = Vec::new();
        if let Some(kind) = app.runtime {
            for observed in self.runtime(kind)?.list_volumes(app.id).await? {
                let mounted = app.settings.volumes.iter().any(|mount| mount.name == observed.name);
                volumes.push(Volume {
                    app: app.id,
                    name: observed.name,
                    location: observed.location,
                    used: observed.used,
                    mounted,
                });
            }
        }
        for mount in &app.settings.volumes {
            if !volumes.iter().any(|volume| volume.name == mount.name) {
                let location = "(made by the next deployment)".to_owned();
                volumes.push(Volume { app: app.id, name: mount.name.clone(), location, used: None, mounted: true });
            }
        }
        Ok(Page::whole(volumes))
    }
}

impl Handle<AddVolume> for Engine {
    async fn handle(&self, op: AddVolume, cx: &Authorized) -> Result<App> {
        let mut row = self.find_app(&op.app).await?;
        row.value.app.settings.volumes.push(VolumeMount { name: op.name, path: op.path });
        super::apps::check_settings(&row.value.app.settings)?;
        cx.change().update(&row)?;
        self.shown(row.value.app).await
    }
}

impl Handle<RemoveVolume> for Engine {
    async fn handle(&self, op: RemoveVolume, _: &Authorized) -> Result<()> {
        let app = self.find_unlocked(&op.app).await?.value.app;
        if !self.open_deployments(app.id).await?.is_empty() {
            return Err(Error::conflict("a deployment is under way and may mount it; try again when it has ended"));
        }
        let mut mounts = app.settings.volumes.clone();
        if let Some(live) = &app.live
            && let Some(release) = self.repo().get::<ReleaseRow>(live.release).await?
        {
            mounts.extend(release.value.release.settings.volumes);
        }
        if mounts.iter().any(|mount| mount.name == op.volume) {
            let text = format!("`{}` is mounted; take it out of the settings and deploy first", op.volume);
            return Err(Error::conflict(text));
        }
        let runtime = app.runtime.ok_or_else(|| Error::not_found("volume", &op.volume))?;
        let runtime = self.runtime(runtime)?;
        if !runtime.list_volumes(app.id).await?.iter().any(|volume| volume.name == op.volume) {
            return Err(Error::not_found("volume", &op.volume));
        }
        runtime.remove_volume(app.id, &op.volume).await
    }
}

/// The most lines in one answer.
const MOST_LINES: u32 = 10_000;

impl Handle<ReadLogs> for Engine {
    async fn handle(&self, op: ReadLogs, _: &Authorized) -> Result<Page<LogLine>> {
        let app = self.find_app(&op.app).await?.value.app.id;
        let query = LogQuery {
            after: op.after,
            since: op.since,
            tail: tail(op.tail)?,
            limit: 1000,
            process: op.process,
            instance: op.instance,
            contains: op.contains,
        };
        let items = self.inner.backends.logs.read(app, &query).await?;
        let full = query.tail.is_none() && items.len() == query.limit;
        let next_cursor = items.last().filter(|_| full).map(|line| line.cursor.to_string());
        Ok(Page { items, next_cursor })
    }
}

impl Follow<FollowLogs> for Engine {
    async fn follow(&self, op: FollowLogs, _: &Authorized) -> Result<BoxStream<'static, Result<LogLine>>> {
        let app = self.find_app(&op.app).await?.value.app.id;
        let query = LogQuery {
            after: op.after,
            since: op.since,
            tail: tail(op.tail)?,
            limit: 0,
            process: op.process,
            instance: op.instance,
            contains: op.contains,
        };
        self.inner.backends.logs.follow(app, query).await
    }
}

fn tail(asked: Option<u32>) -> Result<Option<usize>> {
    match asked {
        Some(lines) if lines > MOST_LINES => {
            Err(Error::invalid("tail", format!("is {lines}"), format!("use at most {MOST_LINES}")))
        }
        lines => Ok(lines.map(|lines| lines as usize)),
    }
}

impl Receive<UploadSource> for Engine {
    async fn receive(&self, _: UploadSource, bytes: ByteStream, _: &Authorized) -> Result<Upload> {
        let id = UploadId::new(self.inner.backends.clock.ulid());
        self.inner.backends.fetcher.receive(id, bytes).await
    }
}
