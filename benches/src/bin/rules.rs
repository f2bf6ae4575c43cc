//! `cargo xtask prove rules --mirror FOLDER [--trees FOLDER]`

use std::process::ExitCode;

use sh0_benches::rows::{self, corpora};

fn main() -> ExitCode {
    rows::main(corpora::prove_rules())
}
