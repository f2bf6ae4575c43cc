use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::{
    FakeFetcher, FakeLogStore, FakePlanner, FakeProber, FakeProxy, FakeRuntime, PlainSealer, Stage, TestClock,
};
use crate::auth::Principal;
use crate::engine::{Backends, Engine, EngineConfig};
use crate::model::{App, AppRef, Deployment, DeploymentId, Event, RuntimeKind, Source};
use crate::ops::apps::{CreateApp, ListApps};
use crate::ops::deployments::{CreateDeployment, FollowDeployment, ListDeployments};
use crate::ops::{self, Dispatch, Operation};
use crate::testkit::chaos::invariants;
use crate::traits::{Clock, Kind, LogStore, Query, Store};
use crate::{Error, Result};

/// Everything that is left when an engine dies: the store, and the world that its backends touch.
#[derive(Clone)]
pub struct World {
    /// What should be.
    pub store: Arc<dyn Store>,
    /// What apps printed.
    pub logs: FakeLogStore,
    /// Where apps run.
    pub runtime: FakeRuntime,
    /// Who sends requests to them.
    pub proxy: FakeProxy,
    /// Who brings trees.
    pub fetcher: FakeFetcher,
    /// Who plans.
    pub planner: FakePlanner,
    /// What time it is.
    pub clock: Arc<TestClock>,
    /// What was done, and what must never have been.
    pub stage: Stage,
    /// How engines behave that are opened on it.
    pub config: EngineConfig,
}

impl World {
    /// An empty world over a store.
    pub fn new(store: impl Store + 'static) -> Self {
        World::over(Arc::new(store))
    }

    /// An empty world over a store that somebody else holds too.
    pub fn over(store: Arc<dyn Store>) -> Self {
        let (clock, stage) = (Arc::new(TestClock::default()), Stage::default());
        let runtime = FakeRuntime::new(RuntimeKind::Docker, &clock, &stage);
        World {
            store,
            logs: FakeLogStore::default(),
            proxy: FakeProxy::new(&stage, &runtime),
            fetcher: FakeFetcher::new(&stage),
            planner: FakePlanner::default(),
            runtime,
            clock,
            stage,
            config: EngineConfig::default(),
        }
    }

    /// The parts of an engine on this world.
    pub fn backends(&self) -> Backends {
        Backends {
            store: self.store.clone(),
            logs: Arc::new(self.logs.clone()) as Arc<dyn LogStore>,
            runtimes: BTreeMap::from([(RuntimeKind::Docker, Arc::new(self.runtime.clone()) as Arc<_>)]),
            proxy: Arc::new(self.proxy.clone()),
            fetcher: Arc::new(self.fetcher.clone()),
            planner: Arc::new(self.planner.clone()),
            prober: Arc::new(FakeProber::new(&self.runtime)),
            sealer: Arc::new(PlainSealer),
            clock: self.clock.clone() as Arc<dyn Clock>,
        }
    }

    /// Opens an engine. Drop it without a word, and it dies as by `kill -9`.
    pub async fn open(&self) -> Result<Engine> {
        Engine::open(self.backends(), self.config.clone()).await
    }

    /// Waits until everything is as it should be and stays so for a while; panics with what is not after two minutes of
    /// the world's time.
    pub async fn settle(&self, engine: &Engine) {
        if let Err(broken) = self.try_settle(engine, Duration::from_secs(120)).await {
            panic!("the platform did not come to rest:\n{}", broken.join("\n"));
        }
    }

    /// Waits until no deployment is open any more, and a moment longer. Says nothing about how they ended.
    pub async fn rest(&self) -> Result<()> {
        let open = Query::all(Kind("deployment")).with("open", "yes");
        while !self.store.list(&open).await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(125)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    }

    /// Waits until everything is as it should be and is so a little later too, at most so long; answers what is not.
    pub async fn try_settle(&self, engine: &Engine, patience: Duration) -> Result<(), Vec<String>> {
        /// Longer than the pauses between the steps of the engine.
        const LATER: Duration = Duration::from_secs(2);
        let (mut waited, mut pause) = (Duration::ZERO, Duration::from_millis(125));
        loop {
            let mut broken = invariants(self, engine).await;
            if broken.is_empty() {
                tokio::time::sleep(LATER).await;
                waited += LATER;
                broken = invariants(self, engine).await;
                if broken.is_empty() {
                    return Ok(());
                }
            }
            if waited >= patience {
                return Err(broken);
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// The app of this name, as its owner sees it.
    pub async fn app(&self, engine: &Engine, name: &str) -> Result<App> {
        let apps = call(engine, ListApps::default()).await?.items;
        apps.into_iter().find(|app| app.name.as_str() == name).ok_or_else(|| Error::not_found("app", name))
    }

    /// The deployments of an app, the oldest first.
    pub async fn deployments(&self, engine: &Engine, app: &AppRef) -> Result<Vec<Deployment>> {
        let list = ListDeployments { app: app.clone(), cursor: None, limit: Some(1000) };
        let mut items = call(engine, list).await?.items;
        items.reverse();
        Ok(items)
    }
}

/// Runs a unary operation as the owner of the platform.
pub async fn call<O: Operation>(engine: &Engine, op: O) -> Result<O::Output> {
    call_as(engine, Principal::local("tester"), op).await
}

/// Runs a unary operation as somebody.
pub async fn call_as<O: Operation>(engine: &Engine, who: Principal, op: O) -> Result<O::Output> {
    let def = ops::find(O::META.name).ok_or_else(|| Error::not_found("operation", O::META.name))?;
    let input = serde_json::to_value(op)?;
    let output = engine.caller(who, "request-1").call(def, input).await?;
    Ok(serde_json::from_value(output)?)
}

/// The events of a deployment after a cursor, until its final state.
pub async fn follow(
    engine: &Engine,
    app: &str,
    deployment: DeploymentId,
    after: Option<u64>,
) -> Result<BoxStream<'static, Result<Event>>> {
    let op = FollowDeployment { app: app.parse()?, deployment, after };
    let def = ops::find(FollowDeployment::META.name).ok_or_else(|| Error::not_found("operation", "follow"))?;
    let caller = engine.caller(Principal::local("tester"), "request-1");
    let events = caller.stream(def, serde_json::to_value(op)?).await?;
    Ok(events.map(|event| Ok(serde_json::from_value(event?)?)).boxed())
}

/// The wish for an app with nothing special about it.
///
/// Panics when `name` is not the name of an app.
pub fn app(name: &str) -> CreateApp {
    CreateApp {
        project: Default::default(),
        name: name.parse().unwrap_or_else(|error| panic!("`{name}`: {error}")),
        source: None,
        settings: Default::default(),
        runtime: None,
        scale: BTreeMap::new(),
        env: BTreeMap::new(),
        port: None,
    }
}

/// The wish to deploy the tree `/src/<tree>`, which [`FakePlanner`] plans to be started by the command `<tree>`.
///
/// Panics when `name` is not the name of an app.
pub fn from(name: &str, tree: &str) -> CreateDeployment {
    let path = format!("/src/{tree}").parse().unwrap_or_else(|error| panic!("`{tree}`: {error}"));
    CreateDeployment {
        app: name.parse().unwrap_or_else(|error| panic!("`{name}`: {error}")),
        source: Some(Source::Folder { path }),
        runtime: None,
        no_cache: false,
    }
}
