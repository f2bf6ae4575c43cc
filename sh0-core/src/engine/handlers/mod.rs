//! What each operation does: it reads, checks, and fills a batch. Effects on the world are left to the executors.

mod apps;
mod deployments;
mod env;
mod export;
mod instances;
mod misc;
mod platform;
mod tokens;

use super::repo::{AppRow, Row};
use super::{Authorized, Engine};
use crate::model::{
    AppId, AppRef, Deployment, DeploymentId, DeploymentKind, DeploymentState, Made, Page, Project, ProjectRef,
};
use crate::{Code, Error, Result};

impl Engine {
    pub(crate) async fn find_project(&self, reference: &ProjectRef) -> Result<Project> {
        let found = match reference {
            ProjectRef::Id(id) => self.repo().get::<Project>(id).await?,
            ProjectRef::Name(name) => self.repo().find::<Project>(name.as_str()).await?,
        };
        found.map(|row| row.value).ok_or_else(|| Error::not_found("project", reference))
    }

    /// The app that a caller names; one that is being destroyed is gone already.
    pub(crate) async fn find_app(&self, reference: &AppRef) -> Result<Row<AppRow>> {
        let found = match reference {
            AppRef::Id(id) => self.repo().get::<AppRow>(id).await?,
            AppRef::Name(project, name) => {
                let project = self.find_project(project).await?;
                self.repo().find::<AppRow>(&AppRow::name_key(project.id, name)).await?
            }
        };
        match found {
            Some(row) if row.value.deleting.is_none() => Ok(row),
            _ => Err(Error::not_found("app", reference)),
        }
    }

    /// The same, for a caller who changes what the app's users can notice: what serves, where it answers, its data. The one
    /// place where a lock refuses; handlers that only store something for a later deployment ask [`Engine::find_app`].
    pub(crate) async fn find_unlocked(&self, reference: &AppRef) -> Result<Row<AppRow>> {
        let row = self.find_app(reference).await?;
        let Some(lock) = &row.value.app.lock else { return Ok(row) };
        let reason = if lock.reason.is_empty() { "no reason given" } else { &lock.reason };
        let text = format!(
            "`{}` was locked by {} ({reason}); unlock it first: `sh0 unlock -a {reference}`",
            row.value.app.name, lock.by
        );
        Err(Error::new(Code::Locked, text))
    }

    /// Puts a deployment in the app's queue. The app's record is written too: a destroy, or another deployment, that comes
    /// in between makes the handler read again.
    pub(crate) fn enqueue(&self, cx: &Authorized, app: &Row<AppRow>, kind: DeploymentKind) -> Result<Deployment> {
        let deployment = Deployment {
            id: DeploymentId::new(self.inner.backends.clock.ulid()),
            app: app.value.app.id,
            kind,
            state: DeploymentState::Queued,
            step: None,
            made: Made::default(),
            error: None,
            created_by: cx.principal().to_string(),
            created_at: self.now(),
            started_at: None,
            finished_at: None,
        };
        let mut change = cx.change();
        change.update(app)?;
        change.create(&deployment)?;
        self.tell(
            &mut change,
            &deployment,
            crate::model::EventKind::State { state: DeploymentState::Queued, error: None },
        )?;
        change.wake(app.value.app.id);
        Ok(deployment)
    }
}

/// Cuts a list that was read one longer than asked, and says where to go on.
fn page<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(cursor);
    Page { items, next_cursor }
}

/// Cursors of lists are the ids of their items.
fn cursor(given: Option<String>) -> Result<Option<String>> {
    let id = given.map(|text| text.parse::<AppId>()).transpose();
    id.map(|id| id.map(String::from)).map_err(|_| {
        Error::invalid("cursor", "is not one that a list has given", "take `next_cursor` of the page before")
    })
}

fn limit(asked: Option<u32>) -> Result<usize> {
    match asked.unwrap_or(100) {
        limit @ 1..=1000 => Ok(limit as usize),
        other => Err(Error::invalid("limit", format!("is {other}"), "use 1 to 1000")),
    }
}
