//! What happens in the engine.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Client,
    body::JsonStream,
    error::Result,
    model::{Filters, open_enum, or_default, unix_nano},
    request::Call,
};

open_enum! {
    /// What an event is about.
    pub enum EventKind {
        /// A container.
        Container = "container",
        /// An image.
        Image = "image",
        /// A network.
        Network = "network",
        /// A volume.
        Volume = "volume",
        /// The engine itself.
        Daemon = "daemon",
        /// The builder.
        Builder = "builder",
    }
}

/// Which events to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventOptions {
    /// From this time on; the engine keeps the last 256 events for it. From now when absent.
    pub since: Option<Timestamp>,
    /// Up to this time; without it the stream goes on.
    pub until: Option<Timestamp>,
    /// `type`, `event`, `container`, `label`, `image`, ... Podman knows other words for `event`: filter the actions
    /// here rather than there.
    pub filters: Filters,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// What it is about.
    #[serde(rename = "Type", default = "unknown_kind")]
    pub kind: EventKind,
    /// What happened, e.g. `start`, `die`, `health_status: healthy`, `exec_create: sh`.
    #[serde(rename = "Action", default, deserialize_with = "or_default")]
    pub action: String,
    /// To whom.
    #[serde(rename = "Actor", default, deserialize_with = "or_default")]
    actor: Actor,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano", default, deserialize_with = "or_default")]
    nanos: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Actor {
    #[serde(rename = "ID", default, deserialize_with = "or_default")]
    id: String,
    #[serde(rename = "Attributes", default, deserialize_with = "or_default")]
    attributes: BTreeMap<String, String>,
}

fn unknown_kind() -> EventKind {
    EventKind::Other(String::new())
}

impl Event {
    /// Id of the object; the name for volumes and images.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.actor.id
    }

    /// Facts about the object, for containers with all labels.
    #[must_use]
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.actor.attributes
    }

    /// The action without what follows the colon: `health_status`, `exec_create`.
    #[must_use]
    pub fn verb(&self) -> &str {
        self.action.split_once(':').map_or(self.action.as_str(), |(verb, _)| verb)
    }

    /// What follows the colon of the action: `healthy`.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.action.split_once(':').map(|(_, detail)| detail.trim())
    }

    /// When it happened. Pass the last one as `since` to go on after a break, and list again: events can be lost.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        Timestamp::from_nanosecond(i128::from(self.nanos?)).ok()
    }

    /// The exit code that a container's `die` (Podman: `died`) and an `exec_die` carry.
    #[must_use]
    pub fn exit_code(&self) -> Option<i64> {
        let attributes = self.attributes();
        attributes.get("exitCode").or_else(|| attributes.get("containerExitCode"))?.parse().ok()
    }
}

impl Client {
    /// Follows events. When this returns, the engine sends (except for Podman, which may answer with the first event
    /// only). The engine drops events for slow readers, without a sign: treat them as hints and list again.
    /// API: `GET /events`.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn events(&self, options: &EventOptions) -> Result<JsonStream<Event>> {
        let call = Call::get("/events")
            .query_some("since", options.since.map(unix_nano))
            .query_some("until", options.until.map(unix_nano))
            .query_some("filters", options.filters.query());
        Ok(JsonStream::new(self.follow(call).await?, "event"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn actions_with_details_are_taken_apart() {
        let event: Event = serde_json::from_str(
            r#"{"Type":"container","Action":"health_status: healthy","Actor":{"ID":"x","Attributes":{"exitCode":"137"}},"timeNano":1500000000}"#,
        )
        .unwrap();
        assert_eq!((event.verb(), event.detail()), ("health_status", Some("healthy")));
        assert_eq!(event.exit_code(), Some(137));
        assert_eq!(event.time().unwrap().subsec_nanosecond(), 500_000_000);
    }

    #[test]
    fn an_unknown_or_empty_event_is_an_event() {
        let odd: Event =
            serde_json::from_str(r#"{"Type":"pod","Action":"died","Actor":{"Attributes":{"containerExitCode":"1"}}}"#)
                .unwrap();
        assert_eq!((odd.kind.as_str(), odd.exit_code()), ("pod", Some(1)));
        assert!(serde_json::from_str::<Event>("{}").is_ok());
    }
}
