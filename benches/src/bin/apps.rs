//! `cargo xtask prove apps --mirror FOLDER [--image-mirror sh0-test] [--list FILE] [--only NAME] [--limit SECONDS]`

use std::process::ExitCode;

use sh0_benches::rows::{self, apps};

fn main() -> ExitCode {
    rows::main(apps::prove())
}
