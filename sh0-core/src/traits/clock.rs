use std::time::Duration;

use async_trait::async_trait;

use crate::model::Timestamp;

/// Time and fresh ids. Everything in core asks it, so that a test decides what time it is.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Wall-clock time.
    fn now(&self) -> Timestamp;

    /// A new id, greater than every one before it.
    fn ulid(&self) -> ulid::Ulid;

    /// Waits. Measured by a monotonic clock: a jump of the wall clock changes nothing.
    async fn sleep(&self, time: Duration);
}
