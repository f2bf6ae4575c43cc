//! Dependencies and builds, workspaces among them.

use sh0_core::model::{Category::Build, Severity};

use super::class::Class;
use super::context::Context;
use super::facts::{ELSEWHERE, Fact};
use super::locks;
use super::rule::{Check, Hits, Pattern, Rule, Verdict};
use super::workspace;
use crate::provider::DevOnly;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "BLD01",
        name: "no-lockfile",
        category: Build,
        severity: Severity::Medium,
        title: "Dependencies have no lockfile",
        why: "Every build installs what is newest that day: a build that worked can fail, or ship other code, without a change.",
        fix: "Run the package manager's install once and commit the lockfile that it writes.",
        check: Check::Tree(locks::no_lockfile),
    },
    Rule {
        id: "BLD02",
        name: "many-lockfiles",
        category: Build,
        severity: Severity::Medium,
        title: "There are lockfiles of two package managers",
        why: "Only one of them is used, and the other one, maybe the one that is kept up to date, is not.",
        fix: "Delete the one that is not used, or name the package manager in `packageManager` of package.json.",
        check: Check::Tree(locks::many_lockfiles),
    },
    Rule {
        id: "BLD03",
        name: "lock-out-of-sync",
        category: Build,
        severity: Severity::High,
        title: "The lockfile lacks a dependency of the manifest",
        why: "Installs that keep to the lockfile (`npm ci`, `--frozen-lockfile`) stop with an error.",
        fix: "Run the package manager's install and commit the lockfile.",
        check: Check::Tree(locks::out_of_sync),
    },
    Rule {
        id: "BLD04",
        name: "lock-ignored",
        category: Build,
        severity: Severity::High,
        title: "An ignore file leaves the lockfile out",
        why: "The build does not get it: it fails, or installs whatever is newest.",
        fix: "Take the lockfile out of .gitignore and .dockerignore.",
        check: Check::Tree(locks::ignored),
    },
    Rule {
        id: "BLD05",
        name: "no-build-script",
        category: Build,
        severity: Severity::Medium,
        title: "The framework must be built, and no script does it",
        why: "Without a build there is nothing to start: the framework's server stops at once.",
        fix: "Add a `build` script to package.json, such as `next build`.",
        check: Check::Tree(no_build_script),
    },
    Rule {
        id: "BLD06",
        name: "start-needs-dev-dependency",
        category: Build,
        severity: Severity::Medium,
        title: "The start command runs a development dependency",
        why: "Where only production dependencies are installed, the program is missing and the app does not start.",
        fix: "Start what the build made, or move the package to `dependencies`.",
        check: Check::Tree(start_needs_dev),
    },
    Rule {
        id: "BLD07",
        name: "private-dependency",
        category: Build,
        severity: Severity::High,
        title: "A dependency cannot be fetched by a build",
        why: "A build has no SSH key of yours and sees nothing outside of the source tree.",
        fix: "Use the package from a registry, or an https address with a token from a build secret.",
        check: Check::Tree(private_dependency),
    },
    Rule {
        id: "BLD08",
        name: "browser-download",
        category: Build,
        severity: Severity::Low,
        title: "A dependency downloads a browser while it is installed",
        why: "It makes builds slow and images large by hundreds of megabytes, and needs system libraries that slim images lack.",
        fix: "Install a browser package in the image and set the variable that skips the download, or move the package to devDependencies.",
        check: Check::Tree(browser_download),
    },
    Rule {
        id: "BLD09",
        name: "native-library-missing",
        category: Build,
        severity: Severity::Medium,
        title: "A dependency needs system libraries that the base image lacks",
        why: "The install fails for want of a compiler or header, or the app stops when it loads the library.",
        fix: "Install the system packages in the Dockerfile, or take the variant with binaries (`psycopg2-binary`).",
        check: Check::Tree(native_library),
    },
    Rule {
        id: "BLD10",
        name: "build-time-variable",
        category: Build,
        severity: Severity::Low,
        title: "A variable is read while the app is built, and nothing sets it",
        why: "Bundlers write its value into the scripts for browsers when they build: set later, it changes nothing.",
        fix: "Set the variable before the app is built, in `[env]` of sh0.toml or with `sh0 env set`: .env files enter no build.",
        check: Check::Tree(build_time_variable),
    },
    Rule {
        id: "BLD11",
        name: "unpinned-requirements",
        category: Build,
        severity: Severity::Low,
        title: "requirements.txt names packages without versions",
        why: "Every build installs what is newest that day.",
        fix: "Pin versions (`flask==3.1.0`), or use a tool with a lockfile such as uv or Poetry.",
        check: Check::Tree(unpinned_requirements),
    },
    Rule {
        id: "BLD12",
        name: "fonts-at-build",
        category: Build,
        severity: Severity::Info,
        title: "Building downloads fonts",
        why: "A builder without the internet, or a bad day of the font server, ends the build.",
        fix: "Put the fonts in the repository and use `next/font/local`.",
        check: Check::Text(&[Pattern {
            what: "next/font/google",
            keywords: &["next/font/google"],
            regex: r#"(next/font/google)['"]"#,
            judge: |found| (!found.class.any(ELSEWHERE)).then_some(Verdict::Hit),
        }]),
    },
    Rule {
        id: "BLD13",
        name: "floating-dependency",
        category: Build,
        severity: Severity::Medium,
        title: "A dependency may be any version",
        why: "`latest`, `*` and a branch take a new major version as soon as somebody publishes it.",
        fix: "Give a version or a range, and for git a tag or commit.",
        check: Check::Tree(floating_dependency),
    },
    Rule {
        id: "BLD14",
        name: "install-ignores-lock",
        category: Build,
        severity: Severity::Low,
        title: "A Dockerfile installs without keeping to the lockfile",
        why: "`npm install` changes the lockfile when it does not fit; the image then has other versions than were tested.",
        fix: "Use `npm ci`, `yarn install --frozen-lockfile` (`--immutable`), or `--frozen-lockfile` with `pnpm install` and `bun install`.",
        check: Check::Tree(install_ignores_lock),
    },
    Rule {
        id: "MON01",
        name: "several-apps",
        category: Build,
        severity: Severity::High,
        title: "The tree holds several apps, and nothing says which one",
        why: "A deploy of the whole repository cannot know what to start.",
        fix: "Name the app's folder as its root, or give the root a start command.",
        check: Check::Tree(workspace::several_apps),
    },
    Rule {
        id: "MON02",
        name: "outside-of-workspace",
        category: Build,
        severity: Severity::High,
        title: "A member of a workspace is deployed without the workspace",
        why: "`workspace:` dependencies lie outside of the folder, and the lockfile with them: the install fails.",
        fix: "Deploy from the root of the workspace and name the member as the app.",
        check: Check::Tree(workspace::outside),
    },
    Rule {
        id: "MON03",
        name: "workspace-files-not-copied",
        category: Build,
        severity: Severity::Medium,
        title: "A Dockerfile leaves out files that the workspace's build reads",
        why: "Task runners and compilers look for their settings at the root, and fail or rebuild everything without them.",
        fix: "Copy turbo.json, nx.json, tsconfig.base.json and pnpm-workspace.yaml along with the packages.",
        check: Check::Tree(workspace::not_copied),
    },
];

const BUILT: &[(&str, &str)] = &[
    ("next", "next build"),
    ("nuxt", "nuxt build"),
    ("@sveltejs/kit", "vite build"),
    ("astro", "astro build"),
    ("gatsby", "gatsby build"),
    ("@remix-run/dev", "remix vite:build"),
    ("@angular/cli", "ng build"),
    ("@nestjs/cli", "nest build"),
];

fn no_build_script(cx: &Context<'_>, hits: &mut Hits) {
    let Some(json) = cx.package() else { return };
    let built = ["dist", ".next", "build", ".output"].iter().any(|folder| cx.files.is_folder(folder));
    if json.get(&["scripts", "build"]).is_some() || json.get(&["workspaces"]).is_some() || built {
        return;
    }
    if cx.has("nx.json") || cx.has("turbo.json") || cx.plan.is_some_and(|plan| !plan.build.is_empty()) {
        return;
    }
    let has = |name: &str| json.get(&["scripts", name]).is_some();
    if has("vercel-build") || has("heroku-postbuild") || has("gcp-build") || has("postinstall") {
        return;
    }
    if let Some((name, command)) = BUILT.iter().find(|(name, _)| cx.range(name).is_some()) {
        let line = json.at(&["dependencies", name]).line.or(json.at(&["devDependencies", name]).line);
        hits.at("package.json", line, format!("{name} needs `{command}`"));
    }
}

/// A plan keeps what its commands need; an install that the owner wrote may leave it out.
fn start_needs_dev(cx: &Context<'_>, hits: &mut Hits) {
    let Some(json) = cx.package() else { return };
    let dev = DevOnly::of(&[json]);
    let leaves_out = |install: &str| {
        let mut words = install.split_whitespace();
        let production = words.any(|word| {
            matches!(word, "--omit=dev" | "--only=production" | "--production" | "--production=true" | "--prod" | "-P")
        });
        production || install.contains("--omit dev")
    };
    let (command, installs) = match cx.own_dockerfile() {
        Some((_, file)) => {
            let Some(last) = file.last() else { return };
            let lineage = file.lineage(last);
            let said = |word| lineage.iter().rev().find(|i| i.word == word).map(|i| i.script());
            let Some(command) = said("CMD").or_else(|| said("ENTRYPOINT")) else { return };
            let installs = lineage.iter().filter(|i| i.word == "RUN").map(|i| i.script());
            (command, installs.collect())
        }
        None => {
            let Some((command, ..)) = cx.start() else { return };
            (command, cx.plan.map(|plan| plan.install.clone()).unwrap_or_default())
        }
    };
    let Some(package) = dev.needed_by(&command).filter(|_| installs.iter().any(|install: &String| leaves_out(install)))
    else {
        return;
    };
    hits.at("package.json", json.at(&["devDependencies", package]).line, format!("`{command}` needs {package}"));
}

fn private_dependency(cx: &Context<'_>, hits: &mut Hits) {
    let Some(json) = cx.package() else { return private_python(cx, hits) };
    for (name, range) in cx.section("dependencies") {
        let ssh = range.starts_with("git+ssh://") || range.starts_with("git@") || range.starts_with("ssh://");
        let outside = ["file:", "link:", "portal:"].iter().any(|scheme| {
            range.strip_prefix(scheme).is_some_and(|path| path.starts_with("..") || path.starts_with('/'))
        });
        if ssh || outside {
            hits.at("package.json", json.at(&["dependencies", name]).line, format!("{name}: {range}"));
        }
    }
    if let Some(npmrc) = cx.text(".npmrc") {
        for (number, line) in (1..).zip(npmrc.lines()) {
            let Some((scope, url)) = line.split_once(":registry=") else { continue };
            let host = url.trim().trim_start_matches("https:").trim_end_matches('/');
            let public = host.contains("npmjs.org") || host.contains("jsr.io");
            if scope.starts_with('@') && !public && !npmrc.contains("_authToken") && !npmrc.contains("_auth") {
                hits.at(
                    ".npmrc",
                    number,
                    format!("{scope} comes from {} without credentials", host.trim_start_matches('/')),
                );
            }
        }
    }
    private_python(cx, hits);
}

fn private_python(cx: &Context<'_>, hits: &mut Hits) {
    let text = cx.text("requirements.txt").unwrap_or_default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.contains("git+ssh://") || line.contains("git@") || line.starts_with("-e ../") || line.starts_with("../")
        {
            hits.at("requirements.txt", number, line);
        }
    }
}

fn browser_download(cx: &Context<'_>, hits: &mut Hits) {
    let skip = [
        "PUPPETEER_SKIP_DOWNLOAD",
        "PUPPETEER_SKIP_CHROMIUM_DOWNLOAD",
        "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD",
        "CYPRESS_INSTALL_BINARY",
    ];
    let set = |text: &str| skip.iter().any(|name| text.contains(name));
    let Some(json) = cx.package() else { return };
    if cx.dockerfiles().iter().any(|(path, _)| cx.text(path).is_some_and(|text| set(&text)))
        || cx.text(".npmrc").is_some_and(|text| text.contains("skip"))
        || cx.has(".puppeteerrc.cjs")
    {
        return;
    }
    for name in ["puppeteer", "playwright", "cypress", "electron", "@playwright/test"] {
        if json.get(&["dependencies", name]).is_some() {
            hits.at("package.json", json.at(&["dependencies", name]).line, format!("{name} among `dependencies`"));
        }
    }
}

/// Package, the system package it needs on Debian.
const NATIVE: &[(&str, &str)] = &[
    ("mysqlclient", "default-libmysqlclient-dev"),
    ("psycopg2", "libpq-dev"),
    ("pycairo", "libcairo2-dev"),
    ("python-ldap", "libldap2-dev"),
    ("pyodbc", "unixodbc-dev"),
    ("canvas", "libcairo2-dev"),
    ("puppeteer", "chromium"),
    ("node-gyp", "python3"),
    ("pygraphviz", "libgraphviz-dev"),
    ("weasyprint", "libpango-1.0-0"),
];

fn native_library(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    let Some(last) = file.last() else { return };
    let image = file.image(last);
    if !(image.contains("slim") || image.contains("alpine")) {
        return;
    }
    let lineage = file.lineage(last);
    if lineage.iter().any(|i| {
        i.word == "RUN"
            && ["apt-get install", "apk add", "apt install", "apk --"]
                .iter()
                .any(|install| i.script().contains(install))
    }) || file.stages.len() > 1
    {
        return;
    }
    for (name, system) in NATIVE {
        let (at, line) = match cx.python_needs(name) {
            Some((at, line)) => (at, Some(line)),
            None => match cx.package().filter(|json| json.get(&["dependencies", name]).is_some()) {
                Some(json) => ("package.json", json.at(&["dependencies", name]).line),
                None => continue,
            },
        };
        hits.at(at, line, format!("{name} needs {system}, which {image} of {path} lacks"));
    }
}

fn build_time_variable(cx: &Context<'_>, hits: &mut Hits) {
    let public = ["NEXT_PUBLIC_", "VITE_", "REACT_APP_", "NUXT_PUBLIC_", "GATSBY_"];
    let files = [
        ".env",
        ".env.production",
        ".env.local",
        ".env.example",
        ".env.sample",
        ".env.template",
        ".env.development",
        "sh0.toml",
    ];
    let declared: Vec<_> = files
        .iter()
        .filter_map(|file| cx.text(file))
        .chain(cx.dockerfiles().iter().filter_map(|(path, _)| cx.text(path)))
        .collect();
    let mut seen = Vec::new();
    for (path, line, name, _) in cx.facts(Fact::EnvRead) {
        let bundled =
            public.iter().any(|prefix| name.starts_with(prefix)) && Class::of(path).any(Class::CODE.and(Class::MARKUP));
        let default = || {
            cx.text(path)
                .and_then(|text| {
                    text.lines().nth(line as usize - 1).map(|line| {
                        line.contains("||") || line.contains("??") || line.contains('?') || line.contains("if ")
                    })
                })
                .unwrap_or_default()
        };
        if !bundled
            || seen.contains(&name)
            || cx.options.env.contains(name)
            || declared.iter().any(|text| text.contains(name))
            || default()
        {
            continue;
        }
        seen.push(name);
        hits.at(path, line, format!("{name} is set nowhere"));
    }
}

fn unpinned_requirements(cx: &Context<'_>, hits: &mut Hits) {
    if cx.has("uv.lock") || cx.has("poetry.lock") || cx.has("constraints.txt") {
        return;
    }
    let text = cx.text("requirements.txt").unwrap_or_default();
    let bare = |line: &str| {
        let line = line.split(" #").next().unwrap_or(line).trim();
        !line.is_empty()
            && !line.starts_with(['#', '-', '.', '/'])
            && !line.contains(['=', '<', '>', '~', '@', '/', '\\'])
            && line.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    let names: Vec<(u32, &str)> = (1..).zip(text.lines()).filter(|(_, line)| bare(line)).collect();
    if let Some((line, name)) = names.first() {
        let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
        hits.at("requirements.txt", *line, format!("{}{more}", name.trim()));
    }
}

fn floating_dependency(cx: &Context<'_>, hits: &mut Hits) {
    let Some(json) = cx.package() else { return };
    for (name, range) in cx.section("dependencies") {
        let git = (range.starts_with("git") || range.starts_with("github:") || range.contains(".git"))
            && !range.contains('#')
            && !range.contains("@workspace");
        let any = matches!(range, "latest" | "*" | "x" | "next");
        if any || git {
            hits.at("package.json", json.at(&["dependencies", name]).line, format!("{name}: {range}"));
            // A lockfile holds it until somebody installs anew.
            if locks::has_any(cx) {
                hits.severity(Severity::Low);
            }
        }
    }
}

fn install_ignores_lock(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    for i in file.instructions.iter().filter(|i| i.word == "RUN") {
        for command in i.script().split(['&', ';', '\n', '|']) {
            let words: Vec<&str> = command.split_whitespace().collect();
            let bare = words.get(2..).is_none_or(|rest| rest.iter().all(|word| word.starts_with('-')));
            let loose = match words.get(..2) {
                Some(["npm", "install" | "i"]) => {
                    cx.has("package-lock.json") && bare && !words.contains(&"-g") && !words.contains(&"--global")
                }
                Some(["yarn", "install"]) => {
                    cx.has("yarn.lock")
                        && bare
                        && !["--frozen-lockfile", "--immutable"].iter().any(|flag| words.contains(flag))
                }
                Some(["bun", "install" | "i"]) => {
                    (cx.has("bun.lock") || cx.has("bun.lockb")) && bare && !words.contains(&"--frozen-lockfile")
                }
                // In a build, pnpm keeps to the lockfile only when CI is set.
                Some(["pnpm", "install" | "i"]) => {
                    cx.has("pnpm-lock.yaml")
                        && bare
                        && !words.contains(&"--frozen-lockfile")
                        && !words.contains(&"--offline")
                }
                _ => false,
            };
            if loose {
                hits.at(path, i.line, command.trim());
                break;
            }
        }
    }
}
