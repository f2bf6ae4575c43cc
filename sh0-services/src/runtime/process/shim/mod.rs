//! The shim: small, single-threaded programs in one binary, without an async runtime.
//!
//! | subcommand | what it does |
//! | --- | --- |
//! | `run DIR` | keeps one instance alive: its pipes, its logs, its restarts, its end |
//! | `session FILE` | runs one command with input and output over the socket at standard input |
//! | `exec FILE PARENT` | becomes the command: confines itself, then replaces itself by it |
//! | `probe` | says what the host allows |
//! | `static ...` | the file server |
//!
//! `run` and `session` outlive or end with the control plane as their task wants; `exec` dies with the shim above it.

mod confine;
mod logfile;
mod poll;
mod reap;
mod run;
mod session;
mod volumes;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use confine::Probe;
pub(crate) use logfile::{file_name, numbers};
pub(crate) use reap::kill_groups;
pub(crate) use run::{LAUNCH_FILE, LOCK_FILE, SOCKET_FILE};
pub(crate) use session::Frame;

/// What ends a shim that cannot do its task.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The whole program: call it from a tiny binary with the arguments behind the program's name.
///
/// It reads standard input and writes standard output in a language of its own; people do not call it.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let command = args.next().unwrap_or_default();
    let mut path = || args.next().map(PathBuf::from).ok_or("a path is missing");
    let done: Result<ExitCode, Failure> = match command.to_str() {
        Some("run") => path().map_err(Failure::from).and_then(|dir| run::main(&dir)),
        Some("session") => path().map_err(Failure::from).and_then(|file| session::main(&file)),
        Some("exec") => path().map_err(Failure::from).map(|file| confine::main(&file, args.next())),
        Some("probe") => confine::probe(args.next()),
        Some("static") => Ok(crate::static_files::main(args)),
        _ => Err("sh0-shim is started by sh0; see `sh0 help`".into()),
    };
    done.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(2)
    })
}

/// The only words of a shim: on standard error, which is the app's log, or nobody's.
pub(crate) fn complain(error: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "sh0: {error}");
}
