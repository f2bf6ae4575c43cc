//! The table in the form that answers requests, and the change from one to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use http::HeaderValue;
use sh0_core::model::{AppId, InstanceName, Millis};
use sh0_core::traits::{RouteTable, Target};

use super::instance::{Claim, Instance};

/// An app, ready to be asked.
pub(super) struct App {
    id: AppId,
    pub(super) target: Target,
    /// The value of the response header that names the release.
    pub(super) release: Option<HeaderValue>,
    upstreams: Vec<Arc<Instance>>,
    turn: AtomicUsize,
    pub(super) answered: Arc<AtomicU64>,
}

/// What picking an instance leads to.
pub(super) enum Pick {
    /// This one, counted in.
    Instance(Claim),
    /// The table changed meanwhile: look again.
    Stale,
    /// Nobody is in rotation.
    Nobody,
    /// All that are in rotation were tried.
    Exhausted,
}

impl App {
    /// The instance with the least in flight among those not tried yet; in turn where several have as few.
    pub(super) fn pick(&self, tried: &[Arc<Instance>]) -> Pick {
        let count = self.upstreams.len();
        if count == 0 {
            return Pick::Nobody;
        }
        let first = if count > 1 { self.turn.fetch_add(1, Relaxed) % count } else { 0 };
        let in_turn = (0..count).filter_map(|step| self.upstreams.get((first + step) % count));
        let open = in_turn.filter(|instance| !tried.iter().any(|other| Arc::ptr_eq(other, instance)));
        let best = match count {
            1 => open.last(),
            _ => open.min_by_key(|instance| (instance.failed_lately(), instance.in_flight())),
        };
        match best.map(|instance| instance.claim()) {
            None => Pick::Exhausted,
            Some(Some(claim)) => Pick::Instance(claim),
            Some(None) => Pick::Stale,
        }
    }
}

/// Apps by path under one host name, longest path first.
type Paths = Vec<(Box<str>, Arc<App>)>;

/// One generation of the table.
#[derive(Default)]
pub(super) struct Table {
    pub(super) generation: u64,
    doors: HashMap<SocketAddr, Option<Arc<App>>>,
    exact: HashMap<Box<str>, Paths>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Paths>,
    apps: BTreeMap<AppId, Arc<App>>,
}

impl Table {
    /// The app that a request leads to: at this listener, for this host, at this path.
    pub(super) fn route(&self, door: SocketAddr, host: Option<&str>, path: &str) -> Option<&Arc<App>> {
        match self.doors.get(&door)? {
            Some(app) => Some(app),
            None => self.by_host(host?, path),
        }
    }

    fn by_host(&self, host: &str, path: &str) -> Option<&Arc<App>> {
        let exact = self.exact.get(host).and_then(|paths| by_path(paths, path));
        exact.or_else(|| {
            let (label, parent) = host.split_once('.')?;
            let paths = self.wildcard.get(parent).filter(|_| !label.is_empty())?;
            by_path(paths, path)
        })
    }

    /// Requests answered, by app.
    pub(super) fn answered(&self) -> BTreeMap<AppId, u64> {
        let counts = self.apps.values().map(|app| (app.id, app.answered.load(Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

fn by_path<'a>(paths: &'a Paths, path: &str) -> Option<&'a Arc<App>> {
    let at_or_below = |prefix: &str| match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix.is_empty(),
        None => false,
    };
    paths.iter().find(|(prefix, _)| at_or_below(prefix)).map(|(_, app)| app)
}

/// All instances that the proxy knows: in the table, and on their way out.
#[derive(Default)]
pub(super) struct Registry {
    serving: HashMap<(InstanceName, SocketAddr), (Arc<Instance>, Millis)>,
    draining: Vec<Arc<Instance>>,
}

/// The next table, and who is not in it any more with the time each has left.
pub(super) struct Change {
    pub(super) table: Table,
    pub(super) leaving: Vec<(Arc<Instance>, Millis)>,
}

impl Registry {
    /// Prepares the table that follows `now`. What did not change is taken over: counts, turns, connections.
    pub(super) fn change(&mut self, now: &Table, next: &RouteTable) -> Change {
        let doors = next.listeners.iter().filter_map(|listener| listener.app);
        let reachable: BTreeSet<AppId> = doors.chain(next.routes.iter().map(|route| route.app)).collect();
        let mut before = std::mem::take(&mut self.serving);
        let mut apps = BTreeMap::new();
        for (id, target) in next.targets.iter().filter(|(id, _)| reachable.contains(id)) {
            let upstreams = self.upstreams(target, &mut before);
            apps.insert(*id, app(*id, target, upstreams, now.apps.get(id)));
        }
        let leaving: Vec<_> = before.into_values().collect();
        self.draining.extend(leaving.iter().map(|(instance, _)| instance.clone()));
        Change { table: index(next, apps), leaving }
    }

    fn upstreams(
        &mut self,
        target: &Target,
        before: &mut HashMap<(InstanceName, SocketAddr), (Arc<Instance>, Millis)>,
    ) -> Vec<Arc<Instance>> {
        let mut upstreams = Vec::with_capacity(target.upstreams.len());
        for upstream in &target.upstreams {
            let key = (upstream.instance.clone(), upstream.addr);
            let kept = before.remove(&key).map(|(instance, _)| instance);
            let shared = || self.serving.get(&key).map(|(instance, _)| instance.clone());
            let known = kept.or_else(shared);
            let instance =
                known.or_else(|| self.returning(&key)).unwrap_or_else(|| Instance::new(key.0.clone(), key.1));
            self.serving.insert(key, (instance.clone(), target.drain_timeout));
            if !upstreams.iter().any(|other| Arc::ptr_eq(other, &instance)) {
                upstreams.push(instance);
            }
        }
        upstreams
    }

    /// One that was on its way out and is wanted again, as after a quick rollback: what it has begun may go on.
    fn returning(&mut self, key: &(InstanceName, SocketAddr)) -> Option<Arc<Instance>> {
        let same = |instance: &Arc<Instance>| instance.name == key.0 && instance.addr == key.1;
        let found = self.draining.iter().position(|instance| same(instance) && !instance.cut.is_cancelled())?;
        let instance = self.draining.swap_remove(found);
        instance.come_back();
        Some(instance)
    }

    /// Ends what still goes on with a leaving instance, unless it came back.
    pub(super) fn cut(&self, instance: &Instance, departure: u64) {
        if instance.is_leaving(departure) {
            instance.cut.cancel();
        }
    }

    /// Nothing goes on with it any more.
    pub(super) fn forget(&mut self, instance: &Arc<Instance>, departure: u64) {
        if instance.is_leaving(departure) {
            self.draining.retain(|other| !Arc::ptr_eq(other, instance));
        }
    }

    pub(super) fn serving(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.serving.values().map(|(instance, _)| instance)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.serving().chain(&self.draining)
    }
}

fn app(id: AppId, target: &Target, upstreams: Vec<Arc<Instance>>, before: Option<&Arc<App>>) -> Arc<App> {
    if let Some(before) = before {
        let same = before.upstreams.len() == upstreams.len()
            && before.upstreams.iter().zip(&upstreams).all(|(a, b)| Arc::ptr_eq(a, b));
        if same && before.target == *target {
            return before.clone();
        }
    }
    Arc::new(App {
        id,
        target: target.clone(),
        release: target.release.and_then(|release| HeaderValue::from_str(&release.to_string()).ok()),
        upstreams,
        turn: AtomicUsize::new(0),
        answered: before.map(|before| before.answered.clone()).unwrap_or_default(),
    })
}

fn index(next: &RouteTable, apps: BTreeMap<AppId, Arc<App>>) -> Table {
    let mut table = Table { generation: next.generation, ..Table::default() };
    for listener in &next.listeners {
        match listener.app {
            None => {
                table.doors.insert(listener.addr, None);
            }
            // A listener of an app that is not in the table leads nowhere.
            Some(id) => {
                if let Some(app) = apps.get(&id) {
                    table.doors.insert(listener.addr, Some(app.clone()));
                }
            }
        }
    }
    for route in &next.routes {
        let Some(app) = apps.get(&route.app) else { continue };
        let (names, host) = match route.host.as_str().strip_prefix("*.") {
            Some(parent) => (&mut table.wildcard, parent),
            None => (&mut table.exact, route.host.as_str()),
        };
        let path = route.path.as_ref().map_or("", |path| path.as_str().trim_end_matches('/'));
        names.entry(host.into()).or_default().push((path.into(), app.clone()));
    }
    for paths in table.exact.values_mut().chain(table.wildcard.values_mut()) {
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        paths.shrink_to_fit();
    }
    table.apps = apps;
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sh0_core::model::Upstream;
    use sh0_core::traits::{Listener, Route};

    use super::*;

    fn id(n: u128) -> AppId {
        format!("{n:026}").parse().unwrap()
    }

    fn target(name: &str, upstreams: &[&str]) -> Target {
        let upstreams = upstreams.iter().zip(1..).map(|(instance, port)| Upstream {
            instance: instance.parse().unwrap(),
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
        });
        Target {
            name: name.into(),
            release: None,
            deployment: None,
            upstreams: upstreams.collect(),
            notice: None,
            drain_timeout: Millis(7),
        }
    }

    #[test]
    fn hosts_and_paths() {
        let route = |host: &str, path: Option<&str>, app: u128| Route {
            host: host.parse().unwrap(),
            path: path.map(|path| path.parse().unwrap()),
            app: id(app),
        };
        let door: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let own: SocketAddr = "127.0.0.1:81".parse().unwrap();
        let table = RouteTable {
            generation: 1,
            listeners: vec![Listener { addr: door, app: None }, Listener { addr: own, app: Some(id(4)) }],
            routes: vec![
                route("a.test", None, 1),
                route("a.test", Some("/api"), 2),
                route("a.test", Some("/api/v2/"), 3),
                route("*.a.test", None, 4),
                route("b.a.test", Some("/only"), 1),
                route("gone.test", None, 99),
            ],
            targets: (1..=4).map(|n| (id(n), target(&n.to_string(), &[]))).collect(),
        };
        let table = Registry::default().change(&Table::default(), &table).table;
        let cases = [
            ("a.test", "/", Some("1")),
            ("a.test", "/apix", Some("1")),
            ("a.test", "/api", Some("2")),
            ("a.test", "/api/", Some("2")),
            ("a.test", "/api/v2x", Some("2")),
            ("a.test", "/api/v2", Some("3")),
            ("a.test", "/api/v2/x", Some("3")),
            ("a.test", "*", Some("1")),
            ("x.a.test", "/", Some("4")),
            ("b.a.test", "/only/x", Some("1")),
            ("b.a.test", "/", Some("4")),
            ("y.x.a.test", "/", None),
            (".a.test", "/", None),
            ("test", "/", None),
            ("gone.test", "/", None),
        ];
        for (host, path, expected) in cases {
            let found = table.route(door, Some(host), path).map(|app| app.target.name.as_str());
            assert_eq!(found, expected, "{host}{path}");
        }
        assert_eq!(table.route(own, None, "/").map(|app| app.target.name.as_str()), Some("4"));
        assert!(table.route("127.0.0.1:82".parse().unwrap(), Some("a.test"), "/").is_none());
        assert!(table.route(door, None, "/").is_none());
    }

    #[test]
    fn who_leaves_and_who_comes_back() {
        let door: SocketAddr = "127.0.0.1:81".parse().unwrap();
        let with = |generation: u64, upstreams: &[&str]| RouteTable {
            generation,
            listeners: vec![Listener { addr: door, app: Some(id(1)) }],
            routes: vec![],
            targets: BTreeMap::from([(id(1), target("one", upstreams))]),
        };
        let mut registry = Registry::default();
        let first = registry.change(&Table::default(), &with(1, &["sh0-a", "sh0-b"]));
        assert!(first.leaving.is_empty());
        let same = registry.change(&first.table, &with(2, &["sh0-a", "sh0-b"]));
        assert!(Arc::ptr_eq(&first.table.apps[&id(1)], &same.table.apps[&id(1)]), "what is the same is taken over");

        let second = registry.change(&same.table, &with(3, &["sh0-a"]));
        let (b, time) = second.leaving.into_iter().next().unwrap();
        assert_eq!((b.name.as_str(), time), ("sh0-b", Millis(7)));
        let claim = b.claim().unwrap();
        let departure = b.leave();
        assert!(b.claim().is_none(), "nothing begins on one that left");
        assert_eq!(b.in_flight(), 1, "a refused claim does not count");

        let third = registry.change(&second.table, &with(4, &["sh0-a", "sh0-b"]));
        assert!(third.leaving.is_empty());
        registry.cut(&b, departure);
        assert!(!b.cut.is_cancelled(), "its drain was called off");
        assert!(registry.serving().any(|instance| Arc::ptr_eq(instance, &b)), "it is itself again");

        let fourth = registry.change(&third.table, &with(5, &[]));
        assert_eq!(fourth.leaving.len(), 2);
        let departure = b.leave();
        registry.cut(&b, departure);
        assert!(b.cut.is_cancelled());
        registry.change(&fourth.table, &with(6, &["sh0-a", "sh0-b"]));
        assert!(!registry.serving().any(|instance| Arc::ptr_eq(instance, &b)), "one that was cut is not used again");
        drop(claim);
        registry.forget(&b, departure);
        assert_eq!(registry.all().count(), 2);
    }
}
