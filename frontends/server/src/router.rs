//! A route an operation, made from the table, and how each kind of operation travels.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Query, RawPathParams, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use axum::{Extension, Json, Router, middleware};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use sh0::listen::Admission;
use sh0::ops::http::{INPUT_HEADER, PREFIX, decode, from_header, resume};
use sh0::ops::{self, OpDef, OpKind};
use sh0::traits::ByteStream;
use sh0::{Error, Result, Sh0};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::guard::{RequestId, caller, guard};
use crate::refusal::Refusal;
use crate::{duplex, openapi};

/// A JSON body larger than this is refused.
const JSON_LIMIT: usize = 1024 * 1024;

/// A JSON body, or the next piece of an upload, that takes longer than this is given up.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// How long the rest of a refused body is read and thrown away, so that its sender gets to see the answer.
const LINGER: Duration = Duration::from_secs(10);

/// A stream says at least a comment this often.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) sh0: Sh0,
    pub(crate) admission: Admission,
    /// Streams and sessions end with it.
    pub(crate) closing: CancellationToken,
    /// Sessions: their connections are not the HTTP server's any more.
    pub(crate) sessions: TaskTracker,
}

/// The whole HTTP surface.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(openapi::healthz))
        .route("/readyz", get(openapi::readyz))
        .route(&format!("{PREFIX}/openapi.json"), get(openapi::document));
    for op in ops::all() {
        let run = move |State(shared): State<Arc<Shared>>, Extension(id): Extension<RequestId>, request: Request| {
            answer(shared, op, id, request)
        };
        router = router.route(&format!("{PREFIX}{}", op.meta.path), on(method(op), run));
    }
    router
        .fallback(|Extension(id): Extension<RequestId>| async move {
            Refusal::http(StatusCode::NOT_FOUND, "there is nothing at this path: see /api/v1/openapi.json").respond(&id)
        })
        .method_not_allowed_fallback(|Extension(id): Extension<RequestId>| async move {
            Refusal::http(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method").respond(&id)
        })
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

fn method(op: &OpDef) -> MethodFilter {
    let method = Method::from_bytes(ops::openapi::method(op).as_str().as_bytes()).unwrap_or_default();
    MethodFilter::try_from(method).unwrap_or(MethodFilter::GET)
}

async fn answer(shared: Arc<Shared>, op: &'static OpDef, id: RequestId, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    match run(&shared, op, &mut parts, &body, &id).await {
        Ok(response) => response,
        Err(refusal) => {
            tokio::spawn(linger(body));
            refusal.respond(&id)
        }
    }
}

async fn run(
    shared: &Shared,
    op: &'static OpDef,
    parts: &mut Parts,
    body: &Arc<Mutex<Body>>,
    id: &RequestId,
) -> Result<Response, Refusal> {
    let caller = caller(shared, parts, id).await?;
    let kind = op.meta.kind;
    let json = match kind {
        OpKind::Unary | OpKind::Stream if op.meta.method.has_body() => read_json(parts, body).await?,
        OpKind::Duplex => parts.headers.get(INPUT_HEADER).map(|input| from_header(input.as_bytes())).transpose()?,
        _ => None,
    };
    let input = read_input(op, parts, json).await?;
    match kind {
        OpKind::Unary => Ok(value(caller.call(op, input).await?)),
        OpKind::Upload => Ok(value(caller.upload(op, input, pieces(body.clone())).await?)),
        OpKind::Stream => {
            // A browser, as our client, resumes with the id of the last event it has seen.
            let input = match parts.headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
                Some(cursor) if !cursor.is_empty() => resume(op, input, cursor),
                _ => input,
            };
            let items = caller.stream(op, input).await?;
            let events = events(items, id.clone()).take_until(shared.closing.clone().cancelled_owned());
            Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
        }
        OpKind::Duplex => {
            let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(|rejection| {
                Refusal::http(StatusCode::UPGRADE_REQUIRED, format!("this is a websocket: {}", rejection.body_text()))
            })?;
            let session = caller.duplex(op, input).await?;
            let (sessions, closing, id) = (shared.sessions.clone(), shared.closing.clone(), id.clone());
            Ok(upgrade
                .max_message_size(duplex::MESSAGE_LIMIT)
                .on_upgrade(move |socket| sessions.track_future(duplex::converse(socket, session, closing, id))))
        }
    }
}

/// A unary answer; nothing is 204.
fn value(output: Value) -> Response {
    match output {
        Value::Null => StatusCode::NO_CONTENT.into_response(),
        output => Json(output).into_response(),
    }
}

/// Path, query and body, put together to the operation's input.
async fn read_input(op: &OpDef, parts: &mut Parts, json: Option<Value>) -> Result<Value, Refusal> {
    let bad = |text: String| Refusal::http(StatusCode::BAD_REQUEST, text);
    let path = RawPathParams::from_request_parts(parts, &()).await.map_err(|error| bad(error.body_text()))?;
    let path: Vec<_> = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|error| bad(error.body_text()))?;
    Ok(decode(op, path, query.0, json)?)
}

async fn read_json(parts: &Parts, body: &Mutex<Body>) -> Result<Option<Value>, Refusal> {
    let mut body = body.lock().await;
    let reading = Limited::new(&mut *body, JSON_LIMIT).collect();
    let bytes = match tokio::time::timeout(BODY_WITHIN, reading).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Refusal::http(StatusCode::PAYLOAD_TOO_LARGE, "a JSON body may have 1 MiB"));
        }
        Ok(Err(error)) => return Err(Refusal::http(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))),
        Err(_) => return Err(Refusal::http(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let text = format!("the body is `{kind}`: send it as `application/json`");
        return Err(Refusal::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::http(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")))?;
    Ok(Some(value))
}

/// The body as it comes.
fn pieces(body: Arc<Mutex<Body>>) -> ByteStream {
    stream::try_unfold(body, |body| async move {
        loop {
            let frame = tokio::time::timeout(BODY_WITHIN, async { body.lock().await.frame().await }).await;
            let frame = frame.map_err(|_| Error::unavailable("the upload has stopped: send it again"))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame
                .map_err(|error| Error::unavailable(format!("the upload broke off: {error}")).with_source(error))?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some((bytes, body)));
            }
        }
    })
    .boxed()
}

/// Reads on for a while: a connection that is closed with bytes unread takes the answer with it (RFC 9112 section 9.6).
async fn linger(body: Arc<Mutex<Body>>) {
    let rest = pieces(body).take_while(|piece: &Result<Bytes>| std::future::ready(piece.is_ok()));
    let _ = tokio::time::timeout(LINGER, rest.for_each(|_| std::future::ready(()))).await;
}

/// Items as events: `id` is the item's cursor; the last event is `end` or `error`. A stream that stops without either
/// was cut off, and can be resumed.
fn events(items: BoxStream<'static, Result<Value>>, id: RequestId) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some((items, id)), |state| async move {
        let (mut items, id) = state?;
        match items.next().await {
            Some(Ok(item)) => {
                let event = match item.get("cursor") {
                    Some(Value::Number(cursor)) => Event::default().id(cursor.to_string()),
                    _ => Event::default(),
                };
                Some((Ok(event.data(item.to_string())), Some((items, id))))
            }
            Some(Err(error)) => {
                let problem = serde_json::to_string(&error.problem(&*id.0)).unwrap_or_default();
                Some((Ok(Event::default().event("error").data(problem)), None))
            }
            None => Some((Ok(Event::default().event("end").data("{}")), None)),
        }
    })
}
