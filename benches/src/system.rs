//! Processes, memory and containers, as the machine sees them.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::Outcome;

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its program and arguments.
    pub command: Vec<String>,
}

impl Process {
    /// Whether one of its arguments mentions this.
    pub fn mentions(&self, text: &str) -> bool {
        self.command.iter().any(|word| word.contains(text))
    }

    /// Kills it.
    pub fn kill(&self) {
        kill(self.pid, Signal::KILL);
    }
}

/// Every process that can be seen; kernel threads and zombies have no command and are left out.
pub fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let command: Vec<String> = command
                .split(|byte| *byte == 0)
                .filter(|word| !word.is_empty())
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect();
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            (!command.is_empty()).then_some(Process { pid, parent, command })
        })
        .collect()
}

/// Processes that mention this folder in their command, or work below it.
pub fn of_folder(folder: &Path) -> Vec<Process> {
    let text = folder.to_string_lossy().into_owned();
    let below = |process: &Process| {
        fs::read_link(format!("/proc/{}/cwd", process.pid)).is_ok_and(|cwd| cwd.starts_with(folder))
    };
    let mut found = processes();
    found.retain(|process| process.pid != std::process::id() && (process.mentions(&text) || below(process)));
    found
}

/// Sends a signal; fine when there is no such process.
pub fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process runs; a zombie does not.
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Proportional set size in bytes: its private memory, and its share of what it shares (proc_pid_smaps(5)).
pub fn pss(pid: u32) -> Outcome<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("smaps_rollup has no Pss")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}
