//! How the program ends: stable exit codes, and the one place that prints an error.

use sh0::{Code, Error};

/// The table of exit codes, as the help prints it.
pub(crate) const HELP: &str = "\
Exit codes:
    0  it worked
    1  it failed
    2  the command line or the input is wrong
    3  somebody declined or cancelled
    4  credentials are needed, or not enough
    5  something that was named does not exist
    6  it conflicts with the present state
    7  a deployment failed
    8  it took too long
  130  Ctrl-C
  `run` and `exec` end with the exit code of their command.

Environment:
  SH0_APP     the app, where -a is left out
  SH0_DATA    the folder of data, where --data is left out
  SH0_URL     a server elsewhere, instead of the one on this machine
  SH0_TOKEN   the token for it (`sh0 tokens create`)
  SH0_LOG     what `serve` logs: error, warn, info (default), debug, trace
  NO_COLOR    no colours";

/// Somebody said no.
pub(crate) const DECLINED: u8 = 3;
/// A deployment failed.
pub(crate) const DEPLOY_FAILED: u8 = 7;
/// Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error, and the code that the program ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) exit: u8,
}

/// What a verb answers: the exit code.
pub(crate) type Outcome<T = u8> = Result<T, Failure>;

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        Failure { exit: exit_code(error.code()), error }
    }
}

impl Failure {
    pub(crate) fn declined(detail: impl Into<String>) -> Self {
        Failure { error: Error::new(Code::Cancelled, detail), exit: DECLINED }
    }

    /// On standard error: words for a person, the problem object for a program.
    pub(crate) fn print(&self, json: bool) {
        if json {
            eprintln!("{}", serde_json::to_string(&self.error.problem("")).unwrap_or_default());
            return;
        }
        eprintln!("error: {}", self.error.detail());
        for field in self.error.fields().iter().filter(|field| !field.hint.is_empty()) {
            eprintln!("hint: {}: {}", field.field, field.hint);
        }
        let mut cause = std::error::Error::source(&self.error);
        while let Some(error) = cause {
            if !self.error.detail().contains(&error.to_string()) {
                eprintln!("cause: {error}");
            }
            cause = error.source();
        }
    }
}

/// The exit code of an error code.
pub(crate) fn exit_code(code: Code) -> u8 {
    match code {
        Code::Invalid | Code::TooLarge => 2,
        Code::Cancelled => DECLINED,
        Code::Unauthorized | Code::Forbidden => 4,
        Code::NotFound => 5,
        Code::Conflict | Code::Locked => 6,
        Code::BuildFailed | Code::DeployFailed => DEPLOY_FAILED,
        Code::Timeout => 8,
        _ => 1,
    }
}
