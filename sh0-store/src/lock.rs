//! One owner for a data directory: two platforms on the same files would undo each other's work.
//!
//! ```
//! use sh0_store::lock::DataDir;
//!
//! # let temp = tempfile::tempdir()?;
//! # let path = temp.path().join("data");
//! let dir = DataDir::acquire(&path)?;
//! dir.announce(&path.join("sh0.sock"))?;
//!
//! let error = DataDir::acquire(&path).unwrap_err();
//! assert!(error.detail().contains(&format!("pid {}", std::process::id())));
//! assert_eq!(DataDir::holder(&path)?.and_then(|holder| holder.socket), Some(path.join("sh0.sock")));
//!
//! drop(dir);
//! assert_eq!(DataDir::holder(&path)?, None);
//! # Ok::<(), sh0_core::Error>(())
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sh0_core::{Code, Error, Result};

const FILE: &str = "lock";
/// A holder that dies, a look with [`DataDir::holder`], or a child between fork and exec keeps the lock for some
/// milliseconds: only a lock that stays is worth an error.
const ATTEMPTS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(15);

/// The exclusive right to a data directory, until dropped. The kernel releases it when the process dies (`flock`), so
/// there is no stale lock.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    file: File,
}

/// Who has a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Where it answers, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

impl DataDir {
    /// Takes the directory, and creates it for the owner alone (mode 0700) when it is not there. The mode of a
    /// directory that exists is left as it is; all files in it are private by their own mode.
    ///
    /// [`Code::Conflict`] names who has it.
    pub fn acquire(path: impl AsRef<Path>) -> Result<DataDir> {
        let path = private_dir(path.as_ref())?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(FILE))
            .map_err(|error| unusable(&path, error))?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < ATTEMPTS => thread::sleep(BETWEEN),
                Err(TryLockError::WouldBlock) => return Err(held(&path, read(&file))),
                Err(TryLockError::Error(error)) => return Err(unusable(&path, error)),
            }
        }
        let dir = DataDir { path, file };
        dir.write(&Holder { pid: std::process::id(), socket: None })?;
        Ok(dir)
    }

    /// The directory, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells others where this process answers.
    pub fn announce(&self, socket: &Path) -> Result<()> {
        self.write(&Holder { pid: std::process::id(), socket: Some(socket.to_owned()) })
    }

    /// Who has the directory now, if anybody.
    pub fn holder(path: impl AsRef<Path>) -> Result<Option<Holder>> {
        let path = path.as_ref();
        let file = match File::open(path.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(path, error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read(&file).unwrap_or(Holder { pid: 0, socket: None }))),
            Err(TryLockError::Error(error)) => Err(unusable(path, error)),
        }
    }

    fn write(&self, holder: &Holder) -> Result<()> {
        let text = serde_json::to_vec(holder)?;
        let mut file = &self.file;
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(&text))
            .map_err(|error| unusable(&self.path, error))
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // The lock is what counts and closing the file releases it; an old name in it would only mislead people.
        let _ = self.file.set_len(0);
    }
}

/// Creates `path` with mode 0700 unless it is there, and answers it absolute.
pub(crate) fn private_dir(path: &Path) -> Result<PathBuf> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::canonicalize(path))
        .map_err(|error| unusable(path, error))
}

fn read(mut file: &File) -> Option<Holder> {
    let mut text = String::new();
    // Bounded: whatever somebody put there, this is a line.
    file.rewind().and_then(|()| file.take(16 * 1024).read_to_string(&mut text)).ok()?;
    serde_json::from_str(&text).ok()
}

fn held(path: &Path, holder: Option<Holder>) -> Error {
    let path = path.display();
    Error::conflict(match holder {
        Some(Holder { pid, socket: Some(socket) }) => format!(
            "another sh0 (pid {pid}) has the data directory {path} open; its socket is {}: talk to that one, or stop it",
            socket.display()
        ),
        Some(Holder { pid, socket: None }) => {
            format!("another sh0 (pid {pid}) has the data directory {path} open: wait for it to end, or stop it")
        }
        None => format!("another sh0 has the data directory {path} open: wait for it to end, or stop it"),
    })
}

fn unusable(path: &Path, error: std::io::Error) -> Error {
    let path = path.display();
    let (code, next) = match error.kind() {
        ErrorKind::PermissionDenied => {
            (Code::Forbidden, "run sh0 as the directory's owner, or choose another with --data")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (Code::NoSpace, "free some space on its disk"),
        ErrorKind::ReadOnlyFilesystem => (Code::Unavailable, "mount it writable, or choose another with --data"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            (Code::Invalid, "a file is in its place: choose another with --data")
        }
        _ => (Code::Internal, "check the directory and its file system, or choose another with --data"),
    };
    Error::new(code, format!("the data directory {path} cannot be used ({error}): {next}")).with_source(error)
}
