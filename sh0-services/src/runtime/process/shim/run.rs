//! `sh0-shim run DIR`: keeps one instance alive until it is told to stop, or until it has ended for good.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{ChildStderr, ChildStdout, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;
use sh0_core::LocalKey;
use sh0_core::model::Exit;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::logfile::{LogFile, Unfinished};
use super::poll::{self, Got};
use super::reap::{Family, do_not_block, spawn};
use super::{Failure, complain};
use crate::runtime::process::launch::{Ask, Launch, State, Status, Supervise, Want, hand_over, read_json};
use crate::runtime::process::procfs::{self, Proc, boot_id};

/// The names of the files in an instance's folder that both sides know.
pub(crate) const LAUNCH_FILE: &str = "launch.json";
pub(crate) const SOCKET_FILE: &str = "sock";
pub(crate) const LOCK_FILE: &str = "lock";

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run this long makes the next pause short again.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// How long the app has when the machine shuts down and nobody names a time.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Orphans that ended are reaped at least this often.
const ROUND: Duration = Duration::from_secs(30);
/// Bytes of one read from a pipe.
const CHUNK: usize = 16 * 1024;
/// A question is one short line.
const MAX_ASK: usize = 4096;
const MAX_ASKERS: usize = 16;

pub(super) fn main(dir: &Path) -> Result<ExitCode, Failure> {
    std::env::set_current_dir(dir)?;
    let _ = rustix::process::setsid();
    let lock = File::options().create(true).append(true).open(LOCK_FILE)?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| "the instance has a shim already")?;
    let launch: Launch = read_json(Path::new(LAUNCH_FILE))?.ok_or("the launch file is gone")?;
    // Secrets are in it. From here on they are in memory alone, for the next start of the command.
    std::fs::remove_file(LAUNCH_FILE)?;
    let mut shim = Shim::new(launch)?;
    shim.start()?;
    while shim.state.status != Status::Exited {
        shim.round()?;
    }
    Ok(ExitCode::SUCCESS)
}

struct Shim {
    launch: Launch,
    supervise: Supervise,
    state_path: std::path::PathBuf,
    state: State,
    log: LogFile,
    listener: UnixListener,
    askers: Vec<Asker>,
    children: UnixStream,
    terminate: UnixStream,
    /// The control plane waits on it for the first start.
    starter: Option<File>,
    app: Option<App>,
    pause: Duration,
    /// The next start, while it pauses.
    next: Option<Instant>,
    /// When everything is killed, once it was asked to stop.
    deadline: Option<Instant>,
    /// When it was asked, in clock ticks since the boot.
    asked_at: u64,
    buffer: Vec<u8>,
}

/// A running app.
struct App {
    family: Family,
    since: Instant,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    unfinished: [Unfinished; 2],
    /// Closed when the command has replaced the step before it; a text in it is why that failed.
    status: Option<UnixStream>,
    failure: Vec<u8>,
    exit: Option<Exit>,
}

/// Somebody who has connected, and the beginning of the question.
struct Asker {
    stream: UnixStream,
    text: Vec<u8>,
}

impl Shim {
    fn new(launch: Launch) -> Result<Shim, Failure> {
        let supervise = launch.supervise.clone().ok_or("the launch file is for a session")?;
        let state_path = launch.state.clone().ok_or("the launch file names no state file")?;
        for group in &supervise.own_cgroups {
            let _ = std::fs::write(group.join("cgroup.procs"), "0");
        }
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let starter = File::from(rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?);
        rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
        let _ = std::fs::remove_file(SOCKET_FILE);
        let listener = UnixListener::bind(SOCKET_FILE)?;
        listener.set_nonblocking(true)?;
        let old = State::read(&state_path).ok().flatten();
        let state = State {
            boot: boot_id(),
            shim: Proc::own(),
            port: supervise.port,
            restarts: old.map_or(0, |old| old.restarts),
            ..State::created()
        };
        Ok(Shim {
            state_path,
            state,
            log: LogFile::open(&supervise.logs)?,
            listener,
            askers: Vec::new(),
            children: signals(&[SIGCHLD, SIGHUP])?,
            terminate: signals(&[SIGTERM, SIGINT])?,
            starter: Some(starter),
            app: None,
            pause: FIRST_PAUSE,
            next: None,
            deadline: None,
            asked_at: 0,
            buffer: vec![0; CHUNK],
            supervise,
            launch,
        })
    }

    fn start(&mut self) -> Result<(), Failure> {
        let (status, report) = UnixStream::pair()?;
        let stdin = Stdio::from(std::os::fd::OwnedFd::from(report));
        let mut child = spawn(&self.launch, None, stdin, Stdio::piped(), Stdio::piped())?;
        // Fails when the step has ended already: what it has said tells why.
        let _ = hand_over(&self.launch, &status);
        status.set_nonblocking(true)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        stdout.as_ref().map(do_not_block).transpose()?;
        stderr.as_ref().map(do_not_block).transpose()?;
        let family = Family::new(&child, &self.launch);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        self.state.app = Proc::of(family.leader);
        self.state.started_at = i64::try_from(now).ok();
        self.next = None;
        self.app = Some(App {
            family,
            since: Instant::now(),
            stdout,
            stderr,
            unfinished: Default::default(),
            status: Some(status),
            failure: Vec::new(),
            exit: None,
        });
        self.set(Status::Running);
        Ok(())
    }

    /// Waits for something to happen, and does what it asks for.
    fn round(&mut self) -> Result<(), Failure> {
        let ready = self.wait()?;
        drain(&self.children, &mut self.buffer);
        if drain(&self.terminate, &mut self.buffer) {
            self.stop(SHUTDOWN_GRACE);
        }
        if ready {
            self.read_app();
            self.answer();
        }
        if let Some(app) = &mut self.app
            && let Some(exit) = app.family.reap()
        {
            app.exit = Some(exit);
        }
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if let Some(app) = &self.app {
            match app.exit {
                // After a stop the rest of the family has the same time as its leader.
                Some(exit) if self.deadline.is_none() || late || !app.family.lives() => self.ended(exit),
                // Again in every round: it may still not be the program that will hear it.
                Some(_) => app.family.terminate_newborn(self.asked_at),
                None if late => app.family.kill(),
                _ => {}
            }
        } else if self.deadline.is_some() {
            self.set(Status::Exited);
        } else if self.next.is_some_and(|next| Instant::now() >= next) {
            self.state.restarts += 1;
            if let Err(error) = self.start() {
                complain(&error);
                self.pause_then_start();
            }
        }
        Ok(())
    }

    /// Answers whether any descriptor is ready.
    fn wait(&self) -> Result<bool, Failure> {
        let mut fds = vec![self.listener.as_fd(), self.children.as_fd(), self.terminate.as_fd()];
        fds.extend(self.askers.iter().map(|asker| asker.stream.as_fd()));
        if let Some(app) = &self.app {
            fds.extend(app.stdout.as_ref().map(AsFd::as_fd));
            fds.extend(app.stderr.as_ref().map(AsFd::as_fd));
            fds.extend(app.status.as_ref().map(AsFd::as_fd));
        }
        let fds: Vec<_> = fds.into_iter().map(|fd| (fd, true, false)).collect();
        let mut until = Instant::now() + ROUND;
        until = self.next.map_or(until, |next| next.min(until));
        until = self.deadline.map_or(until, |deadline| deadline.min(until));
        if self.app.as_ref().is_some_and(|app| app.exit.is_some()) {
            // Only the rest of a family that was asked to stop: nothing tells when the last of it is gone.
            until = until.min(Instant::now() + Duration::from_millis(20));
        }
        Ok(poll::wait(&fds, Some(until))?.contains(&true))
    }

    fn read_app(&mut self) {
        let Some(app) = &mut self.app else { return };
        let [out, err] = &mut app.unfinished;
        read_pipe(&mut app.stdout, b'o', out, &mut self.log, &mut self.buffer, 1);
        read_pipe(&mut app.stderr, b'e', err, &mut self.log, &mut self.buffer, 1);
        if let Some(status) = &app.status {
            match poll::read(status, &mut self.buffer) {
                Got::Bytes(count) => app.failure.extend_from_slice(&self.buffer[..count]),
                Got::Nothing => {}
                Got::End => {
                    app.status = None;
                    if app.failure.is_empty() {
                        self.tell_starter("");
                    }
                }
            }
        }
    }

    /// The leader has ended: nothing of it may stay, and its last words are kept.
    fn ended(&mut self, exit: Exit) {
        self.read_app();
        let Some(mut app) = self.app.take() else { return };
        app.family.kill();
        app.family.reap();
        let [out, err] = &mut app.unfinished;
        read_pipe(&mut app.stdout, b'o', out, &mut self.log, &mut self.buffer, usize::MAX);
        read_pipe(&mut app.stderr, b'e', err, &mut self.log, &mut self.buffer, usize::MAX);
        self.log.finish(b'o', out);
        self.log.finish(b'e', err);
        self.state.app = None;
        self.state.exit = Some(exit);
        if !app.failure.is_empty() {
            let failure = String::from_utf8_lossy(&app.failure).into_owned();
            self.state.failure = Some(failure.clone());
            self.set(Status::Exited);
            self.tell_starter(&failure);
        } else if self.supervise.restart && self.deadline.is_none() {
            if app.since.elapsed() >= GOOD_RUN {
                self.pause = FIRST_PAUSE;
            }
            self.pause_then_start();
        } else {
            self.set(Status::Exited);
        }
    }

    fn pause_then_start(&mut self) {
        self.next = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.set(Status::Restarting);
    }

    fn stop(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.deadline = Some(self.deadline.map_or(deadline, |known| known.min(deadline)));
        self.next = None;
        self.asked_at = procfs::ticks_now();
        if let Some(app) = &self.app {
            if grace.is_zero() {
                app.family.kill();
            } else {
                app.family.terminate();
            }
        }
    }

    fn set(&mut self, status: Status) {
        self.state.status = status;
        if let Err(error) = self.state.write(&self.state_path) {
            complain(&format_args!("the state cannot be written: {error}"));
        }
    }

    /// The first start has worked, or why it has not.
    fn tell_starter(&mut self, failure: &str) {
        if let Some(mut starter) = self.starter.take() {
            let _ = writeln!(starter, "{}", if failure.is_empty() { "started" } else { failure });
        }
    }

    fn answer(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.askers.len() < MAX_ASKERS && stream.set_nonblocking(true).is_ok() {
                self.askers.push(Asker { stream, text: Vec::new() });
            }
        }
        let mut wants = Vec::new();
        let (key, state, buffer) = (&self.supervise.key, &self.state, &mut self.buffer);
        self.askers.retain_mut(|asker| match asker.asked(key, buffer) {
            Ok(None) => true,
            Ok(Some(want)) => {
                wants.push(want);
                // An answer is smaller than what the socket holds.
                let _ = serde_json::to_vec(state).map(|text| asker.stream.write_all(&text));
                false
            }
            Err(_) => false,
        });
        for want in wants {
            match want {
                Want::State => {}
                Want::Stop(grace) => self.stop(Duration::from_millis(grace)),
                Want::Kill => self.stop(Duration::ZERO),
            }
        }
    }
}

impl Asker {
    /// The question, once its line is whole.
    fn asked(&mut self, key: &LocalKey, buffer: &mut [u8]) -> Result<Option<Want>, Failure> {
        match poll::read(&self.stream, buffer) {
            Got::Nothing => return Ok(None),
            Got::End => return Err("gone".into()),
            Got::Bytes(count) => self.text.extend_from_slice(&buffer[..count]),
        }
        if self.text.len() > MAX_ASK {
            return Err("too long".into());
        }
        if !self.text.ends_with(b"\n") {
            return Ok(None);
        }
        let ask: Ask = serde_json::from_slice(&self.text)?;
        if key.is(ask.key.expose()) { Ok(Some(ask.want)) } else { Err("a wrong key".into()) }
    }
}

/// Reads what a pipe has, at most `reads` times, and closes it at its end.
fn read_pipe<F: AsFd>(
    pipe: &mut Option<F>,
    name: u8,
    unfinished: &mut Unfinished,
    log: &mut LogFile,
    buffer: &mut [u8],
    reads: usize,
) {
    for _ in 0..reads {
        let Some(fd) = pipe else { return };
        match poll::read(fd, buffer) {
            Got::Bytes(count) => log.take(name, unfinished, &buffer[..count]),
            Got::Nothing => return,
            Got::End => {
                log.finish(name, unfinished);
                *pipe = None;
            }
        }
    }
}

/// A stream that can be read when one of these signals came.
pub(super) fn signals(which: &[i32]) -> std::io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in which {
        signal_hook::low_level::pipe::register(*signal, write.try_clone()?)?;
    }
    Ok(read)
}

/// Empties it; answers whether there was anything.
pub(super) fn drain(mut stream: &UnixStream, buffer: &mut [u8]) -> bool {
    let mut any = false;
    while matches!(stream.read(buffer), Ok(1..)) {
        any = true;
    }
    any
}
