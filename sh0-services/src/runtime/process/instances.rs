//! The life of instances, seen from the control plane: files, shims and what both say.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::process::{PidfdFlags, Signal};
use sh0_core::model::{AppId, Exit, InstanceName, InstanceState, Millis, OWN_PORT, Secret, Timestamp};
use sh0_core::traits::Observed;
use sh0_core::{Code, Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::config::ProcessConfig;
use super::create::is_free;
use super::host::Host;
use super::hub::Hub;
use super::launch::{Ask, Launch, Program, Shown, State, Status, Supervise, Want, read_json, shell, write_json};
use super::layout::{Layout, remove_tree};
use super::procfs::{self, Proc, Stat};
use super::record::{Command, Meta, Record};
use super::shim::{LAUNCH_FILE, SOCKET_FILE, kill_groups};

/// How long a shim may take to start an app's first process.
const START: Duration = Duration::from_secs(30);
/// How long a shim may take after the grace is over.
const PATIENCE: Duration = Duration::from_secs(15);
/// What a shim that was killed leaves to be said: SIGKILL.
const KILLED: Exit = Exit { code: 137, oom: false };

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
        let lock = self.lock(name);
        let _held = lock.lock().await;
        let this = self.clone();
        let own = name.clone();
        if !blocking(move || this.prepare(&own)).await? {
            return Ok(());
        }
        self.spawn_shim(name).await
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
        variables.extend(record.env.iter().chain(env).map(|(key, value)| (key.to_string(), value.clone())));
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

    // ---- the end ----

    pub(crate) async fn stop(self: &Arc<Self>, name: &InstanceName, grace: Millis) -> Result<Option<Exit>> {
        let record = self.known(name)?;
        self.end_shim(&record, Want::Stop(grace.0), Duration::from(grace) + PATIENCE).await?;
        let this = self.clone();
        let name = name.clone();
        blocking(move || {
            let state = this.state(&name)?;
            match state.status {
                Status::Created => Ok(None),
                _ => {
                    this.clean_up(&name, &state);
                    Ok(Some(state.exit.unwrap_or(KILLED)))
                }
            }
        })
        .await
    }

    /// Waits until the shim has ended as it was asked, and kills it if it does not.
    async fn end_shim(&self, record: &Record, want: Want, patience: Duration) -> Result<()> {
        let state = self.state(&record.name)?;
        let (Status::Running | Status::Restarting, Some(shim)) = (state.status, state.shim) else { return Ok(()) };
        let asked = match record.one_off && !self.layout.instance(&record.name).join(SOCKET_FILE).exists() {
            // A session: it ends with a signal, or with its socket.
            true => Err(Error::unavailable("no socket")),
            false => self.ask(record, want).await,
        };
        if asked.is_err() {
            procfs::signal(shim.pid, Signal::TERM);
        }
        if !ended(shim, patience).await {
            procfs::signal(shim.pid, Signal::KILL);
            ended(shim, PATIENCE).await;
        }
        Ok(())
    }

    /// One question to a shim.
    async fn ask(&self, record: &Record, want: Want) -> Result<State> {
        // A socket's address has only 108 bytes (unix(7)): the folder is named by its descriptor.
        let dir = fs::File::open(self.layout.instance(&record.name))?;
        let path = format!("/proc/self/fd/{}/{SOCKET_FILE}", dir.as_raw_fd());
        let mut question = serde_json::to_vec(&Ask { key: record.key.clone(), want })?;
        question.push(b'\n');
        let exchange = async {
            let mut socket = UnixStream::connect(path).await?;
            socket.write_all(&question).await?;
            let mut answer = Vec::new();
            socket.take(64 * 1024).read_to_end(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        };
        let answer = tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| Error::new(Code::Timeout, format!("the shim of {} does not answer", record.name)))??;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Ends what a shim that was killed could not end, and forgets its groups.
    fn clean_up(&self, name: &InstanceName, state: &State) {
        kill_groups(&self.host.cgroups.paths(name.as_str()));
        if state.boot == procfs::boot_id()
            && let Some(app) = state.app
        {
            // The session has the app's number; while members live, no other process gets it.
            let same = Stat::of(app.pid).is_none_or(|stat| stat.ticks == app.ticks);
            for pid in procfs::of_session(app.pid).into_iter().filter(|_| same) {
                procfs::signal(pid, Signal::KILL);
            }
        }
        if self.host.cgroups.paths(name.as_str()).is_empty() {
            // Without groups, what left the session is known by its home, which nobody else has.
            let home = format!("HOME={}", self.layout.tmp(name).join("home").display());
            procfs::with_variable(&home).into_iter().for_each(|pid| procfs::signal(pid, Signal::KILL));
        }
        self.host.cgroups.remove(name.as_str());
    }

    pub(crate) async fn remove(self: &Arc<Self>, name: &InstanceName) -> Result<()> {
        let lock = self.lock(name);
        let _held = lock.lock().await;
        match read_json::<Record>(&self.layout.spec(name))? {
            Some(record) if record.platform != self.config.platform => return Ok(()),
            Some(record) => self.end_shim(&record, Want::Kill, PATIENCE).await?,
            None => {}
        }
        let this = self.clone();
        let name = name.clone();
        blocking(move || this.remove_files(&name)).await
    }

    fn remove_files(&self, name: &InstanceName) -> Result<()> {
        self.clean_up(name, &self.state(name)?);
        // Without its spec it is not an instance any more; the rest may be finished by a second call.
        match fs::remove_file(self.layout.spec(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        // The folder goes last, because `sweep` finds by it what a crash cut off here.
        remove_tree(&self.layout.tmp(name))?;
        self.host.cgroups.remove(name.as_str());
        match fs::remove_file(self.layout.state(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Ok(remove_tree(&self.layout.instance(name))?)
    }

    /// Finishes what a crash cut off: an instance without its spec is being removed, and its launch file holds secrets.
    pub(crate) fn sweep(&self) -> Result<()> {
        // Held: somebody else who makes instances below this folder has not written their specs yet.
        let lock = self.layout.lock_instances()?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        for name in self.names()?.iter().filter(|name| !self.layout.spec(name).exists()) {
            if let Err(error) = self.remove_files(name) {
                tracing::warn!(%name, %error, "what is left of a removed instance stays");
            }
        }
        Ok(())
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

/// Work on files, away from the threads that must not wait.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::internal("work on files was cut off").with_source(error)),
    }
}
