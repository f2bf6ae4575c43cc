//! Traffic while tables change: nothing that was begun is lost, nothing new goes where it should not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod proxy_support;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proxy_support::{Site, exchange, instance, soon};
use sh0_core::traits::Proxy;
use sh0_services::proxy::embedded::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

/// An app on hyper: says its port, counts upload bytes, streams events from a channel.
struct App {
    addr: SocketAddr,
    events: mpsc::Sender<&'static str>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl App {
    async fn start() -> App {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (events, feed) = mpsc::channel(4);
        let feed = Arc::new(tokio::sync::Mutex::new(Some(feed)));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let feed = feed.clone();
                let service = service_fn(move |request| answer(addr, feed.clone(), request));
                connections
                    .spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        App { addr, events, task }
    }
}

type Feed = Arc<tokio::sync::Mutex<Option<mpsc::Receiver<&'static str>>>>;
type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

async fn answer(addr: SocketAddr, feed: Feed, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    match request.uri().path() {
        "/upload" => {
            let (mut body, mut count) = (request.into_body(), 0);
            while let Some(frame) = body.frame().await {
                count += frame?.data_ref().map_or(0, Bytes::len);
            }
            Ok(Response::new(Full::from(format!("{count} bytes at {}", addr.port())).boxed_unsync()))
        }
        "/events" => {
            let feed = feed.lock().await.take().unwrap();
            let events = futures_util::stream::unfold(feed, |mut feed| async {
                let event = feed.recv().await?;
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from(format!("data: {event}\n\n")))), feed))
            });
            let response = Response::builder().header("content-type", "text/event-stream");
            Ok(response.body(StreamBody::new(events).boxed_unsync()).unwrap())
        }
        _ => Ok(Response::new(Full::from(addr.port().to_string()).boxed_unsync())),
    }
}

/// A websocket server that sends back what it gets, and says in the end how the client closed.
async fn echo_socket() -> (SocketAddr, mpsc::Receiver<Option<u16>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (closed, closes) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let closed = closed.clone();
            tokio::spawn(async move {
                let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    match message {
                        Message::Close(frame) => {
                            let _ = closed.send(frame.map(|frame| frame.code.into())).await;
                        }
                        message => {
                            let _ = socket.send(message).await;
                        }
                    }
                }
            });
        }
    });
    (addr, closes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_keep_every_message_until_1001() {
    let (old, mut closes) = echo_socket().await;
    let (new, _closes) = echo_socket().await;
    let site = Site::with(Options::default(), "localhost", &[]).await;
    site.serve(&[old], 1500).await;
    let swapped = Arc::new(AtomicBool::new(false));

    let mut clients = tokio::task::JoinSet::new();
    for client in 0..10u64 {
        let (door, swapped) = (site.door, swapped.clone());
        clients.spawn(async move {
            let stream = TcpStream::connect(door).await.unwrap();
            let (mut socket, _) = tokio_tungstenite::client_async("ws://localhost/ws", stream).await.unwrap();
            let (mut number, mut after_swap) = (0u64, 0);
            loop {
                // Small and large ones: some frames are on their way when the deadline comes.
                let text = format!("{client}-{number}-{}", "x".repeat(usize::try_from(number % 7).unwrap() * 5000));
                if socket.send(Message::text(text.clone())).await.is_err() {
                    // Closed: the reason is what comes next.
                }
                match socket.next().await {
                    Some(Ok(Message::Text(back))) => {
                        assert_eq!(back.as_str(), text, "in order, nothing lost, nothing twice")
                    }
                    Some(Ok(Message::Close(Some(frame)))) => {
                        assert_eq!(frame.code, CloseCode::Away, "the end is 1001");
                        break;
                    }
                    other => panic!("after {number} messages: {other:?}"),
                }
                number += 1;
                after_swap += u64::from(swapped.load(SeqCst));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            after_swap
        });
    }
    site.until("ten websockets", |status| status.in_flight.get(&instance(old)) == Some(&10)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let left = Instant::now();
    site.serve(&[new], 1500).await;
    swapped.store(true, SeqCst);
    while let Some(after_swap) = soon(clients.join_next()).await {
        assert!(after_swap.unwrap() > 0, "the websocket goes on after the swap");
        assert!(left.elapsed() >= Duration::from_millis(1500), "until its deadline");
    }
    for _ in 0..10 {
        assert_eq!(soon(closes.recv()).await.unwrap(), Some(1001), "the app is told as well");
    }
    site.until("nothing is in flight", |status| status.in_flight.is_empty()).await;
}

#[tokio::test]
async fn websockets_that_end_by_themselves_end_on_both_sides() {
    let (app, mut closes) = echo_socket().await;
    let site = Site::of("localhost", &[app]).await;
    for abrupt in [false, true] {
        let stream = TcpStream::connect(site.door).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async("ws://localhost/ws", stream).await.unwrap();
        socket.send(Message::text("a")).await.unwrap();
        assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("a"));
        if abrupt {
            drop(socket);
        } else {
            socket.close(None).await.unwrap();
            assert_eq!(soon(closes.recv()).await.unwrap(), None);
            while soon(socket.next()).await.is_some() {}
        }
        site.until("nothing is in flight", |status| status.in_flight.is_empty()).await;
    }
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let app = App::start().await;
    let site = Site::of("a.test", &[app.addr]).await;
    let mut stream = TcpStream::connect(site.door).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let mut seen = String::new();
    for event in ["one", "two", "three"] {
        // The next one is sent only when this one was seen: a proxy that gathers would hang here.
        app.events.send(event).await.unwrap();
        while !seen.contains(&format!("data: {event}\n\n")) {
            let mut buffer = [0; 1024];
            let count = soon(stream.read(&mut buffer)).await.unwrap();
            assert!(count > 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
    // When the client leaves, the app notices.
    drop(stream);
    soon(app.events.closed()).await;
    site.until("nothing is in flight", |status| status.in_flight.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_go_on_through_a_swap() {
    let (old, new) = (App::start().await, App::start().await);
    let site = Site::of("a.test", &[old.addr]).await;
    let mut stream = TcpStream::connect(site.door).await.unwrap();
    let length = 8 * 1024 * 1024;
    let head =
        format!("POST /upload HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    soon(stream.read_exact(&mut go_on)).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n", "asked for before the body is sent");
    let part = vec![b'x'; length / 64];
    for number in 0..64 {
        if number == 20 {
            site.serve(&[new.addr], 600_000).await;
            assert!(exchange(site.door, GET).await.ends_with(&new.addr.port().to_string()));
        }
        soon(stream.write_all(&part)).await.unwrap();
    }
    let mut answer = vec![0; 4096];
    let count = soon(stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.ends_with(&format!("{length} bytes at {}", old.addr.port())), "{answer}");
    site.until("nothing is in flight", |status| status.in_flight.is_empty()).await;
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// What a load counts.
#[derive(Default)]
struct Count {
    requests: AtomicU64,
    stop: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_swaps_and_no_failed_request() {
    let apps = [App::start().await, App::start().await];
    let site = Site::of("a.test", &[apps[0].addr]).await;
    let count = Arc::new(Count::default());
    let mut load = tokio::task::JoinSet::new();
    for keep in [true, true, true, true, false, false] {
        load.spawn(ask_again_and_again(site.door, keep, count.clone()));
    }
    for swap in 1..=200 {
        let before = count.requests.load(SeqCst);
        site.serve(&[apps[swap % 2].addr], 600_000).await;
        // Whatever begins after the swap is answered by the new one.
        let answer = exchange(site.door, GET).await;
        assert!(answer.ends_with(&apps[swap % 2].addr.port().to_string()), "swap {swap}: {answer}");
        while count.requests.load(SeqCst) < before + 5 {
            assert!(!load.is_empty());
            tokio::task::yield_now().await;
        }
    }
    count.stop.store(true, SeqCst);
    while let Some(ended) = soon(load.join_next()).await {
        ended.unwrap();
    }
    let requests = count.requests.load(SeqCst);
    assert!(requests >= 1000, "only {requests} requests");
    site.until("nothing is in flight", |status| status.in_flight.is_empty()).await;
}

/// Panics at the first answer that is not a 200, or whose body is not from the release that its header names.
async fn ask_again_and_again(door: SocketAddr, keep: bool, count: Arc<Count>) {
    let mut connection: Option<hyper::client::conn::http1::SendRequest<Full<Bytes>>> = None;
    while !count.stop.load(SeqCst) {
        let mut sender = match connection.take() {
            Some(sender) => sender,
            None => {
                let stream = TcpStream::connect(door).await.unwrap();
                let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(driver);
                sender
            }
        };
        let number = count.requests.load(SeqCst);
        let request = match number % 3 {
            0 => Request::post("/upload").header("host", "a.test").body(Full::from("four")).unwrap(),
            _ => Request::get("/").header("host", "a.test").body(Full::default()).unwrap(),
        };
        sender.ready().await.expect("a kept connection is not closed by a swap");
        let response = soon(sender.send_request(request)).await.expect("every request has an answer");
        assert_eq!(response.status(), 200);
        let release = response.headers()["x-sh0-release"].to_str().unwrap().trim_start_matches('0').to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(body.ends_with(&release), "{body} is not of {release}");
        count.requests.fetch_add(1, SeqCst);
        connection = keep.then_some(sender);
    }
}

/// An app that closes each connection after one answer, without saying so, when it is told to.
async fn forgetful_app() -> (SocketAddr, Arc<tokio::sync::Notify>, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (forget, connections) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicU64::new(0)));
    let (told, count) = (forget.clone(), connections.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            let told = told.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.unwrap_or(0) > 0 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                    // The next request is read and never answered: the worst moment to die.
                    let mut next = [0; 1];
                    tokio::select! {
                        _ = stream.read(&mut next) => {}
                        () = told.notified() => {}
                    }
                }
            });
        }
    });
    (addr, forget, connections)
}

#[tokio::test]
async fn a_kept_connection_that_died_costs_no_request() {
    let (app, _forget, connections) = forgetful_app().await;
    let site = Site::of("a.test", &[app]).await;
    for _ in 0..20 {
        let answer = exchange(site.door, GET).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "a request that may be repeated is: {answer}");
    }
    // Each request but the first died once on the kept connection and was sent again on a new one.
    assert!((10..=20).contains(&connections.load(SeqCst)));
    // One that may not be repeated is told so, and not sent twice.
    let before = connections.load(SeqCst);
    let post = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let answer = exchange(site.door, post).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert_eq!(connections.load(SeqCst), before);
}

#[tokio::test]
async fn a_post_does_not_ride_on_an_old_connection() {
    let (app, forget, connections) = forgetful_app().await;
    let site = Site::of("a.test", &[app]).await;
    assert!(exchange(site.door, GET).await.starts_with("HTTP/1.1 200"));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let post = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let answer = exchange(site.door, post).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(connections.load(SeqCst), 2);
    forget.notify_waiters();
}

#[tokio::test]
async fn an_instance_that_refuses_is_stepped_over() {
    let app = App::start().await;
    let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let site = Site::of("a.test", &[refusing, app.addr]).await;
    for _ in 0..20 {
        let post = b"POST /upload HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
        let answer = exchange(site.door, post).await;
        assert!(answer.contains("2 bytes at"), "nothing was sent yet, so anything may go elsewhere: {answer}");
    }
    site.serve(&[refusing], 0).await;
    let answer = exchange(site.door, GET).await;
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("a.test"), "{answer}");
    site.until("nothing is in flight", |status| status.in_flight.is_empty()).await;
}

#[tokio::test]
async fn those_who_send_slowly_are_closed() {
    let app = App::start().await;
    let options = Options { header_timeout: Duration::from_millis(300), ..Options::default() };
    let site = Site::with(options, "a.test", &[app.addr]).await;
    let begins: &[&[u8]] = &[b"", b"PRI * HT", b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A: ", GET];
    for begin in begins {
        let mut stream = TcpStream::connect(site.door).await.unwrap();
        let dripping = async {
            stream.write_all(begin).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            let drip = async {
                while writer.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                std::future::pending::<()>().await
            };
            let mut rest = Vec::new();
            tokio::select! {
                _ = reader.read_to_end(&mut rest) => {}
                () = drip, if !begin.is_empty() && *begin != GET => {}
            }
        };
        soon(dripping).await;
    }
}

#[tokio::test]
async fn http2_clients_are_served() {
    let app = App::start().await;
    let site = Site::of("a.test", &[app.addr]).await;
    let stream = TcpStream::connect(site.door).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, driver) = handshake.await.unwrap();
    tokio::spawn(driver);
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..100usize {
        let mut sender = sender.clone();
        let port = app.addr.port();
        requests.spawn(async move {
            let body: Full<Bytes> = Full::from(vec![b'x'; number * 1000]);
            let response =
                sender.send_request(Request::post("http://a.test/upload").body(body).unwrap()).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(response.headers().contains_key("x-sh0-release") && !response.headers().contains_key("connection"));
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, format!("{} bytes at {port}", number * 1000));
        });
    }
    while let Some(ended) = soon(requests.join_next()).await {
        ended.unwrap();
    }
    for (uri, host, status) in [("http://a.test/", Some("b.test"), 400), ("http://b.test/", None, 404)] {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let response = sender.clone().send_request(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{uri} {host:?}");
    }
    let trace = Request::builder().method("TRACE").uri("http://a.test/").body(Full::default()).unwrap();
    assert_eq!(sender.clone().send_request(trace).await.unwrap().status(), 405);
}

/// CVE-2023-44487: streams opened and reset as fast as they can be written.
#[tokio::test]
async fn http2_rapid_reset_is_ended() {
    let app = App::start().await;
    let site = Site::of("a.test", &[app.addr]).await;
    let mut stream = TcpStream::connect(site.door).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let flood = async {
        for number in 0..50_000u32 {
            let id = (number * 2 + 1).to_be_bytes();
            let headers = [&[0, 0, 11, 1, 5], &id[..], &[0x82, 0x86, 0x84, 0x41, 6], b"a.test"].concat();
            let reset = [&[0, 0, 4, 3, 0], &id[..], &[0, 0, 0, 8]].concat();
            if writer.write_all(&[headers, reset].concat()).await.is_err() {
                return;
            }
        }
        panic!("the proxy took 50,000 resets");
    };
    let drain = async {
        let mut buffer = [0; 4096];
        while reader.read(&mut buffer).await.unwrap_or(0) > 0 {}
    };
    soon(async {
        tokio::select! { () = flood => {}, () = drain => {} }
    })
    .await;
    site.until("nothing is in flight", |status| status.in_flight.is_empty()).await;
    assert!(exchange(site.door, GET).await.starts_with("HTTP/1.1 200"), "others are served");
}

#[tokio::test]
async fn a_client_that_leaves_is_not_in_flight() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = silent.local_addr().unwrap();
    let site = Site::of("a.test", &[addr]).await;
    let mut client = TcpStream::connect(site.door).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
    let (mut upstream, _) = soon(silent.accept()).await.unwrap();
    let mut buffer = [0; 1024];
    assert!(soon(upstream.read(&mut buffer)).await.unwrap() > 0);
    drop(client);
    while soon(upstream.read(&mut buffer)).await.unwrap_or(0) > 0 {}
    site.until("nothing is in flight", |status| status.in_flight.is_empty()).await;
}

#[tokio::test]
async fn shutdown_lets_requests_end_and_closes_the_rest() {
    let (socket, _closes) = echo_socket().await;
    let app = App::start().await;
    let site = Site::of("localhost", &[socket]).await;
    let stream = TcpStream::connect(site.door).await.unwrap();
    let (mut client, _) = tokio_tungstenite::client_async("ws://localhost/ws", stream).await.unwrap();
    let reading = tokio::spawn(async move {
        loop {
            match client.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return u16::from(frame.code),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    soon(site.proxy.shutdown(Duration::from_millis(300))).await;
    assert_eq!(soon(reading).await.unwrap(), 1001);
    assert!(TcpStream::connect(site.door).await.is_err(), "nobody listens any more");
    let late = proxy_support::table(99, site.door, "localhost", &[app.addr], 0);
    assert!(site.proxy.apply(&late).await.is_err(), "a proxy that ended takes no table");
}
