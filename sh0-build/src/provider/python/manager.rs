//! Who installs, and with which commands.

use super::Tree;
use crate::draft::{Draft, quote};
use crate::text::{At, lines};

/// Releases of the managers that pip fetches: one place, changed on purpose.
const UV: &str = "uv==0.13.9";
const POETRY: &str = "poetry==2.5.1";
const PDM: &str = "pdm==2.29.3";
const PIPENV: &str = "pipenv==2026.10.3";

const PIP: &str = ".venv/bin/pip install --disable-pip-version-check";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    Pip,
    Uv,
    Poetry,
    Pdm,
    Pipenv,
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
            ("setup.py", Manager::Pip),
        ];
        let by_file =
            FILES.iter().find(|(file, _)| tree.files.is_file(file)).map(|(file, manager)| (*manager, At::file(*file)));
        let by_project = || {
            let project = tree.project.as_ref()?;
            let poetry = ["tool", "poetry", "dependencies"];
            let list = ["project", "dependencies"];
            if project.get(&poetry).is_some() {
                return Some((Manager::Poetry, project.at(&poetry)));
            }
            let any = project.get(&list)?.as_array().is_some_and(|list| !list.is_empty());
            any.then(|| (Manager::Pip, project.at(&list)))
        };
        let (manager, at) = by_file.or_else(by_project)?;
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
        }
    }

    pub(super) fn install(self, tree: &Tree<'_>, draft: &mut Draft) {
        draft.plan.install.push("python3 -m venv .venv".into());
        let mut run = |command: String| draft.plan.install.push(command);
        match self {
            Manager::Pip => pip(tree, &mut run),
            Manager::Uv => {
                run(format!("{PIP} {UV}"));
                run(".venv/bin/uv sync --locked --no-dev --inexact".into());
            }
            Manager::Poetry => {
                run(format!("{PIP} {POETRY}"));
                run(".venv/bin/poetry install --no-interaction --only main --no-root".into());
            }
            Manager::Pdm => {
                run(format!("{PIP} {PDM}"));
                run(".venv/bin/pdm sync --prod --no-self".into());
            }
            Manager::Pipenv => {
                run(format!("{PIP} {PIPENV}"));
                let locked = tree.files.is_file("Pipfile.lock");
                // The environment that the program lies in is the one to fill.
                let command = if locked { "sync" } else { "install --skip-lock" };
                run(format!("VIRTUAL_ENV=\"$PWD/.venv\" .venv/bin/pipenv {command}"));
            }
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
        let local = |line: &str| {
            let line = line.trim();
            ["-e", "--editable", ".", "/", "file:"].iter().any(|start| line.starts_with(start))
                || line.contains("@ file:")
        };
        let refers = lines(&tree.requirements).any(|(_, line)| local(line) || line.contains("requirements/"));
        let packaged = tree.files.is_file("setup.py")
            || (self == Manager::Uv
                && tree.project.as_ref().is_some_and(|project| project.get(&["build-system"]).is_some()))
            || tree.project.as_ref().is_some_and(|project| project.get(&["tool", "uv", "workspace"]).is_some());
        draft.recipe.install_needs_source = refers || packaged;
        draft.recipe.caches.push(("pip", "/root/.cache"));
    }
}

/// Requirements as they are; of a project only what it depends on, as it need not be a package.
fn pip(tree: &Tree<'_>, run: &mut impl FnMut(String)) {
    if tree.files.is_file("requirements.txt") {
        run(format!("{PIP} -r requirements.txt"));
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

fn pinned(tree: &Tree<'_>) -> bool {
    let requirement = |line: &str| !line.is_empty() && !line.starts_with(['#', '-']);
    let mut requirements = lines(&tree.requirements).map(|(_, line)| line.trim()).filter(|line| requirement(line));
    tree.files.is_file("requirements.txt") && requirements.all(|line| line.contains("==") || line.contains('@'))
}
