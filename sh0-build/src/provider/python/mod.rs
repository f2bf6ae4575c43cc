//! Python, with pip, uv, Poetry, PDM or Pipenv. Dependencies go to a virtual environment inside the folder of the app,
//! on a host and in an image alike; the other managers are fetched into it by pip, so that Python alone is enough.

mod local;
mod manager;
mod start;
mod workspace;

use sh0_core::Result;

use self::local::Requirements;
use self::manager::Manager;
use super::{Procfile, Provider};
use crate::draft::{Draft, Pin, refuse, tool_versions, version_file};
use crate::images;
use crate::text::{At, Toml, find_line, lines};
use crate::tree::Files;

/// What marks a Python tree, whatever else is in it.
const MANIFESTS: &[&str] =
    &["requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "manage.py", "poetry.lock", "uv.lock", "pdm.lock"];

/// Scripts that are run as they are.
pub(super) const SCRIPTS: &[&str] = &[
    "main.py",
    "app.py",
    "start.py",
    "server.py",
    "run.py",
    "bot.py",
    "hello.py",
    "wsgi.py",
    "asgi.py",
    "application.py",
    "api.py",
    "__main__.py",
    "src/main.py",
    "src/app.py",
    "src/server.py",
    "src/bot.py",
    "app/main.py",
    "app/app.py",
    "api/main.py",
];

/// Files that may hold the application.
pub(super) const ENTRIES: &[&str] = &[
    "main.py",
    "app.py",
    "server.py",
    "run.py",
    "wsgi.py",
    "asgi.py",
    "application.py",
    "api.py",
    "bot.py",
    "src/main.py",
    "src/app.py",
    "app/main.py",
    "app/__init__.py",
    "api/main.py",
    "src/__init__.py",
    "api/index.py",
    "src/server.py",
    "server/main.py",
    "backend/main.py",
    "start.py",
    "hello.py",
];

/// Whether a Procfile starts Python.
fn in_procfile(files: Files<'_>) -> bool {
    let procfile = Procfile::read(files);
    let program = procfile.as_ref().and_then(|procfile| procfile.main()?.split_whitespace().next());
    matches!(program, Some("python" | "python3"))
}

/// What Conda reads.
pub(super) const CONDA: &[&str] = &["environment.yml", "environment.yaml"];

pub(crate) struct Python;

impl Provider for Python {
    fn language(&self) -> &'static str {
        "python"
    }

    fn looks_for(&self) -> &'static str {
        "Python: requirements.txt, pyproject.toml, Pipfile, setup.py, manage.py, or main.py, app.py, server.py"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        let script = files.first(&SCRIPTS[..11]).is_some() && !files.is_file("package.json");
        files.first(MANIFESTS).is_some() || files.first(CONDA).is_some() || script || in_procfile(files)
    }

    fn has_member(&self, files: Files<'_>, folder: &str) -> bool {
        let Some(Ok(project)) = Toml::read(files, "pyproject.toml") else { return false };
        workspace::members(files, &project).iter().any(|member| member == folder)
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let tree = Tree::read(files)?;
        let mut draft = Draft::default();
        match workspace::picked(&tree) {
            Some(folder) => workspace::plan(&tree, folder, &mut draft)?,
            None => tree.plan(&mut draft),
        }
        Ok(draft)
    }
}

struct Tree<'a> {
    pub(super) files: Files<'a>,
    pub(super) project: Option<Toml>,
    /// The file of requirements and those that it includes; whether they are all that pip installs from.
    pub(super) requirements: Vec<Requirements>,
    pub(super) all_required: bool,
}

impl<'a> Tree<'a> {
    pub(super) fn read(files: Files<'a>) -> Result<Tree<'a>> {
        let project = match Toml::read(files, "pyproject.toml") {
            Some(Ok(project)) => Some(project),
            Some(Err(error)) => return refuse(error),
            None => None,
        };
        let list = files.first(manager::REQUIREMENTS).unwrap_or("requirements.txt");
        let (requirements, all_required) = local::requirements(files, list);
        Ok(Tree { files, project, requirements, all_required })
    }

    fn plan(&self, draft: &mut Draft) {
        self.prepare(draft, self.pins(), None);
        self.system_packages(draft);
        start::find(self, draft);
        if draft.plan.start_command.is_none() {
            draft.recipe.several = workspace::several(self);
        }
    }

    /// Everything up to the start: language, version, what is installed, for the whole tree or for the member `package`.
    pub(super) fn prepare(&self, draft: &mut Draft, pins: Vec<Pin>, package: Option<&str>) {
        draft.plan.language = "python".into();
        let marks = MANIFESTS.iter().chain(ENTRIES).copied().collect::<Vec<_>>();
        match self.files.first(&marks) {
            Some(mark) => draft.because_of("language = python", "a file of a Python project", At::file(mark)),
            None if in_procfile(self.files) => {
                draft.because_of("language = python", "Procfile starts Python", At::file("Procfile"));
            }
            None => draft.because("language = python", "it was named"),
        }
        let version = draft.version(&images::PYTHON, pins);

        draft.env("PYTHONUNBUFFERED", "1");
        match Manager::find(self, draft) {
            Some(manager) => {
                draft.tool("python3", "Python 3 with venv (Debian: apt-get install python3 python3-venv)");
                draft.recipe.build = Some((&images::PYTHON, version.clone()));
                draft.path(".venv/bin");
                manager.install(self, draft, package);
                if manager == Manager::Conda {
                    // The environment holds a Python of its own.
                    draft.recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
                    draft.plan.tools.retain(|tool| tool.program != "python3");
                }
            }
            None => {
                draft.tool("python3", "Python 3 (Debian: apt-get install python3)");
                // Debian has no `python`; an environment has one.
                let command = "python3 -m venv --without-pip .venv";
                draft.because(format!("install = {command}"), "no file names dependencies");
                draft.plan.install.push(command.into());
                draft.recipe.build = Some((&images::PYTHON_SLIM, version.clone()));
                draft.path(".venv/bin");
            }
        }
        draft.recipe.run.get_or_insert((&images::PYTHON, version));
        draft.recipe.ignore.extend(["**/__pycache__", "**/*.pyc", ".venv", "venv"].map(str::to_owned));
    }

    pub(super) fn pins(&self) -> Vec<Pin> {
        let mut pins = Vec::new();
        pins.extend(version_file(self.files, ".python-version"));
        // Heroku's file says `python-3.12.1`.
        pins.extend(version_file(self.files, "runtime.txt").map(|mut pin| {
            pin.wanted = pin.wanted.trim_start_matches("python-").to_owned();
            pin
        }));
        pins.extend(tool_versions(self.files, &["python"]));
        if let Some(project) = &self.project {
            for path in [&["project", "requires-python"][..], &["tool", "poetry", "dependencies", "python"]] {
                if let Some(wanted) = project.str(path) {
                    pins.push(Pin {
                        wanted: wanted.to_owned(),
                        by: format!("{} of pyproject.toml", path[path.len() - 1]),
                        at: project.at(path),
                    });
                }
            }
        }
        if let Some(file) = self.files.first(CONDA)
            && let Some(text) = self.files.text(file)
            && let Some((line, wanted)) = lines(&text).find_map(|(line, text)| {
                let item = text.split('#').next()?.trim().strip_prefix("- ")?.trim().trim_matches(['"', '\'']);
                let wanted = item.strip_prefix("python")?.trim_start();
                wanted.starts_with(['=', '<', '>', '!', '~']).then(|| (line, wanted.trim_start_matches('=').to_owned()))
            })
        {
            pins.push(Pin { wanted, by: file.to_owned(), at: At::line(file, line) });
        }
        if let Some(text) = self.files.text("Pipfile")
            && let Some((line, found)) = find_line(&text, |line| {
                ["python_version", "python_full_version"].iter().any(|key| line.trim_start().starts_with(key))
            })
            && let Some((key, value)) = found.split_once('=')
        {
            let wanted = value.trim().trim_matches(['"', '\'']).to_owned();
            pins.push(Pin { wanted, by: format!("{} of Pipfile", key.trim()), at: At::line("Pipfile", line) });
        }
        pins
    }

    /// The lines of all files of requirements, with file and number.
    pub(super) fn required(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        let installed = self.requirements.iter().filter(|file| !file.constrains);
        installed.flat_map(|file| lines(&file.text).map(|(number, line)| (file.file.as_str(), number, line)))
    }

    /// Where a dependency is named: in requirements, in the project's tables, or in the Pipfile.
    pub(super) fn dependency(&self, name: &str) -> Option<At> {
        if let Some((file, line, _)) = self.required().find(|(_, _, line)| package_name(line) == name) {
            return Some(At::line(file, line));
        }
        if let Some(project) = &self.project
            && let Some(at) = in_project(project, name)
        {
            return Some(at);
        }
        if let Some(pipfile) = self.files.text("Pipfile")
            && let Some((line, _)) = find_line(&pipfile, |line| line.contains('=') && package_name(line) == name)
        {
            return Some(At::line("Pipfile", line));
        }
        let file = self.files.first(CONDA)?;
        let text = self.files.text(file)?;
        let (line, _) = find_line(&text, |line| {
            line.trim_start().strip_prefix("- ").is_some_and(|item| package_name(item) == name)
        })?;
        Some(At::line(file, line))
    }

    /// Libraries that common packages load at run time; the image that builds has their headers.
    pub(super) fn system_packages(&self, draft: &mut Draft) {
        const NATIVE: &[(&str, &str)] = &[
            ("psycopg2", "libpq5"),
            ("psycopg", "libpq5"),
            ("mysqlclient", "libmariadb3"),
            ("pycairo", "libcairo2"),
            ("weasyprint", "libpango-1.0-0"),
            ("opencv-python", "libgl1"),
            ("python-magic", "libmagic1"),
        ];
        for (package, library) in NATIVE {
            if let Some(at) = self.dependency(package)
                && !draft.recipe.packages.contains(library)
                && !self.brings_library(package, &at)
            {
                draft.because_of(format!("packages += {library}"), format!("{package} loads it"), at);
                draft.recipe.packages.push(library);
            }
        }
    }

    /// `psycopg[binary]`: the wheel has the library in it.
    fn brings_library(&self, package: &str, at: &At) -> bool {
        let text = self.files.text(&at.file).unwrap_or_default();
        let line = at.line.and_then(|number| lines(&text).find(|(line, _)| *line == number));
        let extras = line.and_then(|(_, line)| line.split_once(package)?.1.split_once(']')).map(|(extras, _)| extras);
        extras.is_some_and(|extras| (extras.starts_with('[') || extras.contains("extras")) && extras.contains("binary"))
    }
}

/// The name that a requirement begins with, normalised (PEP 503).
pub(super) fn package_name(line: &str) -> String {
    let line = line.trim().trim_start_matches(['"', '\'']);
    let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

fn in_project(project: &Toml, name: &str) -> Option<At> {
    let listed = project.get(&["project", "dependencies"]).and_then(|list| list.as_array());
    if listed.is_some_and(|list| list.iter().filter_map(|item| item.as_str()).any(|item| package_name(item) == name)) {
        let line =
            find_line(&project.text, |line| line.trim_start().starts_with(['"', '\'']) && package_name(line) == name);
        let at = project.at(&["project", "dependencies"]);
        return Some(At::line(&project.file, line.map(|(line, _)| line).or(at.line)));
    }
    let poetry = project.get(&["tool", "poetry", "dependencies"])?.as_table()?;
    let key = poetry.keys().find(|key| package_name(key) == name)?;
    Some(project.at(&["tool", "poetry", "dependencies", key]))
}
