//! The progress of BuildKit (`moby.buildkit.v1.StatusResponse`), told in lines as the classic builder tells its own.
//!
//! Steps run at the same time, and what they print comes in pieces: each is told by its name when it begins, and named
//! again when another one has printed meanwhile.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::wire::{Fields, Malformed, Value};

/// How the error of a step ends that was given up for another one (Go's `context.Canceled`).
const CANCELED: &str = "context canceled";
/// Steps of one build that are told of.
const STEPS: usize = 10_000;
/// Longest line, in bytes; what has no end by then is handed out without one.
const LINE: usize = 64 * 1024;

/// A line of what BuildKit tells of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepLine {
    /// A step begins, or comes back after another one has printed.
    Step {
        /// Its name, such as `[build 2/4] RUN npm ci`.
        name: Arc<str>,
        /// Its result was there already.
        cached: bool,
    },
    /// A step has printed it.
    Printed {
        /// Its name.
        step: Arc<str>,
        /// What it printed, without line end.
        text: String,
    },
    /// A step has failed, and not for another one that did.
    Failed {
        /// Its name.
        step: Arc<str>,
        /// Why.
        error: String,
    },
    /// BuildKit warns of something.
    Warning(String),
}

impl fmt::Display for StepLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { name, cached: false } => f.write_str(name),
            Self::Step { name, cached: true } => write!(f, "CACHED {name}"),
            Self::Printed { text, .. } => f.write_str(text),
            // Why is for the error of the build to say.
            Self::Failed { step, .. } => write!(f, "ERROR {step}"),
            Self::Warning(text) => write!(f, "warning: {text}"),
        }
    }
}

#[derive(Default)]
struct Vertex {
    digest: String,
    name: String,
    cached: bool,
    started: bool,
    completed: bool,
    error: String,
}

#[derive(Default)]
struct Log {
    vertex: String,
    /// Whether it was printed to standard error.
    stderr: bool,
    bytes: Vec<u8>,
}

/// One message of progress.
#[derive(Default)]
struct Status {
    vertexes: Vec<Vertex>,
    logs: Vec<Log>,
    warnings: Vec<String>,
}

impl Status {
    fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut status = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, value) => status.vertexes.push(Vertex::read(value.bytes()?)?),
                (3, value) => status.logs.push(Log::read(value.bytes()?)?),
                (4, value) => status.warnings.extend(warning(value.bytes()?)?),
                _ => {}
            }
        }
        Ok(status)
    }
}

impl Vertex {
    fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut vertex = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, value) => vertex.digest = value.text()?,
                (3, value) => vertex.name = value.text()?,
                (4, value) => vertex.cached = value.flag()?,
                (5, _) => vertex.started = true,
                (6, _) => vertex.completed = true,
                (7, value) => vertex.error = value.text()?,
                _ => {}
            }
        }
        Ok(vertex)
    }
}

impl Log {
    fn read(message: &[u8]) -> Result<Self, Malformed> {
        let mut log = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, value) => log.vertex = value.text()?,
                (3, value) => log.stderr = value == Value::Number(2),
                (4, value) => log.bytes = value.bytes()?.to_vec(),
                _ => {}
            }
        }
        Ok(log)
    }
}

/// The short text of a warning.
fn warning(message: &[u8]) -> Result<Option<String>, Malformed> {
    for field in Fields::of(message) {
        if let (3, value) = field? {
            return value.text().map(Some);
        }
    }
    Ok(None)
}

#[derive(Debug, Default)]
struct Step {
    name: Arc<str>,
    told: bool,
    ended: bool,
    /// The beginnings of lines whose ends have not come: of standard output, of standard error.
    partial: [Vec<u8>; 2],
}

/// What a build has told so far.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    steps: HashMap<String, Step>,
    /// The step that was told of last.
    last: String,
}

impl Transcript {
    /// The lines that a message adds.
    pub(crate) fn add(&mut self, message: &[u8]) -> Result<Vec<StepLine>, Malformed> {
        let status = Status::read(message)?;
        let mut lines = Vec::new();
        let mut ended = Vec::new();
        for vertex in status.vertexes {
            if self.steps.len() >= STEPS && !self.steps.contains_key(&vertex.digest) {
                continue;
            }
            let step = self.steps.entry(vertex.digest.clone()).or_default();
            if !vertex.name.is_empty() {
                step.name = vertex.name.into();
            }
            if vertex.started && !step.told {
                step.told = true;
                if !is_inner(&step.name) {
                    lines.push(StepLine::Step { name: step.name.clone(), cached: vertex.cached });
                    self.last.clone_from(&vertex.digest);
                }
            }
            if vertex.completed {
                ended.push((vertex.digest, vertex.error));
            }
        }
        for log in status.logs {
            self.print(&log, &mut lines);
        }
        // A message may carry the last words of a step beside its end.
        for (digest, error) in ended {
            self.end(&digest, error, &mut lines);
        }
        lines.extend(status.warnings.into_iter().map(StepLine::Warning));
        Ok(lines)
    }

    fn print(&mut self, log: &Log, lines: &mut Vec<StepLine>) {
        let Some(step) = self.steps.get_mut(&log.vertex) else { return };
        let partial = &mut step.partial[usize::from(log.stderr)];
        partial.extend_from_slice(&log.bytes);
        let whole = match partial.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if step.ended || partial.len() >= LINE => partial.len(),
            None => return,
        };
        let rest = partial.split_off(whole);
        let bytes = std::mem::replace(partial, rest);
        if bytes.is_empty() {
            return;
        }
        if self.last != log.vertex {
            lines.push(StepLine::Step { name: step.name.clone(), cached: false });
            self.last.clone_from(&log.vertex);
        }
        for text in String::from_utf8_lossy(&bytes).lines() {
            lines.push(StepLine::Printed { step: step.name.clone(), text: text.to_owned() });
        }
    }

    fn end(&mut self, digest: &str, error: String, lines: &mut Vec<StepLine>) {
        let Some(step) = self.steps.get_mut(digest).filter(|step| !step.ended) else { return };
        step.ended = true;
        let step = step.name.clone();
        for stderr in [false, true] {
            self.print(&Log { vertex: digest.to_owned(), stderr, bytes: Vec::new() }, lines);
        }
        // One that fails ends those that run beside it.
        if !error.is_empty() && !error.ends_with(CANCELED) {
            lines.push(StepLine::Failed { step, error });
            self.last.clear();
        }
    }
}

/// What BuildKit does for itself: reads the Dockerfile, unpacks the context.
fn is_inner(name: &str) -> bool {
    name.starts_with("[internal]") || name == "copy /context /"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::wire::put;
    use super::*;
    use proptest::prelude::*;

    fn vertex(digest: &str, name: &str, cached: bool, completed: bool) -> Vec<u8> {
        let mut vertex = Vec::new();
        put(&mut vertex, 1, digest.as_bytes());
        put(&mut vertex, 3, name.as_bytes());
        vertex.extend([4 << 3, u8::from(cached)]);
        put(&mut vertex, 5, b"");
        if completed {
            put(&mut vertex, 6, b"");
        }
        message(1, &vertex)
    }

    fn failed(digest: &str, name: &str, error: &str) -> Vec<u8> {
        let mut vertex = Vec::new();
        put(&mut vertex, 1, digest.as_bytes());
        put(&mut vertex, 3, name.as_bytes());
        put(&mut vertex, 6, b"");
        put(&mut vertex, 7, error.as_bytes());
        message(1, &vertex)
    }

    fn log(digest: &str, bytes: &[u8]) -> Vec<u8> {
        logged(digest, 1, bytes)
    }

    fn logged(digest: &str, stream: u8, bytes: &[u8]) -> Vec<u8> {
        let mut log = Vec::new();
        put(&mut log, 1, digest.as_bytes());
        log.extend([3 << 3, stream]);
        put(&mut log, 4, bytes);
        message(3, &log)
    }

    fn message(number: u8, value: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        put(&mut message, number, value);
        message
    }

    fn told(messages: &[Vec<u8>]) -> String {
        let mut transcript = Transcript::default();
        let lines = messages.iter().flat_map(|message| transcript.add(message).unwrap());
        lines.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn steps_that_print_at_the_same_time_are_told_apart() {
        let text = told(&[
            vertex("i", "[internal] load build definition", false, true),
            vertex("a", "[a 1/2] RUN one", false, false),
            vertex("b", "[b 1/2] RUN two", true, true),
            log("a", b"fir"),
            log("a", b"st\nsec"),
            vertex("c", "[c 1/2] RUN three", false, false),
            log("c", b"third\r\n"),
            logged("a", 2, b"an error\n"),
            log("a", b"ond"),
            vertex("a", "[a 1/2] RUN one", false, true),
            log("nobody", b"x\n"),
            failed("d", "[d 1/2] RUN four", "process \"four\" did not complete successfully: context canceled"),
            failed("c", "[c 1/2] RUN three", "exit code: 1"),
        ]);
        let lines = "[a 1/2] RUN one\nCACHED [b 1/2] RUN two\n[a 1/2] RUN one\nfirst\n[c 1/2] RUN three\nthird\n\
                     [a 1/2] RUN one\nan error\nsecond\nERROR [c 1/2] RUN three\n";
        assert_eq!(text, lines);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut transcript = Transcript::default();
        transcript.add(&vertex("a", "RUN yes", false, false)).unwrap();
        let mut text = String::new();
        for _ in 0..100 {
            for line in transcript.add(&log("a", &[b'y'; 10_000])).unwrap() {
                text += &line.to_string();
            }
            assert!(transcript.steps["a"].partial[0].len() < LINE);
        }
        assert!(text.len() > 900_000);
    }

    #[test]
    fn steps_are_told_of_up_to_a_bound() {
        let mut transcript = Transcript::default();
        for number in 0..STEPS + 10 {
            transcript.add(&vertex(&number.to_string(), "RUN x", false, true)).unwrap();
        }
        assert_eq!(transcript.steps.len(), STEPS);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..10)) {
            let mut transcript = Transcript::default();
            for message in messages {
                let _ = transcript.add(&message);
            }
        }

        #[test]
        fn damaged_progress_is_survived(at in any::<usize>(), byte in any::<u8>(), bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let mut transcript = Transcript::default();
            let mut message = [vertex("a", "RUN x", false, false), log("a", &bytes), vertex("a", "", false, true)].concat();
            let at = at % message.len();
            message[at] = byte;
            let _ = transcript.add(&message);
            message.truncate(at);
            let _ = transcript.add(&message);
        }
    }
}
