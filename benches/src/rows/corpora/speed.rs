//! How fast plans are made, beside nixpacks in the same run over the same trees.
//!
//! nixpacks is the library of its release on crates.io, in `benches/peers`: a package that no other build touches, built
//! here. It plans the trees in a process of its own, a round after each of ours. Its plan is what `nixpacks plan` prints,
//! without a Dockerfile; ours has one.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use sh0::model::{AppSettings, Plan};
use sh0_build::{DirTree, Options, plan_tree};

use super::trees;
use crate::Outcome;
use crate::platform::{Programs, cargo, succeed, target};
use crate::report::{Report, Series, millis};
use crate::rows::{number, progress, word};

/// What is promised, in milliseconds, and in bytes.
const MEDIAN: f64 = 0.3;
const P95: f64 = 2.0;
const ALL: f64 = 500.0;
const LARGE: f64 = 50.0;
const PROCESS: f64 = 4.0;
const MOST_MEMORY: u64 = 16 << 20;

/// The whole row.
pub async fn prove() -> Outcome<Report> {
    let mirror = PathBuf::from(word("--mirror").ok_or("say where the git directories are: --mirror FOLDER")?);
    let scratch = tempfile::tempdir()?;
    let place = word("--trees").map_or_else(|| scratch.path().join("trees"), PathBuf::from);
    let rounds = usize::try_from(number("--rounds", 7))?.max(1);
    let processes = usize::try_from(number("--processes", 100))?.max(1);
    let sh0 = Programs::find()?.sh0;
    let peers = Peers::build()?;
    let mut folders: Vec<PathBuf> =
        trees::all(&mirror, &place, &BTreeSet::new())?.into_iter().map(|app| app.dir).collect();
    let large = scratch.path().join("large");
    workspace(&large)?;
    folders.push(large);

    let mut report = Report::default();
    let (ours, theirs) = in_process(&folders, &peers, scratch.path(), rounds)?;
    let slowest = ours.slowest().and_then(|index| folders.get(index));
    let slowest = slowest.map(|dir| dir.strip_prefix(&place).unwrap_or(dir).display().to_string());
    say(&ours, &theirs, &peers.version, &slowest.unwrap_or_default(), &mut report);
    as_processes(&sh0, &peers.nixpacks, scratch.path(), processes, &mut report)?;
    Ok(report)
}

/// What came of a tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    /// A plan that says how it starts or is served.
    Starts,
    /// Another plan that builds something.
    Builds,
    /// An error, or a plan of nothing.
    Nothing,
}

/// One side: the times of each folder, the largest one last.
struct Side {
    times: Vec<Series>,
    rounds: Series,
    came: Vec<Came>,
    peak: u64,
}

impl Side {
    fn new(folders: usize) -> Side {
        Side { times: vec![Series::default(); folders], rounds: Series::default(), came: Vec::new(), peak: 0 }
    }

    /// A round over all folders. The last one is no tree of the corpora, and counts for itself alone.
    fn add(&mut self, round: Vec<(Duration, Came)>) {
        let trees = round.len() - 1;
        self.rounds.add(round[..trees].iter().map(|(time, _)| millis(*time)).sum());
        for (series, (time, _)) in self.times.iter_mut().zip(&round) {
            series.add(millis(*time));
        }
        self.came = round.into_iter().take(trees).map(|(_, came)| came).collect();
    }

    /// The median of each tree.
    fn medians(&self) -> Series {
        self.times[..self.times.len() - 1].iter().map(Series::median).collect()
    }

    fn large(&self) -> f64 {
        self.times.last().map_or(f64::NAN, Series::median)
    }

    /// The place of the tree that takes longest.
    fn slowest(&self) -> Option<usize> {
        let trees = self.times.split_last()?.1;
        (0..trees.len()).max_by(|a, b| trees[*a].median().total_cmp(&trees[*b].median()))
    }

    fn count(&self, wanted: &[Came]) -> usize {
        self.came.iter().filter(|came| wanted.contains(came)).count()
    }
}

/// A round of ours, a round of theirs, again and again.
fn in_process(folders: &[PathBuf], peers: &Peers, scratch: &Path, rounds: usize) -> Outcome<(Side, Side)> {
    let (mut ours, mut theirs) = (Side::new(folders.len()), Side::new(folders.len()));
    let mut asked = Asked::start(peers, folders, scratch)?;
    // Everything is in the page cache after it.
    asked.round()?;
    for dir in folders {
        planned(dir);
    }
    let child = asked.child.id().to_string();
    reset_peak("self");
    reset_peak(&child);
    for round in 1..=rounds {
        progress(format!("round {round} of {rounds}"));
        ours.add(folders.iter().map(|dir| planned(dir)).collect());
        theirs.add(asked.round()?);
    }
    ours.peak = peak("self")?;
    theirs.peak = peak(&child)?;
    Ok((ours, theirs))
}

fn say(ours: &Side, theirs: &Side, version: &str, slowest: &str, report: &mut Report) {
    let (mine, other) = (ours.medians(), theirs.medians());
    let mib = |bytes: u64| bytes as f64 / 1048576.0;
    let rows = [
        Row::time("one tree, median", mine.median(), other.median(), Some(MEDIAN)),
        Row::time("one tree, 95th percentile", mine.quantile(0.95), other.quantile(0.95), Some(P95)),
        Row::time("one tree, slowest", mine.quantile(1.0), other.quantile(1.0), None),
        Row::time("all trees, one after the other", ours.rounds.median(), theirs.rounds.median(), Some(ALL)),
        Row::time("a workspace of 10,000 files", ours.large(), theirs.large(), Some(LARGE)),
        Row::of("MiB", "peak memory over all of it", mib(ours.peak), mib(theirs.peak), Some(mib(MOST_MEMORY))),
    ];
    report.section(&format!("In process, {} trees, beside nixpacks {version}", ours.came.len()));
    Row::table(report, rows);
    report.say(format!(
        "Each time is the median of {} rounds, from opening the folder to the plan; ours has its Dockerfile in it. A round of \
         nixpacks follows each of ours, in a process of its own; files are in the page cache. Our slowest tree is {slowest}. Our \
         memory includes this program, which runs the proof.",
        ours.rounds.len()
    ));
    let counts = [("sh0", ours), ("nixpacks", theirs)].map(|(name, side)| {
        let share = |wanted: &[Came]| {
            let count = side.count(wanted);
            format!("{count} ({:.1} %)", 100.0 * count as f64 / side.came.len() as f64)
        };
        [name.to_owned(), share(&[Came::Starts, Came::Builds]), share(&[Came::Starts])]
    });
    report.table(&["", "trees with a plan", "trees with a plan that says how they start or are served"], counts);
    if ours.count(&[Came::Starts]) < theirs.count(&[Came::Starts]) {
        report.problem("fewer of our plans say how to start: what is not done takes no time");
    }
}

/// A plan of ours, and how long it took.
fn planned(dir: &Path) -> (Duration, Came) {
    let began = Instant::now();
    let plan = DirTree::open(dir).ok().map(|tree| plan_tree(&tree, &AppSettings::default(), &Options::default()));
    let took = began.elapsed();
    let came = plan.and_then(Result::ok).map_or(Came::Nothing, |plan| came(&plan));
    (took, came)
}

fn came(plan: &Plan) -> Came {
    let served = plan.static_dir.is_some() || !plan.services.is_empty();
    match plan.start_command.is_some() || !plan.processes.is_empty() || served {
        true => Came::Starts,
        false => Came::Builds,
    }
}

/// Programs of nixpacks.
struct Peers {
    /// Plans folders, a round for each line.
    plans: PathBuf,
    /// Its own program.
    nixpacks: PathBuf,
    version: String,
}

impl Peers {
    /// Builds them: minutes, the first time.
    fn build() -> Outcome<Peers> {
        let folder = target()?.join("peers");
        for package in ["sh0-peers", "nixpacks"] {
            let mut build = cargo();
            build.args(["build", "--release", "--locked", "--manifest-path", "benches/peers/Cargo.toml"]);
            succeed(build.args(["--package", package, "--target-dir"]).arg(&folder))?;
        }
        let [plans, nixpacks] = ["sh0-peers", "nixpacks"].map(|name| folder.join("release").join(name));
        let output = Command::new(&nixpacks).arg("--version").output()?;
        let version = String::from_utf8_lossy(&output.stdout).trim().replace("nixpacks ", "");
        Ok(Peers { plans, nixpacks, version })
    }
}

/// A process that plans all folders whenever it is asked.
struct Asked {
    child: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
    folders: usize,
}

impl Asked {
    fn start(peers: &Peers, folders: &[PathBuf], scratch: &Path) -> Outcome<Asked> {
        let list = scratch.join("folders");
        std::fs::write(&list, folders.iter().map(|dir| format!("{}\n", dir.display())).collect::<String>())?;
        let mut child = Command::new(&peers.plans)
            .arg(list)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let ask = child.stdin.take().ok_or("nixpacks has no input")?;
        let answer = BufReader::new(child.stdout.take().ok_or("nixpacks has no output")?);
        Ok(Asked { child, ask, answer, folders: folders.len() })
    }

    fn round(&mut self) -> Outcome<Vec<(Duration, Came)>> {
        self.ask.write_all(b"\n")?;
        self.ask.flush()?;
        let mut line = String::new();
        self.answer.read_line(&mut line)?;
        let read = |word: &str| {
            let (nanos, letter) = word.split_at_checked(word.len().checked_sub(1)?)?;
            let came = match letter {
                "s" => Came::Starts,
                "p" => Came::Builds,
                _ => Came::Nothing,
            };
            Some((Duration::from_nanos(nanos.parse().ok()?), came))
        };
        let round: Vec<_> = line.split_whitespace().filter_map(read).collect();
        match round.len() == self.folders {
            true => Ok(round),
            false => Err(format!("nixpacks answered for {} of {} folders", round.len(), self.folders).into()),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The programs, on an empty folder, which neither can plan.
fn as_processes(sh0: &Path, nixpacks: &Path, scratch: &Path, runs: usize, report: &mut Report) -> Outcome {
    let empty = scratch.join("empty");
    std::fs::create_dir(&empty)?;
    let timed = |program: &Path, args: &[&str]| -> Outcome<f64> {
        let mut command = Command::new(program);
        command.args(args).arg(&empty).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        command.status()?;
        Ok(millis(began.elapsed()))
    };
    let [mut ours, mut theirs, mut nothing] = [(); 3].map(|()| Series::default());
    for _ in 0..runs {
        nothing.add(timed(Path::new("true"), &[])?);
        ours.add(timed(sh0, &["plan", "--json"])?);
        theirs.add(timed(nixpacks, &["plan"])?);
    }
    report.section("As a process, on an empty folder");
    let rows = [
        Row::time("median", ours.median(), theirs.median(), Some(PROCESS)),
        Row::time("95th percentile", ours.quantile(0.95), theirs.quantile(0.95), None),
    ];
    Row::table(report, rows);
    report.say(format!(
        "`sh0 plan --json` and `nixpacks plan`, {runs} times in turn, from before the start to after the end. A process that \
         does nothing (`true`) takes {:.2} ms here.",
        nothing.median()
    ));
    Ok(())
}

/// A line of a table of both.
struct Row {
    what: &'static str,
    unit: &'static str,
    ours: f64,
    theirs: f64,
    bound: Option<f64>,
}

impl Row {
    fn time(what: &'static str, ours: f64, theirs: f64, bound: Option<f64>) -> Row {
        Row::of("ms", what, ours, theirs, bound)
    }

    fn of(unit: &'static str, what: &'static str, ours: f64, theirs: f64, bound: Option<f64>) -> Row {
        Row { what, unit, ours, theirs, bound }
    }

    /// What is above its bound is a problem.
    fn table(report: &mut Report, rows: impl IntoIterator<Item = Row>) {
        let mut lines = Vec::new();
        for Row { what, unit, ours, theirs, bound } in rows {
            if let Some(bound) = bound.filter(|bound| ours > *bound || ours.is_nan()) {
                report.problem(format!("{what}: {ours:.3} {unit}, not {bound} {unit}"));
            }
            lines.push([
                what.to_owned(),
                format!("{ours:.3} {unit}"),
                bound.map_or(String::new(), |bound| format!("{bound} {unit}")),
                format!("{theirs:.3} {unit}"),
                format!("{:.1}", theirs / ours),
            ]);
        }
        report.table(&["what", "sh0", "at most", "nixpacks", "nixpacks / sh0"], lines);
    }
}

/// A pnpm workspace of 100 packages with 100 files each.
fn workspace(dir: &Path) -> Outcome {
    std::fs::create_dir(dir)?;
    let write = |path: &str, text: &str| std::fs::write(dir.join(path), text);
    write("package.json", r#"{"private":true,"scripts":{"build":"turbo build","start":"node packages/p0/f1.js"}}"#)?;
    write("pnpm-workspace.yaml", "packages:\n  - packages/*\n")?;
    write("pnpm-lock.yaml", &"  /lodash@4.17.21:\n    resolution: {integrity: sha512-x}\n".repeat(20_000))?;
    write("turbo.json", "{}")?;
    for package in 0..100 {
        std::fs::create_dir_all(dir.join(format!("packages/p{package}")))?;
        write(
            &format!("packages/p{package}/package.json"),
            &format!(r#"{{"name":"p{package}","scripts":{{"build":"tsc"}},"dependencies":{{"express":"5"}}}}"#),
        )?;
        for file in 1..100 {
            write(&format!("packages/p{package}/f{file}.js"), "module.exports = 1;\n")?;
        }
    }
    Ok(())
}

/// Forgets the highest resident size of a process so far (proc_pid_clear_refs(5)).
fn reset_peak(process: &str) {
    let _ = std::fs::write(format!("/proc/{process}/clear_refs"), "5");
}

/// The highest resident size of a process.
fn peak(process: &str) -> Outcome<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
