//! What a newcomer does in the first minutes, on a machine without Docker: the README's first command, `curl`, Ctrl-C;
//! then `up -d`, `down`, one changed line, `up -d` again.
//!
//! Progress goes to standard error, the findings (Markdown) to standard output.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{Outcome, cargo, read, run, succeeds};
use crate::repo::Repo;

/// What `examples/apps/hello-static` answers.
const GREETING: &str = "Hello from sh0";
const COLD_BUILD: Duration = Duration::from_secs(8 * 60);
const CHANGED: Duration = Duration::from_secs(5);
/// A guard against hanging, not a claim.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
const EXIT: Duration = Duration::from_secs(60);

/// Runs the README's first command, for people.
pub(crate) fn demo(repo: &Repo, _: &[String]) -> Outcome {
    run(cargo(repo).args(first_command(repo)?))
}

pub(crate) fn first_run(repo: &Repo, _: &[String]) -> Outcome {
    let build = Build::here(repo);
    let home = repo.fresh("first-run")?;
    println!("| what | found |\n| --- | --- |");

    let words = first_command(repo)?;
    let mut up = Foreground::start(newcomer(&mut cargo(repo), &home).args(&words))?;
    let (urls, took) = up.urls()?;
    println!("| `cargo {}`: build ({}), deploy | {:.1} s |", words.join(" "), build.words(), took.as_secs_f64());
    for url in &urls {
        expect(url, GREETING)?;
        println!("| `curl {url}` | {GREETING} |");
    }
    up.interrupt()?;
    println!("| Ctrl-C | ends |");
    let mut late = Vec::new();
    if build == Build::Cold {
        late.extend(longer("the cold start", took, COLD_BUILD));
    }

    let app = Detached::new(repo, &home)?;
    app.up()?.expect(GREETING)?;
    app.down()?;
    println!("| `sh0 up -d`, `sh0 down` | {GREETING} |");
    app.change(GREETING, "Hello again")?;
    let second = app.up()?;
    second.expect("Hello again")?;
    let took = second.took;
    app.down()?;
    println!("| one changed line, `sh0 up -d` | Hello again, after {:.2} s |", took.as_secs_f64());
    late.extend(longer("the changed app", took, CHANGED));
    if late.is_empty() { Ok(()) } else { Err(late.join("; ").into()) }
}

fn longer(what: &str, took: Duration, limit: Duration) -> Option<String> {
    let [took, limit] = [took, limit].map(|time| time.as_secs_f64());
    (took > limit).then(|| format!("{what} took {took:.1} s, more than {limit:.0} s"))
}

/// What the time of a build says.
#[derive(PartialEq)]
enum Build {
    /// Everything was built, and nobody else worked: the time is judged.
    Cold,
    /// Everything was built while the machine had other work.
    ColdAndBusy,
    /// Much was built before.
    Warm,
}

impl Build {
    fn here(repo: &Repo) -> Build {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: f64 = load.split(' ').next().and_then(|minute| minute.parse().ok()).unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match repo.target().join("release").exists() {
            true => Build::Warm,
            false if load > cores as f64 => Build::ColdAndBusy,
            false => Build::Cold,
        }
    }

    fn words(&self) -> &'static str {
        match self {
            Build::Cold => "cold",
            Build::ColdAndBusy => "cold, but beside other work: not judged",
            Build::Warm => "warm: not judged",
        }
    }
}

/// The README's own words, without `cargo`: it cannot promise what is not run here.
fn first_command(repo: &Repo) -> Outcome<Vec<String>> {
    let readme = fs::read_to_string(repo.root().join("README.md"))?;
    let command =
        readme.lines().find_map(|line| line.strip_prefix("cargo run")).ok_or("README.md has no `cargo run`")?;
    Ok(std::iter::once("run").chain(command.split_whitespace()).map(str::to_owned).collect())
}

/// Nothing of the person who runs us, and no Docker Engine.
fn newcomer<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SH0_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_DATA_HOME", home.join("data"));
    command.env("SH0_DOCKER_SOCKET", home.join("no-docker.sock"));
    command.env("NO_COLOR", "1")
}

fn expect(url: &str, text: &str) -> Outcome {
    let body = read(Command::new("curl").args(["--silent", "--show-error", "--fail", "--max-time", "20", url]))?;
    if body.contains(text) { Ok(()) } else { Err(format!("{url} answers {body:?}, not {text:?}").into()) }
}

/// A program at a terminal: its lines as they come.
struct Foreground {
    child: Child,
    lines: Receiver<String>,
    began: Instant,
}

impl Foreground {
    fn start(command: &mut Command) -> Outcome<Foreground> {
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (sender, lines) = mpsc::channel();
        let pipes: [Option<Box<dyn Read + Send>>; 2] =
            [child.stdout.take().map(|pipe| Box::new(pipe) as _), child.stderr.take().map(|pipe| Box::new(pipe) as _)];
        for pipe in pipes.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    eprintln!("  {line}");
                    // The reader is gone once it has what it wants; the pipe must be emptied all the same.
                    let _ = sender.send(line);
                }
            });
        }
        Ok(Foreground { child, lines, began })
    }

    /// The URLs that it prints, up to the plain one, and how long they took.
    fn urls(&mut self) -> Outcome<(Vec<String>, Duration)> {
        let mut urls: Vec<String> = Vec::new();
        while let Some(left) = PATIENCE.checked_sub(self.began.elapsed()) {
            let Ok(line) = self.lines.recv_timeout(left) else { break };
            let found = line.split_whitespace().filter(|word| word.starts_with("http://"));
            urls.extend(found.map(str::to_owned));
            let is_plain = |url: &String| url.starts_with("http://127.0.0.1:");
            if urls.iter().any(is_plain) && urls.iter().any(|url| !is_plain(url)) {
                return Ok((urls, self.began.elapsed()));
            }
        }
        Err(format!("it ended, or took too long, before it printed both URLs; printed: {urls:?}").into())
    }

    /// Ctrl-C.
    fn interrupt(&mut self) -> Outcome {
        succeeds(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
        let asked = Instant::now();
        while asked.elapsed() < EXIT {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("it does not end after Ctrl-C".into())
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // After a failure it must not outlive us; when it has ended already, there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example, copied to where it may be changed, and the program that deploys it in the background.
struct Detached {
    sh0: PathBuf,
    home: PathBuf,
    folder: PathBuf,
}

struct Live {
    url: String,
    took: Duration,
}

impl Live {
    fn expect(&self, text: &str) -> Outcome {
        expect(&self.url, text)
    }
}

impl Detached {
    fn new(repo: &Repo, home: &Path) -> Outcome<Detached> {
        let home = home.join("detached");
        fs::create_dir_all(&home)?;
        let example = repo.root().join("examples/apps/hello-static");
        run_quietly(Command::new("cp").arg("--recursive").arg(example).arg(&home))?;
        Ok(Detached { sh0: repo.target().join("release/sh0"), folder: home.join("hello-static"), home })
    }

    fn sh0(&self) -> Command {
        let mut command = Command::new(&self.sh0);
        newcomer(&mut command, &self.home);
        command
    }

    fn up(&self) -> Outcome<Live> {
        let began = Instant::now();
        let printed = read(self.sh0().args(["--json", "up", "--detach"]).arg(&self.folder))?;
        let took = began.elapsed();
        let last: Value = serde_json::from_str(printed.lines().last().unwrap_or_default())?;
        let url = last["url"].as_str().ok_or_else(|| format!("no url in {last}"))?.to_owned();
        if last["state"] != "live" {
            return Err(format!("not live: {last}").into());
        }
        Ok(Live { url, took })
    }

    fn down(&self) -> Outcome {
        run_quietly(self.sh0().arg("down"))
    }

    fn change(&self, from: &str, to: &str) -> Outcome {
        let page = self.folder.join("index.html");
        let text = fs::read_to_string(&page)?;
        if !text.contains(from) {
            return Err(format!("{} does not say {from:?}", page.display()).into());
        }
        Ok(fs::write(page, text.replace(from, to))?)
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        // After a failure the server must not outlive us; `down` on nothing is an error that nobody needs to see.
        succeeds(self.sh0().arg("down"));
    }
}

/// Like [`run`], with the output on standard error.
fn run_quietly(command: &mut Command) -> Outcome {
    eprint!("{}", read(command)?);
    Ok(())
}
