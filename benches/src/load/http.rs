//! Requests that end by themselves.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{Kind, LIMIT, Record, Shared, who};
use crate::Outcome;

/// After a failure, before the next request: a client that hammers would hide how long it lasted.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

const PIECES: u32 = 40;
const PIECE: usize = 50 * 1024;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One connection, as long as the server lets us have it.
pub(super) async fn kept(shared: &Shared) {
    while !shared.stop.is_cancelled() {
        let began = shared.now();
        let mut sender = match connect(shared).await {
            Ok(sender) => sender,
            Err(error) => {
                failed(shared, Kind::KeepAlive, began, error.to_string()).await;
                continue;
            }
        };
        while !shared.stop.is_cancelled() {
            // Closed with nothing under way: the server may, at any time.
            if sender.ready().await.is_err() {
                shared.idle_closes.fetch_add(1, Relaxed);
                break;
            }
            let began = shared.now();
            let answer = limited(async { told(sender.send_request(request(shared, "/")).await?).await }).await;
            if !note(shared, Kind::KeepAlive, began, answer) {
                shared.pause(AFTER_FAILURE).await;
                break;
            }
            shared.pause(shared.shape.pause).await;
        }
    }
}

/// The same over HTTP/2.
pub(super) async fn kept_http2(shared: &Shared) {
    while !shared.stop.is_cancelled() {
        let began = shared.now();
        let mut sender = match connect_http2(shared).await {
            Ok(sender) => sender,
            Err(error) => {
                failed(shared, Kind::Http2, began, error.to_string()).await;
                continue;
            }
        };
        while !shared.stop.is_cancelled() {
            if sender.ready().await.is_err() {
                shared.idle_closes.fetch_add(1, Relaxed);
                break;
            }
            let began = shared.now();
            let mut asked = request(shared, "/");
            if let Ok(uri) = format!("http://{}/", shared.addr).parse() {
                *asked.uri_mut() = uri;
            }
            asked.headers_mut().remove(http::header::HOST);
            let answer = limited(async { told(sender.send_request(asked).await?).await }).await;
            if !note(shared, Kind::Http2, began, answer) {
                shared.pause(AFTER_FAILURE).await;
                break;
            }
            shared.pause(shared.shape.pause).await;
        }
    }
}

/// A connection for every request.
pub(super) async fn anew(shared: &Shared, kind: Kind) {
    while !shared.stop.is_cancelled() {
        let began = shared.now();
        let answer = limited(async {
            let mut sender = connect(shared).await?;
            let asked = match kind {
                Kind::Slow => request(shared, &format!("/slow?ms={}", shared.shape.slow_for.as_millis())),
                Kind::Upload => upload(shared),
                _ => request(shared, "/"),
            };
            let answer = told(sender.send_request(asked).await?).await?;
            let whole = format!("bytes={}", PIECE * PIECES as usize);
            if kind == Kind::Upload && !answer.text.split_whitespace().any(|word| word == whole) {
                return Err(format!("the upload did not arrive whole: {}", answer.text.trim()).into());
            }
            Ok(answer)
        })
        .await;
        let pause = match note(shared, kind, began, answer) {
            true => shared.shape.pause,
            false => AFTER_FAILURE,
        };
        shared.pause(pause).await;
    }
}

/// An answer that is as it should be.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) release: Option<Arc<str>>,
    pub(super) label: Option<Arc<str>>,
}

async fn limited<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}").into()))
}

async fn connect(shared: &Shared) -> Outcome<http1::SendRequest<Body>> {
    let stream = tokio::time::timeout(LIMIT, TcpStream::connect(shared.addr)).await??;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn connect_http2(shared: &Shared) -> Outcome<http2::SendRequest<Body>> {
    let stream = tokio::time::timeout(LIMIT, TcpStream::connect(shared.addr)).await??;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn request(shared: &Shared, path: &str) -> Request<Body> {
    let mut request = Request::new(Empty::new().boxed_unsync());
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    if let Ok(host) = shared.addr.to_string().parse() {
        request.headers_mut().insert(http::header::HOST, host);
    }
    request
}

fn upload(shared: &Shared) -> Request<Body> {
    let pause = shared.shape.slow_for / PIECES;
    let pieces = futures_util::stream::unfold(0, move |sent| async move {
        if sent == PIECES {
            return None;
        }
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; PIECE]))), sent + 1))
    });
    let mut request = request(shared, "/upload").map(|_| StreamBody::new(pieces).boxed_unsync());
    *request.method_mut() = Method::POST;
    request
}

/// Reads an answer to its end. It must be 200, and say the same release in its header and in its body.
async fn told(response: Response<Incoming>) -> Outcome<Answer> {
    let status = response.status();
    let header = response.headers().get("x-sh0-release").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = response.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status != http::StatusCode::OK {
        let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(format!("HTTP {status}: {}", line.chars().take(120).collect::<String>()).into());
    }
    let (release, label) = who(&text);
    if release.as_deref() != header.as_deref() {
        return Err(format!("the header says release {header:?}, the body {release:?}").into());
    }
    Ok(Answer { text, release, label })
}

/// Writes down how a request went; `false` when it failed.
fn note(shared: &Shared, kind: Kind, began: Duration, answer: Outcome<Answer>) -> bool {
    let (release, label, fault) = match answer {
        Ok(answer) => (answer.release, answer.label, None),
        Err(error) => (None, None, Some(chain(&*error))),
    };
    let good = fault.is_none();
    let ended = shared.now();
    let (close_code, ended_by_us, messages) = (None, false, 0);
    shared.record(Record { kind, began, ended, release, label, fault, close_code, ended_by_us, messages });
    good
}

async fn failed(shared: &Shared, kind: Kind, began: Duration, fault: String) {
    note(shared, kind, began, Err(fault.into()));
    shared.pause(AFTER_FAILURE).await;
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}
