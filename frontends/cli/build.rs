//! How the program `sh0` is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let cargo = |name: &str| std::env::var(name).unwrap_or_default();
    let linux = cargo("CARGO_CFG_TARGET_OS") == "linux" && cargo("CARGO_CFG_TARGET_ENV") == "gnu";
    if linux && !cargo("CARGO_CFG_TARGET_FEATURE").contains("crt-static") {
        // At a fixed address, as Go programs are: the loader writes no addresses into some hundred pages of vtables, which
        // every shim would then have to itself. That is more than half of a shim's memory, and a part of its start.
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
