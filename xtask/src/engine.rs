//! A Docker Engine for the tests: the one that answers, or our own.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Outcome, find, succeeds};
use crate::packages::is_root;
use crate::repo::Repo;

const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_secs(60);

/// The `docker` program. Debian's comes before others: it fits Debian's engine.
pub(crate) fn docker() -> Command {
    let program = PathBuf::from("/usr/bin/docker");
    let mut docker = Command::new(if program.is_file() { program } else { "docker".into() });
    // The classic builder is in every client, and needs nothing from outside.
    docker.env("DOCKER_BUILDKIT", "0");
    docker
}

fn answers() -> bool {
    succeeds(docker().arg("info"))
}

/// Starts an engine unless one answers. It keeps its data in the target folder and its output in a file there.
pub(crate) fn start(repo: &Repo) -> Outcome {
    if answers() {
        println!("docker: an engine answers");
        return Ok(());
    }
    if !is_root() {
        return Err("no Docker Engine answers: start one, or let root run this".into());
    }
    let dockerd = find("dockerd").ok_or("dockerd is not installed")?;
    let log = repo.own("dockerd.log")?;
    let output = File::create(&log)?;
    let mut child = Command::new(dockerd)
        .arg("--data-root")
        .arg(repo.own("docker")?)
        .arg("--pidfile")
        .arg(pid_file(repo)?)
        .args(["--host", "unix:///var/run/docker.sock"])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // Ctrl-C at the terminal is for us, not for the engine.
        .process_group(0)
        .spawn()?;
    let began = Instant::now();
    while !answers() {
        if let Some(status) = child.try_wait()? {
            return Err(format!("dockerd ended ({status}):\n{}", tail(&log)?).into());
        }
        if began.elapsed() > START {
            child.kill()?;
            return Err(format!("dockerd does not answer:\n{}", tail(&log)?).into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("docker: started an engine, process {}, log in {}", child.id(), log.display());
    Ok(())
}

/// Stops the engine that [`start`] started, and only that.
pub(crate) fn stop(repo: &Repo) -> Outcome {
    let Ok(pid) = fs::read_to_string(pid_file(repo)?) else {
        println!("docker: nothing of ours runs");
        return Ok(());
    };
    let pid = pid.trim();
    let process = PathBuf::from("/proc").join(pid);
    // The number may belong to another program by now.
    let is_ours = || fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "dockerd");
    if is_ours() {
        succeeds(Command::new("kill").args(["-TERM", pid]));
    }
    let began = Instant::now();
    while is_ours() {
        if began.elapsed() > STOP {
            return Err(format!("dockerd, process {pid}, does not end").into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("docker: stopped the engine, process {pid}");
    Ok(())
}

fn pid_file(repo: &Repo) -> Outcome<PathBuf> {
    repo.own("dockerd.pid")
}

fn tail(log: &PathBuf) -> Outcome<String> {
    let text = fs::read_to_string(log)?;
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(15)..].join("\n"))
}
