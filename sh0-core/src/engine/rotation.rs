//! Who is in rotation: an instance that does not run at its address is taken out at once, one that has answered its health
//! check there comes in. Nobody else writes upstreams but the switch of a deployment.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Engine;
use super::converge::settled;
use super::instances::Wanted;
use super::repo::{AppRow, Change, ReleaseRow};
use super::tries::Tries;
use crate::model::{AppId, DeploymentId, Upstream};
use crate::traits::{Observed, Runtime};
use crate::{Error, Result};

/// Between two looks at what left rotation while a deployment runs.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An app that serves, compared with its runtime.
pub(crate) struct Look {
    pub(crate) row: AppRow,
    pub(crate) release: ReleaseRow,
    pub(crate) deployment: DeploymentId,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) observed: Vec<Observed>,
}

impl Look {
    pub(crate) fn runtime<'a>(&self, engine: &'a Engine) -> Result<&'a dyn Runtime> {
        engine.runtime(self.release.release.artifact.runtime)
    }

    /// Those that should run and do not.
    fn down(&self) -> impl Iterator<Item = &Wanted> {
        self.wanted.iter().filter(|wanted| !self.observed.iter().any(|o| o.name == wanted.name && settled(o)))
    }

    /// Those that run and are not in rotation: started again by their restart owner, at another address, or never asked.
    fn out(&self) -> impl Iterator<Item = &Wanted> {
        let upstreams = self.row.app.live.as_ref().map(|live| &*live.upstreams).unwrap_or_default();
        self.wanted.iter().filter(|wanted| {
            wanted.is_web()
                && self.observed.iter().any(|o| o.name == wanted.name && o.state.is_running())
                && !upstreams.iter().any(|up| up.instance == wanted.name)
        })
    }
}

impl Engine {
    /// Compares the app with its runtime, and takes out of rotation what should not run or does not run at the very address
    /// that the record says: after a restart another app's instance may answer there. `None` when nothing serves.
    pub(crate) async fn look(&self, app: AppId) -> Result<Option<Look>> {
        let mut tries = Tries::default();
        loop {
            // Read before the runtime is asked: who comes in between is not judged by an old look, for then the commit is
            // refused.
            let mut row = self.repo().app(app).await?;
            let Some(live) = &row.value.app.live else { return Ok(None) };
            let deployment = live.deployment;
            let release = self.repo().get::<ReleaseRow>(live.release).await?;
            let release = release.ok_or_else(|| Error::not_found("release", live.release))?.value;
            let observed = self.observe(self.runtime(release.release.artifact.runtime)?, app).await?;
            let wanted = self.wanted(&row.value, &release.release, deployment);
            let stays =
                |up: &Upstream| wanted.iter().any(|w| w.is_web() && w.name == up.instance) && stands(up, &observed);
            if !withdraws(&mut row.value, stays) {
                return Ok(Some(Look { row: row.value, release, deployment, wanted, observed }));
            }
            let mut change = Change::default();
            change.update(&row)?;
            if let Some(ended) = tries.ended(self.commit(change).await) {
                return ended.map(|_| Some(Look { row: row.value, release, deployment, wanted, observed }));
            }
        }
    }

    /// Starts what does not run and asks what is out of rotation, all at the same time; each comes in as soon as it has
    /// answered. What ends meanwhile is out at once. While a deployment runs (`hold`) nobody is started, and nobody comes in
    /// any more once it is set.
    pub(crate) async fn bring_in(&self, first: &Look, hold: Option<&AtomicBool>) -> Result<()> {
        let app = first.row.app.id;
        let fell = self.fell(app);
        let (mut tried, mut failure, mut rang) = (BTreeSet::new(), None, false);
        let mut going = FuturesUnordered::new();
        let mut again = None;
        loop {
            let look = again.as_ref().unwrap_or(first);
            self.collect_seen(first.release.release.artifact.runtime, app, &look.observed);
            let down = look.down().filter(|_| hold.is_none()).map(|wanted| (wanted, false));
            for (wanted, runs) in down.chain(look.out().map(|wanted| (wanted, true))) {
                // Once each: what fails again and again is tried again later, at the pace of the executor.
                if tried.insert(wanted.name.clone()) {
                    going.push(self.admit(first, wanted.clone(), runs, hold));
                }
            }
            let over = loop {
                tokio::select! {
                    biased;
                    came = going.next() => match came {
                        None => break true,
                        Some(came) => {
                            if let Err(error) = came {
                                tracing::warn!(%app, %error, "stays out of rotation");
                                failure.get_or_insert(error);
                            }
                            // It may have ended after it answered, and before it came in.
                            if rang {
                                break false;
                            }
                        }
                    },
                    () = fell.notified() => {
                        rang = true;
                        break false;
                    }
                }
            };
            if over {
                break;
            }
            match self.look(app).await {
                Ok(Some(look)) if look.deployment == first.deployment => again = Some(look),
                Ok(_) => return Ok(()),
                // Those who are on their way go on.
                Err(error) => tracing::debug!(%app, %error, "the runtime could not be looked at"),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let upstreams = self.repo().app(app).await?.value.app.live.map(|live| live.upstreams).unwrap_or_default();
        match upstreams.len() == first.wanted.iter().filter(|wanted| wanted.is_web()).count() {
            true => Ok(()),
            // Nobody may tell when that changes: it is looked at again soon, not at the next round of the reconciler.
            false => Err(Error::unavailable("not every instance is in rotation yet")),
        }
    }

    /// Waits until one instance, started if need be, is ready, and puts it in rotation unless it should go by then.
    async fn admit(&self, look: &Look, wanted: Wanted, runs: bool, hold: Option<&AtomicBool>) -> Result<()> {
        let (runtime, one, release) = (look.runtime(self)?, std::slice::from_ref(&wanted), &look.release);
        if !runs {
            self.bring_up(runtime, release, look.deployment, one).await?;
        }
        for upstream in self.ready(runtime, one, &release.release.settings.health, false).await? {
            self.change_app(look.row.app.id, |row| {
                let held = hold.is_some_and(|hold| hold.load(Ordering::SeqCst));
                let should = row.app.wanted(&wanted.process) > wanted.index && !held;
                if let Some(live) = row.app.live.as_mut().filter(|live| should && live.deployment == look.deployment) {
                    live.upstreams.retain(|up| up.instance != upstream.instance);
                    live.upstreams.push(upstream.clone());
                    live.upstreams.sort();
                }
            })
            .await?;
        }
        Ok(())
    }

    /// While a deployment runs: who serves meanwhile is in rotation where it stands, and nowhere else.
    pub(crate) async fn tend(&self, app: AppId, hold: &AtomicBool) -> Infallible {
        let fell = self.fell(app);
        loop {
            fell.notified().await;
            while let Err(error) = self.tend_once(app, hold).await {
                tracing::debug!(%app, %error, "not every instance serves while a deployment runs");
                self.sleep(LOOK_AGAIN).await;
            }
        }
    }

    async fn tend_once(&self, app: AppId, hold: &AtomicBool) -> Result<()> {
        match self.look(app).await? {
            Some(look) if !hold.load(Ordering::SeqCst) => self.bring_in(&look, Some(hold)).await,
            _ => Ok(()),
        }
    }
}

/// Whether an instance runs where requests are sent to it.
fn stands(upstream: &Upstream, observed: &[Observed]) -> bool {
    observed.iter().any(|o| o.name == upstream.instance && o.state.is_running() && o.endpoint == Some(upstream.addr))
}

/// Takes upstreams out of the record that do not stand; answers whether there were any.
pub(crate) fn withdraw_fallen(row: &mut AppRow, observed: &[Observed]) -> bool {
    withdraws(row, |upstream| stands(upstream, observed))
}

fn withdraws(row: &mut AppRow, stays: impl Fn(&Upstream) -> bool) -> bool {
    let Some(live) = &mut row.app.live else { return false };
    let before = live.upstreams.len();
    live.upstreams.retain(|upstream| stays(upstream));
    live.upstreams.len() < before
}
