//! Folders of files that are served as they are.

use sh0_core::Result;

use super::Provider;
use crate::detect::is_dir_name;
use crate::draft::Draft;
use crate::images;
use crate::recipe::Borrow;
use crate::text::{At, find_line, lines};
use crate::tree::Files;

/// Where finished pages lie, in the order in which they are looked for.
const FOLDERS: &[&str] = &[
    "public",
    "dist",
    "build",
    "_site",
    "www",
    "site",
    "html",
    "htdocs",
    "out",
    "static",
    "docs",
    "app/public",
    "web",
];

/// A program that makes pages out of a tree without a manifest of any language.
struct Generator {
    name: &'static str,
    /// Its configuration, and the folder beside it that gives it away.
    marks: &'static [(&'static str, &'static str)],
    build: &'static str,
    folder: &'static str,
    install_hint: &'static str,
}

const GENERATORS: &[Generator] = &[
    Generator {
        name: "zola",
        marks: &[("zola.toml", "content"), ("config.toml", "templates")],
        build: "zola build",
        folder: "public",
        install_hint: "Zola (getzola.org/documentation/getting-started/installation)",
    },
    Generator {
        name: "hugo",
        marks: &[
            ("hugo.toml", "content"),
            ("hugo.yaml", "content"),
            ("hugo.yml", "content"),
            ("hugo.json", "content"),
            ("hugo.toml", "layouts"),
            ("config/_default/hugo.toml", "content"),
            ("config.toml", "archetypes"),
            ("config.toml", "themes"),
            ("config.toml", "layouts"),
            ("config.yaml", "archetypes"),
            ("config.yaml", "themes"),
        ],
        build: "hugo --gc --minify",
        folder: "public",
        install_hint: "Hugo (Debian: apt-get install hugo)",
    },
];

fn generator(files: Files<'_>) -> Option<(&'static Generator, &'static str)> {
    let marked = |generator: &'static Generator| {
        let mark = generator.marks.iter().find(|(file, folder)| files.is_file(file) && files.is_folder(folder))?;
        Some((generator, mark.0))
    };
    GENERATORS.iter().find_map(marked)
}

/// Whether Hugo's configuration is here, whose modules are listed in a `go.mod`.
pub(crate) fn is_hugo(files: Files<'_>) -> bool {
    generator(files).is_some_and(|(generator, _)| generator.name == "hugo")
}

pub(crate) struct StaticFiles;

impl Provider for StaticFiles {
    fn language(&self) -> &'static str {
        "static"
    }

    fn looks_for(&self) -> &'static str {
        "static files: index.html, Staticfile, index.html in public/, dist/, build/, _site/, www/, site/, html/, or the configuration of Hugo or Zola"
    }

    fn recognises(&self, files: Files<'_>) -> bool {
        generator(files).is_some()
            || ["Staticfile", "index.html", "index.htm"].iter().any(|name| files.is_file(name))
            || folder(files).is_some()
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let mut draft = Draft::default();
        draft.plan.language = "static".into();
        match generator(files) {
            Some((generator, mark)) => generate(files, generator, mark, &mut draft),
            None => serve_tree(files, &mut draft),
        }
        Ok(draft)
    }
}

/// Builds the pages, and serves them.
fn generate(files: Files<'_>, generator: &Generator, mark: &str, draft: &mut Draft) {
    draft.plan.framework = Some(generator.name.to_owned());
    draft.because_of(format!("framework = {}", generator.name), "this is its configuration", At::file(mark));
    draft.because(format!("build = {}", generator.build), "makes the pages");
    draft.plan.build.push(generator.build.to_owned());
    draft.tool(generator.name, generator.install_hint);
    draft.recipe.build = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
    match generator.name {
        "hugo" => {
            draft.recipe.build_packages.extend(["hugo", "ca-certificates"]);
            fetch_modules(files, draft);
        }
        _ => draft.recipe.borrow.push(Borrow {
            base: &images::ZOLA,
            version: images::ZOLA.default.to_owned(),
            from: "/bin/zola",
            to: "/usr/local/bin/zola",
        }),
    }
    serve(draft, generator.folder, "the generator writes its pages there", At::file(mark));
}

/// Hugo fetches modules with Go, and Go with git (gohugo.io/hugo-modules).
pub(crate) fn fetch_modules(files: Files<'_>, draft: &mut Draft) {
    if !files.is_file("go.mod") {
        return;
    }
    draft.because_of("build with Go", "Hugo fetches the modules of the site with it", At::file("go.mod"));
    draft.tool("go", "Go (Debian: apt-get install golang-go)");
    draft.recipe.build_packages.push("git");
    for (from, to) in [("/usr/local/go", "/usr/local/go"), ("/usr/local/go/bin/go", "/usr/local/bin/go")] {
        draft.recipe.borrow.push(Borrow { base: &images::GO, version: images::GO.default.to_owned(), from, to });
    }
    draft.recipe.build_env.push(("GOROOT", "/usr/local/go"));
}

/// Serves what the tree holds already.
fn serve_tree(files: Files<'_>, draft: &mut Draft) {
    if let Some(text) = files.text("Staticfile") {
        staticfile(files, draft, &text);
        return;
    }
    let dir = if files.is_file("index.html") { "." } else { folder(files).unwrap_or(".") };
    let index = if dir == "." { "index.html".to_owned() } else { format!("{dir}/index.html") };
    serve(draft, dir, "this file is there to be served", At::file(index));
}

fn folder(files: Files<'_>) -> Option<&'static str> {
    FOLDERS.iter().copied().find(|folder| files.is_file(&format!("{folder}/index.html")))
}

/// Makes `dir` what is served.
pub(crate) fn serve(draft: &mut Draft, dir: &str, why: &str, at: At) {
    draft.because_of(format!("static_dir = {dir}"), why, at);
    draft.plan.static_dir = Some(dir.to_owned());
}

/// The file of Cloud Foundry's staticfile buildpack: `root`, `pushstate`; Railpack calls the latter `index_fallback`.
fn staticfile(files: Files<'_>, draft: &mut Draft, text: &str) {
    let value = |wanted: &str| {
        lines(text).find_map(|(number, line)| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == wanted).then(|| (number, value.trim().trim_matches(['"', '\'']).to_owned()))
        })
    };
    let named = value("root").map(|(line, dir)| (line, dir.trim_start_matches("./").trim_end_matches('/').to_owned()));
    match named {
        Some((line, dir)) if is_dir_name(&dir) => {
            serve(draft, &dir, "Staticfile names the folder", At::line("Staticfile", line))
        }
        named => {
            if let Some((line, dir)) = named.filter(|(_, dir)| !matches!(dir.as_str(), "" | ".")) {
                draft.warn(format!("Staticfile:{line}: `{dir}` is not a folder of the tree"));
            }
            let dir = if files.is_file("index.html") { "." } else { folder(files).unwrap_or(".") };
            serve(draft, dir, "a Staticfile marks a folder to be served", At::file("Staticfile"));
        }
    }
    let is_on = |(_, on): &(u32, String)| matches!(on.as_str(), "enabled" | "true");
    let fallback = ["pushstate", "index_fallback"].iter().find_map(|key| Some((key, value(key).filter(is_on)?)));
    if let Some((key, (line, _))) = fallback {
        draft.plan.spa_fallback = true;
        draft.because_of("spa_fallback = true", format!("Staticfile enables {key}"), At::line("Staticfile", line));
    }
    if let Some((line, _)) = find_line(text, |line| line.contains("directory:") || line.contains("basic_auth:")) {
        draft.warn(format!("Staticfile:{line} sets something that is not carried out; only root and pushstate are"));
    }
}
