use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Outcome, read};

/// The source tree, and the one target folder that everything is built in.
pub(crate) struct Repo {
    root: PathBuf,
    target: PathBuf,
}

impl Repo {
    /// From the place of this very program: `target/debug/xtask` of the workspace that built it.
    pub(crate) fn find() -> Outcome<Repo> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?.to_owned();
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).ok_or("this program is not in a target folder")?.to_owned();
        Ok(Repo { root, target })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// A file or folder of xtask's own, inside the target folder.
    pub(crate) fn own(&self, name: &str) -> Outcome<PathBuf> {
        let dir = self.target.join("xtask");
        fs::create_dir_all(&dir)?;
        Ok(dir.join(name))
    }

    /// A new, empty folder of xtask's own.
    pub(crate) fn fresh(&self, name: &str) -> Outcome<PathBuf> {
        let dir = self.own(name)?;
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Files that git tracks or would track, as paths below the root.
    pub(crate) fn files(&self) -> Outcome<Vec<String>> {
        let mut git = std::process::Command::new("git");
        git.current_dir(&self.root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let listed = read(&mut git)?;
        let mut files: Vec<String> = listed.split_terminator('\0').map(str::to_owned).collect();
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The text of a tracked file; `None` when it is not text.
    pub(crate) fn text(&self, file: &str) -> Outcome<Option<String>> {
        Ok(String::from_utf8(fs::read(self.root.join(file))?).ok())
    }
}
