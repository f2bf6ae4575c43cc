//! The audit log: every accepted change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, Operation, operations};
use crate::auth::Permission;
use crate::model::{AuditRow, Page};

/// Read the audit log, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAudit {
    /// Only rows after this cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// At most so many: 100 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
}

impl Operation for ListAudit {
    const META: Meta = Meta::get("audit.list", "/audit").permission(Permission::Manage);
    type Output = Page<AuditRow>;
}

operations! { unary [ListAudit] }
