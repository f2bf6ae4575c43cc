//! The one handle of the platform, wherever it runs.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sh0_core::auth::Principal;
use sh0_core::model::{AppName, Deployment, Event, Source};
use sh0_core::ops::deployments::{CreateDeployment, FollowDeployment, GetDeployment};
use sh0_core::ops::{self, Dispatch, OpDef, Operation};
use sh0_core::traits::{ByteStream, Session};
use sh0_core::{Code, Error, Result};

/// A platform that runs in this process, for those who let others in: servers. `Sh0::open` brings one, and
/// [`Sh0::hosting`] takes your own.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Who holds this API token. [`Code::Unauthorized`] when nobody does.
    async fn authenticate(&self, token: &str) -> Result<Principal>;

    /// The door for one caller; `request_id` names its requests in the audit log.
    fn as_caller(&self, principal: Principal, request_id: String) -> Arc<dyn Dispatch>;

    /// Waits until somebody asks the platform to end (`platform.shutdown`); `true` when its apps are to end too.
    async fn stopped(&self) -> bool;

    /// Tells others on this machine where it answers, so that they can be sent there.
    fn announce(&self, _socket: &Path) -> Result<()> {
        Ok(())
    }

    /// Ends it in good order; with `stop_apps` its apps too.
    async fn shutdown(&self, stop_apps: bool) -> Result<()>;
}

/// A platform: in this process, or at the other end of a connection. Cheap to clone.
#[derive(Clone)]
pub struct Sh0 {
    door: Arc<dyn Dispatch>,
    place: Place,
}

/// Where the platform is, as far as it matters here.
#[derive(Clone)]
enum Place {
    /// In this process.
    Here(Arc<dyn Platform>),
    /// In another process; `same_machine` when it can read this machine's folders.
    #[cfg(feature = "client")]
    There { same_machine: bool },
    /// Behind somebody's own [`Dispatch`].
    Own,
}

impl Sh0 {
    /// Connects to the server at `target`, and makes sure that it answers. `token` is what `tokens.create` gave; a Unix
    /// socket needs none.
    #[cfg(feature = "client")]
    pub async fn connect(target: crate::Target, token: Option<sh0_core::model::Secret>) -> Result<Sh0> {
        let same_machine = matches!(target, crate::Target::Unix(_));
        let remote = crate::client::Remote::new(target, token)?;
        remote.check().await?;
        Ok(Sh0 { door: Arc::new(remote), place: Place::There { same_machine } })
    }

    /// A platform in this process, such as an `Engine` over backends of your own. Calls of this
    /// handle are those of a local administrator.
    pub fn hosting(platform: Arc<dyn Platform>) -> Sh0 {
        let door = platform.as_caller(Principal::local("embedded"), "embedded".to_owned());
        Sh0 { door, place: Place::Here(platform) }
    }

    /// A platform behind a dispatcher of your own: a proxy, a recorder, a fake for tests.
    pub fn over(door: Arc<dyn Dispatch>) -> Sh0 {
        Sh0 { door, place: Place::Own }
    }

    /// Who holds this API token. Only a platform in this process knows.
    pub async fn authenticate(&self, token: &str) -> Result<Principal> {
        self.platform()?.authenticate(token).await
    }

    /// The door for another caller. Only a platform in this process has one.
    pub fn as_caller(&self, principal: Principal, request_id: impl Into<String>) -> Result<Arc<dyn Dispatch>> {
        Ok(self.platform()?.as_caller(principal, request_id.into()))
    }

    /// Waits until somebody asks the platform in this process to end (`platform.shutdown`); `true` when its apps are to
    /// end too. Over a connection it never does.
    pub async fn stopped(&self) -> bool {
        match self.platform() {
            Ok(platform) => platform.stopped().await,
            Err(_) => std::future::pending().await,
        }
    }

    /// Tells others on this machine that the platform in this process answers at `socket`.
    pub fn announce(&self, socket: &Path) -> Result<()> {
        self.platform()?.announce(socket)
    }

    /// Ends the platform in this process in good order; its apps go on where they can. A connection just ends.
    pub async fn shutdown(&self) -> Result<()> {
        self.shutdown_with(false).await
    }

    /// The same; with `stop_apps` every app is stopped too, and starts again with the platform.
    pub async fn shutdown_with(&self, stop_apps: bool) -> Result<()> {
        match self.platform() {
            Ok(platform) => platform.shutdown(stop_apps).await,
            Err(_) => Ok(()),
        }
    }

    fn platform(&self) -> Result<&dyn Platform> {
        match &self.place {
            Place::Here(platform) => Ok(&**platform),
            _ => Err(Error::new(Code::Unsupported, "only a platform in this process can let others in: open one")),
        }
    }

    /// Runs a unary operation.
    pub async fn call<O: Operation>(&self, op: O) -> Result<O::Output> {
        let output = self.door.call(declared::<O>()?, serde_json::to_value(op)?).await?;
        Ok(serde_json::from_value(output)?)
    }

    /// Runs a stream operation. Over a connection it resumes by itself after a break.
    pub async fn stream<O: Operation>(&self, op: O) -> Result<BoxStream<'static, Result<O::Output>>> {
        let items = self.door.stream(declared::<O>()?, serde_json::to_value(op)?).await?;
        Ok(items.map(|item| Ok(serde_json::from_value(item?)?)).boxed())
    }

    /// Runs an upload operation; `bytes` are never held whole.
    pub async fn upload<O: Operation>(&self, op: O, bytes: ByteStream) -> Result<O::Output> {
        let output = self.door.upload(declared::<O>()?, serde_json::to_value(op)?, bytes).await?;
        Ok(serde_json::from_value(output)?)
    }

    /// Runs a duplex operation.
    pub async fn duplex<O: Operation>(&self, op: O) -> Result<Session> {
        self.door.duplex(declared::<O>()?, serde_json::to_value(op)?).await
    }

    /// The door itself: for frontends that work from the table of operations.
    pub fn dispatch(&self) -> Arc<dyn Dispatch> {
        self.door.clone()
    }

    /// Deploys the folder at `path` as the app `name`, which is created when it does not exist. Answers at once:
    /// [`follow`](Sh0::follow) what happens, or wait for it with [`finished`](Sh0::finished).
    pub async fn deploy_folder(&self, path: impl AsRef<Path>, name: AppName) -> Result<Deployment> {
        let source = self.folder(path.as_ref()).await?;
        let create = CreateDeployment { app: name.into(), source: Some(source), runtime: None, no_cache: false };
        self.deploy(create, None).await
    }

    /// A source for a folder of this machine: the folder itself where the platform can read it, an upload otherwise.
    pub async fn folder(&self, path: &Path) -> Result<Source> {
        let path = std::fs::canonicalize(path).map_err(|error| {
            Error::invalid("path", format!("{}: {error}", path.display()), "name a folder that exists")
        })?;
        if !path.is_dir() {
            return Err(Error::invalid("path", format!("{} is not a folder", path.display()), "name the app's folder"));
        }
        match &self.place {
            #[cfg(feature = "client")]
            Place::There { same_machine: false } => {
                let upload = self.upload(ops::sources::UploadSource {}, crate::pack::archive(&path)).await?;
                Ok(Source::Upload { upload: upload.id })
            }
            _ => {
                let text = path.to_str().ok_or_else(|| {
                    Error::invalid("path", format!("{} is not UTF-8", path.display()), "rename the folder")
                })?;
                Ok(Source::Folder { path: text.parse()? })
            }
        }
    }

    /// What happens in a deployment, from its beginning until it has ended.
    pub async fn follow(&self, deployment: &Deployment) -> Result<BoxStream<'static, Result<Event>>> {
        self.stream(FollowDeployment { app: deployment.app.into(), deployment: deployment.id, after: None }).await
    }

    /// Waits until a deployment has ended, and answers how.
    pub async fn finished(&self, deployment: &Deployment) -> Result<Deployment> {
        self.watched(deployment, |_| {}).await
    }

    /// The same; `see` gets to see everything that happens meanwhile.
    pub async fn watched(&self, deployment: &Deployment, see: impl Fn(&Event) + Send) -> Result<Deployment> {
        let mut events = self.follow(deployment).await?;
        while let Some(event) = events.next().await.transpose()? {
            see(&event);
        }
        self.call(GetDeployment { app: deployment.app.into(), deployment: deployment.id }).await
    }
}

impl std::fmt::Debug for Sh0 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match &self.place {
            Place::Here(_) => "Sh0(in process)",
            #[cfg(feature = "client")]
            Place::There { .. } => "Sh0(connected)",
            Place::Own => "Sh0(own dispatch)",
        })
    }
}

/// The table's entry for an operation type.
fn declared<O: Operation>() -> Result<&'static OpDef> {
    ops::find(O::META.name)
        .ok_or_else(|| Error::internal(format!("{} is not in the table of operations", O::META.name)))
}

#[cfg(feature = "engine")]
#[async_trait]
impl Platform for sh0_core::engine::Engine {
    async fn authenticate(&self, token: &str) -> Result<Principal> {
        sh0_core::engine::Engine::authenticate(self, token).await
    }

    fn as_caller(&self, principal: Principal, request_id: String) -> Arc<dyn Dispatch> {
        Arc::new(self.caller(principal, request_id))
    }

    async fn stopped(&self) -> bool {
        sh0_core::engine::Engine::stopped(self).await.stop_apps
    }

    async fn shutdown(&self, stop_apps: bool) -> Result<()> {
        sh0_core::engine::Engine::shutdown(self, stop_apps).await
    }
}
