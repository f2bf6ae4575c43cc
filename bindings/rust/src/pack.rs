//! A source folder as a stream: tar, gzip, in bounded memory, without what does not belong on a server.
//!
//! ```no_run
//! # async fn example() -> sh0::Result<()> {
//! use futures_util::TryStreamExt;
//! let archive: Vec<_> = sh0::pack::archive("./hello").try_collect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Left out are: what `.gitignore` and `.sh0ignore` name (gitignore(5) rules, in every folder), history, what is made
//! anew on every machine (`node_modules`, `target`), `.env` files, whose secrets belong in the app's environment, and every
//! data folder of a platform, which holds its key: the same as where a server reads a folder itself. A `.dockerignore`
//! has its say where the image is built. Links are kept as links; sockets, pipes and devices are left out.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use futures_util::stream;
use ignore::{Walk, WalkBuilder};
use sh0_core::model::{is_data_folder, is_env_file, is_left_out};
use sh0_core::traits::ByteStream;
use sh0_core::{Code, Error, Result};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

/// Bytes of one piece of the stream.
const CHUNK: usize = 64 * 1024;

/// Packs the folder `dir`. What goes wrong is an item of the stream, and ends it.
pub fn archive(dir: impl AsRef<Path>) -> ByteStream {
    let dir = dir.as_ref().to_owned();
    // Two pieces wait, one is being filled: the reader's pace is the packer's.
    let (sender, receiver) = mpsc::channel(2);
    stream::once(async move {
        tokio::task::spawn_blocking(move || {
            let pipe = Pipe { sender: sender.clone(), chunk: BytesMut::with_capacity(CHUNK) };
            if let Err(error) = pack(&dir, pipe) {
                // Nobody reads any more: then there is nobody to tell either.
                let _ = sender.blocking_send(Err(error));
            }
        });
        stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
    })
    .flatten()
    .boxed()
}

fn pack(dir: &Path, pipe: Pipe) -> Result<()> {
    if !dir.is_dir() {
        return Err(Error::invalid("path", format!("{} is not a folder", dir.display()), "name the app's folder"));
    }
    if is_data_folder(dir) {
        return Err(Error::invalid("path", format!("{} is a platform's data", dir.display()), "name the app's folder"));
    }
    let mut tar = Builder::new(GzEncoder::new(pipe, Compression::fast()));
    for entry in walk(dir) {
        let entry =
            entry.map_err(|error| Error::invalid("path", error.to_string(), "make it readable, or ignore it"))?;
        let Ok(name) = entry.path().strip_prefix(dir) else { continue };
        if !name.as_os_str().is_empty() {
            append(&mut tar, entry.path(), name).map_err(|error| unpackable(entry.path(), error))?;
        }
    }
    tar.into_inner()
        .and_then(GzEncoder::finish)
        .and_then(|mut pipe| pipe.flush())
        .map_err(|error| unpackable(dir, error))
}

fn unpackable(path: &Path, error: io::Error) -> Error {
    let code = if error.kind() == io::ErrorKind::BrokenPipe { Code::Cancelled } else { Code::Invalid };
    Error::new(code, format!("{} cannot be packed: {error}", path.display())).with_source(error)
}

/// The entries that belong to the source, parents before children, in the order of their names.
fn walk(dir: &Path) -> Walk {
    WalkBuilder::new(dir)
        .standard_filters(false)
        .git_ignore(true)
        .require_git(false)
        .parents(false)
        .add_custom_ignore_filename(".sh0ignore")
        .sort_by_file_name(|a, b| a.cmp(b))
        .filter_entry(|entry| {
            let path = entry.path();
            entry.depth() == 0 || !(is_left_out(path) || is_env_file(path) || is_data_folder(path))
        })
        .build()
}

fn append(tar: &mut Builder<impl Write>, path: &Path, name: &Path) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(path)?;
    let kind = meta.file_type();
    if kind.is_symlink() {
        let target: PathBuf = std::fs::read_link(path)?;
        return tar.append_link(&mut header(&meta, EntryType::Symlink, 0), name, target);
    }
    if kind.is_dir() {
        return tar.append_data(&mut header(&meta, EntryType::Directory, 0), name, io::empty());
    }
    if !kind.is_file() {
        return Ok(());
    }
    let file = File::open(path)?;
    // The header promises a size: a file that grows meanwhile is cut, one that shrinks is an error.
    let size = file.metadata()?.len();
    let mut counted = Counted { inner: file.take(size), read: 0 };
    tar.append_data(&mut header(&meta, EntryType::Regular, size), name, &mut counted)?;
    match counted.read == size {
        true => Ok(()),
        false => Err(io::Error::other("it was cut while it was read: try again")),
    }
}

/// No owner, no device numbers: only what a build may depend on.
fn header(meta: &Metadata, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    let executable = meta.is_dir() || meta.mode() & 0o111 != 0;
    header.set_entry_type(kind);
    header.set_size(size);
    // A new header leaves these empty, which not every reader takes for 0.
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(if executable { 0o755 } else { 0o644 });
    let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    header.set_mtime(modified.map_or(0, |since| since.as_secs()));
    header
}

struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.read += read as u64;
        Ok(read)
    }
}

/// The writing end of the stream; runs on a thread that may block.
struct Pipe {
    sender: mpsc::Sender<Result<Bytes>>,
    chunk: BytesMut,
}

impl Pipe {
    fn send(&mut self) -> io::Result<()> {
        let chunk = self.chunk.split().freeze();
        self.chunk.reserve(CHUNK);
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() { Ok(()) } else { self.send() }
    }
}
