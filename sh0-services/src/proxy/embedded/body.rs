//! Bodies on their way through: nothing is gathered, what one side does not read the other cannot send.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::headers;
use super::instance::{Claim, Limits, Sender};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What the two bodies of one request share. The request is in flight until the last of them is gone.
pub(super) struct Flight {
    pub(super) claim: Claim,
    /// The client broke its own request: framing that cannot be read, or gone before its end.
    pub(super) client_failed: AtomicBool,
}

impl Flight {
    pub(super) fn new(claim: Claim) -> Arc<Flight> {
        Arc::new(Flight { claim, client_failed: AtomicBool::new(false) })
    }
}

/// The body of a request, from client to instance.
pub(super) struct Upload {
    /// None for a request that is sent again: it has no body.
    inner: Option<Incoming>,
    pub(super) flight: Option<Arc<Flight>>,
}

impl Upload {
    pub(super) fn new(inner: Incoming) -> Upload {
        Upload { inner: Some(inner), flight: None }
    }

    pub(super) fn empty() -> Upload {
        Upload { inner: None, flight: None }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        if let (Some(Err(_)), Some(flight)) = (&frame, &self.flight) {
            flight.client_failed.store(true, SeqCst);
        }
        Poll::Ready(frame.map(|frame| frame.map(without_framing)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

/// The body of a response, from instance to client.
pub(super) struct Download {
    inner: Incoming,
    flight: Arc<Flight>,
    /// Goes back to its instance once the body was read whole.
    sender: Option<Sender>,
    limits: Limits,
    cut: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Download {
    pub(super) fn new(inner: Incoming, flight: Arc<Flight>, sender: Sender, limits: Limits) -> Download {
        let mut body = Download { inner, flight, sender: Some(sender), limits, cut: None };
        body.give_back_at_end();
        body
    }

    fn give_back_at_end(&mut self) {
        if self.inner.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.flight.claim.keep(sender, &self.limits);
        }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let token = &self.flight.claim.cut;
        let cut = self.cut.get_or_insert_with(|| Box::pin(token.clone().cancelled_owned()));
        cut.as_mut().poll(cx)
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.give_back_at_end();
                Poll::Ready(Some(Ok(without_framing(frame))))
            }
            Poll::Ready(None) => {
                this.give_back();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.sender = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Pending => {
                ready!(this.poll_cut(cx));
                this.sender = None;
                Poll::Ready(Some(Err("the instance had to end before its response did".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn without_framing(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        headers::clean_trailers(trailers);
    }
    frame
}

/// What a client gets: a page of the proxy, or what an instance says.
pub(super) enum Reply {
    Page(Full<Bytes>),
    Relayed(Download),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Reply::Page(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Reply::Relayed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Reply::Page(body) => body.is_end_stream(),
            Reply::Relayed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Page(body) => body.size_hint(),
            Reply::Relayed(body) => body.size_hint(),
        }
    }
}
