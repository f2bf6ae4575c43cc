//! The session of a build: a connection on which the engine asks and this client answers.
//!
//! The engine upgrades `POST /session` to HTTP/2 without TLS and is the gRPC client on it. It asks for life every few
//! seconds (`grpc.health.v1`), and drops a session that does not answer; the build then fails with an error that names
//! the base image.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    convert::Infallible,
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite},
    task::JoinHandle,
};

use super::{
    super::{
        auth::{RegistryAuth, Secret},
        error::Result,
        request::Call,
        transport::{Transport, timed},
    },
    wire::{Fields, frame, put, unframe},
};

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";

/// Longest question, in bytes: names of secrets and of registries.
const MAX_QUESTION: usize = 64 * 1024;

/// What gRPC calls this registry when it pulls; its credentials are kept under its older address.
const HUB: (&str, &str) = ("registry-1.docker.io", "https://index.docker.io/v1/");

/// What the engine can have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    pub(crate) secrets: BTreeMap<String, Secret>,
    pub(crate) auth: BTreeMap<String, RegistryAuth>,
}

/// An open session. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct BuildSession {
    pub(crate) id: String,
    serving: JoinHandle<()>,
}

impl Drop for BuildSession {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Transport {
    /// Opens a session and answers on it until it is dropped. API: `POST /session`.
    pub(crate) async fn open_session(&self, offer: Offer) -> Result<BuildSession> {
        let id = session_id();
        let text =
            |value: &str| HeaderValue::try_from(value).map_err(|error| super::super::Error::head(error.to_string()));
        let mut call = Call::post("/session")
            .header("x-docker-expose-session-uuid", text(&id)?)
            .header("x-docker-expose-session-name", HeaderValue::from_static("sh0"))
            .header("x-docker-expose-session-sharedkey", HeaderValue::from_static(""));
        for method in [HEALTH, SECRET, CREDENTIALS] {
            call = call.header("x-docker-expose-session-grpc-method", HeaderValue::from_static(method));
        }
        let (socket, rest) = timed(call.name(), self.options.answer_within, self.upgrade(&call, "h2c")).await?;
        let (read, write) = socket.into_split();
        // The engine may speak first, in the same packet as its answer.
        let connection = tokio::io::join(std::io::Cursor::new(rest).chain(read), write);
        Ok(BuildSession { id, serving: tokio::spawn(serve(connection, offer)) })
    }
}

/// Unlike that of any other session. It is no secret: who may speak to the engine may do everything.
fn session_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

async fn serve(connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, offer: Offer) {
    let offer = Arc::new(offer);
    let service = service_fn(move |request: Request<Incoming>| {
        let offer = Arc::clone(&offer);
        async move { Ok::<_, Infallible>(answer(request, &offer).await) }
    });
    let served = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "the session of a build ended");
    }
}

/// Status codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    InvalidArgument = 3,
    NotFound = 5,
    Unimplemented = 12,
}

type Reply = StreamBody<stream::Iter<std::vec::IntoIter<std::result::Result<Frame<Bytes>, Infallible>>>>;

async fn answer(request: Request<Incoming>, offer: &Offer) -> Response<Reply> {
    let method = request.uri().path().to_owned();
    let message = match Limited::new(request.into_body(), MAX_QUESTION).collect().await {
        Ok(body) => reply_to(&method, &body.to_bytes(), offer),
        Err(_) => Err(Refusal::InvalidArgument),
    };
    let mut trailers = HeaderMap::new();
    let status = message.as_ref().map_or_else(|refusal| *refusal as u16, |_| 0);
    trailers.insert("grpc-status", HeaderValue::from(status));
    let data = message.ok().map(|message| Frame::data(Bytes::from(frame(&message))));
    let frames: Vec<_> = data.into_iter().chain([Frame::trailers(trailers)]).map(Ok).collect();
    let mut response = Response::new(StreamBody::new(stream::iter(frames)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn reply_to(method: &str, body: &[u8], offer: &Offer) -> std::result::Result<Vec<u8>, Refusal> {
    let mut reply = Vec::new();
    match method {
        // HealthCheckResponse { status: SERVING }
        HEALTH => reply.extend([1 << 3, 1]),
        SECRET => {
            let secret = offer.secrets.get(&question(body)?).ok_or(Refusal::NotFound)?;
            put(&mut reply, 1, secret.expose().as_bytes());
        }
        CREDENTIALS => {
            let host = question(body)?;
            let auth = offer.auth.get(&host).or_else(|| offer.auth.get(HUB.1).filter(|_| host == HUB.0));
            // Nothing is how one says: as nobody.
            if let Some((user, secret)) = auth.map(RegistryAuth::login) {
                put(&mut reply, 1, user.as_bytes());
                put(&mut reply, 2, secret.as_bytes());
            }
        }
        _ => return Err(Refusal::Unimplemented),
    }
    Ok(reply)
}

/// For the fuzz targets.
#[cfg(any(fuzzing, test))]
pub(crate) fn survive_question(body: &[u8]) {
    for method in [HEALTH, SECRET, CREDENTIALS] {
        let _ = reply_to(method, body, &Offer::default());
    }
}

/// The first field of a question: the name of a secret, or of a registry.
fn question(body: &[u8]) -> std::result::Result<String, Refusal> {
    let message = unframe(body).map_err(|_| Refusal::InvalidArgument)?;
    let mut name = String::new();
    for field in Fields::of(message) {
        if let (1, value) = field.map_err(|_| Refusal::InvalidArgument)? {
            name = value.text().map_err(|_| Refusal::InvalidArgument)?;
        }
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::Full;
    use hyper::client::conn::http2 as client;
    use proptest::prelude::*;

    use super::*;

    fn offer() -> Offer {
        Offer {
            secrets: BTreeMap::from([("NPM_TOKEN".to_owned(), Secret::new("s3cr3t\n"))]),
            auth: BTreeMap::from([
                (HUB.1.to_owned(), RegistryAuth::password("me", Secret::new("hunter2"))),
                ("registry.test".to_owned(), RegistryAuth::identity_token(Secret::new("token"))),
            ]),
        }
    }

    fn named(name: &str) -> Vec<u8> {
        let mut message = Vec::new();
        put(&mut message, 1, name.as_bytes());
        frame(&message)
    }

    #[test]
    fn only_what_was_offered_is_told() {
        let ask = |method, body: &[u8]| reply_to(method, body, &offer());
        assert_eq!(ask(HEALTH, &frame(b"")), Ok(vec![8, 1]));
        assert_eq!(ask(SECRET, &named("NPM_TOKEN")), Ok(b"\x0a\x07s3cr3t\n".to_vec()));
        assert_eq!(ask(SECRET, &named("OTHER")), Err(Refusal::NotFound));
        assert_eq!(ask(SECRET, b"nonsense"), Err(Refusal::InvalidArgument));
        assert_eq!(ask(CREDENTIALS, &named(HUB.0)), Ok(b"\x0a\x02me\x12\x07hunter2".to_vec()));
        assert_eq!(ask(CREDENTIALS, &named("registry.test")), Ok(b"\x0a\0\x12\x05token".to_vec()));
        assert_eq!(ask(CREDENTIALS, &named("other.test")), Ok(Vec::new()));
        assert_eq!(ask("/moby.filesync.v1.FileSync/DiffCopy", &frame(b"")), Err(Refusal::Unimplemented));
    }

    #[tokio::test]
    async fn questions_are_answered_over_http2_with_a_status_behind_them() {
        let (here, there) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(here, offer()));
        let (mut sender, driver) = client::handshake(TokioExecutor::new(), TokioIo::new(there)).await.unwrap();
        tokio::spawn(driver);
        let endless = vec![0; MAX_QUESTION + 1];
        for (method, question, status, reply) in [
            (SECRET, named("NPM_TOKEN"), "0", frame(b"\x0a\x07s3cr3t\n")),
            (SECRET, named("OTHER"), "5", Vec::new()),
            (SECRET, endless, "3", Vec::new()),
            ("/nobody.knows/This", frame(b""), "12", Vec::new()),
            (HEALTH, frame(b""), "0", frame(&[8, 1])),
        ] {
            let request =
                Request::post(format!("http://session{method}")).body(Full::new(Bytes::from(question))).unwrap();
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-type"]),
                (200, &HeaderValue::from_static("application/grpc"))
            );
            let body = response.into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["grpc-status"], status, "{method}");
            assert_eq!(body.to_bytes(), reply);
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        assert!(!format!("{:?}", offer()).contains("s3cr3t"));
        assert_ne!(session_id(), session_id());
    }

    proptest! {
        #[test]
        fn any_question_is_survived(body in prop::collection::vec(any::<u8>(), 0..200)) {
            for method in [HEALTH, SECRET, CREDENTIALS, "/x"] {
                let _ = reply_to(method, &body, &offer());
            }
        }
    }
}
