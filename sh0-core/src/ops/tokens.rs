//! API tokens: how callers that are not on this machine show who they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Meta, Operation, operations};
use crate::auth::{Permission, Role};
use crate::model::{NewToken, Page, Token, TokenName};

/// List the API tokens, without their secrets.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTokens {}

impl Operation for ListTokens {
    const META: Meta = Meta::get("tokens.list", "/tokens").permission(Permission::Manage);
    type Output = Page<Token>;
}

/// Create an API token. Its secret is in the answer, and never shown again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// Its name, unique on the platform.
    pub name: TokenName,
    /// What it may do.
    pub role: Role,
    /// Days until it stops to work: 90 unless set, 0 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 3650))]
    pub days: Option<u32>,
}

impl Operation for CreateToken {
    const META: Meta = Meta::post("tokens.create", "/tokens").permission(Permission::Manage);
    type Output = NewToken;
}

/// Revoke an API token, at once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeToken {
    /// Its name.
    pub token: TokenName,
}

impl Operation for RevokeToken {
    const META: Meta = Meta::delete("tokens.revoke", "/tokens/{token}").permission(Permission::Manage);
    type Output = ();
}

operations! { unary [ListTokens, CreateToken, RevokeToken] }
