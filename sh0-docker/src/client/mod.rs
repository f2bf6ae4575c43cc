//! The client: one type, [`Client`], whose methods are the calls of the API, a file per noun.

mod archive;
mod auth;
mod body;
mod build;
mod buildkit;
mod containers;
mod error;
mod events;
mod exec;
pub mod frames;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod hijack;
mod images;
mod inspect;
mod logs;
mod model;
pub mod ndjson;
mod negotiate;
mod networks;
mod output;
mod progress;
mod request;
mod spec;
mod stats;
mod system;
mod transport;
mod volumes;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod protocol_tests;

use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use archive::{PathStat, PutArchive};
pub use auth::{RegistryAuth, Secret};
pub use body::{ByteStream, JsonStream};
pub use build::{Build, BuildOptions, Builder};
pub use buildkit::StepLine;
pub use containers::{
    Created, Exit, ListContainers, Processes, RemoveContainer, StopOptions, UpdateResources, Wait, WaitCondition,
};
pub use error::{Error, ProtocolError, Result};
pub use events::{Event, EventKind, EventOptions};
pub use exec::{ExecSpec, ExecState};
pub use frames::{Frame, Source};
pub use hijack::{Input, Session};
pub use images::{Image, ImageConfig, ImageId, ImageRemoval, ImageSummary, ListImages, Load, Pull, RemoveImage};
pub use inspect::{
    Container, ContainerConfig, ContainerState, ContainerSummary, Health, HealthStatus, HostConfig, HostPort,
    MountPoint, NetworkEndpoint, Status,
};
pub use logs::{AttachOptions, LogOptions, LogRecord, LogStream};
pub use model::{Change, Filters, Labels, Port, Protocol, Pruned, Vars};
pub use negotiate::{ApiVersion, Engine};
pub use networks::{ConnectOptions, Network, NetworkContainer, NetworkSpec};
pub use output::OutputStream;
pub use progress::{Progress, ProgressDetail, ProgressStream};
pub use spec::{ContainerSpec, LogConfig, Mount, NetworkMode, Publish, RestartPolicy, Ulimit};
pub use stats::{Stats, StatsStream};
pub use system::{DiskUsage, EngineInfo, EngineVersion, ImageUsage, VolumeUsage};
pub use transport::{ClientOptions, Endpoint};
pub use volumes::{Volume, VolumeSpec};

use request::Call;
use transport::Transport;

/// A Docker engine.
///
/// Cheap to clone; clones share the connections. Dropping a future before it is ready closes the connection it used,
/// so an abandoned call never disturbs the next one; whether the engine carried it out is then unknown. Its methods need
/// a Tokio runtime; a client that outlives one opens new connections in the next.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
}

impl Client {
    /// A client for the engine at `endpoint`. Nothing is sent yet.
    ///
    /// # Example
    /// ```
    /// use sh0_docker::client::{Client, ClientOptions, Endpoint};
    /// let docker = Client::new(Endpoint::default(), ClientOptions::default());
    /// # let _ = docker;
    /// ```
    #[must_use]
    pub fn new(endpoint: Endpoint, options: ClientOptions) -> Self {
        Self { transport: Arc::new(Transport::new(endpoint, options)) }
    }

    /// A client for the engine at `endpoint`, with default options, after having spoken with it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nothing answers there; [`Error::UnsupportedVersion`] when the engine is too old.
    pub async fn connect(endpoint: Endpoint) -> Result<Self> {
        let client = Self::new(endpoint, ClientOptions::default());
        client.engine().await?;
        Ok(client)
    }

    async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        let answer = self.transport.call(call).await?;
        serde_json::from_slice(&answer.body).map_err(Error::json("answer"))
    }

    /// For calls that answer 304 when there is nothing to do.
    async fn change(&self, call: &Call) -> Result<Change> {
        let answer = self.transport.call(call).await?;
        Ok(if answer.status == http::StatusCode::NOT_MODIFIED { Change::AlreadySo } else { Change::Made })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
