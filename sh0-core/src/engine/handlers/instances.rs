//! What runs now, and commands inside it.

use std::collections::BTreeMap;

use super::env::check_value;
use crate::engine::instances::WEB;
use crate::engine::repo::{AppRow, ReleaseRow};
use crate::engine::{Authorized, Converse, Engine, Handle};
use crate::model::{Instance, InstanceName, Live, Page};
use crate::ops::instances::*;
use crate::traits::{CommandLine, ExecSpec, Observed, Runtime, Session};
use crate::{Error, Result};

impl Handle<ListInstances> for Engine {
    async fn handle(&self, op: ListInstances, _: &Authorized) -> Result<Page<Instance>> {
        let app = self.find_app(&op.app).await?.value;
        let serving =
            |name: &InstanceName| app.app.live.iter().flat_map(|live| &live.upstreams).any(|up| up.instance == *name);
        let mut instances: Vec<Instance> = self
            .running(&app)
            .await?
            .into_iter()
            .map(|o| Instance {
                serving: serving(&o.name),
                name: o.name,
                app: o.labels.app,
                release: o.labels.release,
                deployment: o.labels.deployment,
                process: o.labels.process,
                index: o.labels.index,
                state: o.state,
                restarts: o.restarts,
                started_at: o.started_at,
            })
            .collect();
        instances.sort_by(|a, b| (&a.process, a.index, &a.name).cmp(&(&b.process, b.index, &b.name)));
        Ok(Page::whole(instances))
    }
}

impl Handle<ListUsage> for Engine {
    async fn handle(&self, op: ListUsage, _: &Authorized) -> Result<Page<InstanceUsage>> {
        let app = self.find_app(&op.app).await?.value;
        let mut items = Vec::new();
        if let Some(kind) = app.app.runtime {
            let runtime = self.runtime(kind)?;
            for observed in self.running(&app).await?.into_iter().filter(|o| o.state.is_running()) {
                items.push(InstanceUsage { usage: runtime.usage(&observed.name).await?, instance: observed.name });
            }
        }
        Ok(Page::whole(items))
    }
}

impl Converse<Exec> for Engine {
    async fn converse(&self, op: Exec, _: &Authorized) -> Result<Session> {
        let app = self.find_app(&op.app).await?.value;
        let command = command(op.command)?;
        let process = op.process.as_ref().map_or(WEB, |process| process.as_str());
        let fits = |o: &Observed| match &op.instance {
            Some(name) => o.name == *name,
            None => o.labels.process.as_str() == process && !o.labels.one_off,
        };
        let found = self.running(&app).await?.into_iter().find(|o| o.state.is_running() && fits(o));
        let Some(found) = found else {
            let text = format!("`{}` has no running instance of `{process}` now; see `instances.list`", app.app.name);
            return Err(Error::conflict(text));
        };
        let (_, runtime) = self.live_runtime(&app)?;
        runtime.exec(&found.name, &ExecSpec { command, env: BTreeMap::new(), terminal: op.terminal }).await
    }
}

impl Converse<Run> for Engine {
    async fn converse(&self, op: Run, _: &Authorized) -> Result<Session> {
        let app = self.find_app(&op.app).await?.value;
        let command = command(op.command)?;
        op.env.iter().try_for_each(|(key, value)| check_value(|| format!("env.{key}"), value))?;
        let (live, runtime) = self.live_runtime(&app)?;
        let release = self.repo().get::<ReleaseRow>(live.release).await?;
        let release = release.ok_or_else(|| Error::not_found("release", live.release))?.value;
        let name = InstanceName::one_off(self.inner.backends.clock.ulid());
        let mut spec = self.one_off(&release, live.deployment, name, "run", command)?;
        spec.env.extend(op.env);
        spec.terminal = op.terminal;
        runtime.run(&spec).await
    }
}

impl Engine {
    /// The app's instances, as its runtime shows them.
    async fn running(&self, app: &AppRow) -> Result<Vec<Observed>> {
        match app.app.runtime {
            Some(kind) => self.observe(self.runtime(kind)?, app.app.id).await,
            None => Ok(Vec::new()),
        }
    }

    fn live_runtime<'a>(&'a self, app: &'a AppRow) -> Result<(&'a Live, &'a dyn Runtime)> {
        match (&app.app.live, app.app.runtime) {
            (Some(live), Some(kind)) => Ok((live, self.runtime(kind)?)),
            _ => Err(Error::conflict(format!("`{}` was not deployed yet; deploy it first", app.app.name))),
        }
    }
}

fn command(words: Vec<String>) -> Result<CommandLine> {
    let hint = "give program and arguments, such as [\"ls\", \"-l\"]";
    if words.first().is_none_or(String::is_empty) {
        return Err(Error::invalid("command", "is empty", hint));
    }
    if words.len() > 1000 || words.iter().any(|word| word.contains('\0') || word.len() > 128 * 1024) {
        return Err(Error::invalid("command", "has too many or too long words, or a NUL byte", hint));
    }
    Ok(CommandLine::Exec(words))
}
