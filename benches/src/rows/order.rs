//! What must be so whenever nothing is under way, whatever happened before: one release serves, nothing is left over.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sh0::model::{App, DeploymentId, InstanceState, RuntimeKind};
use sh0::ops::releases::ListReleases;
use sh0_docker::client::{Filters, ListImages};

use crate::Outcome;
use crate::engine;
use crate::platform::Platform;

/// Everything is as it should be within this time.
const SETTLES: Duration = Duration::from_secs(60);

/// Waits until every deployment has ended and the rest is as it should be; answers what never came to be.
pub(super) async fn settle(platform: &Platform, app: &App, runtime: RuntimeKind) -> Outcome<Vec<String>> {
    let began = Instant::now();
    platform.settled(app, SETTLES).await?;
    loop {
        let problems = wrong(platform, app, runtime).await?;
        if problems.is_empty() || began.elapsed() > SETTLES {
            return Ok(problems);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is not as it should be: one release serves with one instance, and on the machine there is nothing but that
/// instance, the app's volumes, and the artifacts of releases that are kept.
async fn wrong(platform: &Platform, app: &App, runtime: RuntimeKind) -> Outcome<Vec<String>> {
    let mut problems = Vec::new();
    let app = platform.app(app).await?;
    let live = app.live.as_ref().ok_or("no release is live")?;
    let instances = platform.instances(&app).await?;
    match instances.as_slice() {
        [one] if one.state == InstanceState::Running && one.serving && one.deployment == live.deployment => {}
        other => problems.push(format!("the instances are {other:?}, the live deployment {}", live.deployment)),
    }
    let there = match runtime {
        RuntimeKind::Process => of_processes(platform, &app),
        RuntimeKind::Docker => of_docker(platform, &app).await?,
    };
    if there.instances.len() != 1 {
        problems.push(format!("{} instances are on the machine: {:?}", there.instances.len(), there.instances));
    }
    if there.volumes != app.settings.volumes.len() {
        problems.push(format!("{} volumes of {}", there.volumes, app.settings.volumes.len()));
    }
    let releases = platform.api().call(ListReleases { app: app.id.into(), cursor: None, limit: None }).await?.items;
    let kept = releases.into_iter().filter(|release| !release.pruned).map(|release| release.artifact.id.to_string());
    let kept: BTreeSet<String> = kept.collect();
    if there.artifacts != kept {
        problems.push(format!("the artifacts are {:?}, those of releases {kept:?}", there.artifacts));
    }
    let is_of_deployment = |name: &String| name.parse::<DeploymentId>().is_ok();
    let checkouts: Vec<String> = names(&platform.data().join("sources")).filter(is_of_deployment).collect();
    if !checkouts.is_empty() {
        problems.push(format!("checkouts were left: {checkouts:?}"));
    }
    Ok(problems)
}

/// What is there of an app, as the machine and not the platform sees it.
struct There {
    instances: Vec<String>,
    artifacts: BTreeSet<String>,
    volumes: usize,
}

fn of_processes(platform: &Platform, app: &App) -> There {
    let folder = |name: &str| platform.data().join("apps").join(name).join(app.id.to_string());
    There {
        instances: platform.shims().into_iter().map(|shim| shim.command.join(" ")).collect(),
        artifacts: names(&folder("releases")).collect(),
        volumes: names(&folder("volumes")).count(),
    }
}

async fn of_docker(platform: &Platform, app: &App) -> Outcome<There> {
    let (client, owner) = (engine::usual().await?, platform.id.ok_or("the platform has no id")?);
    let containers = engine::labelled(&client, owner).await?;
    let tagged =
        ListImages { filters: Filters::new().add("reference", format!("sh0/{}", app.id)), ..ListImages::default() };
    Ok(There {
        instances: containers.iter().filter_map(|container| container.name().map(str::to_owned)).collect(),
        artifacts: client.list_images(&tagged).await?.into_iter().map(|image| image.id).collect(),
        volumes: client.list_volumes(&Filters::new().label(format!("sh0.platform={owner}"))).await?.len(),
    })
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}
