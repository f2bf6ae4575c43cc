//! Requirements that lie in the tree: files that name others, and folders that are packages. What is installed before the
//! source is copied needs the first, and cannot have the second.

use super::Tree;
use crate::detect::is_dir_name;
use crate::text::{Toml, lines};

/// Adds the files that requirements name to `manifests`; answers whether some requirement is another thing of the tree.
pub(super) fn in_requirements(tree: &Tree<'_>, manifests: &mut Vec<String>) -> bool {
    let mut waiting = vec![tree.list.to_owned()];
    let mut seen: Vec<String> = Vec::new();
    while let Some(file) = waiting.pop() {
        if seen.contains(&file) || !tree.files.is_file(&file) {
            continue;
        }
        if !is_dir_name(&file) || seen.len() == 50 {
            return true;
        }
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let text = tree.files.text(&file).unwrap_or_default();
        for (_, line) in lines(&text) {
            match included(line.trim()) {
                Some(path) => match resolved(folder, path) {
                    Some(path) => waiting.push(path),
                    None => return true,
                },
                None if is_local(line.trim()) => return true,
                None => {}
            }
        }
        if !manifests.contains(&file) {
            manifests.push(file.clone());
        }
        seen.push(file);
    }
    false
}

/// The file that a line includes (pip.pypa.io/en/stable/reference/requirements-file-format).
fn included(line: &str) -> Option<&str> {
    let rest = ["--requirement", "--constraint", "-r", "-c"].iter().find_map(|option| line.strip_prefix(option))?;
    let path = rest.trim_start_matches(['=', ' ']).split_whitespace().next()?;
    // An address is no file.
    (!path.contains("://")).then_some(path)
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
