use std::collections::BTreeMap;
use std::time::Duration;

use sh0_core::engine::Engine;
use sh0_core::testkit::chaos::{Faults, Mode, wrap};
use sh0_core::testkit::fakes::World;
use sh0_core::{Code, Result};
use sh0_store::memory::MemoryStore;

use crate::scenario::Scenario;
use crate::verdict::{Before, verdict};

/// How long faults may strike: longer than any scenario takes without them, shorter than the pause of the reconciler.
const WINDOW: Duration = Duration::from_secs(15);

/// After a fault the platform has so long to be as it should be, without a human.
const PATIENCE: Duration = Duration::from_secs(60);

/// A backend that hangs is no better for two minutes.
const PATIENCE_WITH_HANGS: Duration = Duration::from_secs(180);

/// More calls than any scenario makes: the loop ends long before.
const MOST_CALLS: u64 = 5_000;

/// Runs the scenario with the first call going wrong, then the second, and so on until nothing is hit any more; in every
/// mode. Panics with all cases that ended badly.
pub(crate) fn every_call(scenario: Scenario) {
    let (mut bad, mut calls) = (Vec::new(), BTreeMap::new());
    for mode in Mode::ALL {
        for k in 1.. {
            assert!(k < MOST_CALLS, "{scenario:?} in mode {mode:?} never ends");
            if matters_only_with_an_effect(mode) && calls.get(&k).copied().is_some_and(only_looks) {
                continue;
            }
            let case = play(scenario, mode, k);
            if let Some(call) = case.hit {
                calls.insert(k, call);
            }
            if !case.broken.is_empty() {
                let call = case.hit.unwrap_or("nothing");
                bad.push(format!("{scenario:?}, {mode:?}, call {k} ({call}):\n    {}", case.broken.join("\n    ")));
            }
            if case.hit.is_none() {
                break;
            }
        }
    }
    let shown = bad.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(bad.is_empty(), "{} cases ended badly, such as:\n{shown}", bad.len());
}

/// These differ from their siblings by what the call has done.
fn matters_only_with_an_effect(mode: Mode) -> bool {
    matches!(mode, Mode::LostAnswer(_) | Mode::DiesAfter)
}

/// A call without an effect. Runs are the same up to the call that goes wrong, so it is the same in every mode.
fn only_looks(call: &str) -> bool {
    const LOOKS: [&str; 18] = [
        "store.get",
        "store.find",
        "store.list",
        "store.read",
        "runtime.info",
        "runtime.has_artifact",
        "runtime.list_artifacts",
        "runtime.list_volumes",
        "runtime.inspect",
        "runtime.list",
        "runtime.logs",
        "runtime.wait",
        "runtime.diagnose",
        "proxy.status",
        "planner.plan",
        "prober.probe",
        "logs.position",
        "sealer.open",
    ];
    LOOKS.contains(&call)
}

struct Case {
    hit: Option<&'static str>,
    broken: Vec<String>,
}

/// One case in a runtime of its own: what it leaves behind ends with it.
fn play(scenario: Scenario, mode: Mode, k: u64) -> Case {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (world, faults) = (World::new(MemoryStore::new()), Faults::default());
        let engine = Engine::open(wrap(world.backends(), &faults), world.config.clone()).await.unwrap();
        scenario.prepare(&world, &engine).await.unwrap();
        let before = Before::of(&world, &engine).await;

        faults.arm(k, mode);
        let accepted = tokio::select! {
            () = faults.died() => Err(None),
            asked = ask(scenario, &engine) => {
                let rest = tokio::time::sleep(WINDOW);
                tokio::select! {
                    () = faults.died() => {}
                    () = rest => {}
                }
                asked.map_err(Some)
            }
        };
        faults.disarm();
        let mut broken = Vec::new();
        if !mode.kills() {
            // It must find its way alone, without being started again.
            let patience = if mode == Mode::Hangs { PATIENCE_WITH_HANGS } else { PATIENCE };
            if let Err(unsettled) = world.try_settle(&engine, patience).await {
                broken.extend(unsettled.into_iter().map(|what| format!("before a restart: {what}")));
            }
        }
        drop(engine);
        tokio::task::yield_now().await;
        let engine = world.open().await.unwrap();
        if let Err(unsettled) = world.try_settle(&engine, PATIENCE).await {
            broken.extend(unsettled);
        }
        if let Err(Some(error)) = &accepted {
            broken.push(format!("was never accepted: {error:?}"));
        }
        broken.extend(verdict(scenario, mode, accepted.is_ok(), &before, &world, &engine).await);
        Case { hit: faults.hit(), broken }
    })
}

/// Asks as a client does: again when the answer is lost or a part is away.
async fn ask(scenario: Scenario, engine: &Engine) -> Result<()> {
    for _ in 0..5 {
        match scenario.act(engine).await {
            Err(error) if matches!(error.code(), Code::Unavailable | Code::Internal | Code::Timeout) => {}
            result => return result,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scenario.act(engine).await
}
