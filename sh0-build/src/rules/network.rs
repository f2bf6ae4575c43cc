//! Ports and addresses.

use sh0_core::model::{Category::Network, Severity};

use super::class::Class;
use super::context::Context;
use super::facts::{ELSEWHERE, Fact};
use super::rule::{Check, Hits, Pattern, Rule, Verdict};
use super::scan::Found;
use super::start::reached;
use crate::command;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "NET01",
        name: "localhost-bind",
        category: Network,
        severity: Severity::Critical,
        title: "The server only listens on localhost",
        why: "Inside of its container nobody else can reach it: the platform waits for the port and gives the deployment up.",
        fix: "Listen on 0.0.0.0.",
        check: Check::TextAndTree(
            &[
                Pattern {
                    what: "a server on localhost",
                    keywords: &["listen(", "listenandserve", "serve("],
                    regex: r#"(\.listen\(\s*[^()\n,]{1,60}(?:\([^()\n]*\))?[^()\n,]{0,30},\s*['"](?:127\.0\.0\.1|localhost)['"]|ListenAndServe(?:TLS)?\(\s*"(?:127\.0\.0\.1|localhost):\d+")"#,
                    judge: server_code,
                },
                Pattern {
                    what: "a server on localhost",
                    keywords: &["app.run(", "uvicorn.run(", "web.run_app(", ".serve("],
                    regex: r#"((?:app|uvicorn|web)\.run(?:_app)?\([^)\n]*host\s*=\s*['"](?:127\.0\.0\.1|localhost)['"])"#,
                    judge: |found| if found.line().trim_start().starts_with('#') { None } else { server_code(found) },
                },
                Pattern {
                    what: "a server on localhost",
                    keywords: &["tcplistener::bind", "httpserver::", ".bind("],
                    regex: r#"((?:TcpListener::bind|\.bind)\(\s*&?\(?\s*"(?:127\.0\.0\.1|localhost)(?::\d+)?")"#,
                    judge: server_code,
                },
                Pattern {
                    what: "a server on localhost",
                    keywords: &["host:", "hostname:", "address"],
                    regex: r#"\b(?:listen|serve|Bun\.serve|Deno\.serve)\(\s*\{[^}\n]*(host(?:name)?\s*:\s*['"](?:127\.0\.0\.1|localhost)['"])"#,
                    judge: server_code,
                },
            ],
            localhost_in_start,
        ),
    },
    Rule {
        id: "NET02",
        name: "port-hardcoded",
        category: Network,
        severity: Severity::Medium,
        title: "The server listens on a fixed port and does not read PORT",
        why: "On one host two releases cannot listen on the same port, so the old one must stop before the new one starts.",
        fix: "Read the variable PORT, with the number of today as the default.",
        check: Check::Tree(port_hardcoded),
    },
    Rule {
        id: "NET03",
        name: "port-mismatch",
        category: Network,
        severity: Severity::High,
        title: "The Dockerfile exposes another port than the server listens on",
        why: "Platforms send traffic to the exposed port, where nobody listens.",
        fix: "Let EXPOSE and the server name the same port.",
        check: Check::Tree(port_mismatch),
    },
    Rule {
        id: "NET04",
        name: "privileged-port",
        category: Network,
        severity: Severity::Medium,
        title: "A user without rights listens on a port below 1024",
        why: "Outside of recent versions of Docker that takes a right that the user lacks, and the server stops at once.",
        fix: "Listen on a port such as 8080; the platform's proxy answers on 80 and 443.",
        check: Check::Tree(privileged_port),
    },
    Rule {
        id: "NET05",
        name: "development-server",
        category: Network,
        severity: Severity::High,
        title: "A development server is started in production",
        why: "It serves one request at a time or rebuilds on every one, shows its errors to visitors, and often listens on localhost only.",
        fix: "Build the app and start its production server: `next start`, gunicorn, the built files.",
        check: Check::Tree(development_server),
    },
    Rule {
        id: "NET07",
        name: "invalid-port",
        category: Network,
        severity: Severity::High,
        title: "A port is no port",
        why: "The image's build or the start fails.",
        fix: "Use a number from 1 to 65535.",
        check: Check::Tree(invalid_port),
    },
];

/// Code that runs on the server, not what serves a developer.
fn server_code(found: &Found<'_>) -> Option<Verdict> {
    let other = ELSEWHERE.and(Class::TOOLING).and(Class::MARKUP).and(Class::PROSE);
    let comment = found.line().trim_start().starts_with(['#', '/', '*']);
    // Port 0 is one that the system chooses, for the program itself: never the one of the app.
    let value = found.value();
    let own = value.ends_with(":0\"") || value.contains("listen(0,") || value.contains("listen({ port: 0,");
    let chosen = found.line_before().contains("if ")
        || found.before(200).contains("NODE_ENV")
        || found.before(120).contains("development");
    (found.class.any(Class::CODE) && !found.class.any(other) && !comment && !own && !chosen).then_some(Verdict::Hit)
}

fn localhost_in_start(cx: &Context<'_>, hits: &mut Hits) {
    let Some((command, file, line)) = cx.start() else { return };
    let local = [
        "--host 127.0.0.1",
        "--host=127.0.0.1",
        "--host localhost",
        "--host=localhost",
        "-b 127.0.0.1",
        "--bind 127.0.0.1",
        "--bind=127.0.0.1",
        "-b localhost",
        "runserver 127.0.0.1",
        "-H 127.0.0.1",
        "-H localhost",
        "--hostname localhost",
        "--hostname 127.0.0.1",
        "--address 127.0.0.1",
    ];
    let uvicorn = (command.contains("uvicorn ") || command.contains("flask run"))
        && !command.contains("--host")
        && !command.contains("--uds")
        && !command.contains("-k ")
        && !command.contains("-h ");
    if local.iter().any(|flag| command.contains(flag)) || uvicorn && !command.contains("gunicorn") && !env_sets_host(cx)
    {
        let file = if file.is_empty() { "Procfile".to_owned() } else { file };
        hits.at(file, line, format!("start command: {command}"));
    }
}

fn env_sets_host(cx: &Context<'_>) -> bool {
    cx.plan.is_some_and(|plan| plan.env.keys().any(|key| matches!(key.as_str(), "UVICORN_HOST" | "FLASK_RUN_HOST")))
        || cx.dockerfiles().iter().any(|(path, _)| {
            cx.text(path).is_some_and(|text| text.contains("UVICORN_HOST") || text.contains("FLASK_RUN_HOST"))
        })
}

fn port_hardcoded(cx: &Context<'_>, hits: &mut Hits) {
    let reads: Vec<&str> = cx
        .facts(Fact::ReadsPort)
        .map(|(path, ..)| path)
        .chain(cx.facts(Fact::EnvRead).filter(|(_, _, name, _)| name.ends_with("PORT")).map(|(path, ..)| path))
        .collect();
    if cx.start().is_some_and(|(command, ..)| command.contains("$PORT") || command.contains("${PORT")) {
        return;
    }
    // In a compose file, services are where the others look for them.
    if cx.plan.is_some_and(|plan| !plan.services.is_empty()) {
        return;
    }
    let shown = |path: &str| {
        path.split('/')
            .rev()
            .skip(1)
            .any(|part| matches!(part, "example" | "examples" | "demo" | "bench" | "benchmark" | "benchmarks"))
    };
    for (path, line, port, _) in cx.facts(Fact::Listens).filter(|(path, ..)| !shown(path)) {
        let text = cx.text(path).unwrap_or_default();
        let said = text.lines().nth(line as usize - 1).unwrap_or_default();
        let constant = said.trim_start().starts_with("const")
            || said.trim_start().starts_with("let")
            || said.trim_start().starts_with("var");
        let server = text.contains("listen(") || !constant;
        let flag = text.contains("argv") || text.contains("flag.") || text.contains("argparse");
        // What a Dockerfile in the same folder runs may be told its port there.
        if reads.contains(&path)
            || said.contains("PORT ||")
            || !server
            || flag
            || said.trim_start().starts_with(['/', '#', '*'])
        {
            continue;
        }
        hits.at(path, line, format!("port {}", port_number(port)));
        if path.matches('/').count() > 3 {
            hits.severity(Severity::Low);
        }
    }
}

fn port_number(value: &str) -> String {
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    if digits.len() > 5 { digits[digits.len() - 4..].to_owned() } else { digits }
}

fn port_mismatch(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    let Some(last) = file.last() else { return };
    let lineage = file.lineage(last);
    let exposed: Vec<&&crate::dockerfile::Instruction> = lineage.iter().filter(|i| i.word == "EXPOSE").collect();
    let Some(first) = exposed.first() else { return };
    let ports: Vec<String> = exposed
        .iter()
        .flat_map(|i| i.rest.split_whitespace())
        .map(|port| port.split('/').next().unwrap_or(port).to_owned())
        .collect();
    let told = lineage.iter().any(|i| i.word == "ENV" && i.pairs().iter().any(|(key, _)| key.ends_with("PORT")));
    if ports.iter().any(|port| port.contains(['$', '-']))
        || told
        || cx.facts(Fact::ReadsPort).next().is_some()
        || cx.facts(Fact::EnvRead).any(|(_, _, name, _)| name.ends_with("PORT"))
    {
        return;
    }
    let listens: Vec<(&str, u32, String)> = cx
        .facts(Fact::Listens)
        .filter(|(path, ..)| path.matches('/').count() <= 2)
        .map(|(path, line, value, _)| (path, line, port_number(value)))
        .collect();
    let command = lineage.iter().rev().find(|i| i.word == "CMD").map(|i| i.script()).unwrap_or_default();
    let by_command = ports.iter().any(|port| command.contains(port.as_str()))
        || command.contains("--port")
        || command.contains("-p ");
    if let [(code, line, port), ..] = &listens[..]
        && !listens.iter().any(|(_, _, port)| ports.contains(port))
        && !by_command
    {
        hits.at(path, first.line, format!("EXPOSE {}, but {code}:{line} listens on {port}", ports.join(" ")));
    }
}

fn privileged_port(cx: &Context<'_>, hits: &mut Hits) {
    let Some((path, file)) = cx.own_dockerfile() else { return };
    let Some(last) = file.last() else { return };
    let lineage = file.lineage(last);
    let user = lineage.iter().rev().find(|i| i.word == "USER");
    let unprivileged = user.is_some_and(|i| !matches!(i.rest.split(':').next().unwrap_or_default(), "root" | "0"));
    let allowed =
        lineage.iter().any(|i| i.script().contains("cap_net_bind_service") || i.script().contains("authbind"));
    if !unprivileged || allowed || file.image(last).contains("unprivileged") {
        return;
    }
    let low = lineage.iter().rev().filter(|i| i.word == "EXPOSE").find(|i| {
        let ports: Vec<u32> =
            i.rest.split_whitespace().filter_map(|port| port.split('/').next()?.parse().ok()).collect();
        !ports.is_empty() && ports.iter().all(|port| *port < 1024)
    });
    if let Some(low) = low {
        hits.at(
            path,
            low.line,
            format!("EXPOSE {} as {}", low.rest, user.map(|i| i.rest.as_str()).unwrap_or_default()),
        );
    }
}

const DEVELOPMENT: &[&str] = &[
    "next dev",
    "nuxt dev",
    "nuxi dev",
    "vite dev",
    "vite serve",
    "ng serve",
    "vue-cli-service serve",
    "react-scripts start",
    "webpack-dev-server",
    "webpack serve",
    "astro dev",
    "gatsby develop",
    "remix dev",
    "svelte-kit dev",
    "manage.py runserver",
    "flask run",
    "flask --app",
    "php artisan serve",
    "nodemon",
    "nest start --watch",
    "ts-node-dev",
    "parcel serve",
    "fastapi dev",
    "uvicorn --reload",
    "--reload",
    "rails server -e development",
    "cargo watch",
    "air -c",
    "expo start",
];

fn development_server(cx: &Context<'_>, hits: &mut Hits) {
    let (command, file, line) = match cx.own_dockerfile() {
        Some((path, file)) => {
            let lineage = file.last().map(|last| file.lineage(last)).unwrap_or_default();
            let Some(cmd) = lineage.into_iter().rev().find(|i| i.word == "CMD") else { return };
            (cmd.script(), path.clone(), Some(cmd.line))
        }
        None => match cx.start() {
            Some((command, file, line)) if file.is_empty() => (command, "sh0.toml".to_owned(), line),
            Some(start) => start,
            None => return,
        },
    };
    if let Some(one) = reached(cx, &command).into_iter().find(|one| is_development(&one.command)) {
        hits.at(file, line, one.command);
    }
}

fn is_development(command: &str) -> bool {
    let bare_vite = command == "vite" || command.starts_with("vite --") || command == "parcel";
    // Starts the program anew when a file changes.
    let watches = ["node", "deno", "bun", "tsx"].iter().any(|program| command::runs(command, program))
        && command.split_whitespace().any(|word| word == "--watch" || word.starts_with("--watch="));
    let production =
        command.contains("gunicorn") || command.contains("NODE_ENV=production") || command.contains("runserver_plus");
    (bare_vite || watches || DEVELOPMENT.iter().any(|known| command.contains(known))) && !production
}

fn invalid_port(cx: &Context<'_>, hits: &mut Hits) {
    for (path, file) in cx.dockerfiles() {
        for i in file.instructions.iter().filter(|i| i.word == "EXPOSE") {
            for port in i.rest.split_whitespace().filter(|port| !port.contains('$')) {
                let number = port.split('/').next().unwrap_or(port);
                let fine =
                    number.splitn(2, '-').all(|end| end.parse::<u32>().is_ok_and(|port| (1..=65_535).contains(&port)));
                let protocol = port
                    .split_once('/')
                    .is_none_or(|(_, name)| matches!(name.to_ascii_lowercase().as_str(), "tcp" | "udp" | "sctp"));
                if !fine || !protocol {
                    hits.at(path, i.line, format!("EXPOSE {port}"));
                }
            }
        }
    }
}
