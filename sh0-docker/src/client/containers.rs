//! Containers: create, start, stop, wait, list, change, remove.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Map;

use super::{
    Client,
    body::{ByteStream, JsonStream},
    error::{Error, Result},
    inspect::{Container, ContainerSummary},
    model::{Change, Filters, Pruned, or_default, strings},
    negotiate::ApiVersion,
    request::{Call, segment},
    spec::{ContainerSpec, RestartPolicy, put, whole_seconds},
    transport::{timed, whole},
};

/// A container that was created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Created {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What the engine could not do as asked, in its words.
    #[serde(deserialize_with = "strings")]
    pub warnings: Vec<String>,
}

/// How to stop a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopOptions {
    /// How long it may take before it is killed, in whole seconds, rounded up; its own grace when absent.
    pub grace: Option<Duration>,
    /// Signal that asks it to stop; its own when absent.
    pub signal: Option<String>,
}

/// How to remove a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveContainer {
    /// Kill it first if it runs.
    pub force: bool,
    /// Its anonymous volumes too. Named ones always stay.
    pub volumes: bool,
}

/// Which containers to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListContainers {
    /// Those that do not run too.
    pub all: bool,
    /// `label`, `name`, `status`, `network`, `volume`, `ancestor`, ...
    pub filters: Filters,
}

/// What [`Client::wait_container`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitCondition {
    /// That it does not run. True at once for one that was created and never started.
    NotRunning,
    /// Its next end.
    NextExit,
    /// Its removal.
    Removed,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exit {
    /// Exit code; 128 and the signal's number for one that was killed, 137 also for lack of memory (see
    /// [`ContainerState::oom_killed`](super::ContainerState::oom_killed), which may miss it).
    pub code: i64,
}

/// A wait that the engine has registered.
#[derive(Debug)]
pub struct Wait {
    answer: JsonStream<WaitAnswer>,
}

#[derive(Debug, Deserialize)]
struct WaitAnswer {
    #[serde(default, rename = "StatusCode")]
    code: Option<i64>,
    #[serde(default, rename = "Error")]
    error: Option<WaitError>,
}

#[derive(Debug, Deserialize)]
struct WaitError {
    #[serde(default, rename = "Message")]
    message: Option<String>,
}

impl Wait {
    /// Waits for the end, without a time limit.
    ///
    /// # Errors
    /// [`Error::ExitUnknown`] when the engine lost the code, as when the container is removed meanwhile.
    pub async fn exit(mut self) -> Result<Exit> {
        let answer = futures_util::StreamExt::next(&mut self.answer).await;
        let lost = |message: &str| Error::ExitUnknown { message: message.to_owned() };
        let answer = answer.ok_or_else(|| lost("the engine ended the wait without an answer"))??;
        // The error first: Podman sends a code of 0 beside it.
        if let Some(message) = answer.error.and_then(|error| error.message).filter(|message| !message.is_empty()) {
            return Err(lost(&message));
        }
        answer.code.map(|code| Exit { code }).ok_or_else(|| lost("the engine told no code"))
    }
}

/// New limits of a container; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateResources {
    /// Memory limit in bytes.
    pub memory_bytes: Option<u64>,
    /// Swap on top of `memory_bytes`, in bytes; has no meaning without it.
    pub swap_bytes: u64,
    /// Billionths of a processor.
    pub cpus_nano: Option<u64>,
    /// Weight against other containers.
    pub cpu_shares: Option<u64>,
    /// Processes and threads at most.
    pub pids_limit: Option<u64>,
    /// Who restarts it.
    pub restart: Option<RestartPolicy>,
}

/// The processes of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Processes {
    /// Names of the columns.
    #[serde(deserialize_with = "or_default")]
    pub titles: Vec<String>,
    /// A row of columns for each process.
    #[serde(deserialize_with = "or_default")]
    pub processes: Vec<Vec<String>>,
}

impl Client {
    /// Creates a container, under a random name when none is given. API: `POST /containers/create`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the name is taken, [`Error::NotFound`] when the image is not there,
    /// [`Error::BadRequest`] when the engine refuses the spec, as for a bind mount whose source is missing.
    pub async fn create_container(&self, name: Option<&str>, spec: &ContainerSpec) -> Result<Created> {
        let call = Call::post("/containers/create").query_some("name", name);
        self.json(&call.query_some("platform", spec.platform.as_ref()).json(&spec.to_json()?)?.slow()).await
    }

    /// Starts a container; one that runs is fine. API: `POST /containers/{id}/start`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::BadRequest`] when its program cannot be run; [`Error::Server`] for a taken host
    /// port ([`Error::is_port_taken`]); [`Error::Unavailable`] also from an engine that is shutting down: what it would
    /// start then it may lose sight of, and never start again.
    pub async fn start_container(&self, id: &str) -> Result<Change> {
        self.change(&Call::post(container_path(id, "start")?).slow().fresh()).await
    }

    /// Asks a container to stop and kills it after the grace; one that has ended is fine.
    /// API: `POST /containers/{id}/stop`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn stop_container(&self, id: &str, options: &StopOptions) -> Result<Change> {
        let Some(signal) = &options.signal else {
            return self.change(&stop_call(id, options.grace, None)?).await;
        };
        if self.engine().await?.api >= ApiVersion::new(1, 42) {
            return self.change(&stop_call(id, options.grace, Some(signal))?).await;
        }
        self.stop_by_signal(id, signal, options.grace).await
    }

    /// `stop` knows no signal before API 1.42 and would silently send the container's own one. So: send ours, wait for
    /// the grace, and let `stop` see to the rest.
    async fn stop_by_signal(&self, id: &str, signal: &str, grace: Option<Duration>) -> Result<Change> {
        match self.kill_container(id, signal).await {
            Err(Error::Conflict { .. }) => return self.change(&stop_call(id, Some(Duration::ZERO), None)?).await,
            result => result?,
        }
        let grace = match grace {
            Some(grace) => grace,
            None => {
                let own = self.inspect_container(id).await?.config.stop_timeout;
                Duration::from_secs(own.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(10))
            }
        };
        let wait = self.wait_container(id, WaitCondition::NotRunning).await?;
        match timed(String::new(), grace, wait.exit()).await {
            Ok(_) | Err(Error::Timeout { .. }) => {}
            Err(error) => return Err(error),
        }
        self.change(&stop_call(id, Some(Duration::ZERO), None)?).await?;
        Ok(Change::Made)
    }

    /// Stops and starts a container. API: `POST /containers/{id}/restart`.
    ///
    /// # Errors
    /// Those of [`start_container`](Self::start_container).
    pub async fn restart_container(&self, id: &str, grace: Option<Duration>) -> Result<()> {
        let call = with_grace(Call::post(container_path(id, "restart")?), grace);
        self.transport.call(&call).await.map(drop)
    }

    /// Sends a signal, `SIGTERM` or `15`. API: `POST /containers/{id}/kill`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when it does not run.
    pub async fn kill_container(&self, id: &str, signal: &str) -> Result<()> {
        self.transport.call(&Call::post(container_path(id, "kill")?).query("signal", signal).slow()).await.map(drop)
    }

    /// Removes a container. API: `DELETE /containers/{id}`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] while it runs, unless forced, and while another removal is under way.
    pub async fn remove_container(&self, id: &str, options: RemoveContainer) -> Result<()> {
        let call = Call::delete(format!("/containers/{}", segment("container", id)?))
            .flag("force", options.force)
            .flag("v", options.volumes)
            .slow();
        self.transport.call(&call).await.map(drop)
    }

    /// Gives a container another name. API: `POST /containers/{id}/rename`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when the name is taken.
    pub async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        self.transport.call(&Call::post(container_path(id, "rename")?).query("name", name)).await.map(drop)
    }

    /// Looks at a container. API: `GET /containers/{id}/json`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn inspect_container(&self, id: &str) -> Result<Container> {
        self.json(&Call::get(container_path(id, "json")?)).await
    }

    /// Lists containers. It costs the engine work for each one: not for polling. API: `GET /containers/json`.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_containers(&self, options: &ListContainers) -> Result<Vec<ContainerSummary>> {
        let call = Call::get("/containers/json").flag("all", options.all);
        self.json(&call.query_some("filters", options.filters.query())).await
    }

    /// Registers a wait. When this returns, the engine watches the container: to miss nothing, call it with
    /// [`WaitCondition::NextExit`], then start the container, then await [`Wait::exit`].
    /// API: `POST /containers/{id}/wait`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn wait_container(&self, id: &str, condition: WaitCondition) -> Result<Wait> {
        let condition = match condition {
            WaitCondition::NotRunning => "not-running",
            WaitCondition::NextExit => "next-exit",
            WaitCondition::Removed => "removed",
        };
        let call = Call::post(container_path(id, "wait")?).query("condition", condition);
        let (response, _) = self.transport.stream(&call, whole(Bytes::new())).await?;
        Ok(Wait { answer: JsonStream::new(ByteStream::new(response.into_body()), "answer to a wait") })
    }

    /// Changes limits of a running or stopped container. Returns the engine's warnings.
    /// API: `POST /containers/{id}/update`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::BadRequest`] or [`Error::Server`] for limits the kernel refuses.
    pub async fn update_container(&self, id: &str, limits: &UpdateResources) -> Result<Vec<String>> {
        let mut body = Map::new();
        put(&mut body, "Memory", limits.memory_bytes);
        put(&mut body, "MemorySwap", limits.memory_bytes.map(|memory| memory.saturating_add(limits.swap_bytes)));
        put(&mut body, "NanoCpus", limits.cpus_nano);
        put(&mut body, "CpuShares", limits.cpu_shares);
        put(&mut body, "PidsLimit", limits.pids_limit);
        put(&mut body, "RestartPolicy", limits.restart.map(RestartPolicy::to_json));
        let answer: Created = self.json(&Call::post(container_path(id, "update")?).json(&body)?).await?;
        Ok(answer.warnings)
    }

    /// Tells a container with a TTY how large its window is. API: `POST /containers/{id}/resize`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] or [`Error::Server`] while it does not run.
    pub async fn resize_container(&self, id: &str, columns: u16, rows: u16) -> Result<()> {
        self.transport.call(&resize(Call::post(container_path(id, "resize")?), columns, rows)).await.map(drop)
    }

    /// Lists the processes of a container. API: `GET /containers/{id}/top`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] or [`Error::Server`] when it does not run.
    pub async fn top_container(&self, id: &str) -> Result<Processes> {
        self.json(&Call::get(container_path(id, "top")?)).await
    }

    /// Removes containers that do not run and have the label of `filters`. API: `POST /containers/prune`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without a label filter: containers of others are not ours to remove.
    pub async fn prune_containers(&self, filters: &Filters) -> Result<Pruned> {
        if !filters.has_label() {
            return Err(Error::InvalidInput { what: "prune filter", reason: "it names no label".into() });
        }
        let call = Call::post("/containers/prune").query_some("filters", filters.query()).slow();
        let answer: super::images::PruneAnswer = self.json(&call).await?;
        Ok(answer.into())
    }
}

/// `/containers/{id}/{action}`.
pub(crate) fn container_path(id: &str, action: &str) -> Result<String> {
    Ok(format!("/containers/{}/{action}", segment("container", id)?))
}

pub(crate) fn resize(call: Call, columns: u16, rows: u16) -> Call {
    call.query("w", &columns.to_string()).query("h", &rows.to_string())
}

fn stop_call(id: &str, grace: Option<Duration>, signal: Option<&str>) -> Result<Call> {
    Ok(with_grace(Call::post(container_path(id, "stop")?).query_some("signal", signal), grace))
}

/// The container's own grace may be longer than any limit of ours; ten minutes are allowed for it.
fn with_grace(call: Call, grace: Option<Duration>) -> Call {
    match grace {
        Some(grace) => call.query("t", &whole_seconds(grace).to_string()).slow_by(grace),
        None => call.slow_by(Duration::from_secs(600)),
    }
}
