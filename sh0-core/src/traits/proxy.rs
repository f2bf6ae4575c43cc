use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::model::{AppId, Capability, DeploymentId, HostName, InstanceName, Millis, ReleaseId, Upstream, UrlPath};

/// Sends requests to instances. It knows nothing but the last table it was given.
#[async_trait]
pub trait Proxy: Send + Sync {
    /// Its name and version, for people.
    fn name(&self) -> String;

    /// What it can do.
    fn capabilities(&self) -> Vec<Capability>;

    /// Replaces the whole table atomically. Idempotent; an older generation than the one in force is ignored. When it
    /// returns, every new request is routed by this table or a newer one.
    ///
    /// Instances that are in no route any more drain: requests that they have begun go on for at most the route's
    /// [`Target::drain_timeout`], then are cut; websockets are closed with 1001 (RFC 6455 section 7.4.1) at that
    /// deadline.
    async fn apply(&self, table: &RouteTable) -> Result<()>;

    /// What is in force, and what still goes on.
    async fn status(&self) -> Result<ProxyStatus>;

    /// A port of the loopback address that is free now and not in `taken`: `preferred` if possible.
    async fn find_port(&self, preferred: Option<u16>, taken: &BTreeSet<u16>) -> Result<u16>;
}

/// Everything the proxy should do: a pure function of the store.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RouteTable {
    /// Rises with every change.
    pub generation: u64,
    /// Where to listen.
    pub listeners: Vec<Listener>,
    /// Host names, and what they lead to.
    pub routes: Vec<Route>,
    /// What each app does with a request.
    pub targets: BTreeMap<AppId, Target>,
}

/// A socket that accepts HTTP/1.1 and HTTP/2 (prior knowledge).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// Address and port.
    pub addr: SocketAddr,
    /// Leads everything to this app, whatever the host; by host name when absent.
    #[serde(default)]
    pub app: Option<AppId>,
}

/// A host name, and optionally a path, that leads to an app. Exact names win over wildcards, longer paths over shorter
/// ones, paths match whole segments (`/api` is not a prefix of `/apix`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The name; `*.` in front matches one label.
    pub host: HostName,
    /// Only requests at or below this path.
    #[serde(default)]
    pub path: Option<UrlPath>,
    /// The app.
    pub app: AppId,
}

/// What to do with a request for an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The name of the app, for pages and headers that people see.
    pub name: String,
    /// The release that serves. The proxy says it in the response header `x-sh0-release`.
    #[serde(default)]
    pub release: Option<ReleaseId>,
    /// The deployment that serves.
    #[serde(default)]
    pub deployment: Option<DeploymentId>,
    /// Instances in rotation; with none, the answer is 503 and says why.
    pub upstreams: Vec<Upstream>,
    /// What a 503 says when nothing serves, such as `stopped`.
    #[serde(default)]
    pub notice: Option<String>,
    /// How long an instance that leaves may finish what it has begun.
    pub drain_timeout: Millis,
}

/// What the proxy does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// The generation in force; 0 before the first table.
    pub generation: u64,
    /// Requests and websockets that go on, by instance; those with none are left out.
    pub in_flight: BTreeMap<InstanceName, u64>,
    /// Listeners that could not be opened, and why.
    pub failed_listeners: BTreeMap<SocketAddr, String>,
    /// Requests answered since its start, by app.
    pub requests: BTreeMap<AppId, u64>,
}
