//! The life of instances, seen from the control plane: files, shims and what both say.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::PidfdFlags;
use sh0_core::model::{AppId, Exit, InstanceName, InstanceState, OWN_PORT, Secret, Timestamp};
use sh0_core::traits::Observed;
use sh0_core::{Code, Error, Result};
use tokio::io::AsyncReadExt;

use super::config::ProcessConfig;
use super::create::is_free;
use super::host::Host;
use super::hub::Hub;
use super::launch::{Launch, Program, Shown, State, Status, Supervise, read_json, shell, write_json};
use super::layout::Layout;
use super::procfs::{self, Proc};
use super::record::{Command, Meta, Record};
use super::shim::LAUNCH_FILE;

/// How long a shim may take to start an app's first process.
pub(crate) const START: Duration = Duration::from_secs(30);
/// What a shim that was killed leaves to be said: SIGKILL.
pub(crate) const KILLED: Exit = Exit { code: 137, oom: false };

/// The instances below one folder.
pub(crate) struct Instances {
    pub config: ProcessConfig,
    pub layout: Layout,
    pub host: Host,
    pub hub: Hub,
    locks: Mutex<HashMap<InstanceName, Arc<tokio::sync::Mutex<()>>>>,
    /// Held while a port is chosen and written down.
    pub ports: Mutex<()>,
}

impl Instances {
    pub(crate) fn new(config: ProcessConfig, layout: Layout, host: Host, hub: Hub) -> Instances {
        Instances { config, layout, host, hub, locks: Mutex::default(), ports: Mutex::default() }
    }

    /// One change of an instance at a time.
    pub(crate) fn lock(&self, name: &InstanceName) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(name.clone()).or_default().clone()
    }

    /// A change that goes on to its end when whoever asked for it is gone: cut in two it would leave a shim that nobody
    /// has heard of. The next change of the instance waits for it.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        name: &InstanceName,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let held = self.lock(name).lock_owned().await;
        whole(async move {
            let _held = held;
            work.await
        })
        .await
    }

    // ---- what is there ----

    /// What is written of an instance of this platform.
    pub(crate) fn record(&self, name: &InstanceName) -> Result<Option<Record>> {
        let record: Option<Record> = read_json(&self.layout.spec(name))?;
        Ok(record.filter(|record| record.platform == self.config.platform))
    }

    pub(crate) fn known(&self, name: &InstanceName) -> Result<Record> {
        self.record(name)?.ok_or_else(|| Error::not_found("instance", name))
    }

    /// Its state, corrected by what lives: a shim that was killed has not written its end.
    pub(crate) fn state(&self, name: &InstanceName) -> Result<State> {
        let mut state = State::read(&self.layout.state(name))?.unwrap_or_else(State::created);
        let lives = state.boot == procfs::boot_id() && state.shim.is_some_and(|shim| shim.alive());
        if matches!(state.status, Status::Running | Status::Restarting) && !lives {
            state.status = Status::Exited;
            state.exit = Some(state.exit.filter(|_| state.app.is_none()).unwrap_or(KILLED));
        }
        Ok(state)
    }

    /// Ended for good, or gone.
    pub(crate) fn has_ended(&self, name: &InstanceName) -> bool {
        !self.layout.spec(name).exists() || self.state(name).is_ok_and(|state| state.status == Status::Exited)
    }

    pub(crate) fn inspect(&self, name: &InstanceName) -> Result<Option<Observed>> {
        let Some(record) = self.record(name)? else { return Ok(None) };
        let state = self.state(name)?;
        let endpoint = record.port.filter(|_| state.status == Status::Running).map(local);
        Ok(Some(Observed {
            name: name.clone(),
            labels: record.labels(),
            state: match state.status {
                Status::Created => InstanceState::Created,
                Status::Running => InstanceState::Running,
                Status::Restarting => InstanceState::Restarting,
                Status::Exited => InstanceState::Exited(state.exit.unwrap_or_default()),
            },
            endpoint,
            restarts: state.restarts,
            started_at: state.started_at.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
        }))
    }

    /// Names of every instance below the folder, also of other platforms.
    pub(crate) fn names(&self) -> Result<Vec<InstanceName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.layout.instances())? {
            names.extend(entry?.file_name().to_str().and_then(|name| name.parse::<InstanceName>().ok()));
        }
        names.sort();
        Ok(names)
    }

    pub(crate) fn list(&self, app: Option<AppId>) -> Result<Vec<Observed>> {
        let mut list = Vec::new();
        for name in self.names()? {
            list.extend(self.inspect(&name)?.filter(|one| app.is_none_or(|app| one.labels.app == app)));
        }
        Ok(list)
    }

    // ---- start ----

    pub(crate) async fn start(self: &Arc<Self>, name: &InstanceName) -> Result<()> {
        let (this, name) = (self.clone(), name.clone());
        self.change(&name.clone(), async move {
            this.settled(&name).await;
            let (preparing, own) = (this.clone(), name.clone());
            match blocking(move || preparing.prepare(&own)).await? {
                true => this.spawn_shim(&name).await,
                false => Ok(()),
            }
        })
        .await
    }

    /// Makes everything ready for a shim; answers whether one is needed.
    fn prepare(&self, name: &InstanceName) -> Result<bool> {
        let mut record = self.known(name)?;
        let state = self.state(name)?;
        if matches!(state.status, Status::Running | Status::Restarting) {
            return Ok(false);
        }
        self.clean_up(name, &state);
        if record.port.is_some_and(|port| !is_free(port)) {
            let _ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
            record.port = Some(self.free_port(name)?);
            write_json(&self.layout.spec(name), &record)?;
        }
        let mut launch = self.launch(&record, record.command.clone(), &BTreeMap::new())?;
        launch.state = Some(self.layout.state(name));
        launch.supervise = Some(Supervise {
            key: record.key.clone(),
            restart: record.restart,
            logs: self.layout.logs(name),
            port: record.port,
            own_cgroups: self.host.cgroups.make("shims", &Default::default()).unwrap_or_default(),
        });
        write_json(&self.layout.instance(name).join(LAUNCH_FILE), &launch)?;
        Ok(true)
    }

    /// A launch of an instance's own command, or of one beside it.
    pub(crate) fn launch(
        &self,
        record: &Record,
        command: Option<Command>,
        env: &BTreeMap<sh0_core::model::EnvKey, Secret>,
    ) -> Result<Launch> {
        let (app, id) = (record.app, &record.artifact.id);
        let meta: Meta =
            read_json(&self.layout.meta(app, id))?.ok_or_else(|| Error::not_found("release folder", id))?;
        let tree = self.layout.tree(app, id);
        let tmp = self.layout.tmp(&record.name);
        let owner = self.owner(app)?;
        Layout::make_home(&tmp, owner)?;
        let volumes: Vec<_> =
            record.volumes.iter().map(|mount| (mount, self.layout.volume(app, &mount.name))).collect();
        let mut write = vec![tree.clone(), tmp.clone()];
        write.extend(volumes.iter().map(|(_, path)| path.clone()));
        let cgroups = self.host.cgroups.make(record.name.as_str(), &record.resources)?;
        let confine = self.host.confine(owner, cgroups, &record.resources, write, tmp.join("tmp"));
        let mut variables = self.base_env(&meta.paths, &tree, &tmp.join("home"), &tmp.join("tmp"));
        for (mount, path) in &volumes {
            let name = mount.name.as_str().to_ascii_uppercase().replace('-', "_");
            variables.insert(format!("SH0_VOLUME_{name}"), Secret::new(path.to_string_lossy()));
        }
        let own = record.env.open(self.config.sealer.as_deref(), &record.name)?;
        variables.extend(own.iter().chain(env).map(|(key, value)| (key.to_string(), value.clone())));
        if let Some(port) = record.port {
            let port = Secret::new(port.to_string());
            variables.values_mut().filter(|value| value.expose() == OWN_PORT).for_each(|value| *value = port.clone());
            variables.insert("PORT".to_owned(), port);
        }
        Ok(Launch {
            shim_args: self.config.shim.args.clone(),
            program: program(&self.layout, command, &meta, id, record.port.unwrap_or_default())?,
            env: variables,
            cwd: tree,
            volumes: volumes.into_iter().map(|(mount, path)| Shown { name: mount.name.clone(), path }).collect(),
            confine,
            beside: false,
            terminal: None,
            state: None,
            supervise: None,
        })
    }

    /// What every command gets: nothing of the environment of sh0 itself.
    pub(crate) fn base_env(
        &self,
        paths: &[sh0_core::model::RelPath],
        tree: &std::path::Path,
        home: &std::path::Path,
        tmp: &std::path::Path,
    ) -> BTreeMap<String, Secret> {
        let own = paths.iter().map(|path| tree.join(path.as_str()).to_string_lossy().into_owned());
        let path: Vec<String> = own.chain([self.config.path.clone()]).collect();
        let mut env: BTreeMap<String, Secret> =
            self.config.toolchain.iter().map(|(key, value)| (key.clone(), Secret::new(value))).collect();
        for (key, value) in [
            ("PATH", path.join(":")),
            ("HOME", home.to_string_lossy().into_owned()),
            ("TMPDIR", tmp.to_string_lossy().into_owned()),
            ("LANG", "C.UTF-8".to_owned()),
        ] {
            env.insert(key.to_owned(), Secret::new(value));
        }
        env
    }

    async fn spawn_shim(&self, name: &InstanceName) -> Result<()> {
        let shim = &self.config.shim;
        let dir = self.layout.instance(name);
        let complaints = dir.join("shim.log");
        let mut command = tokio::process::Command::new(&shim.program);
        command.args(&shim.args).arg("run").arg(&dir).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&complaints)?);
        let mut child = command.spawn().map_err(|error| {
            Error::unavailable(format!("the shim {} cannot be started: {error}", shim.program.display()))
                .with_source(error)
        })?;
        let mut answer = String::new();
        let answered = match child.stdout.take() {
            Some(mut stdout) => tokio::time::timeout(START, stdout.read_to_string(&mut answer)).await,
            None => Ok(Ok(0)),
        };
        match (answered, answer.trim_end()) {
            (_, "started") => Ok(()),
            (Ok(Ok(_)), "") => {
                let why = fs::read_to_string(&complaints).unwrap_or_default();
                Err(Error::unavailable(format!("the shim of {name} ended at once: {}", why.trim())))
            }
            (Ok(Ok(_)), failure) => Err(Error::new(Code::DeployFailed, format!("{name} cannot be started: {failure}"))),
            (Ok(Err(error)), _) => Err(error.into()),
            (Err(_), _) => {
                let _ = child.start_kill();
                Err(Error::new(Code::Timeout, format!("the shim of {name} did not start its command in time")))
            }
        }
    }

    pub(crate) async fn wait(&self, name: &InstanceName) -> Result<Exit> {
        let mut changes = self.hub.states();
        loop {
            self.known(name)?;
            let state = self.state(name)?;
            match (state.status, state.shim) {
                (Status::Exited, _) => return Ok(state.exit.unwrap_or(KILLED)),
                (Status::Running | Status::Restarting, Some(shim)) => {
                    ended(shim, Duration::from_secs(60)).await;
                }
                _ => {
                    let _ = tokio::time::timeout(Duration::from_secs(1), changes.recv()).await;
                }
            }
        }
    }
}

/// What a launch runs: the given command, or what the release is started with.
pub(crate) fn program(layout: &Layout, command: Option<Command>, meta: &Meta, id: &str, port: u16) -> Result<Program> {
    let words = match command.or_else(|| meta.start_command.clone().map(Command::Shell)) {
        Some(Command::Shell(line)) => shell(&line),
        Some(Command::Exec(words)) => words,
        None => {
            let dir = meta.static_dir.as_ref().ok_or_else(|| {
                Error::invalid("command", "is not known", "add a start command, or a Procfile with `web: ...`")
            })?;
            let dir = layout.tree(meta.app, id).join(dir.trim_start_matches('/'));
            return Ok(Program::Static { dir, spa: meta.spa_fallback, port });
        }
    };
    match words.iter().any(|word| word.contains('\0')) || words.is_empty() {
        true => Err(Error::invalid("command", "is empty or holds a zero byte", "give a program and its arguments")),
        false => Ok(Program::Exec(words)),
    }
}

/// Ids become folder names: only those that a build made are looked up.
pub(crate) fn is_release_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Waits until a process has ended; answers whether it has.
pub(crate) async fn ended(proc: Proc, patience: Duration) -> bool {
    let wait = async {
        let pidfd = proc.id().and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
        if let Some(pidfd) = pidfd.filter(|_| proc.alive())
            && let Ok(pidfd) = procfs::evented(pidfd)
        {
            let _ = pidfd.readable().await;
        }
        // Without pidfds (before Linux 5.3), by looking.
        while proc.alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, wait).await.is_ok()
}

/// Work that is not cut off when nobody waits for it any more.
pub(crate) async fn whole<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::internal("work on an instance was cut off").with_source(error)),
    }
}

/// Work on files, away from the threads that must not wait.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::internal("work on files was cut off").with_source(error)),
    }
}
