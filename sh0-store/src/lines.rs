//! What both log stores mean by a query, a line and a position.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sh0_core::model::{InstanceName, LogLine, Timestamp};
use sh0_core::traits::{LogPosition, LogQuery, NewLine};

/// Longer lines are cut: a line is the unit of memory of every reader.
pub(crate) const MAX_TEXT_BYTES: usize = 256 * 1024;

/// So many instances of an app are remembered; the one that printed longest ago is forgotten first.
const MAX_POSITIONS: usize = 256;

/// The line as it is kept.
pub(crate) fn stored(new: NewLine, cursor: u64) -> LogLine {
    let NewLine { at, instance, process, release, stream, text } = new;
    LogLine { cursor, at, instance, process, release, stream, text: cut(text) }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        let end = text.floor_char_boundary(MAX_TEXT_BYTES);
        let lost = text.len() - end;
        text.truncate(end);
        text.push_str(&format!(" [{lost} bytes cut]"));
    }
    text
}

/// At most so many lines at a time.
pub(crate) fn limit(query: &LogQuery) -> usize {
    if query.limit == 0 { 1_000 } else { query.limit }
}

/// Only the last so many, when the query says so. A limit that is given as well holds too.
pub(crate) fn tail(query: &LogQuery) -> Option<usize> {
    let limit = if query.limit == 0 { usize::MAX } else { query.limit };
    query.tail.map(|tail| tail.min(limit))
}

/// Whether a line fits.
pub(crate) fn fits(query: &LogQuery, line: &LogLine) -> bool {
    fits_but_text(query, line.cursor, line.at, line.process.as_str(), line.instance.as_str())
        && fits_text(query, &line.text)
}

/// Whether a line fits but for its text, which costs more to read.
pub(crate) fn fits_but_text(query: &LogQuery, cursor: u64, at: Timestamp, process: &str, instance: &str) -> bool {
    query.after.is_none_or(|after| cursor > after)
        && query.since.is_none_or(|since| at >= since)
        && query.process.as_ref().is_none_or(|wanted| process == wanted.as_str())
        && query.instance.as_ref().is_none_or(|wanted| instance == wanted.as_str())
}

/// Whether the text of a line fits.
pub(crate) fn fits_text(query: &LogQuery, text: &str) -> bool {
    query.contains.as_ref().is_none_or(|part| text.contains(part))
}

/// Where the collector of each instance stopped. Kept for the newest instances even when their lines are gone: a quiet
/// instance whose last line was rotated away must not be collected a second time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Positions(HashMap<InstanceName, Position>);

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Position {
    at: Timestamp,
    lines: u64,
    cursor: u64,
}

impl Positions {
    /// A line was stored.
    pub(crate) fn note(&mut self, instance: &InstanceName, at: Timestamp, cursor: u64) {
        if let Some(position) = self.0.get_mut(instance) {
            let lines = if position.at == at { position.lines + 1 } else { 1 };
            *position = Position { at, lines, cursor };
            return;
        }
        if self.0.len() >= MAX_POSITIONS
            && let Some(oldest) =
                self.0.iter().min_by_key(|(_, position)| position.cursor).map(|(name, _)| name.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.insert(instance.clone(), Position { at, lines: 1, cursor });
    }

    /// Where reading of the instance stopped.
    pub(crate) fn get(&self, instance: &InstanceName) -> Option<LogPosition> {
        self.0.get(instance).map(|Position { at, lines, .. }| LogPosition { at: *at, lines: *lines })
    }
}
