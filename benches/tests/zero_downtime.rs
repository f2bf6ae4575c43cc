//! The short form of the row: redeploys under load drop nothing, and the clients can see failures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use sh0::model::RuntimeKind;
use sh0_benches::load::Shape;
use sh0_benches::platform::Programs;
use sh0_benches::rows::zero_downtime::{self, Scope};

fn programs() -> Programs {
    Programs { sh0: env!("CARGO_BIN_EXE_sh0-under-test").into(), probe_app: env!("CARGO_BIN_EXE_probe-app").into() }
}

/// Shorter in everything but what is checked.
fn scope(runtime: RuntimeKind, redeploys: usize, failing: usize) -> Scope {
    let shape = Shape { slow_for: Duration::from_secs(2), slow: 2, websockets: 4, uploads: 1, ..Shape::everything() };
    Scope { runtime, redeploys, failing, shape, drain: Duration::from_secs(3) }
}

async fn drops_nothing(scope: Scope) {
    let run = zero_downtime::run(&programs(), scope).await.unwrap();
    // How many answers come in a second depends on the machine: that is for the whole row.
    assert!(run.problems.is_empty(), "{:#?}\n{:#?}\n{:#?}", run.problems, run.verdict.faults, run.verdict.rows());
    assert!(run.verdict.closed_1001 > 0, "no websocket was there at a switch: {:#?}", run.verdict.rows());
    assert_eq!(run.reasons.len(), scope.failing);
}

#[tokio::test(flavor = "multi_thread")]
async fn redeploys_of_processes_drop_nothing() {
    drops_nothing(scope(RuntimeKind::Process, 4, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redeploys_of_containers_drop_nothing() {
    drops_nothing(scope(RuntimeKind::Docker, 2, 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_see_what_recreate_drops() {
    let failed = zero_downtime::blind_test(&programs(), RuntimeKind::Process, 1).await.unwrap();
    assert!(failed > 0, "the clients are blind");
}
