//! An app as the files of another platform.

use std::collections::BTreeSet;

use crate::engine::instances::container_port;
use crate::engine::repo::ReleaseRow;
use crate::engine::{Authorized, Engine, Handle};
use crate::model::{Domain, Export, Plan};
use crate::ops::apps::ExportApp;
use crate::traits::{ExportDomain, ExportEnv, ExportInput};
use crate::{Error, Result};

impl Handle<ExportApp> for Engine {
    async fn handle(&self, op: ExportApp, _: &Authorized) -> Result<Export> {
        let app = self.find_app(&op.app).await?.value.app;
        let Some(live) = &app.live else {
            let text = format!("`{}` was not deployed yet; deploy it, or export its folder", app.name);
            return Err(Error::conflict(text));
        };
        let row = self.repo().get::<ReleaseRow>(live.release).await?;
        let release = row.ok_or_else(|| Error::not_found("release", live.release))?.value.release;
        let domains = self.repo().list::<Domain>(|query| query.of(app.id.to_string())).await?;
        let domains = domains.iter().map(|row| ExportDomain {
            host: row.value.host.as_str().to_owned(),
            path: row.value.path.as_ref().map(|path| path.as_str().to_owned()),
        });
        // What an image says of its port is known only where it was pulled.
        let plan = Plan { port: Some(container_port(&release)), ..release.plan };
        let input = ExportInput {
            name: &app.name,
            plan: &plan,
            settings: &release.settings,
            scale: app.scale,
            env: release.env.into_iter().map(|key| (key, ExportEnv::Secret)).collect(),
            domains: domains.collect::<BTreeSet<_>>().into_iter().collect(),
            crons: Vec::new(),
            image: release.artifact.image.map(|image| image.to_string()),
        };
        Ok(self.inner.backends.planner.export(&input, op.to))
    }
}
