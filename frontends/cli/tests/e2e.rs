//! The real binary with a folder of data of its own, apps as processes of this host: what a person types, and what comes
//! of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::{Value, json};

/// Long enough for a busy machine; nothing here measures time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of data, ended and removed with this value.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Machine {
        Machine { folder: tempfile::Builder::new().prefix("sh0-cli-").tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder of an app.
    fn tree(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let tree = self.folder.path().join("trees").join(name);
        fs::create_dir_all(&tree).unwrap();
        for (path, text) in files {
            fs::write(tree.join(path), text).unwrap();
        }
        tree
    }

    fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sh0"));
        command.args(args).env("SH0_DATA", self.data()).env("NO_COLOR", "1").stdin(Stdio::null());
        for name in ["SH0_APP", "SH0_URL", "SH0_TOKEN", "SH0_IMAGE_MIRROR"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a verb; answers exit code, standard output, standard error.
    fn run(&self, args: &[impl AsRef<OsStr>]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    /// Runs a verb that must work; answers standard output.
    fn ok(&self, line: &str) -> String {
        let (code, out, err) = self.run(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(code, 0, "{line}\n{out}\n{err}");
        out
    }

    fn json(&self, line: &str) -> Value {
        let out = self.ok(&format!("--json {line}"));
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{line}: {error}\n{out}"))
    }

    /// Runs a verb that must fail; answers its exit code and problem object.
    fn fails(&self, line: &str) -> (i32, Value) {
        let (code, out, err) = self.run(&format!("--json {line}").split(' ').collect::<Vec<_>>());
        assert_eq!(out, "", "{line}: nothing but the error");
        (code, serde_json::from_str(&err).unwrap_or_else(|error| panic!("{line}: {error}\n{err}")))
    }

    fn up(&self, tree: &Path) -> Value {
        self.json(&format!("--runtime process up -d {}", tree.display()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let (code, _, err) = self.run(&["down"]);
        if code != 0 && !std::thread::panicking() {
            panic!("down: {err}");
        }
    }
}

/// The body of `GET /` at `http://host:port`.
fn get(url: &str) -> Option<String> {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
}

/// Waits until `look` finds something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} does not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn page(text: &str) -> [(&'static str, &str); 1] {
    [("index.html", text)]
}

#[test]
fn an_app_from_up_to_down() {
    let machine = Machine::new();
    let tree = machine.tree("Hello_World", &page("first"));
    let first = machine.up(&tree);
    let url = first["url"].as_str().unwrap();
    assert_eq!(first["app"], "hello-world", "from the folder's name");
    assert_eq!((&first["state"], &first["release"]), (&json!("live"), &json!(1)));
    let named = first["urls"][1].as_str().unwrap();
    assert!(named.starts_with("http://hello-world.localhost:"), "{first}");
    assert_eq!(get(url).as_deref(), Some("first"));

    fs::write(tree.join("index.html"), "second").unwrap();
    let second = machine.json(&format!("deploy {} -a hello-world", tree.display()));
    assert_eq!((&second["url"], &second["release"]), (&first["url"], &json!(2)));
    assert_eq!(get(url).as_deref(), Some("second"));

    machine.ok("rollback -a hello-world v1");
    assert_eq!(get(url).as_deref(), Some("first"));
    let releases = machine.json("releases -a hello-world");
    let live: Vec<&Value> = releases["items"].as_array().unwrap().iter().filter(|r| r["live"] == true).collect();
    assert_eq!((live.len(), &live[0]["number"]), (1, &json!(1)));
    assert!(machine.ok("releases -a hello-world").starts_with("RELEASE  LIVE"));

    machine.ok("scale -a hello-world web=2");
    until("two instances", || {
        let instances = machine.json("ps -a hello-world");
        (instances["items"].as_array()?.iter().filter(|i| i["serving"] == true).count() == 2).then_some(())
    });
    assert_eq!(get(url).as_deref(), Some("first"));

    machine.ok("stop hello-world");
    until("an end of answers", || get(url).is_none().then_some(()));
    machine.ok("start -a hello-world");
    assert_eq!(until("an answer", || get(url)), "first");
    machine.ok("restart -a hello-world");
    assert_eq!(get(url).as_deref(), Some("first"));

    assert_eq!(machine.ok("open -a hello-world").trim(), url);
    let status = machine.ok("status");
    assert!(status.lines().any(|line| line.starts_with("store:") && line.contains("  ok  ")), "{status}");
    assert_eq!(machine.json("destroy hello-world --yes"), json!({ "app": "hello-world", "gone": true }));
    assert_eq!(machine.json("status")["apps"], 0, "nothing is left of it");
    assert_eq!(machine.fails("apps show hello-world").0, 5);
    assert_eq!(machine.fails("destroy hello-world --yes").0, 5);
    machine.up(&tree);
    assert_eq!(machine.json("destroy hello-world --yes --detach"), json!({ "app": "hello-world", "gone": false }));
    machine.ok("down");
    let (code, _, err) = machine.run(&["status"]);
    assert_eq!(code, 1);
    assert!(err.contains("sh0 up -d"), "{err}");
}

#[test]
fn values_of_the_environment_arrive_byte_for_byte() {
    let machine = Machine::new();
    machine.up(&machine.tree("web", &page("x")));
    let nasty = "$HOME ${x} `id` \"q\" 'y' \\ \n = ü\t# $(exit)";
    let (code, out, err) = machine.run(&["--json", "env", "set", "-a", "web", &format!("NASTY={nasty}"), "EMPTY="]);
    assert_eq!(code, 0, "{err}");
    let change: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&change["names"], &change["deployment"]["state"]), (&json!(["EMPTY", "NASTY"]), &json!("live")));
    assert_eq!(machine.ok("env -a web"), "EMPTY\nNASTY\n", "names only");
    assert_eq!(machine.json("env list -a web --values")["vars"]["NASTY"], nasty);

    let seen = |machine: &Machine| {
        machine.run(&["run", "-a", "web", "--", "sh", "-c", "printf '%s|%s' \"$NASTY\" \"${EMPTY-unset}\""]).1
    };
    assert_eq!(seen(&machine), format!("{nasty}|"));
    // What `--values` prints is what `import` reads.
    let file = machine.folder.path().join("env");
    fs::write(&file, machine.ok("env list -a web --values")).unwrap();
    machine.ok("env unset -a web NASTY EMPTY");
    assert_eq!(seen(&machine), "|unset");
    machine.ok(&format!("env import -a web {}", file.display()));
    assert_eq!(seen(&machine), format!("{nasty}|"));
    machine.ok("env set -a web LATER=1 --stage");
    let later = machine.run(&["run", "-a", "web", "--", "sh", "-c", "printf '%s' \"${LATER-unset}\""]).1;
    assert_eq!(later, "unset");
}

#[test]
fn commands_inside_an_app_have_input_output_and_an_exit_code() {
    let machine = Machine::new();
    machine.up(&machine.tree("web", &page("x")));
    for verb in ["run", "exec"] {
        let mut child = machine
            .command(&[verb, "-a", "web", "--", "sh", "-c", "cat; echo err >&2; exit 3"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut sent = child.stdin.take().unwrap();
        let big = "0123456789abcdef".repeat(20_000);
        let writer = std::thread::spawn({
            let big = big.clone();
            move || sent.write_all(big.as_bytes()).unwrap()
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert_eq!(output.status.code(), Some(3), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == big.as_bytes(), "{verb}: {} bytes came back", output.stdout.len());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n", "{verb}");
    }
    let nasty = "$HOME ${x} `id` \"q\" 'y' \\ \n = ü😀\t# $(exit)";
    let print = ["run", "-a", "web", "-e", &format!("A={nasty}"), "--", "sh", "-c", "printf %s \"$A\""];
    let (code, out, err) = machine.run(&print);
    assert_eq!((code, out.as_str()), (0, nasty), "{err}");
}

#[test]
fn a_terminal_reaches_through_to_the_command() {
    let machine = Machine::new();
    machine.up(&machine.tree("web", &page("x")));
    for verb in ["run", "exec"] {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 33, ws_col: 99, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let open = || fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let script = "stty size; read line; echo \"got $line\"; exit 5";
        let mut child = machine
            .command(&[verb, "-a", "web", "--", "sh", "-c", script])
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        let mut terminal = fs::File::from(master);
        let mut reader = BufReader::new(terminal.try_clone().unwrap());
        let mut line = String::new();
        until("the size", || {
            line.clear();
            reader.read_line(&mut line).unwrap();
            line.contains("33 99").then_some(())
        });
        terminal.write_all(b"hello\r").unwrap();
        until("the answer", || {
            line.clear();
            reader.read_line(&mut line).unwrap();
            line.contains("got hello").then_some(())
        });
        assert_eq!(child.wait().unwrap().code(), Some(5), "{verb}");
    }
}

#[test]
fn logs_are_read_and_followed() {
    let machine = Machine::new();
    let worker = "worker: i=0; while true; do i=$((i+1)); echo \"tick $i\"; sleep 0.1; done\n";
    machine.up(&machine.tree("ticker", &[("Procfile", worker)]));
    until("three lines", || (machine.ok("logs -a ticker").lines().count() >= 3).then_some(()));
    let two = machine.ok("logs -a ticker -n 2");
    assert_eq!(two.lines().count(), 2);
    assert!(two.lines().all(|line| line.contains(" worker.0 | tick ")), "{two}");
    let out = machine.ok("--json logs -a ticker --since 1h --grep tick");
    for line in out.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["process"], "worker", "{line}");
    }
    let mut follow =
        machine.command(&["logs", "-a", "ticker", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> =
        BufReader::new(follow.stdout.take().unwrap()).lines().take(4).map(Result::unwrap).collect();
    let numbers: Vec<u32> = lines.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "none is missing: {numbers:?}");
    signal(&follow, Signal::INT);
    // A verb that is interrupted says so; one whose reader has gone away ends well.
    assert!(matches!(follow.wait().unwrap().code(), Some(130 | 0)));
}

#[test]
fn failures_have_a_reason_and_a_code() {
    let machine = Machine::new();
    let good = machine.tree("web", &page("good"));
    let url = machine.up(&good)["url"].as_str().unwrap().to_owned();
    let bad = machine.tree("bad", &[("Procfile", "web: echo boom >&2; exit 9\n")]);
    let (code, problem) = machine.fails(&format!("deploy {} -a web", bad.display()));
    assert_eq!((code, &problem["code"]), (7, &json!("deploy_failed")));
    assert!(problem["detail"].as_str().unwrap().contains("boom"), "{problem}");
    assert_eq!(get(&url).as_deref(), Some("good"), "the old release serves on");

    assert_eq!(machine.fails("ps -a nothing").0, 5);
    assert_eq!(machine.fails("ps").0, 2);
    assert_eq!(machine.fails("frobnicate").0, 2);
    let (code, problem) = machine.fails("scale -a web web=100000");
    assert_eq!((code, &problem["code"]), (2, &json!("invalid")));
    let (code, problem) = machine.fails("destroy web");
    assert_eq!(code, 3);
    assert!(problem["detail"].as_str().unwrap().ends_with("destroy web --yes"), "{problem}");
    machine.ok("lock -a web --reason freeze");
    let (code, problem) = machine.fails(&format!("deploy {} -a web", good.display()));
    assert_eq!(code, 6);
    assert!(problem["detail"].as_str().unwrap().contains("freeze"), "{problem}");
    for line in [
        "restart web",
        "stop web",
        "scale -a web web=2",
        "rollback -a web",
        "destroy web --yes",
        "uninstall --purge --yes",
    ] {
        let (code, problem) = machine.fails(line);
        assert_eq!((code, &problem["code"]), (6, &json!("locked")), "{line}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("freeze") && detail.contains("sh0 unlock -a "), "{line}: {problem}");
    }
    assert_eq!(get(&url).as_deref(), Some("good"));
    machine.ok("unlock web");
    let secret = "https://me:hunter2@example.com/a.git";
    let (code, problem) = machine.fails(&format!("deploy --git {secret} -a web"));
    assert_eq!((code, &problem["code"]), (2, &json!("invalid")));
    assert!(!problem.to_string().contains("hunter2"), "{problem}");
    // Another folder of the same name is not another release of this app.
    let other = machine.tree("elsewhere/web", &page("other"));
    assert_eq!(machine.fails(&format!("up {}", other.display())).0, 6);
    assert_eq!(machine.fails("call nothing.here").0, 5);
    assert_eq!(machine.json("call apps.get --input {\"app\":\"web\"}")["name"], "web");
}

#[test]
fn tokens_open_the_api_over_tcp_as_far_as_their_role_goes() {
    let machine = Machine::new();
    let mut server = machine
        .command(&["serve", "--runtime", "process", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let ready = lines.find_map(|line| line.unwrap().split_once("api=[").map(|(_, rest)| rest.to_owned())).unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    let url = format!("http://{}", ready.split(']').next().unwrap());
    let token = |name: &str, role: &str| machine.ok(&format!("tokens create {name} {role}")).trim().to_owned();
    let (reader, admin) = (token("reader", "read-only"), token("boss", "admin"));
    let remote = |token: &str, args: &[&str]| {
        let mut command = machine.command(args);
        let output = command.env("SH0_URL", &url).env("SH0_TOKEN", token).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(remote("", &["apps"]).0, Some(4));
    assert_eq!(remote("wrong", &["apps"]).0, Some(4));
    assert_eq!(remote(&reader, &["apps"]).0, Some(0));
    // From elsewhere a folder is uploaded.
    let tree = machine.tree("far", &page("from afar"));
    let deploy = ["--json", "deploy", tree.to_str().unwrap(), "-a", "far", "--runtime", "process"];
    assert_eq!(remote(&reader, &deploy).0, Some(4));
    let (code, out, err) = remote(&admin, &deploy);
    assert_eq!(code, Some(0), "{err}");
    let live: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(get(live["url"].as_str().unwrap()).as_deref(), Some("from afar"));
    assert_eq!(remote(&reader, &["env", "list", "-a", "far", "--values"]).0, Some(4));
    let (code, out, _) = remote(&reader, &["export", "far", "--to", "compose"]);
    assert!(code == Some(0) && out.starts_with("# far for Docker Compose"), "{out}");
    assert_eq!(remote(&admin, &["down"]).0, Some(2), "only the machine itself");
    machine.ok("tokens revoke boss --yes");
    assert_eq!(remote(&admin, &["apps"]).0, Some(4));
    machine.ok("down");
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn up_in_the_foreground_ends_with_its_apps() {
    let machine = Machine::new();
    let tree = machine.tree("web", &page("here"));
    let mut up = machine
        .command(&["up", "--runtime", "process", tree.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let url = lines.next().unwrap().unwrap();
    assert!(lines.next().unwrap().unwrap().starts_with("http://web.localhost:"));
    assert_eq!(get(&url).as_deref(), Some("here"));
    assert_eq!(machine.json("apps")["items"][0]["name"], "web", "other verbs find it");
    signal(&up, Signal::INT);
    assert_eq!(up.wait().unwrap().code(), Some(0));
    assert!(get(&url).is_none());
    // It comes again with what it had.
    let again = machine.up(&tree);
    assert_eq!((again["url"].as_str(), &again["release"]), (Some(url.as_str()), &json!(2)));
}

#[test]
fn a_port_is_for_an_app_that_is_there_too() {
    let machine = Machine::new();
    let tree = machine.tree("web", &page("here"));
    let first = machine.up(&tree);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let line = format!("up -d --runtime process --port {port} {}", tree.display());
    let moved = machine.json(&line);
    assert_eq!(moved["url"], format!("http://127.0.0.1:{port}"));
    assert_eq!(get(moved["url"].as_str().unwrap()).as_deref(), Some("here"));
    until("the end of the old address", || get(first["url"].as_str().unwrap()).is_none().then_some(()));
    assert_eq!(machine.json(&line)["url"], moved["url"], "it is there already");
    let other = machine.tree("other", &page("x"));
    assert_eq!(machine.fails(&format!("up -d --port {port} {}", other.display())).0, 6);
    // What belongs to the server comes too late.
    let (code, problem) = machine.fails(&format!("up -d --listen 127.0.0.1:0 {}", tree.display()));
    assert_eq!(code, 6);
    assert!(problem["detail"].as_str().unwrap().contains("sh0 down"), "{problem}");
}

#[test]
fn apps_outlive_a_killed_server_and_down_finds_them() {
    let machine = Machine::new();
    let live = machine.up(&machine.tree("web", &page("alive")));
    let url = live["url"].as_str().unwrap();
    let pid = Pid::from_raw(machine.json("status")["pid"].as_i64().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    until("the end of the server", || test_kill_process(pid).is_err().then_some(()));
    assert_eq!(get(url).as_deref(), Some("alive"), "while the server is dead");
    machine.ok("down");
    until("an end of answers", || get(url).is_none().then_some(()));
}

#[test]
fn settings_change_one_by_one() {
    let machine = Machine::new();
    machine.up(&machine.tree("web", &page("x")));
    machine.ok("settings -a web --health-path /index.html --memory 256M --stop-grace 3s");
    let settings = machine.json("settings -a web --stop-grace= --strategy recreate")["settings"].clone();
    assert_eq!(settings["health"]["path"], "/index.html");
    assert_eq!(settings["resources"]["memory"], 256 << 20);
    assert_eq!((&settings["stop_grace"], &settings["strategy"]), (&Value::Null, &json!("recreate")));
    machine.ok("volumes add -a web data /data");
    machine.ok("domains add -a web app.example.com");
    assert!(machine.ok("domains -a web").contains("app.example.com"));
    machine.ok("domains remove -a web app.example.com --yes");
}

#[test]
fn a_deployment_is_checked_and_can_be_blocked() {
    let machine = Machine::new();
    let live = machine.up(&machine.tree("web", &page("calm")));
    let url = live["url"].as_str().unwrap();
    let key = "key.pem";
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun\n";
    let careless = machine.tree("careless", &[("index.html", "careless"), (key, pem)]);
    let deploy = format!("deploy {} -a web", careless.display());
    let (code, _, err) = machine.run(&deploy.split(' ').collect::<Vec<_>>());
    assert_eq!(code, 0, "nothing is blocked unless somebody asks for it: {err}");
    assert!(err.contains("health rules: score") && err.contains("key.pem:1 SEC01"), "{err}");
    assert_eq!(get(url).as_deref(), Some("careless"));
    machine.ok("rollback -a web");
    assert_eq!(get(url).as_deref(), Some("calm"));

    assert_eq!(machine.json("settings -a web --fail-on high")["settings"]["fail_on"], "high");
    let (code, problem) = machine.fails("settings -a web --fail-on worst");
    assert!(code == 2 && problem["detail"].as_str().unwrap().contains("critical"), "{problem}");
    let (code, problem) = machine.fails(&deploy);
    assert_eq!(code, 7);
    for word in ["in the step check", "high or graver", "key.pem:1 SEC01", "Nothing was built"] {
        assert!(problem["detail"].as_str().unwrap().contains(word), "{word}: {problem}");
    }
    assert_eq!(get(url).as_deref(), Some("calm"), "the old release serves on");
    let deployments = machine.json("deployments list -a web");
    let blocked = &deployments["items"][0];
    assert_eq!((&blocked["state"], &blocked["step"]), (&json!("failed"), &json!("check")));
    assert_eq!(blocked["made"]["check"]["findings"][0]["rule"], "SEC01");
    assert!(blocked["made"].get("artifact").is_none(), "{blocked:#}");

    fs::write(careless.join("sh0.toml"), "[check]\nignore = [{ rule = \"SEC01\", reason = \"a demo's key\" }]\n")
        .unwrap();
    machine.ok(&deploy);
    assert_eq!(get(url).as_deref(), Some("careless"), "what its owner allows passes");

    // Without settings the tree's own policy counts, from the first deployment on.
    fs::write(careless.join("sh0.toml"), "[check]\nfail_on = \"critical\"\n").unwrap();
    let (code, problem) = machine.fails(&format!("deploy {} -a other", careless.display()));
    assert!(code == 7 && problem["detail"].as_str().unwrap().contains("sh0.toml (check.fail_on)"), "{problem}");
}

#[test]
fn an_app_is_exported_as_it_serves_and_without_its_secrets() {
    let machine = Machine::new();
    let files = [("Procfile", "web: python3 -m http.server $PORT\nworker: sleep 1000\n"), ("index.html", "x")];
    machine.up(&machine.tree("web", &files));
    machine.ok("env set -a web DB_URL=postgres://hunter2 --stage");
    machine.ok("volumes add -a web data /data");
    machine.ok("settings -a web --health-path /index.html --memory 256M");
    machine.ok("domains add -a web shop.example.com");
    machine.ok("scale -a web worker=3");
    machine.ok("restart -a web");
    let kubernetes = machine.ok("export web --to kubernetes");
    for word in [
        "name: web",
        "python3 -m http.server",
        "sleep 1000",
        "replicas: 3",
        "DB_URL",
        "shop.example.com",
        "/data",
        "/index.html",
        "256Mi",
    ] {
        assert!(kubernetes.contains(word), "{word}: {kubernetes}");
    }
    for target in ["compose", "kubernetes", "ecs", "cloudrun", "vercel", "railway", "render"] {
        let export = machine.json(&format!("export web --to {target}"));
        let text = export.to_string();
        assert!(text.contains("DB_URL") && !text.contains("hunter2"), "{text}");
        assert_eq!(export, machine.json(&format!("call apps.export --input {{\"app\":\"web\",\"to\":\"{target}\"}}")));
    }
    let out = machine.folder.path().join("out");
    machine.ok(&format!("export web --to railway -o {}", out.display()));
    assert!(out.join("railway.web.toml").is_file() && out.join("railway.worker.toml").is_file());
    // A word is an app before it is a folder; a path never is one.
    let trees = machine.folder.path().join("trees");
    machine.tree("other", &page("y"));
    let exported = |what: &str| {
        let output = machine.command(&["export", what, "--to", "compose"]).current_dir(&trees).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert!(exported("web").1.contains("DB_URL"));
    assert!(!exported("./web").1.contains("DB_URL"));
    assert!(exported("other").1.starts_with("# other for Docker Compose"));
    assert_eq!(exported("nothing").0, 5);
    machine.ok("apps create new");
    assert_eq!(machine.fails("export new --to compose").0, 6);
}

#[test]
fn uninstall_keeps_the_data_unless_told() {
    let machine = Machine::new();
    machine.up(&machine.tree("web", &page("x")));
    assert_eq!(machine.fails("uninstall").0, 3);
    machine.ok("uninstall --yes");
    assert!(machine.data().join("sh0.db").exists());
    let foreign = machine.data().join("letter.txt");
    fs::write(&foreign, "mine").unwrap();
    machine.ok("uninstall --purge --yes");
    let left: Vec<_> = fs::read_dir(machine.data()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [foreign], "only what is ours");
    machine.ok("uninstall --yes");
}

#[test]
fn doctor_answers_with_and_without_a_server() {
    let machine = Machine::new();
    let alone = machine.ok("doctor");
    assert!(alone.contains("ok    runtime process"), "{alone}");
    assert!(!machine.data().exists(), "looking leaves nothing behind");
    machine.up(&machine.tree("web", &page("x")));
    let parts = machine.json("doctor");
    assert!(parts["items"].as_array().unwrap().iter().any(|part| part["name"] == "runtime process"));
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}
