//! What /proc says (proc(5)): who a process is, who descends from whom, who listens where.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use sh0_core::model::Listener;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process for certain: a process id alone may be another's by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proc {
    /// Its id.
    pub pid: i32,
    /// When it started, in clock ticks since the boot.
    pub ticks: u64,
}

impl Proc {
    /// The process of this id.
    pub(crate) fn of(pid: i32) -> Option<Proc> {
        Stat::of(pid).map(|stat| Proc { pid, ticks: stat.ticks })
    }

    /// This process.
    pub(crate) fn own() -> Option<Proc> {
        i32::try_from(std::process::id()).ok().and_then(Proc::of)
    }

    /// Whether it runs; one that waits to be reaped does not.
    pub(crate) fn alive(&self) -> bool {
        Stat::of(self.pid).is_some_and(|stat| stat.ticks == self.ticks && !stat.ended())
    }

    /// For system calls.
    pub(crate) fn id(&self) -> Option<Pid> {
        Pid::from_raw(self.pid)
    }
}

/// The fields of /proc/PID/stat that are used here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub state: u8,
    pub parent: i32,
    pub session: i32,
    pub user_ticks: u64,
    pub system_ticks: u64,
    pub threads: u64,
    pub ticks: u64,
    pub resident_pages: u64,
}

impl Stat {
    /// Of one process; `None` when it is gone.
    pub(crate) fn of(pid: i32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in parentheses and may hold anything: the fields start after the last one.
    fn parse(text: &str) -> Option<Stat> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
        let signed = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<i32>().ok());
        Some(Stat {
            state: *fields.first()?.as_bytes().first()?,
            parent: signed(4)?,
            session: signed(6)?,
            user_ticks: number(14)?,
            system_ticks: number(15)?,
            threads: number(20)?,
            ticks: number(22)?,
            resident_pages: number(24)?,
        })
    }

    /// Dead, and perhaps not reaped.
    pub(crate) fn ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// For tokio's event loop. Its constructor is called unsound for descriptors that something else may close; this one
/// belongs to what is made here.
#[allow(deprecated)]
pub(crate) fn evented(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

/// Names this boot: process ids of another mean nothing.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Clock ticks since the boot, as in a process's start time.
pub(crate) fn ticks_now() -> u64 {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    // Whole numbers up to 2^53 are exact, and no machine is up that long.
    (seconds * rustix::param::clock_ticks_per_second() as f64) as u64
}

/// Every process that can be seen.
pub(crate) fn all() -> Vec<(i32, Stat)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| Some((pid, Stat::of(pid)?)))
        .collect()
}

/// Living processes below `ancestor`, itself left out.
pub(crate) fn descendants(ancestor: i32) -> Vec<i32> {
    let all = all();
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, stat) in &all {
        children.entry(stat.parent).or_default().push(*pid);
    }
    let alive: HashSet<i32> = all.iter().filter(|(_, stat)| !stat.ended()).map(|(pid, _)| *pid).collect();
    let mut found = Vec::new();
    let mut next = children.remove(&ancestor).unwrap_or_default();
    while let Some(pid) = next.pop() {
        next.extend(children.remove(&pid).unwrap_or_default());
        if alive.contains(&pid) {
            found.push(pid);
        }
    }
    found
}

/// Living processes of a session.
pub(crate) fn of_session(session: i32) -> Vec<i32> {
    all().into_iter().filter(|(_, stat)| stat.session == session && !stat.ended()).map(|(pid, _)| pid).collect()
}

/// Living processes that were started with this variable, written `NAME=value`.
pub(crate) fn with_variable(variable: &str) -> Vec<i32> {
    let has = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
    };
    all().into_iter().filter(|(pid, stat)| !stat.ended() && has(*pid)).map(|(pid, _)| pid).collect()
}

/// What every living process was started with.
pub(crate) fn command_lines() -> Vec<(i32, Vec<String>)> {
    let words = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = line.strip_suffix(b"\0").unwrap_or(&line);
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    };
    all().into_iter().filter(|(_, stat)| !stat.ended()).map(|(pid, _)| (pid, words(pid))).collect()
}

/// Sends a signal; one that is gone already is fine.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Where any of these processes listens for TCP. Their own network namespace is read.
pub(crate) fn listening(pids: &[i32]) -> Vec<SocketAddr> {
    let inodes: HashSet<u64> = pids.iter().flat_map(|pid| socket_inodes(*pid)).collect();
    let mut found = BTreeSet::new();
    if let Some(pid) = pids.first() {
        for table in ["tcp", "tcp6"] {
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/net/{table}")) else { continue };
            let listeners = text.lines().filter_map(Listener::parse);
            found.extend(listeners.filter(|one| inodes.contains(&one.inode)).map(|one| one.addr));
        }
    }
    found.into_iter().collect()
}

/// Sockets of a process: links such as `socket:[4711]`.
fn socket_inodes(pid: i32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let text = "7 (a) b) (c) S 1 7 5 0 -1 4194560 1 2 3 4 11 12 15 16 20 0 3 0 99 1000 42 18446744073709551615 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.session), (b'S', 1, 5));
        assert_eq!((stat.user_ticks, stat.system_ticks, stat.threads), (11, 12, 3));
        assert_eq!((stat.ticks, stat.resident_pages), (99, 42));
        assert!(Stat::parse("").is_none() && Stat::parse("7 (a) S").is_none());
    }

    #[test]
    fn this_process_is_seen() {
        let own = Proc::own().unwrap();
        assert!(own.alive());
        assert!(!Proc { ticks: own.ticks + 1, ..own }.alive(), "another start time is another process");
        assert!(!boot_id().is_empty());
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listening(&[own.pid]).contains(&socket.local_addr().unwrap()));
        let socket = std::net::TcpListener::bind("[::]:0").unwrap();
        assert!(listening(&[own.pid]).contains(&socket.local_addr().unwrap()));
    }

    #[test]
    fn children_are_found_until_they_end() {
        let own = Proc::own().unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(descendants(own.pid).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!descendants(own.pid).contains(&pid));
    }
}
