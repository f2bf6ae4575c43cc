//! How processes start, end and show their health.

use sh0_core::model::{AppSettings, Category::Process, Severity};

use super::class::Class;
use super::context::Context;
use super::facts::Fact;
use super::rule::{Check, Hits, Rule};
use super::start::reached;
use super::workspace;
use crate::{Options, command, plan_tree};

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "RUN01",
        name: "no-start-command",
        category: Process,
        severity: Severity::Critical,
        title: "Nothing says how the app starts",
        why: "Without a command there is nothing to run.",
        fix: "Add a `start` script to package.json, a Procfile with `web: COMMAND`, or `start_command` to sh0.toml.",
        check: Check::Tree(no_start),
    },
    Rule {
        id: "RUN02",
        name: "package-manager-as-process",
        category: Process,
        severity: Severity::Medium,
        title: "The app runs below npm, pnpm or an old yarn",
        why: "They do not pass SIGTERM on as the app expects: its handler never runs (measured), and work in progress is lost.",
        fix: "Start the program itself: `node server.js` in place of `npm start`.",
        check: Check::Tree(below_package_manager),
    },
    Rule {
        id: "RUN04",
        name: "health-tool-missing",
        category: Process,
        severity: Severity::High,
        title: "The HEALTHCHECK uses a program that the image lacks",
        why: "The check always fails, and the container counts as broken although the app works.",
        fix: "Install the program, or ask with the app's own language (`node -e`, `python -c`).",
        check: Check::Tree(health_tool),
    },
    Rule {
        id: "RUN06",
        name: "start-target-missing",
        category: Process,
        severity: Severity::Critical,
        title: "The start command names a file that is not there",
        why: "The app stops at once.",
        fix: "Mend the path, or add the build step that makes the file.",
        check: Check::Tree(start_target),
    },
    Rule {
        id: "RUN07",
        name: "process-in-background",
        category: Process,
        severity: Severity::Medium,
        title: "A process is started in the background",
        why: "When it ends nobody notices: only the one in the foreground is watched, stopped and started again.",
        fix: "Give each its own process type in the Procfile; with pm2, use pm2-runtime.",
        check: Check::Tree(in_background),
    },
    Rule {
        id: "RUN08",
        name: "worker-as-web",
        category: Process,
        severity: Severity::Medium,
        title: "The app looks like a bot or worker, and is deployed as a web server",
        why: "The platform waits for a port that is never opened, and gives the deployment up.",
        fix: "Name it `worker` in a Procfile: `worker: python bot.py`.",
        check: Check::Tree(worker_as_web),
    },
    Rule {
        id: "RUN10",
        name: "work-at-start",
        category: Process,
        severity: Severity::Medium,
        title: "Dependencies are installed, or the app is built, when it starts",
        why: "Every start and every restart takes minutes and needs the internet, and may give another result than the build.",
        fix: "Move the work to the build: the start command only starts.",
        check: Check::Tree(work_at_start),
    },
];

fn no_start(cx: &Context<'_>, hits: &mut Hits) {
    nothing_starts(cx, hits);
    // A score alone would say that all is well with a tree that is none of an app.
    if hits.list.is_empty()
        && cx.plan.is_none()
        && let Err(error) =
            plan_tree(cx.files.0, &AppSettings::default(), &Options { root: cx.member(), ..Options::default() })
    {
        let error = error.to_string();
        let first = error.split(". ").next().unwrap_or_default().lines().next().unwrap_or_default();
        hits.tree(format!("no plan: {}", first.chars().take(200).collect::<String>()));
        hits.severity(Severity::Info);
    }
}

fn nothing_starts(cx: &Context<'_>, hits: &mut Hits) {
    if !cx.composes().is_empty() || cx.own_dockerfile().is_some() || cx.has("Procfile") || cx.has("sh0.toml") {
        return;
    }
    if let Some(plan) = cx.plan {
        let runs = plan.start_command.is_some() || plan.static_dir.is_some() || !plan.processes.is_empty();
        let manifests =
            ["package.json", "pyproject.toml", "requirements.txt", "go.mod", "Cargo.toml", "Gemfile", "composer.json"];
        // Which of several apps starts is asked first.
        if !runs && plan.language != "docker" && workspace::apps(cx).len() < 2 {
            match cx.files.first(&manifests) {
                Some(manifest) => {
                    hits.at(manifest, 1, format!("a {} app without a command that starts it", plan.language))
                }
                None => hits.tree(format!("a {} app without a command that starts it", plan.language)),
            }
        }
        return;
    }
    let Some(json) = cx.package() else { return };
    let script = json.get(&["scripts", "start"]).is_some() || json.get(&["scripts", "serve"]).is_some();
    let main = json.str(&["main"]).map(|main| main.trim_start_matches("./").to_owned());
    let file = main.filter(|main| cx.has(main) || cx.has(&format!("{main}.js")));
    let usual = [
        "server.js",
        "index.js",
        "app.js",
        "main.js",
        "server.ts",
        "index.ts",
        "src/index.js",
        "src/index.ts",
        "src/server.ts",
        "src/main.ts",
        "index.html",
        "public/index.html",
    ];
    let framework = [
        "next",
        "nuxt",
        "vite",
        "astro",
        "gatsby",
        "@angular/core",
        "react-scripts",
        "@sveltejs/kit",
        "@remix-run/node",
        "@docusaurus/core",
        "vuepress",
        "parcel",
        "@11ty/eleventy",
    ];
    let workspace = json.get(&["workspaces"]).is_some() || cx.has("pnpm-workspace.yaml");
    let other = [
        "requirements.txt",
        "pyproject.toml",
        "Gemfile",
        "composer.json",
        "go.mod",
        "Cargo.toml",
        "mix.exs",
        "pom.xml",
        "build.gradle",
        "deno.json",
    ];
    let told = script
        || file.is_some()
        || usual.iter().any(|file| cx.has(file))
        || framework.iter().any(|name| cx.needs(name))
        || workspace
        || other.iter().any(|file| cx.has(file));
    if !told {
        hits.at(
            "package.json",
            json.at(&["scripts"]).line.or(Some(1)),
            "no script `start`, no `main`, no server.js or index.js",
        );
    }
}

const MANAGERS: &[&str] = &["npm", "yarn", "pnpm"];

/// Yarn hands SIGTERM on to what it runs from version 3 on (measured: 2.4.3 does not, 3.2.4 and 4.0.0 do).
fn yarn_hands_signals_on(cx: &Context<'_>) -> bool {
    let major = |text: &str, before: &str| text.split(before).nth(1)?.split('.').next()?.trim().parse::<u32>().ok();
    let named = cx.package().and_then(|json| major(json.str(&["packageManager"])?, "yarn@"));
    let committed = || cx.text(".yarnrc.yml").and_then(|text| major(&text, "releases/yarn-"));
    // The lockfile's format: 4 is of Yarn 2, later ones are of later versions.
    let locked =
        || cx.text("yarn.lock").and_then(|text| major(text.split("__metadata:").nth(1)?.lines().nth(1)?, "version:"));
    named.or_else(committed).map_or_else(|| locked().is_some_and(|format| format > 4), |major| major > 2)
}

fn below_package_manager(cx: &Context<'_>, hits: &mut Hits) {
    let hands_on = yarn_hands_signals_on(cx);
    let below = |words: &[String]| {
        words.first().is_some_and(|word| MANAGERS.contains(&word.as_str()) && !(word == "yarn" && hands_on))
            && words.get(1).is_some_and(|word| !matches!(word.as_str(), "exec" | "dlx" | "install" | "ci"))
    };
    if let Some((path, file)) = cx.own_dockerfile() {
        let Some(last) = file.last() else { return };
        let lineage = file.lineage(last);
        let init = lineage
            .iter()
            .any(|i| i.word == "ENTRYPOINT" && ["tini", "dumb-init"].iter().any(|init| i.rest.contains(init)));
        // In the shell form, IMG11 says it.
        if let Some(cmd) = lineage.iter().rev().find(|i| i.word == "CMD")
            && let Some(words) = cmd.json()
            && below(&words)
        {
            hits.at(path, cmd.line, format!("CMD {}", cmd.rest));
            if init {
                hits.severity(Severity::Low);
            }
        }
        return;
    }
    let procfile = cx.text("Procfile").unwrap_or_default();
    for (number, line) in (1..).zip(procfile.lines()) {
        let Some((name, command)) = line.split_once(':') else { continue };
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if below(&words) && name.trim() != "release" {
            hits.at("Procfile", number, line.trim());
        }
    }
    // A plan starts the script's own program where it can; where it cannot, the script is a shell command.
    if let (Some(plan), true) = (cx.plan, procfile.is_empty())
        && let Some(command) = &plan.start_command
    {
        let words = |command: &str| command::words(command).map(str::to_owned).collect::<Vec<_>>();
        let all = reached(cx, command);
        if all.iter().any(|one| below(&words(&one.command))) {
            let (file, line) = all.iter().find_map(|one| one.script.clone()).unwrap_or_else(|| {
                let at = cx.package().map(|json| json.at(&["scripts", "start"]));
                ("package.json".to_owned(), at.and_then(|at| at.line))
            });
            hits.at(file, line, format!("start command: {command}"));
        }
    }
}

fn health_tool(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        let Some(last) = file.last() else { continue };
        let lineage = file.lineage(last);
        let Some(check) =
            lineage.iter().rev().find(|i| i.word == "HEALTHCHECK" && !i.rest.eq_ignore_ascii_case("none"))
        else {
            continue;
        };
        let image = file.image(last).to_ascii_lowercase();
        let script = check.script();
        let uses = |tool: &str| {
            script.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').any(|word| word == tool)
        };
        let installed = |tool: &str| {
            lineage.iter().any(|i| matches!(i.word.as_str(), "RUN" | "COPY" | "ADD") && i.script().contains(tool))
        };
        let alpine = image.contains("alpine") || image.starts_with("busybox");
        let bare = image.contains("distroless") || image == "scratch";
        // Full images of Debian with buildpack-deps have both; the slim ones have neither.
        let slim = image.contains("-slim") && !alpine
            || image.starts_with("debian")
            || image.starts_with("ubuntu")
            || image.contains("dotnet/aspnet");
        let missing = ["curl", "wget"].into_iter().find(|tool| {
            let without = bare || slim || alpine && *tool == "curl";
            uses(tool) && without && !installed(tool)
        });
        if let Some(tool) = missing {
            hits.at(path, check.line, format!("{tool} is not in {image}"));
        }
    }
}

fn start_target(cx: &Context<'_>, hits: &mut Hits) {
    let Some((command, file, line)) = cx.start() else { return };
    if cx.own_dockerfile().is_some() || command.contains("&&") || command.contains(';') || command.contains('$') {
        return;
    }
    let mut words = command::words(&command);
    let interpreter = words.next().unwrap_or_default();
    let extensions: &[&str] = match interpreter.rsplit('/').next().unwrap_or_default() {
        "node" => &[".js", ".mjs", ".cjs"],
        "python" | "python3" => &[".py"],
        "ruby" => &[".rb"],
        "php" => &[".php"],
        "bun" | "tsx" | "ts-node" => &[".ts", ".js", ".tsx"],
        _ => return,
    };
    let Some(target) = command::script(interpreter, &mut words) else { return };
    if matches!(target, "run" | "start" | "x" | "watch") || target.starts_with('/') || target.contains("..") {
        return;
    }
    let target = target.trim_start_matches("./").trim_end_matches('/');
    let there = cx.files.0.kind(target).is_some()
        || extensions.iter().any(|end| cx.has(&format!("{target}{end}")) || cx.has(&format!("{target}/index{end}")));
    if there {
        return;
    }
    let builds = cx.plan.is_some_and(|plan| !plan.build.is_empty())
        || cx.package().is_some_and(|json| {
            ["build", "prestart", "postinstall", "prepare", "heroku-postbuild", "gcp-build"]
                .iter()
                .any(|name| json.get(&["scripts", name]).is_some())
        });
    // What a build makes lies in a folder of its own (or is one); a source file does not appear.
    let folders =
        ["dist", "build", "out", "lib", ".output", ".next", "output", "public", "server", "bin", "compiled", "target"];
    let folder = target.split('/').next().unwrap_or(target);
    let made = folders.contains(&folder) && (target.contains('/') || folder != "server");
    // TypeScript is compiled beside its source where nothing says otherwise.
    let compiled = target.strip_suffix(".js").is_some_and(|stem| cx.has(&format!("{stem}.ts")));
    if !(builds && (made || compiled)) {
        let file = if file.is_empty() { "sh0.toml".to_owned() } else { file };
        hits.at(file, line, format!("`{command}`: there is no {target}"));
    }
}

fn in_background(cx: &Context<'_>, hits: &mut Hits) {
    let background = |command: &str| {
        let command = command.trim();
        let waits = ["wait", "supervisord", "exec "].iter().any(|word| command.contains(word));
        let single =
            command.replace("&&", "").replace("2>&1", "").replace(">&", "").replace("&>", "").replace("&amp;", "");
        let daemon =
            command.contains("pm2 start") && !command.contains("--no-daemon") || command.starts_with("forever start");
        daemon || !waits && single.contains(" & ") || single.ends_with(" &") && !waits
    };
    if let Some((path, file)) = cx.own_dockerfile() {
        let Some(last) = file.last() else { return };
        if let Some(cmd) = file.lineage(last).into_iter().rev().find(|i| i.word == "CMD")
            && background(&cmd.script())
        {
            hits.at(path, cmd.line, format!("CMD {}", cmd.rest));
        }
        return;
    }
    for (number, line) in (1..).zip(cx.text("Procfile").unwrap_or_default().lines()) {
        if line.split_once(':').is_some_and(|(_, command)| background(command)) {
            hits.at("Procfile", number, line.trim());
        }
    }
    if let Some((command, file, line)) = cx.start()
        && file != "Procfile"
    {
        let script =
            cx.package().and_then(|json| json.str(&["scripts", "start"])).filter(|_| command.starts_with("npm"));
        let command = script.unwrap_or(&command);
        if background(command) {
            hits.at(if file.is_empty() { "sh0.toml".into() } else { file }, line, command);
        }
    }
}

fn worker_as_web(cx: &Context<'_>, hits: &mut Hits) {
    let Some((command, ..)) = cx.start() else { return };
    let procfile = cx.text("Procfile").unwrap_or_default();
    if procfile.lines().any(|line| line.starts_with("worker") || line.starts_with("bot"))
        || cx.own_dockerfile().is_some()
        || cx.facts(Fact::Listens).next().is_some()
        || cx.facts(Fact::ReadsPort).next().is_some()
    {
        return;
    }
    let bots_node =
        ["discord.js", "telegraf", "grammy", "node-telegram-bot-api", "bullmq", "bull", "agenda", "whatsapp-web.js"];
    let bots_python = [
        "discord-py",
        "discord.py",
        "python-telegram-bot",
        "aiogram",
        "pytelegrambotapi",
        "celery",
        "rq",
        "dramatiq",
        "telethon",
        "pyrogram",
    ];
    let webs_node = [
        "express",
        "fastify",
        "koa",
        "next",
        "@nestjs/core",
        "hono",
        "http",
        "vite",
        "nuxt",
        "@hapi/hapi",
        "polka",
        "restify",
        "elysia",
        "@remix-run/node",
        "astro",
    ];
    let webs_python = [
        "flask",
        "django",
        "fastapi",
        "aiohttp",
        "starlette",
        "tornado",
        "sanic",
        "bottle",
        "streamlit",
        "gradio",
        "quart",
        "uvicorn",
        "gunicorn",
    ];
    let node =
        bots_node.iter().find(|name| cx.range(name).is_some()).filter(|_| !webs_node.iter().any(|name| cx.needs(name)));
    let python = bots_python
        .iter()
        .find_map(|name| Some((name, cx.python_needs(name)?)))
        .filter(|_| !webs_python.iter().any(|name| cx.python_needs(name).is_some()));
    if node.is_none() && python.is_none() {
        return;
    }
    let serves = cx.paths.iter().filter(|path| Class::of(path).any(Class::CODE)).take(200).any(|path| {
        cx.text(path).is_some_and(|text| {
            text.contains("createServer")
                || text.contains("http.server")
                || text.contains("HTTPServer")
                || text.contains(".listen(")
        })
    });
    if serves {
        return;
    }
    if let (Some(name), Some(json)) = (node, cx.package()) {
        hits.at(
            "package.json",
            json.at(&["dependencies", name]).line,
            format!("{name}, no web framework, and `{command}` as web"),
        );
    } else if let Some((name, (file, line))) = python {
        hits.at(file, line, format!("{name}, no web framework, and `{command}` as web"));
    }
}

fn work_at_start(cx: &Context<'_>, hits: &mut Hits) {
    let works = [
        "npm install",
        "npm ci",
        "npm run build",
        "yarn install",
        "yarn build",
        "pnpm install",
        "pnpm build",
        "pnpm run build",
        "pip install",
        "bundle install",
        "composer install",
        "next build",
        "vite build",
        "tsc &&",
        "apt-get",
        "go build",
        "cargo build",
        "poetry install",
        "uv sync",
        "npx prisma generate",
        "collectstatic",
        "assets:precompile",
    ];
    let work = |command: &str| works.iter().find(|work| command.contains(**work)).copied();
    if let Some((path, file)) = cx.own_dockerfile() {
        let Some(last) = file.last() else { return };
        if let Some(cmd) = file.lineage(last).into_iter().rev().find(|i| i.word == "CMD")
            && let Some(work) = work(&cmd.script())
        {
            hits.at(path, cmd.line, format!("`{work}` in CMD"));
        }
        return;
    }
    let procfile = cx.text("Procfile").unwrap_or_default();
    let web = (1..).zip(procfile.lines()).find(|(_, line)| line.starts_with("web:"));
    if let Some((number, line)) = web {
        if let Some(work) = work(line) {
            hits.at("Procfile", number, format!("`{work}` in `{}`", line.trim()));
        }
        return;
    }
    if let Some((command, file, line)) = cx.start() {
        // A bare `yarn` installs; a compiler in front of the program builds.
        let bare = |one: &str| ["yarn", "tsc"].into_iter().find(|program| command::program(one) == Some(program));
        let work = |one: &str| work(one).or_else(|| bare(one).filter(|program| one == *program || *program == "tsc"));
        let found = reached(cx, &command).into_iter().find_map(|one| Some((work(&one.command)?, one.command)));
        if let Some((work, command)) = found {
            hits.at(if file.is_empty() { "sh0.toml".into() } else { file }, line, format!("`{work}` in `{command}`"));
        }
    }
}
