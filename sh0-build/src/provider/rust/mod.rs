//! Rust: one binary, built by Cargo.

use std::collections::BTreeSet;

use sh0_core::Result;
use sh0_core::model::OWN_PORT;

use super::Provider;
use crate::command;
use crate::dockerignore::run_time_entries;
use crate::draft::{Draft, refuse, start_within};
use crate::images;
use crate::recipe::{Program, StandIn};
use crate::root::within;
use crate::text::{At, Toml, find_line, line_at};
use crate::tree::{Files, Kind};

pub(crate) struct Rust;

impl Provider for Rust {
    fn language(&self) -> &'static str {
        "rust"
    }

    fn looks_for(&self) -> &'static str {
        "Rust: Cargo.toml"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.is_file("Cargo.toml")
    }

    fn has_member(&self, files: Files<'_>, folder: &str) -> bool {
        let Some(Ok(manifest)) = Toml::read(files, "Cargo.toml") else { return false };
        members(files, &manifest).iter().any(|member| member == folder)
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let manifest = match Toml::read(files, "Cargo.toml") {
            Some(Ok(manifest)) => manifest,
            Some(Err(error)) => return refuse(error),
            None => return refuse("Cargo.toml cannot be read"),
        };
        let mut draft = Draft::default();
        draft.plan.language = "rust".into();
        draft.plan.package_manager = Some("cargo".into());
        draft.because_of("language = rust", "Cargo.toml is the manifest of a Rust package", At::file("Cargo.toml"));
        let version = toolchain(files, &manifest, &mut draft);
        draft.tool("cargo", "Rust (Debian: apt-get install cargo, or a newer one from rustup.rs)");
        draft.tool("cc", "a C compiler, which Rust links with (Debian: apt-get install gcc libc6-dev)");
        framework(&manifest, &mut draft);
        build(files, &manifest, version, &mut draft);
        Ok(draft)
    }
}

/// Any release builds what an older one builds; a toolchain file is obeyed by rustup, inside the image too. Answers the
/// line of the image.
fn toolchain(files: Files<'_>, manifest: &Toml, draft: &mut Draft) -> String {
    let version = images::RUST.default;
    if let Some(file) = files.first(&["rust-toolchain.toml", "rust-toolchain"]) {
        let text = files.text(file).unwrap_or_default();
        let channel = find_line(&text, |line| line.trim_start().starts_with("channel"))
            .and_then(|(line, found)| Some((line, found.split(['"', '\'']).nth(1)?)))
            .or_else(|| find_line(&text, |line| !line.trim().is_empty()).filter(|(_, line)| !line.starts_with('[')));
        match channel {
            Some((line, channel)) => {
                let channel = channel.trim();
                draft.because_of(
                    format!("version = {channel}"),
                    "rustup reads the file and fetches this toolchain",
                    At::line(file, line),
                );
                draft.plan.version = Some(channel.to_owned());
            }
            None => draft.plan.version = Some(version.to_owned()),
        }
        return version.to_owned();
    }
    if let Some(pin) = crate::draft::tool_versions(files, &["rust"]) {
        return draft.version(&images::RUST, vec![pin]);
    }
    draft.plan.version = Some(version.to_owned());
    draft.because(format!("version = {version}"), "builds whatever an older release builds");
    if let Some(minimum) = manifest.str(&["package", "rust-version"]) {
        draft.because_of(
            format!("version >= {minimum}"),
            "rust-version asks for it",
            manifest.at(&["package", "rust-version"]),
        );
    }
    version.to_owned()
}

fn framework(manifest: &Toml, draft: &mut Draft) {
    for (name, package) in [
        ("rocket", "rocket"),
        ("axum", "axum"),
        ("actix-web", "actix-web"),
        ("warp", "warp"),
        ("poem", "poem"),
        ("salvo", "salvo"),
        ("tide", "tide"),
        ("loco", "loco-rs"),
        ("leptos", "leptos"),
        ("dropshot", "dropshot"),
        ("gotham", "gotham"),
        ("tonic", "tonic"),
    ] {
        let path = ["dependencies", package];
        if manifest.get(&path).is_some() {
            draft.plan.framework = Some(name.to_owned());
            draft.because_of(format!("framework = {name}"), "it is among the dependencies", manifest.at(&path));
            if name == "rocket" {
                // Rocket reads variables of its own (rocket.rs/guide, Configuration).
                draft.env("ROCKET_ADDRESS", "0.0.0.0");
                draft.env("ROCKET_PORT", OWN_PORT);
            }
            return;
        }
    }
}

fn build(files: Files<'_>, manifest: &Toml, version: String, draft: &mut Draft) {
    let locked = if files.is_file("Cargo.lock") {
        draft.because_of("install = cargo fetch --locked", "installs exactly what is locked", At::file("Cargo.lock"));
        " --locked"
    } else {
        draft.warn("there is no Cargo.lock: two builds may take different versions; commit it");
        ""
    };
    draft.plan.install.push(format!("cargo fetch{locked}"));
    let Some(binary) = Binary::find(files, manifest, draft) else { return };
    let command = format!("cargo build --release{locked}{}", binary.flags);
    draft.because_of(format!("build = {command}"), format!("makes the binary `{}`", binary.name), binary.at.clone());
    // Out of `target`, which may be kept between builds and is large. One command: nobody else's build comes between.
    // A member of a workspace that was picked has it in its own folder, where what it says runs.
    let member = binary.picked.as_deref();
    let folder =
        if files.0.kind(&within(member, "bin")).is_none_or(|kind| kind == Kind::Folder) { "bin" } else { "out" };
    let inside = format!("{folder}/{}", binary.name);
    let shipped = within(member, &inside);
    let made = within(member, folder);
    let command = format!("{command} && mkdir -p {made} && cp target/release/{} {shipped}", binary.name);
    stand_in(&binary.name, &inside, true, draft);
    for (name, flags) in binary.others {
        let path = format!("{folder}/{name}");
        let Ok(ship) = within(member, &path).parse() else { continue };
        stand_in(&name, &path, false, draft);
        draft.recipe.programs.push(Program {
            build: format!("cargo build --release{locked}{flags} && cp target/release/{name} {ship}"),
            follows: command.clone(),
            path,
            name: None,
            ship,
        });
    }
    draft.plan.build.push(command);
    draft.start(start_within(member, &inside), "the binary that the build makes", Some(binary.at));
    let top = shipped.split('/').next().filter(|_| member.is_some());
    recipe(files, manifest, draft, top.unwrap_or(&shipped));
    draft.recipe.build = Some((&images::RUST, version));
    draft.recipe.unshipped = Some("target/release/");
}

/// What starts a binary where Cargo is.
fn stand_in(name: &str, runs: &str, main: bool, draft: &mut Draft) {
    let mut of = |says: String, arguments, why| {
        let runs = format!("./{runs}");
        draft.recipe.stand_ins.push(StandIn { says, runs, arguments: Some(arguments), why });
    };
    of(format!("target/release/{name}"), " ", "which stays in the build");
    let flags = [format!(" --release --bin {name}"), format!(" --bin {name} --release"), format!(" --bin {name}")];
    let alone = ["", " --release"].into_iter().filter(|_| main).map(str::to_owned);
    for flags in flags.into_iter().chain(alone) {
        of(format!("cargo run{flags}"), " -- ", "which would build it anew");
    }
}

fn recipe(files: Files<'_>, manifest: &Toml, draft: &mut Draft, target: &str) {
    let single = members(files, manifest).is_empty() && files.is_file("src/main.rs") && !files.is_file("src/lib.rs");
    let custom = ["bin", "lib", "bench", "example", "test"].iter().any(|section| manifest.get(&[section]).is_some())
        || manifest.get(&["package", "default-run"]).is_some()
        || manifest.text.contains("path =")
        || manifest.text.contains("path=");
    let recipe = &mut draft.recipe;
    recipe.manifests = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "rust-toolchain"]
        .into_iter()
        .filter(|file| files.is_file(file))
        .map(str::to_owned)
        .collect();
    // Cargo wants to see a target before it fetches.
    recipe.install_needs_source = !single || custom;
    if !recipe.install_needs_source {
        recipe.before_install.push("mkdir -p src && touch src/main.rs".into());
    }
    recipe.caches.extend([("cargo-registry", "/usr/local/cargo/registry"), ("cargo-git", "/usr/local/cargo/git/db")]);
    // What was built of dependencies stays; Cargo judges sources by their times, and those of another app or of an older
    // release must not pass for built.
    recipe.caches.push(("cargo-target", "/app/target"));
    recipe.before_build.push("find . -path ./target -prune -o -type f -exec touch {} +");
    recipe.ignore.push("target".into());
    recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
    let source = |name: &str| {
        matches!(
            name,
            "src"
                | "tests"
                | "benches"
                | "examples"
                | "crates"
                | "target"
                | "Cargo.toml"
                | "Cargo.lock"
                | "build.rs"
                | "rustfmt.toml"
                | "clippy.toml"
                | "deny.toml"
                | "rust-toolchain"
                | "rust-toolchain.toml"
        ) || files.is_file(&format!("{name}/Cargo.toml"))
    };
    recipe.ship = run_time_entries(files, target, source);
    system_packages(files, draft);
}

/// What crates link with or call. The image that builds has the headers of the common libraries.
fn system_packages(files: Files<'_>, draft: &mut Draft) {
    // The crate, what the build needs, what the program loads, and the dependency with which it brings that itself.
    const NATIVE: &[(&str, &[&str], &[&str], &str)] = &[
        ("openssl-sys", &[], &["libssl3"], "openssl-src"),
        ("pq-sys", &[], &["libpq5"], "pq-src"),
        ("libsqlite3-sys", &[], &["libsqlite3-0"], "cc"),
        ("mysqlclient-sys", &[], &["libmariadb3"], "mysqlclient-src"),
        ("curl-sys", &[], &["libcurl4"], ""),
        ("alsa-sys", &["libasound2-dev"], &["libasound2"], ""),
        ("librocksdb-sys", &["libclang-dev"], &[], ""),
        ("prost-build", &["protobuf-compiler", "libprotobuf-dev"], &[], ""),
    ];
    let lock = files.text("Cargo.lock").unwrap_or_default();
    // Either brings the compiler along.
    let own_protoc = ["protoc-bin-vendored", "protobuf-src"].iter().any(|name| package(&lock, name).is_some());
    for (name, build, run, brought) in NATIVE {
        let Some((line, entry)) = package(&lock, name) else { continue };
        let own = !brought.is_empty() && entry.contains(&format!(" \"{brought}\""));
        if own || *name == "prost-build" && own_protoc {
            continue;
        }
        let names = [*build, *run].concat().join(" ");
        draft.because_of(format!("packages += {names}"), format!("{name} needs it"), At::line("Cargo.lock", line));
        draft.recipe.build_packages.extend(*build);
        draft.recipe.packages.extend(*run);
    }
}

/// The entry of a crate in the lockfile, and its line.
fn package<'l>(lock: &'l str, name: &str) -> Option<(u32, &'l str)> {
    let start = lock.find(&format!("\nname = \"{name}\"\n"))? + 1;
    let entry = &lock[start..];
    Some((line_at(lock, start), entry.split("\n[[").next().unwrap_or(entry)))
}

/// The program that is shipped.
struct Binary {
    name: String,
    flags: String,
    at: At,
    /// The folder of the member that it comes from, where that one was picked.
    picked: Option<String>,
    /// The other programs of the tree, with the flags that choose them.
    others: Vec<(String, String)>,
}

impl Binary {
    fn find(files: Files<'_>, manifest: &Toml, draft: &mut Draft) -> Option<Binary> {
        let mut members = members(files, manifest);
        let picked = files.0.picked().map(str::to_owned).filter(|folder| members.contains(folder));
        let told = files.text(&within(picked.as_deref(), "Procfile")).unwrap_or_default();
        let mut found: Vec<Binary> = Vec::new();
        match &picked {
            Some(folder) => members = vec![folder.clone()],
            None => found.extend(Self::of_package(files, manifest, "", &told, draft)),
        }
        let at_root = !found.is_empty();
        for member in &members {
            let Some(Ok(package)) = Toml::read(files, &format!("{member}/Cargo.toml")) else { continue };
            // A root that is a program is the app, whatever its members are.
            let mut unheard = Draft::default();
            let heard = if at_root { &mut unheard } else { &mut *draft };
            if let Some(mut binary) = Self::of_package(files, &package, &format!("{member}/"), &told, heard) {
                let name = package.str(&["package", "name"]).unwrap_or_default();
                binary.picked = picked.clone();
                binary.flags = format!(" --package {name}{}", binary.flags);
                binary.others.iter_mut().for_each(|(_, flags)| flags.insert_str(0, &format!(" --package {name}")));
                if found.is_empty() && draft.plan.framework.is_none() {
                    framework(&package, draft);
                }
                found.push(binary);
            }
        }
        let first = found.iter().position(|binary| is_started(&told, &binary.name)).filter(|_| !at_root);
        if found.len() > 1 && !at_root && first.is_none() {
            let names: Vec<&str> = found.iter().map(|binary| binary.name.as_str()).collect();
            draft.warn(format!(
                "the workspace has several programs ({}); `{}` is taken: set root in sh0.toml to the folder of another",
                names.join(", "),
                names[0]
            ));
        }
        found.rotate_left(first.unwrap_or_default());
        let mut found = found.into_iter();
        let mut binary = found.next()?;
        for other in found {
            binary.others.push((other.name, other.flags));
            binary.others.extend(other.others);
        }
        Some(binary)
    }

    /// `told` is the Procfile, which may say which of several it is.
    fn of_package(files: Files<'_>, manifest: &Toml, prefix: &str, told: &str, draft: &mut Draft) -> Option<Binary> {
        let package = manifest.str(&["package", "name"]).filter(|name| is_crate_name(name))?;
        let mut names: BTreeSet<String> = BTreeSet::new();
        if files.is_file(&format!("{prefix}src/main.rs")) {
            names.insert(package.to_owned());
        }
        let table = manifest.get(&["bin"]).and_then(|bins| bins.as_array());
        let named: Vec<String> =
            table.into_iter().flatten().filter_map(|bin| bin.get("name")?.as_str()).map(str::to_owned).collect();
        // A table entry for src/main.rs renames it.
        if table
            .into_iter()
            .flatten()
            .any(|bin| bin.get("path").is_none_or(|path| path.as_str() == Some("src/main.rs")))
            && !named.is_empty()
        {
            names.remove(package);
        }
        names.extend(named);
        for entry in files.names(&format!("{prefix}src/bin")) {
            names.insert(entry.trim_end_matches(".rs").to_owned());
        }
        names.retain(|name| is_crate_name(name));
        let by_default = manifest.str(&["package", "default-run"]).filter(|name| names.contains(*name));
        let started = names.iter().find(|name| is_started(told, name)).filter(|_| names.len() > 1);
        let (name, at) = match (started, by_default) {
            (Some(name), _) => (name.clone(), At::file("Procfile")),
            (None, Some(name)) => (name.to_owned(), manifest.at(&["package", "default-run"])),
            (None, None) if names.contains(package) => (package.to_owned(), manifest.at(&["package", "name"])),
            (None, None) => (names.first()?.clone(), At::file(manifest.file.as_str())),
        };
        if names.len() > 1 && by_default.is_none() && started.is_none() {
            let all: Vec<&str> = names.iter().map(String::as_str).collect();
            draft.warn(format!(
                "{} has several programs ({}); `{name}` is taken: set default-run for another",
                manifest.file,
                all.join(", ")
            ));
        }
        let flags = if names.len() > 1 { format!(" --bin {name}") } else { String::new() };
        let others = names.iter().filter(|other| **other != name);
        let others = others.map(|other| (other.clone(), format!(" --bin {other}"))).collect();
        Some(Binary { name, flags, at, picked: None, others })
    }
}

/// Whether `web` of a Procfile starts this binary.
fn is_started(procfile: &str, name: &str) -> bool {
    procfile.lines().filter_map(|line| line.trim().strip_prefix("web:")).any(|command| {
        let ran = command.contains("cargo run ") && format!("{command} ").contains(&format!(" --bin {name} "));
        ran || command::names_path(command, &format!("target/release/{name}"))
    })
}

fn is_crate_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        && !name.starts_with('-')
}

/// The folders of a workspace.
fn members(files: Files<'_>, manifest: &Toml) -> Vec<String> {
    let list = |key: &str| {
        let listed = manifest.get(&["workspace", key]).and_then(|list| list.as_array());
        listed.into_iter().flatten().filter_map(|item| item.as_str()).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut patterns = list("members");
    patterns.extend(list("exclude").into_iter().map(|folder| format!("!{folder}")));
    crate::provider::members(files, &patterns, "Cargo.toml")
}
