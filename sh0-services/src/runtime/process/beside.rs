//! Commands beside an instance, one-off runs, and what can be seen of its processes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use sh0_core::model::{InstanceName, Secret, Usage};
use sh0_core::traits::{ExecSpec, InstanceSpec, Session};
use sh0_core::{Error, Result};

use super::instances::{Instances, blocking, whole};
use super::launch::{State, Status};
use super::procfs::{self, Proc, Stat};
use super::record::Command;
use super::session;

impl Instances {
    pub(crate) async fn exec(self: &Arc<Self>, name: &InstanceName, spec: &ExecSpec) -> Result<Session> {
        let record = self.known(name)?;
        if self.state(name)?.status != Status::Running {
            return Err(Error::conflict(format!("{name} does not run: start it, or use a one-off run")));
        }
        let (this, spec) = (self.clone(), spec.clone());
        let launch = blocking(move || {
            let mut launch = this.launch(&record, Some(Command::from(&spec.command)), &spec.env)?;
            launch.beside = true;
            launch.terminal = spec.terminal;
            if spec.terminal.is_some() {
                launch.env.entry("TERM".to_owned()).or_insert_with(|| Secret::new("xterm-256color"));
            }
            Ok(launch)
        })
        .await?;
        session::open(&self.config.shim, &self.layout.sessions(), &launch, Box::pin(async { Ok(()) }))
    }

    pub(crate) async fn run(self: &Arc<Self>, spec: &InstanceSpec) -> Result<Session> {
        let (this, spec) = (self.clone(), spec.clone());
        // A session that nobody takes is dropped, which ends and removes it.
        whole(async move { this.run_whole(&spec).await }).await
    }

    async fn run_whole(self: &Arc<Self>, spec: &InstanceSpec) -> Result<Session> {
        if self.record(&spec.name)?.is_some() {
            return Err(Error::conflict(format!("{} exists already", spec.name)));
        }
        self.create(spec).await?;
        let (this, own) = (self.clone(), spec.clone());
        let launched = blocking(move || {
            let record = this.known(&own.name)?;
            let mut launch = this.launch(&record, record.command.clone(), &BTreeMap::new())?;
            launch.terminal = own.terminal;
            if own.terminal.is_some() {
                launch.env.entry("TERM".to_owned()).or_insert_with(|| Secret::new("xterm-256color"));
            }
            launch.state = Some(this.layout.state(&own.name));
            Ok(launch)
        })
        .await;
        let (this, own) = (self.clone(), spec.name.clone());
        let after = Box::pin(async move { this.remove(&own).await });
        let opened =
            launched.and_then(|launch| session::open(&self.config.shim, &self.layout.sessions(), &launch, after));
        if opened.is_err() {
            self.remove(&spec.name).await?;
        }
        opened
    }

    // ---- what it does ----

    /// Its processes, the app's first one first.
    fn processes(&self, state: &State) -> Vec<i32> {
        let Some(app) = state.app.filter(Proc::alive) else { return Vec::new() };
        let mut pids = vec![app.pid];
        pids.extend(procfs::descendants(app.pid));
        pids.extend(procfs::of_session(app.pid));
        pids.dedup();
        pids
    }

    pub(crate) fn diagnose(&self, name: &InstanceName) -> Result<Option<String>> {
        let record = self.known(name)?;
        let state = self.state(name)?;
        let (Some(port), Status::Running) = (record.port, state.status) else { return Ok(None) };
        let found = procfs::listening(&self.processes(&state));
        let reachable =
            |addr: &SocketAddr| addr.port() == port && (addr.ip().is_unspecified() || addr.ip() == Ipv4Addr::LOCALHOST);
        if found.iter().any(reachable) {
            return Ok(None);
        }
        let list: Vec<String> = found.iter().map(ToString::to_string).collect();
        Ok(Some(match (found.iter().find(|addr| addr.port() == port), list.is_empty()) {
            (Some(addr), _) => {
                format!("it listens on {addr} only, which 127.0.0.1 does not reach: listen on 0.0.0.0 or 127.0.0.1")
            }
            (None, true) => {
                format!("it listens on no port: it should listen on the one in the variable PORT, which is {port}")
            }
            (None, false) => {
                format!("it listens on {}, not on the port in the variable PORT, which is {port}", list.join(", "))
            }
        }))
    }

    pub(crate) fn usage(&self, name: &InstanceName) -> Result<Usage> {
        self.known(name)?;
        let state = self.state(name)?;
        if state.status != Status::Running {
            return Ok(Usage::default());
        }
        let mut usage = self.host.cgroups.usage(name.as_str());
        let mut seen = std::collections::BTreeSet::new();
        let stats: Vec<Stat> =
            self.processes(&state).into_iter().filter(|pid| seen.insert(*pid)).filter_map(Stat::of).collect();
        if stats.is_empty() {
            return Ok(usage);
        }
        let ticks: u64 = stats.iter().map(|stat| stat.user_ticks + stat.system_ticks).sum();
        let pages: u64 = stats.iter().map(|stat| stat.resident_pages).sum();
        usage.cpu_micros.get_or_insert(ticks * 1_000_000 / rustix::param::clock_ticks_per_second());
        usage.memory.get_or_insert(pages * rustix::param::page_size() as u64);
        usage.pids.get_or_insert(stats.iter().map(|stat| stat.threads).sum());
        Ok(usage)
    }
}
