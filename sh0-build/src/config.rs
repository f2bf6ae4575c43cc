//! `sh0.toml`: what the owner of a tree writes down to override what is detected. Its keys are those of the plan.

use std::collections::BTreeMap;

use sh0_core::model::{EnvKey, FailOn, ProcessName, RelPath};
use sh0_core::{Error, Result};

use crate::draft::Draft;
use crate::root::AppFolder;
use crate::text::{At, Toml};
use crate::tree::Files;
use crate::{detect, images};

/// The file.
pub(crate) const FILE: &str = "sh0.toml";

pub(crate) const KEYS: &[&str] = &[
    "build",
    "check",
    "dockerfile",
    "env",
    "framework",
    "install",
    "language",
    "package_manager",
    "packages",
    "paths",
    "port",
    "processes",
    "release_command",
    "root",
    "spa_fallback",
    "start_command",
    "static_dir",
    "version",
];

const CHECK_KEYS: &[&str] = &["fail_on", "ignore"];

/// The keys of an entry of `check.ignore`.
const IGNORE_KEYS: &[&str] = &["path", "reason", "rule"];

/// What the file says, parsed into values that are valid.
#[derive(Default)]
pub(crate) struct Config {
    pub(crate) language: Option<String>,
    pub(crate) dockerfile: Option<RelPath>,
    framework: Option<String>,
    package_manager: Option<String>,
    packages: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    version: Option<String>,
    install: Option<Vec<String>>,
    build: Option<Vec<String>>,
    pub(crate) start_command: Option<String>,
    release_command: Option<String>,
    port: Option<u16>,
    pub(crate) processes: BTreeMap<ProcessName, String>,
    pub(crate) static_dir: Option<String>,
    spa_fallback: Option<bool>,
    env: BTreeMap<EnvKey, String>,
    places: BTreeMap<&'static str, At>,
}

/// From which severity on findings of the health rules block a deployment.
pub(crate) fn fail_on(toml: &Toml) -> Result<Option<FailOn>> {
    let path = ["check", "fail_on"];
    let Some(value) = toml.get(&path) else { return Ok(None) };
    let parsed = value.as_str().unwrap_or_default().parse::<FailOn>();
    parsed.map(Some).map_err(|error| Reader(toml).wrong(&path, &format!("is {value}"), error.hint()))
}

/// A key of `[check]` that nobody reads may be a policy that its owner believes in.
pub(crate) fn check_keys(toml: &Toml) -> Result<()> {
    let Some(check) = toml.get(&["check"]) else { return Ok(()) };
    let Some(table) = check.as_table() else {
        return Err(Reader(toml).wrong(&["check"], "is not a table", "write [check], and its keys below"));
    };
    match table.keys().find(|key| !CHECK_KEYS.contains(&key.as_str())) {
        Some(key) => Err(unknown(toml.at(&["check", key]).line, "check", key, CHECK_KEYS)),
        None => Ok(()),
    }
}

/// The entries of `check.ignore`, with their lines.
pub(crate) fn ignored(toml: &Toml) -> Result<Vec<(Option<u32>, &toml::Value)>> {
    let path = ["check", "ignore"];
    let Some(value) = toml.get(&path) else { return Ok(Vec::new()) };
    let Some(list) = value.as_array() else {
        return Err(Reader(toml).wrong(
            &path,
            "is not a list",
            "write [{ rule = \"SEC05\", reason = \"why it is fine\" }]",
        ));
    };
    Ok(toml.lines_of(&path).into_iter().chain(std::iter::repeat(None)).zip(list).collect())
}

/// What an entry of `check.ignore` allows. Each is absent or a text that is not empty.
pub(crate) struct Ignored<'t> {
    pub(crate) rule: Option<&'t str>,
    pub(crate) path: Option<&'t str>,
    pub(crate) reason: Option<&'t str>,
}

/// An entry with a key that nobody reads would allow more than its owner means.
pub(crate) fn ignore_entry(line: Option<u32>, entry: &toml::Value) -> Result<Ignored<'_>> {
    let wrong = |key: &str, reason: &str, hint: &str| Error::invalid(format!("{}: {key}", place(line)), reason, hint);
    let Some(table) = entry.as_table() else {
        let hint = "write { rule = \"SEC05\", reason = \"why it is fine\" }";
        return Err(wrong("check.ignore", "has an entry that is not a table", hint));
    };
    if let Some(key) = table.keys().find(|key| !IGNORE_KEYS.contains(&key.as_str())) {
        return Err(unknown(line, "check.ignore", key, IGNORE_KEYS));
    }
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim())),
        Some(_) => {
            Err(wrong(&format!("check.ignore.{key}"), "is not a text", "write it in quotes, or leave the key out"))
        }
    };
    Ok(Ignored { rule: text("rule")?, path: text("path")?, reason: text("reason")? })
}

/// What `root` in the file of a tree says, and where, unless it is the tree itself.
pub(crate) fn root(files: Files<'_>) -> Result<Option<(String, At)>> {
    // A file that cannot be read is refused where all of it is read.
    let Some(Ok(toml)) = Toml::read(files, FILE) else { return Ok(None) };
    let root = Reader(&toml).folder("root")?.filter(|root| root != ".");
    Ok(root.map(|root| (root, toml.at(&["root"]))))
}

/// The language that the file of a tree names. One that cannot be read is refused where all of it is read.
pub(crate) fn language(files: Files<'_>) -> Option<String> {
    Some(Toml::read(files, FILE)?.ok()?.str(&["language"])?.trim().to_owned())
}

/// The package manager that the file of the app names, for languages with several.
pub(crate) fn package_manager(files: Files<'_>) -> Option<(String, At)> {
    let member = files.0.picked().map(|folder| AppFolder::of_plan(files, folder));
    let of_app = member.as_ref().map_or(files, |member| Files(member));
    let toml = Toml::read(of_app, FILE)?.ok()?;
    let mut at = toml.at(&["package_manager"]);
    if let Some(member) = &member {
        at.file = member.outside(&at.file);
    }
    Some((toml.str(&["package_manager"])?.to_owned(), at))
}

impl Config {
    /// The file of the tree; nothing when there is none.
    pub(crate) fn read(files: Files<'_>) -> Result<Config> {
        let toml = match Toml::read(files, FILE) {
            None => return Ok(Config::default()),
            Some(Err(error)) => {
                let (place, reason) = error.split_once(" is ").unwrap_or((FILE, &error));
                return Err(Error::invalid(place, format!("is {reason}"), "mend the line, or remove the file"));
            }
            Some(Ok(toml)) => toml,
        };
        if let Some(key) = toml.table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(unknown(toml.at(&[key]).line, "", key, KEYS));
        }
        let read = Reader(&toml);
        let mut config = Config {
            language: read.text("language")?,
            dockerfile: read.parsed("dockerfile")?,
            framework: read.text("framework")?,
            package_manager: read.text("package_manager")?,
            packages: read.commands("packages")?,
            paths: read.commands("paths")?,
            version: read.text("version")?,
            install: read.commands("install")?,
            build: read.commands("build")?,
            start_command: read.text("start_command")?,
            release_command: read.text("release_command")?,
            port: read.port()?,
            processes: read.table("processes")?,
            static_dir: read.folder("static_dir")?,
            spa_fallback: read.switch("spa_fallback")?,
            env: read.table("env")?,
            places: BTreeMap::new(),
        };
        check_keys(&toml)?;
        fail_on(&toml)?;
        for (line, entry) in ignored(&toml)? {
            ignore_entry(line, entry)?;
        }
        config.places =
            // What `[check]` allows is no part of a plan; `root` was heard before.
            KEYS.iter().filter(|key| !matches!(**key, "check" | "root") && toml.get(&[key]).is_some()).map(|&key| (key, toml.at(&[key]))).collect();
        config.check_web()?;
        Ok(config)
    }

    /// The error for the value of a key.
    pub(crate) fn wrong(&self, key: &str, reason: impl Into<String>, hint: impl Into<String>) -> Error {
        let line = self.places.get(key).and_then(|at| at.line);
        Error::invalid(format!("{}: {key}", place(line)), reason, hint)
    }

    /// One thing is said once: two keys for it would leave one of them unread.
    fn check_web(&self) -> Result<()> {
        let web = self.processes.iter().find(|(name, _)| name.as_str() == "web").map(|(_, command)| command);
        let command = self.start_command.as_ref();
        if self.static_dir.is_some() && command.or(web).is_some() {
            let other = if command.is_some() { "start_command" } else { "processes.web" };
            let hint = "a folder of files is served, or a command started: keep one";
            return Err(self.wrong("static_dir", format!("and {other} are both set"), hint));
        }
        match command.zip(web) {
            Some((command, web)) if command != web => {
                Err(self.wrong("start_command", "and processes.web name two commands", "keep one"))
            }
            _ => Ok(()),
        }
    }

    /// Puts what the file says in place of what was detected.
    pub(crate) fn apply(self, draft: &mut Draft) -> Result<()> {
        for (key, at) in &self.places {
            draft.because_of(format!("{key} = as {FILE} says"), "the owner wrote it down", at.clone());
        }
        if let Some(name) =
            self.package_manager.as_ref().filter(|name| draft.plan.package_manager.as_ref() != Some(name))
        {
            return Err(self.wrong(
                "package_manager",
                format!("a {} app cannot be installed by `{name}`", draft.plan.language),
                "name one of npm, yarn, pnpm, bun for Node, of pip, uv, poetry, pdm, pipenv, conda for Python",
            ));
        }
        for name in self.packages.iter().flatten() {
            if !is_package(name) {
                return Err(self.wrong(
                    "packages",
                    format!("`{name}` is not the name of a Debian package"),
                    "give names such as \"ffmpeg\": letters, digits, + - .",
                ));
            }
            draft.recipe.debian_packages.push(name.clone());
        }
        if let Some(paths) = &self.paths {
            let parsed = paths
                .iter()
                .map(|path| path.parse::<RelPath>().map_err(|error| self.wrong("paths", error.reason(), error.hint())));
            draft.plan.paths = parsed.collect::<Result<_>>()?;
        }
        if let Some(version) = &self.version {
            set_version(draft, version).map_err(|(reason, hint)| self.wrong("version", reason, hint))?;
        }
        let plan = &mut draft.plan;
        plan.framework = self.framework.or(plan.framework.take());
        plan.install = self.install.unwrap_or(std::mem::take(&mut plan.install));
        plan.build = self.build.unwrap_or(std::mem::take(&mut plan.build));
        plan.port = self.port.or(plan.port);
        plan.release_command = self.release_command.or(plan.release_command.take());
        plan.env.extend(self.env);
        if let Some(dir) = self.static_dir {
            plan.static_dir = Some(dir);
            plan.start_command = None;
            plan.processes.retain(|name, _| name.as_str() != "web");
        }
        plan.spa_fallback = self.spa_fallback.unwrap_or(plan.spa_fallback);
        plan.processes.extend(self.processes);
        if let Some(command) = self.start_command {
            draft.set_web(command);
        } else if let Some((_, command)) = draft.plan.processes.iter().find(|(name, _)| name.as_str() == "web") {
            draft.plan.start_command = Some(command.clone());
            draft.plan.static_dir = None;
        }
        Ok(())
    }
}

/// The name of a Debian package (Debian Policy, 5.6.1).
pub(crate) fn is_package(name: &str) -> bool {
    name.len() < 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:".contains(c))
}

/// The line of base images that `version` asks for.
fn set_version(draft: &mut Draft, version: &str) -> Result<(), (String, String)> {
    let language = &draft.plan.language;
    let Some(base) = images::of_language(language) else {
        return Err((format!("there are no versions of {language} to choose from"), "remove the line".into()));
    };
    let Some(line) = base.choose(version) else {
        let hint = format!("there are {}", base.versions.join(", "));
        return Err((format!("there is no base image for {} {version}", base.stack), hint));
    };
    draft.use_version(base, line);
    Ok(())
}

/// The file, with the line.
fn place(line: Option<u32>) -> String {
    line.map_or_else(|| FILE.to_owned(), |line| format!("{FILE}:{line}"))
}

/// The error for a key of a section, of the file itself where that is empty.
fn unknown(line: Option<u32>, section: &str, key: &str, keys: &[&str]) -> Error {
    let hint = match nearest(key, keys) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the keys are {}", keys.join(", ")),
    };
    let dot = if section.is_empty() { "" } else { "." };
    Error::invalid(place(line), format!("there is no key `{section}{dot}{key}`"), hint)
}

/// The word of a list that differs in the fewest letters, if few.
fn nearest<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    let word: String = word.chars().take(40).collect::<String>().to_ascii_lowercase().replace('-', "_");
    // Words of other platforms.
    let others = [
        ("start", "start_command"),
        ("command", "start_command"),
        ("cmd", "start_command"),
        ("release", "release_command"),
        ("directory", "root"),
    ];
    if let Some((_, key)) = others.iter().find(|(other, _)| *other == word) {
        return Some(key);
    }
    let near = words.iter().map(|candidate| (distance(&word, candidate), *candidate)).min()?;
    (near.0 <= 1 + near.1.len() / 4).then_some(near.1)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let best = (row[j] + 1).min(row[j + 1] + 1).min(diagonal + usize::from(x != *y));
            diagonal = std::mem::replace(&mut row[j + 1], best);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Reads values, and says what is wrong with which line.
struct Reader<'a>(&'a Toml);

impl Reader<'_> {
    fn wrong(&self, path: &[&str], reason: &str, hint: &str) -> Error {
        Error::invalid(format!("{}: {}", place(self.0.at(path).line), path.join(".")), reason, hint)
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        match self.0.get(&[key]) {
            None => Ok(None),
            Some(toml::Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
            Some(_) => Err(self.wrong(&[key], "is not a text", "write it in quotes")),
        }
    }

    fn parsed<T: std::str::FromStr<Err = sh0_core::model::ParseError>>(&self, key: &str) -> Result<Option<T>> {
        let parse = |text: String| text.parse::<T>().map_err(|error| self.wrong(&[key], error.reason(), error.hint()));
        self.text(key)?.map(parse).transpose()
    }

    fn folder(&self, key: &str) -> Result<Option<String>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let dir = text.trim_start_matches("./").trim_end_matches('/');
        match dir {
            "" | "." => Ok(Some(".".into())),
            dir if detect::is_dir_name(dir) => Ok(Some(dir.to_owned())),
            _ => Err(self.wrong(
                &[key],
                "is not a folder of the tree",
                "give a path such as `dist`: letters, digits, . _ - + @ and /",
            )),
        }
    }

    fn port(&self) -> Result<Option<u16>> {
        match self.0.get(&["port"]) {
            None => Ok(None),
            Some(value) => match value.as_integer().map(u16::try_from) {
                Some(Ok(port @ 1..)) => Ok(Some(port)),
                _ => Err(self.wrong(&["port"], "is not a port", "give a number from 1 to 65535")),
            },
        }
    }

    fn switch(&self, key: &str) -> Result<Option<bool>> {
        match self.0.get(&[key]) {
            None => Ok(None),
            Some(toml::Value::Boolean(on)) => Ok(Some(*on)),
            Some(_) => Err(self.wrong(&[key], "is neither true nor false", "write true or false, without quotes")),
        }
    }

    /// One command, or a list of them; an empty list is "none".
    fn commands(&self, key: &str) -> Result<Option<Vec<String>>> {
        let wrong = || self.wrong(&[key], "is not a command", "write \"command\" or [\"first\", \"second\"]");
        match self.0.get(&[key]) {
            None => Ok(None),
            Some(toml::Value::String(text)) if !text.trim().is_empty() => Ok(Some(vec![text.trim().to_owned()])),
            Some(toml::Value::Array(list)) => {
                let commands = list
                    .iter()
                    .map(|item| item.as_str().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()));
                Ok(Some(commands.collect::<Option<_>>().ok_or_else(wrong)?))
            }
            Some(_) => Err(wrong()),
        }
    }

    fn table<K>(&self, key: &str) -> Result<BTreeMap<K, String>>
    where
        K: std::str::FromStr<Err = sh0_core::model::ParseError> + Ord,
    {
        let Some(value) = self.0.get(&[key]) else { return Ok(BTreeMap::new()) };
        let Some(table) = value.as_table() else {
            return Err(self.wrong(&[key], "is not a table", "write it as [section] with NAME = \"value\" lines"));
        };
        let read = |(name, value): (&String, &toml::Value)| {
            let path = [key, name.as_str()];
            let text = value.as_str().ok_or_else(|| self.wrong(&path, "is not a text", "write it in quotes"))?;
            let name = name.parse::<K>().map_err(|error| self.wrong(&path, error.reason(), error.hint()))?;
            Ok((name, text.to_owned()))
        };
        table.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_pen_is_guessed() {
        for (word, near) in [
            ("start", Some("start_command")),
            ("startcommand", Some("start_command")),
            ("prot", Some("port")),
            ("instal", Some("install")),
            ("zebra", None),
        ] {
            assert_eq!(nearest(word, super::KEYS), near, "{word}");
        }
    }
}
