//! Go: one binary without anything around it.

use sh0_core::Result;

use super::{Procfile, Provider};
use crate::detect::is_dir_name;
use crate::draft::{Draft, Pin, quote, tool_versions};
use crate::images;
use crate::render::run_time_entries;
use crate::text::{At, find_line};
use crate::tree::Files;

pub(crate) struct Go;

impl Provider for Go {
    fn language(&self) -> &'static str {
        "go"
    }

    fn looks_for(&self) -> &'static str {
        "Go: go.mod, or a .go file of the package `main`"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        files.is_file("go.mod") || files.is_file("main.go") || is_main(files, "")
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let mut draft = Draft::default();
        let module = files.text("go.mod").unwrap_or_default();
        let mark = files.first(&["go.mod", "main.go"]).map(str::to_owned);
        let mark = mark.or_else(|| go_files(files, "").into_iter().next()).unwrap_or_default();
        draft.plan.language = "go".into();
        draft.because_of("language = go", "a file of a Go module", At::file(mark));
        let version = draft.version(&images::GO, pins(files, &module));
        draft.tool("go", "Go (Debian: apt-get install golang-go)");
        framework(&module, &mut draft);
        dependencies(files, &module, &mut draft);
        let binary = build(files, &module, &mut draft);

        draft.recipe.build = Some((&images::GO, version.clone()));
        draft.recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
        draft.recipe.build_env.push(("CGO_ENABLED", "0"));
        let source = |name: &str| {
            name.ends_with(".go")
                || matches!(
                    name,
                    "go.mod" | "go.sum" | "go.work" | "cmd" | "internal" | "pkg" | "vendor" | "test" | "tests"
                )
        };
        let folder = binary.split('/').next().unwrap_or(&binary);
        draft.recipe.ship = run_time_entries(files, folder, source);
        if Procfile::read(files).is_some_and(|procfile| procfile.main().is_some_and(|main| main.starts_with("go "))) {
            draft.warn("Procfile starts the app with `go`: the toolchain and the source are shipped with it");
            draft.recipe.run = Some((&images::GO, version));
            draft.recipe.ship.clear();
        }
        Ok(draft)
    }
}

/// The `toolchain` line, else the `go` line: a minimum, which any later release builds (go.dev/ref/mod#go-mod-file-go).
fn pins(files: Files<'_>, module: &str) -> Vec<Pin> {
    let mut pins: Vec<Pin> = tool_versions(files, &["golang", "go"]).into_iter().collect();
    if let Some((line, text)) = find_line(module, |line| line.starts_with("go "))
        && let Some(wanted) = text.split_whitespace().nth(1)
    {
        pins.push(Pin { wanted: format!(">={wanted}"), by: "go.mod".into(), at: At::line("go.mod", line) });
    }
    pins
}

fn framework(module: &str, draft: &mut Draft) {
    const FRAMEWORKS: &[(&str, &str)] = &[
        ("gin", "github.com/gin-gonic/gin"),
        ("echo", "github.com/labstack/echo"),
        ("fiber", "github.com/gofiber/fiber"),
        ("chi", "github.com/go-chi/chi"),
    ];
    for (name, path) in FRAMEWORKS {
        if let Some((line, _)) = find_line(module, |line| line.contains(path) && !line.contains("// indirect")) {
            draft.plan.framework = Some((*name).to_owned());
            draft.because_of(format!("framework = {name}"), "go.mod requires it", At::line("go.mod", line));
            return;
        }
    }
}

fn dependencies(files: Files<'_>, module: &str, draft: &mut Draft) {
    if module.is_empty() {
        draft.warn("there is no go.mod; run `go mod init` and commit it");
        return;
    }
    draft.plan.package_manager = Some("gomod".into());
    draft.recipe.manifests = ["go.mod", "go.sum", "go.work", "go.work.sum"]
        .into_iter()
        .filter(|file| files.is_file(file))
        .map(str::to_owned)
        .collect();
    draft.recipe.caches.extend([("go-mod", "/go/pkg/mod"), ("go-build", "/root/.cache/go-build")]);
    if files.is_folder("vendor") {
        draft.because_of("install = nothing", "the dependencies are in the tree", At::file("vendor"));
    } else if files.is_file("go.sum") {
        draft.because_of("install = go mod download", "go.sum lists dependencies", At::file("go.sum"));
        draft.plan.install.push("go mod download".into());
        // Modules of a workspace, and replaced ones, lie in the tree.
        draft.recipe.install_needs_source =
            files.is_file("go.work") || module.lines().any(|line| line.contains("=> ."));
    }
}

/// Answers the path of the binary.
fn build(files: Files<'_>, module: &str, draft: &mut Draft) -> String {
    let package = main_package(files, module, draft);
    let binary = match name_in_procfile(files, module) {
        Some(name) => {
            draft.because_of(format!("binary = bin/{name}"), "Procfile starts it", At::file("Procfile"));
            draft.path("bin");
            format!("bin/{name}")
        }
        // A folder called `out` would get the binary inside.
        None if files.is_folder("out") => "out/app".to_owned(),
        None => "out".to_owned(),
    };
    let target = match module.is_empty() {
        true => go_files(files, "").iter().map(|file| quote(file)).collect::<Vec<_>>().join(" "),
        false => package,
    };
    let command = format!("go build -o {binary} {target}");
    draft.because(format!("build = {command}"), "one binary, from the package `main`");
    draft.plan.build.push(command);
    draft.start(format!("./{binary}"), "the binary that the build makes", None);
    binary
}

/// Procfiles of this language start what Heroku's buildpack makes: `bin/NAME`, with `bin` in the path. NAME is the last
/// part of the module's path; without a module it is in `.godir`.
fn name_in_procfile(files: Files<'_>, module: &str) -> Option<String> {
    let procfile = Procfile::read(files)?;
    let program = procfile.main()?.split_whitespace().next()?;
    let in_bin = program.trim_start_matches("./").strip_prefix("bin/").map(str::to_owned);
    let path = match find_line(module, |line| line.starts_with("module ")) {
        Some((_, line)) => line.to_owned(),
        None => files.text(".godir").unwrap_or_default(),
    };
    let own = path.trim().rsplit(['/', ' ']).next().unwrap_or_default();
    in_bin.or_else(|| (program == own).then(|| own.to_owned())).filter(|name| is_dir_name(name) && !name.contains('/'))
}

fn go_files(files: Files<'_>, folder: &str) -> Vec<String> {
    let names = files.names(folder).into_iter().filter(|name| name.ends_with(".go") && !name.ends_with("_test.go"));
    names.map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") }).collect()
}

fn is_main(files: Files<'_>, folder: &str) -> bool {
    go_files(files, folder).iter().any(|file| {
        files.text(file).is_some_and(|text| find_line(&text, |line| line.trim() == "package main").is_some())
    })
}

/// The root when it is a program; else one below `cmd`.
fn main_package(files: Files<'_>, module: &str, draft: &mut Draft) -> String {
    if is_main(files, "") {
        return ".".into();
    }
    let programs: Vec<String> = files
        .names("cmd")
        .into_iter()
        .filter(|name| is_dir_name(name) && is_main(files, &format!("cmd/{name}")))
        .collect();
    let last = find_line(module, |line| line.starts_with("module "))
        .and_then(|(_, line)| line.rsplit('/').next())
        .unwrap_or_default()
        .trim();
    let preferred = [last, "server", "web", "api", "app"];
    let chosen = preferred.iter().find_map(|wanted| programs.iter().find(|name| name == wanted)).or(programs.first());
    match chosen {
        Some(name) => {
            draft.because_of(
                format!("package = ./cmd/{name}"),
                "the program among the packages below cmd",
                At::file(format!("cmd/{name}")),
            );
            if programs.len() > 1 {
                draft.warn(format!(
                    "cmd has several programs ({}); `{name}` is taken: set build in sh0.toml for another",
                    programs.join(", ")
                ));
            }
            format!("./cmd/{name}")
        }
        None if is_main(files, "cmd") => "./cmd".into(),
        None => ".".into(),
    }
}
