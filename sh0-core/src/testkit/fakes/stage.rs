use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::model::{AppId, DeploymentId, InstanceName, VolumeName};

/// What all fakes of a world share: what was done, in order, and what must never have been.
#[derive(Debug, Clone, Default)]
pub struct Stage(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    deeds: Vec<Deed>,
    violations: Vec<String>,
    routed: BTreeSet<InstanceName>,
}

/// An effect on the world.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Deed {
    Fetched(DeploymentId),
    Discarded(DeploymentId),
    Built(DeploymentId),
    Pulled(String),
    RemovedArtifact(String),
    Created(InstanceName),
    Started(InstanceName),
    Stopped(InstanceName),
    Removed(InstanceName),
    MadeVolume(AppId, VolumeName),
    RemovedVolume(AppId, VolumeName),
    /// A table came into force; these instances are in rotation.
    Routed(BTreeSet<InstanceName>),
}

impl Stage {
    /// Everything that was done, in order.
    pub fn deeds(&self) -> Vec<Deed> {
        lock(&self.0).deeds.clone()
    }

    /// How often something was done.
    pub fn count(&self, fits: impl Fn(&Deed) -> bool) -> usize {
        lock(&self.0).deeds.iter().filter(|deed| fits(deed)).count()
    }

    /// Where a request would have met nobody: an instance was stopped while the proxy still sent requests to it, or was
    /// put in rotation before it answered.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.0).violations.clone()
    }

    pub(super) fn did(&self, deed: Deed) {
        lock(&self.0).deeds.push(deed);
    }

    pub(super) fn violated(&self, what: String) {
        lock(&self.0).violations.push(what);
    }

    /// The instances in rotation now.
    pub(super) fn routed(&self) -> BTreeSet<InstanceName> {
        lock(&self.0).routed.clone()
    }

    pub(super) fn route(&self, to: BTreeSet<InstanceName>) {
        let mut state = lock(&self.0);
        state.routed.clone_from(&to);
        state.deeds.push(Deed::Routed(to));
    }

    /// Somebody of the engine ends an instance: nobody may be sent to it any more.
    pub(super) fn ends(&self, name: &InstanceName) {
        let mut state = lock(&self.0);
        if state.routed.contains(name) {
            state.violations.push(format!("{name} was ended while the proxy sent requests to it"));
        }
    }
}
