//! A deployment: typed steps with a journal. Before each step's effect an intent is written, after it a done; names are
//! deterministic, so every effect is create-or-adopt and a step that was interrupted is simply run again.
//!
//! ```text
//! fetch -> plan -> build -> release -> release command -> [stop old] -> create -> start -> health -> switch -> drain -> retire
//!                                                                                              commit point ^
//! ```
//!
//! Before the switch a failure or a cancel undoes everything that this deployment made, and the old release serves on
//! (invariant: a failed deploy changes nothing). After the switch there is only forward.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::executor::passes;
use super::instances::{Wanted, failed};
use super::repo::{AppRow, CancelRow, Change, EnvRow, PruneRow, ReleaseRow, Row, journal};
use super::state::lock;
use crate::model::{
    Artifact, Deployment, DeploymentKind, DeploymentState, Desired, EnvKey, EventKind, Exit, InstanceName, Live,
    LogStream, Plan, Release, ReleaseId, RuntimeKind, Secret, Source, Step, Strategy, Timestamp, Upstream,
};
use crate::traits::{BuildRequest, Checkout, CommandLine, OutputSink, Runtime};
use crate::{Code, Error, Result};

/// How many lines of a build are kept with its deployment.
const OUTPUT_LINES: usize = 20_000;

/// How long lines of output are gathered before they are stored.
const OUTPUT_PAUSE: Duration = Duration::from_millis(100);

/// A deployment on its way.
struct Deploy<'a> {
    engine: &'a Engine,
    app: AppRow,
    row: Row<Deployment>,
    cancel: CancellationToken,
    /// Events that the next commit takes along.
    pending: Change,
    /// When the present step began.
    began: Timestamp,
    upstreams: Vec<Upstream>,
    /// The app was stopped, and this deployment starts it.
    starts: bool,
}

impl Engine {
    /// Runs a deployment from where it is to its end. Fails only with what a later try may not meet.
    pub(crate) async fn deploy(&self, app: Row<AppRow>, row: Row<Deployment>) -> Result<()> {
        let id = row.value.id;
        let cancel = CancellationToken::new();
        lock(&self.inner.cancels).insert(id, cancel.clone());
        if self.repo().get::<CancelRow>(id).await?.is_some() {
            cancel.cancel();
        }
        let mut deploy = Deploy {
            engine: self,
            app: app.value,
            row,
            cancel,
            pending: Change::default(),
            began: self.now(),
            upstreams: Vec::new(),
            starts: false,
        };
        let ended = deploy.run().await;
        lock(&self.inner.cancels).remove(&id);
        ended
    }
}

impl Deploy<'_> {
    async fn run(&mut self) -> Result<()> {
        let committed = self.row.value.step.is_some_and(|step| step >= Step::Drain);
        if let Some(problem) = self.row.value.error.clone().filter(|_| !committed) {
            // It had failed and was being undone: nothing of it is tried again.
            return self.undo(problem.into()).await;
        }
        if !committed {
            let cancel = self.cancel.clone();
            let before = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Error::new(Code::Cancelled, "cancelled before the switch; nothing has changed")),
                done = self.until_switch() => done,
            };
            match before {
                Ok(()) => {}
                // The store itself is away or another writer came first: look again, decide then.
                Err(error) if passes(&error) && !self.gives_up(&error) => return Err(error),
                Err(error) => return self.undo(error).await,
            }
        }
        self.after_switch().await
    }

    /// Whether a passing fault is held against the deployment: a runtime that is away while it is needed fails it, after
    /// the deployment has waited as long as an instance may take to start.
    fn gives_up(&self, error: &Error) -> bool {
        let started = self.row.value.started_at.unwrap_or(self.row.value.created_at);
        let waited: Duration = self.engine.now().duration_since(started).try_into().unwrap_or_default();
        error.code() != Code::Conflict && waited > self.app.app.settings.health.start_period.into()
    }

    // ---- the steps before the commit point ----

    async fn until_switch(&mut self) -> Result<()> {
        self.row.value.state = DeploymentState::Running;
        self.row.value.started_at.get_or_insert(self.engine.now());
        self.row.value.step = None;
        self.tell(EventKind::State { state: DeploymentState::Running, error: None })?;
        let release = match self.row.value.kind.clone() {
            DeploymentKind::Deploy { source, no_cache } => self.make_release(source, no_cache).await?,
            DeploymentKind::Config => self.derive_release().await?,
            DeploymentKind::Rollback { to } => self.existing_release(to).await?,
            DeploymentKind::Restart => {
                let live = self.app.app.live.as_ref().ok_or_else(|| {
                    Error::new(Code::DeployFailed, "nothing serves that could be restarted; deploy first")
                })?;
                self.existing_release(live.release).await?
            }
        };
        if matches!(self.row.value.kind, DeploymentKind::Deploy { .. } | DeploymentKind::Config) {
            self.release_command(&release).await?;
        }
        self.replace(&release).await
    }

    /// fetch, plan, build, release. What an interrupted run has made already is not made again.
    async fn make_release(&mut self, source: Source, no_cache: bool) -> Result<ReleaseRow> {
        if let Some(release) = self.row.value.made.release {
            return self.load_release(release).await;
        }
        let permit = self.engine.inner.builds.acquire().await;
        let kind = self.runtime_kind().await?;
        let (plan, artifact) = match &source {
            Source::Image { image } => {
                self.begin(Step::Build).await?;
                let plan = Plan { language: "image".into(), image: crate::model::ImagePlan::Pull, ..Plan::default() };
                let runtime = self.engine.runtime(kind)?;
                let artifact = self.with_output(|sink| async move { runtime.pull(image, &*sink).await }).await?;
                (plan, artifact)
            }
            source => self.build_source(kind, source, no_cache).await?,
        };
        drop(permit);
        self.begin(Step::Release).await?;
        let vars =
            self.engine.repo().get::<EnvRow>(self.app.app.id).await?.map(|row| row.value.vars).unwrap_or_default();
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
        let tree = match &settings.root {
            Some(root) => dir.join(root.as_str()),
            None => dir,
        };
        let plan = engine.inner.backends.planner.plan(&tree, settings).await?;
        self.tell(EventKind::Note { text: summary(&plan) })?;
        for warning in &plan.warnings {
            self.tell(EventKind::Note { text: format!("warning: {warning}") })?;
        }
        self.row.value.made.plan = Some(plan.clone());

        self.begin(Step::Build).await?;
        let env = self.build_env().await?;
        let request = BuildRequest {
            platform: engine.inner.platform.id,
            app: self.app.app.id,
            deployment: id,
            tree,
            plan: &plan,
            env: &env,
            no_cache,
        };
        let runtime = engine.runtime(kind)?;
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

    /// A new release of the live code with the present environment and settings.
    async fn derive_release(&mut self) -> Result<ReleaseRow> {
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
        self.begin(Step::Release).await?;
        let vars =
            self.engine.repo().get::<EnvRow>(self.app.app.id).await?.map(|row| row.value.vars).unwrap_or_default();
        self.row.value.made.revision = base.revision;
        let release = self.freeze(base.source, base.plan, base.artifact, vars)?;
        self.store_release(release).await
    }

    /// A release that was made before, with its artifact still there.
    async fn existing_release(&mut self, id: ReleaseId) -> Result<ReleaseRow> {
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

    fn freeze(
        &self,
        source: Source,
        plan: Plan,
        artifact: Artifact,
        vars: Vec<crate::model::SealedVar>,
    ) -> Result<ReleaseRow> {
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
    async fn release_command(&mut self, row: &ReleaseRow) -> Result<()> {
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
        if matches!(runtime.inspect(&name).await?, Some(observed) if observed.state == crate::model::InstanceState::Created)
        {
            runtime.start(&name).await?;
        }
        let limit = engine.inner.config.release_command_timeout;
        let exit = self
            .with_output(|sink| {
                let name = name.clone();
                async move {
                    tokio::select! {
                        exit = run_to_end(runtime, &name, &*sink) => exit,
                        () = engine.sleep(limit) => Err(failed(&name, &format!("took longer than {} s", limit.as_secs()), &[])),
                    }
                }
            })
            .await?;
        if exit.code != 0 {
            let lines = engine.last_lines(runtime, &name).await;
            let error = failed(&name, &format!("(the release command) {exit}"), &lines);
            return Err(error);
        }
        self.row.value.made.release_command = true;
        self.commit().await?;
        runtime.remove(&name).await
    }

    /// stop old (recreate only), create, start, health, switch.
    async fn replace(&mut self, row: &ReleaseRow) -> Result<()> {
        let (engine, id) = (self.engine, self.row.value.id);
        let release = &row.release;
        let runtime = engine.runtime(release.artifact.runtime)?;
        // Who deploys a stopped app wants it to run; it stays stopped if the deployment fails. A change of its environment
        // or a restart does not start it.
        let asked_to_run =
            matches!(self.row.value.kind, DeploymentKind::Deploy { .. } | DeploymentKind::Rollback { .. });
        self.starts = asked_to_run && self.app.app.desired == Desired::Stopped;
        if self.starts {
            self.app.app.desired = Desired::Running;
        }
        let wanted = engine.wanted(&self.app, release, id);
        if release.settings.strategy == Strategy::Recreate && self.app.app.live.is_some() {
            self.begin(Step::StopOld).await?;
            let old = self.others(runtime).await?;
            let grace = self.app.app.settings.stop_grace();
            futures_util::future::try_join_all(old.iter().map(|name| runtime.stop(name, grace))).await?;
        }
        self.begin(Step::Create).await?;
        engine.create(runtime, row, id, &wanted).await?;
        self.begin(Step::Start).await?;
        engine.start(runtime, row, &wanted).await?;
        self.begin(Step::Health).await?;
        self.upstreams = engine.ready(runtime, &wanted, &release.settings.health, true).await?;
        self.switch(row, &wanted).await
    }

    /// The commit point: one store commit makes the release live and changes the routes.
    async fn switch(&mut self, row: &ReleaseRow, wanted: &[Wanted]) -> Result<()> {
        self.begin(Step::Switch).await?;
        let (engine, release, id) = (self.engine, &row.release, self.row.value.id);
        let (upstreams, starts) = (std::mem::take(&mut self.upstreams), self.starts);
        let live = Live { release: release.id, number: release.number, deployment: id, upstreams };
        let kind = self.row.value.kind.clone();
        self.row.value.made.replaced = self.app.app.live.as_ref().map(|live| live.deployment);
        // From here on the deployment is past its commit point: a restart goes on with draining.
        self.done(Step::Switch)?;
        self.row.value.step = Some(Step::Drain);
        self.intend(Step::Drain)?;
        self.commit_app(|app, change| {
            if app.deleting.is_some() {
                return Err(Error::new(Code::Cancelled, "the app is being destroyed"));
            }
            if starts {
                app.app.desired = Desired::Running;
            }
            app.app.live = Some(live.clone());
            app.app.runtime = Some(release.artifact.runtime);
            match &kind {
                DeploymentKind::Rollback { .. } => {
                    app.app.settings = release.settings.clone();
                    change.put(&EnvRow { app: release.app, vars: engine.thaw(row)? })?;
                }
                DeploymentKind::Deploy { source, .. } if !matches!(source, Source::Upload { .. }) => {
                    app.app.source.get_or_insert_with(|| source.clone());
                }
                _ => {}
            }
            if engine.wanted(app, release, id) != wanted {
                // Scaled meanwhile: this executor converges right after this deployment.
                change.wake(release.app);
            }
            change.routes(release.app);
            Ok(())
        })
        .await
    }

    // ---- the steps after it ----

    async fn after_switch(&mut self) -> Result<()> {
        let engine = self.engine;
        let release =
            self.row.value.made.release.ok_or_else(|| Error::internal("a deployment switched without a release"))?;
        let release = self.load_release(release).await?.release;
        let runtime = engine.runtime(release.artifact.runtime)?;
        engine.routed(self.app.app.id).await?;
        let old = self.others(runtime).await?;
        if self.row.value.step == Some(Step::Drain) {
            engine.drain(&old, self.app.app.settings.drain_timeout()).await?;
            self.begin(Step::Retire).await?;
        }
        engine.take_down(runtime, &old, self.app.app.settings.stop_grace()).await?;
        engine.inner.backends.fetcher.discard(self.row.value.id).await?;
        self.done(Step::Retire)?;
        engine.end(&mut self.pending, &mut self.row, DeploymentState::Live, None)?;
        self.pending.put(&PruneRow { app: self.app.app.id })?;
        engine.commit(std::mem::take(&mut self.pending)).await?;
        Ok(())
    }

    /// Instances of the app that this deployment did not start, one-off runs of people left alone.
    async fn others(&self, runtime: &dyn Runtime) -> Result<BTreeSet<InstanceName>> {
        let id = self.row.value.id;
        let observed = self.engine.observe(runtime, self.app.app.id).await?;
        Ok(observed.into_iter().filter(|i| i.labels.deployment != id && !i.labels.one_off).map(|i| i.name).collect())
    }

    // ---- failure ----

    /// Removes what this deployment made and writes why it failed. Until that is done the executor tries again.
    async fn undo(&mut self, error: Error) -> Result<()> {
        let (engine, id, app) = (self.engine, self.row.value.id, self.app.app.id);
        self.pending = Change::default();
        let current = engine.repo().get::<Deployment>(id).await?.ok_or_else(|| Error::not_found("deployment", id))?;
        if current.value.step.is_some_and(|step| step >= Step::Drain) {
            // The switch was committed although its answer was lost: only forward.
            self.row = current;
            return self.after_switch().await;
        }
        self.row.revision = current.revision;
        // What is in memory may be ahead: a switch that was being committed has not happened.
        self.row.value.step = current.value.step;
        let problem = error.problem("");
        if current.value.error.as_ref() != Some(&problem) {
            // Written before the first thing is undone: an interrupted undo goes on, and does not begin again from the
            // front, with a release command that has been run.
            self.row.value.error = Some(problem);
            self.commit().await?;
        }
        for runtime in engine.inner.backends.runtimes.values() {
            let observed = match engine.observe(&**runtime, app).await {
                Ok(observed) => observed,
                // A runtime that does not answer cannot be cleaned now; the reconciler removes what nobody owns.
                Err(fault) if fault.is_transient() => continue,
                Err(fault) => return Err(fault),
            };
            let made = observed
                .into_iter()
                .filter(|instance| instance.labels.deployment == id)
                .map(|instance| instance.name)
                .collect();
            engine.take_down(&**runtime, &made, crate::model::Millis::from_secs(2)).await?;
        }
        engine.inner.backends.fetcher.discard(id).await?;
        let made_release = matches!(self.row.value.kind, DeploymentKind::Deploy { .. } | DeploymentKind::Config);
        if let Some(release) = self.row.value.made.release.take_if(|_| made_release) {
            self.pending.delete::<ReleaseRow>(release);
        }
        let state = if error.code() == Code::Cancelled { DeploymentState::Cancelled } else { DeploymentState::Failed };
        let row = &mut self.row;
        row.value.made.number = row.value.made.number.filter(|_| !made_release);
        engine.end(&mut self.pending, row, state, Some(error))?;
        self.pending.put(&PruneRow { app })?;
        engine.commit(std::mem::take(&mut self.pending)).await?;
        Ok(())
    }

    // ---- the journal ----

    /// Ends the step before and begins this one: one commit with done, intent and the events in between.
    async fn begin(&mut self, step: Step) -> Result<()> {
        if let Some(before) = self.row.value.step.filter(|before| *before != step) {
            self.done(before)?;
        }
        self.row.value.step = Some(step);
        self.intend(step)?;
        self.commit().await
    }

    fn intend(&mut self, step: Step) -> Result<()> {
        self.began = self.engine.now();
        self.pending.append(journal(self.row.value.id), json!({ "at": self.began, "step": step, "phase": "intent" }));
        self.tell(EventKind::StepStarted { step })
    }

    fn done(&mut self, step: Step) -> Result<()> {
        let now = self.engine.now();
        let millis = now.duration_since(self.began).as_millis().try_into().unwrap_or_default();
        self.pending.append(journal(self.row.value.id), json!({ "at": now, "step": step, "phase": "done" }));
        self.tell(EventKind::StepDone { step, millis })
    }

    fn tell(&mut self, what: EventKind) -> Result<()> {
        self.engine.tell(&mut self.pending, &self.row.value, what)
    }

    /// Writes deployment and app with everything pending. Handlers write the app too: a change that came in between is
    /// read, and `edit` is done to what is there now.
    async fn commit_app(&mut self, edit: impl Fn(&mut AppRow, &mut Change) -> Result<()>) -> Result<()> {
        for tries in 1.. {
            let mut app = self.engine.repo().app(self.app.app.id).await?;
            let mut change = self.pending.clone();
            edit(&mut app.value, &mut change)?;
            change.update(&app)?;
            change.update(&self.row)?;
            match self.engine.commit(change).await {
                Err(error) if error.code() == Code::Conflict && tries < 8 => {}
                Err(error) => return Err(error),
                Ok(revision) => {
                    self.row.revision = revision;
                    self.pending = Change::default();
                    self.app = app.value;
                    return Ok(());
                }
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Writes the deployment with everything pending.
    async fn commit(&mut self) -> Result<()> {
        let mut change = std::mem::take(&mut self.pending);
        change.update(&self.row)?;
        self.row.revision = self.engine.commit(change).await?;
        Ok(())
    }

    async fn load_release(&self, id: ReleaseId) -> Result<ReleaseRow> {
        let row = self.engine.repo().get::<ReleaseRow>(id).await?;
        row.map(|row| row.value).ok_or_else(|| Error::not_found("release", id))
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
        let Some(row) = self.engine.repo().get::<EnvRow>(app).await? else { return Ok(BTreeMap::new()) };
        row.value.vars.iter().map(|var| Ok((var.key.clone(), self.engine.open_var(app, var)?))).collect()
    }

    /// Runs an effect, and stores what it prints as events while it works.
    async fn with_output<T, F>(&self, effect: impl FnOnce(Arc<Output>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let output = Arc::new(Output::default());
        let mut effect = pin!(effect(output.clone()));
        loop {
            let done = tokio::select! {
                biased;
                done = &mut effect => Some(done),
                () = self.engine.sleep(OUTPUT_PAUSE) => None,
            };
            let mut change = Change::default();
            for (stream, lines) in output.take() {
                self.engine.tell(&mut change, &self.row.value, EventKind::Output { stream, lines })?;
            }
            self.engine.commit(change).await?;
            if let Some(done) = done {
                return done;
            }
        }
    }
}

/// Lines that wait to be stored. Bounded: what comes too fast is counted and left out.
#[derive(Default)]
struct Output(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lines: Vec<(LogStream, String)>,
    taken: usize,
}

impl Output {
    /// What has come since the last time, runs of one pipe together.
    fn take(&self) -> Vec<(LogStream, Vec<String>)> {
        let mut runs: Vec<(LogStream, Vec<String>)> = Vec::new();
        for (stream, line) in std::mem::take(&mut lock(&self.0).lines) {
            match runs.last_mut() {
                Some((last, lines)) if *last == stream => lines.push(line),
                _ => runs.push((stream, vec![line])),
            }
        }
        runs
    }
}

impl OutputSink for Output {
    fn line(&self, stream: LogStream, line: &str) {
        let mut waiting = lock(&self.0);
        waiting.taken += 1;
        match waiting.taken {
            ..OUTPUT_LINES => waiting.lines.push((stream, clipped(line))),
            OUTPUT_LINES => waiting.lines.push((stream, format!("(output after {OUTPUT_LINES} lines is left out)"))),
            _ => {}
        }
    }
}

/// One line of at most 4 KiB, cut at a character.
fn clipped(line: &str) -> String {
    line[..line.floor_char_boundary(4096)].to_owned()
}

/// Follows a one-off run to its end.
async fn run_to_end(runtime: &dyn Runtime, name: &InstanceName, sink: &dyn OutputSink) -> Result<Exit> {
    let mut lines = runtime.logs(name, None, true).await?;
    while let Some(line) = lines.next().await {
        let line = line?;
        sink.line(line.stream, &line.text);
    }
    runtime.wait(name).await
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
