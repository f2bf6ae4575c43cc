//! `sh0-shim session FILE`: one command whose input and output go through the socket at standard input. It ends with the
//! command, and the command ends with the socket: a session whose caller is gone leaves nothing.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use sh0_core::model::Exit;
use sh0_core::traits::Terminal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};

use super::Failure;
use super::poll::{self, Got};
use super::reap::{Family, do_not_block, spawn};
use super::run::{drain, signals};
use crate::runtime::process::launch::{Launch, State, Status, read_json};
use crate::runtime::process::procfs::{Proc, boot_id};

/// What goes over the socket: a kind, the length of what follows (32 bits, big-endian), and that.
pub(crate) struct Frame;

impl Frame {
    /// To the command: bytes for its standard input.
    pub(crate) const INPUT: u8 = 0;
    /// To the command: end of its standard input.
    pub(crate) const INPUT_END: u8 = 1;
    /// To the command: rows and columns, 16 bits each.
    pub(crate) const RESIZE: u8 = 2;
    /// From the command: standard output.
    pub(crate) const STDOUT: u8 = 3;
    /// From the command: standard error.
    pub(crate) const STDERR: u8 = 4;
    /// From the command: an [`Exit`] in JSON; the last frame.
    pub(crate) const EXIT: u8 = 5;
    /// Bytes of the largest frame.
    pub(crate) const MAX: usize = 64 * 1024;
    /// Bytes in front of every frame.
    pub(crate) const HEAD: usize = 5;

    /// The bytes of a frame.
    pub(crate) fn bytes(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Frame::HEAD + body.len());
        bytes.push(kind);
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// Kind and length, from the bytes in front.
    pub(crate) fn head(bytes: [u8; Frame::HEAD]) -> (u8, usize) {
        let [kind, a, b, c, d] = bytes;
        (kind, u32::from_be_bytes([a, b, c, d]) as usize)
    }
}

/// More than this is not read from one side until the other has taken some.
const ENOUGH: usize = 256 * 1024;
/// How long the output may stay open after everything that could write to it was killed.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) fn main(file: &Path) -> Result<ExitCode, Failure> {
    let socket = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let _ = rustix::process::setsid();
    let launch: Launch = read_json(file)?.ok_or("the launch file is gone")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    socket.set_nonblocking(true)?;
    let mut session = Session::start(socket, &launch, file)?;
    session.write_state(&launch, None);
    while !session.round()? {}
    session.write_state(&launch, session.exit);
    Ok(ExitCode::SUCCESS)
}

struct Session {
    socket: UnixStream,
    family: Family,
    children: UnixStream,
    terminate: UnixStream,
    /// Its terminal, or its standard input.
    input: Option<OwnedFd>,
    terminal: bool,
    outputs: [(u8, Option<OwnedFd>); 2],
    /// Received, and not yet a whole frame.
    received: Vec<u8>,
    to_input: VecDeque<u8>,
    input_ends: bool,
    to_socket: VecDeque<u8>,
    exit: Option<Exit>,
    last_words: Option<Instant>,
    buffer: Vec<u8>,
    proc: Option<Proc>,
}

impl Session {
    fn start(socket: UnixStream, launch: &Launch, file: &Path) -> Result<Session, Failure> {
        let (children, terminate) = (signals(&[SIGCHLD, SIGHUP])?, signals(&[SIGTERM, SIGINT])?);
        let (child, input, outputs) = match launch.terminal {
            Some(size) => {
                let (ours, theirs) = open_terminal(size, launch.confine.uid)?;
                let (one, two) = (theirs.try_clone()?, theirs.try_clone()?);
                let child = spawn(launch, Some(file), one.into(), two.into(), theirs.into())?;
                let input = ours.try_clone()?;
                (child, Some(input), [Some(ours), None])
            }
            None => {
                let piped = Stdio::piped;
                let mut child = spawn(launch, Some(file), piped(), piped(), piped())?;
                let outputs = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
                let input = child.stdin.take().map(OwnedFd::from);
                (child, input, outputs)
            }
        };
        for fd in input.iter().chain(outputs.iter().flatten()) {
            do_not_block(fd)?;
        }
        let family = Family::new(&child, launch);
        let [stdout, stderr] = outputs;
        Ok(Session {
            socket,
            proc: Proc::of(family.leader),
            family,
            children,
            terminate,
            input,
            terminal: launch.terminal.is_some(),
            outputs: [(Frame::STDOUT, stdout), (Frame::STDERR, stderr)],
            received: Vec::new(),
            to_input: VecDeque::new(),
            input_ends: false,
            to_socket: VecDeque::new(),
            exit: None,
            last_words: None,
            buffer: vec![0; 16 * 1024],
        })
    }

    /// Waits for something, and does it; answers whether everything is over.
    fn round(&mut self) -> Result<bool, Failure> {
        let want_socket = self.to_input.len() < ENOUGH;
        let want_output = self.to_socket.len() < ENOUGH;
        let mut fds = vec![
            (self.socket.as_fd(), want_socket, !self.to_socket.is_empty()),
            (self.children.as_fd(), true, false),
            (self.terminate.as_fd(), true, false),
        ];
        if want_output {
            fds.extend(self.outputs.iter().filter_map(|(_, fd)| Some((fd.as_ref()?.as_fd(), true, false))));
        }
        if let Some(input) = &self.input
            && !self.to_input.is_empty()
        {
            fds.push((input.as_fd(), false, true));
        }
        let until = self.last_words.unwrap_or_else(|| Instant::now() + Duration::from_secs(30));
        let socket_ready = poll::wait(&fds, Some(until))?.first().copied().unwrap_or(false);
        drain(&self.children, &mut self.buffer);
        let told = drain(&self.terminate, &mut self.buffer);
        // Neither reading nor writing was asked for: what is left to report is that the other end is gone.
        let hung_up = socket_ready && !want_socket && self.to_socket.is_empty();
        let gone = hung_up || (want_socket && !self.receive()?) || !self.send();
        if told || gone {
            // Nobody is left who would read its exit.
            self.family.kill();
            self.exit = self.family.reap().or(self.exit);
            return Ok(true);
        }
        self.feed();
        if want_output {
            self.read_outputs();
        }
        if self.exit.is_none()
            && let Some(exit) = self.family.reap()
        {
            self.exit = Some(exit);
            self.family.kill();
            self.family.reap();
            self.last_words = Some(Instant::now() + LAST_WORDS);
        }
        Ok(self.exit.is_some_and(|exit| self.finish(exit)))
    }

    /// After the end: the rest of the output, then the exit, then nothing.
    fn finish(&mut self, exit: Exit) -> bool {
        let late = self.last_words.is_some_and(|until| Instant::now() >= until);
        let open = self.outputs.iter().any(|(_, fd)| fd.is_some());
        if (open || !self.to_socket.is_empty()) && !late {
            return false;
        }
        let body = serde_json::to_vec(&exit).unwrap_or_default();
        let rest: Vec<u8> = self.to_socket.drain(..).chain(Frame::bytes(Frame::EXIT, &body)).collect();
        let _ = self.socket.set_nonblocking(false);
        let _ = self.socket.set_write_timeout(Some(LAST_WORDS));
        let _ = self.socket.write_all(&rest);
        true
    }

    /// Takes frames from the socket; answers whether its other end is there.
    fn receive(&mut self) -> Result<bool, Failure> {
        match poll::read(&self.socket, &mut self.buffer) {
            Got::End => return Ok(false),
            Got::Nothing => return Ok(true),
            Got::Bytes(count) => self.received.extend_from_slice(&self.buffer[..count]),
        }
        while let Some(head) = self.received.first_chunk::<{ Frame::HEAD }>() {
            let (kind, length) = Frame::head(*head);
            if length > Frame::MAX {
                return Err("a frame is too long".into());
            }
            let whole = Frame::HEAD + length;
            if self.received.len() < whole {
                break;
            }
            let body = &self.received[Frame::HEAD..whole];
            match kind {
                Frame::INPUT if self.input.is_some() => self.to_input.extend(body),
                // A terminal has no end of input; its user types Ctrl-D.
                Frame::INPUT_END if self.terminal => self.to_input.push_back(4),
                Frame::INPUT_END => self.input_ends = true,
                Frame::RESIZE => {
                    if let ([a, b, c, d], Some(terminal)) = (body, &self.input) {
                        let size = Terminal { rows: u16::from_be_bytes([*a, *b]), cols: u16::from_be_bytes([*c, *d]) };
                        let _ = rustix::termios::tcsetwinsize(terminal, winsize(size));
                    }
                }
                _ => {}
            }
            self.received.drain(..whole);
        }
        Ok(true)
    }

    /// Sends what waits; answers whether the other end takes it.
    fn send(&mut self) -> bool {
        while !self.to_socket.is_empty() {
            match self.socket.write(self.to_socket.as_slices().0) {
                Ok(count) => drop(self.to_socket.drain(..count)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn feed(&mut self) {
        while let Some(input) = self.input.as_ref().filter(|_| !self.to_input.is_empty()) {
            match rustix::io::write(input, self.to_input.as_slices().0) {
                Ok(count) => drop(self.to_input.drain(..count)),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                Err(_) => {
                    self.to_input.clear();
                    self.input = None;
                }
            }
        }
        if self.input_ends {
            self.input = None;
        }
    }

    fn read_outputs(&mut self) {
        for (kind, output) in &mut self.outputs {
            let Some(fd) = output else { continue };
            match poll::read(fd, &mut self.buffer) {
                Got::Bytes(count) => self.to_socket.extend(Frame::bytes(*kind, &self.buffer[..count])),
                Got::Nothing => {}
                Got::End => *output = None,
            }
        }
    }

    /// A one-off run can be seen while it lasts.
    fn write_state(&self, launch: &Launch, exit: Option<Exit>) {
        let Some(path) = &launch.state else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let state = State {
            status: if exit.is_some() { Status::Exited } else { Status::Running },
            boot: boot_id(),
            shim: Proc::own(),
            app: self.proc,
            started_at: i64::try_from(now).ok(),
            exit,
            ..State::created()
        };
        // The folder may be gone already: whoever dropped the session removes it.
        let _ = state.write(path);
    }
}

fn winsize(size: Terminal) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 }
}

/// A new terminal: our side and the command's.
fn open_terminal(size: Terminal, owner: Option<u32>) -> Result<(OwnedFd, OwnedFd), Failure> {
    let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    rustix::pty::grantpt(&ours)?;
    rustix::pty::unlockpt(&ours)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
    rustix::termios::tcsetwinsize(&ours, winsize(size))?;
    if let Some(id) = owner {
        rustix::fs::fchown(&theirs, Some(rustix::process::Uid::from_raw(id)), None)?;
    }
    Ok((ours, theirs))
}
