//! Where everything lies below the runtime's folder.
//!
//! ```text
//! releases/<app>/<id>/tree    what was built; meta.json beside it is written last
//! instances/<name>/           spec.json, launch.json, sock, logs/: root's alone
//! states/<name>.json          what each shim knows: one folder, one watch
//! sessions/                   launch files of commands that run beside an instance, for a moment
//! tmp/<name>/{home,tmp}/      home and temporary files of an instance
//! volumes/<app>/<name>/       survives releases and instances
//! cache/<app>/{home,tmp}/     home and temporary files of the app's builds
//! ```
//!
//! As root, apps own `tree`, `home`, `tmp` and their volumes, and nothing above them. Below those the control plane does
//! nothing by name that follows links: an app may have put one there.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
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

    /// Whoever makes instances holds it, shared with others who do.
    pub(crate) fn lock_instances(&self) -> io::Result<fs::File> {
        fs::File::options().create(true).append(true).open(self.instances().join(".lock"))
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
        self.tmps().join(name.as_str())
    }

    pub(crate) fn tmps(&self) -> PathBuf {
        self.root.join("tmp")
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

    /// Makes a folder with a home and a folder for temporary files in it. As root it is not the app's own, so that it
    /// cannot put anything else in their place.
    pub(crate) fn make_home(folder: &Path, owner: Option<u32>) -> io::Result<()> {
        match owner {
            Some(_) => make(folder, 0o711, Some(0))?,
            None => make(folder, 0o700, None)?,
        }
        make(&folder.join("home"), 0o700, owner)?;
        make(&folder.join("tmp"), 0o700, owner)
    }
}

/// Makes a folder with these rights and this owner; fine when it is there. Anything else of that name goes: it may be a
/// link that an app made, and what it leads to would get the rights. No app may own the folders above `path`, but for
/// the last.
pub(crate) fn make(path: &Path, mode: u32, owner: Option<u32>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // An app may put something there again, but not for ever.
    for _ in 0..10 {
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let folder = match opened {
            Ok(folder) => folder,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let _ = fs::remove_file(path);
                continue;
            }
            Err(Errno::NOENT) => continue,
            // Its owner, who is not root here, has closed it.
            Err(Errno::ACCESS) => {
                open_up_one(path)?;
                rustix::fs::open(path, flags, Mode::empty())?
            }
            Err(error) => return Err(error.into()),
        };
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(mode))?;
        std::os::unix::fs::fchown(&folder, owner, owner)?;
        return Ok(());
    }
    Err(io::Error::other(format!("{} does not stay a folder", path.display())))
}

/// Gives its owner all rights to a folder that may be closed, and to no other that a link leads to.
fn open_up_one(path: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    // fchmod(2) refuses such a descriptor; its name in /proc is the folder itself, not what `path` is by now.
    fs::set_permissions(own_path(&folder), Permissions::from_mode(0o700))
}

fn own_path(folder: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

/// Removes a folder with all that is in it; fine when it is gone. Folders that their owner closed are opened first.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let _ = open_up(CWD, path);
            fs::remove_dir_all(path)
        }
        other => other,
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Go's module cache, for one, is read-only. Goes from descriptor to descriptor: an app's links lead nowhere.
fn open_up(above: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(above, name, flags, Mode::empty())?;
    fs::set_permissions(own_path(&folder), Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(own_path(&folder))? {
        let entry = entry?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = open_up(folder.as_fd(), Path::new(&entry.file_name()));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_made_in_the_place_of_a_link_and_not_behind_it() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, folder) = (dir.path().join("outside"), dir.path().join("folder"));
        make(&outside, 0o755, None).unwrap();
        for target in [&outside, &dir.path().join("nothing"), &folder] {
            std::os::unix::fs::symlink(target, &folder).unwrap();
            make(&folder, 0o700, None).unwrap();
            assert!(fs::symlink_metadata(&folder).unwrap().is_dir() && mode(&folder) == 0o700);
            assert_eq!(mode(&outside), 0o755);
            fs::remove_dir(&folder).unwrap();
        }
        fs::write(&folder, "a file").unwrap();
        make(&folder, 0o700, None).unwrap();
        fs::write(folder.join("kept"), "").unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o000)).unwrap();
        make(&folder, 0o711, None).unwrap();
        assert!(folder.join("kept").exists() && mode(&folder) == 0o711);
    }

    #[test]
    fn closed_folders_are_opened_and_links_in_them_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (outside, tree) = (dir.path().join("outside"), dir.path().join("tree"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        make(&outside, 0o500, None).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("a/link")).unwrap();
        for closed in ["a/b", "a", ""] {
            fs::set_permissions(tree.join(closed), Permissions::from_mode(0o500)).unwrap();
        }
        open_up(CWD, &tree).unwrap();
        assert_eq!((mode(&tree.join("a/b")), mode(&outside)), (0o700, 0o500));
        remove_tree(&tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(outside.exists());
    }
}
