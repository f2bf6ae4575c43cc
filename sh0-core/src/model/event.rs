//! What happens during a deployment, told as it happens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeploymentId, DeploymentState, LogStream, Step, Timestamp};
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
    /// Lines that a build or a release command printed.
    Output {
        /// Where they came from.
        stream: LogStream,
        /// The lines, without line ends.
        lines: Vec<String>,
    },
}
