//! The supervisor of one instance of the process runtime: everything is in the library.

fn main() -> std::process::ExitCode {
    sh0_services::runtime::process::shim::main(std::env::args_os().skip(1))
}
