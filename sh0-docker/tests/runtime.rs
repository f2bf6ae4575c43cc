//! The runtime against a real engine, with the image of `tests/engine.rs`.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt;
use sh0_core::Code;
use sh0_core::model::*;
use sh0_core::traits::*;
use sh0_docker::client::{Client, ContainerSpec, Endpoint, RemoveContainer, RemoveImage};
use sh0_docker::runtime::{DockerOptions, DockerRuntime};

#[path = "runtime/builds.rs"]
mod builds;
#[path = "runtime/ending.rs"]
mod ending;
#[path = "runtime/images.rs"]
mod images;
#[path = "runtime/places.rs"]
mod places;

const DEFAULT_IMAGE: &str = "sh0-test/debian:bookworm";

/// Everything one test makes: an app of its own on the real engine.
struct Bench {
    runtime: DockerRuntime,
    platform: PlatformId,
    client: Client,
    app: AppId,
    deployment: DeploymentId,
    image: String,
}

impl Bench {
    /// `None` where there is no engine, which is a failure in CI.
    async fn new() -> Option<Bench> {
        let endpoint = match std::env::var("DOCKER_HOST") {
            Ok(host) => host.parse().unwrap(),
            Err(_) => Endpoint::default(),
        };
        let image = std::env::var("SH0_TEST_IMAGE").unwrap_or_else(|_| DEFAULT_IMAGE.into());
        let client = match Client::connect(endpoint).await {
            Ok(client) => client,
            Err(error) => {
                assert!(std::env::var("CI").is_err(), "CI needs a Docker engine: {error}");
                eprintln!("not run: {error}; install docker.io, start dockerd, and run `cargo xtask setup`");
                return None;
            }
        };
        let platform = PlatformId::new(ulid::Ulid::generate());
        let runtime = DockerRuntime::new(client.clone(), platform, DockerOptions::default());
        Some(Bench {
            runtime,
            platform,
            client,
            app: AppId::new(ulid::Ulid::generate()),
            deployment: DeploymentId::new(ulid::Ulid::generate()),
            image,
        })
    }

    /// Builds a tree with this Dockerfile (the base image is written `BASE`) and these files.
    async fn build(
        &self,
        dockerfile: &str,
        files: &[(&str, &str)],
        sink: &dyn OutputSink,
    ) -> sh0_core::Result<Artifact> {
        let tree = tempfile::tempdir().unwrap();
        for (path, text) in files {
            std::fs::write(tree.path().join(path), text).unwrap();
        }
        let dockerfile = dockerfile.replace("BASE", &self.image);
        let image = ImagePlan::Generated { dockerfile, dockerignore: "secret".into() };
        let plan = Plan { image, ..Plan::default() };
        self.runtime.build(self.request(tree.path(), &plan), sink).await
    }

    fn request<'a>(&self, tree: &Path, plan: &'a Plan) -> BuildRequest<'a> {
        static NOTHING: BTreeMap<EnvKey, Secret> = BTreeMap::new();
        BuildRequest {
            platform: self.platform,
            app: self.app,
            deployment: self.deployment,
            tree: tree.to_owned(),
            plan,
            env: &NOTHING,
            no_cache: false,
        }
    }

    fn spec(&self, artifact: &Artifact, index: u32, command: &str) -> InstanceSpec {
        let process: ProcessName = "web".parse().unwrap();
        InstanceSpec {
            name: InstanceName::of(self.deployment, &process, index),
            labels: Labels {
                platform: self.platform,
                app: self.app,
                release: ReleaseId::new(ulid::Ulid::nil()),
                deployment: self.deployment,
                process,
                index,
                one_off: false,
            },
            artifact: artifact.clone(),
            command: Some(CommandLine::Shell(command.into())),
            env: BTreeMap::new(),
            port: Some(8080),
            resources: Resources::default(),
            volumes: Vec::new(),
            restart: false,
            terminal: None,
        }
    }

    async fn up(&self, spec: &InstanceSpec) -> InstanceName {
        self.runtime.create(spec).await.unwrap();
        self.runtime.start(&spec.name).await.unwrap();
        spec.name.clone()
    }

    async fn lines(&self, name: &InstanceName) -> Vec<String> {
        let lines = self.runtime.logs(name, None, false).await.unwrap();
        lines.map(|line| line.unwrap().text).collect().await
    }

    async fn clean(&self) {
        for observed in self.runtime.list(Some(self.app)).await.unwrap() {
            self.runtime.remove(&observed.name).await.unwrap();
        }
        for volume in self.runtime.list_volumes(self.app).await.unwrap() {
            self.runtime.remove_volume(self.app, &volume.name).await.unwrap();
        }
        for artifact in self.runtime.list_artifacts(self.app).await.unwrap() {
            self.runtime.remove_artifact(&artifact).await.unwrap();
        }
        assert!(self.runtime.list_artifacts(self.app).await.unwrap().is_empty());
        until("the platform's network is removed", async || {
            self.client.inspect_network(&format!("sh0-{}", self.platform)).await.is_err().then_some(())
        })
        .await;
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl OutputSink for Lines {
    fn line(&self, _: LogStream, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// Asks again until it is so.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn an_image_is_built_used_and_removed() {
    let Some(bench) = Bench::new().await else { return };
    let output = Lines::default();
    // The cache of a builder outlives the image, so each run of the test has a step of its own.
    let dockerfile = format!(
        "FROM BASE\nEXPOSE 9000 8000\nCOPY . /app\nRUN : {}; echo built-here\nUSER 10001\nCMD [\"cat\", \"/app/text\"]\n",
        bench.app
    );
    let files = [("text", "hello $HOME"), ("secret", "never")];
    let artifact = bench.build(&dockerfile, &files, &output).await.unwrap();
    assert_eq!(artifact.port, Some(8000));
    assert!(output.0.lock().unwrap().iter().any(|line| line == "built-here"), "the build's output arrives");
    assert!(bench.runtime.has_artifact(&artifact).await.unwrap());
    assert_eq!(bench.runtime.list_artifacts(bench.app).await.unwrap()[0].id, artifact.id);
    let again = bench.build(&dockerfile, &files, &NoOutput).await.unwrap();
    assert_eq!(again.id, artifact.id, "the same tree gives the same image");

    let own = InstanceSpec { command: None, ..bench.spec(&artifact, 0, "") };
    let name = bench.up(&own).await;
    assert_eq!(bench.runtime.wait(&name).await.unwrap(), Exit { code: 0, oom: false });
    assert_eq!(bench.lines(&name).await, ["hello $HOME"]);
    let found = bench.up(&bench.spec(&artifact, 1, "id -u; ls /app; exit 3")).await;
    assert_eq!(bench.runtime.wait(&found).await.unwrap().code, 3);
    assert_eq!(bench.lines(&found).await, ["10001", "text"], "not root, and what is ignored stays away");
    bench.clean().await;
}

#[tokio::test]
async fn failed_builds_say_why_and_leave_nothing() {
    let Some(bench) = Bench::new().await else { return };
    let dockerfile = "FROM BASE\nRUN echo done before\n\
        RUN seq -f 'line %g' 30; sleep 0.3; printf '\\033[1moh-no\\033[0m\\n' >&2; exit 7\n";
    let error = bench.build(dockerfile, &[], &NoOutput).await.unwrap_err();
    assert_eq!(error.code(), Code::BuildFailed);
    let (reason, last) = error.detail().split_once("; its last lines:\n").unwrap();
    assert!(reason.contains("exit 7") && reason.ends_with("code: 7"), "{error}");
    let last: Vec<_> = last.lines().collect();
    assert_eq!((last.len(), last[0], last[18], last[19]), (20, "line 12", "line 30", "oh-no"), "{error}");
    let error = bench.build("FROM BASE\nRUN echo done before\nRUN exit 7\n", &[], &NoOutput).await.unwrap_err();
    assert!(error.detail().ends_with("code: 7; it printed nothing"), "{error}");
    let error = bench.build("FROM BASE\nRUN echo done before\nCOPY none /\n", &[], &NoOutput).await.unwrap_err();
    assert!(error.detail().contains("none") && !error.detail().contains("its last lines"), "{error}");
    let error = bench.build("FROM 127.0.0.1:1/no/such:image\n", &[], &NoOutput).await.unwrap_err();
    assert_eq!(error.code(), Code::BuildFailed);
    for word in ["127.0.0.1:1/no/such:image", "--image-mirror", "--runtime process"] {
        assert!(error.detail().contains(word), "{word}: {error}");
    }
    let image = "127.0.0.1:1/no/such:image".parse().unwrap();
    let error = bench.runtime.pull(&image, &NoOutput).await.unwrap_err();
    assert!(
        error.detail().contains("127.0.0.1:1/no/such:image") && error.detail().contains("--image-mirror"),
        "{error}"
    );
    bench.clean().await;
}

#[tokio::test]
async fn an_image_that_somebody_else_runs_stays_without_our_names() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build(&format!("FROM BASE\nRUN : {}\n", bench.app), &[], &NoOutput).await.unwrap();
    let spec = ContainerSpec {
        image: artifact.id.clone(),
        cmd: Some(vec!["sleep".to_owned(), "60".to_owned()]),
        ..ContainerSpec::default()
    };
    let theirs = bench.client.create_container(None, &spec).await.unwrap();
    bench.client.start_container(&theirs.id).await.unwrap();
    bench.runtime.remove_artifact(&artifact).await.unwrap();
    assert!(bench.client.inspect_image(&artifact.id).await.unwrap().repo_tags.is_empty());
    assert!(bench.client.inspect_container(&theirs.id).await.unwrap().state.running);
    bench.client.remove_container(&theirs.id, RemoveContainer { force: true, ..Default::default() }).await.unwrap();

    let (ours, theirs) = (format!("sh0/{}:again", bench.app), format!("operator/kept:{}", bench.app));
    for name in [&ours, &theirs] {
        bench.client.tag_image(&artifact.id, name).await.unwrap();
    }
    bench.runtime.remove_artifact(&artifact).await.unwrap();
    let named = bench.client.inspect_image(&artifact.id).await.unwrap().repo_tags;
    assert_eq!(named.iter().collect::<Vec<_>>(), [&theirs]);
    bench.client.tag_image(&artifact.id, &ours).await.unwrap();
    bench.client.remove_image(&theirs, RemoveImage::default()).await.unwrap();

    let name = bench.up(&bench.spec(&artifact, 0, "sleep 60")).await;
    bench.runtime.remove_artifact(&artifact).await.unwrap_err();
    assert!(bench.runtime.inspect(&name).await.unwrap().is_some(), "an image that an instance needs is not removed");
    bench.clean().await;
}

#[tokio::test]
async fn a_volume_belongs_to_the_images_user_and_outlives_instances() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build("FROM BASE\nUSER 10001\n", &[], &NoOutput).await.unwrap();
    let mount = VolumeMount { name: "data".parse().unwrap(), path: "/var/lib/shop".parse().unwrap() };
    for (index, command) in
        ["echo kept > /var/lib/shop/file && stat -c %u /var/lib/shop", "cat /var/lib/shop/file"].iter().enumerate()
    {
        bench.runtime.ensure_volume(bench.app, &mount.name).await.unwrap();
        let spec = InstanceSpec { volumes: vec![mount.clone()], ..bench.spec(&artifact, index as u32, command) };
        let name = bench.up(&spec).await;
        assert_eq!(bench.runtime.wait(&name).await.unwrap().code, 0, "{:?}", bench.lines(&name).await);
        assert_eq!(bench.lines(&name).await, [["10001"], ["kept"]][index]);
        bench.runtime.remove(&name).await.unwrap();
    }
    bench.clean().await;
}

#[tokio::test]
async fn why_nobody_reaches_it_is_told() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build("FROM BASE\n", &[], &NoOutput).await.unwrap();
    let listen = |addr: &str| {
        format!(
            "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => \"{addr}\", Listen => 5) or die; sleep 600'"
        )
    };
    let name = bench.up(&bench.spec(&artifact, 0, &listen("127.0.0.1:8080"))).await;
    let why = until("a reason", async || bench.runtime.diagnose(&name, 8080).await.unwrap()).await;
    assert!(why.contains("127.0.0.1:8080 only"), "{why}");
    let name = bench.up(&bench.spec(&artifact, 1, &listen("0.0.0.0:3000"))).await;
    let why = until("a reason", async || bench.runtime.diagnose(&name, 8080).await.unwrap()).await;
    assert!(why.contains("port 3000 instead"), "{why}");

    let name = bench.up(&bench.spec(&artifact, 2, &listen("0.0.0.0:8080"))).await;
    let observed = bench.runtime.inspect(&name).await.unwrap().unwrap();
    let addr = observed.endpoint.unwrap();
    until("a connection from outside", async || tokio::net::TcpStream::connect(addr).await.ok()).await;
    assert_eq!(bench.runtime.stop(&name, Millis::from_secs(10)).await.unwrap().map(|exit| exit.code), Some(143));
    bench.clean().await;
}

#[tokio::test]
async fn logs_go_on_over_a_restart_without_loss_or_repetition() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build("FROM BASE\n", &[], &NoOutput).await.unwrap();
    let command = "echo run; [ -e /tmp/n3 ] && { echo last; exec sleep 600; }; [ -e /tmp/n2 ] && touch /tmp/n3; touch /tmp/n2; exit 1";
    let spec = InstanceSpec { restart: true, ..bench.spec(&artifact, 0, command) };
    bench.runtime.create(&spec).await.unwrap();
    let mut events = bench.runtime.events().await.unwrap();
    bench.runtime.start(&spec.name).await.unwrap();
    let mut lines = bench.runtime.logs(&spec.name, None, true).await.unwrap();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|line| line != "last") {
        seen.push(lines.next().await.unwrap().unwrap().text);
    }
    assert_eq!(seen, ["run", "run", "run", "last"]);
    let observed = bench.runtime.inspect(&spec.name).await.unwrap().unwrap();
    assert_eq!((observed.restarts, observed.state), (2, InstanceState::Running));
    bench.runtime.remove(&spec.name).await.unwrap();
    assert!(lines.next().await.is_none(), "the log ends with its instance");
    let mut kinds = Vec::new();
    while kinds.last() != Some(&"removed") {
        match events.next().await.unwrap().unwrap() {
            RuntimeEvent::Started(name, app) if name == spec.name && app == bench.app => kinds.push("started"),
            RuntimeEvent::Ended(name, app) if name == spec.name && app == bench.app => kinds.push("ended"),
            RuntimeEvent::Removed(name, app) if name == spec.name && app == bench.app => kinds.push("removed"),
            _ => {}
        }
    }
    assert_eq!(kinds.iter().filter(|kind| **kind == "started").count(), 3, "{kinds:?}");
    bench.clean().await;
}

#[tokio::test]
async fn commands_inside_and_beside_an_instance() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build("FROM BASE\n", &[], &NoOutput).await.unwrap();
    let name = bench.up(&bench.spec(&artifact, 0, "sleep 600")).await;
    let value = "a $b 'c' \"d\"\n=e ü🎉";
    let key: EnvKey = "NASTY".parse().unwrap();
    let env = BTreeMap::from([(key, Secret::new(value))]);

    let command = CommandLine::Shell("cat; printf %s \"$NASTY\"; exit 9".into());
    let mut session = bench
        .runtime
        .exec(&name, &ExecSpec { command: command.clone(), env: env.clone(), terminal: None })
        .await
        .unwrap();
    session.input.write(bytes::Bytes::from_static(b"typed|")).await.unwrap();
    session.input.close().await.unwrap();
    assert_eq!(text(&mut session).await, format!("typed|{value}"));
    assert_eq!(session.exit.await.unwrap().code, 9);

    let mut one_off = bench.spec(&artifact, 7, "");
    one_off.name = InstanceName::one_off(ulid::Ulid::generate());
    one_off.labels.one_off = true;
    one_off.command = Some(command);
    one_off.env = env;
    let mut session = bench.runtime.run(&one_off).await.unwrap();
    session.input.write(bytes::Bytes::from_static(b"typed|")).await.unwrap();
    session.input.close().await.unwrap();
    assert_eq!(text(&mut session).await, format!("typed|{value}"));
    assert_eq!(session.exit.await.unwrap().code, 9);
    assert!(bench.runtime.inspect(&one_off.name).await.unwrap().is_none(), "a one-off run leaves nothing");

    one_off.command = Some(CommandLine::Shell("sleep 600".into()));
    let session = bench.runtime.run(&one_off).await.unwrap();
    drop(session);
    until("a dropped run is removed", async || {
        bench.runtime.inspect(&one_off.name).await.unwrap().is_none().then_some(())
    })
    .await;
    bench.clean().await;
}

async fn text(session: &mut Session) -> String {
    let mut all = Vec::new();
    while let Some(chunk) = session.output.next().await {
        all.extend_from_slice(&chunk.unwrap().1);
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn what_is_not_ours_is_never_touched() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build("FROM BASE\n", &[], &NoOutput).await.unwrap();
    let spec = bench.spec(&artifact, 0, "sleep 600");
    let foreign = ContainerSpec {
        image: bench.image.clone(),
        cmd: Some(vec!["sleep".into(), "600".into()]),
        ..ContainerSpec::default()
    };
    bench.client.create_container(Some(spec.name.as_str()), &foreign).await.unwrap();
    let error = bench.runtime.create(&spec).await.unwrap_err();
    assert_eq!(error.code(), Code::Conflict);
    assert!(bench.runtime.list(None).await.unwrap().iter().all(|observed| observed.name != spec.name));
    assert!(bench.runtime.inspect(&spec.name).await.unwrap().is_none());
    bench.client.remove_container(spec.name.as_str(), RemoveContainer { force: true, volumes: true }).await.unwrap();
    bench.clean().await;
}

#[tokio::test]
async fn limits_labels_and_log_rotation_are_in_force() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build("FROM BASE\n", &[], &NoOutput).await.unwrap();
    let resources = Resources { memory: Some(Bytes::from_mib(64)), cpus: Some(MilliCpus(500)), pids: Some(50) };
    let spec = InstanceSpec { resources, restart: true, ..bench.spec(&artifact, 0, "sleep 600") };
    let name = bench.up(&spec).await;
    bench.runtime.create(&spec).await.unwrap();
    bench.runtime.start(&name).await.unwrap();
    let observed = bench.runtime.list(Some(bench.app)).await.unwrap();
    assert_eq!((observed.len(), &observed[0].labels), (1, &spec.labels));
    let inside = CommandLine::Shell(
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; cat /proc/1/comm"
            .into(),
    );
    let mut session =
        bench.runtime.exec(&name, &ExecSpec { command: inside, env: BTreeMap::new(), terminal: None }).await.unwrap();
    let seen = text(&mut session).await;
    assert!(seen.contains("67108864") && (seen.contains("docker-init") || seen.contains("tini")), "{seen}");
    let error = bench
        .up_fails(&InstanceSpec {
            command: Some(CommandLine::Exec(vec!["/no/such".into()])),
            ..bench.spec(&artifact, 1, "")
        })
        .await;
    assert!(error.detail().contains("/no/such"), "{error}");
    bench.clean().await;
}

impl Bench {
    async fn up_fails(&self, spec: &InstanceSpec) -> sh0_core::Error {
        self.runtime.create(spec).await.unwrap();
        match self.runtime.start(&spec.name).await {
            Err(error) => error,
            // An init runs first: the program that cannot be run ends it at once.
            Ok(()) => {
                let exit = self.runtime.wait(&spec.name).await.unwrap();
                assert_eq!(exit.code, 127);
                sh0_core::Error::new(Code::DeployFailed, self.lines(&spec.name).await.join("\n"))
            }
        }
    }
}
