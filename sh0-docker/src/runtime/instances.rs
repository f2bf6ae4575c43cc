//! Containers: create, start, stop, inspect, list, wait.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use sh0_core::model::{AbsPath, AppId, Exit, InstanceName, InstanceState, Millis, OWN_PORT, exec_line, shell};
use sh0_core::traits::{CommandLine, InstanceSpec, Observed};
use sh0_core::{Code, Error, Result};

use super::DockerRuntime;
use super::fault::told;
use super::labels;
use super::network::lost_place;
use super::volumes::volume_name;
use crate::client::{
    self, Container, ContainerSpec, ContainerState, ListContainers, LogConfig, Mount, PutArchive, RemoveContainer,
    RestartPolicy, Status, StopOptions, Vars, WaitCondition,
};

/// Output that the engine keeps of a container: sh0 reads it into its own log store as it comes.
const LOG_FILE_BYTES: u64 = 10 * 1024 * 1024;
const LOG_FILES: u32 = 3;

/// How long a wait for a container's next end goes on before its state is looked at again: the end may have come between
/// looking and waiting.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Between two looks at a container that its restart policy is about to start.
const RESTARTING_PAUSE: Duration = Duration::from_millis(100);

impl DockerRuntime {
    pub(super) async fn create_container(&self, spec: &InstanceSpec) -> Result<()> {
        let created = self.create_or_adopt(spec).await;
        if created.is_err() {
            // The network may have been made for this one.
            self.leave_network().await;
        }
        created
    }

    async fn create_or_adopt(&self, spec: &InstanceSpec) -> Result<()> {
        self.hold_image(spec).await?;
        let (asked, turn) = self.placed(&spec.name, container(spec)).await?;
        let created = self.client.create_container(Some(spec.name.as_str()), &asked).await;
        drop(turn);
        match created {
            Ok(_) => self.give_volumes(spec).await,
            Err(error) if error.is_conflict() => self.adopt(spec).await,
            Err(error) if error.is_not_found() => {
                let text = format!("the image of this release ({}) is not on the engine any more", spec.artifact.id);
                Err(Error::new(Code::DeployFailed, text).with_source(error))
            }
            Err(error) => Err(told(error)),
        }
    }

    /// A container of this name exists: ours from an interrupted try, or somebody else's.
    async fn adopt(&self, spec: &InstanceSpec) -> Result<()> {
        let found = self.client.inspect_container(spec.name.as_str()).await.map_err(told)?;
        match labels::read(&found.config.labels) {
            Some(labels) if labels == spec.labels => self.give_volumes(spec).await,
            _ => Err(Error::conflict(format!(
                "a container named {} exists that is not of this app; remove or rename it",
                spec.name
            ))),
        }
    }

    /// A fresh volume belongs to root, and the image's user could not write to it. An archive with nothing but the folder
    /// itself gives it to that user (API `PUT /containers/{id}/archive`); what is inside stays as it is.
    async fn give_volumes(&self, spec: &InstanceSpec) -> Result<()> {
        if spec.volumes.is_empty() {
            return Ok(());
        }
        let image = self.client.inspect_image(&spec.artifact.id).await.map_err(told)?;
        let (user, group) = image.config.user.split_once(':').unwrap_or((&image.config.user, ""));
        let Ok(user) = user.parse::<u64>() else { return Ok(()) };
        let group = group.parse().unwrap_or(user);
        if user == 0 {
            return Ok(());
        }
        for mount in &spec.volumes {
            let archive = folder(&mount.path, user, group)?;
            let archive = stream::iter([Ok(Bytes::from(archive))]);
            let options = PutArchive::default();
            self.client.put_archive(spec.name.as_str(), "/", options, archive).await.map_err(told)?;
        }
        Ok(())
    }

    pub(super) async fn start_container(&self, name: &InstanceName) -> Result<()> {
        let mut started = self.client.start_container(name.as_str()).await;
        if started.as_ref().is_err_and(lost_place) {
            self.place_again(name).await?;
            started = self.client.start_container(name.as_str()).await;
        }
        match started {
            Ok(_) => Ok(()),
            // The command cannot be run (exit 126 or 127): the engine's text says why.
            Err(client::Error::BadRequest { message } | client::Error::Server { message, .. }) => {
                Err(Error::new(Code::DeployFailed, format!("{name} could not be started: {message}")))
            }
            Err(error) => Err(told(error)),
        }
    }

    pub(super) async fn stop_container(&self, name: &InstanceName, grace: Millis) -> Result<Option<Exit>> {
        let options = StopOptions { grace: Some(grace.into()), signal: None };
        match self.client.stop_container(name.as_str(), &options).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(told(error)),
        }
        let container = self.find(name).await?;
        Ok(container.and_then(|container| match state(&container.state) {
            InstanceState::Exited(exit) => Some(exit),
            _ => None,
        }))
    }

    pub(super) async fn remove_container(&self, name: &InstanceName) -> Result<()> {
        match self.client.remove_container(name.as_str(), RemoveContainer { force: true, volumes: true }).await {
            Ok(()) => {
                self.leave_network().await;
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            // "removal of container is already in progress": wait until it is gone.
            Err(error) if error.is_conflict() => self.gone(name).await,
            Err(error) => Err(told(error)),
        }
    }

    async fn gone(&self, name: &InstanceName) -> Result<()> {
        match self.client.wait_container(name.as_str(), WaitCondition::Removed).await {
            Ok(wait) => wait.exit().await.map(drop).or(Ok(())),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    fn owns(&self, container: &Container) -> bool {
        labels::read(&container.config.labels).is_some_and(|labels| labels.platform == self.platform)
    }

    /// The container, if there is one of this name that is ours.
    async fn find(&self, name: &InstanceName) -> Result<Option<Container>> {
        match self.client.inspect_container(name.as_str()).await {
            Ok(container) => Ok(Some(container).filter(|container| self.owns(container))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(told(error)),
        }
    }

    pub(super) async fn inspect_container(&self, name: &InstanceName) -> Result<Option<Observed>> {
        Ok(self.find(name).await?.as_ref().and_then(observed))
    }

    /// Of one app, every container is looked at; of all apps, only those that do not run: the list itself tells the rest.
    pub(super) async fn list_containers(&self, app: Option<AppId>) -> Result<Vec<Observed>> {
        let options = ListContainers { all: true, filters: self.ours(app) };
        let mut all = Vec::new();
        for summary in self.client.list_containers(&options).await.map_err(told)? {
            let (Some(name), Some(labels)) = (summary.name(), labels::read(&summary.labels)) else { continue };
            let Ok(name) = name.parse::<InstanceName>() else { continue };
            if app.is_some() || summary.state != Some(Status::Running) {
                all.extend(self.inspect_container(&name).await?);
                continue;
            }
            let addr = summary.networks().values().find_map(|network| network.ip);
            let endpoint = addr.zip(labels::port(&summary.labels)).map(SocketAddr::from);
            all.push(Observed { name, labels, state: InstanceState::Running, endpoint, restarts: 0, started_at: None });
        }
        Ok(all)
    }

    pub(super) async fn wait_container(&self, name: &InstanceName) -> Result<Exit> {
        loop {
            let Some(container) = self.find(name).await? else {
                return Err(Error::not_found("instance", name));
            };
            match state(&container.state) {
                InstanceState::Exited(exit) => return Ok(exit),
                InstanceState::Restarting => tokio::time::sleep(RESTARTING_PAUSE).await,
                // "Not running" is true at once for one that was never started (measured on 20.10).
                InstanceState::Created => self.wait_once(name, WaitCondition::NextExit).await?,
                InstanceState::Running | InstanceState::Unknown { .. } => {
                    self.wait_once(name, WaitCondition::NotRunning).await?
                }
            }
        }
    }

    /// Returns when something may have changed; what it is, the next look tells.
    async fn wait_once(&self, name: &InstanceName, condition: WaitCondition) -> Result<()> {
        let wait = match self.client.wait_container(name.as_str(), condition).await {
            Ok(wait) => wait,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(told(error)),
        };
        match tokio::time::timeout(LOOK_AGAIN, wait.exit()).await {
            Ok(Err(error @ (client::Error::Unavailable { .. } | client::Error::Broken { .. }))) => Err(told(error)),
            _ => Ok(()),
        }
    }
}

/// What the engine is asked to create.
pub(super) fn container(spec: &InstanceSpec) -> ContainerSpec {
    let mut env = Vars::default();
    for (key, secret) in &spec.env {
        match spec.port.filter(|_| secret.expose() == OWN_PORT) {
            Some(port) => env.set(key.as_str(), port.to_string()),
            None => env.set(key.as_str(), secret.expose()),
        }
    }
    if let Some(port) = spec.port {
        env.set("PORT", port.to_string());
    }
    // An own command replaces the image's entry point too: it is the whole command line.
    let argv = spec.command.as_ref().map(argv);
    ContainerSpec {
        image: spec.artifact.id.clone(),
        entrypoint: argv.is_some().then(Vec::new),
        cmd: argv,
        env,
        labels: labels::write(spec),
        tty: spec.terminal.is_some(),
        // Passes signals on and reaps, so that a program without a SIGTERM handler stops at once.
        init: Some(true),
        restart: if spec.restart { RestartPolicy::UnlessStopped } else { RestartPolicy::No },
        // The platform asks from outside; a check inside would only cost.
        no_healthcheck: true,
        mounts: spec
            .volumes
            .iter()
            .map(|mount| Mount::volume(volume_name(spec.labels.app, &mount.name), mount.path.as_str()))
            .collect(),
        memory_bytes: spec.resources.memory.map(|bytes| bytes.0),
        cpus_nano: spec.resources.cpus.map(|cpus| u64::from(cpus.0) * 1_000_000),
        pids_limit: spec.resources.pids.map(u64::from),
        security_opt: vec!["no-new-privileges".into()],
        log: Some(LogConfig::json_file(LOG_FILE_BYTES, LOG_FILES)),
        ..ContainerSpec::default()
    }
}

/// The only place where a user's line meets a shell on this runtime: the shell of the user's own container.
pub(super) fn argv(command: &CommandLine) -> Vec<String> {
    match command {
        CommandLine::Shell(line) => shell(exec_line(line)).into(),
        CommandLine::Exec(argv) => argv.clone(),
    }
}

fn observed(container: &Container) -> Option<Observed> {
    let labels = labels::read(&container.config.labels)?;
    let state = state(&container.state);
    let addr = container.networks().values().find_map(|network| network.ip);
    let endpoint = addr.zip(labels::port(&container.config.labels)).map(SocketAddr::from);
    Some(Observed {
        name: container.name().parse().ok()?,
        labels,
        endpoint: endpoint.filter(|_| state.is_running()),
        state,
        restarts: container.restart_count.unwrap_or(0),
        started_at: container.state.started_at,
    })
}

fn state(state: &ContainerState) -> InstanceState {
    match &state.status {
        Some(Status::Running) => InstanceState::Running,
        Some(Status::Restarting) => InstanceState::Restarting,
        Some(Status::Created) => InstanceState::Created,
        Some(Status::Exited | Status::Dead | Status::Stopped) => InstanceState::Exited(exit(state)),
        Some(other) => InstanceState::Unknown { raw: other.as_str().to_owned() },
        None => InstanceState::Unknown { raw: String::new() },
    }
}

pub(super) fn exit(state: &ContainerState) -> Exit {
    let code = state.exit_code.unwrap_or_default();
    Exit { code: code.try_into().unwrap_or(-1), oom: state.oom_killed }
}

/// An archive with one folder, owned by `user` and `group`.
fn folder(path: &AbsPath, user: u64, group: u64) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_uid(user);
    header.set_gid(group);
    header.set_size(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, format!("{}/", path.as_str().trim_start_matches('/')), std::io::empty())?;
    Ok(archive.into_inner()?)
}
