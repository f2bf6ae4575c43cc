//! What builds and release commands print becomes events.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;

use super::Deploy;
use crate::Result;
use crate::engine::repo::Change;
use crate::engine::state::lock;
use crate::model::{EventKind, Exit, InstanceName, LogStream};
use crate::traits::{OutputSink, Runtime};

/// How many lines of a build are kept with its deployment.
const OUTPUT_LINES: usize = 20_000;

/// How long lines of output are gathered before they are stored.
const OUTPUT_PAUSE: Duration = Duration::from_millis(100);

impl Deploy<'_> {
    /// Runs an effect, and stores what it prints as events while it works.
    pub(super) async fn with_output<T, F>(&self, effect: impl FnOnce(Arc<Output>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let output = Arc::new(Output::default());
        let mut effect = pin!(effect(output.clone()));
        loop {
            let done = tokio::select! {
                biased;
                done = &mut effect => Some(done),
                () = self.engine.sleep(OUTPUT_PAUSE) => None,
            };
            let mut change = Change::default();
            for (stream, lines) in output.take() {
                self.engine.tell(&mut change, &self.row.value, EventKind::Output { stream, lines })?;
            }
            self.engine.commit(change).await?;
            if let Some(done) = done {
                return done;
            }
        }
    }
}

/// Lines that wait to be stored. Bounded: what comes too fast is counted and left out.
#[derive(Default)]
pub(super) struct Output(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lines: Vec<(LogStream, String)>,
    taken: usize,
}

impl Output {
    /// What has come since the last time, runs of one pipe together.
    fn take(&self) -> Vec<(LogStream, Vec<String>)> {
        let mut runs: Vec<(LogStream, Vec<String>)> = Vec::new();
        for (stream, line) in std::mem::take(&mut lock(&self.0).lines) {
            match runs.last_mut() {
                Some((last, lines)) if *last == stream => lines.push(line),
                _ => runs.push((stream, vec![line])),
            }
        }
        runs
    }
}

impl OutputSink for Output {
    fn line(&self, stream: LogStream, line: &str) {
        let mut waiting = lock(&self.0);
        waiting.taken += 1;
        match waiting.taken {
            ..OUTPUT_LINES => waiting.lines.push((stream, clipped(line))),
            OUTPUT_LINES => waiting.lines.push((stream, format!("(output after {OUTPUT_LINES} lines is left out)"))),
            _ => {}
        }
    }
}

/// One line of at most 4 KiB, cut at a character.
fn clipped(line: &str) -> String {
    line[..line.floor_char_boundary(4096)].to_owned()
}

/// Follows a one-off run to its end.
pub(super) async fn run_to_end(runtime: &dyn Runtime, name: &InstanceName, sink: &dyn OutputSink) -> Result<Exit> {
    let mut lines = runtime.logs(name, None, true).await?;
    while let Some(line) = lines.next().await {
        let line = line?;
        sink.line(line.stream, &line.text);
    }
    runtime.wait(name).await
}
