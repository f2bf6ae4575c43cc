//! Progress of builds, pulls and loads: a stream inside a 200, in which failure is a message.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Deserializer};

use super::{
    body::JsonStream,
    buildkit::StepLine,
    error::{Error, Result},
};

/// One message of progress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// Output of the classic builder, with its line ends.
    #[serde(default)]
    pub stream: Option<String>,
    /// What is going on, e.g. `Downloading`.
    #[serde(default)]
    pub status: Option<String>,
    /// Which layer or tag it is about.
    #[serde(default)]
    pub id: Option<String>,
    /// How far it is.
    #[serde(default, rename = "progressDetail")]
    pub detail: Option<ProgressDetail>,
    /// Output of a build by BuildKit, line by line, with the step that each is about.
    #[serde(skip)]
    pub steps: Vec<StepLine>,
    #[serde(default)]
    aux: Option<Aux>,
    #[serde(default, rename = "errorDetail")]
    error_detail: Option<ErrorDetail>,
    /// Deprecated in API 1.48 in favour of `errorDetail`; old engines and Podman may send nothing else.
    #[serde(default)]
    error: Option<String>,
}

impl Progress {
    /// Output of a build by either builder, with its line ends.
    pub fn output(&self) -> String {
        let steps = self.steps.iter().map(|line| format!("{line}\n"));
        self.stream.iter().cloned().chain(steps).collect()
    }

    /// A message of BuildKit's progress, which is taken out.
    pub(crate) fn take_trace(&mut self) -> Option<String> {
        let trace = self.aux.as_mut().filter(|_| self.id.as_deref() == Some(TRACE))?.trace.take();
        self.id = None;
        trace
    }
}

/// Marks messages of BuildKit's progress.
const TRACE: &str = "moby.buildkit.trace";

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ProgressDetail {
    /// Bytes done.
    #[serde(default)]
    pub current: Option<i64>,
    /// Bytes in all, when known.
    #[serde(default)]
    pub total: Option<i64>,
}

/// `aux` carries different things: an image id, or a message of BuildKit's progress in base64.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Aux {
    id: Option<String>,
    trace: Option<String>,
}

impl<'de> Deserialize<'de> for Aux {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(match value {
            serde_json::Value::String(trace) => Self { id: None, trace: Some(trace) },
            value => Self { id: value.get("ID").and_then(|id| id.as_str()).map(str::to_owned), trace: None },
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    code: Option<i64>,
    #[serde(default)]
    message: Option<String>,
}

/// What is being waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Build,
    Pull { podman: bool },
    Load,
}

impl Job {
    fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Pull { .. } => "pull",
            Self::Load => "load",
        }
    }

    /// What a message proves: `Some` if the job has succeeded with it, with the id, digest or name it tells.
    fn outcome(self, progress: &Progress) -> Option<String> {
        let status = progress.status.as_deref().unwrap_or_default();
        let line = progress.stream.as_deref().unwrap_or_default().trim_end();
        match self {
            // A build of several stages tells each stage's image; the last one counts.
            Self::Build => {
                let id = progress.aux.as_ref().and_then(|aux| aux.id.as_deref());
                id.or_else(|| line.strip_prefix("Successfully built ")).map(str::to_owned)
            }
            Self::Pull { podman } => match status.strip_prefix("Digest: ") {
                Some(digest) => Some(digest.trim().to_owned()),
                None if status.starts_with("Status: ") => Some(String::new()),
                // Podman ends with this word, which in Docker is said of every layer.
                None if podman && status == "Download complete" => Some(String::new()),
                None => None,
            },
            Self::Load => {
                let name = line.strip_prefix("Loaded image: ").or_else(|| line.strip_prefix("Loaded image ID: "));
                name.map(str::to_owned)
            }
        }
    }
}

/// Progress of a running build, pull or load.
///
/// It must be read to its end, by polling it or with a `finish` of its owner: a job that nobody reads stalls, and
/// dropping the stream cancels it. A failure is the last item, also when the stream just ends without having said that
/// the job succeeded.
#[derive(Debug)]
pub struct ProgressStream {
    messages: JsonStream<Progress>,
    job: Job,
    outcomes: Vec<String>,
    done: bool,
}

impl ProgressStream {
    pub(crate) fn new(messages: JsonStream<Progress>, job: Job) -> Self {
        Self { messages, job, outcomes: Vec::new(), done: false }
    }

    /// Reads to the end and returns what the job said about its results: ids, digests or names; a pull's may be empty.
    pub(crate) async fn outcomes(mut self) -> Result<Vec<String>> {
        while let Some(message) = self.next().await {
            message?;
        }
        Ok(self.outcomes)
    }

    /// Nothing comes any more.
    pub(crate) fn end(&mut self) {
        self.done = true;
    }

    fn accept(&mut self, message: Option<Result<Progress>>) -> Option<Result<Progress>> {
        let operation = self.job.name();
        let progress = match message {
            Some(Ok(progress)) => progress,
            Some(Err(error)) => return Some(Err(error)),
            None if self.outcomes.is_empty() => {
                let message = "the engine ended the stream without a result".to_owned();
                return Some(Err(Error::Stream { operation, message, code: None }));
            }
            None => return None,
        };
        // An empty `error` beside no detail is how some engines write "none".
        let legacy = progress.error.as_ref().filter(|text| !text.is_empty());
        if let Some(detail) = &progress.error_detail {
            let text = detail.message.as_ref().or(legacy).cloned().unwrap_or_default();
            let code = detail.code.or_else(|| (self.job == Job::Build).then(|| exit_code(&text))?);
            return Some(Err(Error::from_stream(operation, text, code)));
        }
        if let Some(text) = legacy {
            return Some(Err(Error::from_stream(operation, text.clone(), None)));
        }
        if let Some(outcome) = self.job.outcome(&progress) {
            // "Successfully built <short id>" repeats the full id that `aux` told.
            if self.job != Job::Build || self.outcomes.is_empty() || progress.aux.is_some() {
                self.outcomes.push(outcome);
            }
        }
        Some(Ok(progress))
    }
}

/// BuildKit writes the exit code of a failed step at the end of its text.
fn exit_code(text: &str) -> Option<i64> {
    text.rsplit_once("exit code: ")?.1.trim().parse().ok()
}

impl Stream for ProgressStream {
    type Item = Result<Progress>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let message = ready!(self.messages.poll_next_unpin(cx));
        let item = self.accept(message);
        self.done = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}
