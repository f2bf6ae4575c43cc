//! Plans of nixpacks, timed in process: what the row `plan-speed` asks and reads, a line each.
//!
//! The only argument is a file with a folder a line. For each line on standard input, every folder is planned once, in
//! order, and one line says how long each took, in nanoseconds, with a letter behind: `s` for a plan that says how to
//! start, `p` for another one that builds something, `n` for none or an empty one.

use std::error::Error;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use nixpacks::generate_build_plan;
use nixpacks::nixpacks::plan::BuildPlan;
use nixpacks::nixpacks::plan::generator::GeneratePlanOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let list = std::env::args().nth(1).ok_or("say which folders: a file with one a line")?;
    let list = std::fs::read_to_string(list)?;
    let folders: Vec<&str> = list.lines().collect();
    let options = GeneratePlanOptions::default();
    for asked in std::io::stdin().lines() {
        asked?;
        let round = folders.iter().map(|folder| {
            let began = Instant::now();
            let plan = catch_unwind(AssertUnwindSafe(|| generate_build_plan(folder, Vec::new(), &options)));
            let took = began.elapsed().as_nanos();
            format!("{took}{}", plan.ok().and_then(Result::ok).map_or('n', |plan| letter(&plan)))
        });
        let line = round.collect::<Vec<_>>().join(" ");
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}

fn letter(plan: &BuildPlan) -> char {
    let starts = plan.start_phase.as_ref().is_some_and(|start| start.cmd.is_some());
    let builds = plan.phases.as_ref().is_some_and(|phases| !phases.is_empty());
    match (starts, builds) {
        (true, _) => 's',
        (false, true) => 'p',
        (false, false) => 'n',
    }
}
