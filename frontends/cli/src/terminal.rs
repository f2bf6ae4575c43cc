//! The terminal that this program stands in.

use std::io::{IsTerminal as _, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use sh0::traits::Terminal;

/// Its size, when both ends of this program are one.
pub(crate) fn size() -> Option<Terminal> {
    let size = tcgetwinsize(stdout()).ok().filter(|_| stdin().is_terminal())?;
    Some(Terminal { rows: size.ws_row, cols: size.ws_col })
}

/// The terminal without line editing and signals; as it was again when this is dropped.
pub(crate) struct Raw(Termios);

impl Raw {
    pub(crate) fn enter() -> Option<Raw> {
        let before = tcgetattr(stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Flush, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.0);
    }
}
