//! Plans for the example apps of other projects: right, and the same every time; [`prove_plan_speed`] says how fast.
//!
//! What is expected is a list of one's own behind `--expected`: tab-separated, with the columns repo, path, language,
//! package_manager, framework, start_command, start_alt, port, scope (`core` counts), note. `a|b` means either;
//! `services=a,b` in start_alt are the services of a compose file; `static:DIR` is a folder that is served.

mod expected;
mod rules;
mod speed;
mod trees;

pub use rules::prove as prove_rules;
pub use speed::prove as prove_plan_speed;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use sh0::model::{AppSettings, Plan};
use sh0_build::{DirTree, Kind, Options, Tree, plan_tree};

use self::expected::{Expected, Field};
use self::trees::{App, CORPORA};
use super::word;
use crate::Outcome;
use crate::report::Report;

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
