//! What is proven: one module a row. Each answers a [`Report`].

pub mod apps;
pub mod cancel;
pub mod corpora;
pub mod crash;
pub mod images;
mod order;
pub mod reconcile;
mod sources;
pub mod speed;
pub mod zero_downtime;

use std::process::ExitCode;

use crate::Outcome;
use crate::report::Report;

/// Runs a row as a program: the report on standard output, and failure when it does not hold.
#[allow(clippy::print_stdout, clippy::print_stderr)]
pub fn main(row: impl Future<Output = Outcome<Report>>) -> ExitCode {
    let ended = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(row));
    match ended {
        Ok(report) => {
            println!("{}", report.text());
            if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("The proof could not be carried out: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says on standard error how far a row is.
#[allow(clippy::print_stderr)]
pub fn progress(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// A number behind an option of the command line, such as `--runs 5`.
pub fn number(name: &str, otherwise: u64) -> u64 {
    let args: Vec<String> = std::env::args().collect();
    let given = args.iter().position(|arg| arg == name).and_then(|place| args.get(place + 1));
    given.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A word behind an option of the command line.
pub fn word(name: &str) -> Option<String> {
    let args: Vec<String> = std::env::args().collect();
    args.iter().position(|arg| arg == name).and_then(|place| args.get(place + 1)).cloned()
}
