//! The conformance suite of [`Runtime`]: every sentence of the trait's documentation, as a check against the real thing.
//!
//! A backend brings a [`RuntimeHarness`]: how its runtime is opened, and an app in a form that it can build. Commands of
//! the suite are lines for `sh` with `sleep`, `cat`, `printf`, `stty` and `env`, so the app needs no more than that.
//!
//! What the suite pins down beyond the words of the trait: `since` includes the line of that very time; an instance that
//! was killed has ended with 128 + signal; starting what is absent is [`Code::NotFound`]; a command beside an instance
//! that does not run is refused.

mod instances;
mod streams;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use ulid::Ulid;

use crate::model::{
    AppId, Artifact, DeploymentId, InstanceName, InstanceState, LogStream, Plan, PlatformId, ReleaseId, Resources,
};
use crate::traits::{
    BuildRequest, CommandLine, InstanceSpec, Labels, NoOutput, Observed, OutputSink, RawLine, Runtime, Session,
};
use crate::{Code, Result};

/// No backend needs longer for one step; a hang is a failure, not a stuck test run.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the suite needs to know of a backend.
#[async_trait]
pub trait RuntimeHarness: Send + Sync {
    /// A new runtime object for this platform, over the same place each time.
    async fn open(&self, platform: PlatformId) -> Arc<dyn Runtime>;

    /// An app: a tree, and a plan by which it is built. Instances of it have `sh`.
    fn app(&self) -> (PathBuf, Plan);

    /// The same app with these as its build commands, each a line for `sh`.
    fn with_build(&self, commands: &[&str]) -> (PathBuf, Plan);

    /// A command that answers HTTP on the port in `PORT`; `None` when the backend's test has no such program.
    fn server(&self) -> Option<CommandLine>;
}

/// Runs every check. Panics at the first that does not hold; what it made is removed when all hold.
pub async fn conformance(harness: &dyn RuntimeHarness) {
    let bench = Bench::new(harness).await;
    bench.describes_itself().await;
    bench.builds().await;
    bench.failed_builds_say_why().await;
    bench.dropped_builds_end().await;
    bench.every_effect_can_be_repeated().await;
    bench.absent_instances().await;
    bench.exits().await;
    bench.stops().await;
    bench.restarts().await;
    bench.labels_and_lists().await;
    bench.environment_is_literal().await;
    bench.endpoints().await;
    bench.usage().await;
    bench.volumes_stay().await;
    bench.adoption().await;
    bench.logs_lose_nothing().await;
    bench.logs_can_be_resumed().await;
    bench.commands_beside_it().await;
    bench.terminals().await;
    bench.one_off_runs().await;
    bench.dropped_runs_end().await;
    bench.events_are_told().await;
    bench.artifacts_go().await;
}

/// A platform with one app that was built.
pub(super) struct Bench<'a> {
    harness: &'a dyn RuntimeHarness,
    runtime: Arc<dyn Runtime>,
    platform: PlatformId,
    app: AppId,
    artifact: Artifact,
}

impl<'a> Bench<'a> {
    async fn new(harness: &'a dyn RuntimeHarness) -> Bench<'a> {
        let (platform, app) = (PlatformId::new(fresh()), AppId::new(fresh()));
        let runtime = harness.open(platform).await;
        let (tree, plan) = harness.app();
        let artifact = ok(build(&*runtime, platform, app, tree, &plan, &NoOutput).await);
        Bench { harness, runtime, platform, app, artifact }
    }

    /// An instance that runs this line.
    fn spec(&self, line: &str) -> InstanceSpec {
        let deployment = DeploymentId::new(fresh());
        let process = "web".parse().expect("a process name");
        InstanceSpec {
            name: InstanceName::of(deployment, &process, 0),
            labels: Labels {
                platform: self.platform,
                app: self.app,
                release: ReleaseId::new(fresh()),
                deployment,
                process,
                index: 0,
                one_off: false,
            },
            artifact: self.artifact.clone(),
            command: Some(CommandLine::Shell(line.to_owned())),
            env: BTreeMap::new(),
            port: None,
            resources: Resources::default(),
            volumes: Vec::new(),
            restart: false,
            terminal: None,
        }
    }

    async fn up(&self, spec: &InstanceSpec) {
        ok(self.runtime.create(spec).await);
        ok(self.runtime.start(&spec.name).await);
    }

    /// Runs a line to its end and answers what it printed.
    async fn output_of(&self, line: &str) -> (Vec<String>, i32) {
        let spec = self.spec(line);
        self.up(&spec).await;
        let exit = ok(soon("the end of a run", self.runtime.wait(&spec.name)).await);
        let lines = self.lines(&spec.name).await.into_iter().map(|line| line.text).collect();
        ok(self.runtime.remove(&spec.name).await);
        (lines, exit.code)
    }

    async fn lines(&self, name: &InstanceName) -> Vec<RawLine> {
        let lines = ok(self.runtime.logs(name, None, false).await);
        soon("the log of an instance", lines.map(ok).collect()).await
    }

    async fn observed(&self, name: &InstanceName) -> Observed {
        ok(self.runtime.inspect(name).await).unwrap_or_else(|| panic!("{name} should exist"))
    }

    async fn describes_itself(&self) {
        assert!(!ok(self.runtime.info().await).is_empty(), "a runtime says its version");
        assert_eq!(self.runtime.kind(), self.artifact.runtime, "an artifact names its runtime");
        let capabilities = self.runtime.capabilities().await;
        assert!(!capabilities.is_empty(), "a runtime says what it can do");
        for capability in capabilities {
            use crate::model::Support::{Degraded, No};
            if let Degraded { reason } | No { reason } = &capability.support {
                assert!(reason.len() > 10, "{}: `{reason}` does not say why", capability.name);
            }
        }
    }

    async fn builds(&self) {
        assert!(ok(self.runtime.has_artifact(&self.artifact).await), "what was built is here");
        let list = ok(self.runtime.list_artifacts(self.app).await);
        assert!(list.contains(&self.artifact), "{list:?} should have {:?}", self.artifact);
        assert_eq!(ok(self.runtime.list_artifacts(AppId::new(fresh())).await), [], "artifacts belong to their app");
        let (tree, plan) = self.harness.app();
        let again = ok(build(&*self.runtime, self.platform, self.app, tree, &plan, &NoOutput).await);
        let spec = InstanceSpec { artifact: again, ..self.spec("exit 0") };
        self.up(&spec).await;
        assert_eq!(ok(soon("a run of a second build", self.runtime.wait(&spec.name)).await).code, 0);
        ok(self.runtime.remove(&spec.name).await);
    }

    async fn failed_builds_say_why(&self) {
        let (tree, plan) = self.harness.with_build(&["echo fine", "echo the-reason-is-here >&2; exit 3"]);
        let sink = Collect::default();
        let failed = build(&*self.runtime, self.platform, self.app, tree, &plan, &sink).await;
        let error = failed.expect_err("a build whose command fails must fail");
        assert_eq!(error.code(), Code::BuildFailed, "{error:?}");
        assert!(error.detail().contains("the-reason-is-here"), "the reason is missing in: {}", error.detail());
        let lines = sink.lines();
        assert!(lines.iter().any(|line| line.contains("fine")), "the output of a build is reported: {lines:?}");
    }

    async fn dropped_builds_end(&self) {
        // A number of seconds that nobody else sleeps; the command line of a container is seen on its host too.
        let seconds = format!("{}", 1_000_000 + fresh().0 % 8_999_999);
        let line = format!("echo has-begun && sleep {seconds}");
        let (tree, plan) = self.harness.with_build(&[&line]);
        let sink = Collect::default();
        {
            let building = build(&*self.runtime, self.platform, self.app, tree, &plan, &sink);
            let begun = eventually("the build runs", || async { processes_with(&seconds) > 0 });
            tokio::select! {
                done = building => panic!("the build should sleep, not end: {done:?}"),
                () = begun => {}
            }
        }
        eventually("a dropped build ends", || async { processes_with(&seconds) == 0 }).await;
    }

    async fn artifacts_go(&self) {
        for instance in ok(self.runtime.list(None).await) {
            ok(self.runtime.remove(&instance.name).await);
        }
        for artifact in ok(self.runtime.list_artifacts(self.app).await) {
            ok(self.runtime.remove_artifact(&artifact).await);
            ok(self.runtime.remove_artifact(&artifact).await);
            assert!(!ok(self.runtime.has_artifact(&artifact).await), "what was removed is gone");
        }
        assert_eq!(ok(self.runtime.list_artifacts(self.app).await), []);
    }
}

pub(super) async fn build(
    runtime: &dyn Runtime,
    platform: PlatformId,
    app: AppId,
    tree: PathBuf,
    plan: &Plan,
    sink: &dyn OutputSink,
) -> Result<Artifact> {
    let env = BTreeMap::new();
    let deployment = DeploymentId::new(fresh());
    let request = BuildRequest { platform, app, deployment, tree, plan, env: &env, no_cache: false };
    runtime.build(request, sink).await
}

/// Output of a build, kept.
#[derive(Default)]
struct Collect(Mutex<Vec<String>>);

impl Collect {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl OutputSink for Collect {
    fn line(&self, _: LogStream, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }
}

/// How many processes have this among their arguments.
fn processes_with(argument: &str) -> usize {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let has = |text: Vec<u8>| text.split(|byte| *byte == 0).any(|part| part == argument.as_bytes());
    entries.flatten().filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(has)).count()
}

/// An id that nobody else has.
pub(super) fn fresh() -> Ulid {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = || u128::from(RandomState::new().build_hasher().finish());
    let millis = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
    Ulid((millis << 80) | ((random() << 64 | random()) & ((1 << 80) - 1)))
}

#[track_caller]
pub(super) fn ok<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("it should have worked: {error:?}"),
    }
}

pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took longer than {PATIENCE:?}"),
    }
}

/// Looks until it holds.
pub(super) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that a session prints, and how it ends.
pub(super) async fn finish(mut session: Session) -> (String, String, i32) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(output) = soon("output of a session", session.output.next()).await {
        let (stream, bytes) = ok(output);
        if stream == LogStream::Stdout { out.extend_from_slice(&bytes) } else { err.extend_from_slice(&bytes) }
    }
    let exit = ok(soon("the exit of a session", session.exit).await);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(out), text(err), exit.code)
}

pub(super) fn exit_code(state: &InstanceState) -> i32 {
    match state {
        InstanceState::Exited(exit) => exit.code,
        other => panic!("it should have ended, and is {other:?}"),
    }
}
