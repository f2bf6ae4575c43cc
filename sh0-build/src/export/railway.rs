//! Railway: a `railway.toml` for each service (docs.railway.com, "Config as code").

use std::fmt::Write;

use sh0_core::model::ImagePlan;

use super::yaml::comments;
use super::{App, Written};

pub(super) fn export(app: &App<'_>) -> Written {
    let mut export = Written::default();
    let mut common = vec![app.headline("Railway")];
    let dockerfile = app.dockerfile(&mut export.files, &mut common);
    let keys = app.variables_beside(export.files.contains_key("Dockerfile"));
    if !keys.is_empty() {
        common.push(format!("Variables are set on the service: {}.", keys.join(", ")));
    }
    for (name, path) in app.volumes() {
        common.push(format!("The volume {name} is attached on the service, at {path}."));
    }
    if app.memory_mib().is_some() || app.millicpus().is_some() || app.input.settings.resources.pids.is_some() {
        common.push("Limits are settings of the service.".into());
    }
    let processes = app.running(&mut common);
    let one = processes.len() + app.input.crons.len() == 1;
    let name = |service: &str| if one { "railway.toml".to_owned() } else { format!("railway.{service}.toml") };
    if !one {
        common.push("Each process is a service of its own: set its config file path to its file.".into());
    }
    // Railpack's images start commands in a shell; others run the words of the line.
    let line = |command: &str| match (&dockerfile, &app.input.plan.image) {
        (Some(_), _) | (None, ImagePlan::Pull) => App::line(command),
        _ => command.to_owned(),
    };
    let mut all = common.clone();
    for process in processes {
        let mut notes = common.clone();
        if process.web && !app.input.domains.is_empty() {
            let mut own = vec![format!("Host names are added to the service: {}.", app.hosts().join(", "))];
            app.note_paths(&mut own);
            notes.extend(own.iter().cloned());
            all.extend(own);
        }
        let mut text = comments(&notes) + &build(app, dockerfile.as_deref());
        let _ = writeln!(text, "\n[deploy]");
        if let (Some(command), true) = (&process.command, app.input.plan.static_dir.is_none()) {
            let _ = writeln!(text, "startCommand = {}", quoted(&line(command)));
        }
        if let (Some(command), true) = (&app.release, process.web) {
            let _ = writeln!(text, "preDeployCommand = [{}]", quoted(&line(command)));
        }
        if let (Some(path), true) = (app.health_path(), process.web) {
            let seconds = app.input.settings.health.start_period.0.div_ceil(1000).max(1);
            let _ = writeln!(text, "healthcheckPath = {}\nhealthcheckTimeout = {seconds}", quoted(&path));
        }
        let _ = writeln!(
            text,
            "numReplicas = {}\nrestartPolicyType = \"ALWAYS\"\ndrainingSeconds = {}",
            process.replicas.max(1),
            app.stop_seconds()
        );
        export.files.insert(name(&process.name), text);
    }
    for cron in &app.input.crons {
        let mut text = comments(&common) + &build(app, dockerfile.as_deref());
        let _ = writeln!(
            text,
            "\n[deploy]\nstartCommand = {}\ncronSchedule = {}\nrestartPolicyType = \"NEVER\"",
            quoted(&line(&cron.command)),
            quoted(&cron.schedule)
        );
        export.files.insert(name(&cron.name), text);
    }
    export.notes = all;
    export
}

fn build(app: &App<'_>, dockerfile: Option<&str>) -> String {
    let plan = app.input.plan;
    match (dockerfile, &plan.image) {
        (Some(path), _) => format!("[build]\nbuilder = \"DOCKERFILE\"\ndockerfilePath = {}\n", quoted(path)),
        (None, ImagePlan::Pull) => "# The image is chosen as the source of the service.\n".to_owned(),
        (None, _) => {
            let mut text = "[build]\nbuilder = \"RAILPACK\"\n".to_owned();
            if !plan.build.is_empty() {
                let _ = writeln!(text, "buildCommand = {}", quoted(&plan.build.join(" && ")));
            }
            text
        }
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
