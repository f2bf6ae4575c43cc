//! Frameworks: what their build leaves behind, a folder of files or a server.

use super::Tree;
use super::frameworks::{FRAMEWORKS, Framework};
use crate::command;
use crate::text::{At, find_line};

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
    FRAMEWORKS.iter().find_map(|framework| Some((framework, place(tree, framework)?)))
}

fn place(tree: &Tree<'_>, framework: &Framework) -> Option<At> {
    framework.dependencies.iter().find_map(|name| tree.dependency(name))
}

pub(super) fn output(tree: &Tree<'_>, framework: Option<&Framework>) -> Output {
    let Some(framework) = framework else { return Output::Unknown };
    let at = place(tree, framework).unwrap_or_else(|| At::file("package.json"));
    match framework.name {
        "next" => next(tree),
        "nuxt" => nuxt(tree, at),
        "astro" if starts_server(tree, framework) => Output::Unknown,
        "astro" => astro(tree, at),
        "sveltekit" => sveltekit(tree, at),
        "tanstack-start" => tanstack(tree, at),
        "react-router" | "remix" => single_page(tree),
        "angular" if tree.dependency("@angular/ssr").is_some() && !starts_server(tree, framework) => {
            let dir = angular(tree).unwrap_or_default();
            let dir = dir.strip_suffix("/browser").unwrap_or(&dir).to_owned();
            Output::Server { command: format!("node {dir}/server/server.mjs"), at }
        }
        "sapper" if !tree.script("build").is_none_or(|build| build.contains("export")) => Output::Unknown,
        _ if starts_server(tree, framework) => Output::Unknown,
        _ => match framework.folder {
            Some(folder) => Output::Files { dir: folder_of(tree, framework, folder), spa: framework.spa, at },
            None => Output::Unknown,
        },
    }
}

/// Where a framework writes its pages: as its configuration says, else as it is used to.
fn folder_of(tree: &Tree<'_>, framework: &Framework, folder: &str) -> String {
    match framework.name {
        "angular" | "ionic-angular" => angular(tree).unwrap_or_else(|| folder.to_owned()),
        // `vitepress build docs` writes below `docs`.
        "vitepress" | "vuepress" => {
            let build = tree.script("build").unwrap_or_default();
            let below = build.split("build").nth(1).and_then(|rest| rest.split_whitespace().next());
            match below.filter(|dir| !dir.starts_with('-') && crate::detect::is_dir_name(dir)) {
                Some(dir) => format!("{}/{folder}", dir.trim_end_matches('/')),
                None => folder.to_owned(),
            }
        }
        "cra" => {
            let build = tree.script("build").unwrap_or_default();
            let told = argument(build, "BUILD_PATH").and_then(|dir| self::folder(&dir));
            told.unwrap_or_else(|| folder.to_owned())
        }
        "ionic-react" if tree.dependency("react-scripts").is_some() => "build".to_owned(),
        "astro" | "vite" | "ionic-react" => configured(tree, folder),
        _ => folder.to_owned(),
    }
}

/// TanStack Start builds a handler, or with Nitro a server (tanstack.com/start, Hosting).
fn tanstack(tree: &Tree<'_>, at: At) -> Output {
    if tree.script("start").is_some_and(|start| !start.starts_with("vite")) {
        return Output::Unknown;
    }
    let config = ["vite.config.ts", "vite.config.js", "vite.config.mts"];
    let nitro = tree.dependency("nitro").is_some()
        || config.iter().filter_map(|file| tree.files.text(file)).any(|text| text.contains("nitro"));
    let command =
        if nitro { "node .output/server/index.mjs" } else { "npx srvx --prod -s ../client dist/server/server.js" };
    Output::Server { command: command.to_owned(), at }
}

/// Whether `start` runs a server of the owner's, rather than the framework's development server or a file server.
fn starts_server(tree: &Tree<'_>, framework: &Framework) -> bool {
    const FILE_SERVERS: &[&str] = &["serve", "http-server", "npx", "sirv"];
    let Some(script) = tree.script("start") else { return false };
    let mut words = command::words(script);
    let first = words.next().unwrap_or_default();
    let dev = framework.dev.contains(&first) || FILE_SERVERS.contains(&first);
    // `npm run dev`, `yarn build && serve`.
    let again = matches!(first, "npm" | "yarn" | "pnpm" | "bun")
        && ["dev", "build", "preview", "start:dev"].iter().any(|w| script.contains(w));
    !dev && !again
}

const NEXT_CONFIG: [&str; 3] = ["next.config.js", "next.config.mjs", "next.config.ts"];

/// `output: 'export'` writes pages, to `distDir` where that is said; `standalone` a server of its own ([`standalone`]).
fn next(tree: &Tree<'_>) -> Output {
    let Some(at) = next_output(tree, "export") else { return Output::Unknown };
    let moved = next_option(tree, "distDir").and_then(|(dir, _)| folder(&dir));
    Output::Files { dir: moved.unwrap_or_else(|| "out".into()), spa: false, at }
}

fn next_output(tree: &Tree<'_>, value: &str) -> Option<At> {
    next_option(tree, "output").filter(|(said, _)| said == value).map(|(_, at)| at)
}

/// What the configuration of Next.js says, and where.
fn next_option(tree: &Tree<'_>, key: &str) -> Option<(String, At)> {
    NEXT_CONFIG.iter().find_map(|file| {
        let (line, value) = option(&code(&tree.files.text(file)?), key)?;
        Some((value, At::line(*file, line)))
    })
}

/// Where the configuration of Next.js asks for a folder that holds the server with no more than what it uses, and the
/// variables that the start command gives that server. `None` where `start` does anything beside starting it, or the
/// folder lies elsewhere (nextjs.org/docs, `output`, `distDir`).
pub(super) fn standalone(tree: &Tree<'_>, start: &str) -> Option<(String, At)> {
    let moved = || NEXT_CONFIG.iter().filter_map(|file| tree.files.text(file)).any(|text| text.contains("distDir"));
    let told = told_to_server(start)?;
    next_output(tree, "standalone").filter(|_| !moved()).map(|at| (told, at))
}

/// The variables in front of a lone `next start` or `node .next/standalone/server.js`, each with a space behind it. The
/// address is the platform's to say.
fn told_to_server(start: &str) -> Option<String> {
    if start.contains(['&', '|', ';', '(', '`', '\n']) {
        return None;
    }
    let variables = start.split_whitespace().take_while(|word| command::is_assignment(word)).collect::<Vec<_>>();
    let mut words = command::words(start);
    let server = match (words.next()?, words.next()?) {
        ("next", "start") => true,
        ("node", script) => script.ends_with("standalone/server.js"),
        _ => false,
    };
    let own = variables.into_iter().filter(|word| !word.starts_with("PORT=") && !word.starts_with("HOSTNAME="));
    // A quoted value may hold spaces, which cut it in two.
    (server && !start.contains(['"', '\''])).then(|| own.map(|word| format!("{word} ")).collect())
}

fn nuxt(tree: &Tree<'_>, at: At) -> Output {
    let second = ["dependencies", "devDependencies"]
        .into_iter()
        .find_map(|section| tree.manifest.str(&[section, "nuxt"]))
        .is_some_and(|range| range.trim_start_matches(['^', '~', '=', 'v']).split('.').next() == Some("2"));
    if tree.script("build").is_some_and(|text| text.contains("nuxt generate")) {
        let at = tree.manifest.at(&["scripts", "build"]);
        // Nuxt 2 has no Nitro (v2.nuxt.com/docs, `generate`).
        let dir = if second { "dist" } else { ".output/public" };
        return Output::Files { dir: dir.into(), spa: false, at };
    }
    match tree.script("start") {
        Some(start) if !start.starts_with("nuxt") => Output::Unknown,
        _ if second => Output::Server { command: "nuxt start".into(), at },
        _ => Output::Server { command: "node .output/server/index.mjs".into(), at },
    }
}

fn astro(tree: &Tree<'_>, at: At) -> Output {
    if let Some(at) = tree.dependency("@astrojs/node") {
        return Output::Server { command: "node dist/server/entry.mjs".into(), at };
    }
    Output::Files { dir: configured(tree, "dist"), spa: false, at }
}

/// Adapters of SvelteKit that write no server which runs by itself (svelte.dev/docs/kit/adapters).
pub(super) fn without_server(tree: &Tree<'_>) -> Option<String> {
    const ADAPTERS: &[&str] = &["auto", "vercel", "netlify", "cloudflare", "cloudflare-workers"];
    if tree.dependency("@sveltejs/adapter-node").is_some() {
        return None;
    }
    let names = ADAPTERS.iter().map(|name| format!("@sveltejs/adapter-{name}"));
    let adapter = names.into_iter().find(|name| tree.dependency(name).is_some())?;
    Some(format!(
        "{adapter} writes no server that can be started here; use @sveltejs/adapter-node in svelte.config.js, or adapter-static for pages"
    ))
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
fn single_page(tree: &Tree<'_>) -> Output {
    for file in ["react-router.config.ts", "react-router.config.js", "vite.config.ts", "vite.config.js"] {
        let Some(text) = tree.files.text(file) else { continue };
        if let Some((line, _)) = find_line(&text, |line| line.replace(' ', "").contains("ssr:false")) {
            return Output::Files { dir: "build/client".into(), spa: true, at: At::line(file, line) };
        }
    }
    Output::Unknown
}

/// Angular writes to `dist/PROJECT`, its application builder to `browser` below that.
fn angular(tree: &Tree<'_>) -> Option<String> {
    let json = crate::text::Json::read(tree.files, "angular.json")?.ok()?;
    let projects = json.get(&["projects"])?.as_object()?;
    let is_app = |project: &serde_json::Value| project.get("projectType").is_none_or(|kind| kind == "application");
    let (name, project) = projects.iter().find(|(_, project)| is_app(project))?;
    let build = project.get("architect").or_else(|| project.get("targets"))?.get("build")?;
    let path = build.get("options").and_then(|options| options.get("outputPath"));
    let base = path.and_then(|path| path.as_str().or_else(|| path.get("base")?.as_str()));
    let dir = base.map(|dir| dir.trim_end_matches('/').to_owned()).unwrap_or_else(|| format!("dist/{name}"));
    let application = build.get("builder")?.as_str()?.ends_with(":application");
    let browser = path.and_then(|path| path.get("browser")?.as_str()).unwrap_or("browser");
    let dir = if application && !browser.is_empty() { format!("{dir}/{browser}") } else { dir };
    crate::detect::is_dir_name(&dir).then_some(dir)
}

/// Where Vite or Astro write: as the script `build` says (`vite build --outDir www`), else their configuration
/// (`outDir: 'www'`).
fn configured(tree: &Tree<'_>, default: &str) -> String {
    let names = [
        "vite.config.js",
        "vite.config.ts",
        "vite.config.mjs",
        "vite.config.mts",
        "astro.config.mjs",
        "astro.config.ts",
        "astro.config.js",
    ];
    let texts = names.into_iter().filter_map(|name| tree.files.text(name));
    let mut dirs = tree
        .script("build")
        .and_then(|build| argument(build, "--outDir"))
        .into_iter()
        .chain(texts.filter_map(|text| Some(option(&code(&text), "outDir")?.1)));
    dirs.find_map(|dir| folder(&dir)).unwrap_or_else(|| default.to_owned())
}

/// The word behind an option of a command, or behind its `=`.
fn argument(command: &str, option: &str) -> Option<String> {
    let mut words = command.split_whitespace().skip_while(|word| !word.starts_with(option));
    let value = match words.next()?.strip_prefix(option)? {
        "" => words.next()?,
        rest => rest.strip_prefix('=')?,
    };
    Some(value.trim_matches(['"', '\'']).to_owned())
}

/// A folder of the tree, as a configuration names it.
fn folder(text: &str) -> Option<String> {
    let dir = text.trim_start_matches("./").trim_end_matches('/');
    crate::detect::is_dir_name(dir).then(|| dir.to_owned())
}

/// `output: 'export'`, however it is spaced and quoted, in text without comments: the line and the value.
fn option(code: &str, key: &str) -> Option<(u32, String)> {
    code.match_indices(key).find_map(|(start, _)| {
        let inside_a_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '-');
        if code[..start].ends_with(inside_a_word) {
            return None;
        }
        let rest = code[start + key.len()..].trim_start_matches(['"', '\'']);
        let value = rest.trim_start().strip_prefix(':')?.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
        let value = value[1..].split(quote).next()?;
        Some((crate::text::line_at(code, start), value.to_owned()))
    })
}

/// A script without its comments; every line stays where it is.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (quote, c, chars.peek()) {
            (Some(_), '\\', Some(_)) => {
                code.push(c);
                code.extend(chars.next());
                continue;
            }
            (Some(open), _, _) if c == open || c == '\n' && open != '`' => quote = None,
            (None, '"' | '\'' | '`', _) => quote = Some(c),
            (None, '/', Some('/')) => {
                while chars.peek().is_some_and(|c| *c != '\n') {
                    chars.next();
                }
                continue;
            }
            (None, '/', Some('*')) => {
                chars.next();
                let mut last = ' ';
                for c in chars.by_ref() {
                    if c == '\n' {
                        code.push(c);
                    }
                    if (last, c) == ('*', '/') {
                        break;
                    }
                    last = c;
                }
                continue;
            }
            _ => {}
        }
        code.push(c);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Json;
    use crate::tree::{Files, MemoryTree};

    /// The folder that is served, or the command that starts a server.
    fn written(manifest: &str, files: &[(&str, &str)]) -> String {
        let mut memory = MemoryTree::from([("package.json", manifest)]);
        files.iter().for_each(|(name, text)| memory.insert(*name, *text));
        let files = Files(&memory);
        let tree = Tree { files, manifest: Json::read(files, "package.json").unwrap().unwrap() };
        match output(&tree, find(&tree).map(|(framework, _)| framework)) {
            Output::Files { dir, .. } => dir,
            Output::Server { command, .. } => command,
            Output::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn folders_and_servers_are_where_the_tree_says() {
        let next = r#"{ "scripts": { "start": "next start" }, "dependencies": { "next": "15" } }"#;
        let vite = r#"{ "scripts": { "build": "vite build" }, "devDependencies": { "vite": "7" } }"#;
        for (manifest, files, expected) in [
            (next, &[("next.config.js", "module.exports = { output: 'export' }")][..], "out"),
            (next, &[("next.config.mjs", "const a = {\n  output: \"export\",\n  distDir: './dist/',\n}")], "dist"),
            (next, &[("next.config.js", "/*\n output: \"export\",\n*/ module.exports = {}")], "unknown"),
            (next, &[("next.config.js", "module.exports = {\n  // output: 'export'\n}")], "unknown"),
            (next, &[("next.config.js", "const a = 'http://b'; module.exports = { output : `export` }")], "out"),
            (vite, &[], "dist"),
            (vite, &[("vite.config.ts", "export default { build: { outDir: \"build\" } }")], "build"),
            (vite, &[("vite.config.ts", "export default {\n  build: {\n    outDir: './www',\n  } }")], "www"),
            (vite, &[("vite.config.ts", "export default { build: { outDir: '../x' /* outDir: 'y' */ } }")], "dist"),
            (
                r#"{ "scripts": { "build": "tsc && vite build --outDir ./x" }, "devDependencies": { "vite": "7" } }"#,
                &[("vite.config.ts", "export default { build: { outDir: 'build' } }")],
                "x",
            ),
            (r#"{ "scripts": { "build": "vite build --outDir=y/z" }, "dependencies": { "vite": "7" } }"#, &[], "y/z"),
            (
                r#"{ "scripts": { "build": "BUILD_PATH='./out' react-scripts build" },
                    "dependencies": { "react-scripts": "5" } }"#,
                &[],
                "out",
            ),
            (r#"{ "dependencies": { "nuxt": "^2.17.0" }, "scripts": { "start": "nuxt start" } }"#, &[], "nuxt start"),
            (r#"{ "dependencies": { "nuxt": "^2.17.0" }, "scripts": { "start": "node a.js" } }"#, &[], "unknown"),
            (r#"{ "dependencies": { "nuxt": "2" }, "scripts": { "build": "nuxt generate" } }"#, &[], "dist"),
            (
                r#"{ "dependencies": { "nuxt": "^3" }, "scripts": { "start": "nuxt start" } }"#,
                &[],
                "node .output/server/index.mjs",
            ),
        ] {
            assert_eq!(written(manifest, files), expected, "{manifest} {files:?}");
        }
    }
}
