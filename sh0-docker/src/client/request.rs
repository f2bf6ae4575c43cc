//! One call to the API, before it has a connection and a version.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use serde::Serialize;

use super::error::{Error, Result};

/// How long an engine may take until it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Answers from memory.
    Quick,
    /// Works first (start, stop, create, remove); takes this long on top of its own limit.
    Slow(Duration),
}

/// A request with a path as the API reference has it, without `/v1.xx`.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
    pub(crate) pace: Pace,
    /// On a connection of its own.
    pub(crate) fresh: bool,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            pace: Pace::Quick,
            fresh: false,
        }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Adds `name=value`, escaped.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(name);
        self.query.push('=');
        escape(value, &mut self.query);
        self
    }

    pub(crate) fn query_some(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.query(name, value.as_ref()),
            None => self,
        }
    }

    /// Adds `name=1` when set; the engine's default is always "no".
    pub(crate) fn flag(self, name: &str, on: bool) -> Self {
        if on { self.query(name, "1") } else { self }
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self> {
        self.body = serde_json::to_vec(body).map_err(Error::json("request body"))?.into();
        self.headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
        Ok(self)
    }

    pub(crate) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// For calls that make the engine work before it answers.
    pub(crate) fn slow(self) -> Self {
        self.slow_by(Duration::ZERO)
    }

    pub(crate) fn slow_by(mut self, extra: Duration) -> Self {
        self.pace = Pace::Slow(extra);
        self
    }

    /// For what an engine that is shutting down must not do. It takes no new connections then, but goes on to serve those
    /// that it has.
    pub(crate) fn fresh(mut self) -> Self {
        self.fresh = true;
        self
    }

    /// Whether the call may be sent again when its first answer was lost.
    pub(crate) fn is_idempotent(&self) -> bool {
        [Method::GET, Method::HEAD, Method::DELETE].contains(&self.method)
    }

    /// For errors and traces: never the query, it may hold build arguments.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// One path segment: the id or name of a container, exec, network or volume.
///
/// An empty segment would change the meaning of the path (the engine cleans `//` and `..` before it routes), so it is
/// refused here.
pub(crate) fn segment(what: &'static str, id: &str) -> Result<String> {
    let reason = match id {
        "" => "it is empty",
        "." | ".." => "it is a relative path",
        _ if id.bytes().any(|byte| byte == b'/' || byte.is_ascii_control()) => "it has a slash or a control character",
        _ => {
            let mut out = String::with_capacity(id.len());
            escape(id, &mut out);
            return Ok(out);
        }
    };
    Err(Error::InvalidInput { what, reason: reason.to_owned() })
}

/// An image name in a path: slashes stay, each part is checked like a [`segment`].
pub(crate) fn image_path(name: &str) -> Result<String> {
    let parts: Result<Vec<String>> = name.split('/').map(|part| segment("image name", part)).collect();
    Ok(parts?.join("/"))
}

/// Percent-encodes all but unreserved characters (RFC 3986, section 2.3).
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_segment_cannot_leave_its_place() {
        for id in ["", ".", "..", "a/b", "../images", "a\0", "a\r\nHost: x"] {
            assert!(segment("container", id).is_err(), "{id:?}");
        }
        assert_eq!(segment("container", "a?b#c d%2F").unwrap(), "a%3Fb%23c%20d%252F");
        assert_eq!(segment("container", "web_1.two-3").unwrap(), "web_1.two-3");
    }

    #[test]
    fn an_image_name_keeps_its_slashes_only() {
        assert_eq!(image_path("localhost:5000/a/b:1").unwrap(), "localhost%3A5000/a/b%3A1");
        for name in ["", "a//b", "/a", "a/", "a/../b", "../a"] {
            assert!(image_path(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn queries_are_escaped_and_kept_out_of_names() {
        let call = Call::post("/build").query("t", "a b&c=d").flag("rm", true).flag("nocache", false);
        assert_eq!(call.query, "t=a%20b%26c%3Dd&rm=1");
        assert_eq!(call.name(), "POST /build");
    }
}
