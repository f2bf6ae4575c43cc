//! The environment of apps.

use std::collections::BTreeMap;

use crate::engine::repo::{AppRow, Entity, EnvRow, ReleaseRow, Row};
use crate::engine::{Authorized, Engine, Handle, dotenv};
use crate::model::{AppId, AppRef, DeploymentKind, Desired, EnvKey, Revealed, SealedVar, Secret};
use crate::ops::env::*;
use crate::{Error, Result};

/// The largest value that Linux takes in an environment (`MAX_ARG_STRLEN`, 128 KiB with name and NUL).
const LARGEST_VALUE: usize = 128 * 1024 - 512;

/// Names that the platform itself sets.
const RESERVED: [&str; 5] = ["PORT", "SH0_RELEASE", "SH0_RELEASE_NUMBER", "SH0_REVISION", "SH0_PROCESS"];

impl Handle<ListEnv> for Engine {
    async fn handle(&self, op: ListEnv, _: &Authorized) -> Result<EnvNames> {
        let app = self.find_app(&op.app).await?.value.app.id;
        Ok(EnvNames { names: names(&self.env_row(app).await?.value.vars) })
    }
}

impl Handle<RevealEnv> for Engine {
    async fn handle(&self, op: RevealEnv, _: &Authorized) -> Result<EnvValues> {
        let app = self.find_app(&op.app).await?.value.app.id;
        let row = self.env_row(app).await?;
        let reveal = |var: &SealedVar| Ok((var.key.clone(), Revealed::new(self.open_var(app, var)?)));
        Ok(EnvValues { vars: row.value.vars.iter().map(reveal).collect::<Result<_>>()? })
    }
}

impl Handle<SetEnv> for Engine {
    async fn handle(&self, op: SetEnv, cx: &Authorized) -> Result<EnvChange> {
        self.change_env(&op.app, cx, op.stage, |_| false, op.vars).await
    }
}

impl Handle<UnsetEnv> for Engine {
    async fn handle(&self, op: UnsetEnv, cx: &Authorized) -> Result<EnvChange> {
        self.change_env(&op.app, cx, op.stage, |key| op.names.contains(key), BTreeMap::new()).await
    }
}

impl Handle<ImportEnv> for Engine {
    async fn handle(&self, op: ImportEnv, cx: &Authorized) -> Result<EnvChange> {
        let vars = dotenv::parse(op.content.expose())?;
        self.change_env(&op.app, cx, op.stage, |_| op.replace, vars).await
    }
}

impl Engine {
    /// Whether environment or settings have changed since the live release was made.
    pub(crate) async fn outdated(&self, app: &AppRow) -> Result<bool> {
        let Some(live) = &app.app.live else { return Ok(false) };
        let Some(release) = self.repo().get::<ReleaseRow>(live.release).await? else { return Ok(false) };
        let vars = self.env_row(app.app.id).await?.value.vars;
        Ok(release.value.release.settings != app.app.settings || !self.same_vars(app.app.id, &vars, &release.value)?)
    }

    async fn env_row(&self, app: AppId) -> Result<Row<EnvRow>> {
        self.repo().get::<EnvRow>(app).await?.ok_or_else(|| Error::not_found("environment of app", app))
    }

    /// Removes, then sets; a running app gets a new release of the same code, unless the change is only staged or there
    /// is none.
    async fn change_env(
        &self,
        app: &AppRef,
        cx: &Authorized,
        stage: bool,
        remove: impl Fn(&EnvKey) -> bool + Send,
        set: BTreeMap<EnvKey, Secret>,
    ) -> Result<EnvChange> {
        let found = self.find_app(app).await?;
        let app = &found.value;
        self.refuse_during_rollback(app.app.id).await?;
        let mut row = self.env_row(app.app.id).await?;
        let mut new = self.sealed(app.app.id, &set)?;
        let before = row.value.vars.clone();
        // Nothing is sealed twice the same way: what has the value already stays as it is. One that does not open is replaced.
        let same = |var: &SealedVar| {
            let value = set.get(&var.key);
            value.is_some_and(|value| self.open_var(app.app.id, var).is_ok_and(|had| had.expose() == value.expose()))
        };
        row.value.vars.retain(|var| match set.contains_key(&var.key) {
            true => same(var),
            false => !remove(&var.key),
        });
        new.retain(|var| !row.value.vars.iter().any(|kept| kept.key == var.key));
        row.value.vars.extend(new);
        row.value.vars.sort_by(|a, b| a.key.cmp(&b.key));
        let names = names(&row.value.vars);
        if row.value.vars == before {
            return Ok(EnvChange { names, changed: false, deployment: None });
        }
        {
            let mut change = cx.change();
            change.update(&row)?;
            // A rollback that is asked for meanwhile makes this read again.
            change.check::<AppRow>(found.value.id(), Some(found.revision));
        }
        let runs = app.app.live.is_some() && app.app.desired == Desired::Running && app.app.lock.is_none();
        let deployment = match runs && !stage {
            true => Some(self.enqueue(cx, &found, DeploymentKind::Config)?),
            false => None,
        };
        Ok(EnvChange { names, changed: true, deployment })
    }

    /// Checks and seals values for an app's environment.
    pub(crate) fn sealed(&self, app: AppId, vars: &BTreeMap<EnvKey, Secret>) -> Result<Vec<SealedVar>> {
        vars.iter()
            .map(|(key, secret)| {
                let field = || format!("vars.{key}");
                if RESERVED.contains(&key.as_str()) {
                    return Err(Error::invalid(
                        field(),
                        "is set by the platform itself",
                        "leave it out; the app finds it in its environment",
                    ));
                }
                check_value(field, secret)?;
                Ok(SealedVar { key: key.clone(), value: self.seal_var(app, key, secret)? })
            })
            .collect()
    }
}

/// Refuses a value that no environment can hold.
pub(super) fn check_value(field: impl Fn() -> String, value: &Secret) -> Result<()> {
    if value.expose().contains('\0') {
        return Err(Error::invalid(field(), "contains a NUL byte", "an environment variable cannot hold one"));
    }
    if value.expose().len() > LARGEST_VALUE {
        return Err(Error::invalid(field(), "is larger than 127.5 KiB", "keep large data in a file on a volume"));
    }
    Ok(())
}

fn names(vars: &[SealedVar]) -> Vec<EnvKey> {
    vars.iter().map(|var| var.key.clone()).collect()
}
