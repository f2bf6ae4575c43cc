//! A runtime in memory. Its instances play what a test has written for their command.

mod api;
mod host;
mod session;

pub use host::{Behaviour, FakeInstance};
pub use session::STAYS;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::{broadcast, watch};

use super::{Stage, TestClock, lock};
use crate::model::{
    AppId, Artifact, Exit, HealthCheck, InstanceName, InstanceState, LogStream, RuntimeKind, Upstream, VolumeName,
};
use crate::traits::{Clock, Probe, RawLine, RuntimeEvent};
use crate::{Error, Result};
use host::Host;

/// A runtime in memory. Its clones are handles of the same host: drop them and its instances stay.
#[derive(Clone)]
pub struct FakeRuntime {
    kind: RuntimeKind,
    host: Arc<Mutex<Host>>,
    clock: Arc<TestClock>,
    stage: Stage,
    /// Rises with every change, for those who wait for one.
    changed: Arc<watch::Sender<u64>>,
    /// `None` ends every stream of events with an error.
    events: broadcast::Sender<Option<RuntimeEvent>>,
}

impl FakeRuntime {
    /// An empty host.
    pub fn new(kind: RuntimeKind, clock: &Arc<TestClock>, stage: &Stage) -> Self {
        FakeRuntime {
            kind,
            host: Arc::new(Mutex::new(Host::new(kind))),
            clock: clock.clone(),
            stage: stage.clone(),
            changed: Arc::new(watch::Sender::new(0)),
            events: broadcast::Sender::new(64),
        }
    }

    // ---- what a test writes ----

    /// What instances play whose command (or image, where there is none) is this one. [`Behaviour::Healthy`] without a
    /// script; one-off runs end at once with code 0.
    pub fn script(&self, command: impl Into<String>, behaviour: Behaviour) {
        lock(&self.host).scripts.insert(command.into(), behaviour);
    }

    /// Does not answer, or does again.
    pub fn set_away(&self, away: bool) {
        lock(&self.host).away = away;
        if away {
            self.send(None);
        }
    }

    /// Events were lost.
    pub fn gap(&self) {
        self.send(Some(RuntimeEvent::Gap));
    }

    /// An instance ends by itself, and nobody starts it again.
    pub fn crash(&self, name: &InstanceName, code: i32) {
        self.change(name, |instance| instance.end(Exit { code, oom: false }));
        self.tell(name, RuntimeEvent::Ended);
    }

    /// An instance ends by itself and its restart owner starts it again, at another address.
    pub fn restart(&self, name: &InstanceName) {
        let port = lock(&self.host).next_port();
        self.change(name, |instance| {
            instance.restarts += 1;
            instance.answered = false;
            instance.move_to(port);
        });
        self.tell(name, RuntimeEvent::Ended);
        self.tell(name, RuntimeEvent::Started);
    }

    /// Somebody removes an instance behind the platform's back.
    pub fn vanish(&self, name: &InstanceName) {
        let Some(instance) = lock(&self.host).instances.remove(name) else { return };
        self.touch();
        self.send(Some(RuntimeEvent::Removed(name.clone(), instance.spec.labels.app)));
    }

    /// Puts an instance on the host behind the platform's back.
    pub fn plant(&self, instance: FakeInstance) {
        lock(&self.host).instances.insert(instance.spec.name.clone(), instance);
        self.touch();
    }

    /// An instance prints a line.
    pub fn print(&self, name: &InstanceName, text: &str) {
        let at = self.clock.now();
        self.change(name, |instance| {
            instance.lines.push(RawLine { at, stream: LogStream::Stdout, text: text.to_owned() });
        });
    }

    /// An app writes to its volume. It must exist.
    pub fn write_volume(&self, app: AppId, name: &VolumeName, data: &str) -> Result<()> {
        let mut host = lock(&self.host);
        let volume = host.volumes.get_mut(&(app, name.clone()));
        data.clone_into(volume.ok_or_else(|| Error::not_found("volume", name))?);
        Ok(())
    }

    // ---- what a test reads ----

    /// Every instance, by name.
    pub fn instances(&self) -> Vec<FakeInstance> {
        lock(&self.host).instances.values().cloned().collect()
    }

    /// One instance.
    pub fn instance(&self, name: &InstanceName) -> Option<FakeInstance> {
        lock(&self.host).instances.get(name).cloned()
    }

    /// Every artifact that was built and not removed.
    pub fn artifacts(&self) -> Vec<Artifact> {
        lock(&self.host).artifacts.values().map(|built| built.artifact.clone()).collect()
    }

    /// What is on a volume; `None` without one.
    pub fn volume(&self, app: AppId, name: &VolumeName) -> Option<String> {
        lock(&self.host).volumes.get(&(app, name.clone())).cloned()
    }

    // ---- what the other fakes ask ----

    /// What a probe of this address finds.
    pub(super) fn probe(&self, addr: SocketAddr, check: &HealthCheck) -> Probe {
        let (probe, ended) = {
            let mut host = lock(&self.host);
            let found = host.instances.values_mut().find(|i| i.endpoint == Some(addr) && i.state.is_running());
            match found {
                None => return Probe::Refused,
                Some(instance) => {
                    let probe = instance.probe(check);
                    let ended = (!instance.state.is_running()).then(|| instance.spec.name.clone());
                    (probe, ended)
                }
            }
        };
        if let Some(name) = ended {
            self.touch();
            self.tell(&name, RuntimeEvent::Ended);
        }
        probe
    }

    /// Whether this instance has ever answered a probe as it should.
    pub(super) fn answered(&self, upstream: &Upstream) -> bool {
        lock(&self.host).instances.get(&upstream.instance).is_some_and(|instance| instance.answered)
    }

    // ---- changes ----

    fn change<T>(&self, name: &InstanceName, edit: impl FnOnce(&mut FakeInstance) -> T) -> Option<T> {
        let edited = lock(&self.host).instances.get_mut(name).map(edit);
        self.touch();
        edited
    }

    fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn tell(&self, name: &InstanceName, event: impl FnOnce(InstanceName, AppId) -> RuntimeEvent) {
        if let Some(instance) = self.instance(name) {
            self.send(Some(event(name.clone(), instance.spec.labels.app)));
        }
    }

    fn send(&self, event: Option<RuntimeEvent>) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    fn answers(&self) -> Result<()> {
        match lock(&self.host).away {
            true => Err(Error::unavailable("the fake runtime is away")),
            false => Ok(()),
        }
    }

    /// Waits until `look` finds something.
    async fn until<T>(&self, mut look: impl FnMut(&Host) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(found) = look(&lock(&self.host)) {
                return found;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// How an instance ended, when it has.
fn ended(instance: &FakeInstance) -> Option<Exit> {
    match instance.state {
        InstanceState::Exited(exit) => Some(exit),
        _ => None,
    }
}
