//! `cargo xtask prove corpora --mirror FOLDER [--expected FILE.tsv] [--trees FOLDER]`

use std::process::ExitCode;

use sh0_benches::rows::{self, corpora};

fn main() -> ExitCode {
    rows::main(corpora::prove())
}
