//! Git repositories, through the `git` program: program and arguments, never a shell, with an environment and a
//! configuration of its own, so that nothing of the host's or of the repository's decides what is run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sh0_core::model::{EnvKey, GitRef, GitUrl, Revision};
use sh0_core::{Code, Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::place;

/// The most that is kept of what git prints, in bytes; references of a large repository are a few megabytes.
const MAX_OUTPUT: u64 = 32 << 20;

/// Where programs are looked for: the environment of the platform does not matter.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What git obeys in place of the host's and the user's configuration. Transports that run programs are refused,
/// nothing asks, no hook, filter or monitor is run; repositories that belong to somebody else on this machine may be
/// read (their configuration cannot run anything: git takes `uploadpack.packObjectsHook` from this file alone).
const CONFIG: &str = "\
[protocol]\n\tallow = never\n\
[protocol \"https\"]\n\tallow = always\n\
[protocol \"http\"]\n\tallow = always\n\
[protocol \"ssh\"]\n\tallow = always\n\
[protocol \"file\"]\n\tallow = always\n\
[protocol \"ext\"]\n\tallow = never\n\
[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tsymlinks = true\n\taskPass =\n\tsshCommand = ssh -o BatchMode=yes\n\
[credential]\n\thelper =\n\tinteractive = false\n\
[submodule]\n\trecurse = false\n\
[fetch]\n\trecurseSubmodules = no\n\
[http]\n\tlowSpeedLimit = 1000\n\tlowSpeedTime = 60\n\
[gc]\n\tauto = 0\n\
[maintenance]\n\tauto = false\n\
[advice]\n\tdetachedHead = false\n\
[safe]\n\tdirectory = *\n";

/// Which git, and what it may know of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitProgram {
    /// The program: a name, or a path.
    pub program: PathBuf,
    /// Variables that it gets beside its own, such as `HTTPS_PROXY`, `SSL_CERT_FILE` or `GIT_SSL_CAINFO`. The library
    /// reads no environment; who embeds it may hand them on.
    pub env: BTreeMap<EnvKey, String>,
}

impl Default for GitProgram {
    fn default() -> Self {
        GitProgram { program: "git".into(), env: BTreeMap::new() }
    }
}

/// Writes the configuration that every call uses.
pub(super) fn write_config(home: &Path) -> Result<()> {
    fs::write(home.join("config"), CONFIG)?;
    Ok(())
}

/// Git, for one fetch.
pub(super) struct Git<'a> {
    program: &'a GitProgram,
    home: &'a Path,
    /// The repository, without a working tree of its own.
    repository: PathBuf,
    time: Duration,
}

impl<'a> Git<'a> {
    pub(super) fn new(program: &'a GitProgram, home: &'a Path, stage: &Path, time: Duration) -> Self {
        Git { program, home, repository: stage.join("git"), time }
    }

    /// Fetches what `reference` names, without its history, and writes its files to `tree`.
    pub(super) async fn fetch(
        &self,
        url: &GitUrl,
        reference: Option<&GitRef>,
        tree: &Path,
        note: &(dyn Fn(&str) + Sync),
    ) -> Result<Revision> {
        let remote = Remote { url };
        let work = async {
            note(&format!("fetching {}{}", remote.url, reference.map(|r| format!(" at {r}")).unwrap_or_default()));
            self.init(url).await?;
            let commit = self.fetch_commit(&remote, reference, note).await?;
            self.checkout(&commit, tree).await?;
            let message = self.call(&["log", "-1", "--format=%s", &commit]).await?.text();
            let message: String = message.trim().chars().take(500).collect();
            note(&format!("at {} {message}", &commit[..commit.len().min(12)]));
            absent(tree, note);
            Ok(Revision { id: commit, message: Some(message).filter(|message| !message.is_empty()) })
        };
        tokio::time::timeout(self.time, work).await.unwrap_or_else(|_| {
            let text = format!("fetching {} took longer than {} s", remote.url, self.time.as_secs());
            Err(Error::new(Code::Timeout, text))
        })
    }

    /// The repository, with the remote in its configuration.
    async fn init(&self, url: &GitUrl) -> Result<()> {
        place::private_folder(&self.repository)?;
        self.call(&["init", "--quiet", "--bare", "--template="]).await?;
        let quoted = url.as_str().replace('\\', r"\\").replace('"', "\\\"");
        let mut config = fs::read_to_string(self.repository.join("config"))?;
        config.push_str(&format!("[remote \"origin\"]\n\turl = \"{quoted}\"\n"));
        fs::write(self.repository.join("config"), config)?;
        Ok(())
    }

    async fn fetch_commit(
        &self,
        remote: &Remote<'_>,
        reference: Option<&GitRef>,
        note: &(dyn Fn(&str) + Sync),
    ) -> Result<String> {
        let wanted = match reference {
            None => "HEAD".to_owned(),
            Some(reference) if is_full_id(reference.as_str()) => reference.as_str().to_ascii_lowercase(),
            Some(reference) => match self.find(remote, reference.as_str()).await? {
                Some(name) => name,
                None => return self.abbreviated(remote, reference.as_str(), note).await,
            },
        };
        let shallow = self
            .try_call(&["fetch", "--quiet", "--depth=1", "--no-tags", "--end-of-options", "origin", &wanted])
            .await?;
        if shallow.ok {
            return self.resolve("FETCH_HEAD").await?.ok_or_else(|| remote.missing("its commit"));
        }
        if !is_full_id(&wanted) {
            return Err(remote.failure(&shallow.errors, reference));
        }
        // Not every server gives a commit that no reference names (uploadpack.allowReachableSHA1InWant).
        note("the server does not give single commits; fetching the whole history");
        self.everything(remote).await?;
        self.resolve(&wanted).await?.ok_or_else(|| remote.missing(&format!("the commit {wanted}")))
    }

    /// The full name of a branch or a tag.
    async fn find(&self, remote: &Remote<'_>, name: &str) -> Result<Option<String>> {
        let candidates = [format!("refs/heads/{name}"), format!("refs/tags/{name}"), name.to_owned()];
        let mut arguments = vec!["ls-remote", "--quiet", "--end-of-options", "origin"];
        arguments.extend(candidates.iter().map(String::as_str));
        let listed = self.try_call(&arguments).await?;
        if !listed.ok {
            return Err(remote.failure(&listed.errors, None));
        }
        let listed = listed.text();
        let names: Vec<&str> = listed.lines().filter_map(|line| line.split_once('\t')).map(|(_, name)| name).collect();
        // Patterns also match the ends of longer names: only the whole name counts.
        Ok(candidates.into_iter().find(|candidate| names.contains(&candidate.as_str())))
    }

    /// What is neither branch nor tag may be the beginning of a commit's id.
    async fn abbreviated(&self, remote: &Remote<'_>, name: &str, note: &(dyn Fn(&str) + Sync)) -> Result<String> {
        let looks_like_id = name.len() >= 4 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if looks_like_id {
            note(&format!("{name} is neither branch nor tag; looking for a commit in the whole history"));
            self.everything(remote).await?;
            if let Some(commit) = self.resolve(name).await? {
                return Ok(commit);
            }
        }
        let listed = self.try_call(&["ls-remote", "--quiet", "--heads", "--end-of-options", "origin"]).await?.text();
        let branches: Vec<&str> =
            listed.lines().filter_map(|line| line.split_once("refs/heads/")).map(|(_, name)| name).take(10).collect();
        let hint = if branches.is_empty() {
            "the repository has no branches".to_owned()
        } else {
            format!("branches there: {}", branches.join(", "))
        };
        Err(Error::not_found("branch, tag or commit", name).context(format!("{}: {hint}", remote.url)))
    }

    async fn everything(&self, remote: &Remote<'_>) -> Result<()> {
        let refs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
        let done =
            self.try_call(&["fetch", "--quiet", "--no-tags", "--end-of-options", "origin", refs[0], refs[1]]).await?;
        if done.ok { Ok(()) } else { Err(remote.failure(&done.errors, None)) }
    }

    /// The full id of a commit that is here.
    async fn resolve(&self, name: &str) -> Result<Option<String>> {
        let found = self
            .try_call(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{name}^{{commit}}")])
            .await?;
        let id = found.text().trim().to_owned();
        Ok(Some(id).filter(|id| found.ok && is_full_id(id)))
    }

    async fn checkout(&self, commit: &str, tree: &Path) -> Result<()> {
        let mut command = self.command(&["checkout", "--quiet", "--force", "--detach", commit])?;
        command.env("GIT_WORK_TREE", tree).current_dir(tree);
        let done = self.run(command).await?;
        if done.ok {
            return Ok(());
        }
        Err(failed(&done.errors).context("writing the files of the repository"))
    }

    // ---- running ----

    async fn call(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.try_call(arguments).await?;
        if output.ok { Ok(output) } else { Err(failed(&output.errors)) }
    }

    async fn try_call(&self, arguments: &[&str]) -> Result<Output> {
        self.run(self.command(arguments)?).await
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(&self.program.program);
        command.args(arguments).current_dir(&self.repository).env_clear();
        command.env("PATH", PATH).env("LC_ALL", "C").env("HOME", self.home).env("XDG_CONFIG_HOME", self.home);
        command.envs(self.program.env.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        command.env("GIT_DIR", &self.repository).env("GIT_CONFIG_GLOBAL", self.home.join("config"));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_ATTR_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_LFS_SKIP_SMUDGE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its helpers (git-remote-https, ssh) are in its group, and end with it.
        command.process_group(0).kill_on_drop(true);
        Ok(command)
    }

    async fn run(&self, mut command: Command) -> Result<Output> {
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                let text = format!(
                    "`{}` is not on this machine; install it (Debian: apt-get install git)",
                    self.program.program.display()
                );
                Error::new(Code::Unsupported, text).with_source(error)
            }
            _ => Error::from(error).context("starting git"),
        })?;
        let group = Group(child.id());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (out, errors, status) = tokio::join!(bounded(out), bounded(err), child.wait());
        let status = status?;
        group.ended();
        let errors = String::from_utf8_lossy(&errors?).into_owned();
        Ok(Output { ok: status.success(), out: out?, errors })
    }
}

/// Ends every process of a group when the work is given up.
struct Group(Option<u32>);

impl Group {
    /// The leader was waited for: its number may be another's now.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

struct Output {
    ok: bool,
    out: Vec<u8>,
    errors: String,
}

impl Output {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// Reads to the end, and keeps what fits.
async fn bounded(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return Ok(kept) };
    (&mut from).take(MAX_OUTPUT).read_to_end(&mut kept).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(kept)
}

/// Where it is fetched from.
struct Remote<'a> {
    url: &'a GitUrl,
}

impl Remote<'_> {
    fn missing(&self, what: &str) -> Error {
        Error::not_found("such commit", what).context(self.url)
    }

    /// Git has one exit code for everything: its words (in `LC_ALL=C`) tell what happened.
    fn failure(&self, errors: &str, reference: Option<&GitRef>) -> Error {
        let says = |texts: &[&str]| texts.iter().any(|text| errors.contains(text));
        let url = self.url;
        let (code, text) = if says(&[
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "terminal prompts disabled",
            "unable to get password",
        ]) {
            (
                Code::Forbidden,
                format!(
                    "{url} does not exist or is private; private repositories need a deploy key over ssh, which sh0 does not manage yet: use a public address, or deploy a folder"
                ),
            )
        } else if says(&[
            "Permission denied (publickey",
            "Host key verification failed",
            "error: 403",
            "Permission denied",
        ]) {
            (
                Code::Forbidden,
                format!(
                    "{url} refuses this machine; private repositories need a deploy key over ssh, which sh0 does not manage yet: use a public address, or deploy a folder"
                ),
            )
        } else if says(&["couldn't find remote ref HEAD"]) {
            (Code::NotFound, format!("{url} has no commits on its default branch; push one, or name a branch"))
        } else if says(&["couldn't find remote ref", "not our ref"]) {
            let name = reference.map(GitRef::as_str).unwrap_or("the reference");
            (Code::NotFound, format!("{url} has no `{name}`"))
        } else if says(&[
            "does not appear to be a git repository",
            "not found",
            "Could not find repository",
            "does not exist",
        ]) {
            (Code::NotFound, format!("there is no git repository at {url}"))
        } else if says(&[
            "Could not resolve",
            "Connection refused",
            "Connection timed out",
            "Failed to connect",
            "Couldn't connect",
            "timed out",
            "Network is unreachable",
            "Connection reset",
            "early EOF",
            "error: 5",
        ]) {
            (Code::Unavailable, format!("{url} does not answer: {}", last_line(errors)))
        } else if says(&["certificate", "SSL"]) {
            (Code::Unavailable, format!("the certificate of {url} is not accepted: {}", last_line(errors)))
        } else {
            return failed(errors).context(format!("fetching {url}"));
        };
        Error::new(code, text)
    }
}

fn failed(errors: &str) -> Error {
    let code = if errors.contains("No space left on device") { Code::NoSpace } else { Code::BuildFailed };
    Error::new(code, format!("git failed: {}", last_line(errors)))
}

/// The line that says most: the last that begins with `fatal:` or `error:`, else the last.
fn last_line(errors: &str) -> String {
    let lines = || errors.lines().map(str::trim).filter(|line| !line.is_empty());
    let strong = lines().rfind(|line| line.starts_with("fatal:") || line.starts_with("error:"));
    strong.or_else(|| lines().next_back()).unwrap_or("it printed nothing").chars().take(500).collect()
}

fn is_full_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Says what the tree asks for and did not get.
fn absent(tree: &Path, note: &(dyn Fn(&str) + Sync)) {
    if tree.join(".gitmodules").is_file() {
        note("the repository has submodules; their files are not fetched");
    }
    let attributes = fs::read_to_string(tree.join(".gitattributes")).unwrap_or_default();
    if attributes.contains("filter=lfs") {
        note("the repository uses Git LFS; its large files are pointers here");
    }
}
