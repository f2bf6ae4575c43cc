//! Where a server is.

use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::Uri;
use sh0_core::{Code, Error, Result};

/// Where a server is: `http://host:port`, `https://host[:port]`, or `unix:///path/of/the/socket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Scheme, host and port, and perhaps a path in front of `/api`, without a `/` at its end.
    Http(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Target {
    /// The socket at `path`.
    pub fn unix(path: impl AsRef<Path>) -> Target {
        Target::Unix(path.as_ref().to_owned())
    }

    /// What stands in front of every path of a request.
    pub(crate) fn base(&self) -> &str {
        match self {
            Target::Http(base) => base,
            Target::Unix(_) => "http://localhost",
        }
    }

    /// Says in plain words why no answer came.
    pub(crate) fn unreachable(&self, error: hyper_util::client::legacy::Error) -> Error {
        use std::io::ErrorKind;
        let connecting = error.is_connect();
        let mut cause = error.source();
        let mut io = None;
        while let Some(inner) = cause {
            io = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(io);
            cause = inner.source();
        }
        let (code, detail) = match io {
            Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused) if connecting => {
                (Code::Unavailable, format!("no sh0 server answers at {self}: start one with `sh0 serve`"))
            }
            Some(ErrorKind::PermissionDenied) if connecting => {
                (Code::Forbidden, format!("{self} belongs to another user: ask as that user, or over TCP with a token"))
            }
            Some(ErrorKind::TimedOut) if connecting => {
                (Code::Unavailable, format!("{self} does not answer: check the address, the network and the firewall"))
            }
            _ if connecting => (Code::Unavailable, format!("no connection to {self}: {}", innermost(&error))),
            _ => (Code::Unavailable, format!("the connection to {self} broke: {}", innermost(&error))),
        };
        Error::new(code, detail).with_source(error)
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let hint = "use http://host:port, https://host or unix:///path/of/the/socket";
        let wrong = |reason: String| Error::invalid("url", reason, hint);
        if let Some(path) = text.strip_prefix("unix://") {
            return match path.starts_with('/') {
                true => Ok(Target::unix(path)),
                false => Err(wrong(format!("`{text}` does not name an absolute path"))),
            };
        }
        let uri: Uri = text.parse().map_err(|error| wrong(format!("`{text}` is not a URL: {error}")))?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong(format!("`{text}` is not a URL of a server")));
        };
        if authority.as_str().contains('@') {
            return Err(wrong("has a user or password in it".into()));
        }
        if uri.query().is_some() {
            return Err(wrong(format!("`{text}` has a query")));
        }
        Ok(Target::Http(format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'))))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Http(base) => f.write_str(base),
            Target::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parses_and_names_what_is_wrong() {
        for text in ["http://127.0.0.1:9000", "https://sh0.example.com", "http://[::1]:1/base", "unix:///run/a b.sock"]
        {
            assert_eq!(text.parse::<Target>().map(|target| target.to_string()).ok().as_deref(), Some(text));
        }
        assert_eq!("http://h/".parse::<Target>().ok(), Some(Target::Http("http://h".into())));
        for text in ["", "h", "h:1", "/run/x", "ftp://h", "unix://relative", "http://u:p@h", "http://h/?q=1", "http://"]
        {
            let error = text.parse::<Target>().expect_err(text);
            assert_eq!((error.code(), error.fields()[0].field.as_str()), (Code::Invalid, "url"), "{text}");
        }
    }
}
