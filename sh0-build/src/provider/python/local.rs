//! Requirements that lie in the tree: files that name others, and folders that are packages. What is installed before the
//! source is copied needs the first, and cannot have the second.

use super::Tree;
use crate::detect::is_dir_name;
use crate::text::{Toml, lines};
use crate::tree::Files;

/// A file of requirements, as it is in the tree.
pub(super) struct Requirements {
    pub(super) file: String,
    pub(super) text: String,
    /// It installs nothing: it says which versions the others may take.
    pub(super) constrains: bool,
}

/// The file `first` and those that it includes, itself first, and whether they are all of it: `false` where one is no file of
/// the tree or some requirement is another thing of it.
pub(super) fn requirements(files: Files<'_>, first: &str) -> (Vec<Requirements>, bool) {
    let mut waiting = vec![(first.to_owned(), false)];
    let mut seen: Vec<Requirements> = Vec::new();
    let mut whole = true;
    while let Some((file, constrains)) = waiting.pop() {
        if seen.iter().any(|seen| seen.file == file && seen.constrains <= constrains) || !files.is_file(&file) {
            continue;
        }
        if seen.len() == 50 {
            return (seen, false);
        }
        if !is_dir_name(&file) {
            whole = false;
            continue;
        }
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = files.text(&file).unwrap_or_default();
        for (_, line) in lines(&text) {
            match included(line.trim()) {
                Some((path, constraint)) => match resolved(folder, path) {
                    Some(path) => waiting.push((path, constrains || constraint)),
                    None => whole = false,
                },
                None => whole &= !is_local(line.trim()),
            }
        }
        seen.push(Requirements { file, text, constrains });
    }
    (seen, whole)
}

/// The file that a line includes, and whether only as constraints (pip.pypa.io/en/stable/reference/requirements-file-format).
fn included(line: &str) -> Option<(&str, bool)> {
    let options = [("--requirement", false), ("--constraint", true), ("-r", false), ("-c", true)];
    let (rest, constrains) =
        options.iter().find_map(|(option, constrains)| Some((line.strip_prefix(option)?, *constrains)))?;
    let path = rest.trim_start_matches(['=', ' ']).split_whitespace().next()?;
    // An address is no file.
    (!path.contains("://")).then_some((path, constrains))
}

/// A path of a file, as one of the tree; `None` when it leads out of it.
fn resolved(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!path.starts_with('/')).then(|| parts.join("/"))
}

/// A requirement that is a folder or an archive of the tree.
fn is_local(line: &str) -> bool {
    let first = line.split([' ', ';', '#']).next().unwrap_or_default();
    let path = !first.starts_with('-') && first.contains('/') && !first.contains("://");
    ["-e", "--editable", "-f", "--find-links", ".", "file:"].iter().any(|start| line.starts_with(start))
        || path
        || line.contains("@ file:")
        || line.contains("@file:")
        || [".whl", ".tar.gz", ".zip"].iter().any(|end| first.ends_with(end) && !first.contains("://"))
}

/// Sources that are paths: of uv, Poetry and PDM.
pub(super) fn in_project(project: &Toml) -> bool {
    let tables = [&["tool", "uv", "sources"][..], &["tool", "poetry", "dependencies"]];
    let listed = project.get(&["project", "dependencies"]).and_then(|list| list.as_array());
    tables.iter().filter_map(|path| project.get(path)).any(has_path)
        || listed.into_iter().flatten().filter_map(|item| item.as_str()).any(|item| item.contains("file:"))
}

/// `lib = { path = "lib" }`, also among several for a name.
fn has_path(value: &toml::Value) -> bool {
    match value {
        toml::Value::Table(table) => {
            table.get("path").is_some_and(|path| path.is_str()) || table.values().any(has_path)
        }
        toml::Value::Array(list) => list.iter().any(has_path),
        _ => false,
    }
}

/// `lib = { path = "./lib", editable = true }`.
pub(super) fn in_pipfile(tree: &Tree<'_>) -> bool {
    let Some(Ok(pipfile)) = Toml::read(tree.files, "Pipfile") else { return true };
    pipfile.get(&["packages"]).is_some_and(has_path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::MemoryTree;

    #[test]
    fn a_file_with_an_odd_name_does_not_hide_the_others() {
        let tree = MemoryTree::from([
            ("requirements.txt", "-r base.txt\n-r a'b.txt\n"),
            ("base.txt", "flask\n"),
            ("a'b.txt", "click\n"),
        ]);
        let (found, whole) = requirements(Files(&tree), "requirements.txt");
        let names: Vec<&str> = found.iter().map(|found| found.file.as_str()).collect();
        assert_eq!((names, whole), (vec!["requirements.txt", "base.txt"], false));
    }
}
