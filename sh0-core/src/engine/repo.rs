//! Typed records over the store: every entity, its keys, and the batch that writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::Role;
use crate::model::{
    App, AppId, AppName, Deployment, DeploymentId, Domain, HostName, PlatformId, Project, ProjectId, Release,
    SealedVar, Timestamp, Token, TokenId, UrlPath,
};
use crate::traits::{Append, Batch, Check, Kind, Put, Query, Record, Store, Trim};
use crate::{Code, Error, Result};

/// Something that is stored as one record.
pub(crate) trait Entity: Serialize + DeserializeOwned + Send {
    const KIND: Kind;
    /// The version of the body's shape. Raise it with an upgrader in [`Row::read`] when the shape changes.
    const SCHEMA: u32 = 1;
    fn id(&self) -> String;
    fn parent(&self) -> String;
    fn unique(&self) -> Vec<String> {
        Vec::new()
    }
    fn indexes(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::new()
    }
}

/// An entity as it was read, with the revision that a later write checks.
#[derive(Debug, Clone)]
pub(crate) struct Row<T> {
    pub(crate) value: T,
    pub(crate) revision: u64,
}

impl<T: Entity> Row<T> {
    fn read(record: Record) -> Result<Self> {
        if record.schema > T::SCHEMA {
            let text = format!("the {} record `{}` was written by a newer sh0; update this one", T::KIND, record.id);
            return Err(Error::new(Code::Unsupported, text));
        }
        let value = serde_json::from_value(record.body)
            .map_err(|error| Error::from(error).context(format!("the {} record `{}`", T::KIND, record.id)))?;
        Ok(Row { value, revision: record.revision })
    }
}

/// Who the platform is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlatformRow {
    pub(crate) id: PlatformId,
    pub(crate) default_project: ProjectId,
}

impl PlatformRow {
    pub(crate) const ID: &'static str = "platform";
}

impl Entity for PlatformRow {
    const KIND: Kind = Kind("platform");
    fn id(&self) -> String {
        Self::ID.to_owned()
    }
    fn parent(&self) -> String {
        String::new()
    }
}

impl Entity for Project {
    const KIND: Kind = Kind("project");
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> String {
        String::new()
    }
    fn unique(&self) -> Vec<String> {
        vec![self.name.to_string()]
    }
}

/// An app, and what only the engine needs to know of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AppRow {
    pub(crate) app: App,
    /// The number of the next release.
    pub(crate) next_release: u64,
    /// Somebody asked to destroy it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deleting: Option<Deleting>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Deleting {
    pub(crate) keep_volumes: bool,
}

impl AppRow {
    pub(crate) fn name_key(project: ProjectId, name: &AppName) -> String {
        format!("name:{project}/{name}")
    }
}

impl Entity for AppRow {
    const KIND: Kind = Kind("app");
    fn id(&self) -> String {
        self.app.id.to_string()
    }
    fn parent(&self) -> String {
        self.app.project.to_string()
    }
    fn unique(&self) -> Vec<String> {
        vec![AppRow::name_key(self.app.project, &self.app.name), format!("port:{}", self.app.port)]
    }
}

/// An app's environment: what the next release takes along.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EnvRow {
    pub(crate) app: AppId,
    pub(crate) vars: Vec<SealedVar>,
}

impl Entity for EnvRow {
    const KIND: Kind = Kind("env");
    fn id(&self) -> String {
        self.app.to_string()
    }
    fn parent(&self) -> String {
        self.app.to_string()
    }
}

/// A release with its sealed environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReleaseRow {
    pub(crate) release: Release,
    pub(crate) vars: Vec<SealedVar>,
}

impl Entity for ReleaseRow {
    const KIND: Kind = Kind("release");
    fn id(&self) -> String {
        self.release.id.to_string()
    }
    fn parent(&self) -> String {
        self.release.app.to_string()
    }
    fn unique(&self) -> Vec<String> {
        vec![format!("{}/v{}", self.release.app, self.release.number)]
    }
}

impl Entity for Deployment {
    const KIND: Kind = Kind("deployment");
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> String {
        self.app.to_string()
    }
    fn indexes(&self) -> BTreeMap<&'static str, String> {
        match self.state.is_final() {
            true => BTreeMap::new(),
            false => BTreeMap::from([("open", "yes".to_owned())]),
        }
    }
}

/// Somebody asked to cancel a running deployment. A record of its own: only the executor writes the deployment itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CancelRow {
    pub(crate) deployment: DeploymentId,
    pub(crate) app: AppId,
    /// Who, or what, cancels it.
    #[serde(default)]
    pub(crate) why: String,
}

impl Entity for CancelRow {
    const KIND: Kind = Kind("cancel");
    fn id(&self) -> String {
        self.deployment.to_string()
    }
    fn parent(&self) -> String {
        self.app.to_string()
    }
}

/// Artifacts of the app wait to be pruned: written when a deployment ends, removed when that is done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PruneRow {
    pub(crate) app: AppId,
}

impl Entity for PruneRow {
    const KIND: Kind = Kind("prune");
    fn id(&self) -> String {
        self.app.to_string()
    }
    fn parent(&self) -> String {
        self.app.to_string()
    }
}

impl Entity for Domain {
    const KIND: Kind = Kind("domain");
    fn id(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> String {
        self.app.to_string()
    }
    fn unique(&self) -> Vec<String> {
        vec![domain_key(&self.host, self.path.as_ref())]
    }
}

/// A host and path, in the one form in which they are compared.
pub(crate) fn domain_key(host: &HostName, path: Option<&UrlPath>) -> String {
    format!("{host}{}", path.map_or("", UrlPath::as_str).trim_end_matches('/'))
}

/// An API token; its secret is kept as a hash only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    pub(crate) token: Token,
    pub(crate) hash: String,
}

impl TokenRow {
    pub(crate) fn id(&self) -> TokenId {
        self.token.id
    }
    pub(crate) fn role(&self) -> Role {
        self.token.role
    }
    pub(crate) fn expired(&self, now: Timestamp) -> bool {
        self.token.expires_at.is_some_and(|end| end <= now)
    }
}

impl Entity for TokenRow {
    const KIND: Kind = Kind("token");
    fn id(&self) -> String {
        self.token.id.to_string()
    }
    fn parent(&self) -> String {
        String::new()
    }
    fn unique(&self) -> Vec<String> {
        vec![format!("name:{}", self.token.name), format!("hash:{}", self.hash)]
    }
}

/// The stream of a deployment's events.
pub(crate) fn events(deployment: DeploymentId) -> String {
    format!("events/{deployment}")
}

/// The stream of a deployment's journal: an intent before each step, a done after it.
pub(crate) fn journal(deployment: DeploymentId) -> String {
    format!("journal/{deployment}")
}

/// The stream of accepted changes.
pub(crate) const AUDIT: &str = "audit";

/// Reads typed records.
#[derive(Clone)]
pub(crate) struct Repo {
    store: Arc<dyn Store>,
}

impl Repo {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Repo { store }
    }

    pub(crate) async fn get<T: Entity>(&self, id: impl ToString) -> Result<Option<Row<T>>> {
        self.store.get(T::KIND, &id.to_string()).await?.map(Row::read).transpose()
    }

    pub(crate) async fn find<T: Entity>(&self, unique: &str) -> Result<Option<Row<T>>> {
        self.store.find(T::KIND, unique).await?.map(Row::read).transpose()
    }

    pub(crate) async fn list<T: Entity>(&self, query: impl FnOnce(Query) -> Query) -> Result<Vec<Row<T>>> {
        self.store.list(&query(Query::all(T::KIND))).await?.into_iter().map(Row::read).collect()
    }

    /// The app, unless it is gone.
    pub(crate) async fn app(&self, id: AppId) -> Result<Row<AppRow>> {
        self.get::<AppRow>(id).await?.ok_or_else(|| Error::not_found("app", id))
    }
}

/// A batch in the making, with what must happen once it is committed.
#[derive(Debug, Default, Clone)]
pub(crate) struct Change {
    pub(crate) batch: Batch,
    /// Apps whose routes may have changed.
    pub(crate) routes: BTreeSet<AppId>,
    /// Apps that have something to do.
    pub(crate) wake: BTreeSet<AppId>,
    /// Deployments to interrupt.
    pub(crate) cancel: BTreeSet<DeploymentId>,
}

impl Change {
    /// Writes an entity that must not exist yet.
    pub(crate) fn create<T: Entity>(&mut self, value: &T) -> Result<()> {
        self.check::<T>(value.id(), None);
        self.put(value)
    }

    /// Writes an entity over the one that was read: refused when somebody else wrote it meanwhile.
    pub(crate) fn update<T: Entity>(&mut self, row: &Row<T>) -> Result<()> {
        self.check::<T>(row.value.id(), Some(row.revision));
        self.put(&row.value)
    }

    /// Writes an entity whatever was there.
    pub(crate) fn put<T: Entity>(&mut self, value: &T) -> Result<()> {
        self.batch.puts.push(Put {
            kind: T::KIND,
            id: value.id(),
            parent: value.parent(),
            unique: value.unique(),
            indexes: value.indexes(),
            schema: T::SCHEMA,
            body: serde_json::to_value(value)?,
        });
        Ok(())
    }

    pub(crate) fn check<T: Entity>(&mut self, id: String, revision: Option<u64>) {
        self.batch.checks.push(Check { kind: T::KIND, id, revision });
    }

    pub(crate) fn delete<T: Entity>(&mut self, id: impl ToString) {
        self.batch.deletes.push((T::KIND, id.to_string()));
    }

    pub(crate) fn append(&mut self, stream: impl Into<String>, body: Value) {
        self.batch.appends.push(Append { stream: stream.into(), body });
    }

    pub(crate) fn forget_stream(&mut self, stream: impl Into<String>) {
        self.batch.truncates.push(stream.into());
    }

    /// Forgets the entries of a stream up to this one.
    pub(crate) fn trim_stream(&mut self, stream: impl Into<String>, through: u64) {
        self.batch.trims.push(Trim { stream: stream.into(), through });
    }

    /// The routes of the app may have changed.
    pub(crate) fn routes(&mut self, app: AppId) {
        self.routes.insert(app);
    }

    /// The app has something to do.
    pub(crate) fn wake(&mut self, app: AppId) {
        self.wake.insert(app);
    }
}
