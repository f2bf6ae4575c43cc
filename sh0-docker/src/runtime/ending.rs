//! The end of a command whose session is gone.
//!
//! The engine lets the command of an exec go on when its connection closes, and has no call to end one (API 1.51). But it
//! tells the command's process id on its host. The engine's host is mostly this one; whether the process is really the
//! container's, its control group says.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::client::Client;

/// How long the engine may take to start a command that was to be ended at once.
const STARTED_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// A command that ends when this is dropped, unless it has ended by itself.
pub(super) struct Command {
    client: Client,
    exec: String,
    ended: bool,
}

impl Command {
    pub(super) fn new(client: Client, exec: String) -> Command {
        Command { client, exec, ended: false }
    }

    /// Nothing is left to end.
    pub(super) fn has_ended(mut self) {
        self.ended = true;
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        // Outside of a runtime nothing can be asked.
        if let (false, Ok(handle)) = (self.ended, tokio::runtime::Handle::try_current()) {
            handle.spawn(end(self.client.clone(), std::mem::take(&mut self.exec)));
        }
    }
}

async fn end(client: Client, exec: String) {
    let deadline = tokio::time::Instant::now() + STARTED_WITHIN;
    while tokio::time::Instant::now() < deadline {
        let state = match client.inspect_exec(&exec).await {
            Ok(state) => state,
            Err(error) if error.is_not_found() => return,
            Err(error) => {
                tracing::warn!(exec, %error, "a command may go on without its session");
                return;
            }
        };
        match (state.running, state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0)) {
            (true, Some(pid)) => {
                if let Err(reason) = kill(pid, &state.container_id) {
                    tracing::warn!(exec, pid, reason, "a command goes on without its session");
                }
                return;
            }
            (false, _) if state.exit_code.is_some() => return,
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Kills the command and what it has started: an engine's command leads a session of its own.
fn kill(leader: i32, container: &str) -> Result<(), String> {
    if !is_inside(leader, container) {
        return Err("its process is not on this host".to_owned());
    }
    let mut result = Ok(());
    // What is forked meanwhile is seen in the next round.
    for _ in 0..3 {
        let members = members(leader, container);
        if members.is_empty() {
            break;
        }
        for pid in members.into_iter().filter_map(Pid::from_raw) {
            if let Err(error) = kill_process(pid, Signal::KILL)
                && error != rustix::io::Errno::SRCH
            {
                result = Err(error.to_string());
            }
        }
    }
    result
}

/// The processes of a session, itself first.
fn members(leader: i32, container: &str) -> Vec<i32> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let of_session = |pid: &i32| session(*pid) == Some(leader) && is_inside(*pid, container);
    let mut members: Vec<i32> = pids.filter(of_session).collect();
    members.sort_by_key(|pid| *pid != leader);
    members
}

/// proc_pid_stat(5): the name in parentheses may hold anything; then state, ppid, pgrp, session. What is dead already
/// counts no more.
fn session(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    fields.nth(2)?.parse().ok().filter(|_| !matches!(state, "Z" | "X"))
}

/// The engine puts the container's id into the path of its control group.
fn is_inside(pid: i32, container: &str) -> bool {
    !container.is_empty()
        && std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|paths| paths.contains(container))
}

/// Whether commands of a container with this process can be ended from here, and if not, why not.
pub(super) fn can_end() -> Result<(), &'static str> {
    match Pid::from_raw(1).map(test_kill_process) {
        Some(Ok(())) => Ok(()),
        _ => Err(
            "commands in containers go on when their session is cut off: only root on the engine's host can end them",
        ),
    }
}
