//! The vocabulary of the platform. A value that exists is valid: every name has one parser and prints what it parses.

mod app;
mod check;
mod command;
mod deployment;
mod domain;
mod event;
mod export;
mod id;
mod instance;
mod listener;
mod log;
mod name;
mod page;
mod plan;
mod platform;
mod reference;
mod release;
mod secret;
mod source;
mod source_rules;
mod units;

pub use app::*;
pub use check::*;
pub use command::*;
pub use deployment::*;
pub use domain::*;
pub use event::*;
pub use export::*;
pub use id::*;
pub use instance::*;
pub use listener::*;
pub use log::*;
#[cfg(feature = "engine")]
pub(crate) use name::HINT_MARK;
pub use name::*;
pub use page::*;
pub use plan::*;
pub use platform::*;
pub use reference::*;
pub use release::*;
pub use secret::*;
pub use source::*;
pub use source_rules::*;
pub use units::*;

/// A moment in time, UTC, printed as RFC 3339.
pub type Timestamp = jiff::Timestamp;
