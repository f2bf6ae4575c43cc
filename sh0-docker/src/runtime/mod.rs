//! The `Runtime` trait of sh0 over a Docker Engine.
//!
//! Everything is named and labelled by what it belongs to, so that a create adopts what an interrupted one left, and
//! only what carries the labels is ever touched. The engine owns restarts (`unless-stopped`); sh0 owns health.
//!
//! | file | what |
//! | --- | --- |
//! | `labels` | what an instance belongs to, written on its container |
//! | `context` | the build context, streamed as tar through `.dockerignore` |
//! | `build` | images from trees, by BuildKit or the classic builder |
//! | `failure` | why a build failed |
//! | `artifacts` | images: pull, list, remove |
//! | `instances` | containers: create, start, stop, inspect, list, wait |
//! | `streams` | logs, exec, one-off runs, events |
//! | `ending` | the end of a command whose session is gone |
//! | `network` | the platform's network, and each container's address in it |
//! | `volumes` | named volumes |
//! | `sockets` | what a container listens on |
//! | `fault` | the engine's errors in sh0's words |
//!
//! Deliberately absent: networks of an app's own (the platform's containers share one, and are reached at their address),
//! variables in builds of the classic builder (they would stay in layers; BuildKit mounts them).

mod artifacts;
mod build;
mod context;
mod ending;
mod failure;
mod fault;
mod instances;
mod labels;
mod network;
mod sockets;
mod streams;
mod volumes;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use sh0_core::Result;
use sh0_core::model::{
    AppId, Artifact, Capability, Exit, ImageRef, InstanceName, Millis, PlatformId, RuntimeKind, Secret, Support,
    Timestamp, Usage, VolumeName,
};
use sh0_core::traits::{
    BuildRequest, ExecSpec, InstanceSpec, Observed, ObservedVolume, OutputSink, RawLine, Runtime, RuntimeEvent, Session,
};

use tokio::sync::Mutex;

use crate::client::{Builder, Client, Filters};
use fault::told;
pub use network::Subnet;

/// How the runtime behaves.
#[derive(Debug, Clone, Default)]
pub struct DockerOptions {
    /// The program that serves static files, followed by the shared libraries it loads, all on this host: they are put in
    /// the images of static apps, which therefore need no base image. Without it such apps cannot be built.
    pub static_server: Vec<PathBuf>,
    /// The subnet of the platform's network; a /20 that this host does not use is chosen when absent. Counts when the
    /// network is made: with the first container.
    pub subnet: Option<Subnet>,
    /// The builder of images; what the engine has when absent.
    pub builder: Option<Builder>,
    /// What BuildKit may keep from one build to the next, in bytes: the cache of the whole engine is trimmed to it, also
    /// what others have built with it. It is left alone when absent.
    pub build_cache: Option<u64>,
    /// Keys the digest of an app's variables that comes into the engine's build cache. Without it, whoever can read that
    /// cache can find a short value by trying.
    pub digest_key: Option<Secret>,
}

/// Runs instances as containers.
///
/// ```no_run
/// use sh0_docker::client::{Client, Endpoint};
/// use sh0_docker::runtime::{DockerOptions, DockerRuntime};
/// # async fn example(platform: sh0_core::model::PlatformId) -> Result<(), sh0_docker::Error> {
/// let client = Client::connect(Endpoint::default()).await?;
/// let runtime = DockerRuntime::new(client, platform, DockerOptions::default());
/// # let _ = runtime;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DockerRuntime {
    client: Client,
    platform: PlatformId,
    options: DockerOptions,
    /// Held from the choice of an address until a container has it.
    addresses: Arc<Mutex<()>>,
}

impl DockerRuntime {
    /// A runtime over a client, for one platform: it sees nothing of others. Nothing is sent yet.
    pub fn new(client: Client, platform: PlatformId, options: DockerOptions) -> Self {
        DockerRuntime { client, platform, options, addresses: Arc::default() }
    }

    /// Whatever carries this platform's labels, of one app or of all.
    fn ours(&self, app: Option<AppId>) -> Filters {
        labels::filter(self.platform, app)
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Docker
    }

    async fn info(&self) -> Result<String> {
        let version = self.client.version().await.map_err(told)?;
        Ok(format!("Docker Engine {} (API {})", version.version, version.api_version))
    }

    async fn capabilities(&self) -> Vec<Capability> {
        let Ok(info) = self.client.info().await else { return Vec::new() };
        let yes = |name: &str| Capability { name: name.into(), support: Support::Yes };
        let limit = |name: &str, has: Option<bool>| match has {
            Some(false) => Capability {
                name: name.into(),
                support: Support::No { reason: "the kernel of the engine has it switched off".into() },
            },
            _ => yes(name),
        };
        let builds_static = match self.options.static_server.is_empty() {
            false => Support::Yes,
            true => Support::No { reason: "the platform was opened without a static file server".into() },
        };
        let reach = match info.is_rootless() {
            false => Support::Yes,
            true => Support::No { reason: "a rootless engine's containers cannot be reached at their address".into() },
        };
        let hostname = rustix::system::uname();
        let ends = match ending::can_end() {
            _ if hostname.nodename().to_bytes() != info.name.as_bytes() => {
                Err("commands in containers go on when their session is cut off: the engine is on another host")
            }
            ends => ends,
        };
        let ends = match ends {
            Ok(()) => Support::Yes,
            Err(reason) => Support::Degraded { reason: reason.into() },
        };
        let secrets = match self.builder().await {
            Ok(Builder::BuildKit) => Support::Yes,
            _ => Support::No { reason: "the classic builder would leave them in the image's layers".into() },
        };
        vec![
            yes("own file system"),
            yes("own network"),
            limit("memory limit", info.memory_limit),
            limit("process limit", info.pids_limit),
            yes("CPU limit"),
            yes("images from registries"),
            yes("restart after a reboot"),
            Capability { name: "static apps without a base image".into(), support: builds_static },
            Capability { name: "traffic to containers".into(), support: reach },
            Capability { name: "commands end with their session".into(), support: ends },
            Capability { name: "secrets in builds".into(), support: secrets },
        ]
    }

    async fn build_mounts(&self) -> Result<bool> {
        Ok(self.builder().await? == Builder::BuildKit)
    }

    async fn build(&self, request: BuildRequest<'_>, sink: &dyn OutputSink) -> Result<Artifact> {
        self.build_image(request, sink).await
    }

    async fn pull(&self, image: &ImageRef, sink: &dyn OutputSink) -> Result<Artifact> {
        self.pull_image(image, sink).await
    }

    async fn has_artifact(&self, artifact: &Artifact) -> Result<bool> {
        match self.client.inspect_image(&artifact.id).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(told(error)),
        }
    }

    async fn list_artifacts(&self, app: AppId) -> Result<Vec<Artifact>> {
        self.images_of(app).await
    }

    async fn remove_artifact(&self, artifact: &Artifact) -> Result<()> {
        self.remove_image(artifact).await
    }

    async fn trim_build_cache(&self) -> Result<()> {
        self.trim_cache().await
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<()> {
        self.create_container(spec).await
    }

    async fn start(&self, name: &InstanceName) -> Result<()> {
        self.start_container(name).await
    }

    async fn stop(&self, name: &InstanceName, grace: Millis) -> Result<Option<Exit>> {
        self.stop_container(name, grace).await
    }

    async fn remove(&self, name: &InstanceName) -> Result<()> {
        self.remove_container(name).await
    }

    async fn inspect(&self, name: &InstanceName) -> Result<Option<Observed>> {
        self.inspect_container(name).await
    }

    async fn list(&self, app: Option<AppId>) -> Result<Vec<Observed>> {
        self.list_containers(app).await
    }

    async fn wait(&self, name: &InstanceName) -> Result<Exit> {
        self.wait_container(name).await
    }

    async fn diagnose(&self, name: &InstanceName, port: u16) -> Result<Option<String>> {
        let container = self.client.inspect_container(name.as_str()).await.map_err(told)?;
        Ok(container.state.pid.and_then(|pid| sockets::explain(&sockets::listening(pid), port)))
    }

    async fn usage(&self, name: &InstanceName) -> Result<Usage> {
        let stats = self.client.stats_once(name.as_str()).await.map_err(told)?;
        Ok(Usage {
            cpu_micros: stats.cpu_total_ns.map(|ns| ns / 1000),
            memory: stats.memory_needed_bytes(),
            pids: stats.pids,
        })
    }

    async fn logs(
        &self,
        name: &InstanceName,
        since: Option<Timestamp>,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<RawLine>>> {
        self.read_logs(name, since, follow).await
    }

    async fn exec(&self, name: &InstanceName, command: &ExecSpec) -> Result<Session> {
        self.exec_inside(name, command).await
    }

    async fn run(&self, spec: &InstanceSpec) -> Result<Session> {
        self.run_attached(spec).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent>>> {
        self.follow_events().await
    }

    async fn ensure_volume(&self, app: AppId, name: &VolumeName) -> Result<String> {
        self.make_volume(app, name).await
    }

    async fn list_volumes(&self, app: AppId) -> Result<Vec<ObservedVolume>> {
        self.volumes_of(app).await
    }

    async fn remove_volume(&self, app: AppId, name: &VolumeName) -> Result<()> {
        self.drop_volume(app, name).await
    }
}
