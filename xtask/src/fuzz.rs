//! Coverage-guided fuzzing of what reads bytes from a wire: libFuzzer, on the toolchain that builds everything else. The
//! targets are a package of their own (`xtask/fuzz`), which no other build touches.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::command::{Outcome, cargo, read};
use crate::packages;
use crate::repo::Repo;

/// What `cargo fuzz` tells the compiler, without a sanitizer: those need a nightly one, and no code of ours is `unsafe`.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// How long each target runs when nothing is said, in seconds.
const SECONDS: u64 = 5;

/// The end of what a failed target printed.
const LAST_LINES: usize = 40;

/// `fuzz [TARGET...] [--seconds N]`: every target when none is named. Prints a table; fails when a target found something.
pub(crate) fn fuzz(repo: &Repo, args: &[String]) -> Outcome {
    let seeds = repo.root().join("xtask/fuzz/seeds");
    let (targets, seconds) = parse(args, folders(&seeds)?)?;
    packages::install(packages::FOR_FUZZ)?;
    let place = Place { program: build(repo)?, seeds, kept: repo.target().join("fuzz/found") };

    let waiting = Mutex::new(VecDeque::from(targets));
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            // The lock is held for the line only.
            let target = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(target) = target else { return };
            let result = place.run(&target, seconds);
            eprintln!("{target}: {}", result.as_ref().map_or_else(ToString::to_string, |row| row.clone()));
            results.lock().unwrap_or_else(PoisonError::into_inner).push((target, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });

    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by(|(a, _), (b, _)| a.cmp(b));
    println!("{}", report(seconds, &results));
    let found: Vec<&str> = results.iter().filter(|(_, row)| row.is_err()).map(|(target, _)| target.as_str()).collect();
    if found.is_empty() { Ok(()) } else { Err(format!("something was found in {}", found.join(", ")).into()) }
}

/// A table, and behind it the last words of those that found something.
fn report(seconds: u64, results: &[(String, Outcome<String>)]) -> String {
    let mut text = format!("{seconds} s a target, {} targets.\n\n", results.len());
    text.push_str(
        "| target | inputs tried | code reached (edges) | inputs that reach it |\n| --- | --- | --- | --- |\n",
    );
    for (target, result) in results {
        let row = result.as_deref().unwrap_or("**found something** | | ");
        text.push_str(&format!("| {target} | {row} |\n"));
    }
    for (target, error) in results.iter().filter_map(|(target, row)| Some((target, row.as_ref().err()?))) {
        text.push_str(&format!("\n### What {target} found\n\n```text\n{error}\n```\n"));
    }
    text.trim_end().to_owned()
}

fn parse(args: &[String], known: Vec<String>) -> Outcome<(Vec<String>, u64)> {
    let (mut targets, mut seconds) = (Vec::new(), SECONDS);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => seconds = args.next().ok_or("--seconds needs a number")?.parse()?,
            name if known.iter().any(|target| target == name) => targets.push(name.to_owned()),
            name => return Err(format!("no target {name:?}; there are {}", known.join(", ")).into()),
        }
    }
    Ok((if targets.is_empty() { known } else { targets }, seconds))
}

fn folders(path: &Path) -> Outcome<Vec<String>> {
    let mut names = fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Builds all targets, one program. The flags are for it and its dependencies, not for what runs while it is built: that
/// is what naming the target does.
fn build(repo: &Repo) -> Outcome<PathBuf> {
    let version = read(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    let folder = repo.target().join("fuzz");
    let mut build = cargo(repo);
    build.args(["build", "--quiet", "--manifest-path", "xtask/fuzz/Cargo.toml", "--target", host, "--target-dir"]);
    build.arg(&folder).env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\x1f"));
    eprint!("{}", read(&mut build)?);
    Ok(folder.join(host).join("debug/sh0-fuzz"))
}

/// Where a run finds its things, and leaves them.
struct Place {
    program: PathBuf,
    seeds: PathBuf,
    kept: PathBuf,
}

impl Place {
    /// Runs a target; answers a row of the table. What it found is the error.
    fn run(&self, target: &str, seconds: u64) -> Outcome<String> {
        let kept = self.kept.join(target);
        let corpus = kept.join("corpus");
        fs::create_dir_all(&corpus)?;
        // In memory where there is such a place: what is unpacked is gone again at once.
        let memory = Path::new("/dev/shm");
        let scratch = if memory.is_dir() { memory } else { kept.as_path() };
        let scratch = scratch.join(format!("sh0-fuzz-{}-{target}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        let output = Command::new(&self.program)
            .arg(&corpus)
            .arg(self.seeds.join(target))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", kept.display()))
            .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
            .env("SH0_FUZZ_TARGET", target)
            .env("RUST_BACKTRACE", "1")
            .env("TMPDIR", &scratch)
            .output();
        fs::remove_dir_all(&scratch)?;
        let output = output?;
        let text = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
            return Err(format!("{}\n{}", output.status, last.join("\n")).into());
        }
        let tried = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        let last = text.lines().rfind(|line| line.contains(" cov: ")).unwrap_or_default();
        let after = |key: &str| last.split_once(key).and_then(|(_, rest)| rest.split([' ', '/']).next());
        let row = [tried.map(str::trim), after(" cov: "), after(" corp: ")];
        Ok(row.map(|cell| cell.unwrap_or("?")).join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, report};

    #[test]
    fn arguments() {
        let known = || vec!["a".to_owned(), "b".to_owned()];
        let parsed = |args: &[&str]| parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), known());
        assert_eq!(parsed(&[]).unwrap(), (known(), super::SECONDS));
        assert_eq!(parsed(&["b", "--seconds", "7"]).unwrap(), (vec!["b".to_owned()], 7));
        assert!(parsed(&["c"]).unwrap_err().to_string().contains("a, b"));
        assert!(parsed(&["--seconds"]).is_err());
    }

    #[test]
    fn what_was_found_is_in_the_report() {
        let results = [("a".to_owned(), Ok("7 | 3 | 2".to_owned())), ("b".to_owned(), Err("panicked at x".into()))];
        let text = report(5, &results);
        assert!(text.contains("| a | 7 | 3 | 2 |\n| b | **found something** | |  |\n"), "{text}");
        assert!(text.ends_with("### What b found\n\n```text\npanicked at x\n```"), "{text}");
    }
}
