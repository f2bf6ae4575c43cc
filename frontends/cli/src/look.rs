//! `sh0 plan`, `sh0 check` and `sh0 schema`: what sh0 makes of a folder of this machine. They need no server.

use std::path::PathBuf;

use clap::Subcommand;
use sh0::{Result, model, text, trees};

use crate::exit::FOUND;
use crate::run::Voice;

#[derive(Debug, Subcommand)]
pub(crate) enum Look {
    /// Show how a folder would be built and started, and why
    Plan {
        /// The folder
        #[arg(default_value = ".")]
        path: PathBuf,
        /// The folder of the app in it, such as a member of a workspace
        #[arg(long, value_name = "DIR")]
        root: Option<model::RelPath>,
        /// Print the Dockerfile that sh0 writes for it
        #[arg(long)]
        dockerfile: bool,
    },
    /// Find in a folder what will hurt in production
    Check {
        /// The folder
        #[arg(default_value = ".")]
        path: PathBuf,
        /// The folder of the app in it
        #[arg(long, value_name = "DIR")]
        root: Option<model::RelPath>,
        /// Print SARIF 2.1.0, for code hosts
        #[arg(long)]
        sarif: bool,
        /// End with exit code 9 on a finding as grave as this: info, low, medium, high or critical
        #[arg(long, value_name = "LEVEL")]
        fail_on: Option<model::Severity>,
    },
    /// Print a JSON Schema, for editors and validators
    Schema {
        /// Of what: plan, or sh0.toml
        #[arg(default_value = "plan")]
        of: String,
    },
}

pub(crate) fn run(voice: Voice, look: Look) -> Result<u8> {
    let mut found = 0;
    match look {
        Look::Plan { path, root, dockerfile: true } => voice.data(trees::dockerfile(&trees::plan(&path, root)?)?),
        Look::Plan { path, root, .. } => voice.show(&trees::plan(&path, root)?, text::plan),
        Look::Check { path, root, sarif, fail_on } => {
            let report = trees::check(&path, root)?;
            found = fail_on.filter(|level| report.fails_on(*level)).map_or(0, |_| FOUND);
            if sarif { voice.document(&trees::sarif(&report)) } else { voice.show(&report, text::report) }
        }
        Look::Schema { of } => voice.data(&format!("{:#}\n", trees::schema(&of)?)),
    }
    Ok(found)
}
