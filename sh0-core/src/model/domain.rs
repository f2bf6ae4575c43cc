//! Host names that lead to apps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AppId, DomainId, HostName, Timestamp, UrlPath};

/// A host name, and optionally a path under it, that leads to an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Domain {
    /// Its immutable id.
    pub id: DomainId,
    /// The app it leads to.
    pub app: AppId,
    /// The host name.
    pub host: HostName,
    /// Only requests at or below this path; everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<UrlPath>,
    /// When it was added.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
}
