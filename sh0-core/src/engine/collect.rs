//! Brings what instances print to the log store: each line is read once, and stays after its instance is gone.

use std::time::Duration;

use futures_util::StreamExt;

use super::Engine;
use super::state::lock;
use crate::Result;
use crate::model::{AppId, InstanceName, ProcessName, ReleaseId, RuntimeKind};
use crate::traits::{NewLine, Observed};

/// Lines are stored together when they come quickly.
const GATHER: usize = 256;

/// How long the removal of an instance waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

impl Engine {
    /// Follows the output of an instance, unless that is being done already.
    pub(crate) fn collect(
        &self,
        kind: RuntimeKind,
        name: &InstanceName,
        process: &ProcessName,
        app: AppId,
        release: ReleaseId,
    ) {
        if !lock(&self.inner.collected).insert(name.clone()) {
            return;
        }
        let (engine, name, process) = (self.for_task(), name.clone(), process.clone());
        self.spawn(async move {
            if let Err(error) = engine.follow_output(kind, &name, &process, app, release).await {
                tracing::debug!(instance = %name, %error, "its output is read again when it is seen next");
            }
            lock(&engine.inner.collected).remove(&name);
        });
    }

    /// The same for all that run.
    pub(crate) fn collect_seen(&self, kind: RuntimeKind, app: AppId, seen: &[Observed]) {
        for instance in seen.iter().filter(|o| o.state.is_running() && !o.labels.one_off) {
            self.collect(kind, &instance.name, &instance.labels.process, app, instance.labels.release);
        }
    }

    async fn follow_output(
        &self,
        kind: RuntimeKind,
        name: &InstanceName,
        process: &ProcessName,
        app: AppId,
        release: ReleaseId,
    ) -> Result<()> {
        let logs = &self.inner.backends.logs;
        let position = logs.position(app, name).await?;
        let lines = self.runtime(kind)?.logs(name, position.map(|position| position.at), true).await?;
        let mut known = position.map_or(0, |position| position.lines);
        let mut chunks = lines.ready_chunks(GATHER);
        while let Some(chunk) = chunks.next().await {
            let mut new = Vec::with_capacity(chunk.len());
            for line in chunk {
                let line = line?;
                // The runtime starts at a time, the store ended within it: lines of that very time are known.
                if known > 0 && position.is_some_and(|position| position.at == line.at) {
                    known -= 1;
                    continue;
                }
                new.push(NewLine {
                    at: line.at,
                    instance: name.clone(),
                    process: process.clone(),
                    release,
                    stream: line.stream,
                    text: line.text,
                });
            }
            if !new.is_empty() {
                logs.append(app, new).await?;
            }
        }
        Ok(())
    }

    /// Waits until the last lines of a stopped instance are stored, not for ever.
    pub(crate) async fn collected(&self, name: &InstanceName) {
        let pause = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        while waited < LAST_LINES && lock(&self.inner.collected).contains(name) {
            self.sleep(pause).await;
            waited += pause;
        }
    }
}
