//! The files of one app: their names, and reading their lines from either end in bounded memory.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sh0_core::model::Timestamp;

use super::record::MAX_BYTES;
use crate::lines::Positions;

const CHUNK: usize = 64 * 1024;

/// What is kept of a sealed segment beside it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    /// The greatest time of a line in it.
    pub(super) newest: Option<Timestamp>,
    /// The position of every instance when it was sealed.
    pub(super) positions: Positions,
}

impl Index {
    /// `None` when there is none or it cannot be read: it is made again from the segments.
    pub(super) fn load(dir: &Path, first: u64) -> Option<Index> {
        serde_json::from_slice(&fs::read(index_path(dir, first)).ok()?).ok()
    }

    pub(super) fn save(&self, dir: &Path, first: u64) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        create(&index_path(dir, first))?.write_all(&text)
    }
}

pub(super) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.log"))
}

fn index_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.idx"))
}

/// A private file, empty.
pub(super) fn create(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The first cursors and the sizes of the segments there, in order.
pub(super) fn segments(dir: &Path) -> io::Result<Vec<(u64, u64)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|first| first.parse().ok());
        if let Some(first) = first {
            found.push((first, entry.metadata()?.len()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Deletes a segment and its index. Fine when they are gone.
pub(super) fn delete(dir: &Path, first: u64) -> io::Result<()> {
    for path in [segment_path(dir, first), index_path(dir, first)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Opens a segment for reading; `None` when it was deleted meanwhile.
pub(super) fn open(dir: &Path, first: u64) -> io::Result<Option<File>> {
    match File::open(segment_path(dir, first)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The whole lines of a part of a file, forward.
pub(super) struct Lines {
    file: BufReader<io::Take<File>>,
    line: Vec<u8>,
    /// Where the next line begins.
    pub(super) offset: u64,
}

impl Lines {
    /// Those that end before `end`.
    pub(super) fn new(mut file: File, start: u64, end: u64) -> io::Result<Lines> {
        file.seek(SeekFrom::Start(start))?;
        let file = BufReader::with_capacity(CHUNK, file.take(end.saturating_sub(start)));
        Ok(Lines { file, line: Vec::new(), offset: start })
    }

    /// The next one without its end. One that is longer than any record comes out empty.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let (mut read, mut overlong) = (0_u64, false);
        loop {
            let buffer = self.file.fill_buf()?;
            if buffer.is_empty() {
                // A torn end is no line; `offset` stays before it.
                return Ok(None);
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            overlong |= self.line.len() + part.len() > MAX_BYTES;
            match overlong {
                true => self.line.clear(),
                false => self.line.extend_from_slice(part),
            }
            let used = part.len() + usize::from(end.is_some());
            self.file.consume(used);
            read += used as u64;
            if end.is_some() {
                self.offset += read;
                return Ok(Some(&self.line));
            }
        }
    }
}

/// The whole lines of a file, the last first.
pub(super) struct LinesBack {
    file: File,
    /// What is not read yet ends here.
    unread: u64,
    /// Bytes from `unread` on that were read and not given out; always up to the end of a line.
    held: Vec<u8>,
}

impl LinesBack {
    /// Those that end before `end`.
    pub(super) fn new(file: File, end: u64) -> LinesBack {
        LinesBack { file, unread: end, held: Vec::new() }
    }

    /// The line before, without its end. One that is longer than any record comes out in parts, which are no records.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // The last byte held is the end of the last line: look for the one before.
            let before = self.held.len().saturating_sub(1);
            if let Some(end) = self.held[..before].iter().rposition(|byte| *byte == b'\n') {
                return Ok(Some(self.take_from(end + 1)));
            }
            if self.held.len() > MAX_BYTES || (self.unread == 0 && !self.held.is_empty()) {
                return Ok(Some(self.take_from(0)));
            }
            if self.unread == 0 {
                return Ok(None);
            }
            self.read_more()?;
        }
    }

    fn take_from(&mut self, start: usize) -> Vec<u8> {
        let mut line = self.held.split_off(start);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        line
    }

    fn read_more(&mut self) -> io::Result<()> {
        let size = self.unread.min(CHUNK as u64);
        self.unread -= size;
        self.file.seek(SeekFrom::Start(self.unread))?;
        let mut chunk = Vec::with_capacity(CHUNK + self.held.len());
        (&self.file).take(size).read_to_end(&mut chunk)?;
        chunk.append(&mut self.held);
        self.held = chunk;
        Ok(())
    }
}
