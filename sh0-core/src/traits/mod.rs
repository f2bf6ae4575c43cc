//! What touches the world: small, async, object-safe traits with capabilities as data. Each has one conformance suite
//! in [`testkit`](crate::testkit) that runs against every backend.

mod clock;
mod fetcher;
mod log_store;
mod planner;
mod prober;
mod proxy;
mod runtime;
mod sealer;
mod sink;
mod store;

pub use clock::*;
pub use fetcher::*;
pub use log_store::*;
pub use planner::*;
pub use prober::*;
pub use proxy::*;
pub use runtime::*;
pub use sealer::*;
pub use sink::*;
pub use store::*;

use futures_util::stream::BoxStream;

use crate::Result;

/// A stream of bytes that nobody holds whole.
pub type ByteStream = BoxStream<'static, Result<bytes::Bytes>>;
