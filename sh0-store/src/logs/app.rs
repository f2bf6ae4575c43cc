//! The log of one app: its segments, and what is known of them.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use sh0_core::model::{InstanceName, LogLine, Timestamp};
use sh0_core::traits::{LogPosition, LogQuery, NewLine};
use sh0_core::{Code, Error, Result};
use tokio::sync::watch;

use super::files::{self, Index, Lines};
use super::record::{self, Raw};
use super::scan::{Place, Segment, View};
use super::{Limits, lock};
use crate::lines::{self, Positions};

/// Written at once at most, about.
const RUN_BYTES: usize = 1024 * 1024;

/// Every method but [`App::watch`] works on files: call them where it may block.
#[derive(Debug)]
pub(super) struct App {
    dir: PathBuf,
    limits: Limits,
    /// Absent until the app is first touched, and after it was removed.
    state: Mutex<Option<State>>,
    last: watch::Sender<Last>,
}

/// What followers wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Last {
    /// Counts how often the app was removed: a follower of an earlier life ends.
    pub(super) life: u64,
    /// The cursor of the last line.
    pub(super) cursor: u64,
}

#[derive(Debug)]
struct State {
    /// In order; the last one grows. Empty until something is written.
    segments: VecDeque<Segment>,
    /// The cursor of the next line.
    next: u64,
    positions: Positions,
}

impl App {
    pub(super) fn new(dir: PathBuf, limits: Limits) -> Self {
        App { dir, limits, state: Mutex::default(), last: watch::Sender::default() }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Last> {
        self.last.subscribe()
    }

    pub(super) fn append(&self, new: Vec<NewLine>) -> Result<()> {
        let mut state = self.loaded()?;
        let state = state.get_or_insert_with(State::empty);
        self.append_to(state, new).map_err(|error| self.explain("written", error))
    }

    pub(super) fn read(&self, query: &LogQuery) -> Result<Vec<LogLine>> {
        let view = self.view()?;
        let lines = match lines::tail(query) {
            Some(count) => view.tail(query, count),
            None => {
                let place = Place::after(query.after.unwrap_or(0));
                view.forward(query, place, lines::limit(query)).map(|(lines, _)| lines)
            }
        };
        lines.map_err(|error| self.explain("read", error))
    }

    /// What a follower gets first, and where it goes on from there.
    pub(super) fn start(&self, query: &LogQuery) -> Result<(Vec<LogLine>, Place)> {
        let view = self.view()?;
        match lines::tail(query) {
            // A cursor from the future was given out before a power cut took its line: what comes next is new.
            None => Ok((Vec::new(), Place::after(query.after.unwrap_or(0).min(view.last)))),
            Some(count) => {
                let lines = view.tail(query, count).map_err(|error| self.explain("read", error))?;
                Ok((lines, Place::after(view.last)))
            }
        }
    }

    /// The next lines for a follower.
    pub(super) fn page(&self, query: &LogQuery, place: Place) -> Result<(Vec<LogLine>, Place)> {
        self.view()?.forward(query, place, lines::limit(query)).map_err(|error| self.explain("read", error))
    }

    pub(super) fn position(&self, instance: &InstanceName) -> Result<Option<LogPosition>> {
        Ok(self.loaded()?.as_ref().and_then(|state| state.positions.get(instance)))
    }

    /// Brings what was written to the disk.
    pub(super) fn sync(&self) -> Result<()> {
        let growing = lock(&self.state).as_ref().and_then(|state| state.segments.back().map(|segment| segment.first));
        let Some(first) = growing else { return Ok(()) };
        // Without the lock: writers and readers go on meanwhile.
        let synced = files::open(&self.dir, first).and_then(|file| file.map_or(Ok(()), |file| file.sync_data()));
        synced.map_err(|error| self.explain("flushed", error))
    }

    pub(super) fn remove(&self) -> Result<()> {
        let mut state = lock(&self.state);
        *state = None;
        self.last.send_modify(|last| *last = Last { life: last.life + 1, cursor: 0 });
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.explain("removed", error)),
            _ => Ok(()),
        }
    }

    fn view(&self) -> Result<View> {
        let state = self.loaded()?;
        let (segments, last) = match state.as_ref() {
            Some(state) => (state.segments.iter().cloned().collect(), state.next - 1),
            None => (Vec::new(), 0),
        };
        Ok(View { dir: self.dir.clone(), segments, last })
    }

    /// The state, read from the files the first time.
    fn loaded(&self) -> Result<MutexGuard<'_, Option<State>>> {
        let mut state = lock(&self.state);
        if state.is_none() {
            let loaded = self.load().map_err(|error| self.explain("read", error))?;
            self.last.send_modify(|last| last.cursor = loaded.next - 1);
            *state = Some(loaded);
        }
        Ok(state)
    }

    fn load(&self) -> io::Result<State> {
        let found = files::segments(&self.dir)?;
        let mut state = State::empty();
        // The positions of the newest index hold for all before it; the segments after it are read.
        for (n, (first, len)) in found.iter().copied().enumerate() {
            let newest = found.len() - 1 == n;
            match Index::load(&self.dir, first).filter(|_| !newest) {
                Some(index) => {
                    state.positions = index.positions;
                    state.next = found[n + 1].0;
                    state.segments.push_back(Segment { first, len, newest: index.newest });
                }
                None => self.load_segment(&mut state, first, len)?,
            }
        }
        Ok(state)
    }

    fn load_segment(&self, state: &mut State, first: u64, len: u64) -> io::Result<()> {
        state.next = state.next.max(first);
        let mut segment = Segment { first, len: 0, newest: None };
        if let Some(file) = files::open(&self.dir, first)? {
            let mut lines = Lines::new(file, 0, len)?;
            while let Some(line) = lines.next()? {
                let Some(raw) = Raw::parse(line) else { continue };
                if let Ok(instance) = raw.instance.parse() {
                    state.positions.note(&instance, raw.at, raw.cursor);
                }
                state.next = state.next.max(raw.cursor + 1);
                segment.newest = segment.newest.max(Some(raw.at));
                // After the last record that is whole: whatever follows is torn and will be written over.
                segment.len = lines.offset;
            }
        }
        state.segments.push_back(segment);
        Ok(())
    }

    fn append_to(&self, state: &mut State, new: Vec<NewLine>) -> io::Result<()> {
        let mut run = Run::default();
        for new in new {
            let line = lines::stored(new, state.next + run.lines.len() as u64);
            let start = run.bytes.len();
            record::write(&line, &mut run.bytes)?;
            let full = state.segments.back().is_none_or(|growing| {
                growing.len + run.bytes.len() as u64 > self.limits.segment_bytes && growing.len + start as u64 > 0
            });
            if full || start > RUN_BYTES {
                let record = run.bytes.split_off(start);
                self.write(state, std::mem::take(&mut run))?;
                if full {
                    self.rotate(state)?;
                }
                run.bytes = record;
            }
            run.lines.push((line.instance, line.at));
        }
        self.write(state, run)
    }

    /// Writes whole records behind those there. When that fails the file is as before.
    fn write(&self, state: &mut State, run: Run) -> io::Result<()> {
        let Some(growing) = state.segments.back_mut().filter(|_| !run.bytes.is_empty()) else { return Ok(()) };
        let path = files::segment_path(&self.dir, growing.first);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let there = file.metadata()?.len();
        if there > growing.len {
            // The torn end of an earlier writer.
            file.set_len(growing.len)?;
        }
        // Shorter only when somebody else cut it; go on where it ends.
        growing.len = growing.len.min(there);
        if let Err(error) = file.write_all_at(&run.bytes, growing.len) {
            let _ = file.set_len(growing.len);
            return Err(error);
        }
        growing.len += run.bytes.len() as u64;
        for (instance, at) in run.lines {
            state.positions.note(&instance, at, state.next);
            growing.newest = growing.newest.max(Some(at));
            state.next += 1;
        }
        self.last.send_modify(|last| last.cursor = state.next - 1);
        Ok(())
    }

    /// Seals the segment that grows, begins a new one and deletes the oldest beyond the limit.
    fn rotate(&self, state: &mut State) -> io::Result<()> {
        if let Some(sealed) = state.segments.back() {
            files::open(&self.dir, sealed.first)?.map_or(Ok(()), |file| file.sync_data())?;
            let index = Index { newest: sealed.newest, positions: state.positions.clone() };
            if let Err(error) = index.save(&self.dir, sealed.first) {
                tracing::debug!(%error, "the index of a log segment was not written; it is made again when needed");
            }
        }
        let first = state.next;
        self.create(first)?;
        state.segments.push_back(Segment { first, len: 0, newest: None });
        self.delete_oldest(state)
    }

    fn create(&self, first: u64) -> io::Result<File> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        files::create(&files::segment_path(&self.dir, first))
    }

    /// Leaves room for the one that grows now.
    fn delete_oldest(&self, state: &mut State) -> io::Result<()> {
        let room = self.limits.app_bytes.saturating_sub(self.limits.segment_bytes);
        let mut kept: u64 = state.segments.iter().map(|segment| segment.len).sum();
        while kept > room && state.segments.len() > 1 {
            let Some(oldest) = state.segments.pop_front() else { break };
            kept -= oldest.len;
            files::delete(&self.dir, oldest.first)?;
        }
        Ok(())
    }

    fn explain(&self, what: &str, error: io::Error) -> Error {
        let dir = self.dir.display();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::new(
                Code::NoSpace,
                format!("the disk of {dir} is full: free some space; apps run on, their lines are lost meanwhile"),
            ),
            _ => Error::new(
                Code::Internal,
                format!("the log in {dir} could not be {what} ({error}): check the disk and the owner of the folder"),
            ),
        }
        .with_source(error)
    }
}

impl State {
    fn empty() -> Self {
        State { segments: VecDeque::new(), next: 1, positions: Positions::default() }
    }
}

/// Records that are written together, and what has to be known of each.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    lines: Vec<(InstanceName, Timestamp)>,
}
