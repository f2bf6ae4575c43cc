//! One word a habit: `cargo xtask check`, `cargo xtask test`, ...
//!
//! Every word runs ordinary programs that anybody could type, and prints each before it runs. It is a tool for people
//! who work on sh0; nothing of it ships.
// A tool talks to the person who runs it.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod command;
mod dependencies;
mod engine;
mod exports;
mod first_run;
mod fuzz;
mod images;
mod openapi;
mod packages;
mod prove;
mod repo;
mod rules;
mod source;
mod spdx;
mod stacks;

use std::process::ExitCode;

use command::{Outcome, cargo, run, stage};
use repo::Repo;

struct Word {
    name: &'static str,
    about: &'static str,
    run: fn(&Repo, &[String]) -> Outcome,
}

const WORDS: &[Word] = &[
    Word { name: "check", about: "format, lints, docs, licences, house rules: all but the tests", run: check::check },
    Word { name: "test", about: "setup, then every test, doc test, and the validators of others", run: test },
    Word { name: "setup", about: "install and start what the tests need (as root on Debian)", run: setup },
    Word { name: "teardown", about: "stop the Docker Engine that setup started", run: teardown },
    Word {
        name: "images",
        about: "base images of stacks for the mirror `sh0-test`: `images node:24`",
        run: stacks::images,
    },
    Word { name: "fuzz", about: "fuzz what reads from a wire: `fuzz [TARGET...] [--seconds N]`", run: fuzz::fuzz },
    Word { name: "first-run", about: "what a newcomer does, without Docker, timed", run: first_run::first_run },
    Word {
        name: "prove",
        about: "run a row of proof and write docs/proof/ROW.md: `prove [--draft] [ROW] [ARGS]`",
        run: prove::prove,
    },
    Word { name: "bench", about: "benchmarks: `bench NAME [ARGS]`, a binary of benches/", run: bench },
    Word { name: "exports", about: "exported files and SARIF against the schemas of others", run: exports },
    Word { name: "demo", about: "the README's first command", run: first_run::demo },
    Word { name: "docs", about: "build the documentation of all crates", run: check::docs },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(word) = args.first().and_then(|name| WORDS.iter().find(|word| word.name == name)) else {
        println!("cargo xtask WORD\n");
        for word in WORDS {
            println!("  {:<10} {}", word.name, word.about);
        }
        return if args.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    let done = Repo::find().and_then(|repo| (word.run)(&repo, args.get(1..).unwrap_or_default()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask {}: {error}", word.name);
            ExitCode::FAILURE
        }
    }
}

fn setup(repo: &Repo, _: &[String]) -> Outcome {
    packages::install(packages::FOR_TESTS)?;
    engine::start(repo)?;
    images::DEBIAN.make(repo)
}

fn teardown(repo: &Repo, _: &[String]) -> Outcome {
    engine::stop(repo)
}

/// Further arguments go to the test runner: `cargo xtask test -p sh0-core`.
fn test(repo: &Repo, args: &[String]) -> Outcome {
    stage("setup", || setup(repo, &[]))?;
    let everything = ["--workspace".to_owned(), "--all-features".to_owned()];
    let scope = if args.is_empty() { &everything[..] } else { args };
    stage("tests", || {
        if command::find("cargo-nextest").is_some() {
            run(cargo(repo).args(["nextest", "run"]).args(scope))
        } else {
            run(cargo(repo).args(["test", "--lib", "--bins", "--tests", "--examples", "--no-fail-fast"]).args(scope))
        }
    })?;
    if !args.is_empty() {
        return Ok(());
    }
    stage("doc tests", || run(cargo(repo).args(["test", "--doc"]).args(scope)))?;
    stage("OpenAPI", || openapi::validate(repo))?;
    stage("exports and SARIF", || exports::validate(repo))
}

fn exports(repo: &Repo, _: &[String]) -> Outcome {
    exports::validate(repo)
}

fn bench(repo: &Repo, args: &[String]) -> Outcome {
    let Some((name, rest)) = args.split_first() else {
        return Err("say which: a name of benches/src/bin".into());
    };
    run(cargo(repo).args(["run", "--release", "-p", "sh0-benches", "--bin", name, "--"]).args(rest))
}
