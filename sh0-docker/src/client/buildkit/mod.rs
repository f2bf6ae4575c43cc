//! BuildKit, as the engine carries it within: `POST /build?version=2` beside a session.
//!
//! ```text
//! client                                    engine
//!   POST /session, upgraded to h2c  ------>   asks over it, as a gRPC client: is somebody there, secrets, credentials
//!   POST /build?version=2&session=.. ----->   context in, progress out: lines of JSON that carry protocol buffers
//! ```
//!
//! A secret leaves this process only when a step mounts it, over the session, and is in no request and no layer.
//!
//! | file | what |
//! | --- | --- |
//! | `wire` | protocol buffers and gRPC messages, as far as needed here |
//! | `session` | what the engine may ask |
//! | `trace` | progress, told in lines |
//!
//! From API 1.53 on `/session` is deprecated; this client speaks at most [`ApiVersion::NEWEST`](super::ApiVersion::NEWEST),
//! where it is not.

mod session;
mod trace;
mod wire;

#[cfg(test)]
mod tests;

#[cfg(any(fuzzing, test))]
pub(super) use session::survive_question;
pub(super) use session::{BuildSession, Offer};
pub use trace::StepLine;
pub(super) use trace::Transcript;
