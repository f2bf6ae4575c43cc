//! The app that proofs deploy: it says which release answers, and misbehaves on request.
//!
//! Variables of its environment, and over them the lines of a file `probe.env` in its folder:
//!
//! | variable | what |
//! | --- | --- |
//! | `PORT` | where it listens |
//! | `SH0_RELEASE`, `PROBE_LABEL` | what it answers with |
//! | `PROBE_START_MS` | so long it does nothing at first |
//! | `PROBE_UNREADY_MS` | after that, it answers 503 for so long |
//! | `PROBE_CRASH_MS` | so long after its start it ends with exit code 3 |
//! | `PROBE_FAULT` | `exit`, `never` (opens no port), `hang` (opens it and never answers), `port` (another port), `loopback` |
//! | `PROBE_DEAF` | SIGTERM changes nothing |
//! | `PROBE_CHATTY_MS` | prints a line so often |
//!
//! `/` `/healthz` `/slow?ms=N` `/upload` `/sse` `/ws` answer; every body begins with `release=ID label=LABEL`.
// An app talks to whoever reads its log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, frame::coding::CloseCode};
use tokio_util::sync::CancellationToken;

type Reply = Response<BoxBody<Bytes, Infallible>>;

struct App {
    vars: HashMap<String, String>,
    /// What every body begins with.
    who: String,
    ready_at: Instant,
    ending: CancellationToken,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let vars = vars();
    let who = format!("release={} label={}", var(&vars, "SH0_RELEASE"), var(&vars, "PROBE_LABEL"));
    println!("{who}: begins as process {}", std::process::id());
    if let Some(after) = millis(&vars, "PROBE_CRASH_MS") {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            eprintln!("crashing, as asked");
            std::process::exit(3);
        });
    }
    if let Some(every) = millis(&vars, "PROBE_CHATTY_MS") {
        tokio::spawn(async move {
            for count in 0u64.. {
                println!("line {count} of an app that talks");
                tokio::time::sleep(every).await;
            }
        });
    }
    tokio::time::sleep(millis(&vars, "PROBE_START_MS").unwrap_or_default()).await;
    match serve(vars, who).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(vars: HashMap<String, String>, who: String) -> std::io::Result<ExitCode> {
    let fault = var(&vars, "PROBE_FAULT").to_owned();
    let port: u16 = var(&vars, "PORT").parse().unwrap_or(8080);
    let mut addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    match fault.as_str() {
        "exit" => {
            eprintln!("this release cannot start");
            return Ok(ExitCode::from(1));
        }
        "never" => {
            eprintln!("this release never opens its port");
            signal(SignalKind::terminate())?.recv().await;
            return Ok(ExitCode::SUCCESS);
        }
        "port" => addr.set_port(0),
        "loopback" => addr.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => {}
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(addr).await?;
    println!("{who}: listens on {}", listener.local_addr()?);
    let deaf = vars.contains_key("PROBE_DEAF");
    let ready_at = Instant::now() + millis(&vars, "PROBE_UNREADY_MS").unwrap_or_default();
    let ending = CancellationToken::new();
    let app = Arc::new(App { vars, who, ready_at, ending: ending.clone() });
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = terminate.recv() => {
                println!("told to end");
                if deaf { continue }
                break;
            }
        };
        stream.set_nodelay(true)?;
        if fault == "hang" {
            std::mem::forget(stream);
            continue;
        }
        let app = app.clone();
        let service = service_fn(move |request| {
            let app = app.clone();
            async move { Ok::<_, Infallible>(app.answer(request).await) }
        });
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new());
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    ending.cancel();
    graceful.shutdown().await;
    println!("ended in good order");
    Ok(ExitCode::SUCCESS)
}

impl App {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        if Instant::now() < self.ready_at {
            return text(StatusCode::SERVICE_UNAVAILABLE, format!("{} not ready\n", self.who));
        }
        match request.uri().path() {
            "/slow" => {
                let query = request.uri().query().unwrap_or_default();
                let wait = query.strip_prefix("ms=").and_then(|ms| ms.parse().ok()).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(wait)).await;
                text(StatusCode::OK, format!("{} slow={wait}\n", self.who))
            }
            "/upload" => self.count(request.into_body()).await,
            "/sse" => self.events(),
            "/ws" => self.websocket(request),
            "/env" => text(StatusCode::OK, format!("{:?}\n", self.vars.keys())),
            _ => text(StatusCode::OK, format!("{}\n", self.who)),
        }
    }

    async fn count(&self, mut body: Incoming) -> Reply {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
                Err(error) => return text(StatusCode::BAD_REQUEST, format!("{} {error}\n", self.who)),
            }
        }
        text(StatusCode::OK, format!("{} bytes={bytes}\n", self.who))
    }

    fn events(&self) -> Reply {
        let (who, ending) = (self.who.clone(), self.ending.clone());
        let events = futures_util::stream::unfold(0u64, move |count| {
            let (who, ending) = (who.clone(), ending.clone());
            async move {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(100)) => {}
                    () = ending.cancelled() => return None,
                }
                Some((Ok(Frame::data(Bytes::from(format!("data: {who} n={count}\n\n")))), count + 1))
            }
        });
        let mut response = Response::new(BodyExt::boxed(StreamBody::new(SyncStream(Box::pin(events)))));
        response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
        response
    }

    fn websocket(&self, mut request: Request<Incoming>) -> Reply {
        let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
            return text(StatusCode::UPGRADE_REQUIRED, format!("{} wants a websocket\n", self.who));
        };
        let accept = derive_accept_key(key.as_bytes());
        let (who, ending) = (self.who.clone(), self.ending.clone());
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let Ok(upgraded) = upgraded.await else { return };
            let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            loop {
                let message = tokio::select! {
                    message = socket.next() => message,
                    () = ending.cancelled() => {
                        // Told apart from the proxy's own 1001.
                        let frame = CloseFrame { code: CloseCode::Restart, reason: "".into() };
                        drop(socket.close(Some(frame)).await);
                        return;
                    }
                };
                match message {
                    Some(Ok(Message::Text(said))) => {
                        if socket.send(Message::text(format!("{who} echo={said}"))).await.is_err() {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                }
            }
        });
        let mut response = text(StatusCode::SWITCHING_PROTOCOLS, String::new());
        let headers = response.headers_mut();
        headers.remove(CONTENT_TYPE);
        headers.insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
        if let Ok(accept) = accept.parse() {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }
}

/// A stream that is polled by one task only, and so may be shared.
struct SyncStream<S>(std::pin::Pin<Box<S>>);

impl<S: futures_util::Stream> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

fn text(status: StatusCode, body: String) -> Reply {
    let mut response = Response::new(Full::from(body).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response
}

fn vars() -> HashMap<String, String> {
    let mut vars: HashMap<String, String> = std::env::vars().collect();
    let file = std::fs::read_to_string("probe.env").unwrap_or_default();
    vars.extend(file.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())));
    vars
}

fn var<'a>(vars: &'a HashMap<String, String>, name: &str) -> &'a str {
    vars.get(name).map_or("", String::as_str)
}

fn millis(vars: &HashMap<String, String>, name: &str) -> Option<Duration> {
    vars.get(name)?.parse().ok().map(Duration::from_millis)
}
