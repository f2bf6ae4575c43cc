//! Apps that put links where the control plane works, as root where it can be, and what they try to leave behind.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sh0_core::model::{AppId, Artifact, DeploymentId, InstanceName, Millis, Plan, PlatformId, VolumeMount};
use sh0_core::traits::{BuildRequest, InstanceSpec, NoOutput, Runtime};
use sh0_services::runtime::process::{ProcessConfig, ProcessRuntime, ShimCommand};

use crate::harness::{self, PATIENCE, SHIM, fresh, has, id, soon};

/// A platform's data folder, and beside it a folder that no app may touch.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// Not below /tmp, so that apps get a /tmp of their own.
    fn new() -> Place {
        let place = Place { dir: tempfile::tempdir_in("/var/tmp").unwrap() };
        fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(place.outside()).unwrap();
        fs::create_dir_all(place.source()).unwrap();
        fs::write(place.outside().join("secret"), "of root").unwrap();
        fs::set_permissions(place.outside().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(place.outside(), fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn process(&self) -> PathBuf {
        self.dir.path().join("data/process")
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    async fn open(&self) -> ProcessRuntime {
        let shim = ShimCommand::new(SHIM);
        fs::create_dir_all(self.dir.path().join("data")).unwrap();
        let mut config = ProcessConfig::new(self.process(), platform(), shim);
        config.hidden.push(self.dir.path().join("data"));
        ProcessRuntime::open(config).await.unwrap()
    }

    async fn build(&self, runtime: &ProcessRuntime, deployment: DeploymentId, line: &str) -> Artifact {
        let (env, plan) = (BTreeMap::new(), Plan { build: vec![line.to_owned()], ..Plan::default() });
        let request = BuildRequest {
            platform: platform(),
            app: app(),
            deployment,
            tree: self.source(),
            plan: &plan,
            env: &env,
            no_cache: false,
        };
        runtime.build(request, &NoOutput).await.unwrap()
    }
}

fn platform() -> PlatformId {
    id(1)
}

fn app() -> AppId {
    id(2)
}

fn spec(artifact: &Artifact, line: &str) -> InstanceSpec {
    harness::spec(platform(), app(), artifact, line)
}

/// What a line prints.
async fn run(runtime: &ProcessRuntime, spec: &InstanceSpec) -> String {
    harness::run(runtime, spec).await.0
}

/// Waits until a text is in so many lines; answers all lines.
async fn printed(runtime: &ProcessRuntime, name: &InstanceName, text: &str, times: usize) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let lines = harness::lines(runtime, name).await;
        if lines.iter().filter(|line| line.contains(text)).count() >= times {
            return lines;
        }
        assert!(begin.elapsed() < PATIENCE, "{name} does not print {text}: {lines:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_link_under_data_brings_nothing_into_a_volume() {
    let place = Place::new();
    let runtime = place.open().await;
    let artifact = place.build(&runtime, fresh(), "true").await;
    fs::set_permissions(place.outside(), fs::Permissions::from_mode(0o700)).unwrap();
    let mount = VolumeMount { name: "store".parse().unwrap(), path: "/srv/store".parse().unwrap() };
    let mounted = |line: &str| InstanceSpec { volumes: vec![mount.clone()], ..spec(&artifact, line) };
    let outside = place.outside();
    let swap = format!("rm -r data/store; ln -s {} data/store; readlink data/store", outside.display());
    let show = "ls -A $SH0_VOLUME_STORE; test $(readlink data/store) = $SH0_VOLUME_STORE && echo linked";
    for _ in 0..2 {
        assert_eq!(run(&runtime, &mounted(&swap)).await.trim_end(), outside.to_str().unwrap());
        assert_eq!(run(&runtime, &mounted(show)).await, "linked\n", "nothing was copied, and the volume is back");
    }

    // The folder above it as a link: nothing is made behind it.
    let swap = format!("rm -r data; ln -s {} data", outside.display());
    run(&runtime, &mounted(&swap)).await;
    assert_eq!(run(&runtime, &mounted("ls -A $SH0_VOLUME_STORE; echo runs")).await, "runs\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(mode(&outside), 0o700);
}

#[tokio::test]
async fn a_link_in_the_place_of_a_home_changes_nothing_behind_it() {
    let place = Place::new();
    let outside = place.outside();
    let runtime = place.open().await;
    // What an app may have left in a folder that was once its own.
    let cache = place.process().join("cache").join(app().to_string());
    fs::create_dir_all(&cache).unwrap();
    symlink(&outside, cache.join("home")).unwrap();
    place.build(&runtime, fresh(), "true").await;
    assert_eq!(mode(&outside), 0o755);
    assert!(fs::symlink_metadata(cache.join("home")).unwrap().is_dir());

    let swap = format!("mv $HOME $HOME.away; ln -sn {} $HOME; true", outside.display());
    place.build(&runtime, fresh(), &swap).await;
    let artifact = place.build(&runtime, fresh(), "echo x > $HOME/kept && echo y > $TMPDIR/a").await;
    assert_eq!(mode(&outside), 0o755);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    run(&runtime, &spec(&artifact, &swap)).await;
    assert_eq!(mode(&outside), 0o755);
}

#[tokio::test]
async fn a_link_in_the_place_of_tmp_opens_nothing() {
    let place = Place::new();
    let runtime = place.open().await;
    let artifact = place.build(&runtime, fresh(), "true").await;
    let line = "cd $HOME/..; mv tmp away; ln -sn / tmp; echo tmp has: $(ls /tmp); echo is up; while [ ! -e $HOME/die ]; do sleep 0.05; done";
    let spec = InstanceSpec { restart: true, ..spec(&artifact, line) };
    let name = &spec.name;
    runtime.create(&spec).await.unwrap();
    // Twice, because the second start would use what the first left.
    for start in 1..=2 {
        runtime.start(name).await.unwrap();
        let lines = printed(&runtime, name, "is up", start).await;
        assert!(!lines.iter().any(|line| line.contains("tmp has:") && line.contains("proc")), "{lines:?}");
        runtime.stop(name, Millis(100)).await.unwrap();
    }
    if has(&runtime, "hidden platform files").await {
        // Even if there is a link when the shim starts the app again, it is not followed.
        let tmp = place.process().join("tmp").join(name.as_str()).join("tmp");
        runtime.start(name).await.unwrap();
        printed(&runtime, name, "is up", 3).await;
        fs::rename(&tmp, tmp.with_file_name("moved")).unwrap();
        symlink(place.outside(), &tmp).unwrap();
        fs::write(tmp.with_file_name("home").join("die"), "").unwrap();
        assert_eq!(soon(runtime.wait(name)).await.unwrap().code, 126, "it is not started");
        let lines = printed(&runtime, name, "surroundings", 1).await;
        assert!(!lines.iter().any(|line| line.contains("secret")), "{lines:?}");
    }
    runtime.remove(name).await.unwrap();
}

#[tokio::test]
async fn what_an_app_changed_in_its_release_is_not_in_the_next_deployment() {
    let place = Place::new();
    fs::write(place.source().join("code"), "good").unwrap();
    let runtime = place.open().await;
    let deployment = fresh();
    let first = place.build(&runtime, deployment, "true").await;
    assert_eq!(place.build(&runtime, deployment, "true").await, first, "the same deployment is built once");
    assert_eq!(run(&runtime, &spec(&first, "echo bad > code; cat code")).await, "bad\n");
    let second = place.build(&runtime, fresh(), "true").await;
    assert_eq!(run(&runtime, &spec(&second, "cat code")).await, "good");
}

#[tokio::test]
async fn what_a_crash_left_of_a_removed_instance_is_swept() {
    let place = Place::new();
    let runtime = place.open().await;
    let artifact = place.build(&runtime, fresh(), "true").await;
    let (kept, cut) = (spec(&artifact, "exit 0"), spec(&artifact, "exit 0"));
    for spec in [&kept, &cut] {
        runtime.create(spec).await.unwrap();
        runtime.start(&spec.name).await.unwrap();
        soon(runtime.wait(&spec.name)).await.unwrap();
    }
    drop(runtime);
    let of = |spec: &InstanceSpec| {
        let (process, name) = (place.process(), spec.name.as_str());
        [
            process.join("instances").join(name),
            process.join("tmp").join(name),
            process.join(format!("states/{name}.json")),
        ]
    };
    assert!(of(&cut)[0].join("logs").exists());
    fs::remove_file(of(&cut)[0].join("spec.json")).unwrap();
    let runtime = place.open().await;
    assert!(of(&cut).iter().all(|path| !path.exists()), "with its environment");
    assert!(of(&kept).iter().all(|path| path.exists()));
    assert_eq!(runtime.list(None).await.unwrap().len(), 1);
    runtime.remove(&kept.name).await.unwrap();
}
