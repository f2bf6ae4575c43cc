//! The life of instances, seen from the control plane: files, shims and what both say.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{PidfdFlags, Signal};
use sh0_core::model::{AppId, Exit, InstanceName, InstanceState, Millis, Secret, Timestamp, Usage};
use sh0_core::traits::{ExecSpec, InstanceSpec, Observed, Session};
use sh0_core::{Code, Error, Result};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::config::ProcessConfig;
use super::host::Host;
use super::hub::Hub;
use super::launch::{Ask, Key, Launch, Program, State, Status, Supervise, Want, read_json, shell, write_json};
use super::layout::{Layout, make, remove_tree};
use super::procfs::{self, Proc, Stat};
use super::record::{Command, Meta, Record};
use super::shim::{LAUNCH_FILE, SOCKET_FILE, kill_groups};
use super::{session, uids};

/// Ports of instances: below those that the kernel gives to outgoing connections (32768 on, ip(7)), so that nobody
/// takes a port while its instance is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
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
    ports: Mutex<()>,
}

impl Instances {
    pub(crate) fn new(config: ProcessConfig, layout: Layout, host: Host, hub: Hub) -> Instances {
        Instances { config, layout, host, hub, locks: Mutex::default(), ports: Mutex::default() }
    }

    /// One change of an instance at a time.
    fn lock(&self, name: &InstanceName) -> Arc<tokio::sync::Mutex<()>> {
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

    fn known(&self, name: &InstanceName) -> Result<Record> {
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

    // ---- create ----

    pub(crate) async fn create(self: &Arc<Self>, spec: &InstanceSpec) -> Result<()> {
        let lock = self.lock(&spec.name);
        let _held = lock.lock().await;
        let (this, spec) = (self.clone(), spec.clone());
        blocking(move || this.create_files(&spec)).await
    }

    fn create_files(&self, spec: &InstanceSpec) -> Result<()> {
        if spec.labels.platform != self.config.platform {
            return Err(Error::invalid("platform", "is another one", "create instances through their own platform"));
        }
        if let Some(record) = read_json::<Record>(&self.layout.spec(&spec.name))? {
            return match record.platform == spec.labels.platform {
                true => Ok(()),
                false => Err(Error::conflict(format!("{} belongs to another platform", spec.name))),
            };
        }
        if let Some((key, _)) = spec.env.iter().find(|(_, value)| value.expose().contains('\0')) {
            return Err(Error::invalid(format!("env.{key}"), "contains a zero byte", "no process can receive one"));
        }
        let meta = self.meta(spec)?;
        program(&self.layout, spec.command.as_ref().map(Command::from), &meta, &spec.artifact.id, 1)?;
        let owner = self.owner(spec.labels.app)?;
        for folder in [self.layout.instance(&spec.name), self.layout.logs(&spec.name)] {
            make(&folder, 0o700, None)?;
        }
        let tmp = self.layout.tmp(&spec.name);
        for folder in [&tmp, &tmp.join("home"), &tmp.join("tmp")] {
            make(folder, 0o700, owner)?;
        }
        for mount in &spec.volumes {
            self.show_volume(spec, mount, owner)?;
        }
        // Chosen and written under one lock: no two instances of this runtime get the same.
        let _ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        let port = spec.port.map(|_| self.free_port(&spec.name)).transpose()?;
        write_json(&self.layout.spec(&spec.name), &Record::new(spec, port, new_key()?))?;
        Ok(State::created().write(&self.layout.state(&spec.name))?)
    }

    fn meta(&self, spec: &InstanceSpec) -> Result<Meta> {
        if !is_release_id(&spec.artifact.id) {
            return Err(Error::not_found("release folder", &spec.artifact.id));
        }
        read_json(&self.layout.meta(spec.labels.app, &spec.artifact.id))?
            .ok_or_else(|| Error::not_found("release folder", &spec.artifact.id))
    }

    /// The user that runs this app; `None` is the user that runs sh0.
    pub(crate) fn owner(&self, app: AppId) -> Result<Option<u32>> {
        match self.host.own_users {
            true => Ok(Some(uids::of(&self.layout, app)?)),
            false => Ok(None),
        }
    }

    /// `data/<name>` in the app's folder leads to the volume. What the release brought there is the first content of an
    /// empty volume, as with containers.
    fn show_volume(&self, spec: &InstanceSpec, mount: &sh0_core::model::VolumeMount, owner: Option<u32>) -> Result<()> {
        let volume = self.ensure_volume(spec.labels.app, &mount.name, owner)?;
        let data = self.layout.tree(spec.labels.app, &spec.artifact.id).join("data");
        if fs::symlink_metadata(&data).is_err() {
            make(&data, 0o755, owner)?;
        }
        let link = data.join(mount.name.as_str());
        if fs::read_link(&link).is_ok_and(|target| target == volume) || !data.symlink_metadata()?.is_dir() {
            return Ok(());
        }
        if link.symlink_metadata().is_ok() {
            if link.is_dir() && fs::read_dir(&volume)?.next().is_none() {
                super::build::copy_tree(&link, &volume, owner)?;
            }
            fs::rename(&link, data.join(format!(".{}.of-the-release", mount.name)))?;
        }
        std::os::unix::fs::symlink(&volume, &link)?;
        Ok(())
    }

    pub(crate) fn ensure_volume(
        &self,
        app: AppId,
        name: &sh0_core::model::VolumeName,
        owner: Option<u32>,
    ) -> Result<PathBuf> {
        make(&self.layout.app_volumes(app), 0o711, None)?;
        let path = self.layout.volume(app, name);
        make(&path, 0o700, owner)?;
        Ok(path)
    }

    /// A port that nobody uses and no other instance was given. Starts at a place that the name decides, so that
    /// several platforms on one host rarely look at the same ports.
    fn free_port(&self, name: &InstanceName) -> Result<u16> {
        let mut given = Vec::new();
        for other in self.names()?.iter().filter(|other| *other != name) {
            given.extend(read_json::<Record>(&self.layout.spec(other))?.and_then(|record| record.port));
        }
        let hash = Sha256::digest(name.as_str().as_bytes());
        let first = u16::from_be_bytes([hash[0], hash[1]]);
        let count = PORTS.end - PORTS.start;
        (0..count)
            .map(|step| PORTS.start + (first % count + step) % count)
            .find(|port| !given.contains(port) && is_free(*port))
            .ok_or_else(|| Error::unavailable(format!("every port from {} to {} is taken", PORTS.start, PORTS.end)))
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
        let volumes: Vec<_> =
            record.volumes.iter().map(|mount| (mount, self.layout.volume(app, &mount.name))).collect();
        let mut write = vec![tree.clone(), tmp.clone()];
        write.extend(volumes.iter().map(|(_, path)| path.clone()));
        let cgroups = self.host.cgroups.make(record.name.as_str(), &record.resources)?;
        let confine = self.host.confine(self.owner(app)?, cgroups, &record.resources, write, tmp.join("tmp"));
        let mut variables = self.base_env(&meta.paths, &tree, &tmp.join("home"), &tmp.join("tmp"));
        for (mount, path) in volumes {
            let name = mount.name.as_str().to_ascii_uppercase().replace('-', "_");
            variables.insert(format!("SH0_VOLUME_{name}"), Secret::new(path.to_string_lossy()));
        }
        variables.extend(record.env.iter().chain(env).map(|(key, value)| (key.to_string(), value.clone())));
        if let Some(port) = record.port {
            variables.insert("PORT".to_owned(), Secret::new(port.to_string()));
        }
        Ok(Launch {
            shim_args: self.config.shim.args.clone(),
            program: program(&self.layout, command, &meta, id, record.port.unwrap_or_default())?,
            env: variables,
            cwd: tree,
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
        remove_tree(&self.layout.instance(name))?;
        remove_tree(&self.layout.tmp(name))?;
        self.host.cgroups.remove(name.as_str());
        match fs::remove_file(self.layout.state(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
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

    // ---- beside it ----

    pub(crate) async fn exec(self: &Arc<Self>, name: &InstanceName, spec: &ExecSpec) -> Result<Session> {
        let record = self.known(name)?;
        if self.state(name)?.status != Status::Running {
            return Err(Error::conflict(format!("{name} does not run: start it, or use a one-off run")));
        }
        let (this, spec) = (self.clone(), spec.clone());
        let launch = blocking(move || {
            let mut launch = this.launch(&record, Some(Command::from(&spec.command)), &spec.env)?;
            launch.beside = true;
            launch.terminal = spec.terminal;
            if spec.terminal.is_some() {
                launch.env.entry("TERM".to_owned()).or_insert_with(|| Secret::new("xterm-256color"));
            }
            Ok(launch)
        })
        .await?;
        session::open(&self.config.shim, &self.layout.sessions(), &launch, Box::pin(async { Ok(()) }))
    }

    pub(crate) async fn run(self: &Arc<Self>, spec: &InstanceSpec) -> Result<Session> {
        if self.record(&spec.name)?.is_some() {
            return Err(Error::conflict(format!("{} exists already", spec.name)));
        }
        self.create(spec).await?;
        let (this, own) = (self.clone(), spec.clone());
        let launched = blocking(move || {
            let record = this.known(&own.name)?;
            let mut launch = this.launch(&record, record.command.clone(), &BTreeMap::new())?;
            launch.terminal = own.terminal;
            if own.terminal.is_some() {
                launch.env.entry("TERM".to_owned()).or_insert_with(|| Secret::new("xterm-256color"));
            }
            launch.state = Some(this.layout.state(&own.name));
            Ok(launch)
        })
        .await;
        let (this, own) = (self.clone(), spec.name.clone());
        let after = Box::pin(async move { this.remove(&own).await });
        let opened =
            launched.and_then(|launch| session::open(&self.config.shim, &self.layout.sessions(), &launch, after));
        if opened.is_err() {
            self.remove(&spec.name).await?;
        }
        opened
    }

    // ---- what it does ----

    /// Its processes, the app's first one first.
    fn processes(&self, state: &State) -> Vec<i32> {
        let Some(app) = state.app.filter(Proc::alive) else { return Vec::new() };
        let mut pids = vec![app.pid];
        pids.extend(procfs::descendants(app.pid));
        pids.extend(procfs::of_session(app.pid));
        pids.dedup();
        pids
    }

    pub(crate) fn diagnose(&self, name: &InstanceName) -> Result<Option<String>> {
        let record = self.known(name)?;
        let state = self.state(name)?;
        let (Some(port), Status::Running) = (record.port, state.status) else { return Ok(None) };
        let found = procfs::listening(&self.processes(&state));
        let reachable =
            |addr: &SocketAddr| addr.port() == port && (addr.ip().is_unspecified() || addr.ip() == Ipv4Addr::LOCALHOST);
        if found.iter().any(reachable) {
            return Ok(None);
        }
        let list: Vec<String> = found.iter().map(ToString::to_string).collect();
        Ok(Some(match (found.iter().find(|addr| addr.port() == port), list.is_empty()) {
            (Some(addr), _) => {
                format!("it listens on {addr} only, which 127.0.0.1 does not reach: listen on 0.0.0.0 or 127.0.0.1")
            }
            (None, true) => {
                format!("it listens on no port: it should listen on the one in the variable PORT, which is {port}")
            }
            (None, false) => {
                format!("it listens on {}, not on the port in the variable PORT, which is {port}", list.join(", "))
            }
        }))
    }

    pub(crate) fn usage(&self, name: &InstanceName) -> Result<Usage> {
        self.known(name)?;
        let state = self.state(name)?;
        if state.status != Status::Running {
            return Ok(Usage::default());
        }
        let mut usage = self.host.cgroups.usage(name.as_str());
        let mut seen = std::collections::BTreeSet::new();
        let stats: Vec<Stat> =
            self.processes(&state).into_iter().filter(|pid| seen.insert(*pid)).filter_map(Stat::of).collect();
        if stats.is_empty() {
            return Ok(usage);
        }
        let ticks: u64 = stats.iter().map(|stat| stat.user_ticks + stat.system_ticks).sum();
        let pages: u64 = stats.iter().map(|stat| stat.resident_pages).sum();
        usage.cpu_micros.get_or_insert(ticks * 1_000_000 / rustix::param::clock_ticks_per_second());
        usage.memory.get_or_insert(pages * rustix::param::page_size() as u64);
        usage.pids.get_or_insert(stats.iter().map(|stat| stat.threads).sum());
        Ok(usage)
    }
}

/// What a launch runs: the given command, or what the release is started with.
fn program(layout: &Layout, command: Option<Command>, meta: &Meta, id: &str, port: u16) -> Result<Program> {
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

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn is_free(port: u16) -> bool {
    // An app may listen on every address or on loopback: both must be free.
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() && TcpListener::bind(local(port)).is_ok()
}

fn new_key() -> io::Result<Key> {
    use std::io::Read;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(Key(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())))
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
