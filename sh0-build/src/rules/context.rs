//! The tree as rules see it: walked once, scanned once, its manifests parsed once.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use sh0_core::model::{ImagePlan, Plan, RelPath};

use super::CheckOptions;
use super::class::Class;
use super::facts::Fact;
use super::ignore::Ignore;
use super::rule::Verdict;
use super::scan::{Match, Owner, scan};
use crate::config::FILE;
use crate::dockerfile::Dockerfile;
use crate::root::AppFolder;
use crate::text::{Json, Toml};
use crate::tree::{Files, Kind, Tree};
use crate::yaml::Yaml;

/// The most files that are looked at, in the order of their paths, folder by folder.
pub(crate) const MAX_FILES: usize = 20_000;

/// The most folders that are opened.
const MAX_FOLDERS: usize = 10_000;

/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 24;

/// The most that is read of one file.
pub(crate) const MAX_BYTES: u64 = 512 << 10;

/// The most that is read in total.
const MAX_TOTAL: u64 = 256 << 20;

/// Never the app's own text: what tools put there.
const SKIPPED: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    "node_modules",
    ".venv",
    "venv",
    "__pycache__",
    "target",
    ".next",
    ".nuxt",
    ".svelte-kit",
    ".turbo",
    ".gradle",
    ".terraform",
    ".cache",
    ".tox",
    ".mypy_cache",
    ".pytest_cache",
    "bower_components",
    "Pods",
    "_build",
    ".sh0",
    "coverage",
    ".parcel-cache",
    ".angular",
    ".bundle",
    "elm-stuff",
    ".dart_tool",
];

/// Where the app lies.
pub(crate) enum Place<'a> {
    /// It is the tree.
    Tree,
    /// In this folder, which is looked at as if nothing were around it.
    Alone(AppFolder<'a>),
    /// In this folder of a workspace, all of which is looked at.
    Member(AppFolder<'a>),
}

/// What one pass over the tree saw.
pub(crate) struct Context<'a> {
    pub(crate) files: Files<'a>,
    place: &'a Place<'a>,
    pub(crate) plan: Option<&'a Plan>,
    pub(crate) options: &'a CheckOptions,
    /// Every file, in order.
    pub(crate) paths: Vec<String>,
    /// Not all of the tree was looked at.
    pub(crate) truncated: bool,
    /// By file, as [`Context::paths`].
    matches: Vec<Vec<Match>>,
    gitignore: Ignore,
    texts: RefCell<BTreeMap<String, Option<Rc<str>>>>,
    package: OnceCell<Option<Json>>,
    pyproject: OnceCell<Option<Toml>>,
    dockerfiles: OnceCell<Vec<(String, Dockerfile)>>,
    composes: OnceCell<Vec<(String, Result<Yaml, String>)>>,
    dockerignore: OnceCell<Option<Ignore>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        tree: &'a dyn Tree,
        place: &'a Place<'a>,
        plan: Option<&'a Plan>,
        options: &'a CheckOptions,
    ) -> Context<'a> {
        let files = Files(tree);
        let (paths, mut truncated) = walk(files);
        let (matches, whole) = scan_all(tree, &paths);
        truncated |= !whole;
        let gitignore = Ignore::git(&files.text(".gitignore").unwrap_or_default());
        Context {
            files,
            place,
            plan,
            options,
            paths,
            truncated,
            matches,
            gitignore,
            texts: RefCell::default(),
            package: OnceCell::new(),
            pyproject: OnceCell::new(),
            dockerfiles: OnceCell::new(),
            composes: OnceCell::new(),
            dockerignore: OnceCell::new(),
        }
    }

    /// What patterns of an owner found, with the file.
    pub(crate) fn found(&self, owner: Owner) -> impl Iterator<Item = (&str, &Match)> {
        let with_path = self.paths.iter().zip(&self.matches);
        with_path.flat_map(move |(path, list)| {
            list.iter().filter(move |one| one.owner == owner).map(move |one| (path.as_str(), one))
        })
    }

    /// Where a fact was seen: file, line, value, and whether the program cannot do without.
    pub(crate) fn facts(&self, fact: Fact) -> impl Iterator<Item = (&str, u32, &str, bool)> {
        self.found(Owner::Fact(fact))
            .map(|(path, one)| (path, one.line, one.value.as_str(), one.verdict == Verdict::Hit))
    }

    /// The tree whose `sh0.toml` speaks of the app, and the name of that file: a member's own is in place of the top's.
    pub(crate) fn config(&self) -> (Files<'_>, String) {
        match self.place {
            Place::Member(app) if app.kind(FILE).is_some() => (Files(app), app.outside(FILE)),
            _ => (self.files, FILE.to_owned()),
        }
    }

    /// The folder of the app in the workspace that is looked at, where it is asked for.
    pub(crate) fn member(&self) -> Option<RelPath> {
        self.options.root.clone().filter(|_| matches!(self.place, Place::Member(_)))
    }

    /// A path as the folder of the app names it, and as the tree around it does.
    pub(crate) fn names(&self, path: &str) -> [String; 2] {
        match self.place {
            Place::Tree => [path.to_owned(), path.to_owned()],
            Place::Alone(app) => [path.to_owned(), app.outside(path)],
            Place::Member(app) => [inside(&app.folder, path).to_owned(), path.to_owned()],
        }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.is_file(path)
    }

    /// The text of a file, read once.
    pub(crate) fn text(&self, path: &str) -> Option<Rc<str>> {
        if let Some(known) = self.texts.borrow().get(path) {
            return known.clone();
        }
        let text: Option<Rc<str>> = self.files.text(path).map(Rc::from);
        self.texts.borrow_mut().insert(path.to_owned(), text.clone());
        text
    }

    /// Files of this name at any depth, tests and examples left out.
    pub(crate) fn named<'s>(&'s self, wanted: impl Fn(&str) -> bool + 's) -> impl Iterator<Item = &'s str> {
        // The name first: the class looks at all of the path.
        let own = |path: &&str| !Class::of(path).any(Class::TEST.and(Class::SAMPLE).and(Class::VENDORED));
        let paths = self.paths.iter().map(String::as_str);
        paths.filter(move |path| wanted(path.rsplit('/').next().unwrap_or(path))).filter(own)
    }

    /// The package.json of the root, if it is one.
    pub(crate) fn package(&self) -> Option<&Json> {
        self.package.get_or_init(|| Json::read(self.files, "package.json")?.ok()).as_ref()
    }

    /// The names of a section of package.json, with their versions.
    pub(crate) fn section(&self, name: &str) -> Vec<(&str, &str)> {
        let table = self.package().and_then(|json| json.get(&[name])?.as_object());
        table.into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default())).collect()
    }

    /// Whether package.json needs this, at run time or for the build.
    pub(crate) fn needs(&self, name: &str) -> bool {
        self.package().is_some_and(|json| {
            ["dependencies", "devDependencies"].iter().any(|section| json.get(&[section, name]).is_some())
        })
    }

    /// The version range of a package.json dependency.
    pub(crate) fn range(&self, name: &str) -> Option<&str> {
        self.package()
            .and_then(|json| json.str(&["dependencies", name]).or_else(|| json.str(&["devDependencies", name])))
    }

    pub(crate) fn pyproject(&self) -> Option<&Toml> {
        self.pyproject.get_or_init(|| Toml::read(self.files, "pyproject.toml")?.ok()).as_ref()
    }

    /// Python packages that the tree names, in lower case, and where.
    pub(crate) fn python_needs(&self, name: &str) -> Option<(&'static str, u32)> {
        ["requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "environment.yml"].into_iter().find_map(|file| {
            let text = self.text(file)?;
            let line = (1..).zip(text.lines()).find(|(_, line)| is_requirement(line, name))?;
            Some((file, line.0))
        })
    }

    /// The Dockerfiles of the tree, those of the root first: without those of editors and examples, unless the plan has
    /// chosen one.
    pub(crate) fn dockerfiles(&self) -> &[(String, Dockerfile)] {
        self.dockerfiles.get_or_init(|| {
            let wanted = |name: &str| {
                matches!(name, "Dockerfile" | "dockerfile" | "Containerfile")
                    || name.starts_with("Dockerfile.") && !name.ends_with("ignore")
                    || name.ends_with(".Dockerfile")
                    || name.ends_with(".dockerfile")
            };
            let planned = match self.plan.map(|plan| &plan.image) {
                Some(ImagePlan::Dockerfile { path }) => Some(path.as_str()),
                _ => None,
            };
            let mut paths: Vec<&str> = self
                .named(wanted)
                .filter(|path| !Class::of(path).any(Class::DOC) && (!not_deployed(path) || planned == Some(*path)))
                .take(50)
                .collect();
            paths.sort_by_key(|path| path.matches('/').count());
            paths.into_iter().filter_map(|path| Some((path.to_owned(), Dockerfile::parse(&self.text(path)?)))).collect()
        })
    }

    /// The Dockerfile that makes the image of the app.
    pub(crate) fn own_dockerfile(&self) -> Option<&(String, Dockerfile)> {
        let path = match self.plan.map(|plan| &plan.image) {
            Some(ImagePlan::Dockerfile { path }) => path.as_str(),
            Some(_) => return None,
            None => self.files.first(&["Dockerfile", "Containerfile", "dockerfile"])?,
        };
        self.dockerfiles().iter().find(|(file, _)| file == path)
    }

    /// The compose files of the root.
    pub(crate) fn composes(&self) -> &[(String, Result<Yaml, String>)] {
        self.composes.get_or_init(|| {
            let is_compose = |name: &str| {
                (name.starts_with("compose") || name.starts_with("docker-compose"))
                    && (name.ends_with(".yml") || name.ends_with(".yaml"))
            };
            let paths = self.paths.iter().filter(|path| !path.contains('/') && is_compose(path)).take(10);
            paths.filter_map(|path| Some((path.clone(), Yaml::parse(&self.text(path)?)))).collect()
        })
    }

    /// The `.dockerignore` of the context that the app's image is made from: the tree's, or the one that sh0 writes.
    pub(crate) fn dockerignore(&self) -> Option<&Ignore> {
        let read = || match self.plan.map(|plan| &plan.image) {
            Some(ImagePlan::Generated { dockerignore, .. }) => Some(Ignore::docker(dockerignore)),
            _ => Some(Ignore::docker(&self.text(".dockerignore")?)),
        };
        self.dockerignore.get_or_init(read).as_ref()
    }

    /// Whether git leaves the file out, as far as the root's `.gitignore` says.
    pub(crate) fn untracked(&self, path: &str) -> bool {
        self.gitignore.leaves_out(path)
    }

    /// Whether a file can come into the image of the app.
    pub(crate) fn enters(&self, path: &str) -> bool {
        !self.dockerignore().is_some_and(|ignore| ignore.leaves_out(path))
    }

    /// The day that counts as today, as `2026-11-21`.
    pub(crate) fn today(&self) -> String {
        self.options.now.map_or_else(|| super::eol::MADE.to_owned(), |now| now.to_string().chars().take(10).collect())
    }

    /// What starts the app, and where that is written.
    pub(crate) fn start(&self) -> Option<(String, String, Option<u32>)> {
        if let Some(plan) = self.plan {
            let command = plan.start_command.clone()?;
            let procfile = self.text("Procfile").unwrap_or_default();
            let web = (1..).zip(procfile.lines()).find(|(_, line)| {
                line.split_once(':').is_some_and(|(name, said)| name.trim() == "web" && said.trim() == command)
            });
            if let Some((line, _)) = web {
                return Some((command, "Procfile".into(), Some(line)));
            }
            let reason = plan
                .reasons
                .iter()
                .rev()
                .find(|reason| reason.what.starts_with("start_command") && reason.file.is_some());
            let (file, line) = reason.map_or(("", None), |r| (r.file.as_deref().unwrap_or_default(), r.line));
            // Reasons name files as the tree does, findings as the folder that is looked at.
            let file = plan.root.as_ref().map_or(file, |root| inside(root.as_str(), file));
            return Some((command, file.to_owned(), line));
        }
        let json = self.package()?;
        let command = json.str(&["scripts", "start"])?;
        Some((command.to_owned(), "package.json".into(), json.at(&["scripts", "start"]).line))
    }
}

/// A path without the folder that it lies in; as it is, where it lies elsewhere.
fn inside<'p>(folder: &str, path: &'p str) -> &'p str {
    path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path)
}

/// `Django==4`, `"django>=3",`, `django = "^4"`, `- django`.
fn is_requirement(line: &str, name: &str) -> bool {
    let line = line.trim_start_matches([' ', '\t', '"', '\'', '-', '[']);
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).unwrap_or(line.len());
    let found = line[..end].to_ascii_lowercase().replace('_', "-");
    found == name
}

fn walk(files: Files<'_>) -> (Vec<String>, bool) {
    let mut paths = Vec::new();
    let mut open = vec![(String::new(), 0)];
    let mut folders = 0;
    while let Some((folder, depth)) = open.pop() {
        folders += 1;
        if folders > MAX_FOLDERS {
            return (paths, true);
        }
        let mut below = Vec::new();
        for (name, kind) in files.entries(&folder) {
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            match kind {
                Kind::File if paths.len() >= MAX_FILES => return (paths, true),
                Kind::File => paths.push(path),
                Kind::Folder if depth < MAX_DEPTH && !SKIPPED.contains(&name.as_str()) => below.push((path, depth + 1)),
                _ => {}
            }
        }
        open.extend(below.into_iter().rev());
    }
    (paths, false)
}

/// Looks through every text, on as many threads as there are processors; whether all of it was read.
fn scan_all(tree: &dyn Tree, paths: &[String]) -> (Vec<Vec<Match>>, bool) {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let total = AtomicU64::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(place) else { return done };
            let class = Class::of(path);
            if class.any(Class::BINARY.and(Class::LOCK)) || total.load(Ordering::Relaxed) > MAX_TOTAL {
                continue;
            }
            let Some(text) = tree.bytes(path, MAX_BYTES) else { continue };
            total.fetch_add(text.len() as u64, Ordering::Relaxed);
            if text.iter().take(1024).any(|b| *b == 0) {
                continue;
            }
            let class = if is_bundle(&text) { class.and(Class::VENDORED) } else { class };
            let found = scan(path, class, &text);
            if !found.is_empty() {
                done.push((place, found));
            }
        }
    };
    // A thread costs more than a few files.
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8)).min(1 + paths.len() / 64);
    let mut matches = vec![Vec::new(); paths.len()];
    let mut put = |done: Vec<(usize, Vec<Match>)>| done.into_iter().for_each(|(place, found)| matches[place] = found);
    if threads == 1 {
        put(work());
    } else {
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            put(work());
            others.into_iter().filter_map(|other| other.join().ok()).for_each(&mut put);
        });
    }
    (matches, total.into_inner() <= MAX_TOTAL)
}

/// Lines that no person wrote: the output of a bundler.
fn is_bundle(text: &[u8]) -> bool {
    text.len() > 20_000 && {
        let lines = 1 + text.iter().filter(|b| **b == b'\n').count();
        text.len() / lines > 400
    }
}

/// An image of an editor, of a developer's machine or of an example: none that is deployed.
fn not_deployed(path: &str) -> bool {
    let folder = |part| {
        matches!(
            part,
            ".devcontainer" | ".codesandbox" | ".gitpod" | "dev" | "devel" | "example" | "examples" | "samples"
        )
    };
    path.rsplit_once('/').is_some_and(|(parents, _)| parents.split('/').any(folder))
}
