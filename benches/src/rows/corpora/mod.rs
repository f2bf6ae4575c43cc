//! Plans for the example apps of other projects: right, the same every time, and fast.
//!
//! What is expected is a list of one's own behind `--expected`: tab-separated, with the columns repo, path, language,
//! package_manager, framework, start_command, start_alt, port, scope (`core` counts), note. `a|b` means either;
//! `services=a,b` in start_alt are the services of a compose file; `static:DIR` is a folder that is served.

mod expected;
mod rules;
mod trees;

pub use rules::prove as prove_rules;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sh0::model::{AppSettings, Plan};
use sh0_build::{DirTree, Kind, Options, Tree, plan_tree};

use self::expected::{Expected, Field};
use self::trees::{App, CORPORA};
use super::{number, word};
use crate::Outcome;
use crate::report::{Report, Series, millis};

/// What the issue asks of the speed in one process.
const MEDIAN: f64 = 0.3;
const P95: f64 = 2.0;
const ALL: f64 = 500.0;
const LARGE: f64 = 50.0;
const MOST_MEMORY: u64 = 16 << 20;

/// The whole row.
pub async fn prove() -> Outcome<Report> {
    let mirror = PathBuf::from(word("--mirror").ok_or("say where the git directories are: --mirror FOLDER")?);
    let list = word("--expected").map(std::fs::read_to_string).transpose()?.unwrap_or_default();
    let expected: Vec<Expected> = list.lines().filter_map(Expected::read).collect();
    let scratch = tempfile::tempdir()?;
    let place = word("--trees").map_or_else(|| scratch.path().join("trees"), PathBuf::from);
    let also: BTreeSet<_> = expected.iter().map(|row| (row.repo.clone(), row.path.clone())).collect();
    let apps = trees::all(&mirror, &place, &also)?;

    let mut report = Report::default();
    let planned = plans(&apps, &mut report);
    scores(&apps, &planned, &expected, &mut report);
    speed(&apps, &mut report)?;
    Ok(report)
}

/// What a tree gave: a plan, an error, or a panic.
enum Planned {
    Plan(Box<Plan>),
    Refused(String),
    Panicked,
}

impl Planned {
    fn of(tree: &dyn Tree) -> Planned {
        let plan = || plan_tree(tree, &AppSettings::default(), &Options::default());
        match catch_unwind(AssertUnwindSafe(plan)) {
            Ok(Ok(plan)) => Planned::Plan(Box::new(plan)),
            Ok(Err(error)) => Planned::Refused(error.detail().to_owned()),
            Err(_) => Planned::Panicked,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Planned::Plan(plan) => serde_json::to_vec(plan).unwrap_or_default(),
            Planned::Refused(why) => why.clone().into_bytes(),
            Planned::Panicked => Vec::new(),
        }
    }

    fn plan(&self) -> Option<&Plan> {
        match self {
            Planned::Plan(plan) => Some(plan),
            _ => None,
        }
    }
}

/// A folder that lists its names in another order each time.
struct Shuffled(DirTree, usize);

impl Tree for Shuffled {
    fn kind(&self, path: &str) -> Option<Kind> {
        self.0.kind(path)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let mut names = self.0.names(folder);
        names.sort_by_key(|name| {
            name.bytes().fold(self.1, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()) % 65_521)
        });
        names
    }

    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        self.0.bytes(path, limit)
    }
}

/// Plans every tree, again and again.
fn plans(apps: &[App], report: &mut Report) -> Vec<Planned> {
    const ORDERS: usize = 19;
    let mut rows: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    let mut planned = Vec::new();
    for app in apps {
        let Ok(tree) = DirTree::open(&app.dir) else {
            report.problem(format!("{} {} cannot be opened", app.repo, app.path));
            planned.push(Planned::Refused("it is no folder".into()));
            continue;
        };
        let first = Planned::of(&tree);
        let bytes = first.bytes();
        let differs = (1..=ORDERS).any(|seed| Planned::of(&Shuffled(tree.clone(), seed)).bytes() != bytes);
        let row = rows.entry(app.repo).or_default();
        row[0] += 1;
        match &first {
            Planned::Plan(_) => row[1] += 1,
            Planned::Refused(_) => row[2] += 1,
            Planned::Panicked => {
                row[3] += 1;
                report.problem(format!("{} {}: a panic", app.repo, app.path));
            }
        }
        if differs {
            row[4] += 1;
            report.problem(format!("{} {}: another order of names gives another plan", app.repo, app.path));
        }
        planned.push(first);
    }
    let sum = rows.values().fold([0; 5], |sum, row| std::array::from_fn(|i| sum[i] + row[i]));
    report.section(&format!("{} trees of {} repositories", sum[0], CORPORA.len()));
    let line = |(name, row): (&str, [usize; 5])| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(row.iter().map(usize::to_string)).collect()
    };
    let head = ["repository", "trees", "plans", "refused", "panics", "not the same over 20 runs and orders"];
    report.table(&head, rows.into_iter().chain([("all", sum)]).map(line));
    planned
}

#[derive(Default, Clone, Copy)]
struct Tally {
    right: usize,
    of: usize,
}

impl Tally {
    fn share(self) -> f64 {
        self.right as f64 / self.of as f64
    }

    fn text(self) -> String {
        if self.of == 0 { String::new() } else { format!("{}/{} ({:.1} %)", self.right, self.of, self.share() * 100.0) }
    }
}

/// The table, and every miss.
fn scores(apps: &[App], planned: &[Planned], expected: &[Expected], report: &mut Report) {
    let found: BTreeMap<(&str, &str), &Planned> =
        apps.iter().map(|app| (app.repo, app.path.as_str())).zip(planned).collect();
    let (mut core, mut extra) = (BTreeMap::<(&str, Field), Tally>::new(), BTreeMap::<(&str, Field), Tally>::new());
    let (mut misses, mut refused) = (Vec::new(), Vec::new());
    for row in expected {
        let Some(planned) = found.get(&(row.repo.as_str(), row.path.as_str())) else { continue };
        if row.must_fail() {
            let what = match planned {
                Planned::Plan(plan) => format!("a plan with {} warnings", plan.warnings.len()),
                Planned::Refused(why) => format!("refused: {why}"),
                Planned::Panicked => "a panic".to_owned(),
            };
            refused.push([row.repo.clone(), row.path.clone(), what]);
            continue;
        }
        let tallies = if row.in_scope() { &mut core } else { &mut extra };
        for (field, verdict) in row.judge(planned.plan()) {
            for repo in [row.repo.as_str(), "all"] {
                let tally = tallies.entry((repo, field)).or_default();
                tally.of += 1;
                tally.right += usize::from(verdict.is_ok());
            }
            if let Err((wanted, got)) = verdict {
                let why = match planned {
                    Planned::Refused(why) => format!("refused: {why}"),
                    _ => String::new(),
                };
                let scope = if row.in_scope() { "" } else { "extra" };
                misses.push([
                    row.repo.clone(),
                    row.path.clone(),
                    scope.to_owned(),
                    field.name().to_owned(),
                    wanted,
                    got,
                    why,
                ]);
            }
        }
    }
    if expected.is_empty() {
        report.say("Nothing was expected: give a list with --expected.");
        return;
    }
    report.section(&format!("Against the {} rows of the list", expected.len()));
    let repos: Vec<&str> = CORPORA.iter().map(|corpus| corpus.repo).chain(["all"]).collect();
    let head: Vec<&str> = std::iter::once("in scope").chain(Field::ALL.iter().map(|field| field.name())).collect();
    let line = |tallies: &BTreeMap<(&str, Field), Tally>, repo: &str| -> Vec<String> {
        let cells = Field::ALL.iter().map(|field| tallies.get(&(repo, *field)).copied().unwrap_or_default().text());
        std::iter::once(repo.to_owned()).chain(cells).collect()
    };
    let bars = std::iter::once("must be".to_owned())
        .chain(Field::ALL.iter().map(|field| field.bar().map_or(String::new(), |bar| format!("{:.0} %", bar * 100.0))));
    report.table(&head, repos.iter().map(|repo| line(&core, repo)).chain([bars.collect()]));
    let head: Vec<&str> = std::iter::once("extra").chain(Field::ALL.iter().map(|field| field.name())).collect();
    report.table(&head, repos.iter().map(|repo| line(&extra, repo)));
    for field in Field::ALL {
        let tally = core.get(&("all", field)).copied().unwrap_or_default();
        if let Some(bar) = field.bar().filter(|bar| tally.of > 0 && tally.share() < *bar) {
            report.problem(format!("{}: {}, not {:.0} %", field.name(), tally.text(), bar * 100.0));
        }
    }
    report.section(&format!("The {} misses", misses.len()));
    report.table(&["repository", "app", "", "what", "expected", "got", "why"], misses);
    report.section("Trees that are broken on purpose");
    report.table(&["repository", "app", "what comes of it"], refused);
}

/// Reading and planning, in this process.
fn speed(apps: &[App], report: &mut Report) -> Outcome {
    let runs = usize::try_from(number("--runs", 5))?.max(1);
    reset_peak();
    let mut all = Series::default();
    let mut medians = Vec::new();
    let mut times: Vec<Series> = vec![Series::default(); apps.len()];
    for _ in 0..runs {
        let began = Instant::now();
        for (app, series) in apps.iter().zip(&mut times) {
            series.add(millis(timed(&app.dir)));
        }
        all.add(millis(began.elapsed()));
    }
    medians.extend(times.iter().map(Series::median));
    let slowest = medians.iter().zip(apps).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, app)| app.path.clone());
    let peak = peak()?;
    let medians: Series = medians.into_iter().collect();
    let large = large()?;
    report.section("Speed and memory, in process");
    let rows = [
        ("one tree, median", format!("{:.3} ms", medians.median()), format!("{MEDIAN} ms"), medians.median() <= MEDIAN),
        (
            "one tree, 95th percentile",
            format!("{:.3} ms", medians.quantile(0.95)),
            format!("{P95} ms"),
            medians.quantile(0.95) <= P95,
        ),
        (
            "one tree, slowest",
            format!("{:.3} ms ({})", medians.quantile(1.0), slowest.unwrap_or_default()),
            String::new(),
            true,
        ),
        ("all trees, one after the other", format!("{:.0} ms", all.median()), format!("{ALL} ms"), all.median() <= ALL),
        ("a workspace of 10,000 files", format!("{large:.1} ms"), format!("{LARGE} ms"), large <= LARGE),
        (
            "peak memory of this process meanwhile",
            format!("{:.1} MiB", peak as f64 / 1048576.0),
            format!("{} MiB", MOST_MEMORY >> 20),
            peak <= MOST_MEMORY,
        ),
    ];
    for (what, got, bar, holds) in &rows {
        if !holds {
            report.problem(format!("{what}: {got}, not {bar}"));
        }
    }
    report.table(&["what", "measured", "at most"], rows.map(|(what, got, bar, _)| [what.to_owned(), got, bar]));
    report.say(format!("Each time is the median of {runs} runs, from opening the folder to the plan with its Dockerfile; files are in the page cache. The memory includes the plans of all trees and the list of expectations."));
    Ok(())
}

fn timed(dir: &Path) -> Duration {
    let began = Instant::now();
    if let Ok(tree) = DirTree::open(dir) {
        std::hint::black_box(plan_tree(&tree, &AppSettings::default(), &Options::default())).ok();
    }
    began.elapsed()
}

/// A pnpm workspace of 100 packages with 100 files each: milliseconds, the median of five.
fn large() -> Outcome<f64> {
    let dir = tempfile::tempdir()?;
    let write = |path: &str, text: &str| std::fs::write(dir.path().join(path), text);
    write("package.json", r#"{"private":true,"scripts":{"build":"turbo build","start":"node packages/p0/f1.js"}}"#)?;
    write("pnpm-workspace.yaml", "packages:\n  - packages/*\n")?;
    write("pnpm-lock.yaml", &"  /lodash@4.17.21:\n    resolution: {integrity: sha512-x}\n".repeat(20_000))?;
    write("turbo.json", "{}")?;
    for package in 0..100 {
        std::fs::create_dir_all(dir.path().join(format!("packages/p{package}")))?;
        write(
            &format!("packages/p{package}/package.json"),
            &format!(r#"{{"name":"p{package}","scripts":{{"build":"tsc"}},"dependencies":{{"express":"5"}}}}"#),
        )?;
        for file in 1..100 {
            write(&format!("packages/p{package}/f{file}.js"), "module.exports = 1;\n")?;
        }
    }
    Ok((0..5).map(|_| millis(timed(dir.path()))).collect::<Series>().median())
}

/// Forgets the highest resident size so far (proc_pid_clear_refs(5)).
fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak() -> Outcome<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
