//! Copying a folder of this machine, and the hash of what was copied.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use rustix::fs::OFlags;
use sh0_core::model::{is_data_folder, is_env_file, is_left_out};
use sh0_core::{Error, Result};
use sha2::{Digest, Sha256};

use super::{Budget, Copied, Limits, Stop, create, links};

/// Copies `from` into the empty folder `to`.
///
/// Of the folders in `hidden` nothing is copied, by whatever path they are reached; nor of any platform's data folder.
pub(super) fn copy(from: &Path, to: &Path, hidden: &[PathBuf], limits: &Limits, stop: &Stop) -> Result<Copied> {
    let from = from
        .canonicalize()
        .map_err(|error| Error::from(error).context(format!("{} cannot be read", from.display())))?;
    if !from.is_dir() {
        return Err(Error::invalid(
            "source.path",
            format!("{} is not a folder", from.display()),
            "name the folder of the app",
        ));
    }
    let hidden = Hidden::new(hidden);
    if from.ancestors().any(|above| hidden.has(above)) {
        return Err(Error::invalid(
            "source.path",
            format!("{} belongs to the data of the platform", from.display()),
            "keep the folder of the app outside the platform's data folder",
        ));
    }
    let mut copy = Copy { to, hash: TreeHash::default(), budget: Budget::new(limits), notes: Vec::new() };
    for entry in walk(&from, hidden) {
        stop.check()?;
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                copy.notes.push(format!("left out: {error}"));
                continue;
            }
        };
        let Some(inside) = entry.path().strip_prefix(&from).ok().filter(|inside| !inside.as_os_str().is_empty()) else {
            continue;
        };
        copy.entry(entry.path(), inside, stop)?;
    }
    Ok(Copied { hash: copy.hash.finish(), notes: copy.notes })
}

/// Every entry that belongs to the source, folders before what is in them, in the order of names.
fn walk(from: &Path, hidden: Hidden) -> ignore::Walk {
    WalkBuilder::new(from)
        .standard_filters(false)
        .git_ignore(true)
        .require_git(false)
        .parents(false)
        .add_custom_ignore_filename(".sh0ignore")
        .follow_links(false)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .filter_entry(move |entry| entry.depth() == 0 || !(is_left_out(entry.path()) || hidden.has(entry.path())))
        .build()
}

/// Folders of the platform's own: its key, its records and its copies are nobody's source. By number, not by name: the
/// same folder may have several paths (bind mounts).
struct Hidden(Vec<(u64, u64)>);

impl Hidden {
    fn new(folders: &[PathBuf]) -> Hidden {
        let numbers = |path: &PathBuf| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
        Hidden(folders.iter().filter_map(numbers).collect())
    }

    fn has(&self, path: &Path) -> bool {
        let Ok(found) = fs::symlink_metadata(path) else { return false };
        found.is_dir() && (self.0.contains(&(found.dev(), found.ino())) || is_data_folder(path))
    }
}

struct Copy<'a> {
    to: &'a Path,
    hash: TreeHash,
    budget: Budget<'a>,
    notes: Vec<String>,
}

impl Copy<'_> {
    fn entry(&mut self, path: &Path, inside: &Path, stop: &Stop) -> Result<()> {
        let to = self.to.join(inside);
        // What vanishes while a folder is copied (an editor's temporary file) was not meant.
        let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
        self.budget.entry()?;
        if found.is_dir() {
            fs::create_dir(&to)?;
        } else if found.is_symlink() {
            self.link(path, inside, &to)?;
        } else if found.is_file() && is_env_file(path) {
            self.notes
                .push(format!("left out {}: what it holds belongs in the environment of the app", inside.display()));
        } else if found.is_file() {
            self.file(path, inside, &to, stop)?;
        } else {
            self.notes.push(format!("left out {}: neither file, folder nor link", inside.display()));
        }
        Ok(())
    }

    fn link(&mut self, path: &Path, inside: &Path, to: &Path) -> Result<()> {
        let Ok(target) = fs::read_link(path) else { return Ok(()) };
        if !links::stays_inside(inside, &target) {
            self.notes.push(format!("left out {}: the link leads outside", inside.display()));
            return Ok(());
        }
        std::os::unix::fs::symlink(&target, to)?;
        self.hash.link(inside, &target);
        Ok(())
    }

    fn file(&mut self, path: &Path, inside: &Path, to: &Path, stop: &Stop) -> Result<()> {
        // The name may have become a link or a pipe since it was looked at.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let opened = fs::OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
        let mut from = match opened {
            Ok(from) => from,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::from(error).context(format!("{} cannot be read", path.display()))),
        };
        let found = from.metadata()?;
        if !found.is_file() {
            return Ok(());
        }
        let executable = found.permissions().mode() & 0o111 != 0;
        let mut out = create(to, executable)?;
        self.hash.file(inside, executable);
        pump(&mut from, &mut out, &mut self.hash, &mut self.budget, stop)
    }
}

/// Copies bytes, and counts and hashes them on the way.
pub(super) fn pump(
    from: &mut impl Read,
    to: &mut impl Write,
    hash: &mut TreeHash,
    budget: &mut Budget<'_>,
    stop: &Stop,
) -> Result<()> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        stop.check()?;
        let read = match from.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            hash.end();
            return Ok(());
        }
        budget.bytes(read as u64)?;
        hash.bytes(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}

/// The hash of a tree: of every file its path, whether it is executable, and its bytes; of every link its path and its
/// target. Empty folders do not count. Two trees that build alike have the same.
#[derive(Default)]
pub(super) struct TreeHash {
    whole: Sha256,
    file: Option<Sha256>,
}

impl TreeHash {
    pub(super) fn file(&mut self, path: &Path, executable: bool) {
        self.name(if executable { b"x" } else { b"f" }, path);
        self.file = Some(Sha256::new());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file {
            file.update(bytes);
        }
    }

    pub(super) fn end(&mut self) {
        if let Some(file) = self.file.take() {
            self.whole.update(file.finalize());
        }
    }

    pub(super) fn link(&mut self, path: &Path, target: &Path) {
        self.name(b"l", path);
        self.name(b"t", target);
    }

    /// Length first, so that no two lists of names run together the same way.
    fn name(&mut self, kind: &[u8; 1], path: &Path) {
        let bytes = path.as_os_str().as_bytes();
        self.whole.update(kind);
        self.whole.update((bytes.len() as u64).to_be_bytes());
        self.whole.update(bytes);
    }

    pub(super) fn finish(self) -> String {
        let digest = self.whole.finalize();
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    }
}
