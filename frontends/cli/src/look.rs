//! `sh0 plan`, `sh0 check` and `sh0 schema`: what sh0 makes of a folder of this machine. They need no server. And
//! `sh0 export`, of a folder or of an app.

use std::path::PathBuf;

use clap::Subcommand;
use sh0::model::{ExportTarget, FailOn, RelPath};
use sh0::{Result, export, text, trees};

use crate::exit::FOUND;
use crate::place::Place;
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
        root: Option<RelPath>,
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
        root: Option<RelPath>,
        /// Print SARIF 2.1.0, for code hosts
        #[arg(long)]
        sarif: bool,
        /// End with exit code 9 on a finding as grave as this: info, low, medium, high, critical or never [default: as
        /// sh0.toml says, else never]
        #[arg(long, value_name = "LEVEL")]
        fail_on: Option<FailOn>,
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
            let level = fail_on.or(report.fail_on).unwrap_or_default();
            found = if report.fails_on(level) { FOUND } else { 0 };
            if sarif { voice.document(&trees::sarif(&report)) } else { voice.show(&report, text::report) }
        }
        Look::Schema { of } => voice.data(&format!("{:#}\n", trees::schema(&of)?)),
    }
    Ok(found)
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// An app, as it serves; or a folder, which needs no server: what begins with `.` or `/`, or has the name of no app
    #[arg(value_name = "APP|PATH")]
    what: String,
    /// The folder of the app in PATH, such as a member of a workspace
    #[arg(long, value_name = "DIR")]
    root: Option<RelPath>,
    /// The platform: compose, kubernetes, ecs, cloudrun, vercel, railway or render
    #[arg(long, value_name = "PLATFORM")]
    to: ExportTarget,
    /// Write the files to this folder, or to a file such as shop.yaml [default: print the platform's own]
    #[arg(short, long, value_name = "DIR|FILE")]
    output: Option<PathBuf>,
    /// Overwrite files that are there
    #[arg(long, requires = "output")]
    force: bool,
}

/// `sh0 export`.
pub(crate) async fn export(voice: Voice, place: &Place, asked: Export) -> Result<u8> {
    let export = trees::export_named(async || place.running().await, &asked.what, asked.root, asked.to).await?;
    if let Some(to) = &asked.output {
        export::write(&export, to, asked.force)?.iter().for_each(|path| voice.say(format!("wrote {}", path.display())));
    }
    if asked.output.is_none() || voice.json {
        voice.show(&export, text::export);
    }
    text::export_notes(&export).iter().for_each(|note| voice.say(note));
    Ok(0)
}
