//! What is said of an operation beside its types.

use serde::Serialize;

use crate::auth::Permission;

/// Name, route, permission and risk of an operation: constant data, built in one expression.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Meta {
    /// `resource.verb`, stable.
    pub name: &'static str,
    /// The HTTP method.
    pub method: Method,
    /// The path below `/api/v1`, with `{parameters}`.
    pub path: &'static str,
    /// What the caller needs.
    pub permission: Permission,
    /// What it can do to the platform.
    pub risk: Risk,
    /// How it talks.
    pub kind: OpKind,
    /// Fields of the input that hold secrets: left out of audit and logs.
    pub secrets: &'static [&'static str],
}

impl Meta {
    const fn new(method: Method, name: &'static str, path: &'static str, permission: Permission, risk: Risk) -> Self {
        Meta { name, method, path, permission, risk, kind: OpKind::Unary, secrets: &[] }
    }

    /// An operation that looks.
    pub const fn get(name: &'static str, path: &'static str) -> Self {
        Meta::new(Method::Get, name, path, Permission::Read, Risk::Read)
    }

    /// An operation that makes something or sets something in motion.
    pub const fn post(name: &'static str, path: &'static str) -> Self {
        Meta::new(Method::Post, name, path, Permission::Write, Risk::Write)
    }

    /// An operation that replaces something.
    pub const fn put(name: &'static str, path: &'static str) -> Self {
        Meta::new(Method::Put, name, path, Permission::Write, Risk::Write)
    }

    /// An operation that changes parts of something.
    pub const fn patch(name: &'static str, path: &'static str) -> Self {
        Meta::new(Method::Patch, name, path, Permission::Write, Risk::Write)
    }

    /// An operation that removes something.
    pub const fn delete(name: &'static str, path: &'static str) -> Self {
        Meta::new(Method::Delete, name, path, Permission::Write, Risk::Destructive)
    }

    /// What the caller needs.
    #[must_use]
    pub const fn permission(mut self, permission: Permission) -> Self {
        self.permission = permission;
        self
    }

    /// What it can do to the platform.
    #[must_use]
    pub const fn risk(mut self, risk: Risk) -> Self {
        self.risk = risk;
        self
    }

    /// How it talks.
    #[must_use]
    pub const fn kind(mut self, kind: OpKind) -> Self {
        self.kind = kind;
        self
    }

    /// Fields of the input that hold secrets.
    #[must_use]
    pub const fn secrets(mut self, fields: &'static [&'static str]) -> Self {
        self.secrets = fields;
        self
    }

    /// The names in the path's braces, in order.
    pub fn path_params(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

/// The HTTP method of an operation (RFC 9110 section 9, RFC 5789).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// Whether input beside the path travels in a JSON body; in the query string otherwise.
    pub fn has_body(self) -> bool {
        matches!(self, Method::Post | Method::Put | Method::Patch)
    }
}

/// What an operation can do to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Nothing: it looks.
    Read,
    /// A change that can be undone.
    Write,
    /// Data or service is lost.
    Destructive,
}

/// How an operation talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OpKind {
    /// One value in, one value out.
    Unary,
    /// One value in, many out: server-sent events over HTTP, resumable by cursor.
    Stream,
    /// A stream of bytes in, one value out.
    Upload,
    /// Bytes in both directions: a websocket over HTTP (see [`duplex`](super::duplex)).
    Duplex,
}
