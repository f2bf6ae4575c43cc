//! Builds, and how they fail.

use std::fs;
use std::sync::Mutex;

use sh0_core::Code;
use sh0_core::model::{LogStream, Plan, Tool};
use sh0_core::traits::{OutputSink, Runtime};

use crate::harness::*;

#[tokio::test]
async fn builds_name_what_is_missing() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let tool = Tool { program: "no-such-compiler".into(), install_hint: "the compiler (apt-get install it)".into() };
    let error = place.build(&runtime, &Plan { tools: vec![tool], ..Plan::default() }).await.unwrap_err();
    assert_eq!(error.code(), Code::BuildFailed);
    assert!(error.detail().contains("no-such-compiler") && error.detail().contains("apt-get install it"), "{error}");
    let commands =
        ["echo done before", "seq -f 'line %g' 30; sleep 0.3; printf '\\033[1moh-no\\033[0m\\n' >&2; exit 5"];
    let plan = Plan { build: commands.map(str::to_owned).into(), ..Plan::default() };
    let error = place.build(&runtime, &plan).await.unwrap_err();
    let (reason, last) = error.detail().split_once("; its last lines:\n").unwrap();
    assert!(reason.starts_with("`seq ") && reason.ends_with("exited with code 5"), "{error}");
    let last: Vec<_> = last.lines().collect();
    assert_eq!((last.len(), last[0], last[18], last[19]), (20, "line 12", "line 30", "oh-no"), "{error}");
    assert_eq!(runtime.list_artifacts(place.app).await.unwrap(), [], "nothing half-made is listed");
    let folder = place.data.path().join(format!("process/releases/{}", place.app));
    eventually("nothing half-made is left", || fs::read_dir(&folder).unwrap().count() == 0).await;
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let place = Place::new();
    if !is_root() {
        return;
    }
    let root = place.data.path().join("process");
    fs::create_dir(&root).unwrap();
    let mount =
        |args: &[&str]| std::process::Command::new("mount").args(args).status().is_ok_and(|status| status.success());
    if !mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs", root.to_str().unwrap()]) {
        return;
    }
    let tree = place.tree(&[("small", "")]);
    let runtime = place.open().await;
    let plan = Plan { build: vec!["head -c 4000000 /dev/zero > big".into()], ..Plan::default() };
    let by_command = place.build(&runtime, &plan).await.unwrap_err();
    fs::write(tree.join("big"), vec![7; 4_000_000]).unwrap();
    let by_copy = place.build(&runtime, &Plan::default()).await.unwrap_err();
    let folder = root.join(format!("releases/{}", place.app));
    eventually("nothing half-made is left", || fs::read_dir(&folder).unwrap().count() == 0).await;
    fs::remove_file(tree.join("big")).unwrap();
    let afterwards = place.build(&runtime, &Plan::default()).await;
    drop(runtime);
    assert!(std::process::Command::new("umount").arg(&root).status().unwrap().success());
    assert_eq!(by_command.code(), Code::NoSpace, "{by_command:?}");
    assert_eq!(by_copy.code(), Code::NoSpace, "{by_copy:?}");
    assert!(afterwards.is_ok(), "{afterwards:?}");
}

#[tokio::test]
async fn the_same_request_is_built_once() {
    struct Count(Mutex<u32>);
    impl OutputSink for Count {
        fn line(&self, _: LogStream, line: &str) {
            *self.0.lock().unwrap() += u32::from(line == "building");
        }
    }
    let place = Place::new();
    let tree = place.tree(&[("file", "1")]);
    let runtime = place.open().await;
    let plan = Plan { build: vec!["echo building".into()], ..Plan::default() };
    let count = Count(Mutex::new(0));
    let both = [place.build_with(&runtime, &plan, &count), place.build_with(&runtime, &plan, &count)];
    let both = futures_util::future::try_join_all(both).await.unwrap();
    assert_eq!(both[0], both[1]);
    assert_eq!(*count.0.lock().unwrap(), 1);
    fs::write(tree.join("file"), "2").unwrap();
    assert_ne!(place.build_with(&runtime, &plan, &count).await.unwrap(), both[0], "another source, another release");
    let spec = place.spec(&both[0], STAY);
    up(&runtime, &spec).await;
    assert_eq!(runtime.remove_artifact(&both[0]).await.unwrap_err().code(), Code::Conflict, "it is in use");
    runtime.remove(&spec.name).await.unwrap();
    runtime.remove_artifact(&both[0]).await.unwrap();
}
