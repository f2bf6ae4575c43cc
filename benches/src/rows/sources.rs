//! Trees of public repositories, out of git directories of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{progress, word};
use crate::Outcome;

/// The folder of git directories: the one behind `--mirror`, else one that is filled from GitHub.
pub(super) fn mirror() -> Outcome<PathBuf> {
    let mirror = word("--mirror").unwrap_or_else(|| "target/real-apps".into());
    fs::create_dir_all(&mirror)?;
    Ok(fs::canonicalize(mirror)?)
}

/// The git directory of `owner/name` below the folder of mirrors: `OWNER+NAME`, or `OWNER+NAME/repo`.
pub(super) fn git_dir(mirror: &Path, repo: &str) -> Outcome<PathBuf> {
    let dir = mirror.join(repo.replace('/', "+"));
    let inside = dir.join("repo");
    let dir = if inside.is_dir() { inside } else { dir };
    match dir.join("objects").is_dir() || dir.join(".git").exists() {
        true => Ok(fs::canonicalize(dir)?),
        false => Err(format!("no git directory for {repo} below the mirror").into()),
    }
}

/// A folder of a repository at a commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    /// `owner/name`.
    pub(super) repo: String,
    /// The commit.
    pub(super) commit: String,
    /// Within the repository; all of it when empty.
    pub(super) folder: String,
}

impl Place {
    /// For people.
    pub(super) fn shown(&self) -> String {
        if self.folder.is_empty() { self.repo.clone() } else { format!("{} {}", self.repo, self.folder) }
    }

    /// Fetches the commit unless it is there.
    pub(super) fn fetch(&self, mirror: &Path) -> Outcome {
        let is_there = |dir: PathBuf| {
            let status = git(&dir).args(["cat-file", "-e", &self.commit]).stderr(Stdio::null()).status();
            status.is_ok_and(|status| status.success())
        };
        if git_dir(mirror, &self.repo).is_ok_and(is_there) {
            return Ok(());
        }
        let dir = mirror.join(self.repo.replace('/', "+"));
        fs::create_dir_all(&dir)?;
        let url = format!("https://github.com/{}", self.repo);
        progress(format!("fetches {url}"));
        for args in [&["init", "--quiet", "--bare"][..], &["fetch", "--quiet", "--depth=1", &url, &self.commit]] {
            if !git(&dir).args(args).status()?.success() {
                return Err(format!("{url} at {} cannot be fetched; put it into {}", self.commit, dir.display()).into());
            }
        }
        Ok(())
    }

    /// Writes its files, and nothing else, below `to`.
    pub(super) fn unpack(&self, mirror: &Path, to: &Path) -> Outcome {
        let mut archive = git(&git_dir(mirror, &self.repo)?);
        archive.args(["archive", "--format=tar"]).arg(format!("{}:{}", self.commit, self.folder));
        let mut archive = archive.stdout(Stdio::piped()).spawn()?;
        let mut output = archive.stdout.take().ok_or("git has no output")?;
        tar::Archive::new(&mut output).unpack(to)?;
        // Git fills the last block after the archive's end; it would fail if nobody read that.
        std::io::copy(&mut output, &mut std::io::sink())?;
        match archive.wait()?.success() {
            true => Ok(()),
            false => Err(format!("{} has no {} at {}", self.repo, self.folder, self.commit).into()),
        }
    }
}

/// git in a folder, with neither input nor output.
pub(super) fn git(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).stdin(Stdio::null()).stdout(Stdio::null());
    git
}
