//! Starting the step that becomes the command, and ending everything that it left.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions};
use sh0_core::model::Exit;

use crate::runtime::process::launch::Launch;
use crate::runtime::process::procfs;

/// Starts `exec` with these pipes, for this launch file; without one it gets its launch from its standard input.
pub(super) fn spawn(
    launch: &Launch,
    file: Option<&Path>,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
) -> io::Result<Child> {
    // This very program, even when its file was replaced meanwhile.
    Command::new("/proc/self/exe")
        .args(&launch.shim_args)
        .arg("exec")
        .arg(file.unwrap_or(Path::new(HANDED_OVER)))
        .arg(std::process::id().to_string())
        .env_clear()
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
}

/// In place of a launch file.
pub(super) const HANDED_OVER: &str = "-";

/// Clock ticks (of 10 ms) within which a process counts as just born.
const NEWBORN_TICKS: u64 = 5;

/// A child process and everything below it.
pub(super) struct Family {
    /// The command: it leads its session and its process group.
    pub(super) leader: i32,
    cgroups: Vec<PathBuf>,
    oom_before: u64,
}

impl Family {
    pub(super) fn new(child: &Child, launch: &Launch) -> Family {
        let cgroups = if launch.beside { Vec::new() } else { launch.confine.cgroups.clone() };
        let leader = i32::try_from(child.id()).unwrap_or_default();
        Family { leader, oom_before: oom_kills(&cgroups), cgroups }
    }

    /// Asks the whole process group to end; before it has a group of its own, the child alone.
    pub(super) fn terminate(&self) {
        let group = Pid::from_raw(self.leader).map(|pid| rustix::process::kill_process_group(pid, Signal::TERM));
        if !matches!(group, Some(Ok(()))) {
            procfs::signal(self.leader, Signal::TERM);
        }
    }

    /// Asks those again that began to live round the time of the first asking: a shell that was just making them took
    /// the signal for them, and lost it when they became another program. Others are not asked twice: many programs
    /// take a second SIGTERM for impatience.
    pub(super) fn terminate_newborn(&self, asked_at: u64) {
        for pid in procfs::descendants(std::process::id().cast_signed()) {
            if procfs::Stat::of(pid).is_some_and(|stat| stat.ticks + NEWBORN_TICKS >= asked_at) {
                procfs::signal(pid, Signal::TERM);
            }
        }
    }

    /// Whether anything of it lives.
    pub(super) fn lives(&self) -> bool {
        !procfs::descendants(std::process::id().cast_signed()).is_empty()
    }

    /// Kills all of it, whatever it did to get away: new sessions and double forks end below this subreaper.
    pub(super) fn kill(&self) {
        let own = std::process::id().cast_signed();
        kill_groups(&self.cgroups);
        for _ in 0..200 {
            let left = procfs::descendants(own);
            if left.is_empty() {
                return;
            }
            for pid in left {
                procfs::signal(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(2));
            // The leader stays for `reap`, which wants its exit.
        }
    }

    /// Reaps every child that has ended; answers how the leader did.
    pub(super) fn reap(&self) -> Option<Exit> {
        let mut exit = None;
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid.as_raw_nonzero().get() == self.leader => {
                    let signal = status.terminating_signal();
                    let code = status.exit_status().or(signal.map(|signal| 128 + signal)).unwrap_or(1);
                    let oom = signal == Some(Signal::KILL.as_raw()) && oom_kills(&self.cgroups) > self.oom_before;
                    exit = Some(Exit { code, oom });
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) | Err(_) => return exit,
            }
        }
    }
}

/// How often the kernel killed something in these groups for its memory: `memory.events` of version 2,
/// `memory.oom_control` of version 1 (Linux 4.13).
fn oom_kills(cgroups: &[PathBuf]) -> u64 {
    let count = |path: PathBuf| {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok())
    };
    cgroups
        .iter()
        .filter_map(|group| count(group.join("memory.events")).or_else(|| count(group.join("memory.oom_control"))))
        .sum()
}

/// Kills what is in these groups: at once where the kernel can (version 2, Linux 5.14), one by one elsewhere.
pub(crate) fn kill_groups(cgroups: &[PathBuf]) {
    for group in cgroups {
        if std::fs::write(group.join("cgroup.kill"), "1").is_ok() {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(group.join("cgroup.procs")) else { continue };
        for pid in text.lines().filter_map(|line| line.parse().ok()) {
            procfs::signal(pid, Signal::KILL);
        }
    }
}

/// Reads and writes on it do not wait any more.
pub(super) fn do_not_block(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}
