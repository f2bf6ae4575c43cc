//! Who installs, and with which commands.

use super::{Tree, local, package_name};
use crate::draft::{Draft, quote};
use crate::images;
use crate::text::{At, lines};

/// Releases of the managers that pip fetches: one place, changed on purpose.
const UV: &str = "uv==0.13.9";
const POETRY: &str = "poetry==2.5.1";
const PDM: &str = "pdm==2.29.3";
const PIPENV: &str = "pipenv==2026.10.3";

pub(super) const PIP: &str = ".venv/bin/pip install --disable-pip-version-check";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Pip,
    Uv,
    Poetry,
    Pdm,
    Pipenv,
    Conda,
}

impl Manager {
    /// By lockfile, else by manifest; `None` when nothing names dependencies.
    pub(super) fn find(tree: &Tree<'_>, draft: &mut Draft) -> Option<Manager> {
        const FILES: &[(&str, Manager)] = &[
            ("uv.lock", Manager::Uv),
            ("poetry.lock", Manager::Poetry),
            ("pdm.lock", Manager::Pdm),
            ("Pipfile.lock", Manager::Pipenv),
            ("Pipfile", Manager::Pipenv),
            ("requirements.txt", Manager::Pip),
            ("requirements/production.txt", Manager::Pip),
            ("requirements/prod.txt", Manager::Pip),
            ("requirements/base.txt", Manager::Pip),
            ("environment.yml", Manager::Conda),
            ("environment.yaml", Manager::Conda),
            ("setup.py", Manager::Pip),
        ];
        let by_file =
            FILES.iter().find(|(file, _)| tree.files.is_file(file)).map(|(file, manager)| (*manager, At::file(*file)));
        let by_project = || {
            let project = tree.project.as_ref()?;
            let list = ["project", "dependencies"];
            let tables = [
                (&["tool", "uv", "workspace"][..], Manager::Uv),
                (&["tool", "poetry"], Manager::Poetry),
                (&["tool", "pdm"], Manager::Pdm),
            ];
            for (table, manager) in tables {
                if project.get(table).is_some() {
                    return Some((manager, project.at(table)));
                }
            }
            let backend = project.str(&["build-system", "build-backend"]).unwrap_or_default();
            let at = || project.at(&["build-system", "build-backend"]);
            match backend.split('.').next() {
                Some("poetry") => return Some((Manager::Poetry, at())),
                Some("pdm") => return Some((Manager::Pdm, at())),
                _ => {}
            }
            let any = project.get(&list)?.as_array().is_some_and(|list| !list.is_empty());
            any.then(|| (Manager::Pip, project.at(&list)))
        };
        let told = crate::config::package_manager(tree.files).and_then(|(wanted, at)| {
            let all = [Manager::Pip, Manager::Uv, Manager::Poetry, Manager::Pdm, Manager::Pipenv, Manager::Conda];
            Some((all.into_iter().find(|manager| manager.name() == wanted)?, at))
        });
        let (manager, at) = told.or(by_file).or_else(by_project)?;
        draft.plan.package_manager = Some(manager.name().to_owned());
        draft.because_of(format!("package_manager = {}", manager.name()), "this is its file", at);
        Some(manager)
    }

    fn name(self) -> &'static str {
        match self {
            Manager::Pip => "pip",
            Manager::Uv => "uv",
            Manager::Poetry => "poetry",
            Manager::Pdm => "pdm",
            Manager::Pipenv => "pipenv",
            Manager::Conda => "conda",
        }
    }

    /// `package` is the member of the workspace that is wanted, where that is not all of the tree.
    pub(super) fn install(self, tree: &Tree<'_>, draft: &mut Draft, package: Option<&str>) {
        if self == Manager::Conda {
            return conda(tree, draft);
        }
        draft.plan.install.push("python3 -m venv .venv".into());
        let locked = |file: &str| tree.files.is_file(file);
        let mut run = |command: String| draft.plan.install.push(command);
        match self {
            Manager::Pip => pip(tree, &mut run),
            Manager::Uv => {
                run(format!("{PIP} {}", uv(tree)));
                let flag = if locked("uv.lock") { " --locked" } else { "" };
                let member = package.map(|name| format!(" --package {}", quote(name))).unwrap_or_default();
                run(format!(".venv/bin/uv sync{flag}{member} --no-dev --inexact"));
            }
            Manager::Poetry => {
                run(format!("{PIP} {}", poetry(tree)));
                run(".venv/bin/poetry install --no-interaction --only main --no-root".into());
            }
            Manager::Pdm => {
                run(format!("{PIP} {PDM}"));
                let command = if locked("pdm.lock") { "sync" } else { "install" };
                run(format!(".venv/bin/pdm {command} --prod --no-self"));
            }
            Manager::Pipenv => {
                run(format!("{PIP} {PIPENV}"));
                // The environment that the program lies in is the one to fill.
                let command = if locked("Pipfile.lock") { "sync" } else { "install --skip-lock" };
                run(format!("VIRTUAL_ENV=\"$PWD/.venv\" .venv/bin/pipenv {command}"));
            }
            Manager::Conda => {}
        }
        self.manifests(tree, draft);
        draft.because(format!("install = {}", draft.plan.install.join(" && ")), "into an environment of the app's own");
        if self == Manager::Pip && !pinned(tree) {
            draft.warn("not every requirement has a version: two builds may install different ones");
        }
    }

    fn manifests(self, tree: &Tree<'_>, draft: &mut Draft) {
        let names = tree.files.names("");
        let is_manifest = |name: &str| {
            matches!(
                name,
                "pyproject.toml"
                    | "uv.lock"
                    | "poetry.lock"
                    | "pdm.lock"
                    | "Pipfile"
                    | "Pipfile.lock"
                    | "constraints.txt"
            ) || (name.starts_with("requirements") && name.ends_with(".txt"))
        };
        draft.recipe.manifests =
            names.into_iter().filter(|name| is_manifest(name) && tree.files.is_file(name)).collect();
        // A requirement that is a folder of the tree, or the tree itself, needs the source.
        let has = |path: &[&str]| tree.project.as_ref().is_some_and(|project| project.get(path).is_some());
        let itself = draft.plan.install.iter().any(|command| command.ends_with(" ."));
        let packaged = itself
            || tree.files.is_file("setup.py")
            || (self == Manager::Uv && (has(&["build-system"]) || has(&["tool", "uv", "package"])))
            || has(&["tool", "uv", "workspace"]);
        for named in &tree.requirements {
            if !draft.recipe.manifests.contains(&named.file) {
                draft.recipe.manifests.push(named.file.clone());
            }
        }
        let local = !tree.all_required
            || tree.project.as_ref().is_some_and(local::in_project)
            || (self == Manager::Pipenv && local::in_pipfile(tree));
        draft.recipe.install_needs_source = packaged || local;
        draft.recipe.installed = Some(VENV);
        draft.recipe.caches.push(("pip", "/root/.cache"));
    }
}

/// All that is installed, as `find -path` matches it.
const VENV: &str = "./.venv/*";

/// Files of requirements, in the order in which they are looked for.
pub(super) const REQUIREMENTS: &[&str] =
    &["requirements.txt", "requirements/production.txt", "requirements/prod.txt", "requirements/base.txt"];

/// The release of uv, or the range that the project demands.
fn uv(tree: &Tree<'_>) -> String {
    let wanted = tree.project.as_ref().and_then(|project| project.str(&["tool", "uv", "required-version"]));
    ranged("uv", wanted, UV)
}

/// The release of Poetry; version 1 where the lockfile or the project demands it.
fn poetry(tree: &Tree<'_>) -> String {
    let wanted = tree.project.as_ref().and_then(|project| project.str(&["tool", "poetry", "requires-poetry"]));
    ranged("poetry", wanted, POETRY)
}

fn ranged(name: &str, wanted: Option<&str>, otherwise: &str) -> String {
    let plain =
        |text: &&str| text.len() < 60 && text.chars().all(|c| c.is_ascii_alphanumeric() || "<>=!~.*, ".contains(c));
    match wanted.filter(plain).filter(|text| text.starts_with(['<', '>', '=', '~', '!'])) {
        Some(range) => quote(&format!("{name}{}", range.replace(' ', ""))),
        None => otherwise.to_owned(),
    }
}

/// Conda makes the whole environment, Python included.
fn conda(tree: &Tree<'_>, draft: &mut Draft) {
    let file = tree.files.first(super::CONDA).unwrap_or("environment.yml");
    let command = format!("conda env create --yes --prefix .venv --file {file}");
    draft.because_of(format!("install = {command}"), "makes the environment that the file describes", At::file(file));
    draft.plan.install.push(command);
    draft.recipe.manifests = vec![file.to_owned()];
    draft.recipe.install_needs_source = tree.files.text(file).is_some_and(|text| {
        // What pip is told, below `- pip:`.
        let item = |line: &str| line.trim().strip_prefix("- ").map(|item| item.trim_matches(['"', '\'']).to_owned());
        lines(&text)
            .filter_map(|(_, line)| item(line))
            .any(|item| item.starts_with(['-', '.']) || item.contains("file:"))
    });
    draft.recipe.installed = Some(VENV);
    draft.recipe.caches.push(("conda", "/opt/conda/pkgs"));
    draft.recipe.build = Some((&images::CONDA, images::CONDA.default.to_owned()));
    draft.tool("conda", "Conda (conda-forge.org/download)");
}

/// Installs the project itself too, whose scripts are wanted.
pub(super) fn install_project(draft: &mut Draft) {
    let mut pip = None;
    for command in &mut draft.plan.install {
        *command = command.replace(" --no-root", "").replace(" --no-self", "");
        if command.starts_with(PIP) && !command.contains(" -r ") {
            pip = Some(());
        }
    }
    let managed = draft
        .plan
        .install
        .iter()
        .any(|command| [" sync", "poetry install", "pdm install"].iter().any(|w| command.contains(w)));
    if !managed && pip.is_some() && !draft.plan.install.iter().any(|command| command.ends_with(" .")) {
        draft.plan.install.push(format!("{PIP} ."));
    }
    draft.recipe.install_needs_source = true;
}

/// Requirements as they are; of a project only what it depends on, as it need not be a package.
fn pip(tree: &Tree<'_>, run: &mut impl FnMut(String)) {
    if tree.files.is_file("requirements.txt") {
        run(format!("{PIP} -r requirements.txt"));
        return;
    }
    if let Some(file) = tree.files.first(&REQUIREMENTS[1..]) {
        run(format!("{PIP} -r {file}"));
        return;
    }
    let list = tree.project.as_ref().and_then(|project| project.get(&["project", "dependencies"])?.as_array());
    match list {
        Some(list) => {
            let names: Vec<String> = list.iter().filter_map(|item| item.as_str()).map(quote).collect();
            run(format!("{PIP} {}", names.join(" ")));
        }
        None => run(format!("{PIP} .")),
    }
}

/// Every requirement has a version, of its own or by a constraint.
fn pinned(tree: &Tree<'_>) -> bool {
    let requirement = |line: &str| !line.is_empty() && !line.starts_with(['#', '-']);
    let has_version = |line: &str| line.contains("==") || line.contains('@');
    let constrained = |line: &str| {
        let name = package_name(line);
        let mut constraints = tree.requirements.iter().filter(|file| file.constrains);
        constraints.any(|file| lines(&file.text).any(|(_, line)| has_version(line) && package_name(line) == name))
    };
    let mut required = tree.required().filter(|(_, _, line)| requirement(line.trim()));
    tree.files.is_file("requirements.txt") && required.all(|(_, _, line)| has_version(line) || constrained(line))
}
