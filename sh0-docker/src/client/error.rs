//! What can go wrong, in words a caller can act on.

use std::{io, path::Path, time::Duration};

use super::{frames::FrameError, ndjson::NdjsonError};

/// The result of a call to the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Longest message taken over from the engine, in bytes: an error page is not a message.
const MAX_MESSAGE: usize = 4096;

/// An error of the Docker client.
///
/// The engine's own text is kept in `message`. "Not modified" (304) is not an error: such calls return
/// [`Change::AlreadySo`](super::Change::AlreadySo).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The container, image, network, volume, exec or path does not exist (HTTP 404).
    #[error("not found: {message}")]
    NotFound {
        /// The engine's text.
        message: String,
    },
    /// The name is taken, or the object is in a state that does not allow the call (HTTP 409).
    #[error("conflict: {message}")]
    Conflict {
        /// The engine's text.
        message: String,
    },
    /// The engine does not accept the request (HTTP 400).
    #[error("the engine refused the request: {message}")]
    BadRequest {
        /// The engine's text.
        message: String,
    },
    /// The registry or the engine wants other credentials (HTTP 401, 403, or a registry's words in a 500).
    #[error("not allowed: {message}")]
    Unauthorized {
        /// The engine's text.
        message: String,
    },
    /// The engine's disk is full.
    #[error("no space left on the engine's disk, remove unused images and volumes: {message}")]
    NoSpace {
        /// The engine's text.
        message: String,
    },
    /// Any other refusal.
    #[error("the engine failed with status {status}: {message}")]
    Server {
        /// HTTP status code.
        status: u16,
        /// The engine's text.
        message: String,
    },
    /// The engine cannot be reached; `message` says what to do about it.
    #[error("{message}")]
    Unavailable {
        /// What to do.
        message: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The engine did not answer in time.
    #[error("no answer from the engine to {call} within {after:?}")]
    Timeout {
        /// Method and path, without the query (which may hold build arguments).
        call: String,
        /// How long was waited.
        after: Duration,
    },
    /// The engine and this client share no API version.
    #[error("{message}")]
    UnsupportedVersion {
        /// Which versions each side speaks.
        message: String,
    },
    /// The engine's answer is not what the API promises.
    #[error("unexpected answer from the engine: {0}")]
    Protocol(#[from] ProtocolError),
    /// A build, pull or load failed although its HTTP status was 200.
    #[error("{operation} failed: {message}")]
    Stream {
        /// `build`, `pull`, `load`, ...
        operation: &'static str,
        /// The engine's text.
        message: String,
        /// `errorDetail.code`: for a build the exit code of the failed command.
        code: Option<i64>,
    },
    /// The engine ended a wait without knowing the exit code.
    #[error("the exit code is lost: {message}")]
    ExitUnknown {
        /// The engine's text.
        message: String,
    },
    /// An argument was refused before anything was sent.
    #[error("invalid {what}: {reason}")]
    InvalidInput {
        /// Which argument.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The stream given for upload failed.
    #[error("reading the data to upload failed: {source}")]
    Upload {
        /// What the caller's stream said.
        source: io::Error,
    },
    /// The connection broke while it was in use.
    #[error("the connection to the engine broke: {source}")]
    Broken {
        /// What the operating system said.
        source: io::Error,
    },
}

/// The ways in which an answer can break the protocol.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// HTTP itself failed.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The multiplexed output stream is damaged or cut.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// A stream of JSON values is damaged or cut.
    #[error("{0}")]
    Ndjson(#[from] NdjsonError),
    /// A JSON value has another shape than expected.
    #[error("{what}: {source}")]
    Json {
        /// What was being read.
        what: &'static str,
        /// Where it failed.
        source: serde_json::Error,
    },
    /// A body is longer than this client is willing to hold.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer to an upgrade request, or a header, makes no sense.
    #[error("{0}")]
    Head(String),
}

impl Error {
    /// A stable word for this kind of error, for logs and for callers in other languages.
    ///
    /// ```
    /// let error = sh0_docker::Error::NotFound { message: "No such container: web".into() };
    /// assert_eq!(error.code(), "docker.not_found");
    /// ```
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "docker.not_found",
            Self::Conflict { .. } => "docker.conflict",
            Self::BadRequest { .. } => "docker.bad_request",
            Self::Unauthorized { .. } => "docker.unauthorized",
            Self::NoSpace { .. } => "docker.no_space",
            Self::Server { .. } => "docker.server",
            Self::Unavailable { .. } => "docker.unavailable",
            Self::Timeout { .. } => "docker.timeout",
            Self::UnsupportedVersion { .. } => "docker.unsupported_version",
            Self::Protocol(_) => "docker.protocol",
            Self::Stream { .. } => "docker.stream",
            Self::ExitUnknown { .. } => "docker.exit_unknown",
            Self::InvalidInput { .. } => "docker.invalid_input",
            Self::Upload { .. } => "docker.upload",
            Self::Broken { .. } => "docker.broken",
        }
    }

    /// Whether the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the name or the object's state stands in the way.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether the engine could not be reached or did not answer, so that trying later may help.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::Protocol(ProtocolError::Http(error)) => {
                error.is_incomplete_message() || error.is_canceled() || error.is_closed()
            }
            _ => false,
        }
    }

    /// Whether a host port is taken. The engine tells it only at start, in the text of a 500.
    #[must_use]
    pub fn is_port_taken(&self) -> bool {
        let (Self::Server { message, .. } | Self::Conflict { message } | Self::BadRequest { message }) = self else {
            return false;
        };
        message.contains("port is already allocated") || message.contains("address already in use")
    }

    /// The error for an HTTP status, with the text of the body.
    pub(crate) fn from_status(status: u16, body: &[u8]) -> Self {
        let message = message_of(status, body);
        match status {
            400 if is_version_complaint(&message) => Self::UnsupportedVersion { message },
            400 => Self::BadRequest { message },
            401 | 403 => Self::Unauthorized { message },
            404 => Self::NotFound { message },
            409 => Self::Conflict { message },
            _ if is_no_space(&message) => Self::NoSpace { message },
            _ if is_auth_complaint(&message) => Self::Unauthorized { message },
            _ => Self::Server { status, message },
        }
    }

    /// The error for a failure reported inside a stream whose status was 200.
    pub(crate) fn from_stream(operation: &'static str, message: String, code: Option<i64>) -> Self {
        if is_no_space(&message) {
            Self::NoSpace { message }
        } else if code.is_none() && is_auth_complaint(&message) {
            Self::Unauthorized { message }
        } else {
            Self::Stream { operation, message, code }
        }
    }

    pub(crate) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| ProtocolError::Json { what, source }.into()
    }

    pub(crate) fn head(text: impl Into<String>) -> Self {
        ProtocolError::Head(text.into()).into()
    }

    /// The error for a socket that could not be opened, with advice.
    pub(crate) fn unavailable(path: &Path, source: io::Error) -> Self {
        let path = path.display();
        let message = match source.kind() {
            io::ErrorKind::NotFound => {
                format!("no Docker engine: the socket {path} does not exist; install Docker and start its service")
            }
            io::ErrorKind::PermissionDenied => format!(
                "this user may not use the Docker socket {path}; add the user to the group that owns it, or run as root"
            ),
            io::ErrorKind::ConnectionRefused => {
                format!("nothing listens on the Docker socket {path}; start the Docker service")
            }
            _ => format!("the Docker socket {path} cannot be opened: {source}"),
        };
        Self::Unavailable { message, source }
    }
}

/// Hyper wraps the failure of a request body; callers want their own error back.
impl From<hyper::Error> for Error {
    fn from(error: hyper::Error) -> Self {
        if error.is_user() {
            let text = std::error::Error::source(&error).map(ToString::to_string);
            return Self::Upload { source: io::Error::other(text.unwrap_or_else(|| error.to_string())) };
        }
        ProtocolError::Http(error).into()
    }
}

impl From<FrameError> for Error {
    fn from(error: FrameError) -> Self {
        ProtocolError::Frame(error).into()
    }
}

impl From<NdjsonError> for Error {
    fn from(error: NdjsonError) -> Self {
        ProtocolError::Ndjson(error).into()
    }
}

/// Errors are `{"message": ".."}` (API section "Errors"), but proxies, old versions and wrong paths answer plain text.
fn message_of(status: u16, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Body {
        message: String,
    }
    let mut message = match serde_json::from_slice::<Body>(body) {
        Ok(body) => body.message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
    }
    let message = message.trim();
    if message.is_empty() {
        let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        return reason.unwrap_or("no message").to_owned();
    }
    message.to_owned()
}

fn is_no_space(message: &str) -> bool {
    message.contains("no space left on device")
}

fn is_version_complaint(message: &str) -> bool {
    message.contains("client version") && (message.contains("is too old") || message.contains("is too new"))
}

/// The engine passes a registry's refusal on as a 500 or inside a stream.
fn is_auth_complaint(message: &str) -> bool {
    ["no basic auth credentials", "unauthorized:", "incorrect username or password", "requested access to the resource"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_json_bodies_both_become_messages() {
        let json = Error::from_status(404, br#"{"message":"No such container: x"}"#);
        assert_eq!(json.to_string(), "not found: No such container: x");
        let text = Error::from_status(500, b"  plain words\n");
        assert_eq!(text.to_string(), "the engine failed with status 500: plain words");
        let empty = Error::from_status(503, b"");
        assert_eq!(empty.to_string(), "the engine failed with status 503: Service Unavailable");
        let podman = Error::from_status(409, br#"{"cause":"x","message":"in use","response":409}"#);
        assert!(podman.is_conflict());
    }

    #[test]
    fn a_long_page_is_cut_at_a_character() {
        let body = "é".repeat(MAX_MESSAGE);
        let Error::Server { message, .. } = Error::from_status(502, body.as_bytes()) else {
            panic!("not a server error")
        };
        assert!(message.len() <= MAX_MESSAGE);
    }

    #[test]
    fn words_in_a_500_tell_the_kind() {
        let full = Error::from_status(500, br#"{"message":"write /x: no space left on device"}"#);
        assert_eq!(full.code(), "docker.no_space");
        let auth = Error::from_status(500, br#"{"message":"Head \"..\": no basic auth credentials"}"#);
        assert_eq!(auth.code(), "docker.unauthorized");
        let port = Error::from_status(500, br#"{"message":"Bind for 0.0.0.0:80 failed: port is already allocated"}"#);
        assert!(port.is_port_taken());
        let version = Error::from_status(400, br#"{"message":"client version 1.99 is too new. Maximum 1.41"}"#);
        assert_eq!(version.code(), "docker.unsupported_version");
    }
}
