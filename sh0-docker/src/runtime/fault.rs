//! The engine's errors in sh0's words.

use sh0_core::{Code, Error};

use crate::client;

/// The same failure with a code of sh0, what to do, and its source.
pub(super) fn told(error: client::Error) -> Error {
    let code = match &error {
        client::Error::NotFound { .. } => Code::NotFound,
        client::Error::Conflict { .. } => Code::Conflict,
        client::Error::BadRequest { .. } | client::Error::InvalidInput { .. } => Code::Invalid,
        client::Error::Unauthorized { .. } => Code::Forbidden,
        client::Error::NoSpace { .. } => Code::NoSpace,
        client::Error::Unavailable { .. } | client::Error::Broken { .. } => Code::Unavailable,
        client::Error::Timeout { .. } => Code::Timeout,
        client::Error::UnsupportedVersion { .. } => Code::Unsupported,
        client::Error::Stream { .. } => Code::BuildFailed,
        _ => Code::Internal,
    };
    Error::new(code, format!("Docker: {error}")).with_source(error)
}

/// Words of an engine that could not reach a registry (Go's net errors, and the registry's own refusals).
const UNREACHABLE: [&str; 9] = [
    "dial tcp",
    "no such host",
    "i/o timeout",
    "connection refused",
    "TLS handshake",
    "context deadline exceeded",
    "request canceled while waiting",
    "server misbehaving",
    "net/http",
];

/// An image that is not on the engine and cannot be brought there: says which, and the ways out.
pub(super) fn no_image(image: &str, error: client::Error) -> Error {
    let text = error.to_string();
    let why = match UNREACHABLE.iter().any(|words| text.contains(words)) {
        true => "its registry cannot be reached",
        false => "it could not be pulled",
    };
    let help = "name a registry that mirrors it with `--image-mirror HOST`, load it into the engine with `docker load`, \
                or run the app without Docker: `--runtime process`";
    Error::new(Code::BuildFailed, format!("the image {image} is not here and {why}: {help}. The engine said: {text}"))
        .with_source(error)
}
