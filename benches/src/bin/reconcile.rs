//! `cargo xtask prove reconcile`: as root, where `dockerd` is installed.

use std::process::ExitCode;

use sh0_benches::rows::{self, reconcile};

fn main() -> ExitCode {
    rows::main(reconcile::prove())
}
