//! A runtime of one's own: an instance is a task of this process, which answers every request with the app's
//! `index.html`. Enough for a page; what it cannot do, it says.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use sh0::model::{
    AppId, Artifact, Capability, Exit, ImageRef, InstanceName, InstanceState, Millis, RuntimeKind, Support, Timestamp,
    Usage, VolumeName,
};
use sh0::traits::{
    BuildRequest, ExecSpec, InstanceSpec, Observed, ObservedVolume, OutputSink, RawLine, Runtime, RuntimeEvent, Session,
};
use sh0::{Code, Error, Result};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A larger page is refused.
const LARGEST_PAGE: u64 = 1024 * 1024;

/// Pages that were built, and the tasks that serve them.
#[derive(Default)]
pub struct Pages {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    built: BTreeMap<String, (AppId, Bytes)>,
    instances: BTreeMap<InstanceName, Instance>,
}

struct Instance {
    spec: InstanceSpec,
    serving: Option<(SocketAddr, JoinHandle<()>)>,
    ended: bool,
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.serving {
            task.abort();
        }
    }
}

impl Instance {
    fn observe(&self) -> Observed {
        let state = match (&self.serving, self.ended) {
            (Some(_), _) => InstanceState::Running,
            (None, true) => InstanceState::Exited(Exit::default()),
            (None, false) => InstanceState::Created,
        };
        Observed {
            name: self.spec.name.clone(),
            labels: self.spec.labels.clone(),
            state,
            endpoint: self.serving.as_ref().map(|(addr, _)| *addr),
            restarts: 0,
            started_at: None,
        }
    }
}

impl Pages {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Runtime for Pages {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    async fn info(&self) -> Result<String> {
        Ok("pages in memory".into())
    }

    async fn capabilities(&self) -> Vec<Capability> {
        ["exec", "run", "volumes", "memory limit"]
            .map(|name| Capability {
                name: name.into(),
                support: Support::No { reason: "it only serves pages".into() },
            })
            .into()
    }

    async fn build_mounts(&self) -> Result<bool> {
        Ok(false)
    }

    async fn trim_build_cache(&self) -> Result<()> {
        Ok(())
    }

    async fn build(&self, request: BuildRequest<'_>, _: &dyn OutputSink) -> Result<Artifact> {
        let page = request.tree.join("index.html");
        let unreadable = |error: std::io::Error| Error::new(Code::BuildFailed, format!("no index.html: {error}"));
        if tokio::fs::metadata(&page).await.map_err(unreadable)?.len() > LARGEST_PAGE {
            return Err(Error::new(Code::BuildFailed, "index.html is larger than 1 MiB"));
        }
        let page = tokio::fs::read(&page).await.map_err(unreadable)?;
        let id = request.deployment.to_string();
        self.state().built.insert(id.clone(), (request.app, page.into()));
        Ok(artifact(id))
    }

    async fn pull(&self, _: &ImageRef, _: &dyn OutputSink) -> Result<Artifact> {
        Err(no("images"))
    }

    async fn has_artifact(&self, artifact: &Artifact) -> Result<bool> {
        Ok(self.state().built.contains_key(&artifact.id))
    }

    async fn list_artifacts(&self, app: AppId) -> Result<Vec<Artifact>> {
        let state = self.state();
        Ok(state.built.iter().filter(|(_, (owner, _))| *owner == app).map(|(id, _)| artifact(id.clone())).collect())
    }

    async fn remove_artifact(&self, artifact: &Artifact) -> Result<()> {
        self.state().built.remove(&artifact.id);
        Ok(())
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<()> {
        let instance = || Instance { spec: spec.clone(), serving: None, ended: false };
        self.state().instances.entry(spec.name.clone()).or_insert_with(instance);
        Ok(())
    }

    async fn start(&self, name: &InstanceName) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(cannot_listen)?;
        let addr = listener.local_addr().map_err(cannot_listen)?;
        let mut state = self.state();
        let State { built, instances } = &mut *state;
        let instance = instances.get_mut(name).ok_or_else(|| Error::not_found("instance", name))?;
        if instance.serving.is_none() {
            let artifact = &instance.spec.artifact.id;
            let (_, page) = built.get(artifact).ok_or_else(|| Error::not_found("page", artifact))?;
            instance.serving = Some((addr, tokio::spawn(serve(listener, page.clone()))));
        }
        Ok(())
    }

    async fn stop(&self, name: &InstanceName, _: Millis) -> Result<Option<Exit>> {
        let mut state = self.state();
        let Some(instance) = state.instances.get_mut(name) else { return Ok(None) };
        if let Some((_, task)) = instance.serving.take() {
            task.abort();
            instance.ended = true;
        }
        Ok(instance.ended.then(Exit::default))
    }

    async fn remove(&self, name: &InstanceName) -> Result<()> {
        self.state().instances.remove(name);
        Ok(())
    }

    async fn inspect(&self, name: &InstanceName) -> Result<Option<Observed>> {
        Ok(self.state().instances.get(name).map(Instance::observe))
    }

    async fn list(&self, app: Option<AppId>) -> Result<Vec<Observed>> {
        let state = self.state();
        let observed = state.instances.values().map(Instance::observe);
        Ok(observed.filter(|instance| app.is_none_or(|app| instance.labels.app == app)).collect())
    }

    async fn wait(&self, _: &InstanceName) -> Result<Exit> {
        Err(no("instances that end by themselves"))
    }

    async fn diagnose(&self, _: &InstanceName, _: u16) -> Result<Option<String>> {
        Ok(None)
    }

    async fn usage(&self, _: &InstanceName) -> Result<Usage> {
        Ok(Usage::default())
    }

    async fn logs(
        &self,
        _: &InstanceName,
        _: Option<Timestamp>,
        _: bool,
    ) -> Result<BoxStream<'static, Result<RawLine>>> {
        Ok(stream::empty().boxed())
    }

    async fn exec(&self, _: &InstanceName, _: &ExecSpec) -> Result<Session> {
        Err(no("commands"))
    }

    async fn run(&self, _: &InstanceSpec) -> Result<Session> {
        Err(no("commands"))
    }

    /// Nothing happens here that the platform did not do.
    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent>>> {
        Ok(stream::pending().boxed())
    }

    async fn ensure_volume(&self, _: AppId, _: &VolumeName) -> Result<String> {
        Err(no("volumes"))
    }

    async fn list_volumes(&self, _: AppId) -> Result<Vec<ObservedVolume>> {
        Ok(Vec::new())
    }

    async fn remove_volume(&self, _: AppId, _: &VolumeName) -> Result<()> {
        Ok(())
    }
}

fn artifact(id: String) -> Artifact {
    Artifact { runtime: RuntimeKind::Process, id, image: None, port: None }
}

fn no(what: &str) -> Error {
    Error::new(Code::Unsupported, format!("this runtime has no {what}: it only serves pages"))
}

fn cannot_listen(error: std::io::Error) -> Error {
    Error::unavailable(format!("no port to listen on: {error}"))
}

async fn serve(listener: TcpListener, page: Bytes) {
    while let Ok((client, _)) = listener.accept().await {
        let page = page.clone();
        // A client that goes away in the middle is its own affair.
        tokio::spawn(async move { drop(answer(client, &page).await) });
    }
}

/// HTTP/1.1 (RFC 9112): the head of a request ends with an empty line.
async fn answer(mut client: TcpStream, page: &[u8]) -> std::io::Result<()> {
    let mut head = BufReader::new(&mut client).lines();
    while head.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let length = page.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).await?;
    client.write_all(page).await
}
