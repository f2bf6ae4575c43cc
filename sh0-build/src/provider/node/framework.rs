//! Frameworks: what their build leaves behind, a folder of files or a server.

use super::Tree;
use crate::text::{At, find_line};

/// A framework, known by a dependency.
pub(crate) struct Framework {
    pub(super) name: &'static str,
    dependency: &'static str,
    /// Builds where no script does.
    pub(super) build: Option<&'static str>,
    /// Where its pages are written, when pages are all it makes.
    folder: Option<&'static str>,
    /// First words of a `start` script that runs a development server.
    dev: &'static [&'static str],
    /// Its server imports what `devDependencies` hold.
    pub(super) keeps_dev: bool,
}

const fn server(name: &'static str, dependency: &'static str) -> Framework {
    Framework { name, dependency, build: None, folder: None, dev: &[], keeps_dev: false }
}

const fn pages(
    name: &'static str,
    dependency: &'static str,
    build: Option<&'static str>,
    folder: &'static str,
    dev: &'static [&'static str],
) -> Framework {
    Framework { name, dependency, build, folder: Some(folder), dev, keeps_dev: true }
}

/// The more a framework decides, the earlier it stands: Next.js brings React, Nuxt brings Vite, Nest brings Express.
const FRAMEWORKS: &[Framework] = &[
    Framework { build: Some("next build"), ..server("next", "next") },
    Framework { build: Some("nuxt build"), ..server("nuxt", "nuxt") },
    Framework { keeps_dev: true, ..server("sveltekit", "@sveltejs/kit") },
    Framework { keeps_dev: true, ..pages("astro", "astro", Some("astro build"), "dist", &["astro"]) },
    Framework { keeps_dev: true, ..server("react-router", "@react-router/dev") },
    Framework { keeps_dev: true, ..server("remix", "@remix-run/dev") },
    pages("gatsby", "gatsby", Some("gatsby build"), "public", &["gatsby"]),
    pages("docusaurus", "@docusaurus/core", Some("docusaurus build"), "build", &["docusaurus"]),
    pages("angular", "@angular/core", Some("ng build"), "dist", &["ng"]),
    pages("cra", "react-scripts", Some("react-scripts build"), "build", &["react-scripts"]),
    pages("vue-cli", "@vue/cli-service", Some("vue-cli-service build"), "dist", &["vue-cli-service"]),
    Framework { keeps_dev: false, ..server("nestjs", "@nestjs/core") },
    server("fastify", "fastify"),
    server("hono", "hono"),
    server("koa", "koa"),
    server("express", "express"),
    pages("expo", "expo", Some("expo export --platform web"), "dist", &["expo"]),
    pages("vite", "vite", Some("vite build"), "dist", &["vite"]),
    pages("parcel", "parcel", None, "dist", &["parcel"]),
];

/// What a build leaves behind.
pub(super) enum Output {
    /// Files to serve.
    Files { dir: String, spa: bool, at: At },
    /// A server that the framework starts in a way of its own.
    Server { command: String, at: At },
    /// The manifest says, or nobody.
    Unknown,
}

/// The framework of the tree, and where it is named.
pub(super) fn find(tree: &Tree<'_>) -> Option<(&'static Framework, At)> {
    FRAMEWORKS.iter().find_map(|framework| Some((framework, tree.dependency(framework.dependency)?)))
}

pub(super) fn output(tree: &Tree<'_>, framework: Option<&Framework>) -> Output {
    let Some(framework) = framework else { return Output::Unknown };
    let at = tree.dependency(framework.dependency).unwrap_or_else(|| At::file("package.json"));
    match framework.name {
        "next" => next(tree),
        "nuxt" => nuxt(tree, at),
        "astro" if starts_server(tree, framework) => Output::Unknown,
        "astro" => astro(tree, at),
        "sveltekit" => sveltekit(tree, at),
        "react-router" | "remix" => single_page(tree, at),
        _ if starts_server(tree, framework) => Output::Unknown,
        _ => match framework.folder {
            Some(folder) => {
                let dir = if framework.name == "angular" { angular(tree) } else { configured(tree, folder) };
                // Sites of many pages have a page for every address; the others have one page for all.
                let spa = !matches!(framework.name, "gatsby" | "docusaurus");
                Output::Files { dir, spa, at }
            }
            None => Output::Unknown,
        },
    }
}

/// Whether `start` runs a server of the owner's, rather than the framework's development server or a file server.
fn starts_server(tree: &Tree<'_>, framework: &Framework) -> bool {
    const FILE_SERVERS: &[&str] = &["serve", "http-server", "npx", "sirv"];
    let Some(script) = tree.script("start") else { return false };
    let mut words = script.split_whitespace().skip_while(|word| word.contains('='));
    let first = words.next().unwrap_or_default();
    let dev = framework.dev.contains(&first) || FILE_SERVERS.contains(&first);
    // `npm run dev`, `yarn build && serve`.
    let again = matches!(first, "npm" | "yarn" | "pnpm" | "bun")
        && ["dev", "build", "preview", "start:dev"].iter().any(|w| script.contains(w));
    !dev && !again
}

/// `output: 'export'` writes pages; `standalone` a server of its own.
fn next(tree: &Tree<'_>) -> Output {
    for file in ["next.config.js", "next.config.mjs", "next.config.ts"] {
        let Some(text) = tree.files.text(file) else { continue };
        if let Some((line, _)) = find_line(&text, |line| option(line, "output", "export")) {
            return Output::Files { dir: "out".into(), spa: false, at: At::line(file, line) };
        }
    }
    Output::Unknown
}

fn nuxt(tree: &Tree<'_>, at: At) -> Output {
    if tree.script("build").is_some_and(|text| text.contains("nuxt generate")) {
        let at = tree.manifest.at(&["scripts", "build"]);
        return Output::Files { dir: ".output/public".into(), spa: false, at };
    }
    if tree.script("start").is_some_and(|start| !start.starts_with("nuxt")) {
        return Output::Unknown;
    }
    Output::Server { command: "node .output/server/index.mjs".into(), at }
}

fn astro(tree: &Tree<'_>, at: At) -> Output {
    if let Some(at) = tree.dependency("@astrojs/node") {
        return Output::Server { command: "node dist/server/entry.mjs".into(), at };
    }
    Output::Files { dir: configured(tree, "dist"), spa: false, at }
}

fn sveltekit(tree: &Tree<'_>, at: At) -> Output {
    if let Some(at) = tree.dependency("@sveltejs/adapter-static") {
        return Output::Files { dir: "build".into(), spa: true, at };
    }
    match tree.script("start") {
        Some(start) if !start.contains("vite") && !start.contains("svelte-kit") => Output::Unknown,
        _ => Output::Server { command: "node build".into(), at },
    }
}

/// `ssr: false` in the router's configuration makes one page for all addresses.
fn single_page(tree: &Tree<'_>, _at: At) -> Output {
    for file in ["react-router.config.ts", "react-router.config.js", "vite.config.ts", "vite.config.js"] {
        let Some(text) = tree.files.text(file) else { continue };
        if let Some((line, _)) = find_line(&text, |line| line.replace(' ', "").contains("ssr:false")) {
            return Output::Files { dir: "build/client".into(), spa: true, at: At::line(file, line) };
        }
    }
    Output::Unknown
}

/// Angular writes to `dist/PROJECT`, its application builder to `browser` below that.
fn angular(tree: &Tree<'_>) -> String {
    let read = || {
        let json = crate::text::Json::read(tree.files, "angular.json")?.ok()?;
        let (name, project) = json.get(&["projects"])?.as_object()?.iter().next()?;
        let build = project.get("architect").or_else(|| project.get("targets"))?.get("build")?;
        let path = build.get("options").and_then(|options| options.get("outputPath")?.as_str());
        let dir = path.map(str::to_owned).unwrap_or_else(|| format!("dist/{name}"));
        let application = build.get("builder")?.as_str()?.ends_with(":application");
        Some(if application { format!("{dir}/browser") } else { dir })
    };
    read().filter(|dir| crate::detect::is_dir_name(dir)).unwrap_or_else(|| "dist".to_owned())
}

/// `outDir: 'www'` in the configuration of Vite or Astro.
fn configured(tree: &Tree<'_>, default: &str) -> String {
    let names = ["vite.config.js", "vite.config.ts", "vite.config.mjs", "astro.config.mjs", "astro.config.ts"];
    let texts = names.into_iter().filter_map(|name| tree.files.text(name));
    let dir = texts.filter_map(|text| {
        let (_, line) = find_line(&text, |line| line.trim_start().starts_with("outDir"))?;
        let value = line.split_once(':')?.1.trim().trim_end_matches(',').trim();
        let quoted = value.strip_prefix(['\'', '"'])?.strip_suffix(['\'', '"'])?;
        Some(quoted.trim_start_matches("./").trim_end_matches('/').to_owned())
    });
    dir.into_iter().find(|dir| crate::detect::is_dir_name(dir)).unwrap_or_else(|| default.to_owned())
}

/// `output: 'export'`, however it is spaced and quoted.
fn option(line: &str, key: &str, value: &str) -> bool {
    let squeezed: String = line.split("//").next().unwrap_or_default().split_whitespace().collect();
    [format!("{key}:'{value}'"), format!("{key}:\"{value}\"")].iter().any(|text| squeezed.contains(text))
}
