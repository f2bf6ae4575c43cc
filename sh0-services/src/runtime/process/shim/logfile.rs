//! The log of an instance on disk: numbered files of bounded size, one line a record.
//!
//! A record is `MICROSECONDS o TEXT` or `MICROSECONDS e TEXT`. The microseconds (since 1970) grow with every record, so
//! that a reader can resume after any of them; the text is the bytes of the app.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A file is closed when it is larger.
const FILE_BYTES: u64 = 5 * 1024 * 1024;
/// The newest files are kept.
pub(crate) const KEEP_FILES: usize = 2;
/// A longer line becomes several.
const LINE_BYTES: usize = 16 * 1024;

/// The file with this number.
pub(crate) fn file_name(number: u64) -> String {
    format!("{number:08}.log")
}

/// The number in a file's name.
pub(crate) fn file_number(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

/// Writes the log.
pub(super) struct LogFile {
    dir: PathBuf,
    number: u64,
    file: File,
    bytes: u64,
    last: u64,
    out: Vec<u8>,
}

/// A pipe of the app, and the beginning of the line that it has not finished.
#[derive(Default)]
pub(super) struct Unfinished(Vec<u8>);

impl LogFile {
    /// Goes on where a shim before it stopped.
    pub(super) fn open(dir: &Path) -> std::io::Result<LogFile> {
        let number = numbers(dir)?.last().copied().unwrap_or(1);
        let mut file = append(&dir.join(file_name(number)))?;
        let bytes = file.metadata()?.len();
        let mut end = [b'\n'];
        if bytes > 0 {
            File::open(dir.join(file_name(number)))?.read_exact_at(&mut end, bytes - 1)?;
        }
        if end != *b"\n" {
            // A shim was killed within a record.
            file.write_all(b"\n")?;
        }
        Ok(LogFile { dir: dir.to_owned(), number, file, bytes, last: 0, out: Vec::with_capacity(LINE_BYTES) })
    }

    /// Takes what was read from a pipe (`o` or `e`) and writes the lines that are whole.
    pub(super) fn take(&mut self, pipe: u8, unfinished: &mut Unfinished, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end);
            self.piece(pipe, unfinished, line);
            self.record(pipe, &unfinished.0);
            unfinished.0.clear();
            bytes = &rest[1..];
        }
        self.piece(pipe, unfinished, bytes);
        self.flush();
    }

    /// Writes what is left when a pipe is closed.
    pub(super) fn finish(&mut self, pipe: u8, unfinished: &mut Unfinished) {
        if !unfinished.0.is_empty() {
            self.record(pipe, &unfinished.0);
            unfinished.0.clear();
            self.flush();
        }
    }

    fn piece(&mut self, pipe: u8, unfinished: &mut Unfinished, mut bytes: &[u8]) {
        while unfinished.0.len() + bytes.len() > LINE_BYTES {
            let (fits, rest) = bytes.split_at(LINE_BYTES - unfinished.0.len());
            unfinished.0.extend_from_slice(fits);
            self.record(pipe, &unfinished.0);
            unfinished.0.clear();
            bytes = rest;
        }
        unfinished.0.extend_from_slice(bytes);
    }

    fn record(&mut self, pipe: u8, line: &[u8]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        self.last = u64::try_from(now).unwrap_or(u64::MAX).max(self.last + 1);
        let _ = write!(self.out, "{} {} ", self.last, char::from(pipe));
        self.out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        self.out.push(b'\n');
        if self.out.len() > 4 * LINE_BYTES {
            self.flush();
        }
    }

    /// A full disk loses lines, never the app.
    fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        if self.bytes > FILE_BYTES {
            self.rotate();
        }
        if self.file.write_all(&self.out).is_ok() {
            self.bytes += self.out.len() as u64;
        }
        self.out.clear();
    }

    fn rotate(&mut self) {
        let Ok(file) = append(&self.dir.join(file_name(self.number + 1))) else { return };
        (self.file, self.number, self.bytes) = (file, self.number + 1, 0);
        for old in numbers(&self.dir).unwrap_or_default().iter().rev().skip(KEEP_FILES) {
            let _ = std::fs::remove_file(self.dir.join(file_name(*old)));
        }
    }
}

/// The files that exist, oldest first.
pub(crate) fn numbers(dir: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        numbers.extend(entry?.file_name().to_str().and_then(file_number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn append(path: &Path) -> std::io::Result<File> {
    File::options().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(dir: &Path) -> Vec<String> {
        let files = numbers(dir).unwrap().into_iter().map(|number| std::fs::read(dir.join(file_name(number))).unwrap());
        let all = files.flatten().collect::<Vec<u8>>();
        String::from_utf8(all).unwrap().lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path()).unwrap();
        let (mut out, mut err) = (Unfinished::default(), Unfinished::default());
        log.take(b'o', &mut out, b"one\r\ntw");
        log.take(b'e', &mut err, b"bad\n");
        log.take(b'o', &mut out, b"o\n\nrest");
        log.finish(b'o', &mut out);
        log.finish(b'e', &mut err);
        assert_eq!(text(dir.path()), ["o one", "e bad", "o two", "o ", "o rest"]);
    }

    #[test]
    fn long_lines_are_split_and_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path()).unwrap();
        let mut out = Unfinished::default();
        let line = "x".repeat(3 * LINE_BYTES + 5);
        for piece in line.as_bytes().chunks(1000) {
            log.take(b'o', &mut out, piece);
        }
        log.take(b'o', &mut out, b"\nnext\n");
        let lines = text(dir.path());
        assert_eq!(
            lines.iter().map(|line| line.len() - 2).collect::<Vec<_>>(),
            [LINE_BYTES, LINE_BYTES, LINE_BYTES, 5, 4]
        );
    }

    #[test]
    fn the_log_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(dir.path()).unwrap();
        let mut out = Unfinished::default();
        let chunk = format!("{}\n", "y".repeat(999)).repeat(60);
        for _ in 0..400 {
            log.take(b'o', &mut out, chunk.as_bytes());
        }
        let files = numbers(dir.path()).unwrap();
        assert!(files.len() == KEEP_FILES && files[0] > 1, "{files:?}");
        let bytes: u64 = files.iter().map(|n| dir.path().join(file_name(*n)).metadata().unwrap().len()).sum();
        assert!(bytes < KEEP_FILES as u64 * (FILE_BYTES + 128 * 1024), "{bytes}");
    }

    #[test]
    fn a_torn_record_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file_name(7)), "12 o whole\n13 o to").unwrap();
        let mut log = LogFile::open(dir.path()).unwrap();
        log.take(b'o', &mut Unfinished::default(), b"next\n");
        assert_eq!(text(dir.path()), ["o whole", "o to", "o next"]);
    }
}
