//! What a token opened ends with the token: streams and sessions outlive the request that began them, and must not
//! outlive the right to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::FutureExt;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::auth::Principal;
use crate::engine::Engine;
use crate::engine::repo::TokenRow;
use crate::traits::{Session, SessionInput, Terminal};
use crate::{Code, Error, Result};

/// The wall clock may be set: the time of expiry is looked at again at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// How long a caller may go on: a token's holder, until it is revoked or expires; others without end.
#[derive(Clone)]
pub(super) struct Lease(Option<Arc<Watch>>);

/// Watches a token for as long as somebody needs to know.
struct Watch {
    ended: CancellationToken,
    /// Nobody needs to know any more when this is dropped.
    _needed: DropGuard,
}

impl Lease {
    pub(super) fn of(engine: &Engine, principal: &Principal) -> Lease {
        Lease(principal.token_id().map(|id| {
            let (ended, over) = (CancellationToken::new(), CancellationToken::new());
            let (inner, tell, unneeded) = (engine.for_task(), ended.clone(), over.clone());
            engine.spawn(async move {
                if unneeded.run_until_cancelled(inner.token_ended(id.to_string())).await.is_some() {
                    tell.cancel();
                }
            });
            Arc::new(Watch { ended, _needed: over.drop_guard() })
        }))
    }

    /// The items; when the lease ends, an error as the last one.
    pub(super) fn over_stream<T: Send + 'static>(
        self,
        items: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let Some(watch) = self.0 else { return items };
        stream::unfold(Some((items, watch)), |state| async move {
            let (mut items, watch) = state?;
            tokio::select! {
                biased;
                () = watch.ended.cancelled() => Some((Err(over()), None)),
                item = items.next() => item.map(|item| (item, Some((items, watch)))),
            }
        })
        .boxed()
    }

    /// Output and exit end with an error, upon which the caller drops the session; input is refused at once.
    pub(super) fn over_session(self, session: Session) -> Session {
        let Some(watch) = self.0.clone() else { return session };
        let Session { input, output, exit } = session;
        let input = Box::new(Input { input: Some(input), watch: watch.clone() });
        let exit = async move {
            tokio::select! {
                biased;
                () = watch.ended.cancelled() => Err(over()),
                exit = exit => exit,
            }
        };
        Session { input, output: self.over_stream(output), exit: exit.boxed() }
    }
}

struct Input {
    input: Option<Box<dyn SessionInput>>,
    watch: Arc<Watch>,
}

impl Input {
    fn open(&mut self) -> Result<&mut Box<dyn SessionInput>> {
        if self.watch.ended.is_cancelled() {
            self.input = None;
        }
        self.input.as_mut().ok_or_else(over)
    }
}

#[async_trait]
impl SessionInput for Input {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.open()?.write(bytes).await
    }

    async fn close(&mut self) -> Result<()> {
        self.open()?.close().await
    }

    async fn resize(&mut self, size: Terminal) -> Result<()> {
        self.open()?.resize(size).await
    }
}

fn over() -> Error {
    Error::new(Code::Unauthorized, "the token was revoked or has expired: what it had opened ended with it")
}

impl Engine {
    /// Waits until the token is revoked or has expired. Each commit may be the one that revokes it.
    async fn token_ended(&self, id: String) {
        let mut commits = self.inner.backends.store.watch();
        loop {
            commits.borrow_and_update();
            let left = match self.repo().get::<TokenRow>(&id).await {
                Ok(None) => return,
                Ok(Some(row)) if row.value.expired(self.now()) => return,
                Ok(Some(row)) => row.value.token.expires_at.map(|end| end.duration_since(self.now())),
                // The store is away: nothing can be revoked meanwhile.
                Err(_) => None,
            };
            let left = left.and_then(|left| Duration::try_from(left).ok()).unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
            tokio::select! {
                changed = commits.changed() => if changed.is_err() { return },
                () = self.sleep(left) => {}
            }
        }
    }
}
