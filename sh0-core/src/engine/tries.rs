//! Optimistic concurrency: a change reads, decides and commits, and does so again when another one came in between.

use crate::{Code, Result};

/// How often a change is tried before the conflict is told.
const TRIES: usize = 64;

/// Counts the tries of one change.
///
/// ```text
/// let mut tries = Tries::default();
/// loop {
///     // read, decide
///     if let Some(ended) = tries.ended(self.commit(change).await) {
///         return ended;
///     }
/// }
/// ```
#[derive(Default)]
pub(crate) struct Tries(usize);

impl Tries {
    /// How a commit ended; `None` when another change came in between: what it was made of must be read again.
    pub(crate) fn ended<T>(&mut self, committed: Result<T>) -> Option<Result<T>> {
        self.0 += 1;
        match committed {
            Err(error) if error.code() == Code::Conflict && self.0 < TRIES => None,
            committed => Some(committed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn only_conflicts_are_tried_again_and_not_for_ever() {
        assert_eq!(Tries::default().ended(Ok(7)).map(Result::ok), Some(Some(7)));
        let other = Tries::default().ended::<()>(Err(Error::unavailable("away")));
        assert_eq!(other.and_then(Result::err).map(|error| error.code()), Some(Code::Unavailable));
        let mut tries = Tries::default();
        let ended: Vec<_> = (0..TRIES).map(|_| tries.ended::<()>(Err(Error::conflict("meanwhile")))).collect();
        assert!(ended[..TRIES - 1].iter().all(Option::is_none));
        assert!(matches!(&ended[TRIES - 1], Some(Err(error)) if error.code() == Code::Conflict));
    }
}
