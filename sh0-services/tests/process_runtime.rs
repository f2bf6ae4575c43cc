//! What is special to processes: crashes of either side, the sandbox, limits, logs on disk, static apps.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use rustix::process::{Pid, Signal};
use sh0_core::Code;
use sh0_core::model::{
    AppId, Artifact, Bytes, DeploymentId, Exit, InstanceName, InstanceState, LogStream, Millis, Plan, PlatformId,
    ReleaseId, Resources, Secret, Support, Tool, VolumeMount,
};
use sh0_core::traits::{
    BuildRequest, CommandLine, InstanceSpec, Labels, NoOutput, OutputSink, Runtime, RuntimeEvent, Session,
};
use sh0_services::runtime::process::{ProcessConfig, ProcessRuntime, ShimCommand};

const SHIM: &str = env!("CARGO_BIN_EXE_sh0-shim");
const PATIENCE: Duration = Duration::from_secs(60);
const STAY: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 1000 & wait; done";
/// Tells a second process of this test what to do.
const ROLE: &str = "SH0_TEST_ROOT";

/// A platform's data folder with the runtime's folder in it.
struct Place {
    data: tempfile::TempDir,
    platform: PlatformId,
    app: AppId,
}

impl Place {
    fn new() -> Place {
        Place { data: tempfile::tempdir().unwrap(), platform: id(1), app: id(2) }
    }

    fn config(&self) -> ProcessConfig {
        config(self.data.path(), self.platform)
    }

    async fn open(&self) -> ProcessRuntime {
        ProcessRuntime::open(self.config()).await.unwrap()
    }

    fn tree(&self, files: &[(&str, &str)]) -> PathBuf {
        let tree = self.data.path().join("source");
        fs::create_dir_all(&tree).unwrap();
        for (name, text) in files {
            let path = tree.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    async fn build(&self, runtime: &ProcessRuntime, plan: &Plan) -> sh0_core::Result<Artifact> {
        self.build_with(runtime, plan, &NoOutput).await
    }

    async fn build_with(
        &self,
        runtime: &ProcessRuntime,
        plan: &Plan,
        sink: &dyn OutputSink,
    ) -> sh0_core::Result<Artifact> {
        let env = BTreeMap::from([("BUILD_SECRET".parse().unwrap(), Secret::new("of the build"))]);
        let request = BuildRequest {
            platform: self.platform,
            app: self.app,
            deployment: id(3),
            tree: self.data.path().join("source"),
            plan,
            env: &env,
            no_cache: false,
        };
        runtime.build(request, sink).await
    }

    fn spec(&self, artifact: &Artifact, line: &str) -> InstanceSpec {
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

fn config(data: &Path, platform: PlatformId) -> ProcessConfig {
    let mut config = ProcessConfig::new(data.join("process"), platform, ShimCommand::new(SHIM));
    config.hidden.push(data.to_owned());
    config
}

fn id<T: std::str::FromStr>(number: u32) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("01j9zq000000000000000{number:05}").parse().unwrap()
}

fn spec(platform: PlatformId, app: AppId, artifact: &Artifact, line: &str) -> InstanceSpec {
    static NEXT: Mutex<u32> = Mutex::new(0);
    let mut next = NEXT.lock().unwrap();
    *next += 1;
    let deployment: DeploymentId = id(std::process::id() % 1000 * 100 + *next);
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

async fn up(runtime: &ProcessRuntime, spec: &InstanceSpec) {
    runtime.create(spec).await.unwrap();
    runtime.start(&spec.name).await.unwrap();
}

async fn lines(runtime: &ProcessRuntime, name: &InstanceName) -> Vec<String> {
    let lines = runtime.logs(name, None, false).await.unwrap();
    lines.map(|line| line.unwrap().text).collect().await
}

async fn printed(runtime: &ProcessRuntime, name: &InstanceName, text: &str) -> String {
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
async fn run(runtime: &ProcessRuntime, spec: &InstanceSpec) -> (String, i32) {
    let mut session: Session = runtime.run(spec).await.unwrap();
    let mut text = Vec::new();
    while let Some(output) = soon(session.output.next()).await {
        text.extend_from_slice(&output.unwrap().1);
    }
    (String::from_utf8(text).unwrap(), soon(session.exit).await.unwrap().code)
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it took too long")
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn processes_with(text: &str) -> Vec<i32> {
    let of = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let found = String::from_utf8_lossy(&line).contains(text);
        found.then(|| entry.file_name().to_str()?.parse().ok()).flatten()
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

/// A number of seconds that no other test run sleeps, and what its process's command line holds.
fn unusual_sleep(number: u32) -> (u32, String) {
    let seconds = std::process::id() * 10 + number + 10_000_000;
    (seconds, format!("sleep\0{seconds}"))
}

fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(pid: i32, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal);
}

fn shim_of(name: &InstanceName) -> i32 {
    let found = processes_with(&format!("/instances/{name}"));
    assert_eq!(found.len(), 1, "{name} has one shim: {found:?}");
    found[0]
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

async fn has(runtime: &ProcessRuntime, capability: &str) -> bool {
    runtime.capabilities().await.iter().any(|one| one.name == capability && one.support == Support::Yes)
}

// ---- crashes ----

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
    control_plane.args(["--exact", "control_plane_that_dies", "--nocapture"]).env(ROLE, place.data.path());
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
        deployment: id(3),
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

// ---- the sandbox ----

#[tokio::test]
async fn an_app_cannot_reach_the_platform() {
    let place = Place::new();
    place.tree(&[("file", "own"), ("made", "")]);
    let data = place.data.path();
    fs::write(data.join("sh0.db"), "the store").unwrap();
    fs::set_permissions(data.join("sh0.db"), fs::Permissions::from_mode(0o666)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(data.join("sh0.sock")).unwrap();
    fs::set_permissions(data.join("sh0.sock"), fs::Permissions::from_mode(0o777)).unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(outside.path().join("secret"), "of somebody else").unwrap();
    let runtime = place.open().await;
    let build = vec!["test \"$BUILD_SECRET\" = 'of the build' && id -u > made && echo built >> made".to_owned()];
    let artifact = place.build(&runtime, &Plan { build, ..Plan::default() }).await.unwrap();
    let neighbour = place.spec(&artifact, STAY);
    up(&runtime, &neighbour).await;

    let ask = |line: String| {
        let mut spec = place.spec(&artifact, &line);
        spec.labels.one_off = true;
        spec
    };
    let data = data.display();
    let denied = [
        format!("cat {data}/sh0.db"),
        format!("ls {data}/process/instances"),
        format!("cat {data}/process/instances/{}/spec.json", neighbour.name),
        format!("cat {data}/process/users.json"),
        format!("ls {data}/process/tmp/{}", neighbour.name),
        format!("echo x > {data}/new"),
        format!("cat {}/secret", outside.path().display()),
        format!("echo x > {}/new", outside.path().display()),
        "echo x > /usr/new".to_owned(),
        "cat /root/.profile".to_owned(),
        format!("kill {}", std::process::id()),
        format!("cat /proc/{}/environ", std::process::id()),
        format!("ls /proc/{}/root/", std::process::id()),
    ];
    for line in denied {
        let (text, code) = run(&runtime, &ask(format!("{line} 2>&1"))).await;
        assert_ne!(code, 0, "`{line}` should be refused: {text}");
    }
    if has(&runtime, "hidden platform files").await {
        let (_, code) = run(&runtime, &ask(format!("test -e {data}/sh0.sock"))).await;
        assert_ne!(code, 0, "the socket is not even there");
        for hidden in ["sh0.db", "source", "process/instances", "process/states", "process/users.json"] {
            let (_, code) = run(&runtime, &ask(format!("test -e {data}/{hidden}"))).await;
            assert_ne!(code, 0, "{hidden} is not even there");
        }
    }
    let allowed = [
        "cat file made",
        "echo x > new && rm new && mkdir dir && mv file moved && mv moved dir/ && mv dir/moved file && rmdir dir",
        "echo x > $TMPDIR/a && echo y > $HOME/b && cat $TMPDIR/a $HOME/b",
        "echo out > /dev/stdout && echo err > /dev/stderr && echo gone > /dev/null",
        "cat /etc/hostname && ls /usr/bin > /dev/null && head -c 4 /dev/urandom > /dev/null",
        "sh -c 'kill -0 $PPID'",
    ];
    for line in allowed {
        let (text, code) = run(&runtime, &ask(format!("{{ {line}; }} 2>&1"))).await;
        assert_eq!(code, 0, "`{line}` should work: {text}");
    }
    let (user, _) = run(&runtime, &ask("id -u; id -G; grep NoNewPrivs /proc/self/status".into())).await;
    if is_root() {
        let user: Vec<&str> = user.split_whitespace().collect();
        assert!((200_000..500_000).contains(&user[0].parse::<u32>().unwrap()), "{user:?}");
        assert_eq!(user[0], user[1], "no other groups");
        let made = fs::read_to_string(
            place.data.path().join(format!("process/releases/{}/{}/tree/made", place.app, artifact.id)),
        );
        assert!(made.unwrap().starts_with(user[0]), "builds run as the app's user too");
    }
    assert!(user.ends_with("1\n"), "no new privileges");
    runtime.remove(&neighbour.name).await.unwrap();
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_nothing_else() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let mut config = place.config();
    config.toolchain.insert("TOOLCHAIN_HOME".into(), "/opt/toolchain".into());
    let runtime = ProcessRuntime::open(config).await.unwrap();
    let plan = Plan { paths: vec!["bin".parse().unwrap()], ..Plan::default() };
    let artifact = place.build(&runtime, &plan).await.unwrap();
    let mut spec = place.spec(&artifact, "env | cut -d= -f1 | sort | tr '\\n' ' '; echo $PATH");
    spec.env.insert("MINE".parse().unwrap(), Secret::new("x"));
    let (text, _) = run(&runtime, &spec).await;
    let (keys, path) = text.trim().rsplit_once(' ').unwrap();
    let keys: Vec<&str> = keys.split(' ').filter(|key| *key != "PWD").collect();
    assert_eq!(keys, ["HOME", "LANG", "MINE", "PATH", "TMPDIR", "TOOLCHAIN_HOME"]);
    assert!(path.contains("/tree/bin:/usr/local/sbin:"), "folders of the plan come first: {path}");
}

// ---- limits ----

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

// ---- logs ----

#[tokio::test]
async fn logs_are_bounded_and_a_follower_gets_every_line() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    // 26 MB, slowly enough that the follower is never more than a file behind.
    let line = "i=0; while [ $i -lt 26 ]; do i=$((i+1)); yes \"$(printf '%0990d' $i)\" | head -n 1000; sleep 0.1; done";
    let spec = place.spec(&artifact, line);
    runtime.create(&spec).await.unwrap();
    let mut follow = runtime.logs(&spec.name, None, true).await.unwrap();
    runtime.start(&spec.name).await.unwrap();
    let mut counts = [0; 27];
    while let Some(line) = soon(follow.next()).await {
        counts[line.unwrap().text.parse::<usize>().unwrap()] += 1;
    }
    assert_eq!(counts[1..], [1000; 26], "every line once");
    let logs = place.data.path().join(format!("process/instances/{}/logs", spec.name));
    let bytes: u64 = fs::read_dir(logs).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 11 * 1024 * 1024, "{bytes} bytes on disk");
    let kept = lines(&runtime, &spec.name).await;
    assert!(kept.len() > 4000 && kept.last().unwrap().ends_with("26"), "the newest lines are kept");
    runtime.remove(&spec.name).await.unwrap();
}

// ---- builds ----

#[tokio::test]
async fn builds_name_what_is_missing() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let tool = Tool { program: "no-such-compiler".into(), install_hint: "the compiler (apt-get install it)".into() };
    let error = place.build(&runtime, &Plan { tools: vec![tool], ..Plan::default() }).await.unwrap_err();
    assert_eq!(error.code(), Code::BuildFailed);
    assert!(error.detail().contains("no-such-compiler") && error.detail().contains("apt-get install it"), "{error}");
    let plan = Plan { build: vec!["echo one; echo two >&2; exit 5".into()], ..Plan::default() };
    let error = place.build(&runtime, &plan).await.unwrap_err();
    assert!(error.detail().contains("exited with code 5") && error.detail().contains("two"), "{error}");
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

// ---- volumes, ports, static apps ----

#[tokio::test]
async fn volumes_are_found_under_data() {
    let place = Place::new();
    place.tree(&[("data/uploads/first", "from the release")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let mount = VolumeMount { name: "uploads".parse().unwrap(), path: "/srv/uploads".parse().unwrap() };
    let mounted = |line: &str| InstanceSpec { volumes: vec![mount.clone()], ..place.spec(&artifact, line) };
    let (text, code) = run(&runtime, &mounted("cat data/uploads/first; echo second > data/uploads/second")).await;
    assert_eq!((text.as_str(), code), ("from the release", 0), "the release's files are its first content");
    let (text, _) = run(&runtime, &mounted("cat $SH0_VOLUME_UPLOADS/second; ls data/uploads | wc -l")).await;
    assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["second", "2"]);
    let volume = &runtime.list_volumes(place.app).await.unwrap()[0];
    assert!(volume.used >= Some(23), "{volume:?}");
    assert_eq!(fs::metadata(&volume.location).unwrap().mode() & 0o777, 0o700);
}

fn get(addr: std::net::SocketAddr, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&addr, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}

#[tokio::test]
async fn a_static_app_is_served_by_the_shim_itself() {
    let place = Place::new();
    place.tree(&[("public/index.html", "hello from files\n")]);
    let runtime = place.open().await;
    let plan = Plan { static_dir: Some("public".into()), spa_fallback: true, ..Plan::default() };
    let artifact = place.build(&runtime, &plan).await.unwrap();
    let mut spec = InstanceSpec { command: None, port: Some(80), ..place.spec(&artifact, "") };
    spec.resources.memory = Some(Bytes::from_mib(64));
    up(&runtime, &spec).await;
    let addr = runtime.inspect(&spec.name).await.unwrap().unwrap().endpoint.unwrap();
    eventually("it listens", || TcpStream::connect(addr).is_ok()).await;
    assert!(get(addr, "/").unwrap().ends_with("\r\n\r\nhello from files\n"));
    assert!(get(addr, "/some/page").unwrap().ends_with("hello from files\n"), "a single-page app");
    assert_eq!(runtime.diagnose(&spec.name, 80).await.unwrap(), None);
    assert_eq!(
        soon(runtime.stop(&spec.name, Millis::from_secs(30))).await.unwrap().unwrap().code,
        0,
        "it ends cleanly"
    );
    runtime.remove(&spec.name).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_replaced_and_a_wrong_one_diagnosed() {
    let place = Place::new();
    place.tree(&[("index.html", "")]);
    let mut config = place.config();
    config.readable.push(SHIM.into());
    let runtime = ProcessRuntime::open(config).await.unwrap();
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let with_port = |line: &str| InstanceSpec { port: Some(80), ..place.spec(&artifact, line) };
    let spec = with_port(&format!("echo port $PORT; {SHIM} static . --port $PORT"));
    up(&runtime, &spec).await;
    let first = runtime.inspect(&spec.name).await.unwrap().unwrap().endpoint.unwrap();
    eventually("it listens", || TcpStream::connect(first).is_ok()).await;
    soon(runtime.stop(&spec.name, Millis::from_secs(30))).await.unwrap();
    runtime.start(&spec.name).await.unwrap();
    let again = runtime.inspect(&spec.name).await.unwrap().unwrap().endpoint;
    assert_eq!(again, Some(first), "a port is kept");
    soon(runtime.stop(&spec.name, Millis::from_secs(30))).await.unwrap();
    let _thief = std::net::TcpListener::bind(first).unwrap();
    runtime.start(&spec.name).await.unwrap();
    let second = runtime.inspect(&spec.name).await.unwrap().unwrap().endpoint.unwrap();
    assert_ne!(second, first);
    printed(&runtime, &spec.name, &format!("port {}", second.port())).await;
    runtime.remove(&spec.name).await.unwrap();

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let wrong = with_port(&format!("{SHIM} static . --port {free}"));
    up(&runtime, &wrong).await;
    eventually("it listens", || TcpStream::connect(("127.0.0.1", free)).is_ok()).await;
    let why = runtime.diagnose(&wrong.name, 80).await.unwrap().unwrap();
    assert!(why.contains(&format!("listens on 127.0.0.1:{free}, not on the port")), "{why}");
    let six = with_port(&format!("{SHIM} static . --listen ::1"));
    up(&runtime, &six).await;
    let port = runtime.inspect(&six.name).await.unwrap().unwrap().endpoint.unwrap().port();
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        eventually("it listens", || TcpStream::connect(("::1", port)).is_ok()).await;
        let why = runtime.diagnose(&six.name, 80).await.unwrap().unwrap();
        assert!(why.contains("only, which 127.0.0.1 does not reach"), "{why}");
    }
    let none = with_port(STAY);
    up(&runtime, &none).await;
    let why = runtime.diagnose(&none.name, 80).await.unwrap().unwrap();
    assert!(why.contains("listens on no port"), "{why}");
    for name in [wrong.name, six.name, none.name] {
        runtime.remove(&name).await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_shim_is_said_in_words() {
    let place = Place::new();
    let mut config = place.config();
    config.shim = ShimCommand::new("/no/such/shim");
    let runtime = ProcessRuntime::open(config).await.unwrap();
    assert_eq!(runtime.info().await.unwrap_err().code(), Code::Unavailable);
    let supervisor = runtime.capabilities().await.into_iter().find(|one| one.name == "supervisor").unwrap();
    assert!(matches!(supervisor.support, Support::No { reason } if reason.contains("/no/such/shim")));
}
