//! What a planner reads: a folder on disk, or one that only exists in memory. Every read is bounded, and nothing that
//! a tree may contain (loops of links, pipes, names that are not text, huge files) makes it fail: it is as if that
//! entry were not there.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

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

    /// The same names with what lies at each; those that have no [`Kind`] are left out.
    fn entries(&self, folder: &str) -> Vec<(String, Kind)> {
        let names = self.names(folder).into_iter();
        names.filter_map(|name| self.kind(&join(folder, &name)).map(|kind| (name, kind))).collect()
    }

    /// The first `limit` bytes of a file; `None` when there is none.
    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>>;

    /// The member of the tree's workspace that is the app, where one was picked. No tree of its own says so.
    #[doc(hidden)]
    fn picked(&self) -> Option<&str> {
        None
    }
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
    /// Folders that no link leads to or through: a whole check asks for thousands of files in few folders.
    real: Arc<RwLock<HashSet<String>>>,
}

impl DirTree {
    /// Opens the folder; fails when it is none.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        let root = root.canonicalize()?;
        match root.is_dir() {
            true => Ok(DirTree { root, real: Arc::default() }),
            false => Err(std::io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The real path of an entry, if it is below the root, and what is there.
    fn locate(&self, path: &str) -> Option<(PathBuf, fs::Metadata)> {
        if !is_plain(path) {
            return None;
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !path.is_empty() && (folder.is_empty() || self.is_real(folder)) {
            let real = self.root.join(path);
            let found = fs::symlink_metadata(&real).ok()?;
            return if found.is_symlink() { self.resolve(path) } else { Some((real, found)) };
        }
        let mut real = self.root.clone();
        let mut last = None;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            real.push(part);
            let found = fs::symlink_metadata(&real).ok()?;
            if found.is_symlink() {
                return self.resolve(path);
            }
            last = Some(found);
        }
        match last {
            Some(found) => {
                self.is_known_as_real(folder.to_owned());
                Some((real, found))
            }
            None => self.resolve(path),
        }
    }

    fn is_real(&self, folder: &str) -> bool {
        self.real.read().unwrap_or_else(PoisonError::into_inner).contains(folder)
    }

    fn is_known_as_real(&self, folder: String) {
        let mut real = self.real.write().unwrap_or_else(PoisonError::into_inner);
        if real.len() < MAX_ENTRIES {
            real.insert(folder);
        }
    }

    /// The same with links on the way. `canonicalize` ends with an error on a loop of them.
    fn resolve(&self, path: &str) -> Option<(PathBuf, fs::Metadata)> {
        let real = self.root.join(path).canonicalize().ok().filter(|real| real.starts_with(&self.root))?;
        let found = fs::symlink_metadata(&real).ok()?;
        Some((real, found))
    }

    /// What a folder holds, as it lists it.
    fn list(&self, folder: &str) -> impl Iterator<Item = (String, fs::DirEntry)> + use<> {
        let real =
            if self.is_real(folder) { Some(self.root.join(folder)) } else { self.locate(folder).map(|(real, _)| real) };
        let entries = real.and_then(|real| fs::read_dir(real).ok());
        entries.into_iter().flatten().filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().into_string().ok()?, entry))
        })
    }
}

impl Tree for DirTree {
    fn kind(&self, path: &str) -> Option<Kind> {
        kind_of(self.locate(path)?.1.file_type())
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.list(folder).map(|(name, _)| name).collect()
    }

    fn entries(&self, folder: &str) -> Vec<(String, Kind)> {
        let real = folder.is_empty() || self.is_real(folder);
        let kind = |(name, entry): (String, fs::DirEntry)| {
            let path = join(folder, &name);
            let kind = entry.file_type().ok().filter(|kind| !kind.is_symlink()).and_then(kind_of);
            let kind = kind.or_else(|| self.kind(&path))?;
            if real && kind == Kind::Folder && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.is_known_as_real(path);
            }
            Some((name, kind))
        };
        self.list(folder).filter_map(kind).collect()
    }

    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        // Only regular files are opened: opening a pipe would wait for a writer.
        let (real, found) = self.locate(path)?;
        if !found.is_file() {
            return None;
        }
        // One byte more tells the end of the file without another buffer.
        let size = found.len().min(limit).saturating_add(1);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        fs::File::open(real).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
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

fn kind_of(kind: fs::FileType) -> Option<Kind> {
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => Some(Kind::File),
        (_, true) => Some(Kind::Folder),
        _ => None,
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Whether a path is relative and stays below where it starts.
fn is_plain(path: &str) -> bool {
    path.is_empty() || path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\0')
}

/// A tree that remembers what was asked of it. Providers ask for dozens of names, most of which are not there: one
/// listing of the root answers those, and one read each manifest.
pub(crate) struct Remembered<'a> {
    tree: &'a dyn Tree,
    picked: OnceLock<String>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    root: Option<HashSet<String>>,
    names: HashMap<String, Vec<String>>,
    kinds: HashMap<String, Option<Kind>>,
    files: HashMap<String, Option<Vec<u8>>>,
    bytes: usize,
}

/// The most that is kept of files, and of one file, in bytes.
const MAX_REMEMBERED: usize = 4 << 20;
const MAX_REMEMBERED_FILE: usize = 128 << 10;

impl<'a> Remembered<'a> {
    pub(crate) fn new(tree: &'a dyn Tree) -> Self {
        Remembered { tree, picked: OnceLock::new(), memory: Mutex::default() }
    }

    /// Says once which member of the workspace is the app.
    pub(crate) fn pick(&self, folder: &str) {
        self.picked.get_or_init(|| folder.to_owned());
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the root has no such entry.
    fn is_absent(&self, memory: &mut Memory, path: &str) -> bool {
        let first = path.split('/').next().unwrap_or_default();
        let root = memory.root.get_or_insert_with(|| self.tree.names("").into_iter().collect());
        !path.is_empty() && !root.contains(first)
    }
}

impl Tree for Remembered<'_> {
    fn kind(&self, path: &str) -> Option<Kind> {
        let mut memory = self.memory();
        if self.is_absent(&mut memory, path) {
            return None;
        }
        if let Some(kind) = memory.kinds.get(path) {
            return *kind;
        }
        let kind = self.tree.kind(path);
        if memory.kinds.len() < MAX_ENTRIES {
            memory.kinds.insert(path.to_owned(), kind);
        }
        kind
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let mut memory = self.memory();
        if self.is_absent(&mut memory, folder) {
            return Vec::new();
        }
        if let Some(names) = memory.names.get(folder) {
            return names.clone();
        }
        let names = self.tree.names(folder);
        if names.len() <= 1_000 {
            memory.names.insert(folder.to_owned(), names.clone());
        }
        names
    }

    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let mut memory = self.memory();
        if self.is_absent(&mut memory, path) {
            return None;
        }
        if limit < MAX_FILE_BYTES {
            return self.tree.bytes(path, limit);
        }
        if let Some(known) = memory.files.get(path) {
            return known.clone();
        }
        let bytes = self.tree.bytes(path, limit);
        let size = bytes.as_ref().map_or(0, Vec::len);
        if size <= MAX_REMEMBERED_FILE && memory.bytes + size <= MAX_REMEMBERED {
            memory.bytes += size;
            memory.files.insert(path.to_owned(), bytes.clone());
        }
        bytes
    }

    fn picked(&self) -> Option<&str> {
        self.picked.get().map(String::as_str)
    }
}

/// A folder of a tree, as a tree of its own.
#[derive(Clone)]
pub(crate) struct Sub<'a> {
    tree: &'a dyn Tree,
    folder: String,
}

impl<'a> Sub<'a> {
    pub(crate) fn new(files: Files<'a>, folder: impl Into<String>) -> Self {
        Sub { tree: files.0, folder: folder.into() }
    }

    fn at(&self, path: &str) -> String {
        if path.is_empty() { self.folder.clone() } else { join(&self.folder, path) }
    }
}

impl Tree for Sub<'_> {
    fn kind(&self, path: &str) -> Option<Kind> {
        self.tree.kind(&self.at(path))
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.tree.names(&self.at(folder))
    }

    fn entries(&self, folder: &str) -> Vec<(String, Kind)> {
        self.tree.entries(&self.at(folder))
    }

    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        self.tree.bytes(&self.at(path), limit)
    }
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

    /// The beginning of a text file: enough for what a lockfile says of itself.
    pub(crate) fn head(self, path: &str) -> Option<String> {
        let bytes = self.0.bytes(path, 4 << 10)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The names in a folder, in order, so that no decision depends on the file system.
    pub(crate) fn names(self, folder: &str) -> Vec<String> {
        let mut names = self.0.names(folder);
        names.sort_unstable();
        names.dedup();
        names.truncate(MAX_ENTRIES);
        names
    }

    /// The same names, with what lies there.
    pub(crate) fn entries(self, folder: &str) -> Vec<(String, Kind)> {
        let mut entries = self.0.entries(folder);
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|a, b| a.0 == b.0);
        entries.truncate(MAX_ENTRIES);
        entries
    }

    /// The first of `paths` that is a file.
    pub(crate) fn first<'p>(self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.is_file(path))
    }
}
