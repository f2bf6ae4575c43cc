//! What callers want in one step, though it takes more than one operation.

use std::time::Duration;

use serde_json::{Value, json};
use sh0_core::model::{App, AppRef, AppSettings, Deployment, Page, ProjectRef};
use sh0_core::ops::OpDef;
use sh0_core::ops::apps::{CreateApp, DeleteApp, GetApp, ListApps};
use sh0_core::ops::deployments::CreateDeployment;
use sh0_core::ops::fields::{has, merge};
use sh0_core::ops::platform::GetStatus;
use sh0_core::ops::projects::ListProjects;
use sh0_core::{Code, Error, Result};

use crate::Sh0;

/// Apps that are not gone after so many looks stay.
const LOOKS: u32 = 3000;
const BETWEEN: Duration = Duration::from_millis(100);

impl Sh0 {
    /// The app, if there is one.
    pub async fn find_app(&self, app: &AppRef) -> Result<Option<App>> {
        match self.call(GetApp { app: app.clone() }).await {
            Ok(app) => Ok(Some(app)),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deploys an app, which is created when there is none of this name; `port` is for a new one. Answers at once:
    /// [`follow`](Sh0::follow) what happens, or wait for it with [`finished`](Sh0::finished).
    pub async fn deploy(&self, create: CreateDeployment, port: Option<u16>) -> Result<Deployment> {
        if self.find_app(&create.app).await?.is_none() {
            let AppRef::Name(project, name) = &create.app else { return Err(Error::not_found("app", &create.app)) };
            let new = json!({ "project": project, "name": name, "runtime": create.runtime, "port": port });
            match self.call(serde_json::from_value::<CreateApp>(new)?).await {
                // Somebody else was quicker: it exists now.
                Err(error) if error.code() == Code::Conflict && self.find_app(&create.app).await?.is_some() => {}
                created => drop(created?),
            }
        }
        self.call(create).await
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

    /// Destroys every app of every project with all its data, and waits until nothing of them is left; answers how many
    /// there were.
    pub async fn destroy_everything(&self) -> Result<u64> {
        let there = self.call(GetStatus::default()).await?.apps;
        for project in self.call(ListProjects::default()).await?.items {
            let list = || ListApps { project: ProjectRef::Id(project.id), cursor: None, limit: None };
            let mut apps = self.call(list()).await?.items;
            while let Some(app) = apps.pop() {
                self.call(DeleteApp { app: app.id.into(), keep_volumes: false }).await?;
                if apps.is_empty() {
                    apps = self.call(list()).await?.items;
                }
            }
        }
        // An app leaves the lists at once, and the count when its last part is gone.
        for _ in 0..LOOKS {
            if self.call(GetStatus::default()).await?.apps == 0 {
                return Ok(there);
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Err(Error::new(
            Code::Timeout,
            "some apps are still being destroyed; see the platform's log for what is in the way",
        ))
    }
}
