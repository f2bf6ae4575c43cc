//! A plan in the making.

use sh0_core::model::{EnvKey, ImagePlan, OWN_PORT, Plan, ProcessName, Reason, RelPath, Tool};
use sh0_core::{Code, Error, Result};

use crate::command;
use crate::images::Base;
use crate::recipe::{FixedPort, Recipe};
use crate::root::below;
use crate::rules::is_secret_variable;
use crate::text::At;

/// A plan in the making. Providers fill it, the tree's and the app's own settings change it, the renderer reads it.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) plan: Plan,
    pub(crate) recipe: Recipe,
    /// Warnings that count only where the builder is the classic one.
    pub(crate) classic_warnings: Vec<String>,
}

impl Draft {
    /// Makes a draft of a folder one of the tree around it: every command runs in the folder, every path names it.
    pub(crate) fn moved_into(mut self, folder: &str) -> Draft {
        let into = |command: &mut String| *command = in_folder(folder, command);
        let below = |path: &mut String| *path = below(folder, path);
        let Draft { plan, recipe, .. } = &mut self;
        plan.install
            .iter_mut()
            .chain(&mut plan.build)
            .chain(&mut recipe.before_install)
            .chain(&mut recipe.prune)
            .chain(&mut recipe.trim)
            .for_each(into);
        plan.start_command
            .iter_mut()
            .chain(plan.processes.values_mut())
            .chain(&mut plan.release_command)
            .for_each(into);
        recipe.fixed_port.iter_mut().for_each(|fixed| into(&mut fixed.command));
        self.said_of(folder, 0, 0);
        let Draft { plan, recipe, .. } = &mut self;
        plan.static_dir.iter_mut().chain(&mut recipe.ship).for_each(below);
        recipe.drop.iter_mut().for_each(|pattern| *pattern = format!("{}/{pattern}", quote(folder)));
        plan.reasons.iter_mut().filter_map(|reason| reason.file.as_mut()).for_each(below);
        let paths = std::mem::take(&mut plan.paths);
        paths.iter().for_each(|path| self.path(&format!("{folder}/{path}")));
        self.recipe.manifests.clear();
        self.recipe.install_needs_source = true;
        self
    }

    /// Notes which folder the warnings speak of, but for the first ones, and where the port of a script is written.
    pub(crate) fn said_of(&mut self, folder: &str, warnings: usize, classic: usize) {
        let new = self.plan.warnings.iter_mut().skip(warnings).chain(self.classic_warnings.iter_mut().skip(classic));
        new.for_each(|warning| *warning = format!("{folder}: {warning}"));
        self.recipe.fixed_port.iter_mut().for_each(|fixed| fixed.at.file = below(folder, &fixed.at.file));
    }

    /// Lets files in the folder of a workspace's member say their part: what they say runs there, and lies there.
    pub(crate) fn said_in<T>(&mut self, folder: &str, say: impl FnOnce(&mut Draft) -> Result<T>) -> Result<T> {
        let (before, classic) = (self.plan.clone(), self.classic_warnings.len());
        // Only a provider finds such a port.
        let fixed_port = self.recipe.fixed_port.take();
        let answer = say(self)?;
        self.said_of(folder, before.warnings.len(), classic);
        self.recipe.fixed_port = fixed_port;
        let plan = &mut self.plan;
        let into = |command: &mut String| *command = in_folder(folder, command);
        for (now, then) in [(&mut plan.install, &before.install), (&mut plan.build, &before.build)] {
            now.iter_mut().filter(|command| !then.contains(command)).for_each(into);
        }
        for (now, then) in
            [(&mut plan.start_command, &before.start_command), (&mut plan.release_command, &before.release_command)]
        {
            now.iter_mut().filter(|command| then.as_ref() != Some(command)).for_each(into);
        }
        let unsaid = |name: &ProcessName, command: &String| before.processes.get(name) == Some(command);
        plan.processes.iter_mut().filter(|(name, command)| !unsaid(name, command)).for_each(|(_, c)| into(c));
        let elsewhere = plan.static_dir.iter_mut().filter(|dir| before.static_dir.as_ref() != Some(dir));
        elsewhere.for_each(|dir| *dir = below(folder, dir));
        let said = plan.reasons.iter_mut().skip(before.reasons.len());
        said.filter_map(|reason| reason.file.as_mut()).for_each(|file| *file = below(folder, file));
        if plan.image != before.image
            && let ImagePlan::Dockerfile { path } = &mut plan.image
            && let Ok(outside) = below(folder, path.as_str()).parse()
        {
            *path = outside;
        }
        let paths = std::mem::take(&mut plan.paths);
        for path in paths {
            let said = !before.paths.contains(&path);
            self.path(&if said { below(folder, path.as_str()) } else { path.to_string() });
        }
        Ok(answer)
    }

    /// Takes over what a member of a workspace says: the root has installed what it needs.
    pub(crate) fn take_member(&mut self, member: Draft) {
        let Draft { plan, recipe, classic_warnings } = member;
        let into = &mut self.plan;
        into.framework = plan.framework.or(into.framework.take());
        if into.build.is_empty() {
            into.build = plan.build;
        }
        into.start_command = plan.start_command;
        into.processes.extend(plan.processes);
        into.static_dir = plan.static_dir;
        into.spa_fallback = plan.spa_fallback;
        into.reasons.extend(plan.reasons);
        into.warnings.extend(plan.warnings);
        self.classic_warnings.extend(classic_warnings);
        into.env.extend(plan.env);
        if into.static_dir.is_some() {
            into.env.clear();
        }
        into.paths.extend(plan.paths);
        for tool in plan.tools {
            self.tool(&tool.program, &tool.install_hint);
        }
        self.recipe.before_ship.extend(recipe.before_ship);
        self.recipe.several = recipe.several.or(self.recipe.several.take());
        self.recipe.fixed_port = recipe.fixed_port;
        self.recipe.stand_ins.extend(recipe.stand_ins);
        if recipe.run.is_some() {
            self.recipe.build = recipe.run.clone();
            self.recipe.run = recipe.run;
        }
    }

    /// What has to end the build, once everybody has said theirs.
    pub(crate) fn end_build(&mut self) {
        let Some((command, why, at)) = self.recipe.build_last.take() else { return };
        if self.plan.start_command.is_some() && self.plan.start_command == self.recipe.ship_for {
            self.because_of(format!("build += {command}"), why, at);
            self.plan.build.push(command);
        }
    }

    /// Builds what commands name beside the program that starts, once everybody has said theirs.
    pub(crate) fn build_programs(&mut self) {
        for program in std::mem::take(&mut self.recipe.programs) {
            let named = |command: &&String| {
                command::names_path(command, &program.path)
                    || program.name.as_ref().is_some_and(|name| command::runs(command, name))
            };
            let Some(by) = commands(&self.plan).find(named).cloned() else { continue };
            // An owner's own build makes what it makes.
            let Some(at) = self.plan.build.iter().position(|build| build.starts_with(&program.follows)) else { break };
            self.because(format!("build += {}", program.build), format!("`{by}` runs it"));
            self.plan.build[at] += &format!(" && {}", program.build);
            let ship = &mut self.recipe.ship;
            let inside = |folder: &String| {
                program.ship.as_str() == folder || program.ship.as_str().starts_with(&format!("{folder}/"))
            };
            if !ship.is_empty() && !ship.iter().any(inside) {
                ship.push(program.ship.to_string());
            }
            if let (Some(_), Some((folder, _))) = (&program.name, program.ship.as_str().rsplit_once('/')) {
                self.path(folder);
            }
        }
        let Some(folder) = self.recipe.unshipped else { return };
        let named = commands(&self.plan).find(|command| command.contains(folder)).cloned();
        if let Some(command) = named {
            self.warn(format!(
                "`{command}` names a file in `{folder}`, which stays in the build: start the binary in ./bin instead"
            ));
        }
    }

    /// The port of the script that is started, if it is still the one that was looked at.
    pub(crate) fn apply_fixed_port(&mut self) {
        let Some(fixed) = self.recipe.fixed_port.take() else { return };
        // A Procfile may call the interpreter by another name.
        let script = |command: &str| command.split_whitespace().last().map(str::to_owned);
        let started = self.plan.start_command.as_deref().and_then(script);
        if started.is_none() || started != script(&fixed.command) || self.plan.port.is_some() {
            return;
        }
        let FixedPort { port, at, instead, .. } = fixed;
        let place = at.line.map(|line| format!("{}:{line}", at.file)).unwrap_or_else(|| at.file.clone());
        self.warn(format!("{place} listens on a fixed port; use {instead}, so that two releases can run side by side"));
        self.because_of(format!("port = {port}"), "the script listens on this port, whatever PORT says", at);
        self.plan.port = Some(port);
    }

    /// Notes why something was decided, where no file says so.
    pub(crate) fn because(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.plan.reasons.push(Reason { what: what.into(), why: why.into(), file: None, line: None });
    }

    /// Notes which place of which file decided something.
    pub(crate) fn because_of(&mut self, what: impl Into<String>, why: impl Into<String>, at: At) {
        self.plan.reasons.push(Reason { what: what.into(), why: why.into(), file: Some(at.file), line: at.line });
    }

    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        self.plan.warnings.push(warning.into());
    }

    /// Sets a variable of build and run; what is set already stays.
    pub(crate) fn env(&mut self, key: &str, value: &str) {
        if let Ok(key) = key.parse::<EnvKey>() {
            self.plan.env.entry(key).or_insert_with(|| value.to_owned());
        }
    }

    pub(crate) fn path(&mut self, folder: &str) {
        if let Ok(folder) = folder.parse::<RelPath>()
            && !self.plan.paths.contains(&folder)
        {
            self.plan.paths.push(folder);
        }
    }

    pub(crate) fn tool(&mut self, program: &str, install_hint: &str) {
        if !self.plan.tools.iter().any(|tool| tool.program == program) {
            self.plan.tools.push(Tool { program: program.to_owned(), install_hint: install_hint.to_owned() });
        }
    }

    /// Sets what starts `web`, and why.
    pub(crate) fn start(&mut self, command: impl Into<String>, why: impl Into<String>, at: Option<At>) {
        let command = command.into();
        let what = format!("start_command = {command}");
        match at {
            Some(at) => self.because_of(what, why, at),
            None => self.because(what, why),
        }
        self.plan.start_command = Some(command);
    }

    /// Adds the workers of a framework beside `web`: whoever has set them up has jobs that wait for them. A Procfile,
    /// which lists its own, takes their place.
    pub(crate) fn worker(&mut self, command: impl Into<String>, why: impl Into<String>, at: At) {
        let (Some(_), Ok(name)) = (&self.plan.start_command, "worker".parse::<ProcessName>()) else { return };
        let command = command.into();
        self.because_of(format!("processes.worker = {command}"), why, at);
        self.plan.processes.entry(name).or_insert(command);
    }

    /// Picks the image line for the version that the tree asks for, and notes why.
    pub(crate) fn version(&mut self, base: &'static Base, pins: Vec<Pin>) -> String {
        let beyond = pins.iter().any(|pin| base.ends_before(&pin.wanted));
        let otherwise = base.versions.last().filter(|_| beyond).unwrap_or(&base.default);
        let asked = !pins.is_empty();
        for pin in pins {
            match base.choose(&pin.wanted) {
                Some(line) => {
                    self.because_of(
                        format!("version = {line}"),
                        format!("{} asks for `{}`", pin.by, pin.wanted),
                        pin.at,
                    );
                    self.plan.version = Some(line.to_owned());
                    return line.to_owned();
                }
                None => self.warn(format!(
                    "{} asks for {} `{}`, for which there is no base image (there are {}); {} is taken",
                    pin.by,
                    base.stack,
                    pin.wanted,
                    base.versions.join(", "),
                    otherwise
                )),
            }
        }
        let why = match (beyond, asked) {
            (true, _) => "the newest that is known",
            (false, true) => "what the tree asks for has no base image",
            (false, false) => "nothing in the tree asks for another",
        };
        self.because(format!("version = {otherwise}"), why);
        self.plan.version = Some((*otherwise).to_owned());
        (*otherwise).to_owned()
    }

    /// A version of a tool that another builder was told: counts where it is the language's own.
    pub(crate) fn told_version(&mut self, tool: &str, wanted: &str, at: At) {
        let name = if matches!(tool, "golang") { "go" } else { tool };
        let Some(base) = crate::images::of_language(&self.plan.language).filter(|base| base.stack == name) else {
            return self.warn(format!(
                "{}: the version of {tool} is left out: the image is one of {}",
                at.file, self.plan.language
            ));
        };
        match base.choose(wanted) {
            Some(line) => {
                self.use_version(base, line);
                self.because_of(format!("version = {line}"), format!("it asks for `{wanted}`"), at);
            }
            None => self.warn(format!("{} asks for {tool} `{wanted}`, for which there is no base image", at.file)),
        }
    }

    /// Makes every stage of this stack use this line of images.
    pub(crate) fn use_version(&mut self, base: &'static Base, line: &str) {
        for (stage, used) in [&mut self.recipe.build, &mut self.recipe.run].into_iter().flatten() {
            // Images that build or run may be others, such as Maven's and Tomcat's, with the same versions.
            if stage.versions == base.versions || stage.versions.contains(&line) {
                line.clone_into(used);
            }
        }
        self.plan.version = Some(line.to_owned());
    }

    /// Makes `command` what starts `web`, in place of whatever did.
    pub(crate) fn set_web(&mut self, command: String) {
        self.plan.start_command = Some(command);
        self.plan.static_dir = None;
        self.plan.spa_fallback = false;
        self.list_web();
    }

    /// Copies `web` from the start command, where a plan lists its processes.
    pub(crate) fn list_web(&mut self) {
        if let (Some(command), Ok(web)) = (&self.plan.start_command, "web".parse::<ProcessName>()) {
            self.plan.processes.insert(web, command.clone());
        }
    }
}

/// A command of the tree that runs in one of its folders.
fn in_folder(folder: &str, command: &str) -> String {
    format!("cd {} && {command}", quote(folder))
}

/// The program at `path` of a member's folder, where one was picked, started there.
pub(crate) fn start_within(member: Option<&str>, path: &str) -> String {
    in_member(member, &format!("./{path}"))
}

/// A command of a member, where one was picked, run in its folder.
pub(crate) fn in_member(member: Option<&str>, command: &str) -> String {
    member.map_or_else(|| command.to_owned(), |folder| in_folder(folder, command))
}

/// All that is run: the start command, the processes, the release command.
pub(crate) fn commands(plan: &Plan) -> impl Iterator<Item = &String> {
    plan.start_command.iter().chain(plan.processes.values()).chain(&plan.release_command)
}

/// The variables that images and exports may have, with the port where a value stands for it.
pub(crate) fn open_env(plan: &Plan, port: u16) -> impl Iterator<Item = (&EnvKey, String)> {
    let told = move |value: &String| if value == OWN_PORT { port.to_string() } else { value.clone() };
    let open = plan.env.iter().filter(|(key, value)| !is_secret_variable(key.as_str(), value));
    open.map(move |(key, value)| (key, told(value)))
}

/// The variables that the tree writes down and instances alone get.
pub(crate) fn secret_env(plan: &Plan) -> impl Iterator<Item = &EnvKey> {
    plan.env.iter().filter(|(key, value)| is_secret_variable(key.as_str(), value)).map(|(key, _)| key)
}

/// A version that the tree asks for, and where.
pub(crate) struct Pin {
    pub(crate) wanted: String,
    pub(crate) by: String,
    pub(crate) at: At,
}

/// What asdf and mise are told of a tool: `.tool-versions`, else mise.toml.
pub(crate) fn tool_versions(files: crate::tree::Files<'_>, names: &[&str]) -> Option<Pin> {
    asdf(files, names).or_else(|| mise(files, names))
}

fn asdf(files: crate::tree::Files<'_>, names: &[&str]) -> Option<Pin> {
    let text = files.text(".tool-versions")?;
    let (line, words) = crate::text::lines(&text).find_map(|(number, line)| {
        let mut words = line.split_whitespace();
        names.contains(&words.next()?).then(|| words.next()).flatten().map(|version| (number, version.to_owned()))
    })?;
    Some(Pin { wanted: words, by: ".tool-versions".into(), at: At::line(".tool-versions", line) })
}

/// `[tools]`: `node = "22"`, `node = ["22", "20"]` or `node = { version = "22" }` (mise.jdx.dev/configuration.html).
pub(crate) fn mise(files: crate::tree::Files<'_>, names: &[&str]) -> Option<Pin> {
    const FILES: &[&str] = &[
        "mise.toml",
        ".mise.toml",
        "mise/config.toml",
        ".mise/config.toml",
        ".config/mise.toml",
        ".config/mise/config.toml",
    ];
    let file = files.first(FILES)?;
    let toml = crate::text::Toml::read(files, file)?.ok()?;
    let (name, value) = names.iter().find_map(|name| Some((*name, toml.get(&["tools", name])?)))?;
    let first = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    let version = first.as_str().or_else(|| first.get("version")?.as_str())?;
    Some(Pin { wanted: version.to_owned(), by: file.to_owned(), at: toml.at(&["tools", name]) })
}

/// A file that holds nothing but a version, such as `.nvmrc`.
pub(crate) fn version_file(files: crate::tree::Files<'_>, file: &str) -> Option<Pin> {
    let text = files.text(file)?;
    let (line, wanted) = crate::text::lines(&text)
        .map(|(number, line)| (number, line.split('#').next().unwrap_or_default().trim()))
        .find(|(_, line)| !line.is_empty())?;
    Some(Pin { wanted: wanted.to_owned(), by: file.to_owned(), at: At::line(file, line) })
}

/// A failure that the owner of the tree can mend.
pub(crate) fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::new(Code::BuildFailed, text))
}

/// Text within a shell command: as it is when it has no special characters, quoted when it has.
pub(crate) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/=:@%+,[]~".contains(c);
    if !text.is_empty() && text.chars().all(|c| plain(c) && !"[]~".contains(c)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
