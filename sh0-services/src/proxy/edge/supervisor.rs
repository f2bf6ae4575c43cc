//! Keeps an edge running: adopts the one that runs, starts one where none does, and again when it dies.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sh0_core::{Code, Error, Result};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{EdgeProxy, greet, tell_to_stop};
use super::protocol::{Pong, VERSION};

/// The program that runs [`run`](super::run) with the options `--socket PATH --state FILE`, which are put after `args`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeCommand {
    /// The program, as an absolute path.
    pub program: PathBuf,
    /// What comes before the options, such as `edge`.
    pub args: Vec<String>,
}

/// How long a new edge may take until it answers.
const START: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(5);
/// How long an edge of another version may finish its requests beside its successor.
const HAND_OVER: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A log that is longer begins anew at the next start.
const MAX_LOG: u64 = 4 * 1024 * 1024;

/// Owns the wish that an edge runs. Dropping it leaves the edge running: that is its point.
pub struct EdgeSupervisor {
    command: EdgeCommand,
    dir: PathBuf,
    proxy: Arc<EdgeProxy>,
    running: Mutex<Running>,
    stopping: AtomicBool,
}

#[derive(Default)]
struct Running {
    pid: Option<u32>,
    /// Ours to wait for, where we started it.
    child: Option<Child>,
}

impl EdgeSupervisor {
    /// Makes sure that an edge of our version runs with its files in `dir` (created with mode 0700): `edge.sock`,
    /// `edge.json` (the last table) and `edge.log`.
    ///
    /// # Errors
    ///
    /// When the program cannot be started, or ends at once: the text has the last lines of its log.
    pub async fn spawn_or_adopt(command: EdgeCommand, dir: impl Into<PathBuf>) -> Result<EdgeSupervisor> {
        let dir = dir.into();
        let doing = |error: io::Error| Error::from(error).context(format!("the folder {}", dir.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(doing)?;
        let proxy = Arc::new(EdgeProxy::new(dir.join("edge.sock")));
        let supervisor =
            EdgeSupervisor { command, dir, proxy, running: Mutex::default(), stopping: AtomicBool::new(false) };
        supervisor.ensure().await?;
        Ok(supervisor)
    }

    /// The edge, as a proxy.
    pub fn proxy(&self) -> Arc<EdgeProxy> {
        self.proxy.clone()
    }

    /// The process that serves.
    pub async fn pid(&self) -> Option<u32> {
        self.running.lock().await.pid
    }

    /// Starts the edge again whenever it ends, until `end` or [`stop`](Self::stop). A task for the caller to own.
    pub async fn supervise(&self, end: CancellationToken) {
        let watch = async {
            let mut pause = FIRST_PAUSE;
            while !self.stopping.load(SeqCst) {
                let began = Instant::now();
                self.until_gone().await;
                if self.stopping.load(SeqCst) {
                    return;
                }
                if began.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                tracing::warn!("the edge is gone; starting it again");
                match self.ensure().await {
                    Ok(()) => {}
                    Err(error) => tracing::error!(%error, "the edge could not be started; trying again"),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        tokio::select! {
            () = watch => {}
            () = end.cancelled() => {}
        }
    }

    /// Ends the edge: listeners close at once, requests may go on for `grace`. Returns when its process is gone.
    ///
    /// # Errors
    ///
    /// [`Code::Timeout`] when it does not end.
    pub async fn stop(&self, grace: Duration) -> Result<()> {
        self.stopping.store(true, SeqCst);
        // Whoever is starting one finishes first.
        let mut running = self.running.lock().await;
        let Ok((mut stream, pong)) = greet(self.proxy.socket()).await else { return Ok(()) };
        tell_to_stop(&mut stream, grace).await?;
        let gone = async {
            match running.child.as_mut().filter(|child| child.id() == Some(pong.pid)) {
                Some(child) => drop(child.wait().await),
                None => until_ended(pong.pid).await,
            }
        };
        if tokio::time::timeout(grace + START, gone).await.is_err() {
            return Err(Error::new(Code::Timeout, format!("the edge (process {}) does not end", pong.pid)));
        }
        *running = Running::default();
        Ok(())
    }

    /// Returns once no edge answers.
    async fn until_gone(&self) {
        if let Ok((mut stream, _)) = greet(self.proxy.socket()).await {
            until_closed(&mut stream).await;
        }
    }

    /// Adopts, replaces, or starts.
    async fn ensure(&self) -> Result<()> {
        let mut running = self.running.lock().await;
        if self.stopping.load(SeqCst) {
            return Ok(());
        }
        let pong = match greet(self.proxy.socket()).await {
            Ok((_, pong)) if pong.version == VERSION => pong,
            Ok((mut stream, pong)) => {
                tracing::info!(theirs = pong.version, ours = VERSION, "replacing an edge of another version");
                tell_to_stop(&mut stream, HAND_OVER).await?;
                self.start(&mut running).await?
            }
            Err(_) => self.start(&mut running).await?,
        };
        running.pid = Some(pong.pid);
        drop(running);
        self.proxy.catch_up().await
    }

    async fn start(&self, running: &mut Running) -> Result<Pong> {
        let log = self.dir.join("edge.log");
        let program = &self.command.program;
        let doing = |error: io::Error| Error::from(error).context(format!("cannot start {}", program.display()));
        let (stdout, stderr) = open_log(&log).and_then(|file| Ok((file.try_clone()?, file))).map_err(doing)?;
        let child = Command::new(program)
            .args(&self.command.args)
            .arg("--socket")
            .arg(self.proxy.socket())
            .arg("--state")
            .arg(self.dir.join("edge.json"))
            .env_clear()
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(doing)?;
        let child = running.child.insert(child);
        let deadline = Instant::now() + START;
        loop {
            if let Ok((_, pong)) = greet(self.proxy.socket()).await {
                return Ok(pong);
            }
            if let Some(status) = child.try_wait()? {
                let last = last_lines(&log);
                return Err(Error::unavailable(format!("the edge ended at its start ({status}): {last}")));
            }
            if Instant::now() >= deadline {
                let _ = child.start_kill();
                let text = format!("the edge did not answer within {} s; see {}", START.as_secs(), log.display());
                return Err(Error::new(Code::Timeout, text));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn until_closed(stream: &mut UnixStream) {
    let mut buffer = [0; 64];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

/// Waits for a process that is not our child (pidfd_open(2): readable once the process ended).
async fn until_ended(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Where there is nothing to watch, it is gone already.
    let Some(process) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return };
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let ended = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&now));
        if !matches!(ended, Ok(0) | Err(Errno::INTR)) {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A file that a server in the background prints to: kept from one start to the next, and begun anew when it is long.
pub fn open_log(path: &Path) -> io::Result<File> {
    let long = fs::metadata(path).is_ok_and(|found| found.len() > MAX_LOG);
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    if long {
        file.set_len(0)?;
    }
    Ok(file)
}

fn last_lines(path: &Path) -> String {
    let tail = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(600)))?;
        let mut bytes = Vec::new();
        file.take(600).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    tail().unwrap_or_default()
}
