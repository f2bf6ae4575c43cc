use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Result;
use crate::engine::Engine;
use crate::model::{
    App, AppId, AppRef, Artifact, Deployment, DeploymentState, Desired, InstanceName, Live, ProcessName, Release,
};
use crate::ops::apps::ListApps;
use crate::ops::releases::ListReleases;
use crate::testkit::fakes::{FakeInstance, World, call};
use crate::traits::{Kind, Query};

/// What is not as it should be on a platform at rest; nothing when all is well. Each app that should run does so, with
/// exactly the instances of one release, and the proxy sends requests to all of them and to nobody else; every deployment
/// is over and says so; what was built, fetched or started for something that is gone is gone too.
pub async fn invariants(world: &World, engine: &Engine) -> Vec<String> {
    let mut look = Look { world, engine, broken: Vec::new() };
    if let Err(error) = look.at_everything().await {
        look.broken.push(format!("the platform cannot be read: {error}"));
    }
    look.broken
}

struct Look<'a> {
    world: &'a World,
    engine: &'a Engine,
    broken: Vec<String>,
}

/// An app with all that the platform says of it.
struct Seen {
    app: App,
    releases: Vec<Release>,
    deployments: Vec<Deployment>,
    instances: Vec<FakeInstance>,
}

impl Look<'_> {
    async fn at_everything(&mut self) -> Result<()> {
        let open = self.world.store.list(&Query::all(Kind("deployment")).with("open", "yes")).await?;
        if let Some(record) = open.first() {
            // Nothing is at rest yet: what else is to be seen changes under the eye.
            let (state, step) = (record.body.get("state"), record.body.get("step"));
            self.wrong(format!("the deployment {} is {state:?} at {step:?}", record.id));
            return Ok(());
        }
        let apps = call(self.engine, ListApps { limit: Some(1000), ..ListApps::default() }).await?.items;
        let ids: BTreeSet<AppId> = apps.iter().map(|app| app.id).collect();
        for app in apps {
            let reference = AppRef::Id(app.id);
            let list = ListReleases { app: reference.clone(), cursor: None, limit: Some(1000) };
            let releases = call(self.engine, list).await?.items;
            let deployments = self.world.deployments(self.engine, &reference).await?;
            let instances = self.instances_of(app.id).await?;
            let seen = Seen { app, releases, deployments, instances };
            self.at_instances(&seen);
            self.at_routes(&seen);
            self.at_artifacts(&seen);
            self.at_history(&seen).await?;
        }
        self.for_orphans(&ids).await
    }

    fn wrong(&mut self, what: String) {
        self.broken.push(what);
    }

    /// Instances with this platform's labels; what others labelled is not ours to judge.
    async fn owned(&self) -> Result<Vec<FakeInstance>> {
        let platform = self.world.store.get(Kind("platform"), "platform").await?;
        let id = platform.and_then(|record| record.body.get("id").and_then(Value::as_str).map(str::to_owned));
        let mut instances = self.world.runtime.instances();
        instances.retain(|instance| Some(instance.spec.labels.platform.to_string()) == id);
        Ok(instances)
    }

    async fn instances_of(&self, app: AppId) -> Result<Vec<FakeInstance>> {
        let mut instances = self.owned().await?;
        instances.retain(|instance| instance.spec.labels.app == app);
        Ok(instances)
    }

    /// The runtime has exactly what the store wants (I1, I2, I4).
    fn at_instances(&mut self, seen: &Seen) {
        let wanted = seen.wanted();
        for name in &wanted {
            match seen.instances.iter().find(|instance| instance.spec.name == *name) {
                None => self.wrong(format!("{name} is missing")),
                Some(instance) if !instance.state.is_running() => {
                    self.wrong(format!("{name} does not run: {:?}", instance.state));
                }
                Some(_) => {}
            }
        }
        for instance in &seen.instances {
            let labels = &instance.spec.labels;
            let persons = labels.one_off && instance.state.is_running() && labels.process.as_str() == "run";
            if !wanted.contains(&instance.spec.name) && !persons {
                self.wrong(format!("{} is left over ({:?})", instance.spec.name, instance.state));
            }
        }
    }

    /// The proxy sends requests to the healthy instances of the live release, and nowhere else (I1).
    fn at_routes(&mut self, seen: &Seen) {
        let name = &seen.app.name;
        let Some(target) = self.world.proxy.target(seen.app.id) else {
            return self.wrong(format!("the proxy does not know {name}"));
        };
        let live = seen.app.live.as_ref();
        if target.release != live.map(|live| live.release) || target.deployment != live.map(|live| live.deployment) {
            self.wrong(format!("the proxy serves {:?} of {name}, and {live:?} is live", target.release));
        }
        let web = |instance: &&FakeInstance| {
            instance.spec.labels.process.as_str() == "web"
                && !instance.spec.labels.one_off
                && instance.state.is_running()
        };
        let mut ready: Vec<_> = seen
            .instances
            .iter()
            .filter(web)
            .filter_map(|instance| Some((instance.spec.name.clone(), instance.endpoint?)))
            .collect();
        ready.sort();
        let mut routed: Vec<_> = target.upstreams.into_iter().map(|up| (up.instance, up.addr)).collect();
        routed.sort();
        if routed != ready {
            self.wrong(format!("the proxy routes {name} to {routed:?}, and {ready:?} are ready"));
        }
        let mut stored: Vec<_> =
            live.iter().flat_map(|live| &live.upstreams).map(|up| (up.instance.clone(), up.addr)).collect();
        stored.sort();
        if stored != ready {
            self.wrong(format!("the store has the upstreams {stored:?} of {name}, and {ready:?} are ready"));
        }
    }

    /// Each release that can serve again has its artifact, and nothing else is kept (I2).
    fn at_artifacts(&mut self, seen: &Seen) {
        let kept: BTreeSet<&Artifact> =
            seen.releases.iter().filter(|release| !release.pruned).map(|release| &release.artifact).collect();
        let there = self.world.runtime.artifacts();
        for artifact in &kept {
            if !there.contains(artifact) {
                self.wrong(format!("the artifact {} of {} is gone", artifact.id, seen.app.name));
            }
        }
        let prefix = format!("artifact-{}-", seen.app.id);
        for artifact in there.iter().filter(|artifact| artifact.id.starts_with(&prefix)) {
            if !kept.contains(artifact) {
                self.wrong(format!("nobody needs the artifact {}", artifact.id));
            }
        }
    }

    /// Every deployment is over, its events say so at their end, and the last that succeeded is the live one (I1, I3).
    async fn at_history(&mut self, seen: &Seen) -> Result<()> {
        for deployment in &seen.deployments {
            if !deployment.state.is_final() {
                self.wrong(format!(
                    "the deployment {} is {:?} at {:?}",
                    deployment.id, deployment.state, deployment.step
                ));
                continue;
            }
            self.at_events(deployment).await?;
            if deployment.state == DeploymentState::Live {
                self.at_journal(deployment).await?;
            }
        }
        let last = seen.deployments.iter().rfind(|deployment| deployment.state == DeploymentState::Live);
        let last = last.map(|deployment| (deployment.id, deployment.made.release));
        let live = seen.app.live.as_ref().map(|live| (live.deployment, Some(live.release)));
        if last != live {
            self.wrong(format!("the last deployment that succeeded is {last:?}, and live is {live:?}"));
        }
        let mut numbers = BTreeSet::new();
        for release in &seen.releases {
            if !numbers.insert(release.number) {
                self.wrong(format!("two releases of {} have the number v{}", seen.app.name, release.number));
            }
            let maker = seen.deployments.iter().find(|deployment| deployment.id == release.deployment);
            if maker.is_none_or(|maker| maker.state != DeploymentState::Live) {
                self.wrong(format!("v{} of {} comes from {maker:?}", release.number, seen.app.name));
            }
        }
        Ok(())
    }

    async fn at_events(&mut self, deployment: &Deployment) -> Result<()> {
        let events = self.world.store.read(&format!("events/{}", deployment.id), 0, 100_000).await?;
        let state = |body: &Value| -> Option<DeploymentState> {
            let what = body.get("what").filter(|what| what.get("type").and_then(Value::as_str) == Some("state"))?;
            serde_json::from_value(what.get("state")?.clone()).ok()
        };
        let finals: Vec<u64> = events
            .iter()
            .filter(|entry| state(&entry.body).is_some_and(DeploymentState::is_final))
            .map(|entry| entry.seq)
            .collect();
        let last = events.last();
        if finals.len() != 1 || last.and_then(|entry| state(&entry.body)) != Some(deployment.state) {
            let id = deployment.id;
            self.wrong(format!(
                "the events of {id} do not end with its state: final ones at {finals:?}, last {last:?}"
            ));
        }
        Ok(())
    }

    /// No step is done that was not begun.
    async fn at_journal(&mut self, deployment: &Deployment) -> Result<()> {
        let entries = self.world.store.read(&format!("journal/{}", deployment.id), 0, 100_000).await?;
        let mut begun = BTreeSet::new();
        for entry in &entries {
            let step = entry.body.get("step").map(Value::to_string).unwrap_or_default();
            match entry.body.get("phase").and_then(Value::as_str) {
                Some("intent") => _ = begun.insert(step),
                _ if begun.contains(&step) => {}
                _ => self.wrong(format!("the journal of {} has {step} done and not begun", deployment.id)),
            }
        }
        let done = |step: &str| {
            entries.iter().any(|entry| {
                entry.body.get("step").and_then(Value::as_str) == Some(step)
                    && entry.body.get("phase").and_then(Value::as_str) == Some("done")
            })
        };
        for step in ["switch", "retire"] {
            if !done(step) {
                self.wrong(format!("{} is live, and its journal does not have {step} done", deployment.id));
            }
        }
        Ok(())
    }

    /// Nothing is left of what is gone (I2).
    async fn for_orphans(&mut self, apps: &BTreeSet<AppId>) -> Result<()> {
        for instance in self.owned().await? {
            if !apps.contains(&instance.spec.labels.app) {
                self.wrong(format!("{} belongs to an app that is gone", instance.spec.name));
            }
        }
        for artifact in self.world.runtime.artifacts() {
            let owned = apps.iter().any(|app| artifact.id.starts_with(&format!("artifact-{app}-")));
            if artifact.id.starts_with("artifact-") && !owned {
                self.wrong(format!("the artifact {} belongs to an app that is gone", artifact.id));
            }
        }
        for deployment in self.world.fetcher.checkouts() {
            self.wrong(format!("the tree of {deployment} was not given back"));
        }
        let table = self.world.proxy.table();
        let routed: BTreeSet<AppId> = table.targets.keys().copied().collect();
        if routed != *apps {
            self.wrong(format!("the proxy knows {routed:?}, and there are {apps:?}"));
        }
        if let Some(route) = table.routes.iter().find(|route| !apps.contains(&route.app)) {
            self.wrong(format!("the route {route:?} leads to an app that is gone"));
        }
        let known: BTreeMap<String, ()> = apps.iter().map(|app| (app.to_string(), ())).collect();
        for kind in ["app", "env", "release", "deployment", "domain", "cancel", "prune"] {
            for record in self.world.store.list(&Query::all(Kind(kind))).await? {
                let owner = if kind == "app" { &record.id } else { &record.parent };
                if !known.contains_key(owner) {
                    self.wrong(format!("the {kind} record {} belongs to an app that is gone", record.id));
                } else if matches!(kind, "cancel" | "prune") {
                    self.wrong(format!("the wish to {kind} {} was never fulfilled", record.id));
                }
            }
        }
        Ok(())
    }
}

impl Seen {
    /// The names of the instances that should run.
    fn wanted(&self) -> BTreeSet<InstanceName> {
        let Some(Live { release, deployment, .. }) = &self.app.live else { return BTreeSet::new() };
        let Some(release) = self.releases.iter().find(|known| known.id == *release) else { return BTreeSet::new() };
        if self.app.desired == Desired::Stopped {
            return BTreeSet::new();
        }
        let mut processes: BTreeSet<ProcessName> = release.plan.processes.keys().cloned().collect();
        let starts_web = release.settings.start_command.is_some() || release.plan.start_command.is_some();
        if (starts_web || processes.is_empty())
            && let Ok(web) = "web".parse()
        {
            processes.insert(web);
        }
        let count =
            |process: &ProcessName| self.app.scale.get(process).copied().unwrap_or_else(|| process.usual_scale());
        let name = |process: &ProcessName, index| InstanceName::of(*deployment, process, index);
        processes.iter().flat_map(|process| (0..count(process)).map(move |index| name(process, index))).collect()
    }
}
