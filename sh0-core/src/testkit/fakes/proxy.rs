use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::{FakeRuntime, Stage, lock};
use crate::model::{AppId, Capability, InstanceName, ReleaseId};
use crate::traits::{Proxy, ProxyStatus, RouteTable, Target};
use crate::{Error, Result};

/// The first port that it gives away.
const FIRST_PORT: u16 = 30_000;

/// Keeps every table it was given, and looks at each whether those in rotation answer.
#[derive(Clone)]
pub struct FakeProxy {
    state: Arc<Mutex<State>>,
    stage: Stage,
    runtime: FakeRuntime,
}

#[derive(Default)]
struct State {
    tables: Vec<RouteTable>,
    in_flight: BTreeMap<InstanceName, u64>,
    ports_in_use: BTreeSet<u16>,
    away: bool,
}

impl FakeProxy {
    /// A proxy with an empty table of generation 0.
    pub fn new(stage: &Stage, runtime: &FakeRuntime) -> Self {
        FakeProxy { state: Arc::default(), stage: stage.clone(), runtime: runtime.clone() }
    }

    /// The table in force.
    pub fn table(&self) -> RouteTable {
        lock(&self.state).tables.last().cloned().unwrap_or_default()
    }

    /// Every table that was in force, in order.
    pub fn tables(&self) -> Vec<RouteTable> {
        lock(&self.state).tables.clone()
    }

    /// What happens to requests for the app now.
    pub fn target(&self, app: AppId) -> Option<Target> {
        self.table().targets.get(&app).cloned()
    }

    /// The releases that served the app, in order, `None` where nobody did.
    pub fn served(&self, app: AppId) -> Vec<Option<ReleaseId>> {
        let tables = self.tables();
        let targets = tables.iter().filter_map(|table| table.targets.get(&app));
        let mut served: Vec<_> =
            targets.map(|target| target.release.filter(|_| !target.upstreams.is_empty())).collect();
        served.dedup();
        served
    }

    /// Begins a request that goes on until the guard is dropped.
    pub fn begin(&self, instance: &InstanceName) -> InFlight {
        *lock(&self.state).in_flight.entry(instance.clone()).or_default() += 1;
        InFlight { proxy: self.clone(), instance: instance.clone() }
    }

    /// A program of somebody else listens on this port.
    pub fn occupy(&self, port: u16) {
        lock(&self.state).ports_in_use.insert(port);
    }

    /// Does not answer, or does again.
    pub fn set_away(&self, away: bool) {
        lock(&self.state).away = away;
    }

    /// Forgets its table, as one that was started again might.
    pub fn forget(&self) {
        lock(&self.state).tables.push(RouteTable::default());
        self.stage.route(BTreeSet::new());
    }

    fn answers(&self) -> Result<()> {
        match lock(&self.state).away {
            true => Err(Error::unavailable("the fake proxy is away")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Proxy for FakeProxy {
    fn name(&self) -> String {
        "fake proxy".to_owned()
    }

    fn capabilities(&self) -> Vec<Capability> {
        Vec::new()
    }

    async fn apply(&self, table: &RouteTable) -> Result<()> {
        self.answers()?;
        let mut state = lock(&self.state);
        let before = state.tables.last();
        if before.is_some_and(|before| before.generation > table.generation || before == table) {
            return Ok(());
        }
        state.tables.push(table.clone());
        drop(state);
        let routed = self.stage.routed();
        let upstreams: Vec<_> = table.targets.values().flat_map(|target| &target.upstreams).collect();
        for upstream in upstreams.iter().filter(|upstream| !routed.contains(&upstream.instance)) {
            if !self.runtime.answered(upstream) {
                let instance = &upstream.instance;
                self.stage.violated(format!("{instance} came into rotation before it had answered a probe"));
            }
        }
        self.stage.route(upstreams.into_iter().map(|upstream| upstream.instance.clone()).collect());
        Ok(())
    }

    async fn status(&self) -> Result<ProxyStatus> {
        self.answers()?;
        let state = lock(&self.state);
        let generation = state.tables.last().map_or(0, |table| table.generation);
        Ok(ProxyStatus { generation, in_flight: state.in_flight.clone(), ..ProxyStatus::default() })
    }

    async fn find_port(&self, preferred: Option<u16>, taken: &BTreeSet<u16>) -> Result<u16> {
        self.answers()?;
        let state = lock(&self.state);
        let free = |port: &u16| !taken.contains(port) && !state.ports_in_use.contains(port);
        preferred
            .into_iter()
            .chain(FIRST_PORT..)
            .find(free)
            .ok_or_else(|| Error::unavailable("the fake proxy has no port left"))
    }
}

/// A request that goes on.
pub struct InFlight {
    proxy: FakeProxy,
    instance: InstanceName,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = lock(&self.proxy.state);
        if let Some(count) = state.in_flight.get_mut(&self.instance) {
            *count -= 1;
        }
        state.in_flight.retain(|_, count| *count > 0);
    }
}
