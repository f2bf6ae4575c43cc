//! Events: differences between what was known of each instance and what its state file says now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesUnordered, StreamExt};
use sh0_core::model::{AppId, InstanceName};
use sh0_core::traits::RuntimeEvent;
use sh0_core::{Error, Result};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use super::hub::Change;
use super::instances::{Instances, ended};
use super::launch::Status;
use super::procfs::Proc;

/// Longer than any machine runs.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What was seen of an instance last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    app: AppId,
    status: Status,
    started_at: Option<i64>,
    shim: Option<Proc>,
}

struct Watcher {
    instances: Arc<Instances>,
    seen: HashMap<InstanceName, Seen>,
    /// Shims that run; one that is killed writes nothing.
    shims: FuturesUnordered<BoxFuture<'static, InstanceName>>,
}

/// Events from now on.
pub(crate) fn events(instances: &Arc<Instances>) -> Result<BoxStream<'static, Result<RuntimeEvent>>> {
    let changes = instances.hub.states();
    let mut watcher = Watcher { instances: instances.clone(), seen: HashMap::new(), shims: FuturesUnordered::new() };
    watcher.look_at_all()?;
    let (send, receive) = mpsc::channel(256);
    tokio::spawn(watcher.run(changes, send));
    Ok(stream::unfold(receive, |mut receive| async { Some((receive.recv().await?, receive)) }).boxed())
}

impl Watcher {
    async fn run(mut self, mut changes: broadcast::Receiver<Change>, send: mpsc::Sender<Result<RuntimeEvent>>) {
        loop {
            let news = tokio::select! {
                () = send.closed() => return,
                change = changes.recv() => match change {
                    Ok(Change::State(name)) => name.parse().map(|name| self.look_at(&name)).unwrap_or_default(),
                    Ok(Change::Lost) | Err(RecvError::Lagged(_)) => match self.look_at_all() {
                        Ok(()) => vec![RuntimeEvent::Gap],
                        Err(error) => return drop(send.send(Err(error)).await),
                    },
                    Err(RecvError::Closed) => {
                        let error = Error::unavailable("the process runtime was closed");
                        return drop(send.send(Err(error)).await);
                    }
                },
                Some(name) = self.shims.next(), if !self.shims.is_empty() => self.look_at(&name),
            };
            for event in news {
                if send.send(Ok(event)).await.is_err() {
                    return;
                }
            }
        }
    }

    fn look_at_all(&mut self) -> Result<()> {
        self.seen.clear();
        for name in self.instances.names()? {
            self.look_at(&name);
        }
        Ok(())
    }

    /// What happened to this instance since it was looked at last.
    fn look_at(&mut self, name: &InstanceName) -> Vec<RuntimeEvent> {
        let Ok(record) = self.instances.record(name) else { return Vec::new() };
        let Some(record) = record else {
            let Some(gone) = self.seen.remove(name) else { return Vec::new() };
            // Its end and its removal may lie between two looks.
            let ended = (gone.status == Status::Running).then(|| RuntimeEvent::Ended(name.clone(), gone.app));
            return ended.into_iter().chain([RuntimeEvent::Removed(name.clone(), gone.app)]).collect();
        };
        let Ok(state) = self.instances.state(name) else { return Vec::new() };
        let now = Seen { app: record.app, status: state.status, started_at: state.started_at, shim: state.shim };
        let before = self.seen.insert(name.clone(), now);
        if let Some(shim) = now.shim.filter(|shim| before.and_then(|before| before.shim) != Some(*shim)) {
            let name = name.clone();
            self.shims.push(Box::pin(async move {
                ended(shim, FOR_EVER).await;
                name
            }));
        }
        let before = before.map(|before| (before.status, before.started_at)).unwrap_or((Status::Created, None));
        differences(before, (now.status, now.started_at))
            .map(|started| match started {
                true => RuntimeEvent::Started(name.clone(), record.app),
                false => RuntimeEvent::Ended(name.clone(), record.app),
            })
            .collect()
    }
}

/// Starts (`true`) and ends (`false`) between two looks.
fn differences(before: (Status, Option<i64>), now: (Status, Option<i64>)) -> impl Iterator<Item = bool> {
    let ran = before.0 == Status::Running;
    let runs = now.0 == Status::Running;
    let started = before.1 != now.1 && now.1.is_some();
    // The end of the waiting for a next start counts: nobody starts it again now.
    let gave_up = before.0 == Status::Restarting && now.0 == Status::Exited && !started;
    let ended_before = gave_up || (ran && (started || !runs));
    let ended_after = started && !runs;
    [(ended_before, false), (started, true), (ended_after, false)]
        .into_iter()
        .filter_map(|(happened, which)| happened.then_some(which))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_missed_is_told_in_order() {
        let told = |before, now| differences(before, now).collect::<Vec<_>>();
        let (created, one, two) = ((Status::Created, None), Some(1), Some(2));
        assert_eq!(told(created, (Status::Running, one)), [true]);
        assert_eq!(told((Status::Running, one), (Status::Running, one)), [false; 0]);
        assert_eq!(told((Status::Running, one), (Status::Restarting, one)), [false]);
        assert_eq!(told((Status::Restarting, one), (Status::Running, two)), [true]);
        assert_eq!(told((Status::Running, one), (Status::Running, two)), [false, true]);
        assert_eq!(told(created, (Status::Exited, one)), [true, false]);
        assert_eq!(told((Status::Running, one), (Status::Exited, two)), [false, true, false]);
        assert_eq!(told((Status::Restarting, one), (Status::Exited, one)), [false]);
    }
}
