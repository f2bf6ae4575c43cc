//! Source archives from callers that are not on the platform's machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, OpKind, Operation, operations};
use crate::auth::Permission;
use crate::model::Upload;

/// Upload a source archive (tar, optionally gzip) as the request's body; deploy it with an `upload` source.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadSource {}

impl Operation for UploadSource {
    const META: Meta = Meta::post("sources.upload", "/uploads").permission(Permission::Deploy).kind(OpKind::Upload);
    type Output = Upload;
}

operations! { upload [UploadSource] }
