//! Limits of apps, and what a shim costs.

use std::fs;
use std::path::{Path, PathBuf};

use sh0_core::model::{Bytes, Exit, Plan};
use sh0_core::traits::{CommandLine, Runtime};

use crate::harness::*;

#[tokio::test]
async fn limits_hold_and_say_so() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    if !has(&runtime, "memory limit").await || !has(&runtime, "process limit").await {
        return;
    }
    let mut hungry = place.spec(&artifact, "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo survived");
    hungry.resources.memory = Some(Bytes::from_mib(64));
    up(&runtime, &hungry).await;
    let exit = soon(runtime.wait(&hungry.name)).await.unwrap();
    assert_ne!(exit.code, 0, "more than its limit");
    assert!(!lines(&runtime, &hungry.name).await.contains(&"survived".to_owned()));
    let mut direct = place.spec(&artifact, "");
    direct.command = Some(CommandLine::Exec(vec!["tail".into(), "/dev/zero".into()]));
    direct.resources.memory = Some(Bytes::from_mib(64));
    up(&runtime, &direct).await;
    let exit = soon(runtime.wait(&direct.name)).await.unwrap();
    assert_eq!(exit, Exit { code: 137, oom: true }, "the reason is known");

    let mut many = place.spec(&artifact, "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done; echo all; wait");
    many.resources.pids = Some(5);
    up(&runtime, &many).await;
    soon(runtime.wait(&many.name)).await.unwrap();
    assert!(!lines(&runtime, &many.name).await.contains(&"all".to_owned()), "a fork is refused");

    let stay = place.spec(&artifact, STAY);
    up(&runtime, &stay).await;
    printed(&runtime, &stay.name, "up").await;
    let usage = runtime.usage(&stay.name).await.unwrap();
    assert!(usage.pids >= Some(1) && usage.memory > Some(0) && usage.cpu_micros > Some(0), "{usage:?}");
    for spec in [hungry, direct, many, stay] {
        runtime.remove(&spec.name).await.unwrap();
        let found = walk(Path::new("/sys/fs/cgroup"), spec.name.as_str());
        assert_eq!(found, Vec::<PathBuf>::new(), "its control groups are gone");
    }
}

fn walk(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for mount in fs::read_dir(dir).into_iter().flatten().flatten() {
        let group = mount.path().join("sh0").join(name);
        found.extend(group.exists().then_some(group));
    }
    found
}

#[tokio::test]
async fn a_shim_is_small() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let spec = place.spec(&artifact, STAY);
    up(&runtime, &spec).await;
    printed(&runtime, &spec.name, "up").await;
    let shim = shim_of(&spec.name);
    let text = fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).unwrap();
    // Memory that no file backs: the pages of the program itself are shared by all shims.
    let own = text.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    let kib: u64 = own.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 1024, "{kib} KiB of its own");
    let descriptors: Vec<PathBuf> = fs::read_dir(format!("/proc/{shim}/fd"))
        .unwrap()
        .flatten()
        .map(|fd| fs::read_link(fd.path()).unwrap())
        .collect();
    let inherited = descriptors
        .iter()
        .filter(|path| path.starts_with("/") && !path.starts_with("/dev/null"))
        .filter(|path| !path.starts_with(place.data.path()));
    assert_eq!(inherited.count(), 0, "{descriptors:?}");
    runtime.remove(&spec.name).await.unwrap();
}
