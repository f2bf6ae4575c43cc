//! fetch, plan, check, build, release, release command: from a source to a release.

use std::collections::BTreeMap;
use std::path::Path;

use super::Deploy;
use super::output::run_to_end;
use crate::engine::instances::failed;
use crate::engine::repo::{EnvRow, ReleaseRow};
use crate::model::{
    Artifact, EnvKey, EventKind, ImagePlan, InstanceName, InstanceState, Plan, Release, ReleaseId, RuntimeKind,
    SealedVar, Secret, Source, Step,
};
use crate::traits::{BuildRequest, CheckRequest, Checkout, CommandLine, PlanRequest};
use crate::{Code, Error, Result};

impl Deploy<'_> {
    /// fetch, plan, check, build, release. What an interrupted run has made already is not made again.
    pub(super) async fn make_release(&mut self, source: Source, no_cache: bool) -> Result<ReleaseRow> {
        if let Some(release) = self.row.value.made.release {
            return self.load_release(release).await;
        }
        let permit = self.engine.inner.builds.acquire().await;
        let kind = self.runtime_kind().await?;
        let (plan, artifact) = match &source {
            Source::Image { image } => {
                self.begin(Step::Build).await?;
                let plan = Plan { language: "image".into(), image: ImagePlan::Pull, ..Plan::default() };
                let runtime = self.engine.runtime(kind)?;
                let artifact = self.with_output(|sink| async move { runtime.pull(image, &*sink).await }).await?;
                (plan, artifact)
            }
            source => self.build_source(kind, source, no_cache).await?,
        };
        drop(permit);
        self.enter(Step::Release)?;
        let vars = self.vars().await?;
        let release = self.freeze(source, plan, artifact, vars)?;
        self.store_release(release).await
    }

    async fn build_source(&mut self, kind: RuntimeKind, source: &Source, no_cache: bool) -> Result<(Plan, Artifact)> {
        let (engine, id) = (self.engine, self.row.value.id);
        self.begin(Step::Fetch).await?;
        let fetcher = engine.inner.backends.fetcher.clone();
        let Checkout { dir, revision } =
            self.with_output(|sink| async move { fetcher.fetch(id, source, &*sink).await }).await?;
        self.row.value.made.revision = Some(revision);

        self.begin(Step::Plan).await?;
        let settings = &self.app.app.settings;
        let runtime = engine.runtime(kind)?;
        let env = self.build_env().await?;
        let names: Vec<EnvKey> = env.keys().cloned().collect();
        let mounts = runtime.build_mounts().await?;
        let request = PlanRequest { tree: &dir, settings, mounts, env: &names };
        let plan = engine.inner.backends.planner.plan(request).await?;
        let tree = plan.root.as_ref().map_or(dir.clone(), |root| dir.join(root.as_str()));
        self.tell(EventKind::Note { text: summary(&plan) })?;
        for warning in &plan.warnings {
            self.tell(EventKind::Note { text: format!("warning: {warning}") })?;
        }
        self.row.value.made.plan = Some(plan.clone());

        self.begin(Step::Check).await?;
        self.check(&dir, &plan, names).await?;

        self.begin(Step::Build).await?;
        let request = BuildRequest {
            platform: engine.inner.platform.id,
            app: self.app.app.id,
            deployment: id,
            tree,
            plan: &plan,
            env: &env,
            no_cache,
        };
        let limit = engine.inner.config.build_timeout;
        let artifact = self
            .with_output(|sink| async move {
                tokio::select! {
                    built = runtime.build(request, &*sink) => built,
                    () = engine.sleep(limit) => Err(Error::new(Code::BuildFailed, format!("the build took longer than {} s", limit.as_secs()))),
                }
            })
            .await?;
        self.row.value.made.artifact = Some(artifact.clone());
        Ok((plan, artifact))
    }

    /// Tells what the health rules find; an error where the owner wants that to block the deployment.
    async fn check(&mut self, tree: &Path, plan: &Plan, env: Vec<EnvKey>) -> Result<()> {
        let (engine, settings) = (self.engine, &self.app.app.settings);
        let request = CheckRequest { tree, plan, settings, env: env.into_iter().collect(), now: engine.now() };
        let report = engine.inner.backends.planner.check(request).await?;
        let (fail_on, who) = match settings.fail_on {
            Some(level) => (level, "the settings (fail_on) do"),
            None => (report.fail_on.unwrap_or_default(), "sh0.toml (check.fail_on) does"),
        };
        let check = report.summary();
        self.row.value.made.check = Some(check.clone());
        self.tell(EventKind::Checked { check })?;
        let grave: Vec<_> = report.findings.iter().filter(|finding| fail_on.covers(finding.severity)).collect();
        let Some(worst) = grave.first() else { return Ok(()) };
        // Told before it fails: what is pending is lost then.
        self.commit().await?;
        let text = format!(
            "the health rules found something {fail_on} or graver ({} in all), and {who} not let that pass: {worst}. \
             Nothing was built. `sh0 check` shows all and what to do; what is fine is allowed in sh0.toml with a reason",
            grave.len(),
        );
        Err(Error::new(Code::DeployFailed, text))
    }

    /// A new release of the live code with the present environment and settings.
    pub(super) async fn derive_release(&mut self) -> Result<ReleaseRow> {
        if let Some(release) = self.row.value.made.release {
            return self.load_release(release).await;
        }
        let live = self
            .app
            .app
            .live
            .as_ref()
            .ok_or_else(|| Error::new(Code::DeployFailed, "nothing serves yet; deploy first"))?;
        let base = self.load_release(live.release).await?.release;
        self.enter(Step::Release)?;
        let vars = self.vars().await?;
        self.row.value.made.revision = base.revision;
        let release = self.freeze(base.source, base.plan, base.artifact, vars)?;
        self.store_release(release).await
    }

    /// A release that was made before, with its artifact still there.
    pub(super) async fn existing_release(&mut self, id: ReleaseId) -> Result<ReleaseRow> {
        let row = self.load_release(id).await?;
        let release = &row.release;
        let runtime = self.engine.runtime(release.artifact.runtime)?;
        if release.pruned || !runtime.has_artifact(&release.artifact).await? {
            let text = format!("what v{} runs was removed meanwhile; deploy its source again", release.number);
            return Err(Error::new(Code::DeployFailed, text));
        }
        self.row.value.made.release = Some(id);
        self.row.value.made.number = Some(release.number);
        Ok(row)
    }

    fn freeze(&self, source: Source, plan: Plan, artifact: Artifact, vars: Vec<SealedVar>) -> Result<ReleaseRow> {
        let id = ReleaseId::new(self.engine.inner.backends.clock.ulid());
        let app = &self.app.app;
        let release = Release {
            id,
            app: app.id,
            number: self.app.next_release,
            deployment: self.row.value.id,
            artifact,
            plan,
            settings: app.settings.clone(),
            env: vars.iter().map(|var| var.key.clone()).collect(),
            source,
            revision: self.row.value.made.revision.clone(),
            created_by: self.row.value.created_by.clone(),
            created_at: self.engine.now(),
            live: false,
            pruned: false,
        };
        Ok(ReleaseRow { vars: self.engine.freeze(app.id, &vars, id)?, release })
    }

    /// One commit: the release, the app's counter, and that this deployment made it.
    async fn store_release(&mut self, row: ReleaseRow) -> Result<ReleaseRow> {
        let number = row.release.number;
        self.row.value.made.release = Some(row.release.id);
        self.row.value.made.number = Some(number);
        self.commit_app(|app, change| {
            app.next_release = number + 1;
            change.create(&row)
        })
        .await?;
        Ok(row)
    }

    /// The release command runs once: after a crash its instance is found by name, and only its exit is read.
    pub(super) async fn release_command(&mut self, row: &ReleaseRow) -> Result<()> {
        let release = &row.release;
        let Some(command) = release.settings.release_command.clone().or_else(|| release.plan.release_command.clone())
        else {
            return Ok(());
        };
        if self.row.value.made.release_command {
            return Ok(());
        }
        self.begin(Step::ReleaseCommand).await?;
        let (engine, id) = (self.engine, self.row.value.id);
        let runtime = engine.runtime(release.artifact.runtime)?;
        let name = InstanceName::release_command(id);
        for mount in &release.settings.volumes {
            runtime.ensure_volume(release.app, &mount.name).await?;
        }
        let spec = engine.one_off(row, id, name.clone(), "release", CommandLine::Shell(command))?;
        runtime.create(&spec).await?;
        if matches!(runtime.inspect(&name).await?, Some(observed) if observed.state == InstanceState::Created) {
            runtime.start(&name).await?;
        }
        let limit = engine.inner.config.release_command_timeout;
        let exit = self
            .with_output(|sink| {
                let name = name.clone();
                async move {
                    tokio::select! {
                        exit = run_to_end(runtime, &name, &*sink) => exit,
                        () = engine.sleep(limit) => {
                            let last = engine.last_lines(runtime, &name).await;
                            Err(failed(&name, &format!("(the release command) took longer than {} s", limit.as_secs()), &last))
                        }
                    }
                }
            })
            .await?;
        if exit.code != 0 {
            let last = engine.last_lines(runtime, &name).await;
            return Err(failed(&name, &format!("(the release command) {exit}"), &last));
        }
        self.row.value.made.release_command = true;
        self.commit().await?;
        runtime.remove(&name).await
    }

    /// The runtime to which the app is pinned, else the platform's choice.
    async fn runtime_kind(&self) -> Result<RuntimeKind> {
        match self.app.app.runtime {
            Some(kind) => Ok(kind),
            None => self.engine.choose_runtime().await,
        }
    }

    /// Variables that a build sees: the app's own.
    async fn build_env(&self) -> Result<BTreeMap<EnvKey, Secret>> {
        let app = self.app.app.id;
        self.vars().await?.iter().map(|var| Ok((var.key.clone(), self.engine.open_var(app, var)?))).collect()
    }

    /// The app's variables as they are now.
    async fn vars(&self) -> Result<Vec<SealedVar>> {
        let row = self.engine.repo().get::<EnvRow>(self.app.app.id).await?;
        Ok(row.map(|row| row.value.vars).unwrap_or_default())
    }
}

/// What was found out, in one line.
fn summary(plan: &Plan) -> String {
    let mut words = vec![plan.language.clone()];
    words.extend(plan.version.clone());
    words.extend(plan.framework.clone());
    words.extend(plan.package_manager.as_ref().map(|manager| format!("with {manager}")));
    match (&plan.start_command, &plan.static_dir) {
        (Some(command), _) => words.push(format!("started by `{command}`")),
        (None, Some(dir)) => words.push(format!("files of `{dir}`")),
        (None, None) => {}
    }
    format!("detected {}", words.join(" "))
}
