//! For binaries that are all of sh0 in one file: the proxy as a process of its own, and what an image needs so that this
//! very program runs in it. [`shim`](crate::shim) is the other such role. Call them before anything else: before a
//! runtime, a thread, a parser.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use sh0_core::{Error, Result};
use sh0_services::proxy::edge::{self, EdgeOptions};

/// The proxy as a process of its own, until it is told to stop: `--socket PATH --state FILE`.
pub fn edge(args: impl IntoIterator<Item = OsString>) -> Result<()> {
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
pub fn program_and_libraries() -> Result<Vec<PathBuf>> {
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
