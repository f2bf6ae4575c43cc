use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::streams::wrapped;
use super::{Chaos, Faults};
use crate::Result;
use crate::engine::Backends;
use crate::model::{
    AppId, Artifact, Capability, DeploymentId, Exit, Export, ExportTarget, HealthCheck, ImageRef, InstanceName,
    LogLine, Millis, Plan, Report, RuntimeKind, Sealed, Secret, Source, Timestamp, Upload, UploadId, Usage, VolumeName,
};
use crate::traits::{
    BuildRequest, ByteStream, CheckRequest, Checkout, ExecSpec, ExportInput, Fetcher, InstanceSpec, LogPosition,
    LogQuery, LogStore, NewLine, Observed, ObservedVolume, OutputSink, PlanRequest, Planner, Probe, Prober, Proxy,
    ProxyStatus, RawLine, RouteTable, Runtime, RuntimeEvent, Sealer, Session, Store,
};

/// Chaos round every backend but the clock.
pub fn wrap(backends: Backends, faults: &Faults) -> Backends {
    let runtimes = backends.runtimes.into_iter();
    Backends {
        store: Arc::new(Chaos::new(backends.store, faults)) as Arc<dyn Store>,
        logs: Arc::new(Chaos::new(backends.logs, faults)),
        runtimes: runtimes.map(|(kind, runtime)| (kind, Arc::new(Chaos::new(runtime, faults)) as Arc<_>)).collect(),
        proxy: Arc::new(Chaos::new(backends.proxy, faults)),
        fetcher: Arc::new(Chaos::new(backends.fetcher, faults)),
        planner: Arc::new(Chaos::new(backends.planner, faults)),
        prober: Arc::new(Chaos::new(backends.prober, faults)),
        sealer: Arc::new(Chaos::new(backends.sealer, faults)),
        clock: backends.clock,
    }
}

#[async_trait]
impl<T: Runtime + ?Sized> Runtime for Chaos<T> {
    fn kind(&self) -> RuntimeKind {
        self.inner.kind()
    }

    async fn info(&self) -> Result<String> {
        self.faults.call("runtime.info", self.inner.info()).await
    }

    async fn capabilities(&self) -> Vec<Capability> {
        self.inner.capabilities().await
    }

    async fn build_mounts(&self) -> Result<bool> {
        self.faults.call("runtime.build_mounts", self.inner.build_mounts()).await
    }

    async fn trim_build_cache(&self) -> Result<()> {
        self.faults.call("runtime.trim_build_cache", self.inner.trim_build_cache()).await
    }

    async fn build(&self, request: BuildRequest<'_>, sink: &dyn OutputSink) -> Result<Artifact> {
        self.faults.call("runtime.build", self.inner.build(request, sink)).await
    }

    async fn pull(&self, image: &ImageRef, sink: &dyn OutputSink) -> Result<Artifact> {
        self.faults.call("runtime.pull", self.inner.pull(image, sink)).await
    }

    async fn has_artifact(&self, artifact: &Artifact) -> Result<bool> {
        self.faults.call("runtime.has_artifact", self.inner.has_artifact(artifact)).await
    }

    async fn list_artifacts(&self, app: AppId) -> Result<Vec<Artifact>> {
        self.faults.call("runtime.list_artifacts", self.inner.list_artifacts(app)).await
    }

    async fn remove_artifact(&self, artifact: &Artifact) -> Result<()> {
        self.faults.call("runtime.remove_artifact", self.inner.remove_artifact(artifact)).await
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<()> {
        self.faults.call("runtime.create", self.inner.create(spec)).await
    }

    async fn start(&self, name: &InstanceName) -> Result<()> {
        self.faults.call("runtime.start", self.inner.start(name)).await
    }

    async fn stop(&self, name: &InstanceName, grace: Millis) -> Result<Option<Exit>> {
        self.faults.call("runtime.stop", self.inner.stop(name, grace)).await
    }

    async fn remove(&self, name: &InstanceName) -> Result<()> {
        self.faults.call("runtime.remove", self.inner.remove(name)).await
    }

    async fn inspect(&self, name: &InstanceName) -> Result<Option<Observed>> {
        self.faults.call("runtime.inspect", self.inner.inspect(name)).await
    }

    async fn list(&self, app: Option<AppId>) -> Result<Vec<Observed>> {
        self.faults.call("runtime.list", self.inner.list(app)).await
    }

    async fn wait(&self, name: &InstanceName) -> Result<Exit> {
        self.faults.call("runtime.wait", self.inner.wait(name)).await
    }

    async fn diagnose(&self, name: &InstanceName, port: u16) -> Result<Option<String>> {
        self.faults.call("runtime.diagnose", self.inner.diagnose(name, port)).await
    }

    async fn usage(&self, name: &InstanceName) -> Result<Usage> {
        self.faults.call("runtime.usage", self.inner.usage(name)).await
    }

    async fn logs(
        &self,
        name: &InstanceName,
        since: Option<Timestamp>,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<RawLine>>> {
        let lines = self.faults.call("runtime.logs", self.inner.logs(name, since, follow)).await?;
        Ok(wrapped(&self.faults, "runtime.logs.next", lines))
    }

    async fn exec(&self, name: &InstanceName, command: &ExecSpec) -> Result<Session> {
        self.faults.call("runtime.exec", self.inner.exec(name, command)).await
    }

    async fn run(&self, spec: &InstanceSpec) -> Result<Session> {
        self.faults.call("runtime.run", self.inner.run(spec)).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent>>> {
        let events = self.faults.call("runtime.events", self.inner.events()).await?;
        Ok(wrapped(&self.faults, "runtime.events.next", events))
    }

    async fn ensure_volume(&self, app: AppId, name: &VolumeName) -> Result<String> {
        self.faults.call("runtime.ensure_volume", self.inner.ensure_volume(app, name)).await
    }

    async fn list_volumes(&self, app: AppId) -> Result<Vec<ObservedVolume>> {
        self.faults.call("runtime.list_volumes", self.inner.list_volumes(app)).await
    }

    async fn remove_volume(&self, app: AppId, name: &VolumeName) -> Result<()> {
        self.faults.call("runtime.remove_volume", self.inner.remove_volume(app, name)).await
    }
}

#[async_trait]
impl<T: Proxy + ?Sized> Proxy for Chaos<T> {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn capabilities(&self) -> Vec<Capability> {
        self.inner.capabilities()
    }

    async fn apply(&self, table: &RouteTable) -> Result<()> {
        self.faults.call("proxy.apply", self.inner.apply(table)).await
    }

    async fn status(&self) -> Result<ProxyStatus> {
        self.faults.call("proxy.status", self.inner.status()).await
    }

    async fn find_port(&self, preferred: Option<u16>, taken: &BTreeSet<u16>) -> Result<u16> {
        self.faults.call("proxy.find_port", self.inner.find_port(preferred, taken)).await
    }
}

#[async_trait]
impl<T: Fetcher + ?Sized> Fetcher for Chaos<T> {
    async fn fetch(&self, deployment: DeploymentId, source: &Source, sink: &dyn OutputSink) -> Result<Checkout> {
        self.faults.call("fetcher.fetch", self.inner.fetch(deployment, source, sink)).await
    }

    async fn discard(&self, deployment: DeploymentId) -> Result<()> {
        self.faults.call("fetcher.discard", self.inner.discard(deployment)).await
    }

    async fn receive(&self, id: UploadId, archive: ByteStream) -> Result<Upload> {
        self.faults.call("fetcher.receive", self.inner.receive(id, archive)).await
    }

    async fn sweep(&self, keep: &[DeploymentId]) -> Result<()> {
        self.faults.call("fetcher.sweep", self.inner.sweep(keep)).await
    }
}

#[async_trait]
impl<T: Planner + ?Sized> Planner for Chaos<T> {
    async fn plan(&self, request: PlanRequest<'_>) -> Result<Plan> {
        self.faults.call("planner.plan", self.inner.plan(request)).await
    }

    async fn check(&self, request: CheckRequest<'_>) -> Result<Report> {
        self.faults.call("planner.check", self.inner.check(request)).await
    }

    fn export(&self, app: &ExportInput<'_>, target: ExportTarget) -> Export {
        self.inner.export(app, target)
    }
}

#[async_trait]
impl<T: Prober + ?Sized> Prober for Chaos<T> {
    async fn probe(&self, addr: SocketAddr, check: &HealthCheck) -> Probe {
        let asked = async { Ok(self.inner.probe(addr, check).await) };
        match self.faults.call("prober.probe", asked).await {
            Ok(found) => found,
            Err(error) => Probe::Unreachable(error.to_string()),
        }
    }
}

#[async_trait]
impl<T: LogStore + ?Sized> LogStore for Chaos<T> {
    async fn append(&self, app: AppId, lines: Vec<NewLine>) -> Result<()> {
        self.faults.call("logs.append", self.inner.append(app, lines)).await
    }

    async fn read(&self, app: AppId, query: &LogQuery) -> Result<Vec<LogLine>> {
        self.faults.call("logs.read", self.inner.read(app, query)).await
    }

    async fn follow(&self, app: AppId, query: LogQuery) -> Result<BoxStream<'static, Result<LogLine>>> {
        let lines = self.faults.call("logs.follow", self.inner.follow(app, query)).await?;
        Ok(wrapped(&self.faults, "logs.follow.next", lines))
    }

    async fn position(&self, app: AppId, instance: &InstanceName) -> Result<Option<LogPosition>> {
        self.faults.call("logs.position", self.inner.position(app, instance)).await
    }

    async fn remove(&self, app: AppId) -> Result<()> {
        self.faults.call("logs.remove", self.inner.remove(app)).await
    }
}

#[async_trait]
impl<T: Sealer + ?Sized> Sealer for Chaos<T> {
    fn seal(&self, row: &str, secret: &Secret) -> Result<Sealed> {
        self.faults.call_now("sealer.seal", || self.inner.seal(row, secret))
    }

    fn open(&self, row: &str, sealed: &Sealed) -> Result<Secret> {
        self.faults.call_now("sealer.open", || self.inner.open(row, sealed))
    }
}
