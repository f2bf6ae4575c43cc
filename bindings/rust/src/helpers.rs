//! What callers want in one step, though it takes more than one operation.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use sh0_core::model::{
    App, AppId, AppName, AppRef, AppSettings, Deployment, DeploymentId, DeploymentState, Destroying, Event, Page,
    ProjectRef, RuntimeKind, Source, Support, suggest_label,
};
use sh0_core::ops::apps::{CreateApp, DeleteApp, GetApp, ListApps, UpdateApp};
use sh0_core::ops::deployments::CreateDeployment;
use sh0_core::ops::fields::{has, merge};
use sh0_core::ops::platform::{Doctor, GetStatus};
use sh0_core::ops::projects::ListProjects;
use sh0_core::ops::{OpDef, Operation, find};
use sh0_core::{Code, Error, Result};

use crate::Sh0;

/// Apps that are not gone after so many looks stay.
const LOOKS: u32 = 3000;
const BETWEEN: Duration = Duration::from_millis(100);

/// The name of the app that a folder is deployed as when nobody says: the folder's, or what comes nearest.
pub(crate) fn name_of_folder(folder: &Path) -> Result<AppName> {
    let folder = std::fs::canonicalize(folder)?;
    Ok(suggest_label(&folder.file_name().unwrap_or_default().to_string_lossy()).parse()?)
}

/// A deployment, and where its app answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Released {
    /// The app.
    pub app: AppName,
    /// The address that comes first.
    pub url: Option<String>,
    /// Every address.
    pub urls: Vec<String>,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The number of the release that it made, once it has.
    pub release: Option<u64>,
    /// How far it is.
    pub state: DeploymentState,
}

impl fmt::Display for Released {
    /// What comes before the addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.release {
            Some(number) => write!(f, "{} v{number} is live at", self.app),
            None => write!(f, "deployment {} of {} has begun; it will answer at", self.deployment, self.app),
        }
    }
}

/// An app that was destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Destroyed {
    /// Its name.
    pub app: AppName,
    /// Nothing is left of it.
    pub gone: bool,
}

impl fmt::Display for Destroyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gone {
            true => write!(f, "{} is gone", self.app),
            false => write!(f, "{} is being destroyed; `sh0 status` tells when it is gone", self.app),
        }
    }
}

impl Sh0 {
    /// What whoever is about to deploy should know first: that processes of this host are not kept from the platform's
    /// files, where apps that say nothing else run as such. In the words of `doctor`.
    pub async fn caution(&self, runtime: Option<RuntimeKind>) -> Result<Option<String>> {
        let parts = self.call(Doctor::default()).await?.items;
        let named = |name: &str| parts.iter().find(|part| part.name == name);
        let docker = runtime != Some(RuntimeKind::Process) && named("runtime docker").is_some();
        let process = named("runtime process").filter(|_| !docker && runtime != Some(RuntimeKind::Docker));
        let hidden = process.and_then(|part| part.capabilities.iter().find(|one| one.name == "hidden platform files"));
        Ok(hidden.and_then(|one| match &one.support {
            Support::No { reason } => Some(format!("apps are not kept away from the platform: {reason}")),
            _ => None,
        }))
    }

    /// The app, if there is one.
    pub async fn find_app(&self, app: &AppRef) -> Result<Option<App>> {
        match self.call(GetApp { app: app.clone() }).await {
            Ok(app) => Ok(Some(app)),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deploys an app, which is created when there is none of this name, at its own `port` if that is given: another one
    /// than it had takes effect at once. Answers at once: [`follow`](Sh0::follow) what happens, or wait for it with
    /// [`finished`](Sh0::finished).
    pub async fn deploy(&self, create: CreateDeployment, port: Option<u16>) -> Result<Deployment> {
        let known = match self.find_app(&create.app).await? {
            None => self.create_for(&create, port).await?,
            known => known,
        };
        if let (Some(app), Some(port)) = (known, port)
            && app.port != port
        {
            self.call(serde_json::from_value::<UpdateApp>(json!({ "app": app.id, "port": port }))?).await?;
        }
        self.call(create).await
    }

    /// Deploys an app as [`deploy`](Sh0::deploy) does, and says where it answers. With `wait` that is once its release
    /// serves, an error when it does not come to that; `see` gets to see what happens meanwhile.
    pub async fn release(
        &self,
        create: CreateDeployment,
        port: Option<u16>,
        wait: bool,
        see: impl Fn(&Event) + Send,
    ) -> Result<Released> {
        let mut deployment = self.deploy(create, port).await?;
        if wait {
            deployment = self.watched(&deployment, see).await?;
            deployment.outcome()?;
        }
        let App { name, urls, .. } = self.call(GetApp { app: deployment.app.into() }).await?;
        let Deployment { id, state, made, .. } = deployment;
        Ok(Released { app: name, url: urls.first().cloned(), urls, deployment: id, release: made.number, state })
    }

    /// Answers the app if somebody else was quicker.
    async fn create_for(&self, create: &CreateDeployment, port: Option<u16>) -> Result<Option<App>> {
        let AppRef::Name(project, name) = &create.app else { return Err(Error::not_found("app", &create.app)) };
        let new = json!({ "project": project, "name": name, "runtime": create.runtime, "port": port });
        let created = self.call(serde_json::from_value::<CreateApp>(new)?).await;
        match created {
            Err(error) if error.code() == Code::Conflict => self.find_app(&create.app).await?.map(Some).ok_or(error),
            created => created.map(|_| None),
        }
    }

    /// The app that a folder is deployed as: of this name, or when nobody says of the folder's, or what comes nearest; that
    /// is a conflict where it is an app of another source.
    pub async fn app_of_folder(&self, folder: &Path, source: &Source, name: Option<AppName>) -> Result<AppRef> {
        if let Some(name) = name {
            return Ok(name.into());
        }
        let app = AppRef::from(name_of_folder(folder)?);
        match self.find_app(&app).await?.and_then(|app| app.source) {
            Some(known) if known != *source => Err(Error::conflict(format!(
                "the app {app} is there already, from another source; name this one with --name"
            ))),
            _ => Ok(app),
        }
    }

    /// Calls an operation with its type erased; where it lists, all pages come as one. Pages that were asked for by
    /// `limit`, `tail` or a cursor are left as they are.
    pub async fn call_whole(&self, op: &'static OpDef, input: Value) -> Result<Value> {
        let door = self.dispatch();
        let mut output = door.call(op, input.clone()).await?;
        let Some(cursor) = ["cursor", "after"].into_iter().find(|field| has(op, field)) else { return Ok(output) };
        if ["limit", "tail", cursor].iter().any(|field| input.get(field).is_some()) {
            return Ok(output);
        }
        while let Some(next) = output["next_cursor"].as_str() {
            let mut input = input.clone();
            // Streams count their places, lists name them.
            input[cursor] = match next.parse::<u64>() {
                Ok(place) if cursor == "after" => place.into(),
                _ => next.into(),
            };
            let mut page: Page<Value> = serde_json::from_value(door.call(op, input).await?)?;
            if let Some(items) = output["items"].as_array_mut() {
                items.append(&mut page.items);
            }
            match (page.next_cursor, output.as_object_mut()) {
                (Some(next), Some(output)) => drop(output.insert("next_cursor".into(), next.into())),
                (_, Some(output)) => drop(output.remove("next_cursor")),
                (_, None) => break,
            }
        }
        Ok(output)
    }

    /// The settings of an app with changes laid over them (`null` takes away): what `apps.update` wants whole.
    pub async fn changed_settings(&self, app: &AppRef, changes: Value) -> Result<AppSettings> {
        let mut settings = serde_json::to_value(self.call(GetApp { app: app.clone() }).await?.settings)?;
        merge(&mut settings, changes);
        let wrong =
            |error: serde_json::Error| Error::invalid("settings", error.to_string(), "see the settings of an app");
        serde_json::from_value(settings).map_err(wrong)
    }

    /// The same for an input of `apps.update` that has only the changes; one without any is left as it is.
    pub async fn complete_settings(&self, input: &mut Value) -> Result<()> {
        let Some(changes) = input.get("settings").cloned() else { return Ok(()) };
        let app = serde_json::from_value(input["app"].clone())?;
        input["settings"] = serde_json::to_value(self.changed_settings(&app, changes).await?)?;
        Ok(())
    }

    /// Destroys every app of every project with all its data, and waits until nothing of them is left; answers how many
    /// there were. A locked app refuses it before anything is destroyed.
    pub async fn destroy_everything(&self) -> Result<u64> {
        let mut apps: Vec<App> = Vec::new();
        for project in self.call(ListProjects::default()).await?.items {
            let list = ListApps { project: ProjectRef::Id(project.id), cursor: None, limit: None };
            let op = find(ListApps::META.name).ok_or_else(|| Error::internal("there is no list of apps"))?;
            let page: Page<App> = serde_json::from_value(self.call_whole(op, serde_json::to_value(list)?).await?)?;
            apps.extend(page.items);
        }
        // A refusal comes first.
        apps.sort_by_key(|app| app.lock.is_none());
        for app in &apps {
            self.call(DeleteApp { app: app.id.into(), keep_volumes: false }).await?;
        }
        self.until_gone(|_| true).await?;
        Ok(apps.len() as u64)
    }

    /// Destroys an app, and waits until nothing is left of it if `wait`.
    pub async fn destroy(&self, delete: DeleteApp, wait: bool) -> Result<Destroyed> {
        let app = self.call(GetApp { app: delete.app.clone() }).await?;
        self.call(delete).await?;
        if wait {
            self.gone(app.id).await?;
        }
        Ok(Destroyed { app: app.name, gone: wait })
    }

    /// What somebody wants deployed: a git repository (with a reference behind `#`), an image, a folder of this machine.
    /// `None` stands for the app's own source, where that is no folder.
    pub async fn source(
        &self,
        app: &AppRef,
        git: Option<String>,
        image: Option<String>,
        folder: Option<PathBuf>,
    ) -> Result<Option<Source>> {
        Ok(match (git, image, folder) {
            (Some(git), _, _) => Some(Source::git(&git)?),
            (_, Some(image), _) => Some(Source::Image { image: image.parse()? }),
            (_, _, Some(folder)) => Some(self.folder(&folder).await?),
            _ => match self.find_app(app).await?.and_then(|app| app.source) {
                Some(Source::Git { .. } | Source::Image { .. }) => None,
                _ => Some(self.folder(".".as_ref()).await?),
            },
        })
    }

    /// Takes the deployment that an operation's output is, or has in it. With `wait` it waits until that has ended, which
    /// `see` gets to see, and the output has it as it is then.
    pub async fn settle(
        &self,
        output: &mut Value,
        wait: bool,
        see: impl Fn(&Event) + Send,
    ) -> Result<Option<Deployment>> {
        let whole = output.get("kind").is_some();
        let Some(slot) = (if whole { Some(output) } else { output.get_mut("deployment") }) else { return Ok(None) };
        let mut deployment: Deployment = serde_json::from_value(slot.clone())?;
        if wait {
            deployment = self.watched(&deployment, see).await?;
            *slot = serde_json::to_value(&deployment)?;
        }
        Ok(Some(deployment))
    }

    /// Waits until nothing is left of an app that is being destroyed.
    pub async fn gone(&self, app: AppId) -> Result<()> {
        self.until_gone(|going| going.id == app).await
    }

    async fn until_gone(&self, counts: impl Fn(&Destroying) -> bool + Send) -> Result<()> {
        for _ in 0..LOOKS {
            if !self.call(GetStatus::default()).await?.destroying.iter().any(&counts) {
                return Ok(());
            }
            tokio::time::sleep(BETWEEN).await;
        }
        let text = "it is still being destroyed; see the platform's log for what is in the way";
        Err(Error::new(Code::Timeout, text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use futures_util::stream::BoxStream;
    use sh0_core::ops::Dispatch;
    use sh0_core::traits::{ByteStream, Session};

    use super::*;

    /// Answers every question with this.
    struct Answer(Value);

    #[async_trait]
    impl Dispatch for Answer {
        async fn call(&self, _: &'static OpDef, _: Value) -> Result<Value> {
            Ok(self.0.clone())
        }

        async fn stream(&self, op: &'static OpDef, _: Value) -> Result<BoxStream<'static, Result<Value>>> {
            Err(Error::not_found("operation", op.meta.name))
        }

        async fn upload(&self, op: &'static OpDef, _: Value, _: ByteStream) -> Result<Value> {
            Err(Error::not_found("operation", op.meta.name))
        }

        async fn duplex(&self, op: &'static OpDef, _: Value) -> Result<Session> {
            Err(Error::not_found("operation", op.meta.name))
        }
    }

    #[tokio::test]
    async fn whoever_deploys_is_warned_where_apps_are_not_kept_away() -> Result<()> {
        let part = |name: &str, support: Value| {
            let capabilities = [json!({ "name": "hidden platform files", "support": support })];
            json!({ "name": name, "ok": true, "detail": "", "capabilities": capabilities })
        };
        let open = part("runtime process", json!({ "type": "no", "reason": "there is no wall" }));
        let closed = part("runtime process", json!({ "type": "degraded", "reason": "a low wall" }));
        let docker = part("runtime docker", json!({ "type": "yes" }));
        let warned = async |parts: &[&Value], runtime| {
            let platform = Sh0::over(Arc::new(Answer(json!({ "items": parts }))));
            platform.caution(runtime).await.map(|caution| caution.is_some_and(|text| text.contains("there is no wall")))
        };
        assert!(warned(&[&open], None).await?);
        assert!(warned(&[&open, &docker], Some(RuntimeKind::Process)).await?);
        assert!(!warned(&[&open, &docker], None).await?, "apps run in containers");
        assert!(!warned(&[&open], Some(RuntimeKind::Docker)).await?);
        assert!(!warned(&[&closed], None).await?);
        Ok(())
    }
}
