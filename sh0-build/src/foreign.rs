//! Files in which trees told other builders how they are built: `nixpacks.toml`, `nixpacks.json`, `railpack.json`, the
//! `app.json` of Heroku and Dokku, and the `Aptfile` of Heroku. What has a place in a plan is taken over; what has none is
//! named in a warning.

use std::collections::BTreeMap;

use sh0_core::model::EnvKey;

use crate::draft::Draft;
use crate::text::{At, Json, Toml, lines};
use crate::tree::Files;

/// What such files say.
#[derive(Default)]
pub(crate) struct Foreign {
    /// The language that the file names.
    pub(crate) language: Option<String>,
    pub(crate) start: Option<(String, At)>,
    release: Option<(String, At)>,
    install: Option<(Vec<String>, At)>,
    build: Option<(Vec<String>, At)>,
    env: BTreeMap<EnvKey, String>,
    packages: Vec<String>,
    /// Versions of tools, for the language.
    versions: Vec<(String, String, At)>,
    warnings: Vec<String>,
}

/// Stands for what was detected, within a list of commands.
const DETECTED: &str = "...";

impl Foreign {
    /// All files of the tree that are there; a broken one is named in a warning.
    pub(crate) fn read(files: Files<'_>) -> Foreign {
        let mut foreign = Foreign::default();
        match Toml::read(files, "nixpacks.toml") {
            Some(Ok(toml)) => match serde_json::to_value(&toml.table) {
                Ok(value) => foreign.nixpacks(&Source { file: "nixpacks.toml", value, at: &|path| toml.at(path) }),
                Err(error) => foreign.warnings.push(format!("nixpacks.toml is left out: {error}")),
            },
            Some(Err(error)) => foreign.warnings.push(format!("{error}; the file is left out")),
            None => foreign.json(files, "nixpacks.json", Foreign::nixpacks),
        }
        foreign.json(files, "railpack.json", Foreign::railpack);
        foreign.json(files, "app.json", Foreign::app);
        foreign.aptfile(files);
        foreign
    }

    fn json(&mut self, files: Files<'_>, file: &'static str, read: impl Fn(&mut Foreign, &Source<'_>)) {
        match Json::read(files, file) {
            Some(Ok(json)) => read(self, &Source { file, value: json.value.clone(), at: &|path| json.at(path) }),
            Some(Err(error)) => self.warnings.push(format!("{error}; the file is left out")),
            None => {}
        }
    }

    /// Debian packages, one a line, of Heroku's apt buildpack; addresses and `:repo:` lines have no place.
    fn aptfile(&mut self, files: Files<'_>) {
        let text = files.text("Aptfile").unwrap_or_default();
        for (number, line) in lines(&text) {
            let line = line.split('#').next().unwrap_or_default();
            for name in line.split_whitespace() {
                match crate::config::is_package(name) && !name.ends_with(".deb") {
                    true => self.packages.push(name.to_owned()),
                    false => {
                        self.warnings.push(format!(
                            "Aptfile:{number}: `{}` is left out: it is no package of Debian",
                            line.trim()
                        ));
                        break;
                    }
                }
            }
        }
    }

    /// nixpacks.com/docs/configuration/file
    fn nixpacks(&mut self, source: &Source<'_>) {
        let mut rest = source.unknown(&["$schema", "providers", "variables", "phases", "start"], &[]);
        let providers = source.words(&["providers"]);
        // `...` stands for what is detected.
        let detected = providers.iter().any(|name| name == DETECTED);
        self.language = providers.first().filter(|_| !detected).map(|name| language(name));
        let others = providers.iter().filter(|name| *name != DETECTED).skip(usize::from(!detected));
        rest.extend(others.map(|name| format!("providers: {name}")));
        self.variables(source, &["variables"]);
        self.start = source.text(&["start", "cmd"]).or(self.start.take());
        rest.extend(source.unknown(&["cmd"], &["start"]));
        let steps = Steps::new(source, "phases", |phase| source.words(&["phases", phase, "dependsOn"]));
        for phase in steps.in_order() {
            let path = ["phases", phase];
            rest.extend(source.unknown(&["cmds", "aptPkgs", "dependsOn"], &path));
            self.packages
                .extend(source.words(&[path[0], path[1], "aptPkgs"]).into_iter().filter(|name| name != DETECTED));
            if let Some(commands) = source.list(&[path[0], path[1], "cmds"]) {
                self.commands(&steps, phase, commands, (source.at)(&path));
            }
        }
        self.leave(source.file, &rest);
    }

    /// railpack.com/config/file
    fn railpack(&mut self, source: &Source<'_>) {
        let mut rest = source.unknown(&["$schema", "provider", "packages", "buildAptPackages", "steps", "deploy"], &[]);
        self.language = source.text(&["provider"]).map(|(name, _)| language(&name)).or(self.language.take());
        self.packages.extend(source.words(&["buildAptPackages"]));
        for tool in source.keys(&["packages"]) {
            if let Some((version, at)) = source.text(&["packages", &tool]) {
                self.versions.push((tool, version, at));
            }
        }
        let inputs = |step: &str| {
            let listed = source.get(&["steps", step, "inputs"]).and_then(|list| list.as_array());
            listed.into_iter().flatten().filter_map(|input| input.get("step")?.as_str()).map(str::to_owned).collect()
        };
        let steps = Steps::new(source, "steps", inputs);
        for step in steps.in_order() {
            let path = ["steps", step];
            rest.extend(source.unknown(&["commands", "variables"], &path));
            self.variables(source, &[path[0], path[1], "variables"]);
            if let Some(commands) = source.list(&[path[0], path[1], "commands"]) {
                self.commands(&steps, step, commands, (source.at)(&path));
            }
        }
        rest.extend(source.unknown(&["startCommand", "aptPackages", "variables"], &["deploy"]));
        self.start = source.text(&["deploy", "startCommand"]).or(self.start.take());
        self.packages.extend(source.words(&["deploy", "aptPackages"]).into_iter().filter(|name| name != DETECTED));
        self.variables(source, &["deploy", "variables"]);
        self.leave(source.file, &rest);
    }

    /// devcenter.heroku.com/articles/app-json-schema, dokku.com/docs/appendices/file-formats/app-json
    fn app(&mut self, source: &Source<'_>) {
        const OURS: &[&str] = &["env", "scripts", "formation", "buildpacks", "addons", "stack", "healthchecks", "cron"];
        // Mobile apps have a file of that name too.
        if !source.keys(&[]).iter().any(|key| OURS.contains(&key.as_str())) {
            return;
        }
        let papers = ["$schema", "name", "description", "keywords", "website", "repository", "logo", "success_url"];
        let mut rest = source.unknown(&[&papers[..], &["env", "scripts"]].concat(), &[]);
        self.variables(source, &["env"]);
        let mut required = Vec::new();
        for name in source.keys(&["env"]) {
            let field = |key: &str| source.get(&["env", &name, key]);
            if field("value").is_none()
                && source.text(&["env", &name]).is_none()
                && field("required").is_none_or(|v| v == true)
            {
                required.push(name);
            }
        }
        if !required.is_empty() {
            self.warnings
                .push(format!("app.json asks for variables that it gives no value: {}; set them", required.join(", ")));
        }
        self.release = source.text(&["scripts", "dokku", "predeploy"]);
        rest.extend(source.unknown(&["dokku"], &["scripts"]));
        rest.extend(source.unknown(&["predeploy"], &["scripts", "dokku"]));
        self.leave(source.file, &rest);
    }

    /// Steps come in the order in which they run. One without commands does nothing.
    fn commands(&mut self, steps: &Steps, step: &str, commands: Vec<String>, at: At) {
        let (list, own) = match step {
            "install" | "build" => (step, true),
            _ if steps.needs("install", step) => ("install", false),
            _ => ("build", false),
        };
        let place = if list == "install" { &mut self.install } else { &mut self.build };
        let before = steps.needs(list, step);
        let (told, _) = place.get_or_insert_with(|| (vec![DETECTED.to_owned()], at));
        let detected = told.iter().position(|command| command == DETECTED);
        // What another step has put there stays around it.
        match detected {
            Some(place) if own => told.splice(place..=place, commands).for_each(drop),
            None if own => *told = commands,
            Some(place) if before => told.splice(place..place, without_detected(commands)).for_each(drop),
            _ => told.extend(without_detected(commands)),
        }
    }

    /// A variable that the other builder reads itself: nixpacks.com/docs/configuration/environment,
    /// railpack.com/config/environment-variables.
    fn told(&mut self, name: &str, value: &str, at: &At) -> bool {
        let Some(what) = name.strip_prefix("NIXPACKS_").or_else(|| name.strip_prefix("RAILPACK_")) else {
            return false;
        };
        match what {
            "START_CMD" => self.start = Some((value.to_owned(), at.clone())),
            "INSTALL_CMD" => self.install = Some((vec![value.to_owned()], at.clone())),
            "BUILD_CMD" => self.build = Some((vec![value.to_owned()], at.clone())),
            _ => match what.strip_suffix("_VERSION") {
                Some("JDK") => self.versions.push(("java".to_owned(), value.to_owned(), at.clone())),
                Some(tool) => self.versions.push((tool.to_ascii_lowercase(), value.to_owned(), at.clone())),
                None => self.warnings.push(format!("{}: {name} has no place in a plan and is left out", at.file)),
            },
        }
        true
    }

    fn variables(&mut self, source: &Source<'_>, path: &[&str]) {
        for name in source.keys(path) {
            let own: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            let value = source.text(&own).or_else(|| source.text(&[&own[..], &["value"]].concat()));
            match (name.parse::<EnvKey>(), value) {
                (Ok(key), Some((value, at))) => {
                    if !self.told(key.as_str(), &value, &at) {
                        self.env.insert(key, value);
                    }
                }
                (Err(error), _) => self.warnings.push(format!(
                    "{}: the variable `{name}` is left out: {}",
                    source.file,
                    error.reason()
                )),
                (Ok(_), None) => {}
            }
        }
    }

    fn leave(&mut self, file: &str, rest: &[String]) {
        if !rest.is_empty() {
            self.warnings
                .push(format!("{file} says things that have no place in a plan and are left out: {}", rest.join(", ")));
        }
    }

    /// Puts what the files say in place of what was detected.
    pub(crate) fn apply(self, draft: &mut Draft) {
        draft.plan.warnings.extend(self.warnings);
        for (told, name) in [(self.install, "install"), (self.build, "build")] {
            let Some((commands, at)) = told else { continue };
            let list = if name == "install" { &mut draft.plan.install } else { &mut draft.plan.build };
            let detected = std::mem::take(list);
            for command in commands {
                match command.as_str() {
                    DETECTED => list.extend(detected.iter().cloned()),
                    _ => list.push(command),
                }
            }
            let what = format!("{name} = as {} says", at.file);
            draft.because_of(what, "the tree told another builder so", at);
            // Commands of a person's may read anything.
            draft.recipe.install_needs_source = true;
        }
        if !self.env.is_empty() {
            let names: Vec<&str> = self.env.keys().map(EnvKey::as_str).collect();
            draft.because(format!("env += {}", names.join(", ")), "the tree told another builder so");
            draft.plan.env.extend(self.env);
        }
        for name in self.packages {
            if crate::config::is_package(&name) && !draft.recipe.debian_packages.contains(&name) {
                draft.because(format!("packages += {name}"), "the tree told another builder so");
                draft.recipe.debian_packages.push(name);
            }
        }
        for (tool, version, at) in self.versions {
            draft.told_version(&tool, &version, at);
        }
        if let Some((command, at)) = self.release
            && draft.plan.release_command.is_none()
        {
            draft.because_of(format!("release_command = {command}"), "the tree told another platform so", at);
            draft.plan.release_command = Some(command);
        }
        if let Some((command, at)) = self.start {
            draft.because_of(format!("start_command = {command}"), "the tree told another builder so", at);
            draft.set_web(command);
        }
    }
}

fn without_detected(commands: Vec<String>) -> impl Iterator<Item = String> {
    commands.into_iter().filter(|command| command != DETECTED)
}

/// The steps of a build and what each of them needs.
struct Steps(BTreeMap<String, Vec<String>>);

impl Steps {
    fn new(source: &Source<'_>, table: &str, needs: impl Fn(&str) -> Vec<String>) -> Steps {
        let mut steps: BTreeMap<String, Vec<String>> =
            source.keys(&[table]).into_iter().map(|step| (step.clone(), needs(&step))).collect();
        // As it is where nobody says otherwise.
        for (step, before) in [("install", "setup"), ("build", "install")] {
            steps.entry(step.to_owned()).or_default().push(before.to_owned());
        }
        Steps(steps)
    }

    /// Every step, behind those that it needs.
    fn in_order(&self) -> Vec<&str> {
        let mut order = Vec::new();
        // Steps that nothing needs come last.
        let main = ["install", "build"].into_iter();
        for step in main.chain(self.0.keys().map(String::as_str)) {
            self.visit(step, &mut Vec::new(), &mut order);
        }
        order
    }

    fn visit<'s>(&'s self, step: &str, above: &mut Vec<&'s str>, order: &mut Vec<&'s str>) {
        let Some((step, needs)) = self.0.get_key_value(step) else { return };
        if above.contains(&step.as_str()) || order.contains(&step.as_str()) {
            return;
        }
        above.push(step);
        needs.iter().for_each(|need| self.visit(need, above, order));
        above.pop();
        order.push(step);
    }

    /// Whether `step` needs `other`, itself or through what it needs.
    fn needs(&self, step: &str, other: &str) -> bool {
        let mut seen = vec![step];
        let mut next = 0;
        while let Some(step) = seen.get(next).copied() {
            next += 1;
            for need in self.0.get(step).into_iter().flatten() {
                if need == other {
                    return true;
                }
                if !seen.contains(&need.as_str()) {
                    seen.push(need);
                }
            }
        }
        false
    }
}

/// Names of languages as plans have them.
fn language(name: &str) -> String {
    match name {
        "golang" => "go",
        "staticfile" => "static",
        "csharp" | "fsharp" => "dotnet",
        other => other,
    }
    .to_owned()
}

/// A file, whatever it is written in.
struct Source<'a> {
    file: &'static str,
    value: serde_json::Value,
    at: &'a dyn Fn(&[&str]) -> At,
}

impl Source<'_> {
    fn get(&self, path: &[&str]) -> Option<&serde_json::Value> {
        path.iter().try_fold(&self.value, |value, key| value.get(key))
    }

    fn keys(&self, path: &[&str]) -> Vec<String> {
        let table = self.get(path).and_then(|value| value.as_object());
        table.into_iter().flat_map(|table| table.keys()).take(200).cloned().collect()
    }

    fn text(&self, path: &[&str]) -> Option<(String, At)> {
        let text = match self.get(path)? {
            serde_json::Value::String(text) => text.trim().to_owned(),
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(flag) => flag.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then(|| (text, (self.at)(path)))
    }

    /// As [`words`](Self::words); `None` where there is no such list.
    fn list(&self, path: &[&str]) -> Option<Vec<String>> {
        self.get(path).filter(|value| value.is_array() || value.is_string()).map(|_| self.words(path))
    }

    /// A list of texts, or of tables whose `cmd` is one; a text is a list of one.
    fn words(&self, path: &[&str]) -> Vec<String> {
        let word = |value: &serde_json::Value| {
            value.as_str().or_else(|| value.get("cmd")?.as_str()).map(|text| text.trim().to_owned())
        };
        match self.get(path) {
            Some(serde_json::Value::Array(list)) => {
                list.iter().filter_map(word).filter(|text| !text.is_empty()).take(200).collect()
            }
            Some(value) => word(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// The keys below `path` beyond the known ones, with their paths.
    fn unknown(&self, known: &[&str], path: &[&str]) -> Vec<String> {
        let below = self.keys(path).into_iter().filter(|key| !known.contains(&key.as_str()));
        below.map(|key| path.iter().copied().chain([key.as_str()]).collect::<Vec<_>>().join(".")).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{MemoryTree, Options, plan_tree};
    use sh0_core::model::AppSettings;

    fn plan(files: &[(&str, &str)]) -> sh0_core::model::Plan {
        let mut tree = MemoryTree::default();
        files.iter().for_each(|(path, text)| tree.insert(*path, *text));
        plan_tree(&tree, &AppSettings::default(), &Options::default()).unwrap()
    }

    #[test]
    fn what_maps_is_taken_and_the_rest_is_named() {
        let plan = plan(&[
            ("package.json", r#"{"scripts":{"start":"node a.js","build":"tsc"},"dependencies":{"express":"5"}}"#),
            (
                "nixpacks.toml",
                "[variables]\nA = 'x'\n[phases.setup]\nnixPkgs = ['...', 'cowsay']\naptPkgs = ['ffmpeg', 'a;b']\n\
                 [phases.build]\ncmds = ['echo before', '...']\n[phases.lint]\ncmds = ['npm run lint']\n[start]\ncmd = 'node b.js'\n",
            ),
        ]);
        assert_eq!(plan.build, ["echo before", "npm run build", "npm run lint"]);
        assert_eq!(plan.start_command.as_deref(), Some("node b.js"));
        assert_eq!(plan.env.get(&"A".parse().unwrap()).map(String::as_str), Some("x"));
        assert!(plan.warnings.iter().any(|warning| warning.contains("phases.setup.nixPkgs")), "{:?}", plan.warnings);
        let sh0_core::model::ImagePlan::Generated { dockerfile, .. } = plan.image else { panic!() };
        assert_eq!(dockerfile.matches(" ffmpeg").count(), 2, "{dockerfile}");
        assert!(!dockerfile.contains("a;b"));
    }

    #[test]
    fn steps_run_in_their_order_or_not_at_all() {
        let package = ("package.json", r#"{"scripts":{"start":"node a.js","build":"tsc"},"dependencies":{"a":"1"}}"#);
        let lock = ("package-lock.json", "{}");
        let steps = |file, text| plan(&[package, lock, (file, text)]);
        let ordered = steps(
            "nixpacks.toml",
            "[phases.zcodegen]\ncmds = ['codegen']\ndependsOn = ['install']\n[phases.a]\ncmds = ['check']\n\
             [phases.build]\ndependsOn = ['zcodegen']\n[phases.tools]\ncmds = ['tools']\n\
             [phases.install]\ndependsOn = ['tools']\n",
        );
        assert_eq!(ordered.build, ["codegen", "npm run build", "check"]);
        assert_eq!((ordered.install[0].as_str(), ordered.install.len()), ("tools", 2), "{:?}", ordered.install);
        for (file, text) in [
            ("nixpacks.toml", "[phases.build]\ncmds = []\n"),
            ("railpack.json", r#"{"steps":{"build":{"commands":[]}}}"#),
        ] {
            let skipped = steps(file, text);
            assert!(skipped.build.is_empty() && !skipped.install.is_empty(), "{skipped:?}");
        }
        let circle = steps(
            "nixpacks.toml",
            "[phases.b]\ncmds = ['b']\ndependsOn = ['c']\n[phases.c]\ncmds = ['c']\ndependsOn = ['b']\n",
        );
        assert_eq!(circle.build, ["npm run build", "c", "b"]);
    }

    #[test]
    fn variables_of_another_builder_are_its_own() {
        let plan = plan(&[
            ("package.json", r#"{"scripts":{"start":"node a.js"},"dependencies":{"a":"1"}}"#),
            (
                "nixpacks.toml",
                "providers = ['...', 'python']\n[variables]\nNIXPACKS_NODE_VERSION = '20'\nNIXPACKS_START_CMD = 'node b.js'\nNIXPACKS_PKGS = 'x'\nA = '1'\n",
            ),
        ]);
        assert_eq!((plan.version.as_deref(), plan.start_command.as_deref()), (Some("20"), Some("node b.js")));
        assert_eq!(plan.env.keys().filter(|key| key.as_str().starts_with("NIX")).count(), 0);
        let said = plan.warnings.join("\n");
        assert!(said.contains("providers: python") && said.contains("NIXPACKS_PKGS"), "{said}");
    }

    #[test]
    fn railpack_and_app_json() {
        let plan = plan(&[
            ("main.py", "print(1)"),
            ("requirements.txt", "flask==3"),
            (
                "railpack.json",
                r#"{"packages":{"python":"3.11"},"steps":{"build":{"commands":["...",{"cmd":"echo hi"}],"inputs":[]}},"deploy":{"startCommand":"python x.py"}}"#,
            ),
            (
                "app.json",
                r#"{"env":{"SECRET":{"required":true},"B":"1"},"scripts":{"dokku":{"predeploy":"./migrate"}},"addons":["x"]}"#,
            ),
        ]);
        assert_eq!((plan.version.as_deref(), plan.start_command.as_deref()), (Some("3.11"), Some("python x.py")));
        assert_eq!(plan.build, ["echo hi"]);
        assert_eq!(plan.release_command.as_deref(), Some("./migrate"));
        let said = plan.warnings.join("\n");
        assert!(said.contains("SECRET") && said.contains("addons") && said.contains("steps.build.inputs"), "{said}");
    }
}
