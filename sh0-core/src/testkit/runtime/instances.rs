//! The life of instances.

use std::collections::BTreeMap;

use super::{Bench, PATIENCE, eventually, exit_code, fresh, ok, soon};
use crate::Code;
use crate::model::{DeploymentId, EnvKey, InstanceName, InstanceState, Millis, PlatformId, Secret, VolumeMount};
use crate::traits::{ExecSpec, InstanceSpec};

/// Runs until somebody stops it, and ends when it is asked to.
pub(super) const STAY: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done";
/// Grace of a stop that should not need it.
pub(super) const GRACE: Millis = Millis::from_secs(30);

impl Bench<'_> {
    pub(super) async fn every_effect_can_be_repeated(&self) {
        let (runtime, spec) = (&self.runtime, self.spec(STAY));
        let name = &spec.name;
        ok(runtime.create(&spec).await);
        assert_eq!(self.observed(name).await.state, InstanceState::Created, "created is not started");
        ok(runtime.create(&spec).await);
        assert_eq!(ok(runtime.stop(name, GRACE).await), None, "what was never started has no end");
        ok(runtime.start(name).await);
        let first = self.observed(name).await;
        assert_eq!(first.state, InstanceState::Running);
        assert!(first.started_at.is_some(), "a running instance was started at some time");
        ok(runtime.start(name).await);
        ok(runtime.create(&spec).await);
        let second = self.observed(name).await;
        assert_eq!(first, second, "start on running and create on existing change nothing");
        self.printed(name, "up").await;
        assert_eq!(ok(runtime.stop(name, GRACE).await).map(|exit| exit.code), Some(0), "its handler of SIGTERM ran");
        assert_eq!(exit_code(&self.observed(name).await.state), 0);
        assert_eq!(ok(runtime.stop(name, GRACE).await).map(|exit| exit.code), Some(0), "stop on stopped says the same");
        ok(runtime.start(name).await);
        assert_eq!(self.observed(name).await.state, InstanceState::Running, "a stopped instance starts again");
        ok(runtime.remove(name).await);
        assert_eq!(ok(runtime.inspect(name).await), None, "remove kills what runs");
        ok(runtime.remove(name).await);
    }

    pub(super) async fn absent_instances(&self) {
        let name = InstanceName::of(DeploymentId::new(fresh()), &"web".parse().expect("a process name"), 0);
        let runtime = &self.runtime;
        assert_eq!(ok(runtime.inspect(&name).await), None);
        ok(runtime.remove(&name).await);
        let code = |error: Option<crate::Error>| error.map(|error| error.code());
        assert_eq!(code(runtime.start(&name).await.err()), Some(Code::NotFound), "start");
        assert_eq!(code(runtime.wait(&name).await.err()), Some(Code::NotFound), "wait");
        assert_eq!(code(runtime.logs(&name, None, false).await.err()), Some(Code::NotFound), "logs");
        let command = ExecSpec {
            command: crate::traits::CommandLine::Shell("true".into()),
            env: BTreeMap::new(),
            terminal: None,
        };
        assert_eq!(code(runtime.exec(&name, &command).await.err()), Some(Code::NotFound), "exec");
    }

    pub(super) async fn exits(&self) {
        assert_eq!(self.output_of("exit 0").await.1, 0);
        assert_eq!(self.output_of("echo last words; exit 7").await, (vec!["last words".to_owned()], 7));
        assert_eq!(self.output_of("kill -9 $$; sleep 1000").await.1, 137, "128 + SIGKILL");
        assert_eq!(self.output_of("/no/such/program").await.1, 127, "a shell that finds no program");
        let spec = InstanceSpec {
            command: Some(crate::traits::CommandLine::Exec(vec!["/no/such/program".into()])),
            ..self.spec("")
        };
        ok(self.runtime.create(&spec).await);
        match self.runtime.start(&spec.name).await {
            Err(error) => {
                assert_eq!(error.code(), Code::DeployFailed, "{error:?}");
                assert!(
                    error.detail().contains("/no/such/program"),
                    "the reason names the program: {}",
                    error.detail()
                );
            }
            // Something else runs first, and finds out.
            Ok(()) => {
                let exit = ok(soon("the end of a run", self.runtime.wait(&spec.name)).await);
                assert!(matches!(exit.code, 126 | 127), "a command that is not there cannot run: {exit}");
                let lines: Vec<_> = self.lines(&spec.name).await.into_iter().map(|line| line.text).collect();
                assert!(lines.concat().contains("/no/such/program"), "the reason names the program: {lines:?}");
            }
        }
        ok(self.runtime.remove(&spec.name).await);
    }

    pub(super) async fn stops(&self) {
        let stubborn = self.spec("trap '' TERM; echo up; while :; do sleep 1000; done");
        self.up(&stubborn).await;
        self.printed(&stubborn.name, "up").await;
        let exit = ok(soon("a stop of a stubborn one", self.runtime.stop(&stubborn.name, Millis(300))).await);
        assert_eq!(exit.map(|exit| exit.code), Some(137), "killed after the grace");
        ok(self.runtime.remove(&stubborn.name).await);
        // A program without a handler ends by the signal's default, whatever its process id is.
        let plain = self.spec("sleep 1000");
        self.up(&plain).await;
        let begin = std::time::Instant::now();
        let exit = ok(self.runtime.stop(&plain.name, Millis::from_secs(3600)).await);
        assert!(begin.elapsed() < PATIENCE, "SIGTERM reaches a program without a handler");
        assert_eq!(exit.map(|exit| exit.code), Some(143), "128 + SIGTERM");
        ok(self.runtime.remove(&plain.name).await);
    }

    pub(super) async fn restarts(&self) {
        let spec = InstanceSpec { restart: true, ..self.spec("echo again; exit 1") };
        let name = &spec.name;
        self.up(&spec).await;
        eventually("a restart", || async { self.observed(name).await.restarts >= 2 }).await;
        let runs = self.lines(name).await.iter().filter(|line| line.text == "again").count();
        assert!(runs >= 2, "each run printed its line: {runs}");
        ok(self.runtime.stop(name, GRACE).await);
        let stopped = self.observed(name).await;
        // 1 when it was stopped between two runs, something else when within one.
        assert_ne!(exit_code(&stopped.state), 0, "a stopped instance is not started again");
        // Longer than the pause before the next start would have been.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(self.observed(name).await, stopped, "and stays so");
        ok(self.runtime.remove(name).await);
    }

    pub(super) async fn labels_and_lists(&self) {
        let one = self.spec(STAY);
        let mut other = self.spec(STAY);
        other.labels.app = crate::model::AppId::new(fresh());
        let (tree, plan) = self.harness.app();
        let sink = crate::traits::NoOutput;
        other.artifact =
            ok(super::build(&*self.runtime, self.platform, other.labels.app, tree.clone(), &plan, &sink).await);
        let platform = PlatformId::new(fresh());
        let neighbour = self.harness.open(platform).await;
        let mut foreign = self.spec(STAY);
        foreign.labels.platform = platform;
        foreign.labels.app = crate::model::AppId::new(fresh());
        foreign.artifact = ok(super::build(&*neighbour, platform, foreign.labels.app, tree, &plan, &sink).await);
        self.up(&one).await;
        self.up(&other).await;
        ok(neighbour.create(&foreign).await);
        ok(neighbour.start(&foreign.name).await);

        assert_eq!(self.observed(&one.name).await.labels, one.labels, "labels read back as they were written");
        let names = |list: Vec<crate::traits::Observed>| {
            list.into_iter().map(|one| one.name).collect::<std::collections::BTreeSet<_>>()
        };
        let all = names(ok(self.runtime.list(None).await));
        assert!(all.contains(&one.name) && all.contains(&other.name), "{all:?}");
        assert!(!all.contains(&foreign.name), "another platform's instances are not seen");
        let of_app = names(ok(self.runtime.list(Some(other.labels.app)).await));
        assert_eq!(of_app.into_iter().collect::<Vec<_>>(), [other.name.clone()]);
        assert_eq!(names(ok(neighbour.list(None).await)).into_iter().collect::<Vec<_>>(), [foreign.name.clone()]);

        ok(neighbour.remove(&foreign.name).await);
        ok(neighbour.remove_artifact(&foreign.artifact).await);
        assert!(self.observed(&one.name).await.state.is_running(), "the neighbour touches only its own");
        ok(self.runtime.remove(&other.name).await);
        ok(self.runtime.remove_artifact(&other.artifact).await);
        ok(self.runtime.remove(&one.name).await);
    }

    pub(super) async fn environment_is_literal(&self) {
        let values = [
            ("EMPTY", ""),
            ("DOLLAR", "$HOME ${HOME} $(id) `id` $$"),
            ("QUOTES", r#"'single' "double" \backslash \n"#),
            ("LINES", "one\ntwo\n\nfour\n"),
            ("EQUALS", "=a=b=="),
            ("UNICODE", "grüße 你好 🚀 \u{200f}"),
            ("SPACES", "  two before, a tab\tinside, two behind  "),
            ("HASH", "#no comment; rm -rf / & | > < * ? ~"),
            ("PERCENT", "%s %d %% %PATH%"),
            ("lower_case", "also"),
        ];
        let mut line = "printf '%s\\0'".to_owned();
        let mut spec = self.spec("");
        for (key, value) in values {
            line.push_str(&format!(" \"${key}\""));
            spec.env.insert(key.parse().expect("a key"), Secret::new(value));
        }
        let long = "x".repeat(100_000);
        spec.env.insert("LONG".parse().expect("a key"), Secret::new(long.as_str()));
        line.push_str(" \"$LONG\"");
        spec.command = Some(crate::traits::CommandLine::Shell(line));
        spec.name = InstanceName::one_off(fresh());
        spec.labels.one_off = true;
        let (out, err, code) = super::finish(ok(self.runtime.run(&spec).await)).await;
        assert_eq!((err.as_str(), code), ("", 0));
        let received: Vec<&str> = out.split('\0').collect();
        for ((key, value), received) in values.iter().zip(&received) {
            assert_eq!(value, received, "{key} arrives byte for byte");
        }
        assert_eq!(received.get(values.len()).map(|text| text.len()), Some(long.len()), "a long value arrives");
    }

    pub(super) async fn endpoints(&self) {
        let quiet = InstanceSpec { port: Some(8080), ..self.spec(STAY) };
        ok(self.runtime.create(&quiet).await);
        assert_eq!(self.observed(&quiet.name).await.endpoint, None, "what does not run has no endpoint");
        ok(self.runtime.start(&quiet.name).await);
        assert!(self.observed(&quiet.name).await.endpoint.is_some(), "an instance with a port has an endpoint");
        let worker = self.spec(STAY);
        self.up(&worker).await;
        assert_eq!(self.observed(&worker.name).await.endpoint, None, "a worker has none");
        // It may not be able to tell; a backend's own test asks for more.
        ok(self.runtime.diagnose(&quiet.name, 8080).await);
        ok(self.runtime.remove(&quiet.name).await);
        ok(self.runtime.remove(&worker.name).await);

        let Some(server) = self.harness.server() else { return };
        let spec = InstanceSpec { port: Some(8080), command: Some(server), ..self.spec("") };
        self.up(&spec).await;
        let endpoint = self.observed(&spec.name).await.endpoint.expect("an endpoint");
        let reach =
            || async { std::net::TcpStream::connect_timeout(&endpoint, std::time::Duration::from_secs(1)).is_ok() };
        eventually("the endpoint answers", reach).await;
        assert_eq!(ok(self.runtime.diagnose(&spec.name, 8080).await), None, "nothing is wrong with what listens");
        ok(self.runtime.stop(&spec.name, GRACE).await);
        assert_eq!(self.observed(&spec.name).await.endpoint, None);
        ok(self.runtime.remove(&spec.name).await);
    }

    pub(super) async fn usage(&self) {
        let spec = self.spec(STAY);
        self.up(&spec).await;
        eventually("what a running instance uses", || async {
            let usage = ok(self.runtime.usage(&spec.name).await);
            usage.memory.is_some_and(|bytes| bytes > 0) || usage.pids.is_some_and(|pids| pids > 0)
        })
        .await;
        ok(self.runtime.remove(&spec.name).await);
    }

    pub(super) async fn volumes_stay(&self) {
        let (runtime, volume) = (&self.runtime, "keep".parse().expect("a volume name"));
        assert_eq!(ok(runtime.list_volumes(self.app).await), []);
        let place = ok(runtime.ensure_volume(self.app, &volume).await);
        assert_eq!(ok(runtime.ensure_volume(self.app, &volume).await), place, "the same volume");
        let mounted = |line: &str| {
            let mount = VolumeMount { name: volume.clone(), path: "/keep".parse().expect("a path") };
            let line = format!("cd \"${{SH0_VOLUME_KEEP:-/keep}}\" && {line}");
            InstanceSpec { volumes: vec![mount], ..self.spec(&line) }
        };
        for (line, expected) in [("echo kept > file", 0), ("grep -q kept file", 0)] {
            let spec = mounted(line);
            self.up(&spec).await;
            assert_eq!(ok(soon(line, runtime.wait(&spec.name)).await).code, expected, "{line}");
            ok(runtime.remove(&spec.name).await);
        }
        let volumes = ok(runtime.list_volumes(self.app).await);
        assert_eq!(volumes.iter().map(|one| (&one.name, &one.location)).collect::<Vec<_>>(), [(&volume, &place)]);
        ok(runtime.remove_volume(self.app, &volume).await);
        ok(runtime.remove_volume(self.app, &volume).await);
        assert_eq!(ok(runtime.list_volumes(self.app).await), []);
    }

    pub(super) async fn adoption(&self) {
        let spec = self.spec(STAY);
        self.up(&spec).await;
        let before = self.observed(&spec.name).await;
        let again = self.harness.open(self.platform).await;
        assert_eq!(ok(again.inspect(&spec.name).await), Some(before), "a new runtime finds what runs");
        ok(again.create(&spec).await);
        ok(again.start(&spec.name).await);
        self.printed(&spec.name, "up").await;
        assert_eq!(ok(again.stop(&spec.name, GRACE).await).map(|exit| exit.code), Some(0));
        assert_eq!(exit_code(&self.observed(&spec.name).await.state), 0, "both see its end");
        ok(again.remove(&spec.name).await);
        assert_eq!(ok(self.runtime.inspect(&spec.name).await), None);
    }

    /// Waits until it has printed this line.
    pub(super) async fn printed(&self, name: &InstanceName, text: &str) {
        eventually(&format!("{name} prints {text}"), || async {
            self.lines(name).await.iter().any(|line| line.text == text)
        })
        .await;
    }

    /// An environment of one variable.
    pub(super) fn one_variable(key: &str, value: &str) -> BTreeMap<EnvKey, Secret> {
        BTreeMap::from([(key.parse().expect("a key"), Secret::new(value))])
    }
}
