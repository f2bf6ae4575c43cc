//! The progress of BuildKit (`moby.buildkit.v1.StatusResponse`), told in lines as the classic builder tells its own.
//!
//! Steps run at the same time, and what they print comes in pieces: each is told by its name when it begins, and named
//! again when another one has printed meanwhile.

use std::collections::HashMap;

use super::wire::{Fields, Malformed, Value};

/// Stands before the name of a step that failed.
const FAILED: &str = "ERROR ";
/// Steps of one build that are told of.
const STEPS: usize = 10_000;
/// Longest line, in bytes; what has no end by then is handed out without one.
const LINE: usize = 64 * 1024;

#[derive(Default)]
struct Vertex {
    digest: String,
    name: String,
    cached: bool,
    started: bool,
    completed: bool,
    failed: bool,
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
                (7, value) => vertex.failed = !value.bytes()?.is_empty(),
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
    name: String,
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
    /// The lines that a message adds, each with its end.
    pub(crate) fn add(&mut self, message: &[u8]) -> Result<String, Malformed> {
        let status = Status::read(message)?;
        let mut text = String::new();
        let mut ended = Vec::new();
        for vertex in status.vertexes {
            if self.steps.len() >= STEPS && !self.steps.contains_key(&vertex.digest) {
                continue;
            }
            let step = self.steps.entry(vertex.digest.clone()).or_default();
            if !vertex.name.is_empty() {
                step.name = vertex.name;
            }
            if vertex.started && !step.told {
                step.told = true;
                if !is_inner(&step.name) {
                    line(&mut text, if vertex.cached { "CACHED " } else { "" }, &step.name);
                    self.last.clone_from(&vertex.digest);
                }
            }
            if vertex.completed {
                ended.push((vertex.digest, vertex.failed));
            }
        }
        for log in status.logs {
            self.print(&log, &mut text);
        }
        // A message may carry the last words of a step beside its end.
        for (digest, failed) in ended {
            self.end(&digest, failed, &mut text);
        }
        status.warnings.iter().for_each(|warning| line(&mut text, "warning: ", warning));
        Ok(text)
    }

    fn print(&mut self, log: &Log, text: &mut String) {
        let Some(step) = self.steps.get_mut(&log.vertex) else { return };
        let partial = &mut step.partial[usize::from(log.stderr)];
        partial.extend_from_slice(&log.bytes);
        let whole = match partial.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if step.ended || partial.len() >= LINE => partial.len(),
            None => return,
        };
        let rest = partial.split_off(whole);
        let lines = std::mem::replace(partial, rest);
        if lines.is_empty() {
            return;
        }
        if self.last != log.vertex {
            line(text, "", &step.name);
            self.last.clone_from(&log.vertex);
        }
        for one in String::from_utf8_lossy(&lines).lines() {
            line(text, "", one);
        }
    }

    fn end(&mut self, digest: &str, failed: bool, text: &mut String) {
        let Some(step) = self.steps.get_mut(digest).filter(|step| !step.ended) else { return };
        step.ended = true;
        let name = failed.then(|| step.name.clone());
        for stderr in [false, true] {
            self.print(&Log { vertex: digest.to_owned(), stderr, bytes: Vec::new() }, text);
        }
        // Why is for the error of the build to say.
        if let Some(name) = name {
            line(text, FAILED, &name);
            self.last.clear();
        }
    }
}

fn line(text: &mut String, mark: &str, words: &str) {
    text.push_str(mark);
    text.push_str(words);
    text.push('\n');
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

    fn failed(digest: &str, name: &str) -> Vec<u8> {
        let mut vertex = Vec::new();
        put(&mut vertex, 1, digest.as_bytes());
        put(&mut vertex, 3, name.as_bytes());
        put(&mut vertex, 6, b"");
        put(&mut vertex, 7, b"exit code: 1");
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
        messages.iter().map(|message| transcript.add(message).unwrap()).collect()
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
            failed("c", "[c 1/2] RUN three"),
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
            text += &transcript.add(&log("a", &[b'y'; 10_000])).unwrap();
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
