//! The route table is a pure function of the store. One task applies the newest to the proxy, whole; nobody else talks
//! to the proxy about routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use super::Engine;
use super::repo::{AppRow, PlatformRow, Row};
use super::state::lock;
use crate::model::{App, AppId, AppName, Desired, Domain, HostName, Project, ProjectId};
use crate::traits::{Listener, Route, RouteTable, Target};
use crate::{Error, Result};

/// Between two tries when the proxy does not take a table.
const RETRY: Duration = Duration::from_millis(500);

/// What one app contributes to the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AppRoutes {
    port: u16,
    /// The host name that belongs to the app itself.
    own: Option<HostName>,
    /// That of its domains.
    domains: Vec<Route>,
    target: Target,
}

/// What the router has read.
#[derive(Default)]
struct Known {
    apps: BTreeMap<AppId, AppRoutes>,
    /// The revisions of the records that were read since the last table that the proxy took.
    read: BTreeMap<AppId, u64>,
    generation: u64,
    /// What generations are ahead of the store's revisions; absent until the proxy has said which it has in force.
    ahead: Option<u64>,
}

impl Engine {
    /// Reads all routes, and starts the task that keeps the proxy up to date.
    pub(crate) async fn start_router(&self) -> Result<()> {
        let mut known = Known::default();
        for row in self.repo().list::<AppRow>(|query| query).await? {
            known.apps.insert(row.value.app.id, self.app_routes(&row).await?);
            known.read.insert(row.value.app.id, row.revision);
        }
        let engine = self.for_task();
        self.inner.routes_changed.notify_one();
        self.spawn(async move { engine.route(known).await });
        Ok(())
    }

    async fn route(&self, mut known: Known) {
        loop {
            self.inner.routes_changed.notified().await;
            loop {
                let stale = std::mem::take(&mut *lock(&self.inner.stale_routes));
                match self.route_once(&mut known, &stale).await {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::warn!(%error, "routes could not be applied; trying again");
                        lock(&self.inner.stale_routes).extend(stale);
                        self.sleep(RETRY).await;
                    }
                }
            }
        }
    }

    async fn route_once(&self, known: &mut Known, stale: &BTreeSet<AppId>) -> Result<()> {
        // Taken before reading: whatever is committed later raises it again.
        let revision = *self.inner.backends.store.watch().borrow();
        for id in stale {
            match self.repo().get::<AppRow>(id).await? {
                Some(row) => {
                    let routes = self.app_routes(&row).await?;
                    known.apps.insert(*id, routes);
                    known.read.insert(*id, row.revision);
                }
                None => {
                    known.apps.remove(id);
                    known.read.remove(id);
                    lock(&self.inner.in_force).remove(id);
                }
            }
        }
        let ahead = match known.ahead {
            Some(ahead) => ahead,
            None => *known.ahead.insert(self.ahead_of(revision).await?),
        };
        known.generation = (revision + ahead).max(known.generation);
        self.inner.backends.proxy.apply(&self.table(known.generation, &known.apps)).await?;
        lock(&self.inner.in_force).append(&mut known.read);
        self.inner.generation.send_replace(known.generation);
        Ok(())
    }

    /// A proxy that outlived its store, of which an older copy was put back, has a later table in force than this store
    /// knows: generations count on from there. Asked once: what comes into force later is of this engine, or of the one
    /// that took its place.
    async fn ahead_of(&self, revision: u64) -> Result<u64> {
        match self.inner.backends.proxy.status().await?.generation {
            theirs if theirs > revision => Ok(theirs + 1 - revision),
            _ => Ok(0),
        }
    }

    fn table(&self, generation: u64, apps: &BTreeMap<AppId, AppRoutes>) -> RouteTable {
        let config = &self.inner.config;
        let by_host = config.listen.iter().map(|addr| Listener { addr: *addr, app: None });
        let own =
            apps.iter().map(|(id, app)| Listener { addr: SocketAddr::new(config.app_bind, app.port), app: Some(*id) });
        // Whatever came to be stored: no domain takes a host that belongs to an app itself, nor a path of it.
        let owned: BTreeSet<&HostName> = apps.values().filter_map(|app| app.own.as_ref()).collect();
        let free = |route: &&Route| !owned.contains(&route.host);
        let routes = apps.iter().flat_map(|(id, app)| {
            let own = app.own.iter().map(|host| Route { host: host.clone(), path: None, app: *id });
            own.chain(app.domains.iter().filter(free).cloned())
        });
        RouteTable {
            generation,
            listeners: by_host.chain(own).collect(),
            routes: routes.collect(),
            targets: apps.iter().map(|(id, app)| (*id, app.target.clone())).collect(),
        }
    }

    async fn app_routes(&self, row: &Row<AppRow>) -> Result<AppRoutes> {
        let app = &row.value.app;
        let own = self.own_host(app).await?.parse().ok();
        let domains = self.repo().list::<Domain>(|query| query.of(app.id.to_string())).await?.into_iter();
        let domains = domains.map(|row| Route { host: row.value.host, path: row.value.path, app: app.id }).collect();
        let live = app.live.as_ref();
        let notice = match (live, app.desired) {
            (None, _) => Some("it was not deployed yet".to_owned()),
            (Some(_), Desired::Stopped) => Some("it was stopped by its owner".to_owned()),
            (Some(_), Desired::Running) => None,
        };
        let target = Target {
            name: app.name.to_string(),
            release: live.map(|live| live.release),
            deployment: live.map(|live| live.deployment),
            upstreams: live.map(|live| live.upstreams.clone()).unwrap_or_default(),
            notice,
            drain_timeout: app.settings.drain_timeout(),
        };
        Ok(AppRoutes { port: app.port, own, domains, target })
    }

    /// The host name that an app has from its first day: `web.localhost`, or `web.shop.localhost` outside of the default
    /// project.
    async fn own_host(&self, app: &App) -> Result<String> {
        self.own_host_of(app.project, &app.name).await
    }

    pub(crate) async fn own_host_of(&self, project: ProjectId, name: &AppName) -> Result<String> {
        let base = &self.inner.config.base_domain;
        match self.project_label(project).await? {
            None => Ok(format!("{name}.{base}")),
            Some(project) => Ok(format!("{name}.{project}.{base}")),
        }
    }

    /// Whether the host name is one that an app may have from its first day.
    pub(crate) fn is_own_host(&self, host: &HostName) -> bool {
        self.labels_of_own(host).is_some()
    }

    fn labels_of_own<'a>(&self, host: &'a HostName) -> Option<&'a str> {
        host.as_str().strip_suffix(&self.inner.config.base_domain)?.strip_suffix('.')
    }

    /// Apps' own hosts, and domains that could be one, are given one at a time, since no unique key holds for both: who
    /// gives one reads this first and updates it in the same commit. Of two at once the second has to look again.
    pub(crate) async fn turn_of_hosts(&self) -> Result<Row<PlatformRow>> {
        let row = self.repo().get::<PlatformRow>(PlatformRow::ID).await?;
        row.ok_or_else(|| Error::internal("the platform's own record is missing: restore a backup"))
    }

    /// The app to which a host name belongs from its first day.
    pub(crate) async fn owner_of(&self, host: &HostName) -> Result<Option<AppId>> {
        let Some(labels) = self.labels_of_own(host) else { return Ok(None) };
        let default = self.inner.platform.default_project;
        let (name, project) = match labels.split_once('.') {
            None => (labels, Some(default)),
            Some((name, project)) => {
                let found = self.repo().find::<Project>(project).await?.map(|row| row.value.id);
                (name, found.filter(|id| *id != default))
            }
        };
        let (Some(project), Ok(name)) = (project, name.parse::<AppName>()) else { return Ok(None) };
        let row = self.repo().find::<AppRow>(&AppRow::name_key(project, &name)).await?;
        Ok(row.map(|row| row.value.app.id))
    }

    pub(crate) async fn project_label(&self, project: ProjectId) -> Result<Option<String>> {
        if project == self.inner.platform.default_project {
            return Ok(None);
        }
        Ok(self.repo().get::<Project>(project).await?.map(|row| row.value.name.to_string()))
    }

    /// Addresses that answer for the app, the plain one first.
    pub(crate) async fn urls(&self, app: &App) -> Result<Vec<String>> {
        let bind = self.inner.config.app_bind;
        let host = if bind.is_unspecified() { std::net::Ipv4Addr::LOCALHOST.into() } else { bind };
        let mut urls = vec![format!("http://{}", SocketAddr::new(host, app.port))];
        urls.push(format!("http://{}:{}", self.own_host(app).await?, app.port));
        let edge = self.inner.config.listen.first().map(SocketAddr::port);
        for domain in self.repo().list::<Domain>(|query| query.of(app.id.to_string())).await? {
            let port = edge.filter(|port| *port != 80).map(|port| format!(":{port}")).unwrap_or_default();
            let path = domain.value.path.as_ref().map(ToString::to_string).unwrap_or_default();
            urls.push(format!("http://{}{port}{path}", domain.value.host));
        }
        Ok(urls)
    }

    /// Waits until the proxy has in force what was committed for the app up to now.
    ///
    /// The generation alone does not say so: a table that was made for another app may be of a later revision and still
    /// hold this app's routes of before.
    pub(crate) async fn routed(&self, app: AppId) -> Result<()> {
        let Some(row) = self.repo().get::<AppRow>(app).await? else { return Ok(()) };
        let mut generation = self.inner.generation.subscribe();
        loop {
            generation.borrow_and_update();
            if lock(&self.inner.in_force).get(&app).is_some_and(|revision| *revision >= row.revision) {
                return Ok(());
            }
            // Whoever wrote the record may have had nothing to say about routes.
            lock(&self.inner.stale_routes).insert(app);
            self.inner.routes_changed.notify_one();
            generation.changed().await.map_err(|_| crate::Error::unavailable("the platform is closing"))?;
        }
    }
}
