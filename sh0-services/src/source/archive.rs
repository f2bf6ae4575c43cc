//! Uploaded archives: taken to disk as they come, unpacked without trust.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use futures_util::StreamExt;
use sh0_core::traits::ByteStream;
use sh0_core::{Code, Error, Result};
use tar::{Archive, Entry, EntryType};
use tokio::io::AsyncWriteExt;

use super::folder::{TreeHash, pump};
use super::{Budget, Copied, Limits, Stop, create, links, place};

/// How many times larger than the archive its files may be: text packs to a tenth, a bomb to a thousandth.
const RATIO: u64 = 200;

/// What a small archive may always unpack to, in bytes, whatever the ratio.
const SMALL: u64 = 64 << 20;

/// Writes the archive to `path`, readable by its owner alone, and answers its size. Nothing stays when that fails.
pub(super) async fn receive(path: &Path, mut archive: ByteStream, limit: u64) -> Result<u64> {
    let part = Part(path.with_extension("part"));
    place::remove_all(&part.0)?;
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part.0)?;
    let mut file = tokio::fs::File::from_std(file);
    let (mut size, mut head) = (0u64, Vec::with_capacity(512));
    while let Some(chunk) = archive.next().await {
        let chunk = chunk?;
        size += chunk.len() as u64;
        if size > limit {
            let text =
                format!("the archive is larger than {} MiB; leave out what is built or installed anew", limit >> 20);
            return Err(Error::new(Code::TooLarge, text));
        }
        head.extend(chunk.iter().take(512 - head.len()));
        file.write_all(&chunk).await?;
    }
    if !is_archive(&head) {
        return Err(Error::invalid(
            "archive",
            "is neither a tar archive nor one packed with gzip",
            "make it with `tar -czf app.tar.gz -C FOLDER .`",
        ));
    }
    file.sync_all().await?;
    fs::rename(&part.0, path)?;
    Ok(size)
}

/// A file in the making: gone when it was not renamed.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = place::remove_all(&self.0);
    }
}

/// The two bytes of gzip (RFC 1952 section 2.3.1), or a header whose checksum is right (POSIX pax, ustar).
fn is_archive(head: &[u8]) -> bool {
    if is_gzip(head) {
        return true;
    }
    let Ok(block) = <&[u8; 512]>::try_from(head) else { return false };
    let sum: u32 =
        block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    tar::Header::from_byte_slice(block).cksum().is_ok_and(|cksum| cksum == sum)
}

fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
}

/// Unpacks `archive` into the empty folder `to`.
pub(super) fn unpack(archive: &Path, to: &Path, limits: &Limits, stop: &Stop) -> Result<Copied> {
    let packed = fs::metadata(archive)?.len();
    let limits = Limits { tree_bytes: limits.tree_bytes.min(SMALL.max(packed.saturating_mul(RATIO))), ..*limits };
    let mut head = [0; 2];
    let read = fs::File::open(archive)?.read(&mut head)?;
    let file = BufReader::new(fs::File::open(archive)?);
    let mut unpack = Unpack { to, budget: Budget::new(&limits), links: BTreeMap::new() };
    // Headers are bytes too: a bomb may be made of nothing else.
    let ceiling = limits.tree_bytes.saturating_add(limits.tree_entries.saturating_mul(2048));
    match is_gzip(&head[..read]) {
        true => unpack.all(MultiGzDecoder::new(file).take(ceiling), stop)?,
        false => unpack.all(file.take(ceiling), stop)?,
    }
    unpack.make_links()?;
    if unpack.budget.entries == 0 {
        return Err(invalid("is empty"));
    }
    let whole = single_folder(to, &unpack.links)?;
    let hash = hash_tree(to, stop)?;
    Ok(Copied { hash, notes: whole.into_iter().collect() })
}

fn invalid(reason: impl Into<String>) -> Error {
    Error::invalid("archive", reason, "make it with `tar -czf app.tar.gz -C FOLDER .`")
}

/// Remembers why reading failed: that is the archive's fault, and a failure to write is not.
struct Packed<R> {
    from: R,
    fault: Option<String>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(buffer);
        match &read {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => self.fault = Some(error.to_string()),
            _ => {}
        }
        read
    }
}

fn leads_outside(link: &Path, target: &Path) -> Error {
    invalid(format!("has a link that leads outside, `{}` to `{}`", link.display(), target.display()))
}

struct Unpack<'a> {
    to: &'a Path,
    budget: Budget<'a>,
    /// Made after everything else, so that nothing is ever written through one.
    links: BTreeMap<PathBuf, PathBuf>,
}

impl Unpack<'_> {
    fn all(&mut self, from: impl Read, stop: &Stop) -> Result<()> {
        let broken = |error: std::io::Error| invalid(format!("is broken: {error}")).with_source(error);
        let mut archive = Archive::new(from);
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            stop.check()?;
            self.budget.entry()?;
            self.entry(&mut entry, stop)?;
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>, stop: &Stop) -> Result<()> {
        let kind = entry.header().entry_type();
        // The comment of `git archive` and the like: about no file.
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let path =
            entry.path().map_err(|error| invalid("has a name that cannot be read").with_source(error))?.into_owned();
        let Some(inside) = plain(&path)? else { return Ok(()) };
        if inside.components().any(|part| part.as_os_str() == ".git") {
            return Ok(());
        }
        match kind {
            EntryType::Directory => self.folder(&inside),
            EntryType::Regular | EntryType::Continuous => self.file(entry, &inside, stop),
            EntryType::Symlink | EntryType::Link => self.link(entry, kind, &inside),
            _ => Err(invalid(format!("has `{}`, which is neither file, folder nor link", path.display()))),
        }
    }

    fn folder(&self, inside: &Path) -> Result<()> {
        fs::create_dir_all(self.to.join(inside)).map_err(|error| clash(inside, error))
    }

    /// Makes room: the folders above it, and nothing where it goes (the last of several entries wins, as with tar).
    fn room(&mut self, inside: &Path) -> Result<PathBuf> {
        if let Some(folder) = inside.parent() {
            self.folder(folder)?;
        }
        self.links.remove(inside);
        let to = self.to.join(inside);
        match fs::remove_file(&to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(clash(inside, error)),
            _ => Ok(to),
        }
    }

    fn file<R: Read>(&mut self, entry: &mut Entry<'_, R>, inside: &Path, stop: &Stop) -> Result<()> {
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
        // What it says it holds is counted before a byte is read.
        if entry.size() > self.budget.limits.tree_bytes.saturating_sub(self.budget.bytes) {
            self.budget.bytes(entry.size())?;
        }
        let to = self.room(inside)?;
        let mut out = create(&to, executable)?;
        let mut from = Packed { from: entry, fault: None };
        let pumped = pump(&mut from, &mut out, &mut TreeHash::default(), &mut self.budget, stop);
        match from.fault {
            Some(fault) => Err(invalid(format!("is broken in `{}`: {fault}", inside.display()))),
            None => pumped,
        }
    }

    fn link<R: Read>(&mut self, entry: &Entry<'_, R>, kind: EntryType, inside: &Path) -> Result<()> {
        let target = entry.link_name().map_err(|error| invalid("has a link that cannot be read").with_source(error))?;
        let target =
            target.ok_or_else(|| invalid(format!("has a link without a target, `{}`", inside.display())))?.into_owned();
        let to = self.room(inside)?;
        if kind == EntryType::Symlink {
            if !links::stays_inside(inside, &target) {
                return Err(leads_outside(inside, &target));
            }
            self.links.insert(inside.to_owned(), target);
            return Ok(());
        }
        // A hard link names another entry of the archive, by its path from the top.
        let outside = || invalid(format!("has a hard link to `{}`, which is no file of it", target.display()));
        let from = self.to.join(plain(&target)?.ok_or_else(outside)?);
        let found = fs::symlink_metadata(&from).map_err(|_| outside())?;
        if !found.is_file() {
            return Err(outside());
        }
        self.budget.bytes(found.len())?;
        fs::copy(&from, &to)?;
        Ok(())
    }

    fn make_links(&self) -> Result<()> {
        for (inside, target) in &self.links {
            std::os::unix::fs::symlink(target, self.to.join(inside)).map_err(|error| clash(inside, error))?;
        }
        Ok(())
    }
}

fn clash(inside: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{
        AlreadyExists, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, PermissionDenied,
    };
    match error.kind() {
        // Too long, or with a NUL byte.
        InvalidFilename | InvalidInput => {
            invalid(format!("has a name that no file can have, `{}`", inside.display())).with_source(error)
        }
        AlreadyExists | IsADirectory | NotADirectory | PermissionDenied => {
            invalid(format!("has `{}` both as a folder and as something else", inside.display())).with_source(error)
        }
        _ => error.into(),
    }
}

/// The path below the top; `None` for the top itself.
fn plain(path: &Path) -> Result<Option<PathBuf>> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => inside.push(name),
            _ => return Err(invalid(format!("has the path `{}`, which leads outside", path.display()))),
        }
    }
    Ok((!inside.as_os_str().is_empty()).then_some(inside))
}

/// An archive of one folder (`tar -czf app.tar.gz app`, or what code hosts offer) is about what is in that folder.
fn single_folder(to: &Path, links: &BTreeMap<PathBuf, PathBuf>) -> Result<Option<String>> {
    let mut entries = fs::read_dir(to)?.collect::<std::io::Result<Vec<_>>>()?;
    let only = match (entries.pop(), entries.is_empty()) {
        (Some(only), true) if only.file_type()?.is_dir() => only.path(),
        _ => return Ok(None),
    };
    // Folders that are an app's own, not the name of one.
    let name = only.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.starts_with('.')
        || ["public", "dist", "build", "src", "cmd", "www", "site", "html", "app"].contains(&name.as_str())
    {
        return Ok(None);
    }
    // The folder is the top now: what led to its surroundings leads outside.
    for (inside, target) in links {
        let below: PathBuf = inside.components().skip(1).collect();
        if !links::stays_inside(&below, target) {
            return Err(leads_outside(inside, target));
        }
    }
    let aside = to.with_extension("only");
    fs::rename(&only, &aside)?;
    fs::remove_dir(to)?;
    fs::rename(&aside, to)?;
    Ok(Some(format!("taking the folder `{name}`, the only thing in the archive")))
}

/// The hash that a copy of the folder would have.
fn hash_tree(tree: &Path, stop: &Stop) -> Result<String> {
    let limits = Limits { tree_bytes: u64::MAX, tree_entries: u64::MAX, ..Limits::default() };
    let mut budget = Budget::new(&limits);
    let mut hash = TreeHash::default();
    walk(tree, tree, &mut |path, inside, kind| {
        if kind.is_symlink() {
            hash.link(inside, &fs::read_link(path)?);
        } else if kind.is_file() {
            use std::os::unix::fs::PermissionsExt;
            let mut file = fs::File::open(path)?;
            hash.file(inside, file.metadata()?.permissions().mode() & 0o111 != 0);
            pump(&mut file, &mut std::io::sink(), &mut hash, &mut budget, stop)?;
        }
        Ok(())
    })?;
    Ok(hash.finish())
}

/// Every entry, folders before what is in them, in the order of names: the order of the folder copy.
fn walk(tree: &Path, folder: &Path, visit: &mut dyn FnMut(&Path, &Path, fs::FileType) -> Result<()>) -> Result<()> {
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        let kind = fs::symlink_metadata(&path)?.file_type();
        if path != tree {
            visit(&path, path.strip_prefix(tree).unwrap_or(&path), kind)?;
        }
        if kind.is_dir() {
            let mut names =
                fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>()?;
            names.sort_unstable();
            pending.extend(names.into_iter().rev().map(|name| path.join(name)));
        }
    }
    Ok(())
}
