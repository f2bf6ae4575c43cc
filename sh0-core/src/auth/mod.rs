//! Who may do what.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::TokenId;

/// Who calls. Made by a frontend from credentials that it has checked; an argument of every access to users' data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    kind: PrincipalKind,
    role: Role,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PrincipalKind {
    /// The program that embeds the platform, or a process of the same user over the Unix socket.
    Local(String),
    /// The holder of an API token.
    Token(TokenId, String),
    /// The platform itself.
    System,
}

impl Principal {
    /// Somebody on this machine whom the operating system has identified as the owner of the platform.
    pub fn local(user: impl Into<String>) -> Self {
        Principal { kind: PrincipalKind::Local(user.into()), role: Role::Admin }
    }

    /// The platform itself: reconciler and schedules.
    pub fn system() -> Self {
        Principal { kind: PrincipalKind::System, role: Role::Admin }
    }

    /// The holder of a token. Only `auth` makes one, after it has checked the secret.
    pub fn token(id: TokenId, name: impl Into<String>, role: Role) -> Self {
        Principal { kind: PrincipalKind::Token(id, name.into()), role }
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The token that it holds, if it came with one.
    pub fn token_id(&self) -> Option<TokenId> {
        match self.kind {
            PrincipalKind::Token(id, _) => Some(id),
            _ => None,
        }
    }

    /// Whether it may name folders of the platform's machine.
    pub fn is_local(&self) -> bool {
        matches!(self.kind, PrincipalKind::Local(_) | PrincipalKind::System)
    }

    /// Whether its role has this permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.role.allows(permission)
    }
}

impl std::fmt::Display for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.kind {
            PrincipalKind::Local(user) => write!(f, "local:{user}"),
            PrincipalKind::Token(_, name) => write!(f, "token:{name}"),
            PrincipalKind::System => f.write_str("system"),
        }
    }
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Look, but not at secrets.
    ReadOnly,
}

impl Role {
    /// Whether the role has this permission.
    pub fn allows(self, permission: Permission) -> bool {
        match self {
            Role::Admin => true,
            Role::ReadOnly => permission == Permission::Read,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Admin => "admin",
            Role::ReadOnly => "read_only",
        })
    }
}

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// To look.
    Read,
    /// To see secret values.
    ReadSecrets,
    /// To deploy, restart, scale.
    Deploy,
    /// To create, change and remove apps, domains, environment.
    Write,
    /// To run commands inside instances.
    Exec,
    /// To manage the platform: tokens, shutdown.
    Manage,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Permission::Read => "read",
            Permission::ReadSecrets => "read_secrets",
            Permission::Deploy => "deploy",
            Permission::Write => "write",
            Permission::Exec => "exec",
            Permission::Manage => "manage",
        })
    }
}
