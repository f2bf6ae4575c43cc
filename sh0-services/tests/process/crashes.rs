//! Either side dies, and what then.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use futures_util::StreamExt;
use rustix::process::Signal;
use sh0_core::model::{Exit, InstanceName, InstanceState, Millis, Plan};
use sh0_core::traits::{BuildRequest, InstanceSpec, NoOutput, Runtime, RuntimeEvent};
use sh0_services::runtime::process::ProcessRuntime;

use crate::harness::*;

/// Tells a second process of this test what to do.
const ROLE: &str = "SH0_TEST_ROOT";

#[tokio::test]
async fn a_killed_shim_takes_its_app_with_it_and_start_revives_it() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    // One child that hides in a session of its own.
    let (seconds, sleeper) = unusual_sleep(1);
    let line = format!("setsid sleep {seconds} & echo pid $$; echo second; while :; do sleep 1000; done");
    let spec = InstanceSpec { restart: true, ..place.spec(&artifact, &line) };
    let name = &spec.name;
    up(&runtime, &spec).await;
    printed(&runtime, name, "second").await;
    eventually("the hidden child runs", || processes_with(&sleeper).len() == 1).await;
    let app: i32 = printed(&runtime, name, "pid ").await[4..].parse().unwrap();
    let mut events = runtime.events().await.unwrap();
    signal(shim_of(name), Signal::KILL);
    let event = soon(events.next()).await.unwrap().unwrap();
    assert_eq!(event, RuntimeEvent::Ended(name.clone(), place.app), "nobody wrote it down, and it is told");
    eventually("the app dies with its shim", || !lives(app)).await;
    let observed = runtime.inspect(name).await.unwrap().unwrap();
    assert_eq!(observed.state, InstanceState::Exited(Exit { code: 137, oom: false }));
    assert_eq!(soon(runtime.wait(name)).await.unwrap().code, 137);

    runtime.start(name).await.unwrap();
    assert_eq!(soon(events.next()).await.unwrap().unwrap(), RuntimeEvent::Started(name.clone(), place.app));
    assert_eq!(runtime.inspect(name).await.unwrap().unwrap().state, InstanceState::Running);
    eventually("what the dead shim left was ended", || processes_with(&sleeper).len() <= 1).await;
    runtime.remove(name).await.unwrap();
    eventually("nothing is left", || processes_with(name.as_str()).is_empty() && processes_with(&sleeper).is_empty())
        .await;
}

#[tokio::test]
async fn instances_outlive_the_control_plane() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    // This very program, even when a build has replaced its file meanwhile.
    let test = "/proc/self/exe";
    let mut control_plane = std::process::Command::new(test);
    control_plane.args(["--exact", "crashes::control_plane_that_dies", "--nocapture"]).env(ROLE, place.data.path());
    let output = control_plane.output().unwrap();
    assert!(!output.status.success(), "it aborts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let name: InstanceName =
        text.split_whitespace().find(|word| word.starts_with("sh0-")).expect(&text).parse().unwrap();

    let runtime = place.open().await;
    let observed = runtime.inspect(&name).await.unwrap().unwrap();
    assert_eq!(observed.state, InstanceState::Running, "it runs though nobody is there");
    let before = lines(&runtime, &name).await.len();
    let mut follow = runtime.logs(&name, None, true).await.unwrap();
    for _ in 0..before + 5 {
        soon(follow.next()).await.unwrap().unwrap();
    }
    assert_eq!(soon(runtime.stop(&name, Millis::from_secs(30))).await.unwrap().unwrap().code, 0);
    runtime.remove(&name).await.unwrap();
}

/// The other process of the test above.
#[tokio::test]
async fn control_plane_that_dies() {
    let Some(data) = std::env::var_os(ROLE) else { return };
    let place = Place { data: tempfile::tempdir().unwrap(), platform: id(1), app: id(2) };
    let runtime = ProcessRuntime::open(config(Path::new(&data), place.platform)).await.unwrap();
    let env = BTreeMap::new();
    let plan = Plan::default();
    let request = BuildRequest {
        platform: place.platform,
        app: place.app,
        deployment: deployment(),
        tree: Path::new(&data).join("source"),
        plan: &plan,
        env: &env,
        no_cache: false,
    };
    let artifact = runtime.build(request, &NoOutput).await.unwrap();
    let spec = place.spec(&artifact, "trap 'exit 0' TERM; while :; do echo tick; sleep 0.05; done");
    up(&runtime, &spec).await;
    writeln!(std::io::stdout(), " {} ", spec.name).unwrap();
    std::process::abort();
}

#[tokio::test]
async fn a_reboot_leaves_instances_that_can_be_started() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let spec = place.spec(&artifact, STAY);
    up(&runtime, &spec).await;
    signal(shim_of(&spec.name), Signal::KILL);
    // The ids of another boot belong to others by now: to this very process.
    let path = place.data.path().join("process/states").join(format!("{}.json", spec.name));
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let own = std::process::id();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    state["boot"] = "another".into();
    for one in ["shim", "app"] {
        state[one] = serde_json::json!({ "pid": own, "ticks": ticks });
    }
    fs::write(&path, state.to_string()).unwrap();
    let observed = runtime.inspect(&spec.name).await.unwrap().unwrap();
    assert_eq!(observed.state, InstanceState::Exited(Exit { code: 137, oom: false }));
    runtime.start(&spec.name).await.unwrap();
    assert!(runtime.inspect(&spec.name).await.unwrap().unwrap().state.is_running());
    runtime.remove(&spec.name).await.unwrap();
}

#[tokio::test]
async fn a_shim_that_is_told_to_end_ends_its_app_first() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let spec = InstanceSpec {
        restart: true,
        ..place.spec(&artifact, "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 1000 & wait; done")
    };
    up(&runtime, &spec).await;
    printed(&runtime, &spec.name, "up").await;
    signal(shim_of(&spec.name), Signal::TERM);
    assert_eq!(soon(runtime.wait(&spec.name)).await.unwrap().code, 4, "as at a shutdown of the machine");
    printed(&runtime, &spec.name, "bye").await;
    runtime.remove(&spec.name).await.unwrap();
}

#[tokio::test]
async fn what_a_stopped_app_left_behind_ends_too() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let (seconds, sleeper) = unusual_sleep(2);
    let line = format!("(setsid sleep {seconds} &); (trap '' TERM; sleep {seconds}) & echo up; wait");
    let spec = place.spec(&artifact, &line);
    up(&runtime, &spec).await;
    printed(&runtime, &spec.name, "up").await;
    eventually("they run", || processes_with(&sleeper).len() == 2).await;
    soon(runtime.stop(&spec.name, Millis(200))).await.unwrap();
    assert_eq!(processes_with(&sleeper), [0; 0], "daemons and stubborn children are ended");
    runtime.remove(&spec.name).await.unwrap();
}
