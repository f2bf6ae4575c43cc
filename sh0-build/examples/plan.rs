//! Prints the plan of a folder as JSON, or with `--dockerfile` the Dockerfile that it would be built by, for base images
//! from `--mirror=PREFIX` and for `--buildkit`.
//!
//! ```sh
//! cargo run -p sh0-build --example plan -- examples/apps/hello-node --dockerfile
//! ```

#![allow(clippy::print_stdout)]

use sh0_build::{DirTree, Options, plan_tree};
use sh0_core::model::{AppSettings, ImagePlan};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().map(String::as_str).unwrap_or(".");
    let mirror = arguments.iter().find_map(|argument| argument.strip_prefix("--mirror=")).map(str::to_owned);
    let options = Options { mirror, buildkit: arguments.iter().any(|a| a == "--buildkit"), ..Options::default() };
    let plan = plan_tree(&DirTree::open(folder.as_ref())?, &AppSettings::default(), &options)?;
    match &plan.image {
        ImagePlan::Generated { dockerfile, .. } if arguments.iter().any(|a| a == "--dockerfile") => {
            print!("{dockerfile}")
        }
        _ => println!("{}", serde_json::to_string_pretty(&plan)?),
    }
    Ok(())
}
