use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::{Code, Error, Result};

/// A call that hangs is given up by its backend after so long.
const HANG: Duration = Duration::from_secs(120);

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It fails and has done nothing.
    Refused(Code),
    /// It has done everything, and fails: the answer was lost.
    LostAnswer(Code),
    /// It does nothing for two minutes, and fails then, unless the caller has dropped it.
    Hangs,
    /// The engine dies before it.
    DiesBefore,
    /// The engine dies right after its effect.
    DiesAfter,
}

impl Mode {
    /// Every mode, with a passing and a lasting error.
    pub const ALL: [Mode; 7] = [
        Mode::Refused(Code::Unavailable),
        Mode::Refused(Code::Internal),
        Mode::LostAnswer(Code::Unavailable),
        Mode::LostAnswer(Code::Internal),
        Mode::Hangs,
        Mode::DiesBefore,
        Mode::DiesAfter,
    ];

    /// Whether the engine is dead afterwards: its owner drops it and opens another.
    pub fn kills(self) -> bool {
        matches!(self, Mode::DiesBefore | Mode::DiesAfter)
    }
}

/// Counts the calls of all backends that share it, and lets one of them go wrong.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    dead: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Which call, counted from 1; 0 for none.
    target: u64,
    mode: Option<Mode>,
    count: u64,
    hit: Option<&'static str>,
}

impl Default for Faults {
    fn default() -> Self {
        Faults(Arc::new(Inner { state: Mutex::default(), dead: watch::Sender::new(false) }))
    }
}

impl Faults {
    /// From now on the `k`-th call goes wrong.
    pub fn arm(&self, k: u64, mode: Mode) {
        *self.state() = State { target: k, mode: Some(mode), count: 0, hit: None };
    }

    /// No call goes wrong any more. What was hit is still known.
    pub fn disarm(&self) {
        self.state().mode = None;
    }

    /// The call that went wrong.
    pub fn hit(&self) -> Option<&'static str> {
        self.state().hit
    }

    /// Calls since it was armed.
    pub fn count(&self) -> u64 {
        self.state().count
    }

    /// Waits until a call has killed the engine: none of its calls returns any more, and its owner should drop it.
    pub async fn died(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.dead.subscribe().wait_for(|dead| *dead).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call; answers how it should go wrong.
    fn next(&self, call: &'static str) -> Option<Mode> {
        let mut state = self.state();
        let mode = state.mode?;
        state.count += 1;
        if state.count != state.target {
            return None;
        }
        state.hit = Some(call);
        Some(mode)
    }

    fn is_dead(&self) -> bool {
        *self.0.dead.borrow()
    }

    /// The dead do nothing.
    async fn rest(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }

    async fn die<T>(&self) -> T {
        self.0.dead.send_replace(true);
        std::future::pending().await
    }

    /// A call: its effect, unless it is its turn to go wrong.
    pub(super) async fn call<T>(&self, name: &'static str, effect: impl Future<Output = Result<T>>) -> Result<T> {
        self.rest().await;
        match self.next(name) {
            None => {
                let answer = effect.await;
                // Another task may have died meanwhile, and all of them with it.
                self.rest().await;
                answer
            }
            Some(Mode::Refused(code)) => Err(fault(code, name)),
            Some(Mode::LostAnswer(code)) => {
                effect.await?;
                Err(fault(code, name))
            }
            Some(Mode::Hangs) => {
                tokio::time::sleep(HANG).await;
                Err(fault(Code::Timeout, name))
            }
            Some(Mode::DiesBefore) => self.die().await,
            Some(Mode::DiesAfter) => {
                effect.await?;
                self.die().await
            }
        }
    }

    /// A call that cannot wait: what would hang or die fails instead, and whatever comes next is dead.
    pub(super) fn call_now<T>(&self, name: &'static str, effect: impl FnOnce() -> Result<T>) -> Result<T> {
        let mode = if self.is_dead() { Some(Mode::DiesBefore) } else { self.next(name) };
        match mode {
            None => effect(),
            Some(Mode::Refused(code) | Mode::LostAnswer(code)) => Err(fault(code, name)),
            Some(Mode::Hangs) => Err(fault(Code::Timeout, name)),
            Some(Mode::DiesBefore | Mode::DiesAfter) => {
                self.0.dead.send_replace(true);
                Err(fault(Code::Unavailable, name))
            }
        }
    }
}

fn fault(code: Code, call: &str) -> Error {
    Error::new(code, format!("{call} failed on purpose"))
}

/// A backend whose calls may go wrong.
pub struct Chaos<T: ?Sized> {
    pub(super) inner: Arc<T>,
    pub(super) faults: Faults,
}

impl<T: ?Sized> Chaos<T> {
    /// Stands round `inner`.
    pub fn new(inner: Arc<T>, faults: &Faults) -> Self {
        Chaos { inner, faults: faults.clone() }
    }
}
