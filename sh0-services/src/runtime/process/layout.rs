//! Where everything lies below the runtime's folder.
//!
//! ```text
//! releases/<app>/<id>/tree    what was built; meta.json beside it is written last
//! instances/<name>/           spec.json, launch.json, sock, logs/: root's alone
//! states/<name>.json          what each shim knows: one folder, one watch
//! sessions/                   launch files of commands that run beside an instance, for a moment
//! tmp/<name>/                 home and temporary files of an instance
//! volumes/<app>/<name>/       survives releases and instances
//! cache/<app>/                home of the app's builds
//! ```

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sh0_core::model::{AppId, InstanceName, VolumeName};

/// Paths below the runtime's folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub root: PathBuf,
}

impl Layout {
    /// Makes the folders. Those that apps pass through let everybody through, and nobody look around.
    pub(crate) fn create(root: &Path) -> io::Result<Layout> {
        fs::create_dir_all(root)?;
        let layout = Layout { root: fs::canonicalize(root)? };
        fs::set_permissions(&layout.root, Permissions::from_mode(0o711))?;
        for passage in ["releases", "tmp", "volumes", "cache"] {
            make(&layout.root.join(passage), 0o711, None)?;
        }
        for private in ["instances", "states", "sessions"] {
            make(&layout.root.join(private), 0o700, None)?;
        }
        Ok(layout)
    }

    pub(crate) fn app_releases(&self, app: AppId) -> PathBuf {
        self.root.join("releases").join(app.to_string())
    }

    pub(crate) fn release(&self, app: AppId, id: &str) -> PathBuf {
        self.app_releases(app).join(id)
    }

    pub(crate) fn tree(&self, app: AppId, id: &str) -> PathBuf {
        self.release(app, id).join("tree")
    }

    pub(crate) fn meta(&self, app: AppId, id: &str) -> PathBuf {
        self.release(app, id).join("meta.json")
    }

    pub(crate) fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    pub(crate) fn instance(&self, name: &InstanceName) -> PathBuf {
        self.instances().join(name.as_str())
    }

    pub(crate) fn spec(&self, name: &InstanceName) -> PathBuf {
        self.instance(name).join("spec.json")
    }

    pub(crate) fn logs(&self, name: &InstanceName) -> PathBuf {
        self.instance(name).join("logs")
    }

    pub(crate) fn states(&self) -> PathBuf {
        self.root.join("states")
    }

    pub(crate) fn state(&self, name: &InstanceName) -> PathBuf {
        self.states().join(format!("{name}.json"))
    }

    pub(crate) fn sessions(&self) -> PathBuf {
        self.root.join("sessions")
    }

    pub(crate) fn tmp(&self, name: &InstanceName) -> PathBuf {
        self.root.join("tmp").join(name.as_str())
    }

    pub(crate) fn app_volumes(&self, app: AppId) -> PathBuf {
        self.root.join("volumes").join(app.to_string())
    }

    pub(crate) fn volume(&self, app: AppId, name: &VolumeName) -> PathBuf {
        self.app_volumes(app).join(name.as_str())
    }

    pub(crate) fn cache(&self, app: AppId) -> PathBuf {
        self.root.join("cache").join(app.to_string())
    }
}

/// Makes a folder with these rights and this owner; fine when it is there.
pub(crate) fn make(path: &Path, mode: u32, owner: Option<u32>) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    std::os::unix::fs::lchown(path, owner, owner)
}

/// Removes a folder with all that is in it; fine when it is gone. Folders that their owner closed are opened first.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path);
            fs::remove_dir_all(path)
        }
        other => other,
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Go's module cache, for one, is read-only.
fn open_up(path: &Path) {
    let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Bytes of the files below a folder.
pub(crate) fn bytes_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
