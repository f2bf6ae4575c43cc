use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use tokio::time::Instant;
use ulid::Ulid;

use super::lock;
use crate::model::Timestamp;
use crate::traits::Clock;

/// The first moment of every world: 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600;

/// Time as the tokio runtime tells it: paused there, it jumps to the next timer as soon as nobody has anything to do.
pub struct TestClock {
    origin: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jumped: SignedDuration,
    last: (u64, u128),
}

impl Default for TestClock {
    fn default() -> Self {
        TestClock { origin: Instant::now(), state: Mutex::default() }
    }
}

impl TestClock {
    /// Moves the wall clock, as somebody with the right to do so might. Timers do not notice.
    pub fn jump(&self, by: SignedDuration) {
        lock(&self.state).jumped += by;
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.origin.elapsed()).unwrap_or(SignedDuration::MAX);
        let beginning = Timestamp::from_second(BEGINNING).unwrap_or(Timestamp::UNIX_EPOCH);
        beginning.saturating_add(passed + lock(&self.state).jumped).unwrap_or(Timestamp::MAX)
    }

    fn ulid(&self) -> Ulid {
        let now = u64::try_from(self.now().as_millisecond()).unwrap_or_default();
        let last = &mut lock(&self.state).last;
        // Greater than every one before it, also when the wall clock went back.
        *last = (last.0.max(now), last.1 + 1);
        Ulid::from_parts(last.0, last.1)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
