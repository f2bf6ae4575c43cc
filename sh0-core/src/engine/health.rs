//! Waiting until new instances are ready, seen from outside, and saying why they are not.

use std::net::SocketAddr;
use std::time::Duration;

use super::Engine;
use super::instances::{Wanted, failed};
use crate::model::{HealthCheck, InstanceState, Upstream};
use crate::traits::{LastLines, Observed, Probe, Runtime};
use crate::{Error, Result};

/// The first probes follow each other quickly: most apps are ready within milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// How often the runtime is asked whether the instance still runs.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A worker that runs this long has started.
const WORKER_SETTLES: Duration = Duration::from_millis(1000);

impl Engine {
    /// Waits until every instance is ready; answers where the `web` ones are. The first that fails ends it, with its
    /// reason and last lines. `fresh` instances were created for this very wait: one that has ended even once has failed.
    pub(crate) async fn ready(
        &self,
        runtime: &dyn Runtime,
        wanted: &[Wanted],
        check: &HealthCheck,
        fresh: bool,
    ) -> Result<Vec<Upstream>> {
        let waits = wanted.iter().map(|wanted| self.instance_ready(runtime, wanted, check, fresh));
        let found = futures_util::future::try_join_all(waits).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn instance_ready(
        &self,
        runtime: &dyn Runtime,
        wanted: &Wanted,
        check: &HealthCheck,
        fresh: bool,
    ) -> Result<Option<Upstream>> {
        if !wanted.is_web() {
            return self.settles(runtime, wanted, fresh).await.map(|()| None);
        }
        let limit = Duration::from(check.start_period);
        let (mut waited, mut looked, mut pause, mut good) = (Duration::ZERO, Duration::ZERO, FIRST_PAUSE, 0);
        let mut addr = self.alive(runtime, wanted, fresh).await?.endpoint;
        let mut retries = check.retries;
        loop {
            let last = match addr {
                Some(addr) => {
                    let began = self.now();
                    let seen = self.inner.backends.prober.probe(addr, check).await;
                    waited += elapsed(began, self.now());
                    seen
                }
                None => Probe::Refused,
            };
            good = if last == Probe::Healthy { good + 1 } else { 0 };
            if let Some(addr) = addr.filter(|_| good >= check.successes.max(1)) {
                // A server that answers and dies is not ready; one that lives is the one that answered.
                self.alive(runtime, wanted, fresh).await?;
                return Ok(Some(Upstream { instance: wanted.name.clone(), addr }));
            }
            if waited >= limit {
                // One that answers well is not given up before it has done so as often as it should.
                if last != Probe::Healthy {
                    if retries == 0 {
                        return Err(self.never_ready(runtime, wanted, addr, &last, waited).await);
                    }
                    retries -= 1;
                }
                pause = check.interval.into();
            }
            self.sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(check.interval.into());
            if waited - looked >= LOOK_EVERY {
                looked = waited;
                addr = self.alive(runtime, wanted, fresh).await?.endpoint;
            }
        }
    }

    /// A process that listens nowhere is ready when it has run for a while.
    async fn settles(&self, runtime: &dyn Runtime, wanted: &Wanted, fresh: bool) -> Result<()> {
        let mut waited = Duration::ZERO;
        while waited < WORKER_SETTLES {
            self.alive(runtime, wanted, fresh).await?;
            self.sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
        self.alive(runtime, wanted, fresh).await.map(drop)
    }

    /// The instance, if it runs; a `fresh` one must never have ended since it was created.
    async fn alive(&self, runtime: &dyn Runtime, wanted: &Wanted, fresh: bool) -> Result<Observed> {
        let Some(observed) = runtime.inspect(&wanted.name).await? else {
            return Err(failed(&wanted.name, "was removed by somebody while it started", &LastLines::default()));
        };
        let reason = match &observed.state {
            InstanceState::Running if observed.restarts == 0 || !fresh => return Ok(observed),
            InstanceState::Running | InstanceState::Restarting => {
                "ended and was started again: it does not stay up".to_owned()
            }
            InstanceState::Exited(exit) => format!("ended instead of serving: it {exit}"),
            InstanceState::Created => "was not started".to_owned(),
            InstanceState::Unknown { raw } => format!("is in the state `{raw}`"),
        };
        Err(failed(&wanted.name, &reason, &self.last_lines(runtime, &wanted.name).await))
    }

    async fn never_ready(
        &self,
        runtime: &dyn Runtime,
        wanted: &Wanted,
        addr: Option<SocketAddr>,
        last: &Probe,
        waited: Duration,
    ) -> Error {
        let seconds = (waited.as_secs_f32() * 10.0).round() / 10.0;
        let reason = match (addr, last) {
            (None, _) => format!("got no address within {seconds} s"),
            (Some(addr), Probe::Refused) => {
                let why = runtime.diagnose(&wanted.name, addr.port()).await.ok().flatten();
                let why =
                    why.unwrap_or_else(|| "nothing listens there; listen on the port in the variable PORT".to_owned());
                format!("never opened port {} within {seconds} s: {why}", addr.port())
            }
            (Some(_), Probe::Status(status)) => {
                format!("answered its health check with HTTP {status} for {seconds} s; a 2xx or 3xx is healthy")
            }
            (Some(_), Probe::Unreachable(how)) => format!("opened its port but did not answer its health check: {how}"),
            // The last probe of one that has failed was not.
            (Some(_), Probe::Healthy) => format!("was not healthy often enough within {seconds} s"),
        };
        failed(&wanted.name, &reason, &self.last_lines(runtime, &wanted.name).await)
    }
}

fn elapsed(from: crate::model::Timestamp, to: crate::model::Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}
