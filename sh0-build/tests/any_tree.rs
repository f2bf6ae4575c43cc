//! No tree makes the planner fail in any way but an error: random trees, and the oddest things a disk can hold.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use sh0_build::{DirTree, Kind, MAX_FILE_BYTES, MemoryTree, Options, Tree, plan_tree};
use sh0_core::model::AppSettings;

/// Names that some provider looks at.
const NAMES: &[&str] = &[
    "nx.json",
    "turbo.json",
    "apps/a/package.json",
    "apps/a/project.json",
    "apps/b/package.json",
    "pnpm-workspace.yaml",
    "package.json5",
    "nixpacks.toml",
    "railpack.json",
    "app.json",
    "mise.toml",
    "go.work",
    "environment.yml",
    "config.toml",
    "start.sh",
    "package.json",
    "package-lock.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    ".nvmrc",
    "angular.json",
    "next.config.js",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "uv.lock",
    "manage.py",
    "main.py",
    "app/__init__.py",
    "shop/wsgi.py",
    "shop/settings.py",
    "runtime.txt",
    ".python-version",
    ".tool-versions",
    "go.mod",
    "go.sum",
    "main.go",
    "cmd/a/main.go",
    "Cargo.toml",
    "Cargo.lock",
    "src/main.rs",
    "src/bin/x.rs",
    "crates/a/Cargo.toml",
    "index.html",
    "public/index.html",
    "Staticfile",
    "Procfile",
    "Dockerfile",
    ".dockerignore",
    "sh0.toml",
    "composer.json",
    "composer.lock",
    "index.php",
    "artisan",
    "Gemfile",
    "Gemfile.lock",
    "gems.rb",
    ".ruby-version",
    "config.ru",
    "Rakefile",
    "bin/rails",
    "pom.xml",
    "web/pom.xml",
    "pom.yml",
    "build.gradle",
    "settings.gradle",
    "app/build.gradle.kts",
    "gradlew",
    "gradle/wrapper/gradle-wrapper.properties",
    "build.sbt",
    "project/plugins.sbt",
    "Main.java",
    "META-INF/MANIFEST.MF",
    "compose.yaml",
    "docker-compose.yml",
    "deno.jsonc",
    "main.ts",
    "shop.csproj",
    "src/a/b.fsproj",
    "global.json",
    "a.runtimeconfig.json",
    "mix.exs",
    "gleam.toml",
    "pubspec.yaml",
    "Package.swift",
    "shard.yml",
    "build.zig",
    "project.clj",
    "deps.edn",
    "package.yaml",
    "CMakeLists.txt",
    "meson.build",
    "index.cbl",
    "server.js",
    "src",
    "out",
    "ünï/çode",
    "a b",
    "-x",
    ".",
    "..",
    "a//b",
];

/// Pieces of what those files say.
const PIECES: &[&str] = &[
    "{\"workspaces\":[\"apps/*\",\"**\",\"!x\"],\"nx\":{}}",
    "packages:\n  - apps/*\n  - '**'\n",
    "{\"projectType\":\"application\",\"targets\":{\"build\":{\"executor\":\"@nx/next:build\"}}}",
    "root = \"apps/a\"\n",
    "package_manager = \"pnpm\"\n",
    "packages = [\"a;b\"]\n",
    "[phases.build]\ncmds = ['...', 'x']\n",
    "{\"steps\":{\"a\":{\"commands\":[{}]}},\"packages\":{\"node\":1}}",
    "[tools]\nnode = ['1']\n",
    "use (\n./a\n../b\n)\n",
    "#!/usr/bin/env zsh\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "\\",
    ":",
    ",",
    "=",
    "\n",
    " ",
    "\0",
    "\u{feff}",
    "é",
    "$",
    "${",
    "`",
    "#",
    "[project]",
    "[package]",
    "name = \"a\"",
    "[[bin]]",
    "[workspace]",
    "members = [\"crates/*\"]",
    "dependencies = [\"flask\"]",
    "\"scripts\"",
    "\"start\"",
    "{\"scripts\":{\"start\":\"node a.js\",\"build\":\"x\"},\"dependencies\":{\"next\":\"1\"}}",
    "{\"projects\":{\"../x\":{}}}",
    "web: x",
    "release: y",
    "FROM a",
    "EXPOSE $A",
    "ENV A=1 B",
    "ARG",
    "flask\n",
    "fastapi\n",
    "django\n",
    "gunicorn\n",
    "app = Flask(",
    "module a",
    "go 1.22",
    "package main",
    "=> .",
    "start_command = \"x\"",
    "port = 99999",
    "port = 80",
    "static_dir = \"../..\"",
    "static_dir = \"a\"",
    "[env]\nA = \"\\u0000\"",
    "[processes]",
    "language = \"node\"",
    "version = \"20\"",
    "{\"require\":{\"php\":\"^8\",\"ext-gd\":\"*\",\"a/b\":\"1\"}}",
    "gem \"rails\"\n",
    "ruby \"3",
    "ruby file:",
    "    rack (2.1)\n",
    "RUBY VERSION\n",
    "PLATFORMS\n",
    "<project",
    "<!--",
    "-->",
    "<packaging>war</packaging>",
    "<module>web</module>",
    "<mainClass>",
    "</mainClass>",
    "${java.version}",
    "id \"application\"",
    "rootProject.name = \"",
    "include \"app\"",
    "/*",
    "*/",
    "//",
    "distributionUrl=gradle-8",
    "name := \"",
    "Main-Class: a.B",
    "static void main(",
    "services:\n  a:\n    build: .\n",
    "    ports: [80, {target: 1}]\n",
    "&a [*a]",
    "\"tasks\"",
    "Deno.serve({ port:",
    "<TargetFramework>net8.0",
    "Sdk=\"Microsoft.NET.Sdk.Web\"",
    "app: :é",
    "releases: [",
    "elixir: \"~>",
    ".executableTarget(",
    "name:",
    "addExecutable(",
    "add_executable(${PROJECT_NAME}",
    "executables:\n",
    "targets:\n",
    "root: ..",
    "pushstate: enabled",
    ".listen(99999999)",
    ".listen(3000)",
    "port=70000",
    "outDir: '../../x'",
    "18 || >=",
    "^",
    "~=",
    ">=3.11,",
    "lts/",
];

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => proptest::collection::vec(proptest::sample::select(PIECES), 0..12).prop_map(|pieces| pieces.concat().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => "\\PC{0,80}".prop_map(String::into_bytes),
    ]
}

fn files() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof![9 => proptest::sample::select(NAMES).prop_map(str::to_owned), 1 => "\\PC{1,12}"];
    proptest::collection::vec((name, content()), 0..10)
}

/// The same tree, whose folders list backwards and every name twice.
struct Backwards(MemoryTree);

impl Tree for Backwards {
    fn kind(&self, path: &str) -> Option<Kind> {
        self.0.kind(path)
    }
    fn names(&self, folder: &str) -> Vec<String> {
        let names = self.0.names(folder);
        names.iter().rev().chain(&names).cloned().collect()
    }
    fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        self.0.bytes(path, limit)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_give_a_plan_or_an_error_and_always_the_same(files in files()) {
        let mut tree = MemoryTree::default();
        for (path, content) in files {
            tree.insert(path, content);
        }
        let (settings, options) = (AppSettings::default(), Options::default());
        let plan = plan_tree(&tree, &settings, &options);
        let again = plan_tree(&Backwards(tree), &settings, &options);
        match (plan, again) {
            (Ok(plan), Ok(again)) => {
                prop_assert_eq!(serde_json::to_vec(&plan).unwrap(), serde_json::to_vec(&again).unwrap());
                prop_assert!(plan.static_dir.is_none_or(|dir| dir == "." || !dir.starts_with('/') && dir.split('/').all(|part| part != "..")));
                // What was printed is read back.
                let text = serde_json::to_string(&again).unwrap();
                prop_assert_eq!(serde_json::from_str::<sh0_core::model::Plan>(&text).unwrap(), again);
            }
            (Err(error), Err(again)) => prop_assert_eq!(error.detail(), again.detail()),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

fn plan(root: &Path) -> sh0_core::Result<sh0_core::model::Plan> {
    plan_tree(&DirTree::open(root).unwrap(), &AppSettings::default(), &Options::default())
}

#[test]
fn links_that_loop_or_lead_outside_are_not_there() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("package.json"), r#"{"main":"x.js"}"#).unwrap();
    std::fs::write(outside.path().join("x.js"), "").unwrap();
    let root = tempfile::tempdir().unwrap();
    symlink(outside.path().join("package.json"), root.path().join("package.json")).unwrap();
    symlink("public", root.path().join("public")).unwrap();
    symlink(".", root.path().join("cmd")).unwrap();
    symlink(outside.path(), root.path().join("dist")).unwrap();
    assert!(plan(root.path()).is_err());
    // A link that stays inside is followed.
    std::fs::write(root.path().join("page.html"), "x").unwrap();
    symlink("page.html", root.path().join("index.html")).unwrap();
    assert_eq!(plan(root.path()).unwrap().language, "static");
}

#[test]
fn pipes_and_names_that_are_not_text_are_not_there() {
    let root = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo").arg(root.path().join("package.json")).status().unwrap();
    assert!(made.success());
    std::fs::create_dir(root.path().join("Procfile")).unwrap();
    std::fs::write(root.path().join(OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
    let error = plan(root.path()).unwrap_err();
    assert_eq!(error.code(), sh0_core::Code::BuildFailed);
}

#[test]
fn huge_and_deep_trees_end() {
    let root = tempfile::tempdir().unwrap();
    // A sparse file of 1 TiB.
    std::fs::File::create(root.path().join("requirements.txt")).unwrap().set_len(1 << 40).unwrap();
    let mut deep = root.path().to_owned();
    for _ in 0..500 {
        deep.push("d");
        std::fs::create_dir(&deep).unwrap();
    }
    std::fs::write(root.path().join("main.py"), "x").unwrap();
    let tree = DirTree::open(root.path()).unwrap();
    assert_eq!(tree.bytes("requirements.txt", MAX_FILE_BYTES).unwrap().len() as u64, MAX_FILE_BYTES);
    assert!(plan(root.path()).is_ok());
    // Nesting beyond what parsers allow is an error of theirs.
    for (name, text) in
        [("package.json", "[".repeat(200_000)), ("pyproject.toml", format!("a = {}", "[".repeat(200_000)))]
    {
        let tree = MemoryTree::from([(name, text)]);
        assert!(plan_tree(&tree, &AppSettings::default(), &Options::default()).is_err(), "{name}");
    }
}

#[test]
fn paths_of_a_tree_stay_inside_it() {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(root.path().join("secret"), "x").unwrap();
    let tree = DirTree::open(&inner).unwrap();
    for path in ["../secret", "/etc/passwd", "a/../../secret", "..", "\0"] {
        assert!(tree.bytes(path, 10).is_none() && tree.kind(path).is_none() && tree.names(path).is_empty(), "{path:?}");
    }
}

#[test]
fn what_repeats_without_end_is_cut() {
    let lines: String = (0..60_000).map(|number| format!("p{number}: x\n")).collect();
    let tree = MemoryTree::from([("Procfile", lines)]);
    let many = plan_tree(&tree, &AppSettings::default(), &Options::default()).unwrap();
    assert_eq!(many.processes.len(), 200);
    assert!(many.warnings.iter().any(|warning| warning.starts_with("Procfile:201 ")), "{:?}", many.warnings);

    let patterns = vec!["**/**/**/**/**/**"; 200];
    let mut tree = MemoryTree::default();
    tree.insert("package.json", serde_json::json!({ "workspaces": patterns, "scripts": { "start": "x" } }).to_string());
    for folder in 0..29 {
        (0..28).for_each(|inner| tree.insert(format!("f{folder}/g{inner}/package.json"), "{}"));
    }
    let begun = std::time::Instant::now();
    plan_tree(&tree, &AppSettings::default(), &Options::default()).unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}
