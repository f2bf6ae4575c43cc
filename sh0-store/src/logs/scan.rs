//! Reading an app's segments while others write them: a view of what was written so far, and a place in it.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use sh0_core::model::{LogLine, Timestamp};
use sh0_core::traits::LogQuery;

use super::READ_BYTES;
use super::files::{self, Lines, LinesBack};
use super::record::Raw;

/// A part of the log of an app.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// The cursor of its first line.
    pub(super) first: u64,
    /// Its size: whole lines.
    pub(super) len: u64,
    /// The greatest time of a line in it, if known.
    pub(super) newest: Option<Timestamp>,
}

/// What was written at one moment. Its files only grow, or disappear.
#[derive(Debug)]
pub(super) struct View {
    pub(super) dir: PathBuf,
    pub(super) segments: Vec<Segment>,
    /// The cursor of the last line.
    pub(super) last: u64,
}

/// Where a reader goes on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    /// After this cursor,
    pub(super) after: u64,
    /// and so in this segment, at this byte, if known.
    at: Option<(u64, u64)>,
}

impl Place {
    pub(super) fn after(cursor: u64) -> Self {
        Place { after: cursor, at: None }
    }
}

impl View {
    /// The first `limit` lines from `place` on that fit, oldest first, and where to go on.
    pub(super) fn forward(&self, query: &LogQuery, place: Place, limit: usize) -> io::Result<(Vec<LogLine>, Place)> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut place = place;
        for segment in &self.segments[self.index_of(place.after)..] {
            if self.is_too_old(segment, query) {
                continue;
            }
            let Some(file) = files::open(&self.dir, segment.first)? else { continue };
            let start = match place.at {
                Some((first, offset)) if first == segment.first => offset.min(segment.len),
                _ => self.offset_of(segment, place.after)?,
            };
            let mut lines = Lines::new(file, start, segment.len)?;
            while found.len() < limit && bytes < READ_BYTES {
                let Some(line) = lines.next()? else { break };
                let Some(raw) = Raw::parse(line).filter(|raw| raw.cursor > place.after) else { continue };
                place.after = raw.cursor;
                if let Some(line) = raw.line_for(query) {
                    bytes += weight(&line);
                    found.push(line);
                }
            }
            place.at = Some((segment.first, lines.offset));
            if found.len() >= limit || bytes >= READ_BYTES {
                return Ok((found, place));
            }
        }
        // Also past what was skipped or deleted.
        place.after = place.after.max(self.last);
        Ok((found, place))
    }

    /// The last `count` lines that fit, oldest first.
    pub(super) fn tail(&self, query: &LogQuery, count: usize) -> io::Result<Vec<LogLine>> {
        let (mut found, mut bytes) = (VecDeque::new(), 0);
        let after = query.after.unwrap_or(0);
        let first = self.index_of(after);
        for segment in self.segments[first..].iter().rev() {
            if self.is_too_old(segment, query) {
                continue;
            }
            let Some(file) = files::open(&self.dir, segment.first)? else { break };
            let mut lines = LinesBack::new(file, segment.len);
            while found.len() < count && bytes < READ_BYTES {
                let Some(line) = lines.next()? else { break };
                let Some(raw) = Raw::parse(&line) else { continue };
                if raw.cursor <= after {
                    return Ok(found.into());
                }
                if let Some(line) = raw.line_for(query) {
                    bytes += weight(&line);
                    found.push_front(line);
                }
            }
        }
        Ok(found.into())
    }

    /// The segment in which the line after `after` is, or the first that is left.
    fn index_of(&self, after: u64) -> usize {
        let not_later = self.segments.partition_point(|segment| segment.first <= after.saturating_add(1));
        not_later.saturating_sub(1)
    }

    /// Times within an app are not in strict order (several instances, two pipes), so only a whole segment counts.
    fn is_too_old(&self, segment: &Segment, query: &LogQuery) -> bool {
        query.since.zip(segment.newest).is_some_and(|(since, newest)| newest < since)
    }

    /// A byte of `segment` from which on all lines after `after` come, and not many before: by halving.
    fn offset_of(&self, segment: &Segment, after: u64) -> io::Result<u64> {
        const NEAR: u64 = 64 * 1024;
        let (mut low, mut high) = (0, segment.len);
        if segment.first > after {
            return Ok(0);
        }
        while high - low > NEAR {
            let middle = low + (high - low) / 2;
            match self.first_after(segment, middle, high)? {
                Some((cursor, next)) if cursor <= after => low = next,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The first record that begins after `offset`: its cursor, and where it ends.
    fn first_after(&self, segment: &Segment, offset: u64, end: u64) -> io::Result<Option<(u64, u64)>> {
        let Some(file) = files::open(&self.dir, segment.first)? else { return Ok(None) };
        let mut lines = Lines::new(file, offset, end)?;
        // Most likely in the middle of a line: that one is left out.
        if lines.next()?.is_none() {
            return Ok(None);
        }
        while let Some(line) = lines.next()? {
            if let Some(cursor) = Raw::parse(line).map(|raw| raw.cursor) {
                return Ok(Some((cursor, lines.offset)));
            }
        }
        Ok(None)
    }
}

/// What a line costs in memory.
fn weight(line: &LogLine) -> usize {
    size_of::<LogLine>() + line.instance.as_str().len() + line.process.as_str().len() + line.text.len()
}
