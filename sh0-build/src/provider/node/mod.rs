//! JavaScript and TypeScript: Node and Bun, with npm, yarn, pnpm or bun.

mod build;
mod dev;
mod framework;
mod frameworks;
mod manager;
mod nx;
mod prisma;
mod start;
mod workspace;

pub(crate) use dev::{DevOnly, keep_needed};
pub(crate) use workspace::expand as members;

use sh0_core::Result;

use self::framework::Output;
use self::frameworks::Framework;
use self::manager::{Manager, Runner};
use super::{Provider, assets, static_files};
use crate::draft::{Draft, Pin, refuse, tool_versions, version_file};
use crate::images;
use crate::text::{At, Json};
use crate::tree::Files;

/// Files that start a server where no script says how.
const ENTRIES: &[&str] =
    &["server.js", "index.js", "app.js", "main.js", "server.mjs", "index.mjs", "src/index.js", "src/server.js"];

const MANIFESTS: &[&str] = &["package.json", "package.json5"];

pub(crate) struct Node;

impl Provider for Node {
    fn language(&self) -> &'static str {
        "node"
    }

    fn looks_for(&self) -> &'static str {
        "Node: package.json, or server.js, index.js, app.js beside no index.html"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        // A script beside a page belongs to the page.
        files.first(MANIFESTS).is_some()
            || files.first(&start::TYPESCRIPT[..3]).is_some()
            || (files.first(&ENTRIES[..6]).is_some() && !files.is_file("index.html"))
    }

    fn has_member(&self, files: Files<'_>, folder: &str) -> bool {
        let Some(Ok(manifest)) = read(files) else { return false };
        let members = workspace::folders(files, Some(&manifest));
        let tree = Tree { files, manifest };
        members.iter().any(|member| member == folder)
            || nx::apps(&tree, &members).iter().any(|app| app.folder == folder)
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let manifest = match read(files) {
            Some(Ok(manifest)) if manifest.value.is_object() => Some(manifest),
            Some(Ok(_)) => return refuse("package.json is not a JSON object; write at least {\"name\": \"app\"}"),
            Some(Err(error)) => return refuse(error),
            None => None,
        };
        let mut draft = Draft::default();
        draft.plan.language = "node".into();
        match manifest {
            Some(manifest) => Tree { files, manifest }.plan(&mut draft),
            None => bare_script(files, &mut draft),
        }
        Ok(draft)
    }
}

/// The manifest; pnpm reads JSON5 too (pnpm.io/package_json).
fn read(files: Files<'_>) -> Option<std::result::Result<Json, String>> {
    Json::read(files, MANIFESTS[0]).or_else(|| Json::read_json5(files, MANIFESTS[1]))
}

/// A script without a manifest: nothing to install.
fn bare_script(files: Files<'_>, draft: &mut Draft) {
    draft.because_of(
        "language = node",
        "a script that Node runs",
        At::file(files.first(ENTRIES).or_else(|| files.first(start::TYPESCRIPT)).unwrap_or_default()),
    );
    let version = draft.version(&images::NODE, pins(files, None));
    runs_on_node(draft, version);
    if let Some(entry) = files.first(ENTRIES).or_else(|| files.first(start::TYPESCRIPT)) {
        draft.start(format!("node {entry}"), "the usual name of the first script", Some(At::file(entry)));
        start::listens_on(files, draft, entry);
    }
}

fn runs_on_node(draft: &mut Draft, version: String) {
    draft.env("NODE_ENV", "production");
    draft.tool("node", "Node.js (Debian: apt-get install nodejs)");
    draft.recipe.run = Some((&images::NODE, version));
}

/// A tree with a manifest.
pub(super) struct Tree<'a> {
    pub(super) files: Files<'a>,
    pub(super) manifest: Json,
}

impl Tree<'_> {
    fn plan(&self, draft: &mut Draft) {
        let why = "this is the manifest of a Node package";
        draft.because_of("language = node", why, At::file(self.manifest.file.as_str()));
        let manager = Manager::find(self, draft);
        let members = workspace::folders(self.files, Some(&self.manifest));
        let own = framework::find(self);
        let root = self.files.0.picked().map(str::to_owned);
        let projects = nx::apps(self, &members);
        let picked =
            root.clone().filter(|folder| members.contains(folder) || projects.iter().any(|app| app.folder == *folder));
        let project = self.nx_app(&projects, picked.as_deref(), draft);
        let served = picked.is_none().then(|| self.served_member(&members)).flatten();
        // The root of a workspace may be an app; else one of its members is.
        let root_runs = picked.is_none() && served.is_none() && (self.script("start").is_some() || own.is_some());
        let apps = if members.is_empty() || project.is_some() || !projects.is_empty() || root_runs && own.is_some() {
            Vec::new()
        } else {
            workspace::apps(self.files, &members)
        };
        let version = draft.version(&images::NODE, pins(self.files, Some(&self.manifest)));
        let framework = match &own {
            Some((framework, at)) => {
                draft.plan.framework = Some(framework.name.to_owned());
                draft.because_of(format!("framework = {}", framework.name), framework::why(at), at.clone());
                Some(*framework)
            }
            None => self.shared_framework(draft, &apps),
        };
        let app = match &picked {
            _ if project.is_some() => None,
            None if served.is_some() => served,
            Some(folder) => apps
                .into_iter()
                .find(|app| app.folder == *folder)
                .or_else(|| workspace::Member::read(self.files, folder)),
            None if root_runs => None,
            None => only(apps, draft),
        };
        let has_dependencies = self.has_dependencies() || !members.is_empty();
        let runner = Runner::of(self, manager);
        let member = app.as_ref().and_then(|app| app.plan(self, &members, &runner, draft.plan.version.clone()));
        let builds = match &member {
            // The root's own build knows the order of its members.
            Some(_) if picked.is_none() && self.script("build").is_some() => self.build(draft, manager, None),
            Some(member) => !member.plan.build.is_empty(),
            None if project.is_some() => true,
            None => self.build(draft, manager, framework),
        };
        let mut dev_only = match app.as_ref().and_then(workspace::Member::manifest) {
            Some(member) => DevOnly::of(&[&self.manifest, &member]),
            None => DevOnly::of(&[&self.manifest]),
        };
        dev_only.manager = runner.package.clone().map(|package| (manager.name(), package));
        dev_only.prisma = prisma::Prisma::find(self, &members);
        let mut has_dev = builds;
        if has_dependencies {
            has_dev = manager.install(self, draft, &mut dev_only, builds);
            draft.path("node_modules/.bin");
        }
        if has_dependencies || builds {
            draft.recipe.build = Some((&images::NODE, version.clone()));
            manager.tools(draft);
        }
        runs_on_node(draft, version.clone());
        match (member, app) {
            (Some(member), Some(app)) => {
                draft.because(
                    format!("app = {}", app.folder),
                    match (picked.is_some(), self.script("start")) {
                        (true, _) => "it was named as the root",
                        (false, Some(_)) => "the script `start` goes there",
                        (false, None) => "the only member that can be started or served",
                    },
                );
                draft.take_member(member);
            }
            _ if project.is_some() => project.into_iter().for_each(|project| project.plan(draft)),
            _ => self.finish(draft, &runner, framework, framework::output(self, own.as_ref().map(|(f, _)| *f)), builds),
        }
        start::built_for_bun(draft, manager, version);
        let next = framework.is_some_and(|framework| framework.name == "next");
        if next && builds && members.is_empty() && draft.plan.static_dir.is_none() {
            self.standalone(draft);
        }
        if draft.plan.static_dir.is_none() && has_dependencies && has_dev && members.is_empty() {
            draft.recipe.prune = manager.prune(self, framework).map(str::to_owned);
        }
        draft.recipe.dev_only = Some(dev_only);
        within_reach(draft);
        self.telemetry(draft, framework);
    }

    /// The application of an Nx workspace: the one that the root's `start` runs, else its only one or its default.
    fn nx_app<'p>(&self, projects: &'p [nx::App], picked: Option<&str>, draft: &mut Draft) -> Option<&'p nx::App> {
        if let Some(picked) = picked {
            return projects.iter().find(|app| app.folder == picked);
        }
        if let Some(start) = self.script("start") {
            return projects.iter().find(|app| self.script("build").is_none() && app.is_started_by(start));
        }
        let default = nx::default_project(self);
        match projects {
            [only] => Some(only),
            [first, ..] => default.and_then(|name| projects.iter().find(|app| app.is(&name))).or_else(|| {
                let labels: Vec<&str> = projects.iter().take(20).map(nx::App::label).collect();
                draft.recipe.several = Some(several(&labels, projects.len(), &first.folder));
                None
            }),
            [] => None,
        }
    }

    /// The member that `start` goes to, where that is served rather than started: `yarn --cwd ./web start`. More than one
    /// command, or more than one member, may be a server too.
    fn served_member(&self, members: &[String]) -> Option<workspace::Member<'_>> {
        let plain = |start: &&str| !start.contains(['&', '|', ';', '"', '\'', '`', '$', '(', '\n']);
        let start = self.script("start").filter(|_| !members.is_empty()).filter(plain)?;
        let mut called = start.split([' ', '=']).map(|word| word.trim_start_matches("./")).filter(|w| !w.is_empty());
        called.next().filter(|first| matches!(*first, "npm" | "yarn" | "pnpm" | "bun"))?;
        let called: Vec<&str> = called.collect();
        let is = |member: &workspace::Member<'_>, word: &str| {
            let named = |manifest: Json| manifest.str(&["name"]) == Some(word);
            member.folder == word || member.manifest().is_some_and(named)
        };
        let all = members.iter().filter_map(|folder| workspace::Member::read(self.files, folder));
        let mut named = all.filter(|member| called.iter().any(|word| is(member, word)));
        let (Some(member), None) = (named.next(), named.next()) else { return None };
        let mut others = called.iter().filter(|word| !word.starts_with('-') && !is(&member, word));
        let script = others.find(|word| !matches!(**word, "run" | "workspace"))?;
        Some(member).filter(|member| matches!(*script, "start" | "dev" | "serve") && member.is_served())
    }

    /// What a workspace is made of when its root names nothing: the framework of the app that its start script goes to,
    /// or the one that all its apps share.
    fn shared_framework(&self, draft: &mut Draft, apps: &[workspace::Member<'_>]) -> Option<&'static Framework> {
        let start = self.script("start").unwrap_or_default();
        let named = apps.iter().find(|app| start.contains(&app.folder)).and_then(workspace::Member::framework);
        let mut all = apps.iter().map(|app| app.framework().map(|framework| framework.name));
        let first = all.next()?;
        let shared = || apps[0].framework().filter(|_| all.all(|name| name == first));
        let framework = named.or_else(shared)?;
        draft.plan.framework = Some(framework.name.to_owned());
        draft.because(format!("framework = {}", framework.name), "the app of the workspace is made with it");
        Some(framework)
    }

    /// What is served or started once it is built.
    fn finish(&self, draft: &mut Draft, runner: &Runner, framework: Option<&Framework>, output: Output, builds: bool) {
        match output {
            Output::Files { dir, spa, at } => {
                static_files::serve(draft, &dir, "the framework writes its pages there", at);
                draft.plan.spa_fallback = spa;
                if framework.is_some_and(|framework| framework.name == "hugo") {
                    static_files::fetch_modules(self.files, draft);
                }
                draft.plan.env.clear();
            }
            Output::Server { command, at } => {
                draft.start(command, "the framework writes its server there", Some(at));
                draft.env("HOST", "0.0.0.0");
                let kit = framework.filter(|framework| framework.name == "sveltekit");
                kit.and_then(|_| framework::without_server(self)).into_iter().for_each(|warning| draft.warn(warning));
            }
            Output::Native => {
                draft.recipe.several = Some(
                    "this is an app of a phone, which no server runs: Expo makes pages of it when react-native-web is \
                     among its dependencies (docs.expo.dev/workflow/web)"
                        .into(),
                );
            }
            Output::Unknown => {
                start::stand_ins(self, draft, runner);
                let started = start::find(self, draft, runner, framework);
                if !started && !builds && (self.files.is_file("index.html") || self.files.is_file("public/index.html"))
                {
                    let dir = if self.files.is_file("index.html") { "." } else { "public" };
                    let index = if dir == "." { "index.html" } else { "public/index.html" };
                    static_files::serve(
                        draft,
                        dir,
                        "no script starts a server, and this file is there to be served",
                        At::file(index),
                    );
                    draft.plan.env.clear();
                    draft.recipe.build = None;
                    draft.plan.install.clear();
                    draft.plan.tools.clear();
                    draft.plan.paths.clear();
                }
            }
        }
    }

    /// The folder that Next.js makes to be shipped alone. The pages' files are not in it by themselves
    /// (nextjs.org/docs, `output`).
    fn standalone(&self, draft: &mut Draft) {
        const FOLDER: &str = ".next/standalone";
        let start = draft.plan.start_command.as_deref().unwrap_or_default();
        let Some((variables, at)) = framework::standalone(self, start) else { return };
        let public = if self.files.is_folder("public") { format!(" && cp -r public {FOLDER}/") } else { String::new() };
        let copy = format!("cp -r .next/static {FOLDER}/.next/{public}");
        draft.recipe.build_last = Some((copy, "the server of `standalone` serves these too", at.clone()));
        let command = format!("{variables}node {FOLDER}/server.js");
        draft.start(&*command, "`standalone`: the server with no more than what it uses", Some(at));
        // Where it listens; Docker sets this variable to the name of the container.
        draft.env("HOSTNAME", "0.0.0.0");
        draft.recipe.ship = vec![FOLDER.to_owned()];
        draft.recipe.ship_for = Some(command);
    }

    /// The build command. Answers whether there is one.
    fn build(&self, draft: &mut Draft, manager: Manager, framework: Option<&Framework>) -> bool {
        if let Some(name) = assets::build_script(&self.manifest)
            && let Some(script) = self.script(name)
        {
            let why = format!("package.json has the script `{script}`");
            let command = manager.run(name);
            draft.because_of(format!("build = {command}"), why, self.manifest.at(&["scripts", name]));
            draft.plan.build.push(command);
            return true;
        }
        // Platforms have names of their own for it.
        for script in ["heroku-postbuild", "gcp-build"] {
            if self.script(script).is_some() {
                let command = manager.run(script);
                let at = self.manifest.at(&["scripts", script]);
                draft.because_of(format!("build = {command}"), format!("package.json has the script `{script}`"), at);
                draft.plan.build.push(command);
                return true;
            }
        }
        let Some(command) = framework.and_then(|framework| framework.build) else { return false };
        draft.because(format!("build = {command}"), "the framework's own, as there is no script `build`");
        draft.plan.build.push(command.to_owned());
        true
    }

    /// Builds that ask questions or report home wait for a terminal that is not there.
    fn telemetry(&self, draft: &mut Draft, framework: Option<&Framework>) {
        let variable = match framework.map(|framework| framework.name) {
            Some("next") => ("NEXT_TELEMETRY_DISABLED", "1"),
            Some("nuxt") => ("NUXT_TELEMETRY_DISABLED", "1"),
            Some("astro") => ("ASTRO_TELEMETRY_DISABLED", "1"),
            _ => return,
        };
        if draft.plan.static_dir.is_none() {
            draft.env(variable.0, variable.1);
        } else {
            draft.recipe.build_env.push(variable);
        }
    }

    pub(super) fn script(&self, name: &str) -> Option<&str> {
        self.manifest.str(&["scripts", name])
    }

    /// Where a dependency is named.
    pub(super) fn dependency(&self, name: &str) -> Option<At> {
        ["dependencies", "devDependencies", "optionalDependencies"]
            .into_iter()
            .find(|section| self.manifest.get(&[section, name]).is_some())
            .map(|section| self.manifest.at(&[section, name]))
    }

    fn has_dependencies(&self) -> bool {
        let any = |section: &str| {
            self.manifest.get(&[section]).and_then(|v| v.as_object()).is_some_and(|all| !all.is_empty())
        };
        any("dependencies")
            || any("devDependencies")
            || any("optionalDependencies")
            || self.manifest.get(&["workspaces"]).is_some()
    }
}

/// Pages that the build writes beside the folder which is built are in no image.
fn within_reach(draft: &mut Draft) {
    let Some(dir) = draft.plan.static_dir.take_if(|dir| dir.starts_with("../")) else { return };
    draft.recipe.several = Some(format!(
        "the build writes its pages to `{dir}`, which is outside of the folder of the app: let it write them inside, and \
         name that folder as `static_dir` in sh0.toml if it is not found"
    ));
}

/// The one app of a workspace. With several, somebody has to say which.
fn only<'a>(mut apps: Vec<workspace::Member<'a>>, draft: &mut Draft) -> Option<workspace::Member<'a>> {
    if apps.len() <= 1 {
        return apps.pop();
    }
    let labels: Vec<String> = apps.iter().take(20).map(workspace::Member::label).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    draft.recipe.several = Some(several(&labels, apps.len(), &apps[0].folder));
    None
}

/// Why nothing starts in a workspace that has several apps.
pub(crate) fn several(labels: &[&str], count: usize, first: &str) -> String {
    let more = if count > labels.len() { ", ..." } else { "" };
    format!(
        "this workspace has {}: {}{more}; say which one with `root = \"{first}\"` in sh0.toml",
        if count == 1 { "an app in a folder" } else { "several apps" },
        labels.join(", ")
    )
}

fn pins(files: Files<'_>, manifest: Option<&Json>) -> Vec<Pin> {
    let mut pins = Vec::new();
    pins.extend(version_file(files, ".nvmrc"));
    pins.extend(version_file(files, ".node-version"));
    pins.extend(tool_versions(files, &["nodejs", "node"]));
    let Some(manifest) = manifest else { return pins };
    let runtime: &[&str] = &["devEngines", "runtime"];
    for (path, by) in [
        (&["volta", "node"][..], "volta.node of package.json"),
        (runtime, "devEngines of package.json"),
        (&["engines", "node"], "engines.node of package.json"),
    ] {
        let wanted = if path == runtime { dev_engine(manifest) } else { manifest.str(path) };
        if let Some(wanted) = wanted {
            pins.push(Pin { wanted: wanted.to_owned(), by: by.into(), at: manifest.at(path) });
        }
    }
    pins
}

/// The version of Node in `devEngines.runtime`, one runtime or a list of them (docs.npmjs.com, package.json).
fn dev_engine(manifest: &Json) -> Option<&str> {
    let runtime = manifest.get(&["devEngines", "runtime"])?;
    let all = runtime.as_array().map_or(std::slice::from_ref(runtime), Vec::as_slice);
    all.iter().find(|one| one.get("name").is_none_or(|name| name == "node"))?.get("version")?.as_str()
}
