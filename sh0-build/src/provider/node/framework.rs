//! Frameworks: what their build leaves behind, a folder of files or a server.

use super::Tree;
use super::frameworks::{FRAMEWORKS, Framework};
use super::start;
use crate::command;
use crate::text::{At, find_line};

/// What a build leaves behind.
pub(super) enum Output {
    /// Files to serve.
    Files { dir: String, spa: bool, at: At },
    /// A server that the framework starts in a way of its own.
    Server { command: String, at: At },
    /// An app of a phone: nothing that a server has.
    Native,
    /// The manifest says, or nobody.
    Unknown,
}

/// The framework of the tree, and where it is named. A member of a workspace may leave Vite to the root.
pub(super) fn find(tree: &Tree<'_>) -> Option<(&'static Framework, At)> {
    let named = FRAMEWORKS.iter().find_map(|framework| Some((framework, place(tree, framework)?)));
    named.or_else(|| {
        let config = tree.files.first(VITE_CONFIG).filter(|_| tree.files.is_file("index.html"))?;
        Some((FRAMEWORKS.iter().find(|framework| framework.name == "vite")?, At::file(config)))
    })
}

/// Why it is the framework.
pub(super) fn why(at: &At) -> &'static str {
    if at.file.contains("config") { "this is its configuration" } else { "it is among the dependencies" }
}

fn place(tree: &Tree<'_>, framework: &Framework) -> Option<At> {
    // Its command line builds what these describe; without, others take parts of it.
    const ANGULAR: &[&str] = &["angular.json", ".angular-cli.json", "project.json"];
    if matches!(framework.name, "angular" | "ionic-angular") {
        tree.files.first(ANGULAR)?;
    }
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
        "expo" if !on_the_web(tree) => Output::Native,
        _ => match framework.folder {
            Some(folder) => {
                let (dir, at) = folder_of(tree, framework, folder).unwrap_or_else(|| (folder.to_owned(), at));
                Output::Files { dir, spa: framework.spa, at }
            }
            None => Output::Unknown,
        },
    }
}

/// Where the configuration of a framework says that its pages are written.
fn folder_of(tree: &Tree<'_>, framework: &Framework, folder: &str) -> Option<(String, At)> {
    let by_script = |dir| (dir, tree.manifest.at(&["scripts", "build"]));
    let build = tree.script("build").unwrap_or_default();
    match framework.name {
        "angular" | "ionic-angular" => Some((angular(tree)?, At::file("angular.json"))),
        // `vitepress build docs` writes below `docs`.
        "vitepress" | "vuepress" => {
            let below = build.split("build").nth(1).and_then(|rest| rest.split_whitespace().next());
            let dir = below.filter(|dir| !dir.starts_with('-') && crate::detect::is_dir_name(dir))?;
            Some(by_script(format!("{}/{folder}", dir.trim_end_matches('/'))))
        }
        "cra" => argument(build, "BUILD_PATH").and_then(|dir| self::folder(&dir)).map(by_script),
        "ionic-react" if tree.dependency("react-scripts").is_some() => {
            Some(("build".to_owned(), tree.dependency("react-scripts")?))
        }
        "astro" | "vite" | "ionic-react" => configured(tree),
        _ => None,
    }
}

/// Whether Expo can make pages (docs.expo.dev/workflow/web): it renders them with this package.
pub(super) fn on_the_web(tree: &Tree<'_>) -> bool {
    let scripts = tree.manifest.get(&["scripts"]).and_then(|scripts| scripts.as_object());
    let exports = |body: &serde_json::Value| body.as_str().is_some_and(|body| body.contains("expo export"));
    tree.dependency("react-native-web").is_some() || scripts.is_some_and(|scripts| scripts.values().any(exports))
}

/// TanStack Start builds a handler, or with Nitro a server (tanstack.com/start, Hosting).
fn tanstack(tree: &Tree<'_>, at: At) -> Output {
    if tree.script("start").is_some_and(|start| !start.starts_with("vite")) {
        return Output::Unknown;
    }
    let nitro = tree.dependency("nitro").is_some()
        || VITE_CONFIG.iter().filter_map(|file| tree.files.text(file)).any(|text| text.contains("nitro"));
    let command =
        if nitro { "node .output/server/index.mjs" } else { "npx srvx --prod -s ../client dist/server/server.js" };
    Output::Server { command: command.to_owned(), at }
}

/// Whether `start` runs a server of the owner's, rather than the framework's development server or a file server.
fn starts_server(tree: &Tree<'_>, framework: &Framework) -> bool {
    const FILE_SERVERS: &[&str] = &["serve", "http-server", "npx", "sirv"];
    let Some(script) = tree.script("start").map(start::without_install) else { return false };
    let mut words = command::words(script).skip_while(|word| *word == "cross-env" || command::is_assignment(word));
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
    let (dir, at) = configured(tree).unwrap_or_else(|| ("dist".into(), at));
    Output::Files { dir, spa: false, at }
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

const VITE_CONFIG: &[&str] = &["vite.config.js", "vite.config.ts", "vite.config.mjs", "vite.config.mts"];

/// Where Vite or Astro write: as the script `build` says (`vite build --outDir www`), else their configuration
/// (`outDir: 'www'`).
fn configured(tree: &Tree<'_>) -> Option<(String, At)> {
    const ASTRO_CONFIG: &[&str] = &["astro.config.mjs", "astro.config.ts", "astro.config.js"];
    let by_script = tree.script("build").and_then(|build| argument(build, "--outDir"));
    let by_script = by_script.map(|dir| (dir, tree.manifest.at(&["scripts", "build"])));
    let by_file = |file: &&str| {
        let (line, dir) = option(&code(&tree.files.text(file)?), "outDir")?;
        Some((dir, At::line(*file, line)))
    };
    let mut dirs = by_script.into_iter().chain(VITE_CONFIG.iter().chain(ASTRO_CONFIG).filter_map(by_file));
    dirs.find_map(|(dir, at)| Some((folder(&dir)?, at)))
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

/// A folder, as a configuration names it: of the tree, or beside it.
fn folder(text: &str) -> Option<String> {
    let dir = text.trim_start_matches("./").trim_end_matches('/');
    crate::detect::is_dir_name(dir.trim_start_matches("../")).then(|| dir.to_owned())
}

/// `output: 'export'`, however it is spaced and quoted, in text without comments: the line and the value.
fn option(code: &str, key: &str) -> Option<(u32, String)> {
    code.match_indices(key).find_map(|(start, _)| {
        let inside_a_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '-');
        if code[..start].ends_with(inside_a_word) {
            return None;
        }
        let rest = code[start + key.len()..].trim_start_matches(['"', '\'']);
        let value = joined(rest.trim_start().strip_prefix(':')?.trim_start());
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
        let value = value[1..].split(quote).next()?;
        Some((crate::text::line_at(code, start), value.to_owned()))
    })
}

/// What stands behind the folder of the configuration: `'www'` of `path.resolve(__dirname, 'www')`.
fn joined(value: &str) -> &str {
    let call = value.strip_prefix("path.").unwrap_or(value);
    let inside = ["resolve(", "join("].iter().find_map(|name| call.strip_prefix(name));
    let here = ["__dirname", "import.meta.dirname", "process.cwd()"];
    let behind = inside.and_then(|inside| here.iter().find_map(|here| inside.trim_start().strip_prefix(here)));
    behind.and_then(|behind| behind.trim_start().strip_prefix(',')).map_or(value, str::trim_start)
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
            Output::Native => "native".to_owned(),
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
            (vite, &[("vite.config.ts", "export default { build: { outDir: '../x/' /* outDir: 'y' */ } }")], "../x"),
            (vite, &[("vite.config.ts", "build: { outDir: path.resolve(__dirname, 'www') }")], "www"),
            (vite, &[("vite.config.ts", "build: { outDir: path.resolve(base, 'www') }")], "dist"),
            (r#"{ "scripts": { "start": "npm i && vite" }, "devDependencies": { "vite": "7" } }"#, &[], "dist"),
            (
                r#"{ "scripts": { "start": "yarn && vite-node a.ts" }, "devDependencies": { "vite": "7" } }"#,
                &[],
                "unknown",
            ),
            (
                r#"{ "scripts": { "start": "cross-env PORT=1 react-scripts start" },
                    "dependencies": { "react-scripts": "5" } }"#,
                &[],
                "build",
            ),
            (r#"{ "name": "a" }"#, &[("vite.config.ts", ""), ("index.html", "")], "dist"),
            (r#"{ "scripts": { "start": "expo start" }, "dependencies": { "expo": "54" } }"#, &[], "native"),
            (r#"{ "dependencies": { "expo": "54", "react-native-web": "0.21" } }"#, &[], "dist"),
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
