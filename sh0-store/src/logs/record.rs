//! One line of a segment file. The format is in the module's documentation.

use std::io::{self, Write};

use sh0_core::model::{LogLine, LogStream, Timestamp};
use sh0_core::traits::LogQuery;

use crate::lines::{self, MAX_TEXT_BYTES};

/// No record is longer: JSON writes a byte as six at most (`\u0000`), and the other fields are names.
pub(super) const MAX_BYTES: usize = 6 * MAX_TEXT_BYTES + 1024;

/// Appends the record of `line` to `buffer`.
pub(super) fn write(line: &LogLine, buffer: &mut Vec<u8>) -> io::Result<()> {
    let LogLine { cursor, at, instance, process, release, stream, text } = line;
    let pipe = match stream {
        LogStream::Stdout => 'o',
        LogStream::Stderr => 'e',
    };
    write!(buffer, "{cursor}\t{}\t{pipe}\t{process}\t{release}\t{instance}\t", at.as_nanosecond())?;
    serde_json::to_writer(&mut *buffer, text)?;
    buffer.push(b'\n');
    Ok(())
}

/// A record whose text is not read yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) cursor: u64,
    pub(super) at: Timestamp,
    pub(super) instance: &'a str,
    stream: LogStream,
    process: &'a str,
    release: &'a str,
    text: &'a str,
}

impl<'a> Raw<'a> {
    /// `None` for whatever is not a record.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(line).ok()?.splitn(7, '\t');
        let raw = Raw {
            cursor: fields.next()?.parse().ok()?,
            at: Timestamp::from_nanosecond(fields.next()?.parse().ok()?).ok()?,
            stream: match fields.next()? {
                "o" => LogStream::Stdout,
                "e" => LogStream::Stderr,
                _ => return None,
            },
            process: fields.next()?,
            release: fields.next()?,
            instance: fields.next()?,
            text: fields.next()?,
        };
        let whole = raw.text.len() >= 2 && raw.text.starts_with('"') && raw.text.ends_with('"');
        whole.then_some(raw)
    }

    /// The line, when it fits.
    pub(super) fn line_for(self, query: &LogQuery) -> Option<LogLine> {
        if !lines::fits_but_text(query, self.cursor, self.at, self.process, self.instance) {
            return None;
        }
        let text: String = serde_json::from_str(self.text).ok()?;
        if !lines::fits_text(query, &text) {
            return None;
        }
        Some(LogLine {
            cursor: self.cursor,
            at: self.at,
            instance: self.instance.parse().ok()?,
            process: self.process.parse().ok()?,
            release: self.release.parse().ok()?,
            stream: self.stream,
            text,
        })
    }
}
