//! What never belongs to a source that is a folder: the same for one of this machine that the server reads, and for one that
//! `sh0` packs and sends.
//!
//! The choice is made where a folder is *taken up*, because nobody chose what lies about in it. It is not made again for
//! what somebody has put together: an archive that another program uploads, and a commit in git, are taken as they are (but
//! for `.git`), with a `.env` that was committed, for it may be what the app reads; `sh0 check` names it. So it is there for
//! a process, but not in an image by a Dockerfile that sh0 writes, whose `.dockerignore` has a list of its own.

use std::path::Path;

/// History, and what is made anew on every machine.
pub fn is_left_out(path: &Path) -> bool {
    let beside = |file: &str| path.parent().is_some_and(|folder| folder.join(file).is_file());
    match path.file_name().and_then(|name| name.to_str()) {
        Some(".git" | ".hg" | ".svn" | "__pycache__" | ".DS_Store") => true,
        Some("node_modules") => beside("package.json"),
        Some("target") => beside("Cargo.toml"),
        _ => path.join("pyvenv.cfg").is_file(),
    }
}

/// `.env` and its kin, whose secrets belong in the environment of the app; examples of them hold none.
///
/// ```
/// use sh0_core::model::is_env_file;
/// assert!(is_env_file("web/.env.production".as_ref()));
/// assert!(!is_env_file("web/.env.example".as_ref()));
/// ```
pub fn is_env_file(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let example = ["example", "sample", "template", "dist"].iter().any(|word| name.ends_with(word));
    (name == ".env" || name.starts_with(".env.")) && !example
}

/// The data folder of a platform: `sh0.db` and `lock` or `key` lie in it.
pub fn is_data_folder(path: &Path) -> bool {
    let holds = |name: &str| std::fs::symlink_metadata(path.join(name)).is_ok_and(|found| found.is_file());
    holds("sh0.db") && (holds("lock") || holds("key"))
}
