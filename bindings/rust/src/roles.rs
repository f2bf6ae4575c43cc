//! For binaries that are all of sh0 in one file: the small programs of the data plane, and what an image needs so that
//! this very program runs in it.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn main() -> sh0::Result<ExitCode> {
//!     let args: Vec<_> = std::env::args_os().collect();
//!     // Before anything else: before a runtime, a thread, a parser.
//!     if let Some(ended) = sh0::roles::enter(&args) {
//!         return ended;
//!     }
//!     // ... and the rest, with `Config::own_program`
//!     Ok(ExitCode::SUCCESS)
//! }
//! ```

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sh0_core::{Error, Result};
use sh0_services::proxy::edge::{self, EdgeOptions};
use sh0_services::runtime::process::shim;

use crate::{Config, Edge, Program};

/// The role's work, when the arguments (the program's name first) name one: the supervisor of an instance (`__shim`), the
/// proxy as a process of its own (`edge`), or, under the name `sh0-static`, the server of static files in images.
pub fn enter(args: &[OsString]) -> Option<Result<ExitCode>> {
    let [program, rest @ ..] = args else { return None };
    let name = Path::new(program).file_name().and_then(|name| name.to_str());
    match (name, rest.first().and_then(|first| first.to_str())) {
        (Some("sh0-static"), _) => Some(Ok(shim::main(rest.to_vec()))),
        (_, Some("__shim")) => Some(Ok(shim::main(rest[1..].to_vec()))),
        (_, Some("edge")) => Some(edge(rest[1..].iter().cloned()).map(|()| ExitCode::SUCCESS)),
        _ => None,
    }
}

impl Config {
    /// This very program plays the roles: shim, server of static files and, with `child`, the proxy in a process of its
    /// own. Its `main` calls [`enter`].
    pub fn own_program(self, child: bool) -> Result<Config> {
        let program = Program::new(std::env::current_exe()?);
        let edge = if child { Edge::Child(program.clone().arg("edge")) } else { Edge::InProcess };
        Ok(self.shim(program.arg("__shim")).edge(edge).static_server(program_and_libraries()?))
    }
}

/// The proxy as a process of its own, until it is told to stop: `--socket PATH --state FILE`.
fn edge(args: impl IntoIterator<Item = OsString>) -> Result<()> {
    let mut args = args.into_iter();
    let (mut socket, mut state) = (None, None);
    while let (Some(name), value) = (args.next(), args.next().map(PathBuf::from)) {
        match name.to_str() {
            Some("--socket") => socket = value,
            Some("--state") => state = value,
            _ => return Err(Error::invalid("arguments", format!("{name:?} is not known"), "use --socket and --state")),
        }
    }
    let (Some(socket), Some(state)) = (socket, state) else {
        return Err(Error::invalid("arguments", "are missing", "use --socket PATH --state FILE"));
    };
    // One thread: less CPU time for each request than a pool of one, and less memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(edge::run(EdgeOptions::new(socket, state)))
}

/// The running program and the shared libraries that it has loaded: what an image needs so that the program runs in it.
fn program_and_libraries() -> Result<Vec<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mapped =
        maps.lines().filter_map(|line| line.split_once('/').map(|(_, path)| PathBuf::from(format!("/{path}"))));
    let is_library = |path: &PathBuf| path.to_string_lossy().contains(".so");
    let mut libraries: BTreeSet<PathBuf> = mapped.filter(is_library).collect();
    // The loader is mapped from where its link leads; programs name the link (System V ABI supplements).
    let loaders = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
    if !libraries.is_empty() {
        libraries.extend(loaders.map(PathBuf::from).into_iter().filter(|loader| loader.exists()));
    }
    Ok(std::iter::once(std::env::current_exe()?).chain(libraries).collect())
}
