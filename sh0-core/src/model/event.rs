//! What happens during a deployment, told as it happens.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CheckSummary, DeploymentId, DeploymentState, LogStream, Step, Timestamp};
use crate::Problem;

/// One thing that happened in a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its place in the stream: give it back to resume after it.
    pub cursor: u64,
    /// The deployment.
    pub deployment: DeploymentId,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// What.
    pub what: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// The deployment changed its state; the last event of a stream has a final one.
    State {
        /// The new state.
        state: DeploymentState,
        /// Why, when it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Problem>,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: Step,
    },
    /// A step ended well.
    StepDone {
        /// Which.
        step: Step,
        /// How long it took.
        millis: u64,
    },
    /// Something worth telling: what was detected, why, what was skipped.
    Note {
        /// The text.
        text: String,
    },
    /// The health rules have looked at the source.
    Checked {
        /// What they found.
        check: CheckSummary,
    },
    /// Lines that a build or a release command printed.
    Output {
        /// Where they came from.
        stream: LogStream,
        /// The lines, without line ends.
        lines: Vec<String>,
    },
}

impl fmt::Display for EventKind {
    /// For a person: a line, or several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::State { state, error: Some(problem) } => write!(f, "{state}: {}", problem.detail),
            EventKind::State { state, error: None } => write!(f, "{state}"),
            EventKind::StepStarted { step } => write!(f, "{step} ..."),
            EventKind::StepDone { step, millis } if *millis < 1000 => write!(f, "{:<16}{millis} ms", step.as_str()),
            EventKind::StepDone { step, millis } => write!(f, "{:<16}{:.1} s", step.as_str(), *millis as f64 / 1000.0),
            EventKind::Note { text } => f.write_str(text),
            EventKind::Checked { check } => check.fmt(f),
            EventKind::Output { lines, .. } => {
                let lines: Vec<String> = lines.iter().map(|line| format!("| {line}")).collect();
                f.write_str(&lines.join("\n"))
            }
        }
    }
}
