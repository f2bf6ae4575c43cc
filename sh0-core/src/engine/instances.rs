//! What deployments and convergence do with instances: which should be, how they are made, how they leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;

use super::Engine;
use super::repo::{AppRow, ReleaseRow};
use crate::model::{
    AppId, DeploymentId, EnvKey, ImagePlan, InstanceName, Millis, ProcessName, Release, RuntimeKind, Sealed, SealedVar,
    Secret,
};
use crate::traits::{CommandLine, InstanceSpec, Labels, LastLines, Observed, Runtime};
use crate::{Error, Result};

/// The process type that gets traffic.
pub(crate) const WEB: &str = "web";

/// The port of containers that do not say one.
const DEFAULT_PORT: u16 = 8080;

/// One instance that should be: its name and what makes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) process: ProcessName,
    pub(crate) index: u32,
    pub(crate) name: InstanceName,
}

impl Wanted {
    pub(crate) fn is_web(&self) -> bool {
        self.process.as_str() == WEB
    }
}

impl Engine {
    /// Whether the labels say that it is ours.
    pub(crate) fn owns(&self, labels: &Labels) -> bool {
        labels.platform == self.inner.platform.id
    }

    /// The instances of the app that this runtime has, one-off runs included.
    pub(crate) async fn observe(&self, runtime: &dyn Runtime, app: AppId) -> Result<Vec<Observed>> {
        let mut observed = runtime.list(Some(app)).await?;
        observed.retain(|instance| self.owns(&instance.labels));
        Ok(observed)
    }

    /// The instances that `deployment` of `release` should have.
    pub(crate) fn wanted(&self, row: &AppRow, release: &Release, deployment: DeploymentId) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for process in processes(release).into_keys() {
            for index in 0..row.app.wanted(&process) {
                let name = InstanceName::of(deployment, &process, index);
                wanted.push(Wanted { process: process.clone(), index, name });
            }
        }
        wanted
    }

    /// Everything an instance needs to be created: frozen with the release, so the same at every try.
    pub(crate) fn spec(&self, row: &ReleaseRow, deployment: DeploymentId, wanted: &Wanted) -> Result<InstanceSpec> {
        let release = &row.release;
        let web = wanted.is_web();
        let command = processes(release).remove(&wanted.process).flatten();
        let port = web.then(|| container_port(release));
        let mut spec = InstanceSpec {
            name: wanted.name.clone(),
            labels: Labels {
                platform: self.inner.platform.id,
                app: release.app,
                release: release.id,
                deployment,
                process: wanted.process.clone(),
                index: wanted.index,
                one_off: false,
            },
            artifact: release.artifact.clone(),
            command: command.map(CommandLine::Shell),
            env: self.environment(row)?,
            port,
            resources: release.settings.resources,
            volumes: release.settings.volumes.clone(),
            restart: true,
            terminal: None,
        };
        add(&mut spec.env, "SH0_PROCESS", wanted.process.as_str());
        Ok(spec)
    }

    /// A one-off run of a release.
    pub(crate) fn one_off(
        &self,
        row: &ReleaseRow,
        deployment: DeploymentId,
        name: InstanceName,
        process: &str,
        command: CommandLine,
    ) -> Result<InstanceSpec> {
        let wanted = Wanted { process: process.parse()?, index: 0, name };
        let mut spec = self.spec(row, deployment, &wanted)?;
        spec.labels.one_off = true;
        spec.command = Some(command);
        spec.port = None;
        spec.restart = false;
        Ok(spec)
    }

    /// The environment of a release: what the plan needs, what the owner set over it, who it is.
    fn environment(&self, row: &ReleaseRow) -> Result<BTreeMap<EnvKey, Secret>> {
        let release = &row.release;
        let planned = release.plan.variables(release.artifact.runtime);
        let mut env: BTreeMap<EnvKey, Secret> =
            planned.into_iter().map(|(key, value)| (key.clone(), Secret::new(value))).collect();
        for var in &row.vars {
            env.insert(var.key.clone(), self.inner.backends.sealer.open(&release_var(release, &var.key), &var.value)?);
        }
        add(&mut env, "SH0_RELEASE", &release.id.to_string());
        add(&mut env, "SH0_RELEASE_NUMBER", &release.number.to_string());
        if let Some(revision) = &release.revision {
            add(&mut env, "SH0_REVISION", &revision.id);
        }
        Ok(env)
    }

    /// Seals an app's environment again, for a release: a sealed value opens only in its own row.
    pub(crate) fn freeze(
        &self,
        app: AppId,
        vars: &[SealedVar],
        release: crate::model::ReleaseId,
    ) -> Result<Vec<SealedVar>> {
        self.reseal(vars, |key| env_var(app, key), |key| format!("release/{release}/{key}"))
    }

    /// The other way round, for a rollback.
    pub(crate) fn thaw(&self, row: &ReleaseRow) -> Result<Vec<SealedVar>> {
        self.reseal(&row.vars, |key| release_var(&row.release, key), |key| env_var(row.release.app, key))
    }

    fn reseal(
        &self,
        vars: &[SealedVar],
        from: impl Fn(&EnvKey) -> String,
        to: impl Fn(&EnvKey) -> String,
    ) -> Result<Vec<SealedVar>> {
        let sealer = &self.inner.backends.sealer;
        vars.iter()
            .map(|var| {
                let secret = sealer.open(&from(&var.key), &var.value)?;
                Ok(SealedVar { key: var.key.clone(), value: sealer.seal(&to(&var.key), &secret)? })
            })
            .collect()
    }

    /// Whether an app's environment is that of a release: the same names with the same values.
    pub(crate) fn same_vars(&self, app: AppId, vars: &[SealedVar], row: &ReleaseRow) -> Result<bool> {
        if !vars.iter().map(|var| &var.key).eq(row.vars.iter().map(|var| &var.key)) {
            return Ok(false);
        }
        for (now, then) in vars.iter().zip(&row.vars) {
            let then = self.inner.backends.sealer.open(&release_var(&row.release, &then.key), &then.value)?;
            if self.open_var(app, now)?.expose() != then.expose() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Seals a value of an app's environment.
    pub(crate) fn seal_var(&self, app: AppId, key: &EnvKey, secret: &Secret) -> Result<Sealed> {
        self.inner.backends.sealer.seal(&env_var(app, key), secret)
    }

    /// Opens a value of an app's environment.
    pub(crate) fn open_var(&self, app: AppId, var: &SealedVar) -> Result<Secret> {
        self.inner.backends.sealer.open(&env_var(app, &var.key), &var.value)
    }

    /// Creates what is missing and starts what does not run. Create adopts what is there.
    pub(crate) async fn bring_up(
        &self,
        runtime: &dyn Runtime,
        row: &ReleaseRow,
        deployment: DeploymentId,
        wanted: &[Wanted],
    ) -> Result<()> {
        self.create(runtime, row, deployment, wanted).await?;
        self.start(runtime, row, wanted).await
    }

    pub(crate) async fn create(
        &self,
        runtime: &dyn Runtime,
        row: &ReleaseRow,
        deployment: DeploymentId,
        wanted: &[Wanted],
    ) -> Result<()> {
        for mount in &row.release.settings.volumes {
            runtime.ensure_volume(row.release.app, &mount.name).await?;
        }
        for wanted in wanted {
            runtime.create(&self.spec(row, deployment, wanted)?).await?;
        }
        Ok(())
    }

    pub(crate) async fn start(&self, runtime: &dyn Runtime, row: &ReleaseRow, wanted: &[Wanted]) -> Result<()> {
        for started in futures_util::future::join_all(wanted.iter().map(|wanted| runtime.start(&wanted.name))).await {
            started?;
        }
        for wanted in wanted {
            self.collect(row.release.artifact.runtime, &wanted.name, &wanted.process, row.release.app, row.release.id);
        }
        Ok(())
    }

    /// Waits until the proxy has nothing in flight for these instances, at most as long as draining may take. The proxy
    /// itself cuts what goes on longer.
    pub(crate) async fn drain(&self, leaving: &BTreeSet<InstanceName>, timeout: Millis) -> Result<()> {
        let mut pause = Duration::from_millis(2);
        // The proxy starts its own clock when it takes the table; a second more lets it close what it cuts.
        let mut left = Duration::from(timeout) + Duration::from_secs(1);
        loop {
            let status = self.inner.backends.proxy.status().await?;
            if left.is_zero() || !status.in_flight.keys().any(|name| leaving.contains(name)) {
                return Ok(());
            }
            self.sleep(pause).await;
            left = left.saturating_sub(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Stops and removes instances, their last lines collected.
    pub(crate) async fn take_down(
        &self,
        runtime: &dyn Runtime,
        leaving: &BTreeSet<InstanceName>,
        grace: Millis,
    ) -> Result<()> {
        let gone = leaving.iter().map(|name| async move {
            runtime.stop(name, grace).await?;
            self.collected(name).await;
            runtime.remove(name).await
        });
        futures_util::future::join_all(gone).await.into_iter().collect()
    }

    /// The last lines that an instance printed, for a person to see why it failed.
    pub(crate) async fn last_lines(&self, runtime: &dyn Runtime, name: &InstanceName) -> LastLines {
        let mut last = LastLines::default();
        let Ok(mut lines) = runtime.logs(name, None, false).await else { return last };
        while let Some(Ok(line)) = lines.next().await {
            last.push(&line.text);
        }
        last
    }
}

/// The process types of a release and their commands; `None` is the artifact's own command.
pub(crate) fn processes(release: &Release) -> BTreeMap<ProcessName, Option<String>> {
    let plan = &release.plan;
    let mut processes: BTreeMap<ProcessName, Option<String>> =
        plan.processes.iter().map(|(name, command)| (name.clone(), Some(command.clone()))).collect();
    let Ok(web) = WEB.parse::<ProcessName>() else { return processes };
    // The start command of a plan that builds by the owner's Dockerfile is for runtimes without images.
    let own_image =
        release.artifact.runtime == RuntimeKind::Docker && matches!(plan.image, ImagePlan::Dockerfile { .. });
    let planned = plan.start_command.as_ref().filter(|_| !own_image);
    if let Some(command) = release.settings.start_command.as_ref().or(planned) {
        processes.insert(web, Some(command.clone()));
    } else if processes.is_empty() || own_image {
        processes.entry(web).or_insert(None);
    }
    processes
}

/// The port on which `web` listens inside a container.
pub(crate) fn container_port(release: &Release) -> u16 {
    release.settings.port.or(release.plan.port).or(release.artifact.port).unwrap_or(DEFAULT_PORT)
}

fn add(env: &mut BTreeMap<EnvKey, Secret>, key: &str, value: &str) {
    if let Ok(key) = key.parse() {
        env.insert(key, Secret::new(value));
    }
}

/// The row of an app's variable, to which its value is sealed.
fn env_var(app: AppId, key: &EnvKey) -> String {
    format!("env/{app}/{key}")
}

fn release_var(release: &Release, key: &EnvKey) -> String {
    format!("release/{}/{key}", release.id)
}

/// An instance did not become what it should: the reason, and its last lines.
pub(crate) fn failed(name: &InstanceName, reason: &str, last: &LastLines) -> Error {
    Error::new(crate::Code::DeployFailed, last.behind(format_args!("{name} {reason}")))
}
