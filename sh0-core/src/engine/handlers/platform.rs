//! The platform itself.

use serde::Deserialize;

use crate::engine::repo::{AUDIT, AppRow};
use crate::engine::{Authorized, Engine, Handle, ShutdownRequest};
use crate::model::{AuditRow, Deployment, Destroying, Page, Part, Status, Timestamp};
use crate::ops::audit::ListAudit;
use crate::ops::platform::*;
use crate::{Error, Result};

impl Handle<GetStatus> for Engine {
    async fn handle(&self, _: GetStatus, _: &Authorized) -> Result<Status> {
        let config = &self.inner.config;
        let generation = *self.inner.generation.borrow();
        let apps = self.repo().list::<AppRow>(|query| query).await?;
        let going = apps.iter().map(|row| &row.value).filter(|row| row.deleting.is_some());
        Ok(Status {
            version: config.version.clone(),
            platform: self.inner.platform.id,
            pid: std::process::id(),
            started_at: self.inner.started_at,
            data: config.data.display().to_string(),
            apps: apps.len() as u64,
            destroying: going.map(|row| Destroying { id: row.app.id, name: row.app.name.clone() }).collect(),
            deployments: self.repo().list::<Deployment>(|query| query.with("open", "yes")).await?.len() as u64,
            listen: config.listen.iter().map(ToString::to_string).collect(),
            generation,
            parts: self.parts().await,
        })
    }
}

impl Handle<Doctor> for Engine {
    async fn handle(&self, _: Doctor, _: &Authorized) -> Result<Page<Part>> {
        let mut parts = self.parts().await;
        for part in &mut parts {
            for (kind, runtime) in &self.inner.backends.runtimes {
                if part.name == format!("runtime {kind}") {
                    part.capabilities = runtime.capabilities().await;
                }
            }
        }
        Ok(Page::whole(parts))
    }
}

impl Handle<Shutdown> for Engine {
    async fn handle(&self, op: Shutdown, _: &Authorized) -> Result<()> {
        self.inner.shutdown.send_replace(Some(ShutdownRequest { stop_apps: op.stop_apps }));
        Ok(())
    }
}

impl Handle<ListAudit> for Engine {
    async fn handle(&self, op: ListAudit, _: &Authorized) -> Result<Page<AuditRow>> {
        let limit = super::limit(op.limit)?;
        let entries = self.inner.backends.store.read(AUDIT, op.after.unwrap_or(0), limit + 1).await?;
        let rows = entries.into_iter().map(|entry| {
            let Stored { at, actor, operation, input, request_id } = serde_json::from_value(entry.body)?;
            Ok(AuditRow { cursor: entry.seq, at, actor, operation, input, request_id })
        });
        Ok(super::page(rows.collect::<Result<Vec<_>>>()?, limit, |row| row.cursor.to_string()))
    }
}

#[derive(Deserialize)]
struct Stored {
    at: Timestamp,
    actor: String,
    operation: String,
    input: serde_json::Value,
    request_id: String,
}

impl Engine {
    /// Every part, and whether it answers.
    async fn parts(&self) -> Vec<Part> {
        let backends = &self.inner.backends;
        let mut parts = Vec::new();
        for (kind, runtime) in &backends.runtimes {
            parts.push(part(format!("runtime {kind}"), runtime.info().await));
        }
        let proxy = backends.proxy.status().await.map(|status| {
            let failed: Vec<_> = status.failed_listeners.iter().map(|(addr, why)| format!("{addr}: {why}")).collect();
            match failed.is_empty() {
                true => format!("{}, routes of generation {}", backends.proxy.name(), status.generation),
                false => format!("{}; it cannot listen on {}", backends.proxy.name(), failed.join(", ")),
            }
        });
        let mut proxy = part("proxy".to_owned(), proxy);
        proxy.ok &= !proxy.detail.contains("cannot listen");
        proxy.capabilities = backends.proxy.capabilities();
        parts.push(proxy);
        let store = backends.store.read(AUDIT, u64::MAX >> 1, 1).await;
        parts.push(part("store".to_owned(), store.map(|_| backends.store.name())));
        parts
    }
}

fn part(name: String, answer: Result<String, Error>) -> Part {
    let (ok, detail) = match answer {
        Ok(detail) => (true, detail),
        Err(error) => (false, error.to_string()),
    };
    Part { name, ok, detail, capabilities: Vec::new() }
}
