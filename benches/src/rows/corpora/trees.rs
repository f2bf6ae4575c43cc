//! The example apps of other projects, out of their git directories.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Outcome;
use crate::rows::sources::git_dir;

/// A repository of examples.
pub(super) struct Corpus {
    /// `owner/name`.
    pub(super) repo: &'static str,
    /// Where the examples lie.
    folder: &'static str,
    /// How many folders below that one an app lies, at least; deeper where there is no file.
    depth: usize,
}

const fn corpus(repo: &'static str, folder: &'static str, depth: usize) -> Corpus {
    Corpus { repo, folder, depth }
}

/// What is looked at.
pub(super) const CORPORA: &[Corpus] = &[
    corpus("railwayapp/nixpacks", "examples", 1),
    corpus("railwayapp/railpack", "examples", 1),
    corpus("GoogleCloudPlatform/buildpacks", "builders/testdata", 3),
    corpus("paketo-buildpacks/samples", "", 2),
    corpus("vercel/vercel", "examples", 1),
    corpus("heroku/buildpacks-python", "tests/fixtures", 1),
    corpus("heroku/buildpacks-nodejs", "tests/fixtures", 1),
    corpus("docker/awesome-compose", "", 1),
];

/// An example on disk.
pub(super) struct App {
    /// `owner/name`.
    pub(super) repo: &'static str,
    /// Within the repository.
    pub(super) path: String,
    /// Where it was unpacked to.
    pub(super) dir: PathBuf,
}

/// Every app of every corpus, unpacked below `to`. What is there already is taken as it is. `also` are paths that are
/// apps whatever their place says.
pub(super) fn all(mirror: &Path, to: &Path, also: &BTreeSet<(String, String)>) -> Outcome<Vec<App>> {
    let mut apps = Vec::new();
    for corpus in CORPORA {
        let git = git_dir(mirror, corpus.repo)?;
        let dir = to.join(corpus.repo.replace('/', "+"));
        let entries = list(&git, corpus.folder)?;
        if !dir.exists() {
            unpack(&git, &entries, &dir)?;
        }
        let mut paths = corpus.apps(&entries);
        paths.extend(also.iter().filter(|(repo, _)| repo == corpus.repo).map(|(_, path)| path.clone()));
        apps.extend(paths.into_iter().map(|path| App { repo: corpus.repo, dir: dir.join(&path), path }));
    }
    Ok(apps)
}

/// One folder of a repository, unpacked below `to`; what is there already is taken as it is.
pub(super) fn folder(mirror: &Path, repo: &str, folder: &str, to: &Path) -> Outcome<PathBuf> {
    let git = git_dir(mirror, repo)?;
    let dir = to.join(repo.replace('/', "+"));
    if !dir.exists() {
        unpack(&git, &list(&git, folder)?, &dir)?;
    }
    Ok(dir.join(folder))
}

impl Corpus {
    /// The folders that hold an app: as deep as said, or below, where a file lies. READMEs make no app.
    fn apps(&self, entries: &[Entry]) -> BTreeSet<String> {
        let parts = |path: &str| path.split('/').filter(|part| !part.is_empty()).count();
        let depth = parts(self.folder) + self.depth;
        let mut found: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
        for entry in entries {
            let Some((folder, name)) = entry.path.rsplit_once('/') else { continue };
            let paper = name.ends_with(".md") || name.ends_with(".sh") && self.depth == 2;
            if parts(folder) >= depth
                && !folder.starts_with('.')
                && !folder.contains("__tests__")
                && (!paper || self.depth == 1)
            {
                found.entry(parts(folder)).or_default().insert(folder.to_owned());
            }
        }
        let mut apps: BTreeSet<String> = BTreeSet::new();
        for folder in found.into_values().flatten() {
            // Nearly always the folder at that depth itself; where it has only folders, those.
            let root = folder.split('/').take(depth).collect::<Vec<_>>().join("/");
            let compose = ["compose.yaml", "compose.yml", "docker-compose.yml"];
            if self.repo == "docker/awesome-compose"
                && !entries.iter().any(|e| compose.iter().any(|name| e.path == format!("{root}/{name}")))
            {
                continue;
            }
            let grouping = self.depth == 2 && !entries.iter().any(|e| is_directly_in(e, &root));
            let app = if grouping { folder.split('/').take(depth + 1).collect::<Vec<_>>().join("/") } else { root };
            apps.insert(app);
        }
        apps
    }
}

fn is_directly_in(entry: &Entry, folder: &str) -> bool {
    entry
        .path
        .rsplit_once('/')
        .is_some_and(|(parent, name)| parent == folder && !name.ends_with(".md") && !name.ends_with(".sh"))
}

/// A file of a commit.
struct Entry {
    link: bool,
    object: String,
    path: String,
}

fn list(git: &Path, folder: &str) -> Outcome<Vec<Entry>> {
    let mut command = Command::new("git");
    command.arg("-C").arg(git).args(["ls-tree", "-r", "-z", "HEAD"]).stdin(Stdio::null());
    if !folder.is_empty() {
        command.arg(format!("{folder}/"));
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("git ls-tree in {}: {}", git.display(), String::from_utf8_lossy(&output.stderr)).into());
    }
    let entry = |line: &str| {
        let (facts, path) = line.split_once('\t')?;
        let mut facts = facts.split(' ');
        let (mode, kind, object) = (facts.next()?, facts.next()?, facts.next()?);
        (kind == "blob").then(|| Entry { link: mode == "120000", object: object.to_owned(), path: path.to_owned() })
    };
    Ok(String::from_utf8_lossy(&output.stdout).split('\0').filter_map(entry).collect())
}

/// Writes the files. A snapshot may lack large ones: those are left out.
fn unpack(git: &Path, entries: &[Entry], to: &Path) -> Outcome {
    let mut batch = Command::new("git");
    batch.arg("-C").arg(git).args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut batch = batch.spawn()?;
    let mut ask = batch.stdin.take().ok_or("git has no input")?;
    let mut answer = std::io::BufReader::new(batch.stdout.take().ok_or("git has no output")?);
    for entry in entries {
        writeln!(ask, "{}", entry.object)?;
        ask.flush()?;
        let mut head = String::new();
        std::io::BufRead::read_line(&mut answer, &mut head)?;
        let Some(size) = head.trim().rsplit(' ').next().and_then(|size| size.parse::<usize>().ok()) else { continue };
        let mut content = vec![0; size + 1];
        answer.read_exact(&mut content)?;
        content.pop();
        let file = to.join(&entry.path);
        fs::create_dir_all(file.parent().unwrap_or(to))?;
        if entry.link {
            std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&content), &file)?;
        } else {
            fs::write(&file, content)?;
        }
    }
    drop(ask);
    batch.wait()?;
    Ok(())
}
