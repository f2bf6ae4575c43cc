//! Kubernetes: the objects in one file (1.30 and later).

use sh0_core::model::ImagePlan;

use super::yaml::{Map, Node, body, comments, texts};
use super::{App, Probing, Process, Written};

pub(super) fn export(app: &App<'_>) -> Written {
    let mut export = Written::default();
    let mut notes = vec![app.headline("Kubernetes")];
    app.dockerfile(&mut export.files, &mut notes);
    let image = app.image(&mut notes);
    let mut objects: Vec<Node> = Vec::new();

    for (name, _) in app.volumes() {
        let spec = Map::new()
            .with("accessModes", texts(["ReadWriteOnce"]))
            .with("resources", Map::new().with("requests", Map::new().with("storage", "1Gi")));
        objects.push(
            object("v1", "PersistentVolumeClaim", &format!("{}-{name}", app.name), app).with("spec", spec).into(),
        );
        notes.push(format!("The volume {name} asks for 1Gi: change it to what the data needs."));
    }
    if let Some(command) = &app.release {
        objects.push(job(app, &image, "release", command).into());
        notes.push("The job `release` runs once when it is applied; delete it before each new release, and wait for it before the rest.".into());
    }
    for process in &app.processes {
        objects.push(deployment(app, process, &image).into());
    }
    if app.processes.iter().any(|process| process.web) {
        let port = Map::new().with("name", "http").with("port", 80).with("targetPort", "http");
        let spec = Map::new().with("selector", labels(app, "web")).with("ports", vec![Node::from(port)]);
        objects.push(object("v1", "Service", &app.name, app).with("spec", spec).into());
    }
    if !app.input.domains.is_empty() {
        objects.push(ingress(app).into());
        notes.push("The Ingress names a Secret for TLS: cert-manager can fill it, or leave `tls` out.".into());
    }
    for cron in &app.input.crons {
        let template = Map::new().with("spec", job_spec(app, &image, &cron.name, &cron.command));
        let spec = Map::new()
            .with("schedule", cron.schedule.clone())
            .with("concurrencyPolicy", "Forbid")
            .with("jobTemplate", template);
        objects
            .push(object("batch/v1", "CronJob", &format!("{}-{}", app.name, cron.name), app).with("spec", spec).into());
    }
    let secrets: Vec<&str> = app.secrets().collect();
    if !secrets.is_empty() {
        let literals: Vec<String> = secrets.iter().map(|key| format!("--from-literal={key}=...")).collect();
        notes.push(format!(
            "Make the secrets first: kubectl create secret generic {}-secrets {}",
            app.name,
            literals.join(" ")
        ));
    }
    if !app.volumes().is_empty() && app.processes.iter().any(|process| process.replicas > 1) {
        notes.push(
            "Volumes are ReadWriteOnce: instances on several nodes need a storage class with ReadWriteMany.".into(),
        );
    }
    if app.input.settings.resources.pids.is_some() {
        notes.push("A limit of processes is a setting of the node in Kubernetes and is left out.".into());
    }
    let documents: Vec<String> = objects.iter().map(body).collect();
    export.files.insert("kubernetes.yaml".into(), comments(&notes) + &documents.join("---\n"));
    export.notes = notes;
    export
}

fn object(version: &str, kind: &str, name: &str, app: &App<'_>) -> Map {
    let labels =
        Map::new().with("app.kubernetes.io/name", app.name.clone()).with("app.kubernetes.io/managed-by", "sh0");
    Map::new()
        .with("apiVersion", version)
        .with("kind", kind)
        .with("metadata", Map::new().with("name", name).with("labels", labels))
}

fn labels(app: &App<'_>, process: &str) -> Map {
    Map::new().with("app.kubernetes.io/name", app.name.clone()).with("app.kubernetes.io/component", process)
}

fn deployment(app: &App<'_>, process: &Process, image: &str) -> Map {
    let name = if process.web { app.name.clone() } else { format!("{}-{}", app.name, process.name) };
    let template = Map::new()
        .with("metadata", Map::new().with("labels", labels(app, &process.name)))
        .with("spec", pod(app, image, &process.name, process.command.as_deref(), process.web));
    // A volume of one writer is free only when the old instance is gone.
    let once = !app.volumes().is_empty();
    let spec = Map::new()
        .with("replicas", u64::from(process.replicas))
        .with("selector", Map::new().with("matchLabels", labels(app, &process.name)))
        .with("strategy", Map::new().with("type", if once { "Recreate" } else { "RollingUpdate" }))
        .with("template", template);
    object("apps/v1", "Deployment", &name, app).with("spec", spec)
}

fn pod(app: &App<'_>, image: &str, name: &str, command: Option<&str>, web: bool) -> Map {
    let mut env: Vec<Node> = app
        .plain_env()
        .into_iter()
        .map(|(key, value)| Map::new().with("name", key).with("value", value).into())
        .collect();
    env.extend(app.secrets().map(|key| {
        let reference = Map::new().with("name", format!("{}-secrets", app.name)).with("key", key);
        Map::new().with("name", key).with("valueFrom", Map::new().with("secretKeyRef", reference)).into()
    }));
    let limits = Map::new()
        .maybe("cpu", app.millicpus().map(|cpus| format!("{cpus}m")))
        .maybe("memory", app.memory_mib().map(|memory| format!("{memory}Mi")));
    let mounts: Vec<Node> = app
        .volumes()
        .into_iter()
        .map(|(name, path)| Map::new().with("name", name).with("mountPath", path).into())
        .collect();
    let mut container = Map::new().with("name", name).with("image", image);
    if let (Some(command), true) = (command, app.input.plan.static_dir.is_none()) {
        container = container.with("command", texts(App::shell(command)));
    }
    if web {
        let port = Map::new().with("name", "http").with("containerPort", u64::from(app.port));
        let probe = match app.health_path() {
            Some(path) => Map::new().with("httpGet", Map::new().with("path", path).with("port", "http")),
            None => Map::new().with("tcpSocket", Map::new().with("port", "http")),
        };
        let Probing { period, timeout, tries } = app.probing();
        let probe = probe.with("periodSeconds", period).with("timeoutSeconds", timeout);
        // Successes in a row can only be asked for once the app has started.
        let successes = u64::from(app.input.settings.health.successes);
        let ready = probe.clone().maybe("successThreshold", (successes > 1).then_some(successes));
        container = container
            .with("ports", vec![Node::from(port)])
            .with("startupProbe", probe.with("failureThreshold", tries))
            .with("readinessProbe", ready);
    }
    container = container
        .filled("env", env)
        .filled("resources", Map::new().filled("limits", limits))
        .filled("volumeMounts", mounts);
    let volumes: Vec<Node> = app
        .volumes()
        .into_iter()
        .map(|(name, _)| {
            let claim = Map::new().with("claimName", format!("{}-{name}", app.name));
            Map::new().with("name", name).with("persistentVolumeClaim", claim).into()
        })
        .collect();
    let user = u64::from(crate::APP_UID);
    let security = matches!(app.input.plan.image, ImagePlan::Generated { .. })
        .then(|| Map::new().with("runAsNonRoot", true).with("runAsUser", user).with("fsGroup", user));
    Map::new()
        .with("terminationGracePeriodSeconds", app.stop_seconds())
        .maybe("securityContext", security)
        .with("containers", vec![Node::from(container)])
        .filled("volumes", volumes)
}

fn job(app: &App<'_>, image: &str, name: &str, command: &str) -> Map {
    object("batch/v1", "Job", &format!("{}-{name}", app.name), app).with("spec", job_spec(app, image, name, command))
}

fn job_spec(app: &App<'_>, image: &str, name: &str, command: &str) -> Map {
    let pod = pod(app, image, name, Some(command), false).with("restartPolicy", "Never");
    let template = Map::new().with("metadata", Map::new().with("labels", labels(app, name))).with("spec", pod);
    Map::new().with("backoffLimit", 0).with("template", template)
}

fn ingress(app: &App<'_>) -> Map {
    let backend = Map::new()
        .with("service", Map::new().with("name", app.name.clone()).with("port", Map::new().with("name", "http")));
    let path = |path: Option<&str>| {
        let rule = Map::new().with("path", path.unwrap_or("/")).with("pathType", "Prefix");
        Node::from(rule.with("backend", backend.clone()))
    };
    let rule = |host: &str| {
        let domains = app.input.domains.iter().filter(|domain| domain.host == host);
        let paths: Vec<Node> = domains.map(|domain| path(domain.path.as_deref())).collect();
        Node::from(Map::new().with("host", host).with("http", Map::new().with("paths", paths)))
    };
    let rules: Vec<Node> = app.hosts().into_iter().map(rule).collect();
    let tls = Map::new().with("hosts", texts(app.hosts())).with("secretName", format!("{}-tls", app.name));
    object("networking.k8s.io/v1", "Ingress", &app.name, app)
        .with("spec", Map::new().with("tls", vec![Node::from(tls)]).with("rules", rules))
}
