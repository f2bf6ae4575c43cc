//! One error for the whole platform, and the problem object that it becomes on the wire.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ParseError;

/// The result of everything that can fail in sh0.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is. Stable: programs branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// The input does not describe something that can be done; `errors` names the fields.
    Invalid,
    /// No credentials, or credentials that are not known.
    Unauthorized,
    /// Known, but not allowed.
    Forbidden,
    /// The thing that was named does not exist.
    NotFound,
    /// It collides with something that exists, or with a change made meanwhile.
    Conflict,
    /// The app is locked against deployments.
    Locked,
    /// The request is larger than the limit.
    TooLarge,
    /// Too many requests at once.
    RateLimited,
    /// This backend cannot do it; the text says why and what can.
    Unsupported,
    /// A part that is needed does not answer at the moment; trying again makes sense.
    Unavailable,
    /// It took longer than allowed.
    Timeout,
    /// A disk is full.
    NoSpace,
    /// Somebody cancelled it.
    Cancelled,
    /// The build of an app failed.
    BuildFailed,
    /// The app did not start, or did not become healthy.
    DeployFailed,
    /// A fault of sh0 itself.
    Internal,
}

impl Code {
    /// Every code, for documentation and tests.
    pub const ALL: &'static [Code] = &[
        Code::Invalid,
        Code::Unauthorized,
        Code::Forbidden,
        Code::NotFound,
        Code::Conflict,
        Code::Locked,
        Code::TooLarge,
        Code::RateLimited,
        Code::Unsupported,
        Code::Unavailable,
        Code::Timeout,
        Code::NoSpace,
        Code::Cancelled,
        Code::BuildFailed,
        Code::DeployFailed,
        Code::Internal,
    ];

    /// The HTTP status (RFC 9110 section 15, RFC 4918 section 11.5 for 507) that carries it.
    pub fn status(self) -> u16 {
        match self {
            Code::Invalid | Code::BuildFailed | Code::DeployFailed => 422,
            Code::Unauthorized => 401,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::Conflict | Code::Cancelled => 409,
            Code::Locked => 423,
            Code::TooLarge => 413,
            Code::RateLimited => 429,
            Code::Unsupported => 501,
            Code::Unavailable => 503,
            Code::Timeout => 504,
            Code::NoSpace => 507,
            Code::Internal => 500,
        }
    }

    /// A short sentence that is the same for every error of this code.
    pub fn title(self) -> &'static str {
        match self {
            Code::Invalid => "The input is not valid",
            Code::Unauthorized => "Credentials are needed",
            Code::Forbidden => "Not allowed",
            Code::NotFound => "Not found",
            Code::Conflict => "It conflicts with the present state",
            Code::Locked => "The app is locked",
            Code::TooLarge => "Too large",
            Code::RateLimited => "Too many requests",
            Code::Unsupported => "Not supported by this backend",
            Code::Unavailable => "Not available at the moment",
            Code::Timeout => "It took too long",
            Code::NoSpace => "No space left",
            Code::Cancelled => "Cancelled",
            Code::BuildFailed => "The build failed",
            Code::DeployFailed => "The deployment failed",
            Code::Internal => "Internal error",
        }
    }
}

/// One field of the input that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// The path of the field, such as `settings.health.path`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// A failure: what kind, what happened, what to do, and where it came from.
pub struct Error {
    code: Code,
    detail: String,
    fields: Vec<FieldError>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// The request that failed, where a server said so.
    request_id: Option<Box<str>>,
}

impl Error {
    /// A failure of `code`; `detail` says what happened and what to do next.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Error { code, detail: detail.into(), fields: Vec::new(), source: None, request_id: None }
    }

    /// Input that is wrong in one field.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        let field = FieldError { field: field.into(), reason: reason.into(), hint: hint.into() };
        Error { fields: vec![field.clone()], ..Error::new(Code::Invalid, format!("{}: {}", field.field, field.reason)) }
    }

    /// The named thing does not exist.
    pub fn not_found(what: &str, name: impl fmt::Display) -> Self {
        Error::new(Code::NotFound, format!("there is no {what} `{name}`"))
    }

    /// It collides with what exists.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Error::new(Code::Conflict, detail)
    }

    /// A part does not answer now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Error::new(Code::Unavailable, detail)
    }

    /// A fault of sh0 itself.
    pub fn internal(detail: impl Into<String>) -> Self {
        Error::new(Code::Internal, detail)
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts words in front of the detail: what was being done.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.detail = format!("{doing}: {}", self.detail);
        self
    }

    /// What kind of failure it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened and what to do next.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The fields of the input that are wrong.
    pub fn fields(&self) -> &[FieldError] {
        &self.fields
    }

    /// Whether the same call may succeed later without a change of input.
    pub fn is_transient(&self) -> bool {
        matches!(self.code, Code::Unavailable | Code::Timeout | Code::RateLimited)
    }

    /// The object that goes over the wire. An empty `request_id` leaves the one with which a server has answered.
    pub fn problem(&self, request_id: impl Into<String>) -> Problem {
        let given = request_id.into();
        let request_id = if given.is_empty() { self.request_id.as_deref().unwrap_or_default().into() } else { given };
        Problem {
            code: self.code,
            title: self.code.title().to_owned(),
            status: self.code.status(),
            detail: self.detail.clone(),
            errors: self.fields.clone(),
            request_id,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.detail)?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, "\n  caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Error::invalid(error.what(), error.reason(), error.hint())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let code = match error.kind() {
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Code::NoSpace,
            ErrorKind::TimedOut => Code::Timeout,
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Code::Unavailable,
            _ => Code::Internal,
        };
        Error::new(code, error.to_string()).with_source(error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Error::internal(format!("a stored or received document does not have the expected shape: {error}"))
            .with_source(error)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let request_id = Some(problem.request_id).filter(|id| !id.is_empty()).map(Into::into);
        Error { fields: problem.errors, request_id, ..Error::new(problem.code, problem.detail) }
    }
}

/// RFC 9457 problem details with the members that sh0 adds: what every interface answers on failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// The stable code.
    pub code: Code,
    /// The same short sentence for every error of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do next.
    pub detail: String,
    /// The fields of the input that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Names the request in the server's log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_a_server_is_told_as_it_came() {
        let problem = Error::invalid("scale.web", "is 200", "use 0 to 100").problem("01m7");
        assert_eq!(Error::from(problem.clone()).problem(""), problem);
        assert_eq!(Error::from(problem).problem("01m8").request_id, "01m8");
        assert_eq!(Error::conflict("taken").problem("").request_id, "");
    }
}
