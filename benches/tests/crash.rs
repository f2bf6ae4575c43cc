//! The short form of the row: the server is killed at random moments of a deployment.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use sh0::model::RuntimeKind;
use sh0_benches::platform::Programs;
use sh0_benches::rows::crash;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing() {
    let programs = Programs {
        sh0: env!("CARGO_BIN_EXE_sh0-under-test").into(),
        probe_app: env!("CARGO_BIN_EXE_probe-app").into(),
    };
    // Other moments at every run; the seed is in the message.
    let seed = u64::from(std::process::id());
    let run = crash::run(&programs, RuntimeKind::Process, 3, seed).await.unwrap();
    assert!(run.problems.is_empty(), "seed {seed}: {:#?}", run.problems);
}
