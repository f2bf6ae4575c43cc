//! Runs instances as processes of the host, without containers: each below a shim that keeps it alive, whether the
//! control plane lives or not.
//!
//! ```no_run
//! use sh0_core::model::PlatformId;
//! use sh0_core::traits::Runtime;
//! use sh0_services::runtime::process::{ProcessConfig, ProcessRuntime, ShimCommand};
//!
//! # async fn example(platform: PlatformId) -> sh0_core::Result<()> {
//! let mut config = ProcessConfig::new("/var/lib/sh0/process", platform, ShimCommand::new("/usr/bin/sh0-shim"));
//! config.hidden.push("/var/lib/sh0".into());
//! let runtime = ProcessRuntime::open(config).await?;
//! for instance in runtime.list(None).await? {
//!     println!("{} {:?} {:?}", instance.name, instance.state, instance.endpoint);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What an app gets: its release folder to work in, a home and temporary folder of its own, its volumes under
//! `data/<name>` and in `SH0_VOLUME_<NAME>`, `PORT` (on 127.0.0.1 or all addresses, as it likes; `HOST` is not set),
//! and of the environment nothing but what it was given. As root every app has a user of its own and control groups;
//! everywhere Landlock and mounts of its own hide the platform's files, as far as the host has them:
//! [`capabilities`](sh0_core::traits::Runtime::capabilities) says it in words.
//!
//! Builds get the variables of the app, and of the host those in [`BUILD_VARIABLES`] that are set: certificates, proxies,
//! registries. Where a host reaches the world through a proxy of its own, `npm install` does too; the app, once it runs,
//! only when it was told.
//!
//! An app may write into its release folder, as much software does. Every deployment gets a folder of its own, but a
//! rollback, and a new release of the same deployment's artifact with other variables, find what was written there: what
//! must not outlive an app that was broken into is deployed again from its source. Why: decision 003 in `docs`.
//!
//! **Deliberately absent:** a read-only release folder, images, private networks, a private root file system, and limits
//! on which ports an app may listen on. Health is probed by the engine.

mod beside;
mod build;
mod cgroup;
mod config;
mod create;
mod ending;
mod events;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod host;
mod hub;
mod instances;
mod launch;
mod layout;
mod logs;
mod procfs;
mod record;
mod session;
pub mod shim;
mod uids;

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use sh0_core::model::{
    AppId, Artifact, Capability, Exit, ImageRef, InstanceName, Millis, RuntimeKind, Timestamp, Usage, VolumeName,
};
use sh0_core::traits::{
    BuildRequest, ExecSpec, InstanceSpec, Observed, ObservedVolume, OutputSink, RawLine, Runtime, RuntimeEvent, Session,
};
use sh0_core::{Code, Error, Result};

pub use config::{BUILD_VARIABLES, ProcessConfig, ShimCommand};

use build::Builds;
use host::Host;
use hub::Hub;
use instances::{Instances, blocking};
use layout::{Layout, bytes_below, remove_tree};

/// The process runtime: see the [module](self).
pub struct ProcessRuntime {
    instances: Arc<Instances>,
    builds: Builds,
}

impl ProcessRuntime {
    /// Opens its folder and finds out what the host allows. What runs there already is found by its name.
    pub async fn open(config: ProcessConfig) -> Result<ProcessRuntime> {
        let root = config.root.clone();
        let layout = blocking(move || Ok(Layout::create(&root)?)).await;
        let layout = layout.map_err(|error| error.context(format_args!("the folder {}", config.root.display())))?;
        let host = Host::find(&config, &layout).await;
        tracing::debug!(level = host.level(), "the process runtime is open");
        let hub = Hub::start(&layout.states())?;
        let instances = Arc::new(Instances::new(config, layout, host, hub));
        let this = instances.clone();
        blocking(move || {
            build::sweep(&this);
            this.sweep()
        })
        .await?;
        Ok(ProcessRuntime { instances, builds: Builds::default() })
    }

    /// How much of an app's surroundings is in force here, in one line.
    pub fn level(&self) -> &'static str {
        self.instances.host.level()
    }

    /// What whoever starts apps here should know first: nothing keeps them from the files of the platform.
    pub fn caution(&self) -> Option<String> {
        self.instances.host.caution()
    }

    /// Work on files of the instances.
    async fn files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Instances>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let instances = self.instances.clone();
        blocking(move || work(&instances)).await
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    async fn info(&self) -> Result<String> {
        match self.instances.host.shim_error() {
            Some(error) => Err(Error::unavailable(format!("the shim does not answer: {error}"))),
            None => Ok(format!("processes of this host; {}", self.level())),
        }
    }

    async fn capabilities(&self) -> Vec<Capability> {
        self.instances.host.capabilities()
    }

    /// Commands of a build have the variables in their environment, and a cache folder of the app.
    async fn build_mounts(&self) -> Result<bool> {
        Ok(false)
    }

    /// The cache folder of an app goes with its last release.
    async fn trim_build_cache(&self) -> Result<()> {
        Ok(())
    }

    async fn build(&self, request: BuildRequest<'_>, sink: &dyn OutputSink) -> Result<Artifact> {
        build::build(&self.instances, &self.builds, request, sink).await
    }

    async fn pull(&self, image: &ImageRef, _: &dyn OutputSink) -> Result<Artifact> {
        Err(Error::new(
            Code::Unsupported,
            format!("the process runtime cannot run the image {image}: use the docker runtime, or deploy its source"),
        ))
    }

    async fn has_artifact(&self, artifact: &Artifact) -> Result<bool> {
        let artifact = artifact.clone();
        self.files(move |instances| build::has_artifact(instances, &artifact)).await
    }

    async fn list_artifacts(&self, app: AppId) -> Result<Vec<Artifact>> {
        self.files(move |instances| build::list_artifacts(instances, app)).await
    }

    async fn remove_artifact(&self, artifact: &Artifact) -> Result<()> {
        let artifact = artifact.clone();
        self.files(move |instances| build::remove_artifact(instances, &artifact)).await
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<()> {
        self.instances.create(spec).await
    }

    async fn start(&self, name: &InstanceName) -> Result<()> {
        self.instances.start(name).await
    }

    async fn stop(&self, name: &InstanceName, grace: Millis) -> Result<Option<Exit>> {
        self.instances.stop(name, grace).await
    }

    async fn remove(&self, name: &InstanceName) -> Result<()> {
        self.instances.remove(name).await
    }

    async fn inspect(&self, name: &InstanceName) -> Result<Option<Observed>> {
        let name = name.clone();
        self.files(move |instances| instances.inspect(&name)).await
    }

    async fn list(&self, app: Option<AppId>) -> Result<Vec<Observed>> {
        self.files(move |instances| instances.list(app)).await
    }

    async fn wait(&self, name: &InstanceName) -> Result<Exit> {
        self.instances.wait(name).await
    }

    /// `port` is what the app was told in general; here it is the one in its `PORT` that counts.
    async fn diagnose(&self, name: &InstanceName, _port: u16) -> Result<Option<String>> {
        let name = name.clone();
        self.files(move |instances| instances.diagnose(&name)).await
    }

    async fn usage(&self, name: &InstanceName) -> Result<Usage> {
        let name = name.clone();
        self.files(move |instances| instances.usage(&name)).await
    }

    async fn logs(
        &self,
        name: &InstanceName,
        since: Option<Timestamp>,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<RawLine>>> {
        match self.instances.record(name)? {
            Some(_) => logs::lines(&self.instances, name, since, follow),
            None => Err(Error::not_found("instance", name)),
        }
    }

    async fn exec(&self, name: &InstanceName, command: &ExecSpec) -> Result<Session> {
        self.instances.exec(name, command).await
    }

    async fn run(&self, spec: &InstanceSpec) -> Result<Session> {
        self.instances.run(spec).await
    }

    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent>>> {
        events::events(&self.instances)
    }

    async fn ensure_volume(&self, app: AppId, name: &VolumeName) -> Result<String> {
        let name = name.clone();
        self.files(move |instances| {
            let path = instances.ensure_volume(app, &name, instances.owner(app)?)?;
            Ok(path.to_string_lossy().into_owned())
        })
        .await
    }

    async fn list_volumes(&self, app: AppId) -> Result<Vec<ObservedVolume>> {
        self.files(move |instances| {
            let entries = match std::fs::read_dir(instances.layout.app_volumes(app)) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let mut volumes = Vec::new();
            for entry in entries {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                let location = path.to_string_lossy().into_owned();
                volumes.extend(name.map(|name| ObservedVolume { name, location, used: Some(bytes_below(&path)) }));
            }
            volumes.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(volumes)
        })
        .await
    }

    async fn remove_volume(&self, app: AppId, name: &VolumeName) -> Result<()> {
        let name = name.clone();
        self.files(move |instances| Ok(remove_tree(&instances.layout.volume(app, &name))?)).await
    }
}
