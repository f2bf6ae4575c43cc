//! Amazon ECS on Fargate: a task definition for each process, in the YAML that
//! `aws ecs register-task-definition --cli-input-yaml` reads.

use super::yaml::{Map, Node, document, texts};
use super::{App, Written};

/// CPU units and the memory in MiB that goes with them (Amazon ECS developer guide, "Task CPU and memory").
const SIZES: &[(u64, u64, u64, u64)] = &[
    (256, 512, 2_048, 512),
    (512, 1_024, 4_096, 1_024),
    (1_024, 2_048, 8_192, 1_024),
    (2_048, 4_096, 16_384, 1_024),
    (4_096, 8_192, 30_720, 1_024),
    (8_192, 16_384, 61_440, 4_096),
    (16_384, 32_768, 122_880, 8_192),
];

pub(super) fn export(app: &App<'_>) -> Written {
    let mut export = Written::default();
    let mut common = vec![
        app.headline("Amazon ECS on Fargate"),
        "Register it: aws ecs register-task-definition --cli-input-yaml file://NAME.yaml".to_owned(),
    ];
    app.dockerfile(&mut export.files, &mut common);
    let image = app.image(&mut common);
    common.push(
        "Put your account, region and role in place of 123456789012, eu-central-1 and ecsTaskExecutionRole.".into(),
    );
    if app.secrets().next().is_some() {
        common.push(format!(
            "Secrets are parameters of Systems Manager below /{}: aws ssm put-parameter --type SecureString.",
            app.name
        ));
    }
    if !app.volumes().is_empty() {
        common.push("Volumes are EFS file systems: put their ids in place of fs-00000000000000000.".into());
    }
    let mut all = common.clone();
    for process in &app.processes {
        let mut notes = common.clone();
        let mut own = Vec::new();
        own.push(format!(
            "A task definition has no number of instances: make a service with --desired-count {}.",
            process.replicas
        ));
        if process.web {
            if !app.input.domains.is_empty() {
                own.push(format!("Host names belong to a load balancer: {}.", app.hosts().join(", ")));
                app.note_paths(&mut own);
            }
            if let Some(path) = app.health_path() {
                own.push(format!("The health check of {path} belongs to the load balancer's target group."));
            }
        }
        notes.extend(own.iter().cloned());
        all.extend(own.into_iter().map(|note| format!("{}: {note}", process.name)));
        let task = task(app, &process.name, process.command.as_deref(), process.web, &image);
        export.files.insert(format!("ecs/{}.yaml", process.name), document(&notes, &task));
    }
    let once = app.release.iter().map(|command| {
        ("release".to_owned(), command.clone(), "Run it before each release: aws ecs run-task.".to_owned())
    });
    let crons = app.input.crons.iter().map(|cron| {
        (
            cron.name.clone(),
            cron.command.clone(),
            format!("Run it at `{}`: a schedule of EventBridge with this task as its target.", cron.schedule),
        )
    });
    for (name, command, note) in once.chain(crons) {
        let mut notes = common.clone();
        notes.push(note.clone());
        all.push(format!("{name}: {note}"));
        export
            .files
            .insert(format!("ecs/{name}.yaml"), document(&notes, &task(app, &name, Some(&command), false, &image)));
    }
    if app.input.settings.resources.pids.is_some() {
        all.push("Fargate has no limit of processes; it is left out.".into());
    }
    export.notes = all;
    export
}

fn task(app: &App<'_>, name: &str, command: Option<&str>, web: bool, image: &str) -> Node {
    let environment: Vec<Node> = app
        .plain_env()
        .into_iter()
        .map(|(key, value)| Map::new().with("name", key).with("value", value).into())
        .collect();
    let secrets: Vec<Node> = app
        .secrets()
        .map(|key| {
            let parameter = format!("arn:aws:ssm:eu-central-1:123456789012:parameter/{}/{key}", app.name);
            Map::new().with("name", key).with("valueFrom", parameter).into()
        })
        .collect();
    let mounts: Vec<Node> = app
        .volumes()
        .into_iter()
        .map(|(name, path)| {
            Map::new().with("sourceVolume", name).with("containerPath", path).with("readOnly", false).into()
        })
        .collect();
    let mut container = Map::new().with("name", name).with("image", image).with("essential", true);
    if let (Some(command), true) = (command, app.input.plan.static_dir.is_none()) {
        container = container.with(app.command_key("command", "entryPoint"), texts(App::shell(command)));
    }
    if web {
        let port = Map::new().with("containerPort", u64::from(app.port)).with("protocol", "tcp");
        container = container.with("portMappings", vec![Node::from(port)]);
    }
    let log = Map::new()
        .with("awslogs-group", format!("/ecs/{}", app.name))
        .with("awslogs-region", "eu-central-1")
        .with("awslogs-stream-prefix", name);
    container = container
        .filled("environment", environment)
        .filled("secrets", secrets)
        .filled("mountPoints", mounts)
        // Fargate waits at most two minutes.
        .with("stopTimeout", app.stop_seconds().min(120))
        .with("logConfiguration", Map::new().with("logDriver", "awslogs").with("options", log));
    let volumes: Vec<Node> = app
        .volumes()
        .into_iter()
        .map(|(name, _)| {
            let efs = Map::new().with("fileSystemId", "fs-00000000000000000").with("transitEncryption", "ENABLED");
            Map::new().with("name", name).with("efsVolumeConfiguration", efs).into()
        })
        .collect();
    let (cpu, memory) = size(app.millicpus(), app.memory_mib());
    let family = if web { app.name.clone() } else { format!("{}-{name}", app.name) };
    Map::new()
        .with("family", family)
        .with("networkMode", "awsvpc")
        .with("requiresCompatibilities", texts(["FARGATE"]))
        .with("cpu", cpu.to_string())
        .with("memory", memory.to_string())
        .with("executionRoleArn", "arn:aws:iam::123456789012:role/ecsTaskExecutionRole")
        .with("containerDefinitions", vec![Node::from(container)])
        .filled("volumes", volumes)
        .into()
}

/// The smallest size of Fargate that has at least this.
fn size(millicpus: Option<u64>, memory: Option<u64>) -> (u64, u64) {
    let units = millicpus.unwrap_or(250).saturating_mul(1_024).div_ceil(1_000);
    let memory = memory.unwrap_or(512);
    for (cpu, least, most, step) in SIZES {
        if *cpu >= units && *most >= memory {
            // Memory comes in steps; the smallest size has 512, 1024 and 2048 only.
            let wanted = memory.max(*least).div_ceil(*step) * step;
            return (*cpu, if *cpu == 256 && wanted == 1_536 { 2_048 } else { wanted });
        }
    }
    (16_384, 122_880)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_those_of_fargate() {
        for (cpus, memory, is) in [
            (None, None, (256, 512)),
            (Some(250), Some(600), (256, 1_024)),
            (Some(250), Some(1_100), (256, 2_048)),
            (Some(500), Some(256), (512, 1_024)),
            (Some(251), Some(512), (512, 1_024)),
            (Some(100), Some(10_000), (2_048, 10_240)),
            (Some(99_000), None, (16_384, 122_880)),
        ] {
            assert_eq!(size(cpus, memory), is, "{cpus:?} {memory:?}");
        }
    }
}
