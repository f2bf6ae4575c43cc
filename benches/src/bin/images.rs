//! `cargo xtask prove images [--mirror FOLDER] [--image-mirror sh0-test] [--rounds 5] [--only NAME] [--limit SECONDS]`

use std::process::ExitCode;

use sh0_benches::rows::{self, images};

fn main() -> ExitCode {
    rows::main(images::prove())
}
