//! A small file server: what a static app runs, as a process and in a container without anything else in it.
//!
//! ```no_run
//! use sh0_services::static_files::{Options, serve};
//!
//! # async fn example() -> std::io::Result<()> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! serve(listener, "public", Options { spa: true }, stop).await
//! # }
//! ```
//!
//! HTTP/1.1 and HTTP/2 without TLS; `index.html`, `page` for `page.html`, a single-page app's fallback, `404.html`;
//! entity tags, dates and single ranges (RFC 9110 sections 8.8, 13, 14); `.br` and `.gz` files beside the asked one.
//!
//! **Deliberately absent:** folder listings, dotfiles (but `.well-known`, RFC 8615), symlinks that leave the folder,
//! compression on the fly, and TLS: the proxy in front does both.

mod answer;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod linger;
mod request;

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 2048;
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers may take to end once it was asked to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// How files are served.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Paths that are no file, and look like a page, answer `index.html` (a single-page app).
    pub spa: bool,
}

/// Serves `dir` until `stop`, then ends when the answers that were begun have ended.
pub async fn serve(
    listener: TcpListener,
    dir: impl AsRef<Path>,
    options: Options,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let site = Arc::new(request::Site { root: tokio::fs::canonicalize(dir).await?, spa: options.spa });
    let mut server = Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(128);
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut stop = std::pin::pin!(stop);
    loop {
        let (socket, permit) = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = &mut stop => break,
        };
        let site = site.clone();
        let answer = service_fn(move |request| {
            let site = site.clone();
            async move { Ok::<_, Infallible>(site.answer(&request).await) }
        });
        let socket = linger::Lingering::new(socket);
        let connection = server.serve_connection(TokioIo::new(socket.clone()), answer).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that goes away is its own affair.
            let _ = connection.await;
            socket.close().await;
            drop(permit);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> (tokio::net::TcpStream, Option<tokio::sync::OwnedSemaphorePermit>) {
    let permit = room.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let _ = socket.set_nodelay(true);
                return (socket, permit);
            }
            // Out of descriptors: a moment later there are some again.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The whole program: `DIR [--port P] [--listen ADDRESS] [--spa]`. It listens on 127.0.0.1 and on the port in the
/// variable `PORT` unless told otherwise, and ends cleanly on SIGTERM.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::parse(args) {
        Ok(arguments) => run(&arguments.dir, Options { spa: arguments.spa }, arguments.listen, arguments.port),
        Err(problem) => fail(&problem),
    }
}

/// Serves a folder on 127.0.0.1.
#[cfg_attr(not(feature = "runtime-process"), allow(dead_code))]
pub(crate) fn serve_folder(dir: &Path, spa: bool, port: u16) -> ExitCode {
    run(dir, Options { spa }, IpAddr::from([127, 0, 0, 1]), port)
}

fn run(dir: &Path, options: Options, listen: IpAddr, port: u16) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no runtime: {error}")),
    };
    let served = runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let listener = TcpListener::bind((listen, port)).await?;
        serve(listener, dir, options, async move {
            terminate.recv().await;
        })
        .await
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("serving {} on {listen}:{port}: {error}", dir.display())),
    }
}

fn fail(problem: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "sh0 static: {problem}");
    ExitCode::from(2)
}

struct Arguments {
    dir: PathBuf,
    port: u16,
    listen: IpAddr,
    spa: bool,
}

impl Arguments {
    fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
        let mut args = args.into_iter();
        let (mut dir, mut port, mut listen, mut spa) = (None, None, IpAddr::from([127, 0, 0, 1]), false);
        while let Some(arg) = args.next() {
            let mut value = || args.next().and_then(|value| value.into_string().ok()).unwrap_or_default();
            match arg.to_str() {
                Some("--spa") => spa = true,
                Some("--port") => port = Some(value().parse().map_err(|_| "--port wants a number up to 65535")?),
                Some("--listen") => listen = value().parse().map_err(|_| "--listen wants an IP address")?,
                _ if dir.is_none() => dir = Some(PathBuf::from(arg)),
                _ => return Err(format!("unexpected argument {}", arg.display())),
            }
        }
        // A container without a shell has no other way to hand its PORT on; this is a program's entry, not a library's.
        let port = port.or_else(|| std::env::var("PORT").ok()?.parse().ok());
        Ok(Arguments {
            dir: dir.ok_or("name the folder to serve")?,
            port: port.ok_or("give --port, or a number in the variable PORT")?,
            listen,
            spa,
        })
    }
}
