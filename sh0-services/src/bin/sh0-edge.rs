//! The edge alone, without the rest of sh0: `sh0-edge --socket PATH --state FILE`. The same as `sh0 edge`.

use std::path::PathBuf;

use sh0_core::{Error, Result};
use sh0_services::proxy::edge::{EdgeOptions, run};

fn main() -> Result<()> {
    let options = options(std::env::args().skip(1))?;
    // One thread: a fifth less CPU time for each request than a pool of one (measured), and less memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(options))
}

fn options(mut args: impl Iterator<Item = String>) -> Result<EdgeOptions> {
    let (mut socket, mut state) = (None, None);
    while let Some(name) = args.next() {
        let value = args.next().map(PathBuf::from);
        match name.as_str() {
            "--socket" => socket = value,
            "--state" => state = value,
            other => return Err(usage(&format!("there is no option `{other}`"))),
        }
    }
    match (socket, state) {
        (Some(socket), Some(state)) => Ok(EdgeOptions::new(socket, state)),
        _ => Err(usage("both options are needed")),
    }
}

fn usage(reason: &str) -> Error {
    Error::invalid("arguments", reason, "use --socket PATH --state FILE")
}
