//! Symbolic links: which ones stay inside a tree.

use std::fs;
use std::path::{Component, Path};

use sh0_core::Result;

use super::{Budget, Limits, Stop};

/// Whether a link at `link` (relative to the tree) to `target` stays inside, whatever other links of the tree do.
///
/// The folder that a link lies in is a real one, so `..` at the front goes up through real folders; what follows goes
/// down, through folders or through links of which the same is true. A `..` behind a name is refused: behind a link it
/// would go up from where that link leads.
pub(super) fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    let mut went_down = false;
    for part in target.components() {
        match part {
            Component::Prefix(_) | Component::RootDir => return false,
            Component::CurDir => {}
            Component::ParentDir if went_down || depth == 0 => return false,
            Component::ParentDir => depth -= 1,
            Component::Normal(name) if name == ".git" => return false,
            Component::Normal(_) => went_down = true,
        }
    }
    !target.as_os_str().is_empty()
}

/// Takes links that lead outside from a tree, and counts what is in it. Answers what was taken.
pub(super) fn clean(tree: &Path, limits: &Limits, stop: &Stop) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let mut budget = Budget::new(limits);
    let mut folders = vec![tree.to_owned()];
    while let Some(folder) = folders.pop() {
        stop.check()?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let found = fs::symlink_metadata(&path)?;
            budget.entry()?;
            if found.is_dir() {
                folders.push(path);
            } else if found.is_symlink() {
                let inside = path.strip_prefix(tree).unwrap_or(&path);
                if !stays_inside(inside, &fs::read_link(&path)?) {
                    notes.push(format!("left out {}: the link leads outside", inside.display()));
                    fs::remove_file(&path)?;
                }
            } else {
                budget.bytes(found.len())?;
            }
        }
    }
    notes.sort_unstable();
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_or_not() {
        for (link, target, inside) in [
            ("a", "b", true),
            ("a", "./b/c", true),
            ("d/a", "../b", true),
            ("d/e/a", "../../b/c", true),
            ("a", "..", false),
            ("a", "../x", false),
            ("d/a", "../../x", false),
            ("a", "/etc/passwd", false),
            ("a", "b/../c", false),
            ("a", "", false),
            ("a", ".git/config", false),
            ("a", ".", true),
        ] {
            assert_eq!(stays_inside(Path::new(link), Path::new(target)), inside, "{link} -> {target}");
        }
    }
}
