//! Where copies lie: `trees/<deployment>/{revision.json, tree/}`, and, while they are made, beside that under a name
//! that starts with a dot.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sh0_core::Result;
use sh0_core::model::{DeploymentId, Revision};

/// What is older may go.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The place of one deployment's copy.
pub(super) struct Place {
    trees: PathBuf,
    name: String,
}

/// What is written beside a tree once it is whole.
#[derive(Serialize, Deserialize)]
struct Record {
    revision: Revision,
    boot: String,
}

impl Place {
    pub(super) fn new(trees: PathBuf, deployment: DeploymentId) -> Self {
        Place { trees, name: deployment.to_string() }
    }

    fn folder(&self) -> PathBuf {
        self.trees.join(&self.name)
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.folder().join("tree")
    }

    /// The revision of the copy, when there is a whole one that was made since the machine started.
    pub(super) fn ready(&self) -> Option<Revision> {
        let record: Record = serde_json::from_slice(&fs::read(self.folder().join("revision.json")).ok()?).ok()?;
        (record.boot == boot() && self.tree().is_dir()).then_some(record.revision)
    }

    /// A folder to make the copy in. It is removed again unless it is finished.
    pub(super) fn stage(&self) -> Result<Stage> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = self.trees.join(format!(".{}.{}.{count}", self.name, std::process::id()));
        remove_all(&path)?;
        private_folder(&path)?;
        fs::create_dir(path.join("tree"))?;
        Ok(Stage { path, folder: self.folder(), finished: false })
    }

    /// Removes the copy, and what was left of ones that were never finished.
    pub(super) fn remove(&self) -> Result<()> {
        let unfinished = format!(".{}.", self.name);
        for entry in fs::read_dir(&self.trees)? {
            let name = entry?.file_name();
            if name.to_string_lossy().starts_with(&unfinished) {
                remove_all(&self.trees.join(name))?;
            }
        }
        remove_all(&self.folder())
    }
}

/// A copy in the making.
pub(super) struct Stage {
    path: PathBuf,
    folder: PathBuf,
    finished: bool,
}

impl Stage {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    /// Gives the copy its name.
    pub(super) fn finish(mut self, revision: &Revision) -> Result<()> {
        remove_all(&self.path.join("git"))?;
        let record = Record { revision: revision.clone(), boot: boot() };
        fs::write(self.path.join("revision.json"), serde_json::to_vec(&record)?)?;
        remove_all(&self.folder)?;
        fs::rename(&self.path, &self.folder)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What cannot be removed now is swept later: its name can be told from a copy's.
        if !self.finished {
            let _ = remove_all(&self.path);
        }
    }
}

/// Changes with every start of the machine (proc_sys_kernel(5), random/boot_id).
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Makes a folder that only its owner can enter, and the folders that lead to it.
pub(super) fn private_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    Ok(())
}

/// Removes a file or a folder with everything in it. Fine when there is none.
pub(super) fn remove_all(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Removes what is older than a day, except for what is named like one of `keep`.
pub(super) fn sweep(folder: &Path, keep: &[String]) -> Result<()> {
    let now = SystemTime::now();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.trim_start_matches('.').split('.').next().unwrap_or_default();
        if keep.iter().any(|kept| kept == owner) {
            continue;
        }
        // A clock that was set back makes things look new: they are kept.
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| now.duration_since(at).ok());
        if age.is_some_and(|age| age > KEPT) {
            remove_all(&entry.path())?;
        }
    }
    Ok(())
}
