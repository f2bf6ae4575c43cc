use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::collections::btree_map::Entry;
use tokio::sync::broadcast::error::RecvError;

use super::host::Behaviour;
use super::{FakeRuntime, ended, session};
use crate::model::{
    AppId, Artifact, Capability, Exit, ImageRef, InstanceName, InstanceState, LogStream, Millis, RuntimeKind,
    Timestamp, Usage, VolumeName,
};
use crate::testkit::fakes::{Deed, lock};
use crate::traits::{
    BuildRequest, Clock, CommandLine, ExecSpec, InstanceSpec, Observed, ObservedVolume, OutputSink, RawLine, Runtime,
    RuntimeEvent, Session,
};
use crate::{Code, Error, Result};

#[async_trait]
impl Runtime for FakeRuntime {
    fn kind(&self) -> RuntimeKind {
        self.kind
    }

    async fn info(&self) -> Result<String> {
        self.answers().map(|()| format!("fake {} runtime", self.kind))
    }

    async fn capabilities(&self) -> Vec<Capability> {
        Vec::new()
    }

    async fn build_mounts(&self) -> Result<bool> {
        self.answers().map(|()| false)
    }

    async fn trim_build_cache(&self) -> Result<()> {
        self.answers()
    }

    async fn build(&self, request: BuildRequest<'_>, sink: &dyn OutputSink) -> Result<Artifact> {
        self.answers()?;
        sink.line(LogStream::Stdout, "building");
        let command = request.plan.start_command.clone().unwrap_or_default();
        let script = lock(&self.host).scripts.get(&command).cloned();
        match script {
            Some(Behaviour::BuildFails(reason)) => return Err(Error::new(Code::BuildFailed, reason)),
            Some(Behaviour::BuildHangs) => std::future::pending().await,
            _ => {}
        }
        let id = format!("artifact-{}-{}", request.app, request.deployment);
        let mut host = lock(&self.host);
        let artifact = host.artifact(&id);
        self.stage.did(Deed::Built(request.deployment));
        Ok(host.keep(id, Some(request.app), artifact))
    }

    async fn pull(&self, image: &ImageRef, sink: &dyn OutputSink) -> Result<Artifact> {
        self.answers()?;
        if self.kind == RuntimeKind::Process {
            return Err(Error::new(Code::Unsupported, "processes have no images"));
        }
        sink.line(LogStream::Stdout, &format!("pulling {image}"));
        self.stage.did(Deed::Pulled(image.to_string()));
        let mut host = lock(&self.host);
        let artifact = Artifact { image: Some(image.clone()), ..host.artifact(image.as_str()) };
        Ok(host.keep(image.to_string(), None, artifact))
    }

    async fn has_artifact(&self, artifact: &Artifact) -> Result<bool> {
        self.answers()?;
        Ok(lock(&self.host).artifacts.contains_key(&artifact.id))
    }

    async fn list_artifacts(&self, app: AppId) -> Result<Vec<Artifact>> {
        self.answers()?;
        let host = lock(&self.host);
        Ok(host.artifacts.values().filter(|built| built.app == Some(app)).map(|built| built.artifact.clone()).collect())
    }

    async fn remove_artifact(&self, artifact: &Artifact) -> Result<()> {
        self.answers()?;
        let mut host = lock(&self.host);
        if let Some(user) = host.instances.values().find(|i| i.spec.artifact == *artifact && i.state.is_running()) {
            return Err(Error::conflict(format!("{} uses it", user.spec.name)));
        }
        if host.artifacts.get(&artifact.id).is_some_and(|built| built.app.is_some()) {
            host.artifacts.remove(&artifact.id);
            self.stage.did(Deed::RemovedArtifact(artifact.id.clone()));
        }
        Ok(())
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<()> {
        self.answers()?;
        let mut host = lock(&self.host);
        if !host.artifacts.contains_key(&spec.artifact.id) {
            return Err(Error::not_found("artifact", &spec.artifact.id));
        }
        if let Some(lost) = spec.volumes.iter().find(|v| !host.volumes.contains_key(&(spec.labels.app, v.name.clone())))
        {
            return Err(Error::not_found("volume", &lost.name));
        }
        if host.create(spec) {
            self.stage.did(Deed::Created(spec.name.clone()));
        }
        Ok(())
    }

    async fn start(&self, name: &InstanceName) -> Result<()> {
        self.answers()?;
        let now = self.clock.now();
        {
            let mut host = lock(&self.host);
            let port = host.next_port();
            let instance = host.instances.get_mut(name).ok_or_else(|| Error::not_found("instance", name))?;
            if matches!(instance.state, InstanceState::Running | InstanceState::Restarting) {
                return Ok(());
            }
            if let Behaviour::CannotStart(reason) = &instance.behaviour {
                return Err(Error::new(Code::DeployFailed, reason.clone()));
            }
            instance.begin(now, port);
            self.stage.did(Deed::Started(name.clone()));
        }
        self.touch();
        self.tell(name, RuntimeEvent::Started);
        if self.instance(name).as_ref().and_then(ended).is_some() {
            self.tell(name, RuntimeEvent::Ended);
        }
        Ok(())
    }

    async fn stop(&self, name: &InstanceName, _: Millis) -> Result<Option<Exit>> {
        self.answers()?;
        let Some(before) = self.instance(name) else { return Ok(None) };
        match before.state {
            InstanceState::Created => return Ok(None),
            InstanceState::Exited(exit) => return Ok(Some(exit)),
            _ => {}
        }
        self.stage.ends(name);
        self.stage.did(Deed::Stopped(name.clone()));
        let exit = Exit { code: 143, oom: false };
        self.change(name, |instance| instance.end(exit));
        self.tell(name, RuntimeEvent::Ended);
        Ok(Some(exit))
    }

    async fn remove(&self, name: &InstanceName) -> Result<()> {
        self.answers()?;
        if self.instance(name).is_some() {
            self.stage.ends(name);
            self.stage.did(Deed::Removed(name.clone()));
            self.vanish(name);
        }
        Ok(())
    }

    async fn inspect(&self, name: &InstanceName) -> Result<Option<Observed>> {
        self.answers()?;
        Ok(self.instance(name).map(|instance| instance.observed()))
    }

    async fn list(&self, app: Option<AppId>) -> Result<Vec<Observed>> {
        self.answers()?;
        let host = lock(&self.host);
        let of_app = host.instances.values().filter(|i| app.is_none_or(|app| i.spec.labels.app == app));
        Ok(of_app.map(|instance| instance.observed()).collect())
    }

    async fn wait(&self, name: &InstanceName) -> Result<Exit> {
        self.answers()?;
        let end = |host: &super::Host| match host.instances.get(name) {
            None => Some(Err(Error::not_found("instance", name))),
            Some(instance) => ended(instance).map(Ok),
        };
        self.until(end).await
    }

    async fn diagnose(&self, name: &InstanceName, port: u16) -> Result<Option<String>> {
        self.answers()?;
        let instance = self.instance(name).filter(|instance| instance.behaviour == Behaviour::LoopbackOnly);
        Ok(instance.map(|_| format!("it listens on 127.0.0.1:{port} only; listen on 0.0.0.0")))
    }

    async fn usage(&self, name: &InstanceName) -> Result<Usage> {
        self.answers()?;
        self.instance(name).ok_or_else(|| Error::not_found("instance", name))?;
        Ok(Usage { memory: Some(1 << 20), ..Usage::default() })
    }

    async fn logs(
        &self,
        name: &InstanceName,
        since: Option<Timestamp>,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<RawLine>>> {
        self.answers()?;
        self.instance(name).ok_or_else(|| Error::not_found("instance", name))?;
        let start = (self.clone(), name.clone(), 0);
        let lines = stream::unfold(start, move |(runtime, name, read)| async move {
            let next = |host: &super::Host| {
                let Some(instance) = host.instances.get(&name) else { return Some(None) };
                let fits = |line: &&RawLine| since.is_none_or(|since| line.at >= since);
                match instance.lines.iter().filter(fits).nth(read) {
                    Some(line) => Some(Some(line.clone())),
                    None if !follow || ended(instance).is_some() => Some(None),
                    None => None,
                }
            };
            let line = runtime.until(next).await?;
            Some((Ok(line), (runtime, name, read + 1)))
        });
        Ok(lines.boxed())
    }

    async fn exec(&self, name: &InstanceName, command: &ExecSpec) -> Result<Session> {
        self.answers()?;
        self.instance(name).ok_or_else(|| Error::not_found("instance", name))?;
        Ok(session::echo(&command.command, None))
    }

    async fn run(&self, spec: &InstanceSpec) -> Result<Session> {
        self.create(spec).await?;
        let now = self.clock.now();
        self.change(&spec.name, |instance| {
            instance.started_at = Some(now);
            instance.state = InstanceState::Running;
        });
        let command = spec.command.clone().unwrap_or(CommandLine::Exec(Vec::new()));
        Ok(session::echo(&command, Some((self.clone(), spec.name.clone()))))
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent>>> {
        self.answers()?;
        let events = stream::unfold(Some(self.events.subscribe()), |receiver| async {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Ok(Some(event)) => Some((Ok(event), Some(receiver))),
                Ok(None) => Some((Err(Error::unavailable("the fake runtime went away")), None)),
                Err(RecvError::Lagged(_)) => Some((Ok(RuntimeEvent::Gap), Some(receiver))),
                Err(RecvError::Closed) => None,
            }
        });
        Ok(events.boxed())
    }

    async fn ensure_volume(&self, app: AppId, name: &VolumeName) -> Result<String> {
        self.answers()?;
        let mut host = lock(&self.host);
        if let Entry::Vacant(free) = host.volumes.entry((app, name.clone())) {
            free.insert(String::new());
            self.stage.did(Deed::MadeVolume(app, name.clone()));
        }
        Ok(format!("/volumes/{app}/{name}"))
    }

    async fn list_volumes(&self, app: AppId) -> Result<Vec<ObservedVolume>> {
        self.answers()?;
        let host = lock(&self.host);
        let of_app = host.volumes.iter().filter(|((owner, _), _)| *owner == app);
        let shown = of_app.map(|((app, name), data)| ObservedVolume {
            name: name.clone(),
            location: format!("/volumes/{app}/{name}"),
            used: Some(data.len() as u64),
        });
        Ok(shown.collect())
    }

    async fn remove_volume(&self, app: AppId, name: &VolumeName) -> Result<()> {
        self.answers()?;
        if lock(&self.host).volumes.remove(&(app, name.clone())).is_some() {
            self.stage.did(Deed::RemovedVolume(app, name.clone()));
        }
        Ok(())
    }
}
