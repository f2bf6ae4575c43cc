//! The end of instances: shims that are asked or killed, files that go, and what a crash left.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::process::Signal;
use sh0_core::model::{Exit, InstanceName, Millis};
use sh0_core::{Code, Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::instances::{Instances, KILLED, START, blocking, ended};
use super::launch::{Ask, State, Status, Want, read_json};
use super::layout::remove_tree;
use super::procfs::{self, Proc, Stat};
use super::record::Record;
use super::shim::{LOCK_FILE, SOCKET_FILE, kill_groups};

/// How long a shim may take after the grace is over.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the kernel may take to end what was killed.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

impl Instances {
    pub(crate) async fn stop(self: &Arc<Self>, name: &InstanceName, grace: Millis) -> Result<Option<Exit>> {
        let held = self.lock(name).lock_owned().await;
        let record = self.known(name)?;
        self.end_shim(&record, Want::Stop(grace.0), Duration::from(grace) + PATIENCE).await?;
        let this = self.clone();
        let name = name.clone();
        blocking(move || {
            let _held = held;
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

    /// Waits until what is written of an instance is true: a control plane that was killed may have begun a shim that has
    /// not said so yet, and one that has said its last word may not have ended.
    pub(crate) async fn settled(&self, name: &InstanceName) {
        let until = Instant::now() + START;
        let unsaid = || {
            let lives = |state: State| matches!(state.status, Status::Running | Status::Restarting);
            !self.state(name).is_ok_and(lives) && self.has_shim(name)
        };
        while unsaid() && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether a shim holds the lock of this instance, which is the first thing it does.
    fn has_shim(&self, name: &InstanceName) -> bool {
        fs::File::open(self.layout.instance(name).join(LOCK_FILE))
            .is_ok_and(|lock| rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
    }

    /// Waits until the shim has ended as it was asked, and kills it if it does not.
    async fn end_shim(&self, record: &Record, want: Want, patience: Duration) -> Result<()> {
        self.settled(&record.name).await;
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
    pub(crate) fn clean_up(&self, name: &InstanceName, state: &State) {
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
        let (this, name) = (self.clone(), name.clone());
        self.change(&name.clone(), async move {
            match read_json::<Record>(&this.layout.spec(&name))? {
                Some(record) if record.platform != this.config.platform => return Ok(()),
                Some(record) => this.end_shim(&record, Want::Kill, PATIENCE).await?,
                None => {}
            }
            blocking(move || this.remove_files(&name)).await
        })
        .await
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

    /// Finishes what a crash cut off. Where there is no spec, there is no instance: its shim, what it keeps alive and every
    /// file of it go. The launch file holds secrets.
    pub(crate) fn sweep(&self) -> Result<()> {
        // Held: somebody else who makes instances below this folder has not written their specs yet.
        let lock = self.layout.lock_instances()?;
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        let gone = |name: &InstanceName| !self.layout.spec(name).exists();
        let shims = self.shims();
        let mut names: BTreeSet<InstanceName> = self.names()?.into_iter().collect();
        names.extend(shims.iter().map(|(name, _)| name.clone()));
        for (folder, suffix) in [(self.layout.states(), ".json"), (self.layout.tmps(), "")] {
            for entry in fs::read_dir(folder)? {
                names.extend(entry?.file_name().to_str().and_then(|name| name.strip_suffix(suffix)?.parse().ok()));
            }
        }
        for (name, shim) in shims.iter().filter(|(name, _)| gone(name)) {
            tracing::warn!(%name, pid = shim.pid, "a shim without an instance is ended");
            procfs::signal(shim.pid, Signal::KILL);
            let until = Instant::now() + KILLED_WITHIN;
            while shim.alive() && Instant::now() < until {
                std::thread::sleep(LOOK);
            }
        }
        for name in names.iter().filter(|name| gone(name)) {
            if let Err(error) = self.remove_files(name) {
                tracing::warn!(%name, %error, "what is left of a removed instance stays");
            }
        }
        Ok(())
    }

    /// The shims that live below this folder, by what they were started with: `run DIR` ends it.
    fn shims(&self) -> Vec<(InstanceName, Proc)> {
        let below = self.layout.instances();
        let shim = |(pid, words): (i32, Vec<String>)| {
            let [.., run, dir] = words.as_slice() else { return None };
            let name = std::path::Path::new(dir).strip_prefix(&below).ok()?.to_str()?.parse().ok()?;
            (run == "run").then_some((name, Proc::of(pid)?))
        };
        procfs::command_lines().into_iter().filter_map(shim).collect()
    }
}
