//! Domains: host names that lead to apps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, Operation, Risk, operations};
use crate::model::{AppRef, Domain, HostName, Page, UrlPath};

/// List the domains of an app.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListDomains {
    /// The app.
    pub app: AppRef,
}

impl Operation for ListDomains {
    const META: Meta = Meta::get("domains.list", "/projects/{project}/apps/{app}/domains");
    type Output = Page<Domain>;
}

/// Lead a host name, or a path under it, to an app. Apps may share a host with different paths, but for the own host of
/// an app (`<app>.<base domain>`).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDomain {
    /// The app.
    pub app: AppRef,
    /// The host name; `*.` in front matches any one label.
    pub host: HostName,
    /// Only requests at or below this path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<UrlPath>,
}

impl Operation for AddDomain {
    const META: Meta = Meta::post("domains.add", "/projects/{project}/apps/{app}/domains");
    type Output = Domain;
}

/// Take a host name away from an app.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveDomain {
    /// The app.
    pub app: AppRef,
    /// The host name.
    pub host: HostName,
    /// The path, when the domain has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<UrlPath>,
}

impl Operation for RemoveDomain {
    const META: Meta =
        Meta::delete("domains.remove", "/projects/{project}/apps/{app}/domains/{host}").risk(Risk::Destructive);
    type Output = ();
}

operations! { unary [ListDomains, AddDomain, RemoveDomain] }
