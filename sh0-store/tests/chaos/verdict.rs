use std::collections::{BTreeMap, BTreeSet};

use sh0_core::Code;
use sh0_core::engine::Engine;
use sh0_core::model::{App, AppId, Deployment, DeploymentKind, DeploymentState, Live, Release};
use sh0_core::ops::audit::ListAudit;
use sh0_core::ops::env::RevealEnv;
use sh0_core::ops::releases::ListReleases;
use sh0_core::testkit::chaos::Mode;
use sh0_core::testkit::fakes::{Deed, World, call};

use crate::scenario::{APP, Scenario};

/// What can be seen of the app at one moment.
pub(crate) struct Before {
    id: AppId,
    seen: Option<Seen>,
    deployments: usize,
}

#[derive(PartialEq)]
struct Seen {
    app: App,
    env: BTreeMap<String, String>,
    releases: Vec<Release>,
}

impl Before {
    pub(crate) async fn of(world: &World, engine: &Engine) -> Before {
        let seen = Seen::of(world, engine).await.expect("every scenario begins with the app");
        let deployments = world.deployments(engine, &APP.parse().unwrap()).await.unwrap().len();
        Before { id: seen.app.id, seen: Some(seen), deployments }
    }
}

impl Seen {
    async fn of(world: &World, engine: &Engine) -> Option<Seen> {
        let app = world.app(engine, APP).await.ok()?;
        let env = call(engine, RevealEnv { app: APP.parse().unwrap() }).await.unwrap().vars;
        let env = env.into_iter().map(|(key, value)| (key.to_string(), value.expose().to_owned())).collect();
        let list = ListReleases { app: APP.parse().unwrap(), cursor: None, limit: Some(1000) };
        let releases = call(engine, list).await.unwrap().items;
        Some(Seen { app, env, releases })
    }
}

/// What did not end as it should, beside what the invariants say.
pub(crate) async fn verdict(
    scenario: Scenario,
    mode: Mode,
    accepted: bool,
    before: &Before,
    world: &World,
    engine: &Engine,
) -> Vec<String> {
    let mut wrong = world.stage.violations();
    wrong.extend(repeated_release_commands(world));
    if scenario == Scenario::Destroy {
        wrong.extend(destroyed(accepted, before, world, engine).await);
        return wrong;
    }
    let Some(seen) = Seen::of(world, engine).await else {
        wrong.push("the app is gone".to_owned());
        return wrong;
    };
    wrong.extend(service(scenario, before, &seen, world));
    wrong.extend(volumes(scenario, before, world));
    let all = world.deployments(engine, &APP.parse().unwrap()).await.unwrap();
    let made = &all[before.deployments..];
    wrong.extend(audit(&all, engine).await);
    if accepted {
        wrong.extend(fulfilled(scenario, mode, before, &seen, made, world));
    }
    wrong
}

/// At every moment somebody served whose deployment succeeded in the end (I5).
fn service(scenario: Scenario, before: &Before, seen: &Seen, world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let good: BTreeSet<_> = seen.releases.iter().map(|release| release.id).collect();
    let mut serving = false;
    for release in world.proxy.served(before.id) {
        match release {
            Some(release) if !good.contains(&release) => wrong.push(format!("{release} served and is no release")),
            Some(_) => serving = true,
            None if serving && !matches!(scenario, Scenario::Stop | Scenario::FailingRecreate) => {
                wrong.push("nobody served for a moment".to_owned())
            }
            None => {}
        }
    }
    wrong
}

/// Data outlives everything but a destroy (I10).
fn volumes(scenario: Scenario, before: &Before, world: &World) -> Vec<String> {
    let data = world.runtime.volume(before.id, &"data".parse().unwrap());
    let lost = scenario != Scenario::FirstDeploy && data.as_deref() != Some("precious");
    let removed = world.stage.count(|deed| matches!(deed, Deed::RemovedVolume(..))) > 0;
    if lost || removed { vec![format!("the volume was touched: {data:?}")] } else { Vec::new() }
}

/// A release command that has ended is not run a second time for the same deployment (I6, I9).
fn repeated_release_commands(world: &World) -> Vec<String> {
    let mut started: BTreeMap<String, u32> = BTreeMap::new();
    for deed in world.stage.deeds() {
        if let Deed::Started(name) = deed
            && name.as_str().ends_with("-release")
        {
            *started.entry(name.to_string()).or_default() += 1;
        }
    }
    started
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .map(|(name, times)| format!("{name} ran {times} times"))
        .collect()
}

/// One audit row for each accepted change, and none without one (I8).
async fn audit(all: &[Deployment], engine: &Engine) -> Vec<String> {
    let rows = call(engine, ListAudit { after: None, limit: Some(1000) }).await.unwrap().items;
    let count = |operation: &str| rows.iter().filter(|row| row.operation == operation).count();
    let of_kind = |fits: fn(&DeploymentKind) -> bool| all.iter().filter(|deployment| fits(&deployment.kind)).count();
    let mut wrong = Vec::new();
    let deploys = of_kind(|kind| matches!(kind, DeploymentKind::Deploy { .. }));
    if count("deployments.create") != deploys {
        wrong.push(format!("{deploys} deploys were accepted, and audit has {}", count("deployments.create")));
    }
    let rollbacks = of_kind(|kind| matches!(kind, DeploymentKind::Rollback { .. }));
    if count("releases.rollback") != rollbacks {
        wrong.push(format!("{rollbacks} rollbacks were accepted, and audit has {}", count("releases.rollback")));
    }
    let configs = of_kind(|kind| *kind == DeploymentKind::Config);
    if count("env.set") < configs {
        wrong.push(format!("{configs} changes of the environment were accepted, and audit has {}", count("env.set")));
    }
    if count("apps.create") != 1 {
        wrong.push(format!("the app was created once, and audit has {}", count("apps.create")));
    }
    wrong
}

/// What was accepted has happened; what failed has changed nothing.
fn fulfilled(
    scenario: Scenario,
    mode: Mode,
    before: &Before,
    seen: &Seen,
    made: &[Deployment],
    world: &World,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let last = made.last();
    let live = last.is_some_and(|deployment| deployment.state == DeploymentState::Live);
    let deploys = !matches!(scenario, Scenario::Scale | Scenario::Stop);
    if deploys && last.is_none() {
        return vec!["was accepted, and there is no deployment".to_owned()];
    }
    let fails =
        matches!(scenario, Scenario::FailingDeploy | Scenario::FailingReleaseCommand | Scenario::FailingRecreate);
    if fails && live {
        wrong.push("a deployment succeeded that cannot".to_owned());
    }
    // Only a lasting fault, or one that lasts longer than a start may take, can be held against a deployment.
    if deploys && !fails && !live && may_not_fail(mode) {
        wrong.push(format!("a passing fault has failed the deployment: {:?}", last.map(|last| &last.error)));
    }
    if deploys && !live && made.iter().all(|deployment| deployment.state != DeploymentState::Live) {
        wrong.extend(unchanged(scenario, before, seen));
    }
    let greetings: BTreeSet<_> = world
        .runtime
        .instances()
        .iter()
        .filter_map(|instance| {
            instance.spec.env.get(&"GREETING".parse().unwrap()).map(|value| value.expose().to_owned())
        })
        .collect();
    let expect = |wrong: &mut Vec<String>, greeting: &str| {
        if seen.env["GREETING"] != greeting || greetings != BTreeSet::from([greeting.to_owned()]) {
            wrong.push(format!("the app greets {greetings:?}, its environment says {:?}", seen.env["GREETING"]));
        }
    };
    match scenario {
        Scenario::Rollback if live => {
            expect(&mut wrong, "hello");
            if seen.app.live.as_ref().map(|live| live.number) != Some(1) || seen.app.settings.stop_grace.is_some() {
                wrong.push(format!("code and settings are not those of v1: {:?}", seen.app));
            }
        }
        Scenario::EnvChange if live => expect(&mut wrong, "good day"),
        Scenario::Scale => {
            let web = world.runtime.instances().iter().filter(|i| i.spec.labels.process.as_str() == "web").count();
            if (web, world.runtime.instances().len()) != (3, 3) {
                wrong.push(format!("{web} of {} instances are web", world.runtime.instances().len()));
            }
        }
        Scenario::Stop if !world.runtime.instances().is_empty() => wrong.push("the app runs".to_owned()),
        _ => {}
    }
    wrong
}

fn may_not_fail(mode: Mode) -> bool {
    !matches!(mode, Mode::Refused(Code::Internal) | Mode::LostAnswer(Code::Internal) | Mode::Hangs)
}

/// A failed deployment has changed nothing: code, releases, settings, environment.
fn unchanged(scenario: Scenario, before: &Before, seen: &Seen) -> Option<String> {
    let was = before.seen.as_ref()?;
    let same = match scenario {
        // The environment itself was set with success; it waits for the next release.
        Scenario::EnvChange => was.app == seen.app && was.releases == seen.releases,
        // The old instances were started again, at other addresses.
        Scenario::FailingRecreate => {
            let plain = |app: &App| App {
                live: app.live.clone().map(|live| Live { upstreams: vec![], ..live }),
                ..app.clone()
            };
            plain(&was.app) == plain(&seen.app) && was.releases == seen.releases && was.env == seen.env
        }
        _ => was == seen,
    };
    (!same).then(|| format!("a failed deployment has changed the app: {:?}", seen.app))
}

async fn destroyed(accepted: bool, before: &Before, world: &World, engine: &Engine) -> Vec<String> {
    let there = world.app(engine, APP).await.is_ok();
    let data = world.runtime.volume(before.id, &"data".parse().unwrap());
    match (there, data) {
        (true, _) if accepted => vec!["the app is still there".to_owned()],
        (true, None) => vec!["the app is still there, and its data is not".to_owned()],
        (false, Some(_)) => vec!["the app is gone, and its data is not".to_owned()],
        _ => Vec::new(),
    }
}
