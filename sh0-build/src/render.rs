//! The Dockerfile of a plan, and the `.dockerignore` beside it.
//!
//! The grammar is the one that both builders of Docker 20.10 understand: no `# syntax=` line (it would fetch a
//! frontend from a registry), no `COPY --link`, no heredocs, and `RUN --mount` only when the caller says that the
//! builder is BuildKit. What compilers and package managers leave behind stays in stages that are not shipped;
//! dependencies that are needed at run time are a layer of their own, below the source. Values of the app's variables
//! are never in the file, nor are the secrets among those of the tree: instances get them, and the commands of a build
//! the app's as secret mounts.

use std::fmt::Write;

use sh0_core::model::{ENV_DIGEST, EnvKey, SecretMount, exec_line, shell};

use crate::command;
use crate::detect::is_dir_name;
use crate::dockerignore;
use crate::draft::{Draft, commands, open_env};
use crate::images::{self, Base};
use crate::recipe::{Borrow, Recipe};
use crate::root::below;
use crate::tree::Files;
use crate::{APP_UID, DEFAULT_PORT, Options};

/// Dockerfile and `.dockerignore`.
pub(crate) fn render(files: Files<'_>, draft: &mut Draft, options: &Options) -> (String, String) {
    settle(draft);
    dockerignore::drop_logins(files, &draft.plan.language, &mut draft.recipe);
    let mut file = Writer { text: String::new(), draft, options };
    file.head();
    if file.draft.plan.static_dir.is_some() {
        file.static_files()
    } else {
        file.program()
    }
    (file.text, dockerignore::render(files, draft))
}

/// Commands that the owner added need a stage to run in, and something to run on.
fn settle(draft: &mut Draft) {
    let (plan, recipe) = (&draft.plan, &mut draft.recipe);
    if recipe.run.is_none() {
        recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
    }
    let builds = !plan.install.is_empty() || !plan.build.is_empty() || !recipe.ship_system.is_empty();
    if recipe.build.is_none() && builds {
        recipe.build = recipe.run.clone();
    }
    if let Some(enough) = &recipe.ship_for {
        match commands(plan).any(|command| command != enough) {
            true => recipe.ship.clear(),
            false => {
                recipe.trim.clear();
                recipe.prune = None;
            }
        }
    }
    // `go run main.go` of a Procfile needs what built it.
    let tool = commands(plan).find_map(|command| Some((command::build_tool(command)?, command)));
    if let (Some((tool, command)), true) = (tool, builds && plan.static_dir.is_none()) {
        recipe.run = recipe.build.clone();
        recipe.ship.clear();
        recipe.ship_tool = true;
        recipe.trim.clear();
        recipe.drop.clear();
        recipe.prune = None;
        recipe.ship_system.extend(recipe.tool_home.map(|(_, folder)| folder));
        let warning = format!("`{command}` starts `{tool}`: the toolchain and the source are shipped with it");
        draft.plan.warnings.push(warning);
    }
    if !builds {
        recipe.build = None;
        recipe.ship.clear();
    }
    recipe.manifests.retain(|name| is_dir_name(name.trim_end_matches('/')));
}

/// The program that serves finished files, with the libraries that it loads.
pub(crate) const ROOTFS: &str = "COPY .sh0/rootfs/ /";
pub(crate) const SH0_ALONE: &str =
    "# Builds of sh0 alone have .sh0/rootfs; `sh0 export` writes one for other builders.";

/// The stages before the last one.
const DEPENDENCIES: &str = "dependencies";
const BUILD: &str = "build";
const PRUNED: &str = "pruned";

/// What the build changes of what was installed changes after this. A step of its own: a file of the same tick of the
/// clock counts as older.
const MARK: &str = "RUN touch /tmp/.sh0-build";

/// Puts into `/ship` what is in the folder of the app, but for what was installed and the build has left as it was.
fn packed(installed: &str, nothing_built: bool) -> String {
    let same = match nothing_built {
        true => format!("-path '{installed}'"),
        false => format!("\\( -path '{installed}' ! -cnewer /tmp/.sh0-build \\)"),
    };
    let pack = "tar --create --null --no-recursion --files-from=/tmp/.sh0-ship";
    format!("mkdir /ship && find . {same} -o -print0 > /tmp/.sh0-ship && {pack} | tar --extract --directory=/ship")
}

/// Leaves no more than what was installed: all else is shipped as the build has left it.
fn alone(installed: &str) -> String {
    format!("find . ! -type d ! -path '{installed}' -delete")
}

struct Writer<'a> {
    text: String,
    draft: &'a Draft,
    options: &'a Options,
}

impl Writer<'_> {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    fn head(&mut self) {
        self.line("# Written by sh0. To change it, keep a copy in your tree as Dockerfile; then that one is used.");
    }

    /// The finished files and the program that serves them, on nothing: the runtime puts that program, with the
    /// libraries that it loads, into the build context.
    fn static_files(&mut self) {
        let plan = &self.draft.plan;
        let dir = plan.static_dir.as_deref().unwrap_or(".");
        let mut command = vec!["/sh0-static", "static", "/srv", "--listen", "0.0.0.0"];
        command.extend(plan.spa_fallback.then_some("--spa"));
        let command = json(&command);
        self.line(SH0_ALONE);
        let builds = self.draft.recipe.build.is_some();
        if builds {
            self.build_stage();
            self.line("");
        }
        let from = match builds {
            true => format!("COPY --from=build {}", words(&below("/app", dir), "/srv")),
            false => format!("COPY {}", words(dir, "/srv")),
        };
        self.line("FROM scratch");
        self.line(ROOTFS);
        self.line(from);
        self.port();
        self.line(format!("USER {APP_UID}:{APP_UID}"));
        self.line(format!("CMD {command}"));
    }

    fn program(&mut self) {
        let recipe = &self.draft.recipe;
        let Some((base, version)) = &recipe.run else { return };
        let image = match recipe.ship_tool {
            true => base.build_image(version, self.options),
            false => base.run_image(version, self.options),
        };
        let builds = recipe.build.is_some();
        if builds {
            self.build_stage();
            self.line("");
        }
        self.line(format!("FROM {image}"));
        self.packages(&recipe.packages, &recipe.debian_packages);
        recipe.before_ship.iter().for_each(|command| self.run(command, &[]));
        self.ship(builds);
        // After the copy: a folder that COPY makes belongs to the app, one that WORKDIR makes to root.
        self.line("WORKDIR /app");
        self.env(false);
        self.paths();
        self.line("ENV HOME=/tmp");
        self.port();
        self.line(format!("USER {APP_UID}:{APP_UID}"));
        if let Some(command) = self.command() {
            self.line(format!("CMD {}", json(&shell(exec_line(&command)))));
        }
    }

    /// What the image runs when nobody says: `web`, else the only process.
    fn command(&self) -> Option<String> {
        let plan = &self.draft.plan;
        plan.start_command.clone().or_else(|| plan.processes.values().next().cloned())
    }

    fn build_stage(&mut self) {
        let recipe = &self.draft.recipe;
        let plan = &self.draft.plan;
        let Some((base, version)) = &recipe.build else { return };
        let layered = self.layered();
        let name = if layered.is_some() { DEPENDENCIES } else { BUILD };
        self.line(format!("FROM {} AS {name}", base.build_image(version, self.options)));
        self.packages(&recipe.build_packages, &recipe.debian_packages);
        for Borrow { base, version, from, to } in &recipe.borrow {
            self.line(format!("COPY --from={} {from} {to}", base.run_image(version, self.options)));
        }
        self.line("WORKDIR /app");
        self.env(true);
        self.paths();
        self.digest();
        let secrets = &self.options.build_secrets;
        let early = self.early();
        recipe.before_install.iter().for_each(|command| self.run(command, secrets));
        if early {
            self.manifests();
            plan.install.iter().for_each(|command| self.run(command, secrets));
        }
        if let Some(installed) = layered.filter(|_| self.as_it_is()) {
            return self.pruned(installed);
        }
        if layered.is_some() {
            self.stage(DEPENDENCIES, BUILD);
        }
        self.line("COPY . .");
        if !early {
            plan.install.iter().for_each(|command| self.run(command, secrets));
        }
        if layered.is_some() && !plan.build.is_empty() {
            self.line(MARK);
        }
        // In the same command as the build, which may hold a lock on what is kept.
        let mut before: Vec<&str> = recipe.before_build.clone();
        for command in &plan.build {
            before.push(command);
            self.run(&before.join(" && "), secrets);
            before.clear();
        }
        if plan.static_dir.is_some() {
            return;
        }
        if layered.is_none() {
            recipe.prune.iter().for_each(|command| self.run(command, secrets));
        }
        recipe.trim.iter().for_each(|command| self.run(command, secrets));
        self.dropped().iter().for_each(|dropped| self.line(format!("RUN {dropped}")));
        if compiled(recipe) {
            self.line("RUN mkdir -p /etc/ssl/certs");
        }
        if let Some(installed) = layered {
            self.line(format!("RUN {}", packed(installed, plan.build.is_empty())));
            self.pruned(installed);
        }
    }

    /// What was installed, without what only the build needed.
    fn pruned(&mut self, installed: &str) {
        if self.shipped_stage() == DEPENDENCIES {
            return;
        }
        let recipe = &self.draft.recipe;
        self.stage(DEPENDENCIES, PRUNED);
        recipe.prune.iter().for_each(|command| self.run(command, &self.options.build_secrets));
        let removed = self.dropped().into_iter().chain((!self.as_it_is()).then(|| alone(installed)));
        let removed: Vec<String> = removed.collect();
        if !removed.is_empty() {
            self.line(format!("RUN {}", removed.join(" && ")));
        }
    }

    /// The stage from which what was installed is shipped, when it is in a layer of its own.
    fn shipped_stage(&self) -> &'static str {
        if self.draft.recipe.prune.is_none() && self.as_it_is() { DEPENDENCIES } else { PRUNED }
    }

    /// Nothing changes the source or what was installed: it is shipped as it was sent.
    fn as_it_is(&self) -> bool {
        let (plan, recipe) = (&self.draft.plan, &self.draft.recipe);
        let ships_more = compiled(recipe) || !recipe.ship_system.is_empty();
        plan.build.is_empty() && recipe.trim.is_empty() && recipe.drop.is_empty() && !ships_more
    }

    /// Dependencies are installed before the source is there.
    fn early(&self) -> bool {
        let recipe = &self.draft.recipe;
        !recipe.manifests.is_empty() && !recipe.install_needs_source && !self.draft.plan.install.is_empty()
    }

    /// The paths of what was installed, where that is shipped in a layer of its own: a change of the source neither copies
    /// nor stores it again.
    fn layered(&self) -> Option<&'static str> {
        let recipe = &self.draft.recipe;
        let whole = recipe.ship.is_empty() && self.draft.plan.static_dir.is_none();
        recipe.installed.filter(|_| whole && self.early())
    }

    fn stage(&mut self, from: &str, name: &str) {
        self.line("");
        self.line(format!("FROM {from} AS {name}"));
        self.digest();
    }

    /// A secret is no part of what the cache is asked for; this is.
    fn digest(&mut self) {
        if !self.options.build_secrets.is_empty() {
            self.line(format!("ARG {ENV_DIGEST}"));
        }
    }

    /// The command that removes what is never shipped.
    fn dropped(&self) -> Option<String> {
        let recipe = &self.draft.recipe;
        (recipe.ship.is_empty() && !recipe.drop.is_empty()).then(|| format!("rm -rf {}", recipe.drop.join(" ")))
    }

    /// What is installed from: files beside each other in one line, folders in one each.
    fn manifests(&mut self) {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for path in &self.draft.recipe.manifests {
            let parent =
                path.rsplit_once('/').map_or("", |(parent, name)| if name.is_empty() { path.as_str() } else { parent });
            match groups.iter_mut().find(|(folder, _)| *folder == parent) {
                Some((_, paths)) => paths.push(path),
                None => groups.push((parent, vec![path])),
            }
        }
        let lines: Vec<String> = groups
            .into_iter()
            .map(|(folder, paths)| {
                format!(
                    "COPY {} ./{}",
                    paths.join(" "),
                    if folder.is_empty() || folder.ends_with('/') { folder.to_owned() } else { format!("{folder}/") }
                )
            })
            .collect();
        lines.iter().for_each(|line| self.line(line));
    }

    /// A command in the build. The shell form where it means the same; the array form where a Dockerfile would read
    /// something else into it.
    fn run(&mut self, command: &str, secrets: &[EnvKey]) {
        let mounts = if self.options.buildkit { self.mounts(secrets) } else { String::new() };
        let plain = !command.contains(char::is_control)
            && !command.contains("<<")
            && !command.starts_with(['-', '[', '#'])
            && !command.ends_with('\\');
        // A secret is a file while the command runs, and a variable of the command alone.
        let told: String = secrets.iter().map(|key| told(key.as_str())).collect();
        match plain {
            true => self.line(format!("RUN {mounts}{told}{command}")),
            false if told.is_empty() => self.line(format!("RUN {mounts}{}", json(&shell(command)))),
            false => self.line(format!("RUN {mounts}{}", json(&shell(format!("{told}{command}"))))),
        }
    }

    fn mounts(&self, secrets: &[EnvKey]) -> String {
        let cache = |(id, folder): &(&str, &str)| {
            // Programs of the same name would meet in it.
            let locked = if *id == "cargo-target" { ",sharing=locked" } else { "" };
            format!("--mount=type=cache,id=sh0-{id},target={folder}{locked} ")
        };
        let secret = |key: &EnvKey| SecretMount(key.as_str()).mount();
        let caches = self.draft.recipe.caches.iter().map(cache);
        caches.chain(secrets.iter().map(secret)).collect()
    }

    fn packages(&mut self, packages: &[&str], more: &[String]) {
        let packages = packages.iter().copied().chain(more.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        if !packages.is_empty() {
            self.line(format!(
                "RUN apt-get update && apt-get install --yes --no-install-recommends {packages} && rm -rf /var/lib/apt/lists/*"
            ));
        }
    }

    /// Only what the app needs when it runs. It belongs to the app, which may write beside its own files.
    fn ship(&mut self, builds: bool) {
        let recipe = &self.draft.recipe;
        let own = format!("--chown={APP_UID}:{APP_UID}");
        if !builds {
            self.line(format!("COPY {own} . /app"));
            return;
        }
        if compiled(recipe) {
            // The slim image has no certificate authorities; the one that builds has.
            self.line("COPY --from=build /etc/ssl/certs /etc/ssl/certs");
        }
        for path in &recipe.ship_system {
            self.line(format!("COPY --from=build {path} {path}"));
        }
        if self.layered().is_some() {
            let (from, source) = if self.as_it_is() { ("", ".") } else { ("--from=build ", "/ship") };
            self.line(format!("COPY --from={} {own} /app /app", self.shipped_stage()));
            self.line(format!("COPY {from}{own} {source} /app"));
        } else if recipe.ship.is_empty() {
            self.line(format!("COPY --from=build {own} /app /app"));
        }
        for path in &recipe.ship {
            self.line(format!("COPY --from=build {own} /app/{path} /app/{path}"));
        }
    }

    fn env(&mut self, build: bool) {
        let recipe = &self.draft.recipe;
        let only_here = recipe.build_env.iter().filter(|_| build).map(|(key, value)| (*key, *value));
        let plan = &self.draft.plan;
        let own: Vec<_> = open_env(plan, plan.port.unwrap_or(DEFAULT_PORT)).collect();
        let everywhere = own.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let home = recipe.tool_home.filter(|_| recipe.ship_tool);
        let lines: Vec<String> = everywhere
            .chain(only_here)
            .chain(home)
            // A control character cannot be written; instances get the value from the platform.
            .filter(|(_, value)| !value.contains(char::is_control))
            .map(|(key, value)| format!("ENV {key}={}", env_value(value)))
            .collect();
        lines.iter().for_each(|line| self.line(line));
    }

    fn paths(&mut self) {
        let paths = &self.draft.plan.paths;
        if !paths.is_empty() {
            let folders: String = paths.iter().map(|path| format!("/app/{path}:")).collect();
            // Quoted where a name has to be: the variable stands within the quotes.
            let value = match env_value(&folders).strip_suffix('"') {
                Some(quoted) => format!("{quoted}$PATH\""),
                None => format!("{folders}$PATH"),
            };
            self.line(format!("ENV PATH={value}"));
        }
    }

    fn port(&mut self) {
        let plan = &self.draft.plan;
        if plan.start_command.is_none() && plan.static_dir.is_none() {
            return;
        }
        let port = plan.port.unwrap_or(DEFAULT_PORT);
        self.line(format!("ENV PORT={port}"));
        self.line(format!("EXPOSE {port}"));
    }
}

/// What stands before a command that gets a secret as its variable.
pub(crate) fn told(key: &str) -> String {
    SecretMount(key).export("\"")
}

/// A program that is shipped on an image other than the one that made it.
fn compiled(recipe: &Recipe) -> bool {
    let stack = |stage: &Option<(&'static Base, String)>| stage.as_ref().map(|(base, _)| base.stack);
    stack(&recipe.build) != stack(&recipe.run)
}

/// Whether `COPY` can name this path: in either form it reads variables, quotes and patterns into it.
pub(crate) fn can_copy(path: &str) -> bool {
    !path.starts_with('-') && !path.contains(|c: char| c.is_control() || "\"'\\$*?[<".contains(c))
}

/// From where and to where a `COPY` goes.
fn words(from: &str, to: &str) -> String {
    if from.contains(char::is_whitespace) { json(&[from, to]) } else { format!("{from} {to}") }
}

/// The array form of an instruction is JSON.
fn json(words: &[impl AsRef<str>]) -> String {
    let mut text = String::from("[");
    for (index, word) in words.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{}", serde_json::Value::from(word.as_ref()));
    }
    text.push(']');
    text
}

/// A value that the builder reads back as it is.
fn env_value(value: &str) -> String {
    let plain = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@,+".contains(c));
    if plain {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}
