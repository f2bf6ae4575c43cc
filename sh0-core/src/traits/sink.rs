use std::collections::VecDeque;
use std::fmt::Display;

use crate::model::LogStream;
use crate::{Code, Error};

/// Takes the lines that a long effect prints while it works. Never blocks: a slow reader loses lines, with a mark.
pub trait OutputSink: Send + Sync {
    /// One line, without line end.
    fn line(&self, stream: LogStream, line: &str);
}

/// Drops everything.
pub struct NoOutput;

impl OutputSink for NoOutput {
    fn line(&self, _: LogStream, _: &str) {}
}

/// How many lines a failure repeats.
const LAST_LINES: usize = 20;

/// How much of each, in bytes.
const LAST_LINE_BYTES: usize = 400;

/// The last lines that something printed before it failed, for the reason of the failure: few, short, and without what
/// could drive a terminal.
///
/// ```
/// use sh0_core::traits::LastLines;
/// let mut last = LastLines::default();
/// last.push("\x1b[91mnpm error missing script: build\x1b[0m");
/// assert_eq!(last.behind("`npm run build` failed"), "`npm run build` failed; its last lines:\nnpm error missing script: build");
/// ```
#[derive(Debug, Clone, Default)]
pub struct LastLines(VecDeque<String>);

impl LastLines {
    /// One more line; blank ones do not count.
    pub fn push(&mut self, line: &str) {
        let line = shown(line);
        if line.trim().is_empty() {
            return;
        }
        if self.0.len() == LAST_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// Forgets them: another command begins.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The reason of a failure with these lines behind it.
    pub fn behind(&self, reason: impl Display) -> String {
        if self.0.is_empty() {
            return format!("{reason}; it printed nothing");
        }
        let mut text = format!("{reason}; its last lines:");
        for line in &self.0 {
            text.push('\n');
            text.push_str(line);
        }
        text
    }

    /// The failure of a build whose command printed these lines; a full disk is seen by them.
    pub fn build_failed(&self, reason: impl Display) -> Error {
        let full = self.0.iter().any(|line| line.contains("No space left on device") || line.contains("ENOSPC"));
        Error::new(if full { Code::NoSpace } else { Code::BuildFailed }, self.behind(reason))
    }
}

/// What a terminal would show of a line in the end, without colours (ECMA-48, control sequences); cut at a character.
fn shown(line: &str) -> String {
    let line = line.trim_end();
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.as_str().starts_with('[') => {
                chars.by_ref().skip(1).find(|c| ('@'..='~').contains(c));
            }
            '\t' => text.push(c),
            c if c.is_control() => {}
            c if text.len() + c.len_utf8() > LAST_LINE_BYTES => {
                text.push('…');
                break;
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_few_short_and_plain() {
        let mut last = LastLines::default();
        assert_eq!(last.behind("it failed"), "it failed; it printed nothing");
        (0..100).for_each(|number| last.push(&format!("line {number}\n")));
        let text = last.behind("it failed");
        assert!(
            text.starts_with("it failed; its last lines:\nline 80\nline 81\n") && text.ends_with("\nline 99"),
            "{text}"
        );
        last.clear();
        last.push("");
        last.push("\x1b[0m \r\n");
        last.push("10 %\r50 %\r\x1b[1;31m100 %\x1b[0m\r\n");
        last.push("a\tb\x07\x1b]0;title\u{9b}31m");
        last.push("unfinished \x1b[31");
        last.push(&"é".repeat(1000));
        let text = last.behind("it");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[..4], ["it; its last lines:", "100 %", "a\tb]0;title31m", "unfinished "]);
        assert_eq!(lines[4], format!("{}…", "é".repeat(LAST_LINE_BYTES / 2)));
        assert!(!text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')), "{text:?}");
    }

    #[test]
    fn a_full_disk_is_seen() {
        let mut last = LastLines::default();
        assert_eq!(last.build_failed("x").code(), Code::BuildFailed);
        last.push("cp: error writing 'b': No space left on device");
        assert_eq!(last.build_failed("x").code(), Code::NoSpace);
    }
}
