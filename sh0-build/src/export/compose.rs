//! Docker Compose: one file, and the Dockerfile when sh0 wrote it (compose-spec, 2024 and later).

use super::yaml::{Map, Node, document, texts};
use super::{App, Process, Written};

pub(super) fn export(app: &App<'_>) -> Written {
    let mut export = Written::default();
    let mut notes = vec![app.headline("Docker Compose")];
    let dockerfile = app.dockerfile(&mut export.files, &mut notes);
    let source = source(app, dockerfile.as_deref(), &mut notes);

    let mut services = Map::new();
    for process in &app.processes {
        services = services.with(process.name.clone(), service(app, process, &source));
    }
    if let Some(command) = &app.release {
        let once = source
            .clone()
            .with(app.command_key("command", "entrypoint"), texts(App::shell(&compose_text(command))))
            .with("restart", "no")
            .with("environment", environment(app))
            .filled("volumes", mounts(app));
        services = services.with("release", once);
    }
    if app.secrets().next().is_some() {
        notes.push("Secrets are read from the shell, or from a file .env beside this one: do not commit it.".into());
    }
    if !app.input.domains.is_empty() {
        notes.push(format!("Host names are not part of Compose: {} need a proxy in front.", app.hosts().join(", ")));
        app.note_paths(&mut notes);
    }
    if let Some(path) = app.health_path() {
        notes.push(format!("The health check of {path} is made from outside by sh0; Compose can only run programs inside of a container."));
    }
    for cron in &app.input.crons {
        notes.push(format!(
            "Compose has no schedule: run `{}` at `{}` ({}) from the host's cron.",
            cron.command, cron.schedule, cron.name
        ));
    }
    let volumes = app.volumes().into_iter().fold(Map::new(), |map, (name, _)| map.with(name, Map::new()));
    let secret = |map: Map, key: &str| map.with(key, Map::new().with("environment", key));
    let secrets = app.build_secrets().into_iter().fold(Map::new(), secret);
    let file = Map::new()
        .with("name", app.name.clone())
        .with("services", services)
        .filled("volumes", volumes)
        .filled("secrets", secrets);
    export.files.insert("compose.yaml".into(), document(&notes, &file.into()));
    export.notes = notes;
    export
}

/// Where the containers' image comes from.
fn source(app: &App<'_>, dockerfile: Option<&str>, notes: &mut Vec<String>) -> Map {
    match dockerfile {
        Some(file) => {
            let build = Map::new().with("context", ".").with("dockerfile", file);
            Map::new().with("build", build.filled("secrets", texts(app.build_secrets())))
        }
        None => Map::new().with("image", app.image(notes)),
    }
}

fn service(app: &App<'_>, process: &Process, source: &Map) -> Map {
    let plan = app.input.plan;
    let files = plan.static_dir.is_some();
    let mut service = source.clone();
    if let (Some(command), false) = (&process.command, files) {
        let key = app.command_key("command", "entrypoint");
        service = service.with(key, texts(App::shell(&compose_text(command))));
    }
    service = service.filled("environment", environment(app));
    if process.web {
        // Compose gives each replica a port of its own from a range.
        let last = app.port.saturating_add(u16::try_from(process.replicas.saturating_sub(1)).unwrap_or(0));
        let host = if last > app.port { format!("{}-{last}", app.port) } else { app.port.to_string() };
        service = service.with("ports", texts([format!("{host}:{}", app.port)]));
    }
    if !files {
        service = service.filled("volumes", mounts(app));
    }
    if app.release.is_some() {
        let done = Map::new().with("condition", "service_completed_successfully");
        service = service.with("depends_on", Map::new().with("release", done));
    }
    let limits = Map::new()
        .maybe("cpus", app.millicpus().map(|cpus| format!("{}", cpus as f64 / 1000.0)))
        .maybe("memory", app.memory_mib().map(|memory| format!("{memory}M")))
        .maybe("pids", app.input.settings.resources.pids.map(u64::from));
    let deploy = Map::new()
        .with("replicas", u64::from(process.replicas))
        .filled("resources", Map::new().filled("limits", limits));
    service
        .with("deploy", deploy)
        .with("restart", "unless-stopped")
        .with("stop_grace_period", format!("{}s", app.stop_seconds()))
}

fn environment(app: &App<'_>) -> Node {
    let plain = app.plain_env().into_iter().fold(Map::new(), |map, (key, value)| map.with(key, compose_text(&value)));
    app.secrets().fold(plain, |map, key| map.with(key, format!("${{{key}:?set {key}}}"))).into()
}

/// `$` begins a variable of Compose's own.
fn compose_text(text: &str) -> String {
    text.replace('$', "$$")
}

fn mounts(app: &App<'_>) -> Node {
    texts(app.volumes().into_iter().map(|(name, path)| format!("{name}:{path}")))
}
