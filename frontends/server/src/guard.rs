//! Who may come in. [`Admission`] stands in front of everything; in front of each operation stands the question who
//! calls. What the caller may do is the engine's business.
//!
//! [`Admission`]: sh0::listen::Admission

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use sh0::auth::Principal;
use sh0::listen::{Peer, peer};
use sh0::ops::Dispatch;
use sh0::{Code, Error, Result};

use crate::refusal::Refusal;
use crate::router::Shared;

/// Names a request in logs, audit and answers.
#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Gives every request an id, and lets only those pass that no web page of another origin can have made.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let id = RequestId(ulid::Ulid::generate().to_string().to_ascii_lowercase().into());
    request.extensions_mut().insert(id.clone());
    let mut response = match shared.admission.admit(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => Refusal::from(error).respond(&id),
    };
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&id.0).map(|id| (HeaderName::from_static("x-request-id"), id)));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The door for whoever sent this: the holder of the token, else the owner of the Unix socket's other end.
pub(crate) async fn caller(shared: &Shared, parts: &Parts, id: &RequestId) -> Result<Arc<dyn Dispatch>> {
    let principal = match (parts.headers.get(AUTHORIZATION), peer(&parts.extensions)) {
        (Some(header), _) => {
            let (scheme, token) = header.to_str().ok().and_then(|header| header.split_once(' ')).unwrap_or_default();
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(unauthorized("is not `Bearer <token>`"));
            }
            shared.sh0.authenticate(token.trim()).await?
        }
        (None, Some(Peer::Owner { uid })) => Principal::local(uid.to_string()),
        (None, _) => return Err(unauthorized("is missing")),
    };
    shared.sh0.as_caller(principal, &*id.0)
}

fn unauthorized(what: &str) -> Error {
    let detail = format!(
        "the header `Authorization` {what}: send `Bearer <token>`; `sh0 tokens create` makes one, SH0_TOKEN is where `sh0` looks"
    );
    Error::new(Code::Unauthorized, detail)
}
