//! Proofs that take too long for every change. A row is a program; its report is committed under `docs/proof/`.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::command::{Outcome, cargo, read};
use crate::engine::docker;
use crate::repo::Repo;
use crate::{setup, stacks, stage};

/// A claim and the program that shows it. The program prints its report (Markdown) on standard output, progress on
/// standard error, and fails when the claim does not hold.
struct Row {
    name: &'static str,
    claim: &'static str,
    program: Program,
}

/// What has the row's name.
enum Program {
    /// A binary of `benches/src/bin`.
    Bench,
    /// A word of ours.
    Word,
}

const ROWS: &[Row] = &[
    Row {
        name: "first-run",
        claim: "A fresh clone without Docker: the README's first command prints URLs that answer (cold build within 8 \
                minutes on two cores); after `down` and one changed line, `up` serves the new text in under 5 s.",
        program: Program::Word,
    },
    Row {
        name: "zero-downtime",
        claim: "50 redeploys and 20 failing ones under load, on Docker and on processes: no request fails, none is \
                answered by a failing release, websockets live until the drain deadline and close with 1001. The same \
                driver with `--strategy recreate` reports failures: it can see them.",
        program: Program::Bench,
    },
    Row {
        name: "crash",
        claim: "25 real `kill -9` of the real server at random moments of a deploy, on Docker and on processes: the old \
                release answers while the server is dead; after the restart exactly one release serves, and nothing \
                labelled is orphaned. A cancel in every step of a deploy, on both: before the switch the deploy ends as \
                cancelled and changes nothing, after it the cancel is refused; no request fails.",
        program: Program::Bench,
    },
    Row {
        name: "reconcile",
        claim: "`docker rm -f` of an instance, kill of a shim, kill of the edge, restart of dockerd, start of dockerd, \
                shims and server in all 6 orders: apps serve again without a human, none ever answers with the text of \
                another; what sh0 did not label is untouched.",
        program: Program::Bench,
    },
    Row {
        name: "speed",
        claim: "The time of a deploy over bare calls of the engine and over bare processes in the same run (at most 60 ms \
                on Docker), route swap, reads with 1,000 apps, start to ready (at most 100 ms), memory with 50 running \
                apps and their logs followed (at most 60 MB) and of an idle server (at most 20 MB), size.",
        program: Program::Bench,
    },
    Row {
        name: "fuzz",
        claim: "What reads bytes from a wire survives what a coverage-guided fuzzer invents: no panic, no overflow, the same \
                result however a stream is cut, nothing outside of its place, and no input that is a fault of the platform.",
        program: Program::Word,
    },
    Row {
        name: "apps",
        claim: "At least 30 apps that are not ours, from their git trees, answer with their own text; at least 12 of them \
                on both runtimes, at least 40 built by their generated Dockerfile on Docker, at least 4 of each stack.",
        program: Program::Bench,
    },
    Row {
        name: "corpora",
        claim: "The example trees of eight other projects: language and a usable plan at least 98 %, the package manager of \
                Node apps 99 %, framework 90 %, start command 85 %, compose services exact; no panic; the same plan over 20 \
                runs and orders of names.",
        program: Program::Bench,
    },
    Row {
        name: "plan-speed",
        claim: "Plans of those trees, in one run with nixpacks: in process, at most 0.3 ms in the median, 2 ms in the 95th \
                percentile, 0.5 s for all, 50 ms for a workspace of 10,000 files, 16 MiB of memory over all of it; as a process \
                on an empty folder at most 4 ms.",
        program: Program::Bench,
    },
    Row {
        name: "images",
        claim: "Apps of Node, Python, Go and Rust, each built by its generated Dockerfile and by the single-stage one of a \
                tutorial, in one run on the same base images: every image answers, ours is smaller, and after a change of the \
                source alone its build is not slower.",
        program: Program::Bench,
    },
    Row {
        name: "rules",
        claim: "Secret rules on public corpora: recall at least 98 % and at most 5 % false positives on the literals of \
                gitleaks' own tests, at least 70 of leaky-repo's 96 lines of risk, at most 10 hits in the example trees of \
                four projects; a whole check of 5,000 files in less than 300 ms.",
        program: Program::Bench,
    },
];

impl Row {
    fn program(&self, repo: &Repo) -> Command {
        let mut command = cargo(repo);
        match self.program {
            // Without its default features it has what a proof needs, and no second `sh0`.
            Program::Bench => command
                .args(["run", "--quiet", "--release", "-p", "sh0-benches", "--no-default-features", "--bin"])
                .args([self.name, "--"]),
            Program::Word => command.args(["xtask", self.name]),
        };
        command
    }
}

/// What the images of the apps of `benches/apps/real.tsv` start from, as [`stacks::images`] names it.
const FOR_APPS: [&str; 15] = [
    "alpine-node:26",
    "composer:2",
    "debian:bookworm",
    "denoland/deno:debian-2.9.6",
    "eclipse-temurin:21",
    "golang:1.25",
    "golang:1.26",
    "node:18",
    "node:20",
    "node:24",
    "oven/bun:1.3",
    "php:8.4",
    "python:3.13",
    "ruby:3.3",
    "rust:1.95",
];

/// The same of `benches/apps/images.tsv`.
const FOR_IMAGES: [&str; 5] = ["debian:bookworm", "golang:1.25", "node:24", "python:3.13", "rust:1.95"];

/// `prove [--draft] ROW [ARGS]`. A proof is about a commit: the tree must be what is committed, but for the reports. A
/// draft is not: it may be of any tree, and its report goes into the target folder.
pub(crate) fn prove(repo: &Repo, args: &[String]) -> Outcome {
    let shown = format!("cargo xtask prove {}", args.join(" "));
    let (draft, args) = match args.split_first() {
        Some((first, rest)) if first == "--draft" => (true, rest),
        _ => (false, args),
    };
    let Some((name, rest)) = args.split_first() else {
        for row in ROWS {
            println!("{}: {}", row.name, row.claim);
        }
        return Ok(());
    };
    let row = ROWS.iter().find(|row| row.name == name).ok_or_else(|| format!("no row {name:?}"))?;
    let changed = changed(repo)?;
    if !draft && !changed.is_empty() {
        return Err(format!(
            "a proof is about a commit, and these files are changed or new; commit them, or try the row with \
             `prove --draft {name}`:\n{}",
            changed.join("\n")
        )
        .into());
    }
    stage("setup", || setup(repo, &[]))?;
    let bases: &[&str] = match name.as_str() {
        "apps" => &FOR_APPS,
        "images" => &FOR_IMAGES,
        _ => &[],
    };
    if !bases.is_empty() && rest.iter().any(|word| word == stacks::MIRROR) {
        let bases: Vec<String> = bases.iter().map(|base| (*base).to_owned()).collect();
        stage("images", || stacks::images(repo, &bases))?;
    }
    let facts = facts(repo, changed.len())?;
    println!("== {name}");
    let began = Instant::now();
    let output = row.program(repo).args(rest).stderr(Stdio::inherit()).output()?;
    let result = String::from_utf8_lossy(&output.stdout);
    let verdict = if output.status.success() { "holds" } else { "DOES NOT HOLD" };
    let seconds = began.elapsed().as_secs();
    let report = format!(
        "# Proof: {name}\n\n{}\n\n**{verdict}**, by `{shown}` in {seconds} s.\n\n{facts}\n## Result\n\n{}\n",
        row.claim,
        result.trim()
    );
    let file = format!("{name}.md");
    let file = if draft { repo.own(&format!("draft-{file}"))? } else { repo.root().join(REPORTS).join(file) };
    fs::write(&file, &report)?;
    println!("{report}\nwritten to {}", file.display());
    if output.status.success() { Ok(()) } else { Err(format!("{name} {verdict}").into()) }
}

const REPORTS: &str = "docs/proof";

/// Files that are not as they are committed, or not committed at all; reports of proofs left aside.
fn changed(repo: &Repo) -> Outcome<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(repo.root()).args(["status", "--porcelain", "--", ".", &format!(":!{REPORTS}")]);
    Ok(read(&mut git)?.lines().map(str::to_owned).collect())
}

/// When, on which machine, with which source.
fn facts(repo: &Repo, changed: usize) -> Outcome<String> {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let after_colon = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let git = |args: &[&str]| read(Command::new("git").current_dir(repo.root()).args(args));
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let commit = commit.trim();
    let engine = docker().args(["version", "--format", "{{.Server.Version}}"]).output();
    let engine = engine.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();

    let rows = [
        ("date", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()),
        (
            "commit",
            match changed {
                0 => commit.to_owned(),
                _ => format!("{commit}, {changed} changed files: a draft"),
            },
        ),
        ("cores", std::thread::available_parallelism()?.to_string()),
        ("processor", after_colon(&file("/proc/cpuinfo"), "model name")),
        ("memory", after_colon(&file("/proc/meminfo"), "MemTotal")),
        ("kernel", file("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("load before", file("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()),
        ("compiler", read(Command::new("rustc").arg("--version"))?.trim().to_owned()),
        ("Docker Engine", engine),
    ];
    let mut table = String::from("| machine | |\n| --- | --- |\n");
    for (name, value) in rows {
        writeln!(table, "| {name} | {value} |")?;
    }
    Ok(table)
}
