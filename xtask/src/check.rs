use crate::command::{Outcome, cargo, run, stage};
use crate::repo::Repo;
use crate::{dependencies, rules};

type Part = (&'static str, fn(&Repo) -> Outcome);

/// The cheap parts first.
const PARTS: &[Part] = &[
    ("format", |repo| {
        run(cargo(repo).args(["fmt", "--all", "--check"]))?;
        for apart in ["xtask/fuzz/Cargo.toml", "benches/peers/Cargo.toml"] {
            run(cargo(repo).args(["fmt", "--manifest-path", apart, "--check"]))?;
        }
        Ok(())
    }),
    ("rules", rules::check),
    ("dependencies", dependencies::check),
    ("clippy", |repo| {
        run(cargo(repo).args(["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))
    }),
    // A remote client alone must compile too: features are not only added.
    ("client", |repo| run(cargo(repo).args(["check", "-p", "sh0", "--no-default-features", "--features", "client"]))),
    ("docs", |repo| docs(repo, &[])),
];

/// Everything but the tests, or the named parts of it: `cargo xtask check rules format`.
pub(crate) fn check(repo: &Repo, args: &[String]) -> Outcome {
    let is_part = |arg: &String| PARTS.iter().any(|(name, _)| name == arg);
    if let Some(unknown) = args.iter().find(|arg| !is_part(arg)) {
        let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no part {unknown:?}; there are {}", names.join(", ")).into());
    }
    for (name, part) in PARTS {
        if args.is_empty() || args.iter().any(|arg| arg == name) {
            stage(name, || part(repo))?;
        }
    }
    Ok(())
}

/// The documentation of our crates; a broken link is an error.
pub(crate) fn docs(repo: &Repo, _: &[String]) -> Outcome {
    run(cargo(repo).env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps", "--all-features"]))?;
    println!("{}", repo.target().join("doc/sh0/index.html").display());
    Ok(())
}
