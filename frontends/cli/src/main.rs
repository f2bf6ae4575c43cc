//! The binary `sh0`; everything is in the library.

fn main() -> std::process::ExitCode {
    sh0_cli::main()
}
