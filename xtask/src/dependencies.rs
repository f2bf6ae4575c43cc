//! What we depend on: licences, sources, and the direction of the arrows between our rooms.

use serde_json::Value;

use crate::command::{Outcome, cargo, read};
use crate::repo::Repo;
use crate::spdx;

/// The only registry. What comes from elsewhere cannot be had again for sure.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The licence of libFuzzer (permissive), which only the fuzz targets carry.
const LIBFUZZER: &str = "NCSA";

/// Our crates, and those of ours that each may use in what it ships. Arrows only point down (docs/architecture.md).
const ROOMS: &[(&str, &[&str])] = &[
    ("sh0-core", &[]),
    ("sh0-store", &["sh0-core"]),
    ("sh0-docker", &["sh0-core"]),
    ("sh0-build", &["sh0-core"]),
    ("sh0-services", &["sh0-core"]),
    ("sh0", &["sh0-core", "sh0-store", "sh0-docker", "sh0-build", "sh0-services"]),
    ("sh0-server", &["sh0"]),
    ("sh0-cli", &["sh0", "sh0-server"]),
];

/// What a remote client must not carry.
const NOT_IN_CLIENT: &[&str] =
    &["rusqlite", "sh0-store", "sh0-docker", "sh0-build", "sh0-services", "sh0-core feature \"engine\""];

pub(crate) fn check(repo: &Repo) -> Outcome {
    let metadata = read(cargo(repo).args(["metadata", "--format-version", "1", "--all-features", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let mut wrong = licences(repo, packages, &[])?;
    wrong.extend(licences(repo, &of_fuzz(repo)?, &[LIBFUZZER])?);
    wrong.extend(packages.iter().flat_map(upward));
    wrong.extend(in_client(repo)?);
    if wrong.is_empty() {
        println!("{} packages: licences, sources and arrows are fine", packages.len());
        return Ok(());
    }
    Err(wrong.join("\n").into())
}

/// The packages of the fuzz targets, which are a workspace of their own.
fn of_fuzz(repo: &Repo) -> Outcome<Vec<Value>> {
    let manifest = ["--manifest-path", "xtask/fuzz/Cargo.toml"];
    let metadata = read(cargo(repo).args(["metadata", "--format-version", "1"]).args(manifest))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

/// `deny.toml` is what `cargo deny` reads, too.
fn licences(repo: &Repo, packages: &[Value], more: &[&str]) -> Outcome<Vec<String>> {
    let rules: toml::Table = std::fs::read_to_string(repo.root().join("deny.toml"))?.parse()?;
    let list = |table: &str, key: &str| rules.get(table)?.get(key)?.as_array().cloned();
    let allowed = list("licenses", "allow").ok_or("deny.toml has no licenses.allow")?;
    let allowed = allowed.iter().filter_map(toml::Value::as_str).chain(more.iter().copied());
    let allowed: Vec<String> = allowed.map(str::to_owned).collect();
    let banned = list("bans", "deny").ok_or("deny.toml has no bans.deny")?;
    let banned: Vec<&str> = banned.iter().filter_map(|entry| entry.get("crate")?.as_str()).collect();

    let mut wrong = Vec::new();
    for package in packages {
        let name = text(&package["name"]);
        let licence = text(&package["license"]);
        if !spdx::allows(licence, &allowed) {
            wrong.push(format!("{name}: licence {licence:?} is not in deny.toml"));
        }
        if banned.contains(&name) {
            wrong.push(format!("{name}: deny.toml bans it"));
        }
        if package["source"].as_str().is_some_and(|source| source != REGISTRY) {
            wrong.push(format!("{name}: comes from {}", package["source"]));
        }
    }
    Ok(wrong)
}

/// Dependencies of one of our rooms on a room that is not below it.
fn upward(package: &Value) -> Vec<String> {
    let name = text(&package["name"]);
    let Some((_, below)) = ROOMS.iter().find(|(room, _)| *room == name) else {
        return Vec::new();
    };
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shipped = dependencies.iter().filter(|dependency| dependency["kind"] != "dev").map(|d| text(&d["name"]));
    let ours = shipped.filter(|dependency| ROOMS.iter().any(|(room, _)| room == dependency));
    ours.filter(|dependency| !below.contains(dependency))
        .map(|dependency| format!("{name} depends on {dependency}: arrows only point down"))
        .collect()
}

fn in_client(repo: &Repo) -> Outcome<Vec<String>> {
    let shape = ["--edges", "normal,features", "--prefix", "none", "--format", "{p}"];
    let tree =
        read(cargo(repo).args(["tree", "-p", "sh0", "--no-default-features", "--features", "client"]).args(shape))?;
    let found = NOT_IN_CLIENT.iter().filter(|part| tree.lines().any(|line| line.starts_with(*part)));
    Ok(found.map(|part| format!("the client-only build of `sh0` carries {part}")).collect())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
