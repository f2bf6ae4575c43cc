//! A platform's folder, and what the tests say of the processes in it.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rustix::process::{Pid, Signal};
use sh0_core::model::{
    AppId, Artifact, DeploymentId, InstanceName, Plan, PlatformId, ReleaseId, Resources, Secret, Support,
};
use sh0_core::traits::{BuildRequest, CommandLine, InstanceSpec, Labels, NoOutput, OutputSink, Runtime, Session};
use sh0_services::runtime::process::{ProcessConfig, ProcessRuntime, ShimCommand};

pub(crate) const SHIM: &str = env!("CARGO_BIN_EXE_sh0-shim");
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const STAY: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done";
/// A platform's data folder with the runtime's folder in it.
pub(crate) struct Place {
    pub(crate) data: tempfile::TempDir,
    pub(crate) platform: PlatformId,
    pub(crate) app: AppId,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { data: tempfile::tempdir().unwrap(), platform: id(1), app: id(2) }
    }

    pub(crate) fn config(&self) -> ProcessConfig {
        config(self.data.path(), self.platform)
    }

    pub(crate) async fn open(&self) -> ProcessRuntime {
        ProcessRuntime::open(self.config()).await.unwrap()
    }

    pub(crate) fn tree(&self, files: &[(&str, &str)]) -> PathBuf {
        let tree = self.data.path().join("source");
        fs::create_dir_all(&tree).unwrap();
        for (name, text) in files {
            let path = tree.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    pub(crate) async fn build(&self, runtime: &ProcessRuntime, plan: &Plan) -> sh0_core::Result<Artifact> {
        self.build_with(runtime, plan, &NoOutput).await
    }

    pub(crate) async fn build_with(
        &self,
        runtime: &ProcessRuntime,
        plan: &Plan,
        sink: &dyn OutputSink,
    ) -> sh0_core::Result<Artifact> {
        let env = BTreeMap::from([("BUILD_SECRET".parse().unwrap(), Secret::new("of the build"))]);
        let request = BuildRequest {
            platform: self.platform,
            app: self.app,
            deployment: deployment(),
            tree: self.data.path().join("source"),
            plan,
            env: &env,
            no_cache: false,
        };
        runtime.build(request, sink).await
    }

    pub(crate) fn spec(&self, artifact: &Artifact, line: &str) -> InstanceSpec {
        spec(self.platform, self.app, artifact, line)
    }
}

impl Drop for Place {
    /// A check that failed leaves instances behind.
    fn drop(&mut self) {
        for pid in processes_with(&self.data.path().to_string_lossy()) {
            signal(pid, Signal::TERM);
        }
    }
}

pub(crate) fn config(data: &Path, platform: PlatformId) -> ProcessConfig {
    let mut config = ProcessConfig::new(data.join("process"), platform, ShimCommand::new(SHIM));
    config.hidden.push(data.to_owned());
    config
}

pub(crate) fn id<T: std::str::FromStr>(number: u32) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("01j9zq000000000000000{number:05}").parse().unwrap()
}

/// The deployment of this process, which no other test has: control groups are named by it, and the host has only one set
/// of them.
pub(crate) fn deployment() -> DeploymentId {
    id(std::process::id() % 1000 * 100 + 99)
}

/// A deployment of its own, whatever else runs: control groups are named by it, and the host has only one set of them.
pub(crate) fn fresh() -> DeploymentId {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    id(std::process::id() % 1000 * 100 + NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn spec(platform: PlatformId, app: AppId, artifact: &Artifact, line: &str) -> InstanceSpec {
    let deployment = fresh();
    let process = "web".parse().unwrap();
    InstanceSpec {
        name: InstanceName::of(deployment, &process, 0),
        labels: Labels { platform, app, release: id::<ReleaseId>(4), deployment, process, index: 0, one_off: false },
        artifact: artifact.clone(),
        command: Some(CommandLine::Shell(line.to_owned())),
        env: BTreeMap::new(),
        port: None,
        resources: Resources::default(),
        volumes: Vec::new(),
        restart: false,
        terminal: None,
    }
}

pub(crate) async fn up(runtime: &ProcessRuntime, spec: &InstanceSpec) {
    runtime.create(spec).await.unwrap();
    runtime.start(&spec.name).await.unwrap();
}

pub(crate) async fn lines(runtime: &ProcessRuntime, name: &InstanceName) -> Vec<String> {
    let lines = runtime.logs(name, None, false).await.unwrap();
    lines.map(|line| line.unwrap().text).collect().await
}

pub(crate) async fn printed(runtime: &ProcessRuntime, name: &InstanceName, text: &str) -> String {
    let begin = Instant::now();
    loop {
        if let Some(line) = lines(runtime, name).await.into_iter().find(|line| line.starts_with(text)) {
            return line;
        }
        assert!(begin.elapsed() < PATIENCE, "{name} does not print {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a line prints, and how it ends.
pub(crate) async fn run(runtime: &ProcessRuntime, spec: &InstanceSpec) -> (String, i32) {
    let mut session: Session = runtime.run(spec).await.unwrap();
    let mut text = Vec::new();
    while let Some(output) = soon(session.output.next()).await {
        text.extend_from_slice(&output.unwrap().1);
    }
    (String::from_utf8(text).unwrap(), soon(session.exit).await.unwrap().code)
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it took too long")
}

pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn processes_with(text: &str) -> Vec<i32> {
    let of = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let found = String::from_utf8_lossy(&line).contains(text);
        found.then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

/// A number of seconds that no other test run sleeps, and what its process's command line holds.
pub(crate) fn unusual_sleep(number: u32) -> (u32, String) {
    let seconds = std::process::id() * 10 + number + 10_000_000;
    (seconds, format!("sleep\0{seconds}"))
}

pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal);
}

pub(crate) fn shim_of(name: &InstanceName) -> i32 {
    let found = processes_with(&format!("/instances/{name}"));
    assert_eq!(found.len(), 1, "{name} has one shim: {found:?}");
    found[0]
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) async fn has(runtime: &ProcessRuntime, capability: &str) -> bool {
    runtime.capabilities().await.iter().any(|one| one.name == capability && one.support == Support::Yes)
}
