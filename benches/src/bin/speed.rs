//! `cargo xtask prove speed [--runs 20] [--apps 1000] [--running 50] [--docker no]`

use std::process::ExitCode;

use sh0_benches::rows::{self, speed};

fn main() -> ExitCode {
    let count = |name, otherwise| usize::try_from(rows::number(name, otherwise)).unwrap_or(usize::MAX);
    let scope = speed::Scope {
        runs: count("--runs", 20),
        many_apps: count("--apps", 1000),
        running_apps: count("--running", 50),
        docker: rows::word("--docker").is_none_or(|word| word != "no"),
    };
    rows::main(speed::prove(scope))
}
