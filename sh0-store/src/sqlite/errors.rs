use std::path::Path;

use rusqlite::ffi;
use sh0_core::{Code, Error};

/// What an SQLite failure means and what to do about it. Result codes: <https://www.sqlite.org/rescode.html>.
pub(super) fn explain(path: &Path, error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Sqlite;

    let path = path.display();
    let failure = error.sqlite_error();
    let (code, detail) = match failure.map(|failure| failure.code) {
        Some(Sqlite::DiskFull) => {
            (Code::NoSpace, format!("the disk of {path} is full: free some space; nothing was changed"))
        }
        // The shared-memory file beside the database could not grow: the same cause under another name.
        Some(Sqlite::SystemIoFailure) if failure.is_some_and(|f| f.extended_code == ffi::SQLITE_IOERR_SHMSIZE) => {
            (Code::NoSpace, format!("the disk of {path} is full: free some space; nothing was changed"))
        }
        Some(Sqlite::DatabaseBusy | Sqlite::DatabaseLocked) => {
            (Code::Unavailable, format!("another program keeps {path} locked: close it, then try again"))
        }
        Some(Sqlite::DatabaseCorrupt) => (
            Code::Internal,
            format!(
                "{path} is damaged ({error}): stop sh0, keep a copy of the file with its -wal, and restore the last \
                 backup or rescue the rows with `sqlite3 sh0.db .recover`"
            ),
        ),
        Some(Sqlite::NotADatabase) => {
            (Code::Internal, format!("{path} is not an SQLite database: move it away, or restore the last backup"))
        }
        Some(Sqlite::ReadOnly | Sqlite::PermissionDenied | Sqlite::CannotOpen) => (
            Code::Internal,
            format!("{path} cannot be opened for writing ({error}): run sh0 as the owner of its data directory"),
        ),
        Some(Sqlite::SystemIoFailure) => (
            Code::Internal,
            format!("the disk under {path} fails ({error}): look at the kernel's log, and make a backup now"),
        ),
        Some(Sqlite::TooBig) => (Code::TooLarge, "the record is larger than SQLite can store".to_owned()),
        Some(Sqlite::OutOfMemory) => (Code::Unavailable, "there is no memory left for the store: free some".to_owned()),
        _ => (Code::Internal, format!("the store {path} failed: {error}")),
    };
    Error::new(code, detail).with_source(error)
}
