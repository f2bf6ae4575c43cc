//! The time of this machine.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sh0_core::model::Timestamp;
use sh0_core::traits::Clock;
use ulid::{Generator, Ulid};

/// The time of this machine, and ids that only rise, whatever its clock does.
#[derive(Default)]
pub struct SystemClock {
    ids: Mutex<Generator>,
}

impl SystemClock {
    /// A clock of its own sequence of ids.
    pub fn new() -> Self {
        SystemClock::default()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn ulid(&self) -> Ulid {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        // 2^80 ids in one millisecond would be needed to overflow; then the next one counts on into the next millisecond.
        ids.generate().unwrap_or_else(|overflow| overflow.commit_overflow_increment())
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_only_rise() {
        let clock = SystemClock::new();
        let mut last = clock.ulid();
        for _ in 0..10_000 {
            let next = clock.ulid();
            assert!(next > last);
            last = next;
        }
    }
}
