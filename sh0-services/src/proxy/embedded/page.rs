//! Pages that the proxy itself answers with: short, plain, and about what to do.

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode, Version, request};
use http_body_util::Full;

use super::body::Reply;

/// A page with a status, a title and one sentence; HTML for those who ask for it, text for everybody else.
pub(super) fn page(asked: &Asked, status: StatusCode, title: &str, text: &str) -> Response<Reply> {
    let (kind, body) = match asked.html {
        true => ("text/html; charset=utf-8", html(status, title, text)),
        false => ("text/plain; charset=utf-8", format!("{} {title}\n{text}\n", status.as_u16())),
    };
    let mut response = Response::new(Reply::Page(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A refusal of a request that is not sound: nothing that follows on its connection can be trusted.
pub(super) fn refusal(asked: &Asked, status: StatusCode, text: &str) -> Response<Reply> {
    let mut response = page(asked, status, status.canonical_reason().unwrap_or("Refused"), text);
    if asked.version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110 section 15.5.6 wants one.
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    response
}

/// What of a request a page depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    html: bool,
    version: Version,
}

impl Asked {
    pub(super) fn of(parts: &request::Parts) -> Asked {
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Asked { html: accept.contains("text/html"), version: parts.version }
    }
}

fn html(status: StatusCode, title: &str, text: &str) -> String {
    let (status, title, text) = (status.as_u16(), escape(title), escape(text));
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{status} {title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:20vh auto;\
         padding:0 1em}}small{{color:#888}}</style><h1>{title}</h1><p>{text}</p><small>{status}</small></html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
