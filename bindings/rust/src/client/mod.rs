//! The platform at the other end of a connection: [`Dispatch`] over HTTP/1.1, on TCP, TLS or a Unix socket.
//!
//! | file | what |
//! | --- | --- |
//! | `target` | where a server is |
//! | `dial` | how it is reached |
//! | `events` | server-sent events, resumed by cursor |
//! | `duplex` | websockets |

mod dial;
mod duplex;
mod events;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod target;

pub use target::Target;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;
use sh0_core::model::Secret;
use sh0_core::ops::http::{KEY_HEADER, Parts, encode};
use sh0_core::ops::{Dispatch, OpDef};
use sh0_core::traits::{ByteStream, Session};
use sh0_core::{Code, Error, LocalKey, Problem, Result};

/// An answer that takes longer than this has failed. Long work answers at once and is followed as a stream.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// An answer larger than this is refused.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// A problem object larger than this is refused.
const PROBLEM_LIMIT: usize = 1024 * 1024;

type Body = UnsyncBoxBody<Bytes, Error>;

/// A platform behind HTTP. Connections are pooled and shared by all clones.
#[derive(Clone)]
pub(crate) struct Remote {
    client: Client<dial::Connector, Body>,
    target: Arc<Target>,
    authorization: Option<HeaderValue>,
    /// What the server of a Unix socket wants to see.
    key: Option<HeaderValue>,
}

impl Remote {
    pub(crate) fn new(target: Target, token: Option<Secret>) -> Result<Remote> {
        let authorization = token.map(|token| bearer(&token)).transpose()?;
        let key = match &target {
            Target::Unix(socket) if authorization.is_none() => key(&target, socket)?,
            _ => None,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .build(dial::connector(&target)?);
        Ok(Remote { client, target: Arc::new(target), authorization, key })
    }

    /// Makes sure that a server answers.
    pub(crate) async fn check(&self) -> Result<()> {
        let response = self.send(self.request(Method::GET, "/healthz", empty())?).await?;
        if response.status() == StatusCode::OK {
            return Ok(());
        }
        let error = failure(response).await;
        match error.code() {
            Code::NotFound | Code::Internal => {
                Err(error.context(format!("what answers at {} is not a sh0 server", self.target)))
            }
            _ => Err(error),
        }
    }

    fn request(&self, method: Method, path: &str, body: Body) -> Result<Request<Body>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.target.base()))
            .body(body)
            .map_err(|error| Error::invalid("input", error.to_string(), "the server's address cannot carry it"))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(key) = &self.key {
            request.headers_mut().insert(KEY_HEADER, key.clone());
        }
        Ok(request)
    }

    fn op_request(&self, op: &OpDef, parts: &Parts) -> Result<Request<Body>> {
        let method = Method::from_bytes(op.meta.method.as_str().as_bytes()).unwrap_or(Method::GET);
        let body = match &parts.body {
            Some(body) => full(serde_json::to_vec(body)?),
            None => empty(),
        };
        let mut request = self.request(method, &parts.uri, body)?;
        if parts.body.is_some() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(request)
    }

    /// Sends a request; the answer's head must come in time.
    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        match tokio::time::timeout(ANSWER_WITHIN, self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(self.target.unreachable(error)),
            Err(_) => Err(Error::new(
                Code::Timeout,
                format!("{} has not answered for {} seconds", self.target, ANSWER_WITHIN.as_secs()),
            )),
        }
    }
}

#[async_trait]
impl Dispatch for Remote {
    async fn call(&self, op: &'static OpDef, input: Value) -> Result<Value> {
        let parts = encode(&op.meta, input)?;
        value(self.send(self.op_request(op, &parts)?).await?).await
    }

    async fn stream(&self, op: &'static OpDef, input: Value) -> Result<BoxStream<'static, Result<Value>>> {
        events::follow(self.clone(), op, encode(&op.meta, input)?).await
    }

    async fn upload(&self, op: &'static OpDef, input: Value, bytes: ByteStream) -> Result<Value> {
        let parts = encode(&op.meta, input)?;
        // hyper wraps an error of the body in one of its own; the caller wants the first.
        let broken = Arc::new(Mutex::new(None));
        let slot = broken.clone();
        let frames = bytes.map(move |chunk| {
            chunk.map(Frame::data).map_err(|error| {
                let text = Error::new(error.code(), error.detail());
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                text
            })
        });
        let mut request = self.op_request(op, &parts)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        *request.body_mut() = StreamBody::new(frames).boxed_unsync();
        // No limit on the whole: an upload takes as long as its bytes take.
        let sent = self.client.request(request).await;
        if let Some(error) = broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        value(sent.map_err(|error| self.target.unreachable(error))?).await
    }

    async fn duplex(&self, op: &'static OpDef, input: Value) -> Result<Session> {
        duplex::open(self, &encode(&op.meta, input)?).await
    }
}

/// The value of a unary answer; 204 is the empty one.
async fn value(response: Response<Incoming>) -> Result<Value> {
    match response.status() {
        StatusCode::NO_CONTENT => Ok(Value::Null),
        status if status.is_success() => {
            let body = tokio::time::timeout(ANSWER_WITHIN, collect(response, ANSWER_LIMIT))
                .await
                .map_err(|_| Error::new(Code::Timeout, "the server's answer stopped in the middle"))??;
            Ok(serde_json::from_slice(&body)?)
        }
        _ => Err(failure(response).await),
    }
}

/// The error that an unsuccessful answer stands for.
async fn failure(response: Response<Incoming>) -> Error {
    let status = response.status();
    let body = match tokio::time::timeout(Duration::from_secs(10), collect(response, PROBLEM_LIMIT)).await {
        Ok(Ok(body)) => body,
        _ => Bytes::new(),
    };
    told(status, &body)
}

/// What status and body of an unsuccessful answer say.
fn told(status: StatusCode, body: &[u8]) -> Error {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return Error::from(problem);
    }
    // Something between us and the server, or a server with codes that we do not know.
    let code = match status.as_u16() {
        400 | 422 => Code::Invalid,
        401 => Code::Unauthorized,
        403 => Code::Forbidden,
        404 => Code::NotFound,
        409 => Code::Conflict,
        413 => Code::TooLarge,
        423 => Code::Locked,
        429 => Code::RateLimited,
        501 => Code::Unsupported,
        502 | 503 => Code::Unavailable,
        504 => Code::Timeout,
        507 => Code::NoSpace,
        _ => Code::Internal,
    };
    let detail =
        serde_json::from_slice::<Value>(body).ok().and_then(|body| Some(body.get("detail")?.as_str()?.to_owned()));
    Error::new(code, detail.unwrap_or_else(|| format!("the server answered {status}")))
}

async fn collect(response: Response<Incoming>, limit: usize) -> Result<Bytes> {
    let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| {
        Error::unavailable(format!("the connection broke in the middle of an answer: {error}")).with_source(error)
    })?;
    Ok(body.to_bytes())
}

/// The key beside a socket. Without one the server says what it misses, or there is none.
fn key(target: &Target, socket: &Path) -> Result<Option<HeaderValue>> {
    let key = LocalKey::read(socket).map_err(|error| {
        let file = LocalKey::path(socket);
        let detail = format!(
            "the key of {target} cannot be read ({}): ask as the user who owns {}, or with a token",
            error.detail(),
            file.display()
        );
        Error::new(Code::Forbidden, detail).with_source(error)
    })?;
    let mut header = key.and_then(|key| HeaderValue::try_from(key.expose()).ok());
    header.iter_mut().for_each(|header| header.set_sensitive(true));
    Ok(header)
}

fn bearer(token: &Secret) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose().trim()))
        .map_err(|_| Error::invalid("token", "has characters that no token has", "copy it again, whole"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(bytes: Vec<u8>) -> Body {
    Full::from(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Adds a header that is known to be good.
fn accept(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What this client understands as a stream.
fn accept_events(headers: &mut HeaderMap) {
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
}
