//! How the program ends: stable exit codes (their table is in `help.txt`), and the one place that prints an error.

use sh0::console::exit_code;
use sh0::{Error, text};

/// What `check` found is as grave as `--fail-on`.
pub(crate) const FOUND: u8 = 9;
/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// Prints an error on standard error, in words for a person or as the problem object for a program, and answers the
/// exit code.
pub(crate) fn failed(error: &Error, json: bool) -> u8 {
    eprintln!("{}", text::error(error, json));
    exit_code(error.code())
}

#[cfg(test)]
mod tests {
    use sh0::Code;

    use super::*;

    #[test]
    fn every_exit_code_is_in_the_help() {
        let help = include_str!("help.txt");
        for code in Code::ALL {
            let exit = exit_code(*code);
            assert!(help.contains(&format!("  {exit}  ")), "{code:?} ends with {exit}");
        }
        let expected =
            [(Code::Invalid, 2), (Code::Cancelled, 3), (Code::Forbidden, 4), (Code::NotFound, 5), (Code::Locked, 6)];
        for (code, exit) in
            expected.into_iter().chain([(Code::DeployFailed, 7), (Code::Timeout, 8), (Code::Internal, 1)])
        {
            assert_eq!(exit_code(code), exit, "{code:?}");
        }
    }
}
