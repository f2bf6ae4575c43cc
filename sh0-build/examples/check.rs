//! Checks folders with the health rules: `cargo run -p sh0-build --example check -- [--json|--sarif] FOLDER...`.

// An example talks to the person who runs it.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use sh0_build::{CheckOptions, DirTree, Options, check_tree, plan_tree, to_sarif};
use sh0_core::model::AppSettings;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (options, folders): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|arg| arg.starts_with("--"));
    for folder in &folders {
        let tree = DirTree::open(Path::new(folder))?;
        let plan = plan_tree(&tree, &AppSettings::default(), &Options::default()).ok();
        let began = Instant::now();
        let report = check_tree(&tree, plan.as_ref(), &CheckOptions::default());
        let took = began.elapsed();
        match options.first().map(String::as_str) {
            Some("--json") => println!("{}", serde_json::to_string_pretty(&report)?),
            Some("--sarif") => println!("{}", serde_json::to_string_pretty(&to_sarif(&report))?),
            _ => {
                println!("{folder}: score {}, {} files in {took:?}", report.score, report.files);
                for finding in &report.findings {
                    let place = finding.file.clone().unwrap_or_default();
                    let line = finding.line.map_or(String::new(), |line| format!(":{line}"));
                    println!(
                        "  {:<8} {} {}  {place}{line}  {}",
                        finding.severity, finding.rule, finding.name, finding.message
                    );
                }
            }
        }
    }
    Ok(())
}
