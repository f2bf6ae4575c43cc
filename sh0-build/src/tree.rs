//! What a planner reads: a folder on disk, or one that only exists in memory. Every read is bounded, and nothing that
//! a tree may contain (loops of links, pipes, names that are not text, huge files) makes it fail: it is as if that
//! entry were not there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most that is read of one file, in bytes: manifests are smaller, and lockfiles are only looked for.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// The most names that one folder is asked for; what lies behind, in the order of names, is not seen.
pub const MAX_ENTRIES: usize = 20_000;

/// What lies at a path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
}

/// A source tree. Paths are relative, with `/` between the parts; `""` is the tree itself.
pub trait Tree: Send + Sync {
    /// What is at `path`; `None` for nothing, and for everything that is neither file nor folder.
    fn kind(&self, path: &str) -> Option<Kind>;

    /// The names in a folder, in any order. Names that are not UTF-8 are left out.
    fn names(&self, folder: &str) -> Vec<String>;

    /// The first `limit` bytes of a file; `None` when there is none.
    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>>;
}

/// A folder on disk. Links are followed as long as they stay inside.
///
/// ```
/// use sh0_build::{DirTree, Tree};
/// let tree = DirTree::open(env!("CARGO_MANIFEST_DIR").as_ref()).expect("the folder of this crate");
/// assert!(tree.names("").contains(&"Cargo.toml".to_owned()));
/// ```
#[derive(Debug, Clone)]
pub struct DirTree {
    root: PathBuf,
}

impl DirTree {
    /// Opens the folder; fails when it is none.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        if root.is_dir() { Ok(DirTree { root }) } else { Err(std::io::ErrorKind::NotADirectory.into()) }
    }

    /// The real path of an entry, if it is below the root. `canonicalize` ends with an error on a loop of links.
    fn locate(&self, path: &str) -> Option<PathBuf> {
        if !is_plain(path) {
            return None;
        }
        let real = if path.is_empty() { self.root.clone() } else { self.root.join(path).canonicalize().ok()? };
        real.starts_with(&self.root).then_some(real)
    }
}

impl Tree for DirTree {
    fn kind(&self, path: &str) -> Option<Kind> {
        let kind = fs::symlink_metadata(self.locate(path)?).ok()?.file_type();
        match (kind.is_file(), kind.is_dir()) {
            (true, _) => Some(Kind::File),
            (_, true) => Some(Kind::Folder),
            _ => None,
        }
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let Some(entries) = self.locate(folder).and_then(|real| fs::read_dir(real).ok()) else { return Vec::new() };
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }

    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        // Only regular files are opened: opening a pipe would wait for a writer.
        if self.kind(path)? != Kind::File {
            return None;
        }
        let mut bytes = Vec::new();
        fs::File::open(self.locate(path)?).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// A tree in memory.
///
/// ```
/// use sh0_build::{Kind, MemoryTree, Tree};
/// let tree = MemoryTree::from([("public/index.html", "<h1>Hi</h1>")]);
/// assert_eq!(tree.kind("public"), Some(Kind::Folder));
/// ```
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryTree {
    /// Adds a file, with the folders that lead to it.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), content.into());
    }
}

impl<P: Into<String>, C: Into<Vec<u8>>, const N: usize> From<[(P, C); N]> for MemoryTree {
    fn from(files: [(P, C); N]) -> Self {
        let mut tree = MemoryTree::default();
        files.into_iter().for_each(|(path, content)| tree.insert(path, content));
        tree
    }
}

impl Tree for MemoryTree {
    fn kind(&self, path: &str) -> Option<Kind> {
        if self.files.contains_key(path) {
            return Some(Kind::File);
        }
        let below = format!("{path}/");
        let folder =
            path.is_empty() || self.files.range(below.clone()..).next().is_some_and(|(p, _)| p.starts_with(&below));
        folder.then_some(Kind::Folder)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let below = self.files.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        let mut names: Vec<String> =
            below.filter_map(|(path, _)| path[prefix.len()..].split('/').next()).map(str::to_owned).collect();
        names.dedup();
        names
    }

    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let content = self.files.get(path)?;
        let end = content.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
        Some(content[..end].to_vec())
    }
}

/// Whether a path is relative and stays below where it starts.
fn is_plain(path: &str) -> bool {
    path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\0')
}

/// A tree as providers see it: sorted, text, bounded.
#[derive(Clone, Copy)]
pub(crate) struct Files<'a>(pub(crate) &'a dyn Tree);

impl Files<'_> {
    pub(crate) fn is_file(self, path: &str) -> bool {
        self.0.kind(path) == Some(Kind::File)
    }

    pub(crate) fn is_folder(self, path: &str) -> bool {
        self.0.kind(path) == Some(Kind::Folder)
    }

    /// The text of a file, at most [`MAX_FILE_BYTES`] of it, without byte order mark; bytes that are not UTF-8 are
    /// replaced.
    pub(crate) fn text(self, path: &str) -> Option<String> {
        let bytes = self.0.bytes(path, MAX_FILE_BYTES)?;
        let text = String::from_utf8_lossy(&bytes);
        Some(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
    }

    /// The names in a folder, in order, so that no decision depends on the file system.
    pub(crate) fn names(self, folder: &str) -> Vec<String> {
        let mut names = self.0.names(folder);
        names.sort_unstable();
        names.dedup();
        names.truncate(MAX_ENTRIES);
        names
    }

    /// The first of `paths` that is a file.
    pub(crate) fn first<'p>(self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.is_file(path))
    }
}
