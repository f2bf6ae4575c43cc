//! What the control plane tells the shim, and what the shim tells back: two small files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sh0_core::LocalKey;
use sh0_core::model::{self, Exit, Secret, VolumeName, exec_line, wire};
use sh0_core::traits::Terminal;

use super::procfs::Proc;

/// A command line for a shell. The line is the user's own, and the shell runs only behind [`Confine`]: in the user's own
/// instance or build, with a cleared environment.
pub(crate) fn shell(line: &str) -> Vec<String> {
    model::shell(exec_line(line)).into()
}

/// Everything that is needed to start one command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// Comes before the subcommand when the shim calls itself (`__shim` of `sh0 __shim`).
    pub shim_args: Vec<String>,
    /// What it runs.
    pub program: Program,
    /// Its whole environment.
    #[serde(with = "wire::map")]
    pub env: BTreeMap<String, Secret>,
    /// Its working folder.
    pub cwd: PathBuf,
    /// What it finds below `data` in there.
    #[serde(default)]
    pub volumes: Vec<Shown>,
    /// Its limits.
    pub confine: Confine,
    /// It runs beside an instance, in groups that are not its own to end.
    pub beside: bool,
    /// It gets a terminal of this size.
    pub terminal: Option<Terminal>,
    /// Where the shim keeps what it knows; absent for builds and commands beside an instance.
    pub state: Option<PathBuf>,
    /// How it is kept alive; absent for sessions.
    pub supervise: Option<Supervise>,
}

/// A volume that `data/<name>` leads to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub name: VolumeName,
    pub path: PathBuf,
}

/// What a launch runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Program {
    /// A program with its arguments.
    Exec(Vec<String>),
    /// The file server of this very binary.
    Static {
        /// The folder it serves.
        dir: PathBuf,
        /// Unknown paths answer `index.html`.
        spa: bool,
        /// Its port on 127.0.0.1.
        port: u16,
    },
}

/// How the shim keeps an instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Supervise {
    /// Who asks through the socket must know it: an app of the same user could reach the socket too.
    pub key: LocalKey,
    /// Starts it again when it ends.
    pub restart: bool,
    /// The folder of the log files.
    pub logs: PathBuf,
    /// The port it was given.
    pub port: Option<u16>,
    /// Control groups that the shim itself joins, away from the control plane's, which a service manager may kill.
    pub own_cgroups: Vec<PathBuf>,
}

/// What a command may touch. Absent or empty members are not in force.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Confine {
    /// The user and group it becomes.
    pub uid: Option<u32>,
    /// Control groups it joins: every folder of one instance.
    pub cgroups: Vec<PathBuf>,
    /// Bytes of writable private memory (RLIMIT_DATA), where no control group can limit it.
    pub data_limit: Option<u64>,
    /// How it gets file system mounts of its own.
    pub namespace: Namespace,
    /// Folders that are hidden behind an empty one, but for what is below them in `read` and `write`.
    pub cover: Vec<PathBuf>,
    /// The folder that it sees as `/tmp`.
    pub private_tmp: Option<PathBuf>,
    /// Landlock allows only `read` and `write`.
    pub landlock: bool,
    /// Landlock keeps its signals to itself: where it shares its user with others.
    pub scope_signals: bool,
    /// What it may read and execute.
    pub read: Vec<PathBuf>,
    /// What it may change.
    pub write: Vec<PathBuf>,
}

/// How a command gets mounts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Namespace {
    /// It does not.
    #[default]
    None,
    /// As root.
    Mount,
    /// In a user namespace, as anybody.
    UserAndMount,
}

/// What the shim knows of its instance; written whole, in one rename, at every change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What it does.
    pub status: Status,
    /// The boot in which the process ids mean something.
    pub boot: String,
    /// The shim.
    pub shim: Option<Proc>,
    /// The app's first process, which leads its session and process group.
    pub app: Option<Proc>,
    /// Where it was told to listen.
    pub port: Option<u16>,
    /// When it was started last, microseconds since 1970.
    pub started_at: Option<i64>,
    /// How often it was started again.
    pub restarts: u64,
    /// How it ended last.
    pub exit: Option<Exit>,
    /// Why its command could not be run.
    pub failure: Option<String>,
}

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Was never started.
    Created,
    /// Runs.
    Running,
    /// Waits for its next start.
    Restarting,
    /// Ended for good.
    Exited,
}

impl State {
    /// Of an instance that was never started.
    pub(crate) fn created() -> Self {
        State {
            status: Status::Created,
            boot: String::new(),
            shim: None,
            app: None,
            port: None,
            started_at: None,
            restarts: 0,
            exit: None,
            failure: None,
        }
    }

    /// Reads it; `None` when there is none.
    pub(crate) fn read(path: &Path) -> std::io::Result<Option<State>> {
        read_json(path)
    }

    /// Writes it whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        write_json(path, self)
    }
}

/// Reads a document; `None` when there is none.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> std::io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hands a launch to the step before the command, through a socket.
pub(crate) fn hand_over(launch: &Launch, mut socket: impl std::io::Write) -> std::io::Result<()> {
    let mut bytes = vec![0; 8];
    serde_json::to_writer(&mut bytes, launch)?;
    let length = (bytes.len() - 8) as u64;
    bytes[..8].copy_from_slice(&length.to_be_bytes());
    socket.write_all(&bytes)
}

/// Takes it there. What comes after it stays in the socket.
pub(crate) fn take_over(mut socket: impl std::io::Read) -> std::io::Result<Launch> {
    let mut length = [0; 8];
    socket.read_exact(&mut length)?;
    let launch = socket.take(u64::from_be_bytes(length));
    Ok(serde_json::from_reader(std::io::BufReader::new(launch))?)
}

/// Writes a document that only its owner may read, by a rename: a reader sees the old one or the new one.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    // The leading dot keeps it out of listings and of the watch.
    let temporary = path.with_file_name(format!(".{file_name}.{}", std::process::id()));
    let bytes = serde_json::to_vec(value)?;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// What is asked through the shim's socket: one line each way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    /// Proves that the asker may.
    pub key: LocalKey,
    /// What is wanted.
    pub want: Want,
}

/// What can be asked of a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Want {
    /// Its state.
    State,
    /// SIGTERM, then SIGKILL after this many milliseconds; the shim ends with its instance.
    Stop(u64),
    /// SIGKILL at once.
    Kill,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_only_shell_of_the_crate_is_in_this_file() {
        fn walk(dir: &Path, hits: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, hits);
                } else if std::fs::read_to_string(&path).unwrap().contains(concat!("model::", "shell(")) {
                    hits.push(path);
                }
            }
        }
        let mut hits = Vec::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut hits);
        assert_eq!(hits, [Path::new(env!("CARGO_MANIFEST_DIR")).join("src/runtime/process/launch.rs")]);
    }

    #[test]
    fn a_state_reads_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        assert_eq!(State::read(&path).unwrap(), None);
        let state = State { status: Status::Running, port: Some(1), restarts: 3, ..State::created() };
        state.write(&path).unwrap();
        assert_eq!(State::read(&path).unwrap(), Some(state));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        std::fs::write(&path, "{").unwrap();
        assert!(State::read(&path).is_err());
    }
}
