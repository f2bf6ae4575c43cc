use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::OutputSink;
use crate::Result;
use crate::model::{
    AppId, Artifact, Capability, DeploymentId, EnvKey, Exit, ImageRef, InstanceName, InstanceState, LogStream, Millis,
    Plan, PlatformId, ProcessName, ReleaseId, Resources, RuntimeKind, Secret, Timestamp, Usage, VolumeMount,
    VolumeName,
};

/// Runs instances. Every effect is idempotent by name: create adopts what is there, start on running, stop on stopped
/// and remove on absent are fine. It only ever sees and touches what carries this platform's labels.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Which one it is.
    fn kind(&self) -> RuntimeKind;

    /// Its version in words; fails when it does not answer.
    async fn info(&self) -> Result<String>;

    /// What it can do here.
    async fn capabilities(&self) -> Vec<Capability>;

    // ---- artifacts ----

    /// Whether a command of a Dockerfile can have caches and secrets mounted, which leave nothing in the image
    /// (`RUN --mount`). Where not, variables do not reach the commands of a Dockerfile.
    async fn build_mounts(&self) -> Result<bool>;

    /// Makes an artifact from a tree by a plan. The same request gives the same artifact, or one that behaves so.
    /// [`Code::BuildFailed`](crate::Code::BuildFailed) with the reason when a command of the build fails. Dropping the
    /// future cancels the build.
    async fn build(&self, request: BuildRequest<'_>, sink: &dyn OutputSink) -> Result<Artifact>;

    /// Brings an image here. [`Code::Unsupported`](crate::Code::Unsupported) where there are no images.
    async fn pull(&self, image: &ImageRef, sink: &dyn OutputSink) -> Result<Artifact>;

    /// Whether the artifact is still here.
    async fn has_artifact(&self, artifact: &Artifact) -> Result<bool>;

    /// Artifacts that were built for an app of this platform, and pulled images of which instances were made for it.
    async fn list_artifacts(&self, app: AppId) -> Result<Vec<Artifact>>;

    /// Removes an artifact that no instance uses. Fine when it is gone; pulled images that others use stay.
    async fn remove_artifact(&self, artifact: &Artifact) -> Result<()>;

    /// Trims what builds keep to be faster the next time, of all apps, to a bound of the runtime's own.
    async fn trim_build_cache(&self) -> Result<()>;

    // ---- instances ----

    /// Creates an instance, or adopts the one that already has this name.
    async fn create(&self, spec: &InstanceSpec) -> Result<()>;

    /// Starts it. [`Code::DeployFailed`](crate::Code::DeployFailed) with the reason when its command cannot be run; where
    /// an init runs first, it ends with 126 or 127 and says the reason in its output instead.
    async fn start(&self, name: &InstanceName) -> Result<()>;

    /// Asks it to end with SIGTERM, kills it after `grace`, and answers how it ended. It stays, stopped.
    async fn stop(&self, name: &InstanceName, grace: Millis) -> Result<Option<Exit>>;

    /// Kills it if need be and removes it with its private files. Volumes stay.
    async fn remove(&self, name: &InstanceName) -> Result<()>;

    /// One instance; `None` when there is none of this name.
    async fn inspect(&self, name: &InstanceName) -> Result<Option<Observed>>;

    /// Every instance that carries this platform's labels, of one app or of all.
    async fn list(&self, app: Option<AppId>) -> Result<Vec<Observed>>;

    /// Waits until it has ended for good (its restart owner will not start it again).
    async fn wait(&self, name: &InstanceName) -> Result<Exit>;

    /// Why it does not answer on its port, in words, when the runtime can see it: for example that it listens on
    /// 127.0.0.1 only, or on another port.
    async fn diagnose(&self, name: &InstanceName, port: u16) -> Result<Option<String>>;

    /// What it uses now.
    async fn usage(&self, name: &InstanceName) -> Result<Usage>;

    // ---- streams ----

    /// Its output from `since` on, then as it comes when `follow`. Ends when the instance is removed, or has ended for
    /// good and everything was read.
    async fn logs(
        &self,
        name: &InstanceName,
        since: Option<Timestamp>,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<RawLine>>>;

    /// Runs a command beside the instance's own, in the same surroundings.
    async fn exec(&self, name: &InstanceName, command: &ExecSpec) -> Result<Session>;

    /// Runs a one-off instance (`spec.labels.one_off`) with its input and output in the caller's hands. It is removed when
    /// it has ended, or killed and removed when the session is dropped.
    async fn run(&self, spec: &InstanceSpec) -> Result<Session>;

    /// What happens to instances, from now on. [`RuntimeEvent::Gap`] says that something may have been missed: list
    /// again. Ends with an error when the runtime goes away.
    async fn events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent>>>;

    // ---- volumes ----

    /// Makes sure that the volume exists; answers where it is.
    async fn ensure_volume(&self, app: AppId, name: &VolumeName) -> Result<String>;

    /// Volumes of the app: name, place, bytes in use when known.
    async fn list_volumes(&self, app: AppId) -> Result<Vec<ObservedVolume>>;

    /// Removes a volume **and its data**. Only ever called because a person asked for it.
    async fn remove_volume(&self, app: AppId, name: &VolumeName) -> Result<()>;
}

/// What to build.
pub struct BuildRequest<'a> {
    /// The platform, for labels.
    pub platform: PlatformId,
    /// The app, for labels.
    pub app: AppId,
    /// The deployment: part of the artifact's name.
    pub deployment: DeploymentId,
    /// The tree; the runtime may read it, and copies what it changes.
    pub tree: PathBuf,
    /// How.
    pub plan: &'a Plan,
    /// Variables of the build.
    pub env: &'a BTreeMap<EnvKey, Secret>,
    /// Ignores caches.
    pub no_cache: bool,
}

/// An instance that should exist.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceSpec {
    /// Its name, made from what it belongs to.
    pub name: InstanceName,
    /// What it belongs to.
    pub labels: Labels,
    /// What it runs.
    pub artifact: Artifact,
    /// The command; the artifact's own when absent.
    pub command: Option<CommandLine>,
    /// Its environment, byte for byte.
    pub env: BTreeMap<EnvKey, Secret>,
    /// The port on which it should listen. The process runtime chooses one itself and puts it in `PORT`; a container
    /// listens on this one, which is in `PORT` too. Absent for workers.
    pub port: Option<u16>,
    /// What it may use.
    pub resources: Resources,
    /// Its volumes; they exist already.
    pub volumes: Vec<VolumeMount>,
    /// Started again when it ends (back-off 100 ms doubling to 1 min, reset after a run of 10 s). Off for one-off runs.
    pub restart: bool,
    /// Gives it a terminal of this size; only for [`Runtime::run`].
    pub terminal: Option<Terminal>,
}

/// What an instance belongs to: written on it, read back from it, never taken from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The platform.
    pub platform: PlatformId,
    /// The app.
    pub app: AppId,
    /// The release.
    pub release: ReleaseId,
    /// The deployment that started it.
    pub deployment: DeploymentId,
    /// The process type; `release` and `run` for one-off runs.
    pub process: ProcessName,
    /// Counts from 0 within its process type.
    pub index: u32,
    /// Whether it is a one-off run, which the reconciler leaves alone until it has ended.
    pub one_off: bool,
}

/// A command: the user's own, run only inside the user's own instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// For a shell inside the instance.
    Shell(String),
    /// Program and arguments.
    Exec(Vec<String>),
}

/// What a runtime observes.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Its name.
    pub name: InstanceName,
    /// What its labels say.
    pub labels: Labels,
    /// What it does.
    pub state: InstanceState,
    /// Where the proxy reaches it, when it listens and runs.
    pub endpoint: Option<SocketAddr>,
    /// How often it was started again.
    pub restarts: u64,
    /// When it was started last.
    pub started_at: Option<Timestamp>,
}

/// A volume that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedVolume {
    /// Its name within the app.
    pub name: VolumeName,
    /// Where it is.
    pub location: String,
    /// Bytes in use.
    pub used: Option<u64>,
}

/// A line as the runtime read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLine {
    /// When it was read.
    pub at: Timestamp,
    /// Which pipe.
    pub stream: LogStream,
    /// The line without its end.
    pub text: String,
}

/// Something that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// It was started.
    Started(InstanceName, AppId),
    /// It ended.
    Ended(InstanceName, AppId),
    /// It was removed.
    Removed(InstanceName, AppId),
    /// Something may have been missed: list again.
    Gap,
}

/// A command to run beside an instance's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: CommandLine,
    /// Variables on top of the instance's.
    pub env: BTreeMap<EnvKey, Secret>,
    /// With a terminal of this size.
    pub terminal: Option<Terminal>,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Terminal {
    /// Lines.
    pub rows: u16,
    /// Characters a line.
    pub cols: u16,
}

/// A running command: bytes in, bytes out, then how it ended.
pub struct Session {
    /// What to write to it; dropping it is end of input.
    pub input: Box<dyn SessionInput>,
    /// What it prints. Ends when it has ended; with a terminal everything is [`LogStream::Stdout`].
    pub output: BoxStream<'static, Result<(LogStream, bytes::Bytes)>>,
    /// How it ended: wait for it after the output.
    pub exit: futures_util::future::BoxFuture<'static, Result<Exit>>,
}

/// The writing side of a session.
#[async_trait]
pub trait SessionInput: Send {
    /// Writes bytes to standard input.
    async fn write(&mut self, bytes: bytes::Bytes) -> Result<()>;

    /// Ends standard input; output goes on.
    async fn close(&mut self) -> Result<()>;

    /// The terminal has a new size.
    async fn resize(&mut self, size: Terminal) -> Result<()>;
}
