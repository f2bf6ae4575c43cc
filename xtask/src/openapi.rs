//! The OpenAPI document, read by a validator that is not ours.

use std::fs;
use std::process::Command;

use crate::command::{Outcome, cargo, read, run};
use crate::repo::Repo;

const VALIDATOR: &str = "openapi-spec-validator==0.9.0";

pub(crate) fn validate(repo: &Repo) -> Outcome {
    let document = repo.own("openapi.json")?;
    // Built with everything else: `cargo run -p` would build the dependencies again, with fewer features.
    run(cargo(repo).args(["build", "--workspace", "--all-features", "--examples"]))?;
    fs::write(&document, read(&mut Command::new(repo.target().join("debug/examples/openapi")))?)?;
    let venv = repo.own("venv")?;
    let validator = venv.join("bin/openapi-spec-validator");
    if !validator.is_file() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", VALIDATOR]))?;
    }
    run(Command::new(validator).args(["--schema", "3.1"]).arg(&document))
}
