//! Go: one binary without anything around it.

use sh0_core::Result;

use super::{Procfile, Provider, static_files};
use crate::command;
use crate::detect::is_dir_name;
use crate::dockerignore::run_time_entries;
use crate::draft::{Draft, Pin, quote, start_within, tool_versions, version_file};
use crate::images;
use crate::recipe::Program;
use crate::root::within;
use crate::text::{At, find_line};
use crate::tree::{Files, Sub};

pub(crate) struct Go;

impl Provider for Go {
    fn language(&self) -> &'static str {
        "go"
    }

    fn looks_for(&self) -> &'static str {
        "Go: go.mod, go.work, or a .go file of the package `main`"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        (files.first(&["go.mod", "go.work", "main.go"]).is_some() || is_main(files, "")) && !is_hugo(files)
    }

    fn has_member(&self, files: Files<'_>, folder: &str) -> bool {
        used(files).iter().any(|member| member == folder)
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let mut draft = Draft::default();
        let module = files.text("go.mod").unwrap_or_default();
        let mark = files.first(&["go.mod", "go.work", "main.go"]).map(str::to_owned);
        let mark = mark.or_else(|| go_files(files, "").into_iter().next()).unwrap_or_default();
        draft.plan.language = "go".into();
        draft.because_of("language = go", "a file of a Go module", At::file(mark));
        let version = draft.version(&images::GO, pins(files, &module));
        draft.tool("go", "Go (Debian: apt-get install golang-go)");
        dependencies(files, &module, &mut draft);
        let modules = used(files);
        // The program of a workspace has a module of its own.
        let member = files.0.picked().filter(|folder| modules.iter().any(|module| module == folder));
        let (package, binary) = build(files, member, &module, &mut draft);
        let near = package.strip_prefix("./").filter(|_| member.is_none()).or(member);
        let own = near.map(|folder| format!("{folder}/go.mod"));
        let own =
            own.and_then(|file| Some((files.text(&file)?, file))).unwrap_or((module.clone(), "go.mod".to_owned()));
        framework(&own.0, &own.1, &mut draft);

        draft.recipe.build = Some((&images::GO, version));
        draft.recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
        // The images say `local`: they refuse a module that asks for a later release than theirs.
        draft.recipe.build_env.push(("GOTOOLCHAIN", "auto"));
        let c = [
            "mattn/go-sqlite3",
            "confluentinc/confluent-kafka-go",
            "h2non/bimg",
            "davidbyttow/govips",
            "gographics/imagick",
        ];
        let places = [(module.as_str(), "go.mod"), (own.0.as_str(), own.1.as_str())];
        match places.iter().find_map(|(text, file)| Some((c.iter().find(|path| text.contains(**path))?, *file))) {
            Some((path, file)) => draft.because_of("CGO_ENABLED = 1", format!("{path} is made with C"), At::file(file)),
            None => draft.recipe.build_env.push(("CGO_ENABLED", "0")),
        }
        let source = |name: &str| {
            modules.iter().any(|module| module == name)
                || name.ends_with(".go")
                || matches!(
                    name,
                    "go.mod" | "go.sum" | "go.work" | "cmd" | "internal" | "pkg" | "vendor" | "test" | "tests"
                )
        };
        // With a member its folder: what it says runs there.
        let folder = binary.split('/').next().unwrap_or(&binary);
        draft.recipe.ship = run_time_entries(files, folder, source);
        Ok(draft)
    }
}

/// The modules are those of a site: nothing here is written in Go (gohugo.io/hugo-modules).
fn is_hugo(files: Files<'_>) -> bool {
    let folders = |folder: &str| -> Vec<String> {
        let names = files.names(folder).into_iter().take(200);
        let paths = names.map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") });
        paths.filter(|path| is_dir_name(path) && files.is_folder(path)).collect()
    };
    let has_code = |folder: &String| !go_files(files, folder).is_empty();
    let inside = || folders("").into_iter().flat_map(|folder| folders(&folder).into_iter().chain([folder]));
    static_files::is_hugo(files)
        && !files.is_folder("cmd")
        && !has_code(&String::new())
        && !inside().any(|f| has_code(&f))
}

/// The `toolchain` line, else the `go` line: a minimum, which any later release builds (go.dev/ref/mod#go-mod-file-go).
fn pins(files: Files<'_>, module: &str) -> Vec<Pin> {
    let mut pins: Vec<Pin> = version_file(files, ".go-version").into_iter().collect();
    pins.extend(tool_versions(files, &["golang", "go"]));
    let work = files.text("go.work").unwrap_or_default();
    for (file, text) in [("go.mod", module), ("go.work", work.as_str())] {
        let toolchain = find_line(text, |line| line.starts_with("toolchain go"))
            .map(|(line, text)| (line, text.trim_start_matches("toolchain go")));
        let minimum = || {
            find_line(text, |line| line.starts_with("go ")).map(|(line, text)| (line, text.trim_start_matches("go ")))
        };
        if let Some((line, wanted)) = toolchain.or_else(minimum) {
            let wanted = wanted.split("//").next().unwrap_or_default().trim();
            pins.push(Pin { wanted: format!(">={wanted}"), by: file.into(), at: At::line(file, line) });
        }
    }
    pins
}

fn framework(module: &str, file: &str, draft: &mut Draft) {
    const FRAMEWORKS: &[(&str, &str)] = &[
        ("beego", "github.com/beego/beego"),
        ("buffalo", "github.com/gobuffalo/buffalo"),
        ("iris", "github.com/kataras/iris"),
        ("revel", "github.com/revel/revel"),
        ("kratos", "github.com/go-kratos/kratos"),
        ("hertz", "github.com/cloudwego/hertz"),
        ("pocketbase", "github.com/pocketbase/pocketbase"),
        ("gin", "github.com/gin-gonic/gin"),
        ("echo", "github.com/labstack/echo"),
        ("fiber", "github.com/gofiber/fiber"),
        ("chi", "github.com/go-chi/chi"),
        ("gorilla", "github.com/gorilla/mux"),
    ];
    for (name, path) in FRAMEWORKS {
        if let Some((line, _)) = find_line(module, |line| line.contains(path) && !line.contains("// indirect")) {
            draft.plan.framework = Some((*name).to_owned());
            draft.because_of(format!("framework = {name}"), "it is required", At::line(file, line));
            return;
        }
    }
}

fn dependencies(files: Files<'_>, module: &str, draft: &mut Draft) {
    if module.is_empty() && !files.is_file("go.work") {
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
    } else if files.is_file("go.work") {
        draft.because_of(
            "install = go mod download",
            "the modules of the workspace have dependencies",
            At::file("go.work"),
        );
        draft.plan.install.push("go mod download".into());
        draft.recipe.install_needs_source = true;
    } else if files.is_file("go.sum") {
        draft.because_of("install = go mod download", "go.sum lists dependencies", At::file("go.sum"));
        draft.plan.install.push("go mod download".into());
        // Modules of a workspace, and replaced ones, lie in the tree.
        draft.recipe.install_needs_source =
            files.is_file("go.work") || module.lines().any(|line| line.contains("=> ."));
    }
}

/// Answers the package and the path of the binary, which lies in the folder of the workspace's member that is the app,
/// and is started there.
fn build(files: Files<'_>, member: Option<&str>, module: &str, draft: &mut Draft) -> (String, String) {
    let sub = member.map(|folder| Sub::new(files, folder));
    let app = sub.as_ref().map_or(files, |sub| Files(sub));
    let cmd = within(member, "cmd");
    let programs: Vec<String> = files
        .names(&cmd)
        .into_iter()
        .filter(|name| is_dir_name(name) && is_main(files, &format!("{cmd}/{name}")))
        .collect();
    let named = match member {
        Some(_) => name_in_procfile(app, &app.text("go.mod").unwrap_or_default(), &programs),
        None => name_in_procfile(files, module, &programs),
    };
    let package = main_package(files, member, module, &programs, named.as_deref(), draft);
    let inside = match named {
        Some(name) => {
            draft.because_of(
                format!("binary = bin/{name}"),
                "Procfile starts it",
                At::file(within(member, "Procfile")),
            );
            draft.path(&within(member, "bin"));
            format!("bin/{name}")
        }
        // A folder called `out` would get the binary inside.
        None if app.is_folder("out") => "out/app".to_owned(),
        None => "out".to_owned(),
    };
    let binary = within(member, &inside);
    let target = match module.is_empty() && !files.is_file("go.work") {
        true => go_files(files, "").iter().map(|file| quote(file)).collect::<Vec<_>>().join(" "),
        false => package.clone(),
    };
    let command = format!("go build -o {binary} {target}");
    draft.because(format!("build = {command}"), "one binary, from the package `main`");
    for name in programs {
        let (path, source) = (format!("bin/{name}"), format!("./{cmd}/{name}"));
        let free = files.is_folder(&within(member, "bin")) || files.0.kind(&within(member, "bin")).is_none();
        let Ok(ship) = within(member, &path).parse() else { continue };
        if source != package && path != inside && free {
            draft.recipe.programs.push(Program {
                build: format!("go build -o {ship} {source}"),
                follows: command.clone(),
                path,
                name: Some(name),
                ship,
            });
        }
    }
    draft.plan.build.push(command);
    draft.start(start_within(member, &inside), "the binary that the build makes", None);
    (package, binary)
}

/// Procfiles of this language start what Heroku's buildpack makes: `bin/NAME`, with `bin` in the path. Without a module
/// NAME is in `.godir`.
fn name_in_procfile(files: Files<'_>, module: &str, programs: &[String]) -> Option<String> {
    let procfile = Procfile::read(files)?;
    let program = command::program(procfile.main()?)?;
    let in_bin = program.trim_start_matches("./").strip_prefix("bin/").map(str::to_owned);
    let own = module_name(module).or_else(|| Some(last_part(&files.text(".godir")?).to_owned()));
    let below_cmd = programs.iter().find(|name| *name == program).cloned();
    in_bin.or(own.filter(|own| own == program)).or(below_cmd).filter(|name| is_dir_name(name) && !name.contains('/'))
}

/// What `go install` calls the program of a module: the last part of its path that is not a major version
/// (go.dev/ref/mod#major-version-suffixes).
fn module_name(module: &str) -> Option<String> {
    let (_, line) = find_line(module, |line| line.starts_with("module "))?;
    let path = line.trim_start_matches("module ").split("//").next()?.trim().trim_matches('"');
    let major = |part: &str| part.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
    let path = path.rsplit_once('/').filter(|(_, last)| major(last)).map_or(path, |(path, _)| path);
    Some(last_part(path).to_owned())
}

fn last_part(path: &str) -> &str {
    path.trim().rsplit('/').next().unwrap_or_default()
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

/// The folders that go.work uses: `use ./a`, or in brackets.
fn used(files: Files<'_>) -> Vec<String> {
    let text = files.text("go.work").unwrap_or_default();
    let mut open = false;
    let mut found = Vec::new();
    for line in text.lines().map(|line| line.split("//").next().unwrap_or_default().trim()) {
        let folder = match line.strip_prefix("use ") {
            Some("(") => {
                open = true;
                continue;
            }
            Some(folder) => folder,
            None if open && line == ")" => {
                open = false;
                continue;
            }
            None if open => line,
            None => continue,
        };
        let folder = folder.trim().trim_matches('"').trim_start_matches("./").trim_end_matches('/').to_owned();
        if is_dir_name(&folder) {
            found.push(folder);
        }
    }
    found.truncate(500);
    found
}

/// The member that was picked, or the root, when it is a program; else one below its `cmd`.
fn main_package(
    files: Files<'_>,
    member: Option<&str>,
    module: &str,
    programs: &[String],
    named: Option<&str>,
    draft: &mut Draft,
) -> String {
    let cmd = within(member, "cmd");
    let named = programs.iter().find(|name| Some(name.as_str()) == named);
    if named.is_none() && is_main(files, member.unwrap_or_default()) {
        return member.map_or_else(|| ".".into(), |folder| format!("./{folder}"));
    }
    let text = member.map(|_| files.text(&within(member, "go.mod")).unwrap_or_default());
    let own = module_name(text.as_deref().unwrap_or(module)).unwrap_or_default();
    let preferred = [own.as_str(), "server", "web", "api", "app"];
    let chosen = named.or_else(|| preferred.iter().find_map(|wanted| programs.iter().find(|name| name == wanted)));
    let chosen = chosen.or(programs.first());
    match (chosen, member) {
        (Some(name), _) => {
            draft.because_of(
                format!("package = ./{cmd}/{name}"),
                "the program among the packages below cmd",
                At::file(format!("{cmd}/{name}")),
            );
            if programs.len() > 1 && named.is_none() {
                draft.warn(format!(
                    "{cmd} has several programs ({}); `{name}` is taken: set build in sh0.toml for another",
                    programs.join(", ")
                ));
            }
            format!("./{cmd}/{name}")
        }
        (None, _) if is_main(files, &cmd) => format!("./{cmd}"),
        (None, Some(folder)) => format!("./{folder}"),
        (None, None) => of_any_folder(files, draft),
    }
}

/// The program of a workspace, or of a module in which it lies in a folder of any other name.
fn of_any_folder(files: Files<'_>, draft: &mut Draft) -> String {
    let mut folders = used(files);
    if folders.is_empty() {
        folders = files
            .names("")
            .into_iter()
            .filter(|name| is_dir_name(name) && name != "vendor" && !name.starts_with('.'))
            .take(200)
            .collect();
    }
    folders.retain(|folder| is_main(files, folder));
    match folders.as_slice() {
        [] => ".".into(),
        [only] => format!("./{only}"),
        [first, ..] => {
            draft.warn(format!(
                "there are several programs ({}); `{first}` is taken: set root or build in sh0.toml for another",
                folders.join(", ")
            ));
            format!("./{first}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::MemoryTree;

    #[test]
    fn only_a_site_of_hugo_is_no_program() {
        let goes = |more: &[&str]| {
            let mut tree = MemoryTree::from([("go.mod", "module a\n"), ("content/a.md", "")]);
            more.iter().for_each(|file| tree.insert(*file, ""));
            Go.recognises(Files(&tree))
        };
        assert!(!goes(&["hugo.toml"]));
        assert!(goes(&["hugo.toml", "services/api/main.go"]));
        assert!(goes(&["config.toml", "templates/a.html"]), "of another generator");
    }
}
