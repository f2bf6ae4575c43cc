//! Render: `render.yaml` ("Blueprint specification").

use sh0_core::model::ImagePlan;

use super::yaml::{Map, Node, document, texts};
use super::{App, Written};

pub(super) fn export(app: &App<'_>) -> Written {
    let mut export = Written::default();
    let mut notes = vec![app.headline("Render")];
    let plan = app.input.plan;
    let mut services: Vec<Node> = Vec::new();
    if let (Some(folder), ImagePlan::Generated { .. }) = (&plan.static_dir, &plan.image) {
        services.push(files(app, folder).into());
    } else {
        let source = source(app, &mut export, &mut notes);
        for process in app.running(&mut notes) {
            let kind = if process.web { "web" } else { "worker" };
            // A service with a disk cannot have more.
            let has_disk = process.web && !app.volumes().is_empty();
            let instances = if has_disk { 1 } else { u64::from(process.replicas.max(1)) };
            let name = if process.web { app.name.clone() } else { format!("{}-{}", app.name, process.name) };
            let mut service = Map::new().with("type", kind).with("name", name);
            service = with_source(service, &source).with("plan", "starter").with("numInstances", instances);
            if let Some(command) = &process.command {
                service = service.with("dockerCommand", App::line(command));
            }
            if process.web {
                service = service.maybe("healthCheckPath", app.health_path()).filled("domains", texts(app.hosts()));
                service = service.maybe("preDeployCommand", app.release.clone());
            }
            service =
                service.with("maxShutdownDelaySeconds", app.stop_seconds().clamp(1, 300)).filled("envVars", env(app));
            if let Some((disk, path)) = app.volumes().first() {
                if process.web {
                    service =
                        service.with("disk", Map::new().with("name", *disk).with("mountPath", *path).with("sizeGB", 1));
                } else {
                    notes.push(format!(
                        "{} does not see the disk {disk}: Render gives a disk to one service alone.",
                        process.name
                    ));
                }
            }
            services.push(service.into());
        }
        for cron in &app.input.crons {
            let service = Map::new().with("type", "cron").with("name", format!("{}-{}", app.name, cron.name));
            let service = with_source(service, &source)
                .with("plan", "starter")
                .with("schedule", cron.schedule.clone())
                .with("dockerCommand", App::line(&cron.command))
                .filled("envVars", env(app));
            services.push(service.into());
        }
    }
    for (name, path) in app.volumes().into_iter().skip(1) {
        notes.push(format!("The volume {name} at {path} is left out: a service of Render has one disk."));
    }
    if !app.volumes().is_empty() {
        notes.push("A service with a disk runs one instance, and stops before the new release starts. The disk has 1 GB: change it to what the data needs.".into());
    }
    app.note_paths(&mut notes);
    if app.secrets().next().is_some() {
        notes.push("Render asks for the values of secrets (`sync: false`) when the blueprint is made.".into());
    }
    if app.memory_mib().is_some() || app.millicpus().is_some() || app.input.settings.resources.pids.is_some() {
        notes.push(
            "Limits come with the plan of a service: choose one with enough memory and CPU in place of `starter`."
                .into(),
        );
    }
    export.files.insert("render.yaml".into(), document(&notes, &Map::new().with("services", services).into()));
    export.notes = notes;
    export
}

/// What every service of the app is made from.
enum Source {
    Dockerfile(String),
    Image(String),
}

fn source(app: &App<'_>, export: &mut Written, notes: &mut Vec<String>) -> Source {
    match app.dockerfile(&mut export.files, notes) {
        Some(path) => Source::Dockerfile(path),
        None => Source::Image(app.image(notes)),
    }
}

fn with_source(service: Map, source: &Source) -> Map {
    match source {
        Source::Dockerfile(path) => {
            service.with("runtime", "docker").with("dockerfilePath", format!("./{path}")).with("dockerContext", ".")
        }
        Source::Image(image) => service.with("runtime", "image").with("image", Map::new().with("url", image.clone())),
    }
}

/// A folder of files, served by Render itself.
fn files(app: &App<'_>, folder: &str) -> Map {
    let plan = app.input.plan;
    let build: Vec<&str> = plan.install.iter().chain(&plan.build).map(String::as_str).collect();
    let fallback = Map::new().with("type", "rewrite").with("source", "/*").with("destination", "/index.html");
    let routes: Vec<Node> = if plan.spa_fallback { vec![fallback.into()] } else { Vec::new() };
    Map::new()
        .with("type", "web")
        .with("name", app.name.clone())
        .with("runtime", "static")
        .maybe("buildCommand", (!build.is_empty()).then(|| build.join(" && ")))
        .with("staticPublishPath", format!("./{}", folder.trim_start_matches("./")))
        .filled("routes", routes)
        .filled("domains", texts(app.hosts()))
        .filled("envVars", env(app))
}

fn env(app: &App<'_>) -> Node {
    let plain = app.plain_env().into_iter().map(|(key, value)| Map::new().with("key", key).with("value", value).into());
    let secret = app.secrets().map(|key| Map::new().with("key", key).with("sync", false).into());
    Node::List(plain.chain(secret).collect())
}
