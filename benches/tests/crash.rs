//! The short form of the row: the server is killed at random moments of a deployment, and each step is cancelled.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use sh0::model::RuntimeKind;
use sh0_benches::platform::Programs;
use sh0_benches::rows::{cancel, crash};

fn programs() -> Programs {
    Programs { sh0: env!("CARGO_BIN_EXE_sh0-under-test").into(), probe_app: env!("CARGO_BIN_EXE_probe-app").into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing() {
    // Other moments at every run; the seed is in the message.
    let seed = u64::from(std::process::id());
    let run = crash::run(&programs(), RuntimeKind::Process, 3, seed).await.unwrap();
    assert!(run.problems.is_empty(), "seed {seed}: {:#?}", run.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_any_step_changes_nothing() {
    let run = cancel::run(&programs(), RuntimeKind::Process, 1).await.unwrap();
    assert!(run.problems.is_empty(), "{:#?}", run.problems);
}
