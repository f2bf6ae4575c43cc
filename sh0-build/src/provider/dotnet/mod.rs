//! .NET: C#, F# and Visual Basic, published by the SDK; also what was published before.

use sh0_core::Result;

use super::{Provider, static_files};
use crate::detect::is_dir_name;
use crate::draft::{Draft, Pin, in_member, start_within, tool_versions};
use crate::images;
use crate::root::within;
use crate::text::{At, Json, find_line, line_at};
use crate::tree::Files;

const KINDS: &[&str] = &[".csproj", ".fsproj", ".vbproj"];

/// What the tools read from the folders above a project.
const SHARED: &[&str] = &[
    "global.json",
    "nuget.config",
    "NuGet.config",
    "NuGet.Config",
    "Directory.Build.props",
    "Directory.Build.targets",
    "Directory.Packages.props",
];

pub(crate) struct Dotnet;

impl Provider for Dotnet {
    fn language(&self) -> &'static str {
        "dotnet"
    }

    fn looks_for(&self) -> &'static str {
        ".NET: *.csproj, *.fsproj, *.vbproj, *.sln"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        let names = files.names("");
        let marked = |name: &String| {
            KINDS.iter().chain(&[".sln", ".slnx", ".runtimeconfig.json"]).any(|end| name.ends_with(end))
        };
        names.iter().any(marked) || below(files)
    }

    /// A folder with a project, below what its projects share: they are restored and published from there.
    fn has_member(&self, files: Files<'_>, folder: &str) -> bool {
        let solution =
            |folder: &str| files.names(folder).iter().any(|name| name.ends_with(".sln") || name.ends_with(".slnx"));
        let shared = solution("") || files.first(SHARED).is_some();
        let of_its_own = solution(folder) || files.is_file(&format!("{folder}/global.json"));
        shared && !of_its_own && !projects_below(files, folder, 0).is_empty()
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let mut draft = Draft::default();
        draft.plan.language = "dotnet".into();
        let member = files.0.picked().filter(|folder| self.has_member(files, folder));
        match Project::find(files, member, &mut draft) {
            Some(project) => project.plan(files, &mut draft),
            None => published(files, &mut draft),
        }
        Ok(draft)
    }
}

/// A project in a folder of its own, where nothing at the root says what the tree is.
fn below(files: Files<'_>) -> bool {
    let others = ["package.json", "compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];
    files.first(&others).is_none() && !projects_below(files, "", 1).is_empty()
}

/// Project files in a folder, and in those below it.
fn projects_below(files: Files<'_>, folder: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    for name in files.names(folder).into_iter().filter(|name| !name.starts_with('.')).take(200) {
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if KINDS.iter().any(|kind| name.ends_with(kind)) && is_dir_name(&path) && files.is_file(&path) {
            found.push(path);
        } else if depth > 0 && !matches!(name.as_str(), "node_modules" | "bin" | "obj") && files.is_folder(&path) {
            found.extend(projects_below(files, &path, depth - 1));
        }
    }
    found
}

/// The project that is the app.
struct Project<'m> {
    path: String,
    text: String,
    /// The folder that was picked, where commands of the app run.
    member: Option<&'m str>,
}

impl<'m> Project<'m> {
    /// One that serves, else one that runs; in the folder itself first.
    fn find(files: Files<'_>, member: Option<&'m str>, draft: &mut Draft) -> Option<Project<'m>> {
        let mut paths = projects_below(files, member.unwrap_or_default(), 0);
        if paths.is_empty() {
            paths = projects_below(files, "", 2);
        }
        let read = |path: String| {
            let text = files.text(&path)?;
            Some(Project { path, text, member })
        };
        let mut all: Vec<Project<'m>> =
            paths.into_iter().filter_map(read).filter(|project| !project.is_test()).collect();
        let chosen =
            all.iter().position(Project::serves).or_else(|| all.iter().position(Project::runs)).unwrap_or_default();
        let servers: Vec<&str> =
            all.iter().filter(|project| project.serves()).map(|project| project.path.as_str()).collect();
        if servers.len() > 1 {
            draft.warn(format!(
                "there are several servers ({}); {} is taken: set the folder of another as root in sh0.toml",
                servers.join(", "),
                servers[0]
            ));
        }
        (chosen < all.len()).then(|| all.swap_remove(chosen))
    }

    fn is_test(&self) -> bool {
        ["Microsoft.NET.Test.Sdk", "<IsTestProject>true"].iter().any(|mark| self.text.contains(mark))
    }

    fn sdk(&self, name: &str) -> bool {
        self.text.contains(&format!("\"Microsoft.NET.Sdk.{name}\""))
    }

    fn serves(&self) -> bool {
        self.sdk("Web") || self.sdk("BlazorWebAssembly") || self.text.contains("Microsoft.AspNetCore.App")
    }

    fn runs(&self) -> bool {
        self.sdk("Worker") || self.value("OutputType").is_some_and(|(_, kind)| kind.eq_ignore_ascii_case("exe"))
    }

    /// `<tag>value</tag>`, with its line.
    fn value(&self, tag: &str) -> Option<(u32, &str)> {
        value(&self.text, tag)
    }

    /// What the program is called.
    fn name(&self) -> String {
        let stem = self
            .path
            .rsplit('/')
            .next()
            .unwrap_or(&self.path)
            .rsplit_once('.')
            .map(|(stem, _)| stem)
            .unwrap_or_default();
        let named =
            self.value("AssemblyName").map(|(_, name)| name).filter(|name| is_dir_name(name) && !name.contains('/'));
        named.unwrap_or(stem).to_owned()
    }

    fn plan(&self, files: Files<'_>, draft: &mut Draft) {
        draft.plan.package_manager = Some("dotnet".into());
        draft.because_of("language = dotnet", "the project that is the app", At::file(self.path.as_str()));
        if self.serves() {
            let line = find_line(&self.text, |line| line.contains("Sdk.") || line.contains("AspNetCore"))
                .map(|(line, _)| line);
            draft.plan.framework = Some("aspnet".into());
            draft.because_of("framework = aspnet", "the project's SDK", At::line(self.path.as_str(), line));
        }
        let version = self.version(files, draft);
        draft.tool("dotnet", "the .NET SDK (learn.microsoft.com/dotnet/core/install/linux-debian)");
        let restore = format!("dotnet restore {}", self.path);
        draft.because_of(
            format!("install = {restore}"),
            "fetches what the project references",
            At::file(self.path.as_str()),
        );
        draft.plan.install.push(restore);
        let out = within(self.member, "out");
        let publish = format!("dotnet publish {} --no-restore --configuration Release --output {out}", self.path);
        draft.because_of(format!("build = {publish}"), "the program with what it needs", At::file(self.path.as_str()));
        draft.plan.build.push(publish);
        self.recipe(files, version, draft);
        if self.sdk("BlazorWebAssembly") {
            static_files::serve(
                draft,
                &format!("{out}/wwwroot"),
                "Blazor writes its pages there",
                At::file(self.path.as_str()),
            );
            draft.plan.spa_fallback = true;
            return;
        }
        let name = self.name();
        let at = Some(At::file(self.path.as_str()));
        if self.serves() {
            // Settings and wwwroot lie beside the program, not where it is started.
            draft.env("ASPNETCORE_CONTENTROOT", ".");
            let urls = "ASPNETCORE_URLS=http://0.0.0.0:${PORT:-3000}";
            draft.start(
                in_member(self.member, &format!("{urls} ./out/{name}")),
                "the program that the build publishes",
                at,
            );
        } else {
            draft.env("DOTNET_CONTENTROOT", ".");
            draft.start(start_within(self.member, &format!("out/{name}")), "the program that the build publishes", at);
        }
    }

    /// The SDK: exactly the one of `global.json` where that asks for it; else by the framework that is targeted.
    fn version(&self, files: Files<'_>, draft: &mut Draft) -> String {
        let target = self.target(files);
        let runtime = draft.version(&images::DOTNET, target.into_iter().collect());
        let Some(Ok(global)) = Json::read_with_comments(files, "global.json") else {
            draft.recipe.build = Some((&images::DOTNET_SDK, runtime.clone()));
            return runtime;
        };
        let wanted = global.str(&["sdk", "version"]).unwrap_or_default();
        let rolls = matches!(global.str(&["sdk", "rollForward"]), Some(policy) if policy.to_ascii_lowercase().contains("feature") || policy.to_ascii_lowercase().contains("minor") || policy.to_ascii_lowercase().contains("major"));
        let plain = wanted.split('.').count() == 3 && wanted.chars().all(|c| c.is_ascii_digit() || c == '.');
        let sdk = if plain && !rolls {
            draft.because_of(
                format!("sdk = {wanted}"),
                "global.json asks for it, and takes no later feature band",
                global.at(&["sdk", "version"]),
            );
            wanted.to_owned()
        } else {
            images::DOTNET_SDK
                .choose(&wanted.split('.').take(2).collect::<Vec<_>>().join("."))
                .unwrap_or(&runtime)
                .to_owned()
        };
        draft.recipe.build = Some((&images::DOTNET_SDK, sdk));
        runtime
    }

    /// `net8.0`, `netcoreapp3.1`, or the newest of several; the project's own or what all projects share.
    fn target(&self, files: Files<'_>) -> Option<Pin> {
        let shared = files.text("Directory.Build.props").unwrap_or_default();
        let texts = [(self.path.as_str(), self.text.as_str()), ("Directory.Build.props", shared.as_str())];
        let found = texts.into_iter().find_map(|(file, text)| {
            let (line, value) = value(text, "TargetFramework").or_else(|| value(text, "TargetFrameworks"))?;
            let newest = value.split(';').filter_map(|part| {
                let digits: String = part
                    .trim()
                    .chars()
                    .skip_while(|c| !c.is_ascii_digit())
                    .take_while(|c| c.is_ascii_digit() || *c == '.')
                    .collect();
                let (major, minor) = digits.split_once('.')?;
                Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
            });
            let (major, minor) = newest.max()?;
            Some(Pin {
                wanted: format!("{major}.{minor}"),
                by: format!("TargetFramework of {file}"),
                at: At::line(file, line),
            })
        });
        found.or_else(|| tool_versions(files, &["dotnet", "dotnet-core"]))
    }

    fn recipe(&self, files: Files<'_>, version: String, draft: &mut Draft) {
        let recipe = &mut draft.recipe;
        let shared = SHARED.iter().chain(&["packages.lock.json"]);
        let at_root = !self.path.contains('/') && !self.text.contains("<ProjectReference");
        recipe.install_needs_source = !at_root;
        recipe.manifests = shared.filter(|file| files.is_file(file)).map(|file| (*file).to_owned()).collect();
        recipe.manifests.push(self.path.clone());
        recipe.caches.push(("nuget", "/root/.nuget/packages"));
        recipe.build_env.extend([("DOTNET_CLI_TELEMETRY_OPTOUT", "1"), ("DOTNET_NOLOGO", "1")]);
        recipe.run = Some((&images::DOTNET, version));
        let out = within(self.member, "out");
        recipe.ship = vec![out.clone()];
        // Pages bring libraries with folders of this name.
        recipe.ignore.extend(["**/bin", "**/obj", "!**/wwwroot/**/bin", &out].map(str::to_owned));
    }
}

fn value<'t>(text: &'t str, tag: &str) -> Option<(u32, &'t str)> {
    let open = format!("<{tag}>");
    let start = text.find(&open)? + open.len();
    let inside = &text[start..];
    Some((line_at(text, start), inside[..inside.find('<')?].trim()))
}

/// A tree that was published before: `NAME.runtimeconfig.json` tells what runs it.
fn published(files: Files<'_>, draft: &mut Draft) {
    let config = files.names("").into_iter().find(|name| name.ends_with(".runtimeconfig.json") && is_dir_name(name));
    let Some((file, Some(Ok(config)))) = config.map(|file| (file.clone(), Json::read(files, &file))) else {
        let mark = files
            .names("")
            .into_iter()
            .find(|name| name.ends_with(".sln") || name.ends_with(".slnx"))
            .unwrap_or_default();
        draft.because_of("language = dotnet", "a solution, without a project that runs", At::file(mark));
        return;
    };
    let name = file.trim_end_matches(".runtimeconfig.json");
    draft.because_of("language = dotnet", "an app that was published before", At::file(file.as_str()));
    let options = &["runtimeOptions"][..];
    let contained = config.get(&[options[0], "includedFrameworks"]);
    let frameworks = [config.get(&[options[0], "framework"]), config.get(&[options[0], "frameworks"]), contained];
    let frameworks: String = frameworks.into_iter().flatten().map(|value| value.to_string()).collect();
    if frameworks.contains("Microsoft.AspNetCore.App") {
        draft.plan.framework = Some("aspnet".into());
        draft.because_of("framework = aspnet", "its runtime is that of ASP.NET", At::file(file.as_str()));
    }
    let number =
        |value: &serde_json::Value| value.get("version").and_then(|version| version.as_str()).map(str::to_owned);
    let wanted = config
        .get(&[options[0], "framework"])
        .and_then(number)
        .or_else(|| contained.or(config.get(&[options[0], "frameworks"]))?.as_array()?.iter().find_map(number));
    let pin = wanted.map(|version| Pin {
        wanted: version.split('.').take(2).collect::<Vec<_>>().join("."),
        by: file.clone(),
        at: config.at(options),
    });
    let version = draft.version(&images::DOTNET, pin.into_iter().collect());
    draft.recipe.run = Some((&images::DOTNET, version));
    let start = match contained {
        Some(_) => format!("./{name}"),
        None => {
            draft.tool("dotnet", "the .NET runtime (learn.microsoft.com/dotnet/core/install/linux-debian)");
            format!("dotnet {name}.dll")
        }
    };
    let urls = if draft.plan.framework.is_some() { "ASPNETCORE_URLS=http://0.0.0.0:${PORT:-3000} " } else { "" };
    draft.start(format!("{urls}{start}"), "the program that lies here", Some(At::file(file)));
}
