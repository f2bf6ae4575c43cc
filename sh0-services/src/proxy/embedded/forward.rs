//! One request, from the door to an instance and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, RETRY_AFTER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::body::{Download, Flight, Reply, Upload};
use super::headers;
use super::host::host_of;
use super::instance::{Claim, Instance, Sender};
use super::page::{Asked, page, refusal};
use super::table::{App, Pick};
use super::{Shared, websocket};

/// A spare connection that waited longer carries only requests that may be sent twice: servers close theirs after a
/// while, 2 s (gunicorn) or 5 s (Node), and a request can cross the close on its way.
const FRESH: Duration = Duration::from_secs(1);

/// Answers one request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    door: SocketAddr,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Reply> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts);
    if let Err((status, why)) = check(&parts) {
        return refusal(&asked, status, why);
    }
    let host = match host_of(&parts) {
        Ok(host) => host,
        Err(why) => return refusal(&asked, StatusCode::BAD_REQUEST, why),
    };
    let name = host.as_ref().map(|host| host.name.clone());
    let mut journey = Journey {
        // With a body it could not be told where the websocket begins.
        websocket: body.is_end_stream() && headers::asks_for_websocket(&parts),
        repeatable: parts.method.is_idempotent() && body.is_end_stream(),
        shared,
        door,
        name,
        asked,
        tried: Vec::new(),
    };
    let request = journey.to_instance(parts, body, host.as_ref().map(|host| &host.written), peer);
    journey.go(request).await
}

/// What no request may have, wherever it leads.
fn check(parts: &request::Parts) -> Result<(), (StatusCode, &'static str)> {
    if parts.method == Method::CONNECT || parts.method == Method::TRACE {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "this method is not for apps behind a proxy"));
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        // RFC 9112 section 6.1: a coding that is not understood is answered with 501.
        if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
            return Err((StatusCode::NOT_IMPLEMENTED, "the only transfer coding is chunked"));
        }
    }
    if parts.headers.get(EXPECT).is_some_and(|expect| !expect.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err((StatusCode::EXPECTATION_FAILED, "the only expectation is 100-continue"));
    }
    Ok(())
}

/// A request that looks for its answer.
struct Journey {
    shared: Arc<Shared>,
    door: SocketAddr,
    name: Option<String>,
    asked: Asked,
    websocket: bool,
    /// Sending it twice does no harm, and it can be sent twice.
    repeatable: bool,
    tried: Vec<Arc<Instance>>,
}

/// How one try with one instance ended.
enum Try {
    Answered(Response<Reply>),
    /// Nothing of it was seen by the instance, or it may be repeated: it goes on the way again.
    Again(Request<Upload>),
}

impl Journey {
    fn to_instance(
        &self,
        parts: request::Parts,
        body: Incoming,
        host: Option<&HeaderValue>,
        peer: SocketAddr,
    ) -> Request<Upload> {
        let empty = body.is_end_stream();
        let chunked = !empty && body.size_hint().exact().is_none();
        let mut request = Request::new(Upload::new(body));
        *request.method_mut() = parts.method;
        *request.uri_mut() = origin_form(&parts.uri);
        *request.headers_mut() = parts.headers;
        *request.extensions_mut() = parts.extensions;
        headers::to_instance(request.headers_mut(), host, peer, self.door, self.websocket, chunked);
        // A length without a body would make the instance wait for bytes of the next request.
        if empty && request.headers().get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
            request.headers_mut().remove(CONTENT_LENGTH);
        }
        request
    }

    async fn go(&mut self, mut request: Request<Upload>) -> Response<Reply> {
        let mut client = self.websocket.then(|| hyper::upgrade::on(&mut request));
        let path = request.uri().path().to_owned();
        let mut reuse = true;
        loop {
            // The newest table, at every try.
            let table = self.shared.table.load_full();
            let Some(app) = table.route(self.door, self.name.as_deref(), &path) else {
                return self.nothing_here();
            };
            let claim = match app.pick(&self.tried) {
                Pick::Instance(claim) => claim,
                Pick::Stale => continue,
                Pick::Nobody => return self.no_instance(app),
                Pick::Exhausted => return self.unreachable(app),
            };
            match self.try_one(app, claim, request, &mut client, &mut reuse).await {
                Try::Answered(response) => {
                    app.answered.fetch_add(1, Relaxed);
                    return response;
                }
                Try::Again(back) => request = back,
            }
        }
    }

    async fn try_one(
        &mut self,
        app: &App,
        claim: Claim,
        mut request: Request<Upload>,
        client: &mut Option<OnUpgrade>,
        reuse: &mut bool,
    ) -> Try {
        let fresh = if self.repeatable { self.shared.limits.idle } else { FRESH };
        let spare = if *reuse { claim.spare(fresh) } else { None };
        let reused = spare.is_some();
        let mut sender = match spare {
            Some(sender) => sender,
            None => match self.connect(&claim).await {
                Ok(sender) => sender,
                Err(error) => {
                    tracing::debug!(instance = %claim.name, addr = %claim.addr, %error, "no connection to an instance");
                    self.tried.push((*claim).clone());
                    return Try::Again(request);
                }
            },
        };
        let copy = (reused && self.repeatable).then(|| head_of(&request));
        let flight = Flight::new(claim);
        request.body_mut().flight = Some(flight.clone());

        let sent = tokio::select! {
            biased;
            sent = sender.try_send_request(request) => sent,
            () = flight.claim.cut.cancelled() => return Try::Answered(self.cut_off(app)),
        };
        let mut error = match sent {
            Ok(response) => return Try::Answered(self.relay(app, response, flight, sender, client)),
            Err(error) => error,
        };
        tracing::debug!(instance = %flight.claim.name, error = %error.error(), reused, "a request failed");
        if flight.client_failed.load(SeqCst) {
            let why = "the body of the request could not be read";
            return Try::Answered(refusal(&self.asked, StatusCode::BAD_REQUEST, why));
        }
        if flight.claim.cut.is_cancelled() {
            return Try::Answered(self.cut_off(app));
        }
        if reused {
            // One repetition, and on a connection of its own: the other spare ones are as old.
            *reuse = false;
            let unsent = error.take_message().or_else(|| copy.map(restore));
            if let Some(mut request) = unsent {
                request.body_mut().flight = None;
                return Try::Again(request);
            }
        }
        Try::Answered(self.broken_off(app))
    }

    async fn connect(&self, instance: &Instance) -> std::io::Result<Sender> {
        tokio::select! {
            opened = instance.connect(&self.shared.limits, &self.shared.end) => opened,
            () = instance.cut.cancelled() => Err(std::io::Error::other("the instance had to end")),
        }
    }

    fn relay(
        &self,
        app: &App,
        mut response: Response<Incoming>,
        flight: Arc<Flight>,
        sender: Sender,
        client: &mut Option<OnUpgrade>,
    ) -> Response<Reply> {
        let release = app.release.as_ref();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return match client.take() {
                Some(client) if headers::upgrades_to_websocket(response.headers()) => {
                    let instance = hyper::upgrade::on(&mut response);
                    self.switch(response.headers_mut(), client, instance, flight, release)
                }
                _ => self.broken_off(app),
            };
        }
        headers::to_client(response.headers_mut(), release);
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        Response::from_parts(parts, Reply::Relayed(Download::new(body, flight, sender, self.shared.limits)))
    }

    fn switch(
        &self,
        headers: &mut HeaderMap,
        client: OnUpgrade,
        instance: OnUpgrade,
        flight: Arc<Flight>,
        release: Option<&HeaderValue>,
    ) -> Response<Reply> {
        headers::to_client(headers, release);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let mut response = Response::new(Reply::Page(Full::default()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = std::mem::take(headers);
        self.shared.spawn(async move { websocket::join(client, instance, &flight.claim).await });
        response
    }

    fn nothing_here(&self) -> Response<Reply> {
        let text = match &self.name {
            Some(name) => format!("No app answers for {name} at this address."),
            None => "No app answers at this address.".to_owned(),
        };
        page(&self.asked, StatusCode::NOT_FOUND, "Nothing here", &text)
    }

    fn no_instance(&self, app: &App) -> Response<Reply> {
        let name = &app.target.name;
        let text = match &app.target.notice {
            Some(notice) => format!("The app {name} does not serve: {notice}."),
            None => format!("The app {name} has no running instance at the moment. Try again in a few seconds."),
        };
        let mut response = self.about(app, StatusCode::SERVICE_UNAVAILABLE, "Not serving", &text);
        if app.target.notice.is_none() {
            // It should serve: its instances are being replaced or started again (RFC 9110 section 10.2.3).
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }

    fn unreachable(&self, app: &App) -> Response<Reply> {
        let text = format!("The app {} does not accept connections at the moment.", app.target.name);
        self.about(app, StatusCode::BAD_GATEWAY, "Not reachable", &text)
    }

    fn broken_off(&self, app: &App) -> Response<Reply> {
        let text = format!("The app {} broke the connection off before it answered.", app.target.name);
        page(&self.asked, StatusCode::BAD_GATEWAY, "No answer", &text)
    }

    fn cut_off(&self, app: &App) -> Response<Reply> {
        let text = format!("The app {} was replaced before it had answered this request. Try again.", app.target.name);
        page(&self.asked, StatusCode::GATEWAY_TIMEOUT, "Too late", &text)
    }

    fn about(&self, app: &App, status: StatusCode, title: &str, text: &str) -> Response<Reply> {
        app.answered.fetch_add(1, Relaxed);
        page(&self.asked, status, title, text)
    }
}

/// A request without a body, to be sent again.
struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

fn head_of(request: &Request<Upload>) -> Head {
    Head { method: request.method().clone(), uri: request.uri().clone(), headers: request.headers().clone() }
}

fn restore(head: Head) -> Request<Upload> {
    let mut request = Request::new(Upload::empty());
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    request
}

/// RFC 9112 section 3.2.1: path and query, and no more. `OPTIONS *` stays as it is.
fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(path) => Uri::from(path.clone()),
        None => Uri::from_static("/"),
    }
}
