//! Google Cloud Run: a service for `web` and jobs for what ends, as `gcloud run services replace` reads them
//! (run.googleapis.com, v1).

use super::yaml::{Map, Node, body, comments, texts};
use super::{App, Probing, Written};

/// Seconds: of one probe, and of all until the instance has failed.
const LONGEST_PROBE: u64 = 240;

pub(super) fn export(app: &App<'_>) -> Written {
    let mut export = Written::default();
    let mut notes = vec![
        app.headline("Google Cloud Run"),
        "Apply it: gcloud run services replace cloudrun.yaml; jobs: gcloud run jobs replace NAME.yaml".to_owned(),
    ];
    app.dockerfile(&mut export.files, &mut notes);
    let image = app.image(&mut notes);
    if app.secrets().next().is_some() {
        notes
            .push(format!("Make the secrets first, named {}-VARIABLE in lower case: gcloud secrets create.", app.name));
    }
    for (name, path) in app.volumes() {
        notes.push(format!("Cloud Run has no disks: the volume {name} at {path} is left out. Mount a bucket or a Filestore share there."));
    }
    if !app.input.domains.is_empty() {
        notes.push(format!(
            "Host names are mapped beside the service: gcloud run domain-mappings create ({}).",
            app.hosts().join(", ")
        ));
        app.note_paths(&mut notes);
    }
    for process in app.processes.iter().filter(|process| !process.web) {
        notes.push(format!(
            "{} answers no requests: deploy it as a worker pool with {} instances and the command `{}`.",
            process.name,
            process.replicas,
            process.command.as_deref().unwrap_or_default()
        ));
    }
    if let Some((cpus, wanted)) = cpus(app).zip(app.millicpus()).filter(|(cpus, wanted)| cpus * 1000 != *wanted) {
        notes.push(format!(
            "Cloud Run has 1, 2, 4, 6 or 8 CPUs for instances that answer several requests at once: {cpus} in place of {wanted}m."
        ));
    }
    if app.stop_seconds() > 10 {
        notes.push("Cloud Run gives an instance 10 s to end; the longer time is left out.".into());
    }
    let once = app
        .release
        .iter()
        .map(|command| ("release", command, "before each release: gcloud run jobs execute".to_owned()));
    let crons = app
        .input
        .crons
        .iter()
        .map(|cron| (cron.name.as_str(), &cron.command, format!("at `{}`, by Cloud Scheduler", cron.schedule)));
    for (name, command, when) in once.chain(crons) {
        let note = format!("The job {name} runs {when}.");
        let job = job(app, name, command, &image);
        export.files.insert(format!("cloudrun-{name}.yaml"), comments(std::slice::from_ref(&note)) + &body(&job));
        notes.push(note);
    }
    if let Some(web) = app.processes.iter().find(|process| process.web) {
        let service = service(app, web.command.as_deref(), web.replicas, &image);
        export.files.insert("cloudrun.yaml".into(), comments(&notes) + &body(&service));
    }
    export.notes = notes;
    export
}

fn service(app: &App<'_>, command: Option<&str>, replicas: u32, image: &str) -> Node {
    let probe = match app.health_path() {
        Some(path) => Map::new().with("httpGet", Map::new().with("path", path)),
        None => Map::new().with("tcpSocket", Map::new().with("port", u64::from(app.port))),
    };
    let Probing { period, timeout, tries } = app.probing();
    let (period, timeout) = (period.min(LONGEST_PROBE), timeout.min(LONGEST_PROBE));
    let probe = probe
        .with("periodSeconds", period)
        .with("failureThreshold", tries.clamp(1, (LONGEST_PROBE / period).max(1)))
        .with("timeoutSeconds", timeout);
    let port = Map::new().with("name", "http1").with("containerPort", u64::from(app.port));
    let container = container(app, command, image).with("ports", vec![Node::from(port)]).with("startupProbe", probe);
    // sh0 keeps that many running; Cloud Run may start more when it is asked to.
    let scale = Map::new()
        .with("autoscaling.knative.dev/minScale", replicas.to_string())
        .with("autoscaling.knative.dev/maxScale", replicas.max(1).to_string());
    let template = Map::new()
        .with("metadata", Map::new().with("annotations", scale))
        .with("spec", Map::new().with("containers", vec![Node::from(container)]));
    Map::new()
        .with("apiVersion", "serving.knative.dev/v1")
        .with("kind", "Service")
        .with("metadata", Map::new().with("name", app.name.clone()))
        .with("spec", Map::new().with("template", template))
        .into()
}

fn job(app: &App<'_>, name: &str, command: &str, image: &str) -> Node {
    let task =
        Map::new().with("maxRetries", 0).with("containers", vec![Node::from(container(app, Some(command), image))]);
    let execution = Map::new().with("template", Map::new().with("spec", task));
    Map::new()
        .with("apiVersion", "run.googleapis.com/v1")
        .with("kind", "Job")
        .with("metadata", Map::new().with("name", format!("{}-{name}", app.name)))
        .with("spec", Map::new().with("template", Map::new().with("spec", execution)))
        .into()
}

/// As many CPUs as are asked for, or the next number that there is.
fn cpus(app: &App<'_>) -> Option<u64> {
    let wanted = app.millicpus()?;
    Some([1, 2, 4, 6].into_iter().find(|cpus| wanted <= cpus * 1000).unwrap_or(8))
}

fn container(app: &App<'_>, command: Option<&str>, image: &str) -> Map {
    // Cloud Run sets PORT itself and refuses others that do.
    let plain = app.plain_env().into_iter().filter(|(key, _)| key != "PORT");
    let mut env: Vec<Node> =
        plain.map(|(key, value)| Map::new().with("name", key).with("value", value).into()).collect();
    env.extend(app.secrets().map(|key| {
        let secret = format!("{}-{}", app.name, key.to_ascii_lowercase().replace('_', "-"));
        let reference = Map::new().with("name", secret).with("key", "latest");
        Map::new().with("name", key).with("valueFrom", Map::new().with("secretKeyRef", reference)).into()
    }));
    let limits = Map::new()
        .maybe("cpu", cpus(app).map(|cpus| cpus.to_string()))
        .maybe("memory", app.memory_mib().map(|memory| format!("{memory}Mi")));
    let mut container = Map::new().with("image", image);
    if let (Some(command), true) = (command, app.input.plan.static_dir.is_none()) {
        container = container.with("command", texts(App::shell(command)));
    }
    container.filled("env", env).filled("resources", Map::new().filled("limits", limits))
}
