//! Reading the log files that a shim writes.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use sh0_core::model::{InstanceName, LogStream, Timestamp};
use sh0_core::traits::RawLine;
use sh0_core::{Error, Result};
use tokio::sync::{broadcast, watch};

use super::hub::Change;
use super::instances::Instances;
use super::shim::{file_name, numbers};

/// Lines that are read in one go.
const BATCH: usize = 500;
/// A follower looks again after this long, whatever it was told.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Where a reader is in the numbered files.
struct Reader {
    dir: PathBuf,
    number: u64,
    file: Option<BufReader<File>>,
    unfinished: Vec<u8>,
    since: i64,
}

impl Reader {
    /// The next lines; none when there are none now.
    fn batch(&mut self) -> io::Result<Vec<RawLine>> {
        let mut lines = Vec::new();
        while lines.len() < BATCH {
            // Looked up before reading: a file that has a successor then is complete.
            let numbers = numbers(&self.dir)?;
            let next = numbers.iter().copied().find(|number| *number > self.number);
            if self.file.is_none() {
                let Some(first) = next else { break };
                self.open(first)?;
                continue;
            }
            self.read(&mut lines)?;
            match next {
                Some(next) if lines.len() < BATCH => self.open(next)?,
                _ => break,
            }
        }
        Ok(lines)
    }

    fn open(&mut self, number: u64) -> io::Result<()> {
        self.unfinished.clear();
        self.number = number;
        self.file = match File::open(self.dir.join(file_name(number))) {
            Ok(file) => Some(BufReader::with_capacity(64 * 1024, file)),
            // Rotated away meanwhile: the next look finds its successor.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn read(&mut self, lines: &mut Vec<RawLine>) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        while lines.len() < BATCH {
            if file.read_until(b'\n', &mut self.unfinished)? == 0 || !self.unfinished.ends_with(b"\n") {
                return Ok(());
            }
            lines.extend(parse(&self.unfinished).filter(|line| line.at.as_microsecond() >= self.since));
            self.unfinished.clear();
        }
        Ok(())
    }
}

/// `MICROSECONDS o TEXT`; anything else was torn.
fn parse(record: &[u8]) -> Option<RawLine> {
    let record = record.strip_suffix(b"\n")?;
    let at = record.iter().position(|byte| *byte == b' ')?;
    let micros: i64 = std::str::from_utf8(&record[..at]).ok()?.parse().ok()?;
    let (stream, text) = match record[at + 1..].split_at_checked(2)? {
        (b"o ", text) => (LogStream::Stdout, text),
        (b"e ", text) => (LogStream::Stderr, text),
        _ => return None,
    };
    let at = Timestamp::from_microsecond(micros).ok()?;
    Some(RawLine { at, stream, text: String::from_utf8_lossy(text).into_owned() })
}

struct Follower {
    reader: Reader,
    instances: Arc<Instances>,
    name: InstanceName,
    /// Absent when only what is there is wanted.
    wakes: Option<(watch::Receiver<()>, broadcast::Receiver<Change>)>,
    over: bool,
}

/// The lines of an instance.
pub(crate) fn lines(
    instances: &Arc<Instances>,
    name: &InstanceName,
    since: Option<Timestamp>,
    follow: bool,
) -> Result<BoxStream<'static, Result<RawLine>>> {
    let dir = instances.layout.logs(name);
    let wakes = match follow {
        true => Some((instances.hub.watch(&dir)?, instances.hub.states())),
        false => None,
    };
    // A record has whole microseconds; of a time within one, the record of that microsecond is after it or the same.
    let since = since.map_or(i64::MIN, |since| since.as_microsecond());
    let reader = Reader { dir, number: 0, file: None, unfinished: Vec::new(), since };
    let follower = Follower { reader, instances: instances.clone(), name: name.clone(), wakes, over: false };
    Ok(stream::unfold(follower, Follower::next).flat_map(stream::iter).boxed())
}

impl Follower {
    async fn next(mut self) -> Option<(Vec<Result<RawLine>>, Follower)> {
        while !self.over {
            // Asked before reading: what an instance that has ended wrote is all there.
            let last = self.wakes.is_none() || self.instances.has_ended(&self.name);
            let mut reader = self.reader;
            let (read, returned) = tokio::task::spawn_blocking(move || (reader.batch(), reader)).await.ok()?;
            self.reader = returned;
            match read {
                Ok(lines) if lines.is_empty() && last => return None,
                Ok(lines) if lines.is_empty() => self.sleep().await,
                Ok(lines) => return Some((lines.into_iter().map(Ok).collect(), self)),
                // Removed with its log.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(error) => {
                    self.over = true;
                    let error = Error::from(error).context(format_args!("reading the log of {}", self.name));
                    return Some((vec![Err(error)], self));
                }
            }
        }
        None
    }

    async fn sleep(&mut self) {
        let Some((folder, states)) = &mut self.wakes else { return };
        let own = self.name.as_str();
        let state = async { while matches!(states.recv().await, Ok(Change::State(name)) if name != own) {} };
        tokio::select! {
            changed = folder.changed() => if changed.is_err() {
                // The folder is gone; the next read says so. Until then, no spinning.
                tokio::time::sleep(Duration::from_millis(20)).await;
            },
            () = state => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reader(dir: &std::path::Path, since: i64) -> Reader {
        Reader { dir: dir.to_owned(), number: 0, file: None, unfinished: Vec::new(), since }
    }

    fn texts(lines: Vec<RawLine>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn half_a_record_is_read_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file_name(1));
        std::fs::write(&path, "10 o one\n11 e tw").unwrap();
        let mut reader = reader(dir.path(), 0);
        assert_eq!(texts(reader.batch().unwrap()), ["one"]);
        std::fs::write(&path, "10 o one\n11 e two\n").unwrap();
        let lines = reader.batch().unwrap();
        assert_eq!((lines[0].stream, lines[0].text.as_str()), (LogStream::Stderr, "two"));
        assert_eq!(reader.batch().unwrap(), []);
        std::fs::write(dir.path().join(file_name(2)), "12 o three\n").unwrap();
        assert_eq!(texts(reader.batch().unwrap()), ["three"]);
    }

    #[test]
    fn since_takes_that_very_line_and_what_is_after() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file_name(3)), "10 o one\n11 o two\ntorn\n12 x no\n13 o  three \n").unwrap();
        assert_eq!(texts(reader(dir.path(), 11).batch().unwrap()), ["two", " three "]);
    }
}
