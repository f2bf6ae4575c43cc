//! Whoever asked for something is gone before it is done: what is left of it then.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use sh0_core::model::{Millis, Plan};
use sh0_core::traits::{InstanceSpec, Runtime};

use crate::harness::*;

/// Names of what lies in these folders of the runtime, but for the lock of all instances.
fn files_of_instances(place: &Place) -> Vec<String> {
    let root = place.data.path().join("process");
    let names = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let all = ["instances", "states", "tmp", "sessions"].into_iter().flat_map(names);
    all.filter(|name| name != ".lock").collect()
}

#[tokio::test]
async fn a_start_that_is_given_up_at_any_moment_can_be_undone() {
    const CUTS: u32 = 40;
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let one = || InstanceSpec { restart: true, ..place.spec(&artifact, STAY) };
    let spec = one();
    let begin = Instant::now();
    up(&runtime, &spec).await;
    let whole = begin.elapsed();
    runtime.remove(&spec.name).await.unwrap();

    let mut cut = 0;
    for step in 0..CUTS {
        let spec = one();
        let doing = async {
            runtime.create(&spec).await.unwrap();
            runtime.start(&spec.name).await.unwrap();
        };
        cut += u32::from(tokio::time::timeout(whole * step / CUTS, doing).await.is_err());
        // As the engine undoes a deployment.
        if runtime.inspect(&spec.name).await.unwrap().is_some() {
            soon(runtime.stop(&spec.name, Millis(0))).await.unwrap();
        }
        soon(runtime.remove(&spec.name)).await.unwrap();
        assert!(runtime.inspect(&spec.name).await.unwrap().is_none());
    }
    assert!(cut > CUTS / 4, "only {cut} of them were cut off");
    let below = place.data.path().join("process/instances");
    let shims = || processes_with(&below.to_string_lossy());
    eventually("no shim is left", || shims().is_empty()).await;
    // One that nobody heard of would write its state now.
    tokio::time::sleep(whole * 2).await;
    assert_eq!((files_of_instances(&place), shims()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn a_run_that_is_given_up_at_any_moment_leaves_nothing() {
    const CUTS: u32 = 15;
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let begin = Instant::now();
    run(&runtime, &place.spec(&artifact, "true")).await;
    let whole = begin.elapsed();
    let (seconds, sleeper) = unusual_sleep(4);
    for step in 0..CUTS {
        let spec = place.spec(&artifact, &format!("sleep {seconds}"));
        let session = tokio::time::timeout(whole * step / CUTS, runtime.run(&spec)).await;
        drop(session);
    }
    eventually("every file of them goes", || files_of_instances(&place).is_empty()).await;
    eventually("and every process", || processes_with(&sleeper).is_empty()).await;
}

#[tokio::test]
async fn what_lost_its_instance_is_swept() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let (seconds, sleeper) = unusual_sleep(5);
    let lines = ["kept", "folder gone", "all gone"].map(|text| format!("echo {text}; sleep {seconds}"));
    let [kept, folderless, nothing] = lines.map(|line| InstanceSpec { restart: true, ..place.spec(&artifact, &line) });
    for spec in [&kept, &folderless, &nothing] {
        up(&runtime, spec).await;
    }
    eventually("they run", || processes_with(&sleeper).len() >= 3).await;
    let root = place.data.path().join("process");
    let state = |spec: &InstanceSpec| root.join(format!("states/{}.json", spec.name));
    for spec in [&folderless, &nothing] {
        fs::remove_dir_all(root.join(format!("instances/{}", spec.name))).unwrap();
    }
    fs::remove_file(state(&nothing)).unwrap();
    let stale = place.spec(&artifact, STAY);
    fs::copy(state(&kept), state(&stale)).unwrap();

    let next = place.open().await;
    for spec in [&folderless, &nothing] {
        assert!(!state(spec).exists() && !root.join(format!("tmp/{}", spec.name)).exists());
        eventually("its shim is gone", || processes_with(&format!("/instances/{}", spec.name)).is_empty()).await;
    }
    eventually("their apps are gone", || processes_with(&sleeper).len() == 1).await;
    assert!(!state(&stale).exists(), "nobody has this instance");
    assert!(next.inspect(&kept.name).await.unwrap().unwrap().state.is_running());
    next.remove(&kept.name).await.unwrap();
    eventually("nothing is left", || processes_with(&sleeper).is_empty()).await;
}

/// The control plane was killed between starting a shim and hearing of it: only the shim's lock tells.
#[tokio::test]
async fn a_shim_that_has_not_said_who_it_is_is_waited_for() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let spec = place.spec(&artifact, STAY);
    runtime.create(&spec).await.unwrap();
    let folder = place.data.path().join(format!("process/instances/{}", spec.name));
    let lock = fs::File::create(Path::new(&folder).join("lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let removing = runtime.remove(&spec.name);
    tokio::pin!(removing);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut removing).await.is_err(), "it waits");
    assert!(folder.exists());
    drop(lock);
    soon(removing).await.unwrap();
    assert!(!folder.exists());
}
