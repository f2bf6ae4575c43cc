//! `cargo xtask prove plan-speed --mirror FOLDER [--trees FOLDER] [--rounds 7] [--processes 100]`

use std::process::ExitCode;

use sh0_benches::rows::{self, corpora};

fn main() -> ExitCode {
    rows::main(corpora::prove_plan_speed())
}
