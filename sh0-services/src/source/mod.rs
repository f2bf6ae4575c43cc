//! Source trees: a folder of this machine, a git repository, an uploaded archive. Each deployment gets a private copy.
//!
//! ```no_run
//! # async fn example() -> sh0_core::Result<()> {
//! use sh0_core::model::{DeploymentId, Source};
//! use sh0_core::traits::{Fetcher, NoOutput};
//! use sh0_services::source::{Limits, LocalFetcher};
//!
//! let fetcher = LocalFetcher::open("/var/lib/sh0/sources", Limits::default())?;
//! let source = Source::Git { url: "https://example.com/team/shop.git".parse()?, reference: None, root: None };
//! let deployment: DeploymentId = "01k9zr3v5g8yqk7t2m4n6p8r0s".parse()?;
//! let checkout = fetcher.fetch(deployment, &source, &NoOutput).await?;
//! println!("{} is in {}", checkout.revision.id, checkout.dir.display());
//! # Ok(()) }
//! ```
//!
//! What a copy holds, whatever it came from:
//!
//! - Regular files and folders. Whether a file is executable is kept; owners, times and other bits are not.
//! - Symbolic links that stay inside: relative, with `..` only at the front, not above the tree. Others are left out of
//!   folders and repositories with a note, and make an archive invalid.
//! - No `.git`, no sockets, pipes or devices.
//! - Of a folder also not: what a `.gitignore` or a `.sh0ignore` inside it names (the latter wins, so `!dist/` in it
//!   brings back built files), and what package managers make anew (`node_modules` beside a `package.json`, `target`
//!   beside a `Cargo.toml`, virtual environments, `__pycache__`), and never a data folder of the platform, which holds
//!   its key.
//!
//! A copy appears under its name only when it is whole: it is made beside that name and renamed. One that was made
//! before the machine started last is made again, because a power cut may have cost it bytes.
//!
//! Deliberately absent, and refused or said in a note: credentials for private repositories, submodules, Git LFS.

mod archive;
mod folder;
mod git;
mod links;
mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sh0_core::model::{DeploymentId, LogStream, Revision, Source, Upload, UploadId};
use sh0_core::traits::{ByteStream, Checkout, Fetcher, OutputSink};
use sh0_core::{Code, Error, Result};

pub use git::GitProgram;

/// What a source may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of an uploaded archive, in bytes.
    pub upload_bytes: u64,
    /// The size of all files of a tree, in bytes.
    pub tree_bytes: u64,
    /// How many files, folders and links a tree may have.
    pub tree_entries: u64,
    /// How long git may take.
    pub git_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            upload_bytes: 512 << 20,
            tree_bytes: 8 << 30,
            tree_entries: 500_000,
            git_time: Duration::from_secs(15 * 60),
        }
    }
}

/// Brings source trees to a folder of this machine: the [`Fetcher`] of a platform on one host.
#[derive(Debug, Clone)]
pub struct LocalFetcher {
    home: PathBuf,
    limits: Limits,
    git: GitProgram,
    hidden: Vec<PathBuf>,
}

impl LocalFetcher {
    /// Keeps its copies in `home`, which is made when it is not there, readable by its owner alone.
    pub fn open(home: impl Into<PathBuf>, limits: Limits) -> Result<Self> {
        let home = home.into();
        for folder in [home.clone(), home.join("trees"), home.join("uploads"), home.join("git")] {
            place::private_folder(&folder).map_err(|error| error.context(format!("making {}", folder.display())))?;
        }
        git::write_config(&home.join("git"))?;
        let hidden = vec![home.clone()];
        Ok(LocalFetcher { home, limits, git: GitProgram::default(), hidden })
    }

    /// Uses another git, or gives it variables.
    #[must_use]
    pub fn with_git(mut self, git: GitProgram) -> Self {
        self.git = git;
        self
    }

    /// Folders that are never part of a source, wherever they lie: the platform's data. Its own `home` is one anyway.
    #[must_use]
    pub fn with_hidden(mut self, folders: impl IntoIterator<Item = PathBuf>) -> Self {
        self.hidden.extend(folders);
        self
    }

    fn trees(&self) -> PathBuf {
        self.home.join("trees")
    }

    fn upload(&self, id: UploadId) -> PathBuf {
        self.home.join("uploads").join(id.to_string())
    }
}

#[async_trait]
impl Fetcher for LocalFetcher {
    async fn fetch(&self, deployment: DeploymentId, source: &Source, sink: &dyn OutputSink) -> Result<Checkout> {
        let place = place::Place::new(self.trees(), deployment);
        let root = match source {
            Source::Git { root, .. } => root.as_ref(),
            _ => None,
        };
        if let Some(revision) = place.ready() {
            return checkout(&place, root, revision);
        }
        let stage = place.stage()?;
        let tree = stage.tree();
        let (limits, note) = (self.limits, |text: &str| sink.line(LogStream::Stdout, text));
        let (revision, notes) = match source {
            Source::Image { image } => {
                return Err(Error::new(Code::Unsupported, format!("{image} is an image: it has no source tree")));
            }
            Source::Folder { path } => {
                note(&format!("copying {path}"));
                let from = PathBuf::from(path.as_str());
                let hidden = self.hidden.clone();
                let copied = blocking(move |stop| folder::copy(&from, &tree, &hidden, &limits, stop)).await?;
                (Revision { id: copied.hash, message: None }, copied.notes)
            }
            Source::Upload { upload } => {
                note(&format!("unpacking upload {upload}"));
                let archive = self.upload(*upload);
                if !archive.is_file() {
                    return Err(Error::not_found("upload", upload));
                }
                let unpacked = blocking(move |stop| archive::unpack(&archive, &tree, &limits, stop)).await?;
                (Revision { id: unpacked.hash, message: None }, unpacked.notes)
            }
            Source::Git { url, reference, .. } => {
                let home = self.home.join("git");
                let git = git::Git::new(&self.git, &home, stage.path(), limits.git_time);
                let revision = git.fetch(url, reference.as_ref(), &tree, &note).await?;
                let cleaned = blocking(move |stop| links::clean(&tree, &limits, stop)).await?;
                (revision, cleaned)
            }
        };
        notes.iter().for_each(|text| note(text));
        stage.finish(&revision)?;
        checkout(&place, root, revision)
    }

    async fn discard(&self, deployment: DeploymentId) -> Result<()> {
        let place = place::Place::new(self.trees(), deployment);
        blocking(move |_| place.remove()).await
    }

    async fn receive(&self, id: UploadId, archive: ByteStream) -> Result<Upload> {
        let size = archive::receive(&self.upload(id), archive, self.limits.upload_bytes).await?;
        Ok(Upload { id, size })
    }

    async fn sweep(&self, keep: &[DeploymentId]) -> Result<()> {
        let keep: Vec<String> = keep.iter().map(DeploymentId::to_string).collect();
        let folders = [self.trees(), self.home.join("uploads")];
        blocking(move |_| folders.iter().try_for_each(|folder| place::sweep(folder, &keep))).await
    }
}

/// The folder of the app within what was fetched.
fn checkout(place: &place::Place, root: Option<&sh0_core::model::RelPath>, revision: Revision) -> Result<Checkout> {
    let tree = place.tree();
    let Some(root) = root else { return Ok(Checkout { dir: tree, revision }) };
    let missing = || Error::not_found("folder", root).context(format!("in {} of the repository", revision.id));
    let dir = tree.join(root.as_str());
    // Links stay inside, so the real folder does too; `starts_with` holds if that should ever change.
    let real = dir.canonicalize().map_err(|_| missing())?;
    let whole = tree.canonicalize().map_err(|_| missing())?;
    if !real.is_dir() || !real.starts_with(whole) {
        return Err(missing());
    }
    Ok(Checkout { dir, revision })
}

/// Whether work in another thread should end: set when nobody waits for it any more.
#[derive(Clone, Default)]
struct Stop(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Stop {
    fn check(&self) -> Result<()> {
        match self.0.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(Error::new(Code::Cancelled, "cancelled")),
            false => Ok(()),
        }
    }
}

/// Runs file work in a thread of its own. When the caller goes away the work is told to stop.
async fn blocking<T: Send + 'static>(work: impl FnOnce(&Stop) -> Result<T> + Send + 'static) -> Result<T> {
    struct Waits(Stop);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let waits = Waits(Stop::default());
    let stop = waits.0.clone();
    let done = tokio::task::spawn_blocking(move || work(&stop)).await;
    done.unwrap_or_else(|error| Err(Error::internal("work on files ended without a result").with_source(error)))
}

/// What a copy of files came to.
#[derive(Debug, Default)]
struct Copied {
    hash: String,
    notes: Vec<String>,
}

/// Counts what a tree costs, and says when it is too much.
struct Budget<'a> {
    limits: &'a Limits,
    bytes: u64,
    entries: u64,
}

impl<'a> Budget<'a> {
    fn new(limits: &'a Limits) -> Self {
        Budget { limits, bytes: 0, entries: 0 }
    }

    fn entry(&mut self) -> Result<()> {
        self.entries += 1;
        match self.entries > self.limits.tree_entries {
            true => Err(Error::new(
                Code::TooLarge,
                format!(
                    "the source has more than {} files; leave some out with a .sh0ignore",
                    self.limits.tree_entries
                ),
            )),
            false => Ok(()),
        }
    }

    fn bytes(&mut self, bytes: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > self.limits.tree_bytes {
            true => Err(Error::new(
                Code::TooLarge,
                format!(
                    "the source is larger than {} MiB; leave files out with a .sh0ignore",
                    self.limits.tree_bytes >> 20
                ),
            )),
            false => Ok(()),
        }
    }
}

/// Writes a new file, executable or not. Never through a link: the name must be free.
fn create(path: &Path, executable: bool) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mode = if executable { 0o755 } else { 0o644 };
    fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}
