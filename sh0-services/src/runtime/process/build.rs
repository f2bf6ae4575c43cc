//! Builds: a copy of the tree, the plan's commands in it, and a mark that says it is whole.
//!
//! A release is built where it stays, because tools write its path into what they make (the first line of every program
//! in a Python venv, for one). What makes it a release is `meta.json`, which is written last: a folder without it is
//! wreckage, and the next build of the same request clears it away.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use sh0_core::model::{AppId, Artifact, EnvKey, LogStream, Plan, Resources, RuntimeKind, Secret};
use sh0_core::traits::{BuildRequest, LastLines, OutputSink};
use sh0_core::{Code, Error, Result};
use sha2::{Digest, Sha256};

use super::instances::{Instances, blocking, is_release_id};
use super::launch::{Launch, Program, read_json, shell, write_json};
use super::layout::{Layout, make, remove_tree};
use super::record::{Meta, Record};
use super::session;

/// A longer line of output is cut into several.
const LINE_BYTES: usize = 16 * 1024;

/// Builds of the same release wait for each other.
#[derive(Default)]
pub(crate) struct Builds(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Builds {
    fn lock(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(id.to_owned()).or_default().clone()
    }
}

pub(crate) async fn build(
    instances: &Arc<Instances>,
    builds: &Builds,
    request: BuildRequest<'_>,
    sink: &dyn OutputSink,
) -> Result<Artifact> {
    missing_tools(request.plan, &instances.config.path)?;
    let (tree, plan, env) = (request.tree.clone(), request.plan.clone(), request.env.clone());
    let salt = format!("{}/{}/{}", request.platform, request.app, request.deployment);
    let id = blocking(move || content_id(&tree, &plan, &env, &salt)).await?;
    let lock = builds.lock(&id);
    let _held = lock.lock().await;
    let artifact = Artifact { runtime: RuntimeKind::Process, id: id.clone(), image: None, port: None };
    if instances.layout.meta(request.app, &id).exists() {
        sink.line(LogStream::Stdout, "this very deployment was built before; its release folder is used again");
        return Ok(artifact);
    }
    let wreckage = Wreckage { folder: Some(instances.layout.release(request.app, &id)) };
    let (this, app, from, at) = (instances.clone(), request.app, request.tree.clone(), id.clone());
    let owner = blocking(move || prepare(&this, app, &from, &at)).await?;
    for line in request.plan.install.iter().chain(&request.plan.build) {
        run_command(instances, &request, &id, owner, line, sink).await?;
    }
    write_json(&instances.layout.meta(app, &id), &Meta::new(request.platform, app, request.plan))?;
    wreckage.keep();
    Ok(artifact)
}

/// Named before anything runs: a shell would only say `not found`.
fn missing_tools(plan: &Plan, path: &str) -> Result<()> {
    let on_path = |program: &str| {
        path.split(':')
            .map(|folder| Path::new(folder).join(program))
            .any(|file| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
    };
    let missing: Vec<String> = plan
        .tools
        .iter()
        .filter(|tool| !on_path(&tool.program))
        .map(|tool| format!("`{}` (install {})", tool.program, tool.install_hint))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = missing.join(", ");
    Err(Error::new(Code::BuildFailed, format!("this host lacks {what}; install it, or deploy with the docker runtime")))
}

/// Copies the tree to where it is built.
fn prepare(instances: &Instances, app: AppId, from: &Path, id: &str) -> Result<Option<u32>> {
    let layout = &instances.layout;
    let owner = instances.owner(app)?;
    make(&layout.app_releases(app), 0o711, None)?;
    let release = layout.release(app, id);
    remove_tree(&release)?;
    make(&release, 0o711, None)?;
    let tree = layout.tree(app, id);
    // Its owner's only when all is in it, and it is never followed into after that.
    make(&tree, 0o700, None)?;
    copy_tree(from, &tree, owner)?;
    make(&tree, 0o755, owner)?;
    Layout::make_home(&layout.cache(app), owner)?;
    Ok(owner)
}

async fn run_command(
    instances: &Arc<Instances>,
    request: &BuildRequest<'_>,
    id: &str,
    owner: Option<u32>,
    line: &str,
    sink: &dyn OutputSink,
) -> Result<()> {
    sink.line(LogStream::Stdout, &format!("$ {line}"));
    let launch = launch(instances, request, id, owner, line)?;
    let group = group_name(request);
    let (this, name) = (instances.clone(), group.clone());
    let after = Box::pin(async move {
        this.host.cgroups.remove(&name);
        Ok(())
    });
    let mut running = session::open(&instances.config.shim, &instances.layout.sessions(), &launch, after)?;
    running.input.close().await?;
    let mut lines = [Lines::new(LogStream::Stdout), Lines::new(LogStream::Stderr)];
    let mut last = LastLines::default();
    while let Some(output) = running.output.next().await {
        let (stream, bytes) = output?;
        let lines = &mut lines[usize::from(stream == LogStream::Stderr)];
        lines.take(&bytes, sink, &mut last);
    }
    lines.iter_mut().for_each(|lines| lines.finish(sink, &mut last));
    let exit = running.exit.await?;
    if exit.code == 0 {
        return Ok(());
    }
    Err(last.build_failed(format_args!("`{line}` {exit}")))
}

fn launch(
    instances: &Instances,
    request: &BuildRequest<'_>,
    id: &str,
    owner: Option<u32>,
    line: &str,
) -> Result<Launch> {
    let layout = &instances.layout;
    let (tree, cache) = (layout.tree(request.app, id), layout.cache(request.app));
    let mut env = instances.base_env(&request.plan.paths, &tree, &cache.join("home"), &cache.join("tmp"));
    env.extend(instances.config.build_env.clone());
    let planned = request.plan.variables(RuntimeKind::Process);
    env.extend(planned.into_iter().map(|(key, value)| (key.to_string(), Secret::new(value))));
    env.extend(request.env.iter().map(|(key, value)| (key.to_string(), value.clone())));
    let none = Resources::default();
    let cgroups = instances.host.cgroups.make(&group_name(request), &none)?;
    let confine = instances.host.confine(owner, cgroups, &none, vec![tree.clone(), cache.clone()], cache.join("tmp"));
    Ok(Launch {
        shim_args: instances.config.shim.args.clone(),
        program: Program::Exec(shell(line)),
        env,
        cwd: tree,
        volumes: Vec::new(),
        confine,
        beside: false,
        terminal: None,
        state: None,
        supervise: None,
    })
}

fn group_name(request: &BuildRequest<'_>) -> String {
    format!("build-{}", request.deployment)
}

/// Bytes become lines.
struct Lines {
    stream: LogStream,
    unfinished: Vec<u8>,
}

impl Lines {
    fn new(stream: LogStream) -> Lines {
        Lines { stream, unfinished: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8], sink: &dyn OutputSink, last: &mut LastLines) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(piece);
            if self.unfinished.ends_with(b"\n") || self.unfinished.len() > LINE_BYTES {
                self.finish(sink, last);
            }
        }
    }

    fn finish(&mut self, sink: &dyn OutputSink, last: &mut LastLines) {
        if self.unfinished.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(&self.unfinished);
        let text = text.trim_end_matches(['\n', '\r']);
        sink.line(self.stream, text);
        last.push(text);
        self.unfinished.clear();
    }
}

/// A release folder that is not finished: it goes when the build fails or is dropped.
struct Wreckage {
    folder: Option<PathBuf>,
}

impl Wreckage {
    fn keep(mut self) {
        self.folder = None;
    }
}

impl Drop for Wreckage {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        // Out of the way at once; a command that is being killed may still write into it.
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let trash = folder.with_file_name(format!(".gone-{name}-{}", std::process::id()));
        let folder = if fs::rename(&folder, &trash).is_ok() { trash } else { folder };
        let remove = move || {
            for _ in 0..50 {
                if remove_tree(&folder).is_ok() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

// ---- artifacts ----

pub(crate) fn list_artifacts(instances: &Instances, app: AppId) -> Result<Vec<Artifact>> {
    let entries = match fs::read_dir(instances.layout.app_releases(app)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut list = Vec::new();
    for entry in entries {
        let id = entry?.file_name().to_string_lossy().into_owned();
        let meta: Option<Meta> = read_json(&instances.layout.meta(app, &id))?;
        if is_release_id(&id) && meta.is_some_and(|meta| meta.platform == instances.config.platform) {
            list.push(Artifact { runtime: RuntimeKind::Process, id, image: None, port: None });
        }
    }
    list.sort();
    Ok(list)
}

/// Folders of releases with this id: it does not say whose it is.
fn folders(instances: &Instances, id: &str) -> Result<Vec<AppId>> {
    let mut apps = Vec::new();
    if is_release_id(id) {
        for entry in fs::read_dir(instances.layout.root.join("releases"))? {
            let app = entry?.file_name().to_str().and_then(|name| name.parse::<AppId>().ok());
            let whole = |app: &AppId| {
                let meta = read_json::<Meta>(&instances.layout.meta(*app, id)).ok().flatten();
                meta.is_some_and(|meta| meta.platform == instances.config.platform)
            };
            apps.extend(app.filter(whole));
        }
    }
    Ok(apps)
}

pub(crate) fn has_artifact(instances: &Instances, artifact: &Artifact) -> Result<bool> {
    Ok(artifact.runtime == RuntimeKind::Process && !folders(instances, &artifact.id)?.is_empty())
}

pub(crate) fn remove_artifact(instances: &Instances, artifact: &Artifact) -> Result<()> {
    let mut used = Vec::new();
    for name in instances.names()? {
        let record: Option<Record> = read_json(&instances.layout.spec(&name))?;
        used.extend(record.filter(|record| record.artifact.id == artifact.id).map(|record| (record.app, name)));
    }
    for app in folders(instances, &artifact.id)? {
        if let Some((_, name)) = used.iter().find(|(user, _)| *user == app) {
            return Err(Error::conflict(format!("{name} runs from this release; remove the instance first")));
        }
        fs::remove_file(instances.layout.meta(app, &artifact.id))?;
        remove_tree(&instances.layout.release(app, &artifact.id))?;
    }
    Ok(())
}

/// Wreckage of builds and sessions that a crash cut off.
pub(crate) fn sweep(instances: &Instances) {
    instances.host.cgroups.sweep();
    session::sweep(&instances.layout.sessions());
    for app in fs::read_dir(instances.layout.root.join("releases")).into_iter().flatten().flatten() {
        for release in fs::read_dir(app.path()).into_iter().flatten().flatten() {
            if release.file_name().to_string_lossy().starts_with(".gone-") {
                let _ = remove_tree(&release.path());
            }
        }
    }
}

// ---- trees ----

/// A hash of all that decides what a build makes: whose it is, the tree, the plan, the variables. And its deployment:
/// instances may write into their release folder, and what they left there is no part of the next deployment.
fn content_id(tree: &Path, plan: &Plan, env: &BTreeMap<EnvKey, Secret>, salt: &str) -> Result<String> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(b"sh0 process release 1");
    part(&serde_json::to_vec(plan)?);
    part(salt.as_bytes());
    for (key, value) in env {
        part(key.as_str().as_bytes());
        part(value.expose().as_bytes());
    }
    hash_folder(tree, tree, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hash_folder(root: &Path, folder: &Path, hash: &mut Sha256) -> io::Result<()> {
    for path in entries(root, folder)? {
        use std::os::unix::ffi::OsStrExt;
        let meta = path.symlink_metadata()?;
        let name = path.strip_prefix(root).unwrap_or(&path).as_os_str().as_bytes();
        let (kind, length) = match (meta.is_dir(), meta.is_symlink()) {
            (true, _) => (b'd', 0),
            (_, true) => (b'l', 0),
            _ => (if meta.mode() & 0o111 != 0 { b'x' } else { b'f' }, meta.len()),
        };
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update([kind]);
        hash.update(length.to_be_bytes());
        if meta.is_dir() {
            hash_folder(root, &path, hash)?;
        } else if meta.is_symlink() {
            let target = fs::read_link(&path)?;
            hash.update((target.as_os_str().len() as u64).to_be_bytes());
            hash.update(target.as_os_str().as_bytes());
        } else if meta.is_file() {
            let mut file = fs::File::open(&path)?;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let count = io::Read::read(&mut file, &mut buffer)?;
                if count == 0 {
                    break;
                }
                hash.update(&buffer[..count]);
            }
        }
    }
    Ok(())
}

/// What is in a folder, in order. `.git` at the top stays out: it is not the app, and may hold credentials.
fn entries(root: &Path, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        entries.push(entry?.path());
    }
    if root == folder {
        entries.retain(|path| !path.ends_with(".git"));
    }
    entries.sort();
    Ok(entries)
}

/// Copies what is in `from` into the folder `to`: files with their rights, symlinks as they are, nothing else. A folder
/// gets its owner when all is in it: until then nobody else can put a link there that this would follow.
pub(crate) fn copy_tree(from: &Path, to: &Path, owner: Option<u32>) -> io::Result<()> {
    copy_folder(from, from, to, owner)
}

fn copy_folder(root: &Path, from: &Path, to: &Path, owner: Option<u32>) -> io::Result<()> {
    for path in entries(root, from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        let meta = path.symlink_metadata()?;
        if meta.is_dir() {
            make(&target, 0o700, None)?;
            copy_folder(root, &path, &target, owner)?;
            // Its owner writes into it, whatever the rights were.
            make(&target, (meta.mode() & 0o777) | 0o700, owner)?;
        } else if meta.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &target)?;
            std::os::unix::fs::lchown(&target, owner, owner)?;
        } else if meta.is_file() {
            fs::copy(&path, &target)?;
            // Never set-user-id.
            fs::set_permissions(&target, fs::Permissions::from_mode((meta.mode() & 0o777) | 0o600))?;
            std::os::unix::fs::lchown(&target, owner, owner)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample(dir: &Path) {
        fs::create_dir_all(dir.join("sub/empty")).unwrap();
        fs::create_dir_all(dir.join(".git")).unwrap();
        fs::write(dir.join(".git/config"), "token").unwrap();
        fs::write(dir.join("run"), "#!x").unwrap();
        fs::set_permissions(dir.join("run"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::write(dir.join("sub/file"), "text").unwrap();
        std::os::unix::fs::symlink("sub/file", dir.join("link")).unwrap();
    }

    #[test]
    fn a_copy_is_the_same_without_git_and_set_user_id() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        sample(from.path());
        copy_tree(from.path(), to.path(), None).unwrap();
        assert!(!to.path().join(".git").exists() && to.path().join("sub/empty").is_dir());
        assert_eq!(to.path().join("run").metadata().unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_link(to.path().join("link")).unwrap(), Path::new("sub/file"));
        assert_eq!(fs::read_to_string(to.path().join("link")).unwrap(), "text");
    }

    #[test]
    fn the_id_follows_all_that_matters() {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path());
        let plan = Plan::default();
        let id = |plan: &Plan, env: &BTreeMap<EnvKey, Secret>, salt| content_id(dir.path(), plan, env, salt).unwrap();
        let none = BTreeMap::new();
        let first = id(&plan, &none, "app");
        assert!(is_release_id(&first));
        assert_eq!(first, id(&plan, &none, "app"));
        assert_ne!(first, id(&plan, &none, "another"));
        assert_ne!(first, id(&Plan { build: vec!["make".into()], ..Plan::default() }, &none, "app"));
        let env = BTreeMap::from([("A".parse().unwrap(), Secret::new("1"))]);
        assert_ne!(first, id(&plan, &env, "app"));
        fs::write(dir.path().join(".git/config"), "other").unwrap();
        assert_eq!(first, id(&plan, &none, "app"));
        fs::set_permissions(dir.path().join("sub/file"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_ne!(first, id(&plan, &none, "app"));
    }
}
