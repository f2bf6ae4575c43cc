//! How a server is reached: a TCP or Unix connection, with TLS over it for `https`.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use sh0_core::{Error, Result};
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

use super::Target;

/// A connection that is not there after this long has failed.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

pub(super) type Connector = HttpsConnector<Dial>;

pub(super) fn connector(target: &Target) -> Result<Connector> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_WITHIN));
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    let socket: Option<Arc<Path>> = match target {
        Target::Unix(path) => Some(PathBuf::as_path(path).into()),
        Target::Http(_) => None,
    };
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| Error::internal(format!("TLS cannot be set up: {error}")).with_source(error))?;
    Ok(tls.https_or_http().enable_http1().wrap_connector(Dial { tcp, socket }))
}

/// Opens connections to one server.
#[derive(Clone)]
pub(super) struct Dial {
    tcp: HttpConnector,
    socket: Option<Arc<Path>>,
}

impl Service<Uri> for Dial {
    type Response = Wire;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if let Some(path) = self.socket.clone() {
            return Box::pin(async move {
                let connecting = tokio::time::timeout(CONNECT_WITHIN, UnixStream::connect(&path));
                let stream = connecting.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                Ok(Wire::Unix(TokioIo::new(stream)))
            });
        }
        let connecting = self.tcp.call(uri);
        Box::pin(async move { Ok(Wire::Tcp(connecting.await?)) })
    }
}

/// An open connection.
pub(super) enum Wire {
    Tcp(TokioIo<TcpStream>),
    Unix(TokioIo<UnixStream>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Wire::Unix(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Wire::Unix(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Tcp(io) => Pin::new(io).poll_flush(cx),
            Wire::Unix(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Wire::Unix(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
