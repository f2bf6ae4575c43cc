//! Programs and their arguments; never a shell string.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::repo::Repo;

/// What a word ends with: the text of an error is for the person who ran it.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The cargo that runs us, at the root of the workspace.
pub(crate) fn cargo(repo: &Repo) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo says about *this* package must not leak into the builds it starts.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            cargo.env_remove(name);
        }
    }
    cargo.current_dir(repo.root());
    cargo
}

/// Shows the command, runs it, and fails when it fails. It is shown beside our output: that may be a report.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let shown = show(command);
    eprintln!("$ {shown}");
    let status = command.status().map_err(|error| format!("{shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}").into()) }
}

/// What the command prints; its errors go to ours.
pub(crate) fn read(command: &mut Command) -> Outcome<String> {
    let shown = show(command);
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{shown}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{shown}: {}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the command runs and succeeds; it prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// A program on the `PATH`, or where only root's `PATH` has it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Runs a part and says how long it took.
pub(crate) fn stage<T>(name: &str, part: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    println!("== {name}");
    let began = Instant::now();
    let done = part();
    println!("-- {name}: {:.1} s{}", began.elapsed().as_secs_f64(), if done.is_ok() { "" } else { ", failed" });
    done
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
