//! Nx: projects with a `project.json`, or members of a workspace whose targets its plugins infer (nx.dev/reference).

use super::Tree;
use super::workspace;
use crate::draft::{Draft, quote};
use crate::provider::static_files;
use crate::text::{At, Json};

/// An application of an Nx workspace.
pub(super) struct App {
    pub(super) folder: String,
    name: String,
    /// Where its build is written, when its project says.
    output: Option<String>,
    kind: Kind,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Next,
    Pages,
    Server,
}

/// The applications, in the order of their folders; none where there is no nx.json.
pub(super) fn apps(tree: &Tree<'_>, members: &[String]) -> Vec<App> {
    if !tree.files.is_file("nx.json") {
        return Vec::new();
    }
    let patterns = ["apps/*", "packages/*", "libs/*", "apps/*/*"].map(str::to_owned);
    let mut folders = workspace::expand(tree.files, &patterns, "project.json");
    folders.extend(members.iter().cloned());
    folders.sort();
    folders.dedup();
    folders.retain(|folder| !folder.ends_with("-e2e") && crate::detect::is_dir_name(folder));
    folders.iter().filter_map(|folder| read(tree, folder)).collect()
}

/// The application that is meant where there are several.
pub(super) fn default_project(tree: &Tree<'_>) -> Option<String> {
    Json::read(tree.files, "nx.json")?.ok()?.str(&["defaultProject"]).map(str::to_owned)
}

fn read(tree: &Tree<'_>, folder: &str) -> Option<App> {
    let base = folder.rsplit('/').next().unwrap_or(folder);
    let has = |names: &[&str]| names.iter().any(|name| tree.files.is_file(&format!("{folder}/{name}")));
    let next = has(&["next.config.js", "next.config.mjs", "next.config.ts"]);
    let page = has(&["index.html"]) && has(&["vite.config.ts", "vite.config.js", "vite.config.mts"]);
    let file = format!("{folder}/project.json");
    let Some(Ok(project)) = Json::read(tree.files, &file) else {
        // Targets are inferred from the configuration of the framework.
        let manifest = Json::read(tree.files, &format!("{folder}/package.json"))?.ok()?;
        let kind = if next { Kind::Next } else { page.then_some(Kind::Pages)? };
        let name = manifest.str(&["nx", "name"]).or_else(|| manifest.str(&["name"])).unwrap_or(base).to_owned();
        return Some(App { folder: folder.to_owned(), name, output: None, kind, at: At::file(&manifest.file) });
    };
    if project.str(&["projectType"]).is_some_and(|kind| kind != "application") {
        return None;
    }
    let build = |key: &str| project.str(&["targets", "build", key]).unwrap_or_default().to_owned();
    let executor = build("executor");
    let outputs = || project.get(&["targets", "build", "outputs"])?.as_array()?.first()?.as_str();
    let output = project
        .get(&["targets", "build", "options", "outputPath"])
        .and_then(|path| path.as_str().or_else(|| path.get("base")?.as_str()))
        .or_else(|| outputs()?.strip_prefix("{workspaceRoot}/"))
        .filter(|path| crate::detect::is_dir_name(path))
        .map(str::to_owned);
    let options = project.get(&["targets", "build", "options"]);
    // The plugin of webpack infers the target of a project without an executor.
    let webpack = tree.files.text(&format!("{folder}/webpack.config.js")).filter(|_| executor.is_empty());
    let for_node = options.and_then(|options| options.get("target")?.as_str()) == Some("node")
        || webpack.is_some_and(|text| text.contains("NxAppWebpackPlugin") && text.contains("target: 'node'"));
    let kind = if executor.contains("next") || (executor.is_empty() && next) {
        Kind::Next
    } else if ["/node:", "/esbuild:", "/js:", "/nest:"].iter().any(|part| executor.contains(part)) || for_node {
        Kind::Server
    } else if ["angular", "vite", "webpack", "rspack", "/web:", "/react:"].iter().any(|part| executor.contains(part))
        || page
    {
        Kind::Pages
    } else {
        return None;
    };
    let name = project.str(&["name"]).unwrap_or(base).to_owned();
    let at = if executor.is_empty() { At::file(file) } else { project.at(&["targets", "build"]) };
    Some(App { folder: folder.to_owned(), name, output, kind, at })
}

impl App {
    pub(super) fn label(&self) -> &str {
        &self.folder
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name || self.folder == name
    }

    /// Whether this command runs what its build writes.
    pub(super) fn is_started_by(&self, command: &str) -> bool {
        let output = self.output.as_deref().filter(|_| self.kind == Kind::Server);
        output.is_some_and(|output| command.contains(&format!("{output}/")))
    }

    /// Builds and starts or serves it; the root has installed everything.
    pub(super) fn plan(&self, draft: &mut Draft) {
        let command = format!("nx build {}", quote(&self.name));
        draft.because_of(format!("build = {command}"), "builds the application and what it needs", self.at.clone());
        draft.plan.build.push(command);
        let output = self.output.clone().unwrap_or_else(|| format!("dist/{}", self.folder));
        let why = "the application's build is written there";
        match self.kind {
            Kind::Next => {
                let command = match &self.output {
                    Some(output) => format!("next start {}", quote(output)),
                    None => format!("cd {} && next start", quote(&self.folder)),
                };
                draft.start(command, "the framework's own server", Some(self.at.clone()));
            }
            Kind::Server => draft.start(format!("node {}/main.js", quote(&output)), why, Some(self.at.clone())),
            Kind::Pages => {
                static_files::serve(draft, &output, why, self.at.clone());
                draft.plan.spa_fallback = true;
                draft.plan.env.clear();
            }
        }
    }
}
