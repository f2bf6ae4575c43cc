//! From a file to a response.

use std::convert::Infallible;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use futures_util::stream;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};

use super::request::{Found, Want};

/// A file is never wholly in memory.
pub(super) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

/// Bytes that are read at once.
const CHUNK: u64 = 64 * 1024;

pub(super) async fn file(found: Found, want: Want, head: bool) -> Response<Body> {
    let mut response = Response::new(empty());
    let headers = response.headers_mut();
    set(headers, header::ETAG, &found.tag);
    set(headers, header::LAST_MODIFIED, &found.modified);
    // Browsers ask again each time, and get 304: a new release is seen at once.
    set(headers, header::CACHE_CONTROL, "public, max-age=0, must-revalidate");
    if found.varies {
        set(headers, header::VARY, "accept-encoding");
    }
    let (from, count) = match want {
        Want::NotModified => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        Want::NoSuchPart => {
            set(headers, header::CONTENT_RANGE, &format!("bytes */{}", found.length));
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return response;
        }
        Want::All => (0, found.length),
        Want::Part(from, count) => {
            set(headers, header::CONTENT_RANGE, &format!("bytes {from}-{}/{}", from + count - 1, found.length));
            (from, count)
        }
    };
    set(headers, header::CONTENT_TYPE, found.kind);
    set(headers, header::CONTENT_LENGTH, &count.to_string());
    set(headers, header::ACCEPT_RANGES, "bytes");
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Some(encoding) = found.encoding {
        set(headers, header::CONTENT_ENCODING, encoding);
    }
    if matches!(want, Want::Part(..)) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if !head {
        *response.body_mut() = content(found, from, count).await;
    }
    response
}

pub(super) async fn missing(page: Option<Found>, head: bool) -> Response<Body> {
    let mut response = match page {
        Some(page) => file(page, Want::All, head).await,
        None => text("There is nothing here.\n", head),
    };
    *response.status_mut() = StatusCode::NOT_FOUND;
    response.headers_mut().remove(header::ETAG);
    response.headers_mut().remove(header::LAST_MODIFIED);
    response.headers_mut().remove(header::ACCEPT_RANGES);
    response
}

pub(super) fn redirect(to: &str) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    set(response.headers_mut(), header::LOCATION, to);
    response
}

pub(super) fn method_not_allowed() -> Response<Body> {
    let mut response = text("Only GET and HEAD are answered.\n", false);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    set(response.headers_mut(), header::ALLOW, "GET, HEAD");
    response
}

fn text(text: &'static str, head: bool) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(never).boxed_unsync();
    let mut response = Response::new(if head { empty() } else { body });
    set(response.headers_mut(), header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(response.headers_mut(), header::CONTENT_LENGTH, &text.len().to_string());
    response
}

fn set(headers: &mut http::HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn never(never: Infallible) -> std::io::Error {
    match never {}
}

fn empty() -> Body {
    Empty::new().map_err(never).boxed_unsync()
}

async fn content(found: Found, from: u64, count: u64) -> Body {
    let file = found.file;
    if count <= CHUNK {
        return match read(file, Some(from), count).await {
            Ok((bytes, _)) => Full::new(bytes).map_err(never).boxed_unsync(),
            Err(error) => StreamBody::new(stream::iter([Err(error)])).boxed_unsync(),
        };
    }
    let chunks = stream::try_unfold((file, Some(from), count), |(file, seek, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let (bytes, file) = read(file, seek, left.min(CHUNK)).await?;
        let left = left - bytes.len() as u64;
        Ok(Some((Frame::data(bytes), (file, None, left))))
    });
    StreamBody::new(chunks).boxed_unsync()
}

/// Exactly so many bytes: a file that became shorter meanwhile cuts the answer off, where a wrong length would lie.
async fn read(mut file: std::fs::File, seek: Option<u64>, count: u64) -> std::io::Result<(Bytes, std::fs::File)> {
    let reading = tokio::task::spawn_blocking(move || {
        if let Some(from) = seek {
            file.seek(SeekFrom::Start(from))?;
        }
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        file.read_exact(&mut bytes)?;
        Ok((Bytes::from(bytes), file))
    });
    reading.await.map_err(std::io::Error::other)?
}

/// By the end of the name (the registry is IANA's media types).
pub(super) fn content_type(path: &Path) -> &'static str {
    let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
    match end.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "xml" => "text/xml; charset=utf-8",
        "atom" => "application/atom+xml",
        "rss" => "application/rss+xml",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "bmp" => "image/bmp",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "mp3" => "audio/mpeg",
        "ogg" | "oga" => "audio/ogg",
        "wav" => "audio/wav",
        "flac" => "audio/flac",
        "mp4" | "m4v" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "tar" => "application/x-tar",
        _ => "application/octet-stream",
    }
}
