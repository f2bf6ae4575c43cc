//! Debian packages that the tests need and a plain machine may lack.

use std::process::Command;

use crate::command::{Outcome, find, run, succeeds};

/// What is needed, how to see that it is there, and the packages that bring it.
pub(crate) struct Need {
    what: &'static str,
    there: fn() -> bool,
    packages: &'static [&'static str],
}

/// Everything that `cargo xtask test` uses beside Rust itself.
pub(crate) const FOR_TESTS: &[Need] = &[
    Need { what: "git", there: || find("git").is_some(), packages: &["git"] },
    Need { what: "curl", there: || find("curl").is_some(), packages: &["curl", "ca-certificates"] },
    Need {
        what: "a C compiler (SQLite is built from source)",
        there: || find("cc").is_some(),
        packages: &["gcc", "libc6-dev"],
    },
    Need { what: "Docker Engine", there: || find("dockerd").is_some(), packages: &["docker.io", "iptables"] },
    Need { what: "debootstrap", there: || find("debootstrap").is_some(), packages: &["debootstrap"] },
    Need { what: "network namespaces (ip)", there: || find("ip").is_some(), packages: &["iproute2"] },
    Need { what: "Python with venv", there: python, packages: &["python3", "python3-venv"] },
    Need {
        what: "Node.js with npm",
        there: || find("node").is_some() && find("npm").is_some(),
        packages: &["nodejs", "npm"],
    },
];

/// What `cargo xtask fuzz` uses beside Rust itself.
pub(crate) const FOR_FUZZ: &[Need] =
    &[Need { what: "a C++ compiler (libFuzzer)", there: || find("c++").is_some(), packages: &["g++"] }];

fn python() -> bool {
    succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]))
}

/// Installs what is missing. Says so and fails when it is not root, or where there is no `apt-get`.
pub(crate) fn install(needs: &[Need]) -> Outcome {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.there)()).collect();
    if missing.is_empty() {
        eprintln!("packages: all there");
        return Ok(());
    }
    let what: Vec<&str> = missing.iter().map(|need| need.what).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    eprintln!("packages: missing {}", what.join(", "));
    if !is_root() || find("apt-get").is_none() {
        return Err(format!("install these (Debian's names), then try again: {}", packages.join(" ")).into());
    }
    run(apt().arg("update"))?;
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet=2").stdout(std::io::stderr());
    apt
}
