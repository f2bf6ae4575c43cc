//! The last table, on disk: whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sh0_core::traits::RouteTable;

/// The table that was saved last, if any.
pub(super) fn load(path: &Path) -> io::Result<Option<RouteTable>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the table that was saved. A crash at any moment leaves the old one or the new one.
pub(super) fn save(path: &Path, table: &RouteTable) -> io::Result<()> {
    let beside = beside(path);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec(table)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The new name must be on disk too (fsync(2), "Calling fsync() does not ensure that the entry in the directory").
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_table_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.json");
        assert!(load(&path).unwrap().is_none());
        for generation in [1, 2] {
            let table = RouteTable { generation, ..RouteTable::default() };
            save(&path, &table).unwrap();
            assert_eq!(load(&path).unwrap(), Some(table));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        fs::write(&path, "{\"generation\":").unwrap();
        assert!(load(&path).is_err());
    }
}
