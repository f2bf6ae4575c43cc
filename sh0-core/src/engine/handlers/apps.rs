//! Projects and apps.

use std::collections::{BTreeMap, BTreeSet};

use super::{cursor, limit, page};
use crate::engine::repo::{AppRow, Deleting, EnvRow, Row, domain_key};
use crate::engine::{Authorized, Engine, Handle};
use crate::model::{
    App, AppId, AppName, AppSettings, Bytes, Deployment, DeploymentKind, Desired, Domain, Lock, Page, ProcessName,
    Project, ProjectId, RuntimeKind, Source,
};
use crate::ops::apps::*;
use crate::ops::projects::{CreateProject, ListProjects};
use crate::{Code, Error, Result};

/// More instances of one process are a mistake on one machine.
const MOST_INSTANCES: u32 = 100;

/// The least memory with which a process starts.
const LEAST_MEMORY: Bytes = Bytes::from_mib(6);

impl Handle<ListProjects> for Engine {
    async fn handle(&self, _: ListProjects, _: &Authorized) -> Result<Page<Project>> {
        let rows = self.repo().list::<Project>(|query| query).await?;
        Ok(Page::whole(rows.into_iter().map(|row| row.value).collect()))
    }
}

impl Handle<CreateProject> for Engine {
    async fn handle(&self, op: CreateProject, cx: &Authorized) -> Result<Project> {
        if self.repo().find::<Project>(op.name.as_str()).await?.is_some() {
            return Err(Error::conflict(format!("there is a project `{}` already", op.name)));
        }
        let project =
            Project { id: ProjectId::new(self.inner.backends.clock.ulid()), name: op.name, created_at: self.now() };
        cx.change().create(&project)?;
        Ok(project)
    }
}

impl Handle<ListApps> for Engine {
    async fn handle(&self, op: ListApps, _: &Authorized) -> Result<Page<App>> {
        let (after, limit) = (cursor(op.cursor)?, limit(op.limit)?);
        let project = self.find_project(&op.project).await?;
        let rows = self
            .repo()
            .list::<AppRow>(|mut query| {
                query.after = after;
                query.limit = limit + 1;
                query.of(project.id.to_string())
            })
            .await?;
        // The cursor counts those that are being destroyed too, or the pages behind them would be lost.
        let Page { items, next_cursor } = page(rows, limit, |row| row.value.app.id.to_string());
        let mut apps = Vec::with_capacity(items.len());
        for row in items.into_iter().filter(|row| row.value.deleting.is_none()) {
            apps.push(self.shown(row.value.app).await?);
        }
        Ok(Page { items: apps, next_cursor })
    }
}

impl Handle<GetApp> for Engine {
    async fn handle(&self, op: GetApp, _: &Authorized) -> Result<App> {
        self.shown(self.find_app(&op.app).await?.value.app).await
    }
}

impl Handle<CreateApp> for Engine {
    async fn handle(&self, op: CreateApp, cx: &Authorized) -> Result<App> {
        let project = self.find_project(&op.project).await?;
        if let Some(taken) = self.repo().find::<AppRow>(&AppRow::name_key(project.id, &op.name)).await? {
            if taken.value.deleting.is_some() {
                return Err(Error::conflict(format!("an app `{}` is being destroyed; try again in a moment", op.name)));
            }
            let text =
                format!("there is an app `{}` in the project `{}` already; choose another name", op.name, project.name);
            return Err(Error::conflict(text));
        }
        let turn = self.turn_of_hosts().await?;
        self.check_own_host(project.id, &op.name, None).await?;
        check_settings(&op.settings)?;
        check_scale(&op.scale)?;
        check_source(op.source.as_ref(), cx)?;
        if let Some(kind) = op.runtime {
            self.offered(kind)?;
        }
        let id = AppId::new(self.inner.backends.clock.ulid());
        let app = App {
            id,
            project: project.id,
            name: op.name,
            runtime: op.runtime,
            source: op.source,
            settings: op.settings,
            scale: op.scale,
            desired: Desired::Running,
            live: None,
            lock: None,
            port: self.free_port(op.port).await?,
            urls: Vec::new(),
            created_at: self.now(),
        };
        let vars = self.sealed(id, &op.env)?;
        {
            let mut change = cx.change();
            change.create(&AppRow { app: app.clone(), next_release: 1, deleting: None })?;
            change.create(&EnvRow { app: id, vars })?;
            change.update(&turn)?;
            change.routes(id);
        }
        self.shown(app).await
    }
}

impl Handle<UpdateApp> for Engine {
    async fn handle(&self, op: UpdateApp, cx: &Authorized) -> Result<App> {
        let mut row = match op.name.is_some() || op.port.is_some() {
            true => self.find_unlocked(&op.app).await?,
            false => self.find_app(&op.app).await?,
        };
        let app = &mut row.value.app;
        if let Some(port) = op.port.filter(|port| *port != app.port) {
            app.port = self.free_port(Some(port)).await?;
        }
        let mut turn = None;
        if let Some(name) = op.name.filter(|name| *name != app.name) {
            turn = Some(self.turn_of_hosts().await?);
            if self.repo().find::<AppRow>(&AppRow::name_key(app.project, &name)).await?.is_some() {
                return Err(Error::conflict(format!(
                    "there is an app `{name}` in the project already; choose another name"
                )));
            }
            self.check_own_host(app.project, &name, Some(app.id)).await?;
            app.name = name;
        }
        if let Some(settings) = op.settings {
            check_settings(&settings)?;
            self.refuse_during_rollback(app.id).await?;
            app.settings = settings;
        }
        if op.source.is_some() {
            check_source(op.source.as_ref(), cx)?;
            app.source = op.source;
        }
        let app = app.clone();
        {
            let mut change = cx.change();
            change.update(&row)?;
            if let Some(turn) = turn {
                change.update(&turn)?;
            }
            change.routes(app.id);
        }
        self.shown(app).await
    }
}

impl Handle<DeleteApp> for Engine {
    async fn handle(&self, op: DeleteApp, cx: &Authorized) -> Result<()> {
        let mut row = self.find_unlocked(&op.app).await?;
        let id = row.value.app.id;
        row.value.deleting = Some(Deleting { keep_volumes: op.keep_volumes });
        let open = self.open_deployments(id).await?;
        let mut change = cx.change();
        change.update(&row)?;
        change.cancel.extend(open.iter().map(|row| row.value.id));
        change.wake(id);
        Ok(())
    }
}

impl Handle<StartApp> for Engine {
    async fn handle(&self, op: StartApp, cx: &Authorized) -> Result<App> {
        let mut row = self.find_unlocked(&op.app).await?;
        let stopped = row.value.app.desired == Desired::Stopped;
        if !stopped || !self.outdated(&row.value).await? {
            return self.edit(row, cx, |app| app.desired = Desired::Running).await;
        }
        // What was set while it was stopped: the release of before is not started first.
        row.value.app.desired = Desired::Running;
        self.enqueue(cx, &row, DeploymentKind::Config)?;
        self.shown(row.value.app).await
    }
}

impl Handle<StopApp> for Engine {
    async fn handle(&self, op: StopApp, cx: &Authorized) -> Result<App> {
        let row = self.find_unlocked(&op.app).await?;
        let why = format!("the app was stopped by {}", cx.principal());
        for deployment in self.open_deployments(row.value.app.id).await? {
            // One past its commit point ends by itself; its instances are stopped then.
            if !deployment.value.is_committed() {
                self.cancel(cx, deployment, &why)?;
            }
        }
        self.edit(row, cx, |app| {
            app.desired = Desired::Stopped;
            // Out of rotation in the same commit: nothing is sent to an instance that is about to stop.
            if let Some(live) = &mut app.live {
                live.upstreams.clear();
            }
        })
        .await
    }
}

impl Handle<RestartApp> for Engine {
    async fn handle(&self, op: RestartApp, cx: &Authorized) -> Result<Deployment> {
        let row = self.find_unlocked(&op.app).await?;
        if row.value.app.live.is_none() {
            return Err(Error::conflict(format!("`{}` was not deployed yet; deploy it first", row.value.app.name)));
        }
        if row.value.app.desired == Desired::Stopped {
            return Err(Error::conflict(format!("`{}` is stopped; start it", row.value.app.name)));
        }
        let kind = if self.outdated(&row.value).await? { DeploymentKind::Config } else { DeploymentKind::Restart };
        self.enqueue(cx, &row, kind)
    }
}

impl Handle<ScaleApp> for Engine {
    async fn handle(&self, op: ScaleApp, cx: &Authorized) -> Result<App> {
        check_scale(&op.scale)?;
        let row = self.find_unlocked(&op.app).await?;
        if let Some(known) = self.known_processes(&row.value).await?
            && let Some(unknown) = op.scale.keys().find(|process| !known.contains(*process))
        {
            let names: Vec<_> = known.iter().map(ToString::to_string).collect();
            return Err(Error::invalid(
                format!("scale.{unknown}"),
                "is no process of this app",
                format!("it has: {}", names.join(", ")),
            ));
        }
        self.edit(row, cx, |app| app.scale.extend(op.scale)).await
    }
}

impl Handle<LockApp> for Engine {
    async fn handle(&self, op: LockApp, cx: &Authorized) -> Result<App> {
        if op.reason.chars().count() > 500 {
            return Err(Error::invalid("reason", "is longer than 500 characters", "say it shorter"));
        }
        let lock = Lock { reason: op.reason, by: cx.principal().to_string(), at: self.now() };
        self.edit(self.find_app(&op.app).await?, cx, |app| app.lock = Some(lock)).await
    }
}

impl Handle<UnlockApp> for Engine {
    async fn handle(&self, op: UnlockApp, cx: &Authorized) -> Result<App> {
        self.edit(self.find_app(&op.app).await?, cx, |app| app.lock = None).await
    }
}

impl Engine {
    /// Changes an app's record; its executor and the router look at it afterwards.
    async fn edit(&self, mut row: Row<AppRow>, cx: &Authorized, edit: impl FnOnce(&mut App) + Send) -> Result<App> {
        edit(&mut row.value.app);
        {
            let mut change = cx.change();
            change.update(&row)?;
            change.routes(row.value.app.id);
            change.wake(row.value.app.id);
        }
        self.shown(row.value.app).await
    }

    /// The app with what is computed and not stored.
    pub(crate) async fn shown(&self, mut app: App) -> Result<App> {
        app.urls = self.urls(&app).await?;
        Ok(app)
    }

    /// The process types of the live release, when there is one.
    async fn known_processes(&self, row: &AppRow) -> Result<Option<BTreeSet<ProcessName>>> {
        let Some(live) = &row.app.live else { return Ok(None) };
        let release = self.repo().get::<crate::engine::repo::ReleaseRow>(live.release).await?;
        Ok(release.map(|row| crate::engine::instances::processes(&row.value.release).into_keys().collect()))
    }

    /// Refuses a name whose own host, or a path of it, is a domain of another app.
    async fn check_own_host(&self, project: ProjectId, name: &AppName, app: Option<AppId>) -> Result<()> {
        let host = self.own_host_of(project, name).await?;
        let mut domains = self.repo().list::<Domain>(|query| query).await?.into_iter().map(|row| row.value);
        match domains.find(|domain| domain.host.as_str() == host && Some(domain.app) != app) {
            Some(domain) => {
                let taken = domain_key(&domain.host, domain.path.as_ref());
                let owner = self.name_of(domain.app).await?;
                let text = format!("{taken} leads to {owner}; choose another name, or remove that domain there first");
                Err(Error::conflict(text))
            }
            None => Ok(()),
        }
    }

    /// How a person calls an app.
    pub(crate) async fn name_of(&self, app: AppId) -> Result<String> {
        let row = self.repo().get::<AppRow>(app).await?;
        let Some(app) = row.map(|row| row.value.app) else { return Ok(format!("the app {app}")) };
        Ok(match self.project_label(app.project).await? {
            None => format!("the app `{}`", app.name),
            Some(project) => format!("the app `{project}/{}`", app.name),
        })
    }

    async fn free_port(&self, asked: Option<u16>) -> Result<u16> {
        let taken: BTreeSet<u16> =
            self.repo().list::<AppRow>(|query| query).await?.iter().map(|row| row.value.app.port).collect();
        if let Some(port) = asked {
            if port == 0 {
                return Err(Error::invalid("port", "is 0", "use 1 to 65535, or leave it out for a free one"));
            }
            if taken.contains(&port) {
                return Err(Error::conflict(format!("port {port} belongs to another app already")));
            }
        }
        let port = self.inner.backends.proxy.find_port(asked, &taken).await?;
        match asked {
            Some(asked) if asked != port => Err(Error::conflict(format!(
                "port {asked} is in use by another program; choose another or leave it out"
            ))),
            _ => Ok(port),
        }
    }

    /// Whether the platform has this runtime.
    pub(crate) fn offered(&self, kind: RuntimeKind) -> Result<()> {
        match self.inner.backends.runtimes.contains_key(&kind) {
            true => Ok(()),
            false => {
                let known: Vec<_> = self.inner.backends.runtimes.keys().map(|kind| kind.as_str()).collect();
                Err(Error::invalid(
                    "runtime",
                    format!("`{kind}` is not available here"),
                    format!("available: {}", known.join(", ")),
                ))
            }
        }
    }

    /// The runtime of apps that name none: configured, or the first that answers, Docker before processes.
    pub(crate) async fn choose_runtime(&self) -> Result<RuntimeKind> {
        if let Some(kind) = self.inner.config.default_runtime {
            return Ok(kind);
        }
        for (kind, runtime) in &self.inner.backends.runtimes {
            if runtime.info().await.is_ok() {
                return Ok(*kind);
            }
        }
        Err(Error::unavailable("no runtime answers; `sh0 doctor` says why"))
    }
}

/// Rules that concern more than one field.
pub(crate) fn check_settings(settings: &AppSettings) -> Result<()> {
    let field = |name: &str, reason: String, hint: &str| Err(Error::invalid(format!("settings.{name}"), reason, hint));
    if settings.port == Some(0) {
        return field("port", "is 0".into(), "use 1 to 65535");
    }
    if !(1..=10).contains(&settings.health.successes) {
        return field("health.successes", format!("is {}", settings.health.successes), "use 1 to 10");
    }
    if settings.health.retries > 10 {
        return field("health.retries", format!("is {}", settings.health.retries), "use 0 to 10");
    }
    let day = 86_400_000;
    let spans = [
        ("health.interval", settings.health.interval, 10),
        ("health.timeout", settings.health.timeout, 10),
        ("health.start_period", settings.health.start_period, 100),
        ("drain_timeout", settings.drain_timeout(), 0),
        ("stop_grace", settings.stop_grace(), 0),
    ];
    for (name, span, least) in spans {
        if span.0 < least || span.0 > day {
            return field(name, format!("is {} ms", span.0), &format!("use {least} ms to {day} ms (a day)"));
        }
    }
    if let Some(memory) = settings.resources.memory.filter(|memory| *memory < LEAST_MEMORY) {
        return field("resources.memory", format!("is {} bytes", memory.0), "use at least 6 MiB (6291456)");
    }
    if let Some(cpus) = settings.resources.cpus.filter(|cpus| !(10..=1_024_000).contains(&cpus.0)) {
        return field("resources.cpus", format!("is {} thousandths of a core", cpus.0), "use 10 to 1024000");
    }
    if let Some(pids) = settings.resources.pids.filter(|pids| !(4..=1_000_000).contains(pids)) {
        return field("resources.pids", format!("is {pids}"), "use 4 to 1000000");
    }
    for (name, command) in [("start_command", &settings.start_command), ("release_command", &settings.release_command)]
    {
        if let Some(command) = command
            && (command.trim().is_empty() || command.len() > 8192 || command.contains('\0'))
        {
            return field(
                name,
                "is empty, longer than 8192 bytes, or contains NUL".into(),
                "give a command line for a shell",
            );
        }
    }
    let mut seen = BTreeSet::new();
    for mount in &settings.volumes {
        if !seen.insert(mount.name.as_str()) || !seen.insert(mount.path.as_str()) {
            return field(
                "volumes",
                format!("has `{}` or `{}` twice", mount.name, mount.path),
                "give each name and each path once",
            );
        }
        if matches!(mount.path.as_str(), "/" | "/bin" | "/dev" | "/etc" | "/lib" | "/proc" | "/sys" | "/usr") {
            return field(
                "volumes",
                format!("mounts `{}` over the system", mount.path),
                "choose a folder of the app, such as /data",
            );
        }
    }
    Ok(())
}

fn check_scale(scale: &BTreeMap<ProcessName, u32>) -> Result<()> {
    match scale.iter().find(|(_, count)| **count > MOST_INSTANCES) {
        Some((process, count)) => {
            Err(Error::invalid(format!("scale.{process}"), format!("is {count}"), format!("use 0 to {MOST_INSTANCES}")))
        }
        None => Ok(()),
    }
}

/// A folder of the platform's machine may be named only by somebody who is on it.
pub(crate) fn check_source(source: Option<&Source>, cx: &Authorized) -> Result<()> {
    match source {
        Some(Source::Folder { .. }) if !cx.principal().is_local() => Err(Error::new(
            Code::Forbidden,
            "a folder of the server can be deployed only by a local caller; upload the folder instead",
        )),
        Some(Source::Git { url, .. })
            if !cx.principal().is_local() && (url.as_str().starts_with('/') || url.as_str().starts_with("file:")) =>
        {
            Err(Error::new(
                Code::Forbidden,
                "a repository in the server's file system can be deployed only by a local caller",
            ))
        }
        _ => Ok(()),
    }
}
