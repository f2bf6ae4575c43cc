//! Who may come in. The first wall is in front of everything: it keeps web pages and rebound DNS names out. The second
//! is in front of each operation: who calls. What the caller may do is the engine's business.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use sh0::auth::Principal;
use sh0::ops::Dispatch;
use sh0::{Code, Error, Result};

use crate::refusal::Refusal;
use crate::router::Shared;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who is at the other end of a connection, as the operating system says.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// A process of this machine whose user may drive the platform.
    Owner { uid: u32 },
    /// A process of this machine whose user may not.
    Stranger { uid: u32 },
    /// Somebody who came over the network, to this address of ours.
    Network { local: SocketAddr },
}

/// Names a request in logs, audit and answers.
#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Gives every request an id, and lets only those pass that no web page of another origin can have made.
pub(crate) async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let id = ulid::Ulid::generate().to_string().to_ascii_lowercase();
    let mut response = match admit(&shared.hosts, &request) {
        Ok(()) => {
            request.extensions_mut().insert(RequestId(id.clone()));
            next.run(request).await
        }
        Err(error) => Refusal::from(error).respond(&id),
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("")));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn admit(allowed: &[String], request: &Request) -> Result<()> {
    let local = match request.extensions().get::<Peer>() {
        // No browser speaks over a Unix socket.
        Some(Peer::Owner { .. }) => return Ok(()),
        Some(Peer::Stranger { uid }) => {
            return Err(forbidden(format!("user {uid} may not use this socket: come over TCP with a token")));
        }
        Some(Peer::Network { local }) => Some(local.ip().to_canonical()),
        None => None,
    };
    // RFC 9112 section 3.2.2: an absolute URI counts before the header, so both have to be right.
    let mut hosts = request.headers().get_all(HOST).iter().map(HeaderValue::to_str);
    let (host, more) = (hosts.next(), hosts.next());
    let authority = match (host, more, request.uri().authority()) {
        (Some(Ok(host)), None, _) => host.parse::<Authority>().ok(),
        (None, None, Some(authority)) => Some(authority.clone()),
        _ => None,
    };
    let authority = authority.ok_or_else(|| forbidden("the request does not name one host"))?;
    for named in [Some(&authority), request.uri().authority()].into_iter().flatten() {
        if !is_ours(named.host(), local, allowed) {
            return Err(forbidden(format!("`{}` is not a name of this server; it can be allowed in its options", named.host())));
        }
    }
    same_origin(request.headers(), &authority)
}

/// A name of ours: loopback, the address the connection came to, or a configured one. A page whose own DNS name points
/// here (DNS rebinding) still sends that name.
fn is_ours(host: &str, local: Option<IpAddr>, allowed: &[String]) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        let ip = ip.to_canonical();
        if ip.is_loopback() || Some(ip) == local {
            return true;
        }
    }
    host == "localhost" || allowed.contains(&host)
}

/// Browsers say where a request was made (Fetch section 3.2, Fetch Metadata); programs say nothing. An app on another
/// port or name of this very machine is another origin. `none` is a person who typed the address.
fn same_origin(headers: &HeaderMap, host: &Authority) -> Result<()> {
    for origin in headers.get_all(ORIGIN) {
        let origin: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
        let same = origin.as_ref().and_then(Uri::authority).is_some_and(|origin| origin == host);
        if !same {
            return Err(forbidden("a web page of another origin may not use this API"));
        }
    }
    for site in headers.get_all(SEC_FETCH_SITE) {
        if site != "same-origin" && site != "none" {
            return Err(forbidden("a web page of another site may not use this API"));
        }
    }
    Ok(())
}

/// The door for whoever sent this: the holder of the token, else the owner of the Unix socket's other end.
pub(crate) async fn caller(shared: &Shared, parts: &Parts, request_id: &str) -> Result<Arc<dyn Dispatch>> {
    let principal = match (parts.headers.get(AUTHORIZATION), parts.extensions.get::<Peer>()) {
        (Some(header), _) => {
            let token = header.to_str().ok().and_then(|header| {
                let (scheme, token) = header.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            });
            shared.sh0.authenticate(token.ok_or_else(|| unauthorized("is not `Bearer <token>`"))?).await?
        }
        (None, Some(Peer::Owner { uid })) => Principal::local(uid.to_string()),
        (None, _) => return Err(unauthorized("is missing")),
    };
    shared.sh0.as_caller(principal, request_id)
}

fn unauthorized(what: &str) -> Error {
    let detail = format!("the header `Authorization` {what}: send `Bearer <token>`; make a token with `sh0 tokens create`");
    Error::new(Code::Unauthorized, detail)
}

fn forbidden(detail: impl Into<String>) -> Error {
    Error::new(Code::Forbidden, detail)
}
