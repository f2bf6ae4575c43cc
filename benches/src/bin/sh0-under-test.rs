//! The program `sh0` under another name: tests of this package can name it, and cargo keeps it up to date for them.

fn main() -> std::process::ExitCode {
    sh0_cli::main()
}
