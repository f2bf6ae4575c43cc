//! Every operation of the platform, declared once as data. From these declarations come the REST routes, the OpenAPI
//! document, `sh0 call`, the remote client and (later) MCP tools and SDKs: no frontend lists operations by hand.
//!
//! ```
//! use sh0_core::ops::{self, Operation, OpKind};
//!
//! let op = ops::find("deployments.create").unwrap();
//! assert_eq!(op.meta.path, "/projects/{project}/apps/{app}/deployments");
//! assert_eq!(op.meta.kind, OpKind::Unary);
//! assert_eq!(ops::apps::GetApp::META.name, "apps.get");
//! ```
//!
//! An operation is a plain struct that serde can read and write and schemars can describe. How it *runs* is another
//! matter: see `engine::Handle`.
//!
//! Rules for writing one: a struct with named fields; every field has a type that parses itself; optional fields are
//! `Option` with `#[serde(default, skip_serializing_if)]`; unknown fields are refused; fields that hold secrets are named
//! in [`Meta::secrets`].

pub mod apps;
pub mod audit;
mod check;
pub mod deployments;
mod dispatch;
pub mod domains;
pub mod duplex;
pub mod env;
pub mod fields;
pub mod http;
pub mod instances;
pub mod logs;
mod meta;
pub mod openapi;
pub mod platform;
pub mod projects;
pub mod releases;
mod schema;
pub mod sources;
pub mod tokens;
pub mod volumes;

pub use check::check;
pub use dispatch::Dispatch;
pub use meta::{Meta, Method, OpKind, Risk};
pub use schema::{Contract, contract};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An operation as data: a serializable input with metadata, and an output type.
pub trait Operation: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Name, route, permission, risk.
    const META: Meta;
    /// What it answers; the item type of a stream.
    type Output: Serialize + DeserializeOwned + JsonSchema + Send + 'static;
}

/// An operation with its type erased: what frontends iterate over.
pub struct OpDef {
    /// Name, route, permission, risk.
    pub meta: Meta,
    /// The JSON Schema of the input, as it is read.
    pub input: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON Schema of the output (or stream item), as it is written.
    pub output: fn(&mut SchemaGenerator) -> Schema,
    /// How it runs.
    #[cfg(feature = "engine")]
    pub(crate) call: crate::engine::Call,
}

impl std::fmt::Debug for OpDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.meta.fmt(f)
    }
}

/// Builds the static table of a resource's operations. `unary`, `stream`, `upload` and `duplex` say how each one talks.
macro_rules! operations {
    ($( $call:ident [ $( $op:ident ),* $(,)? ] )*) => {
        /// The operations of this resource.
        pub static OPS: &[$crate::ops::OpDef] = &[ $( $(
            $crate::ops::OpDef {
                meta: <$op as $crate::ops::Operation>::META,
                input: |schemas| <$op as schemars::JsonSchema>::json_schema(schemas),
                output: |schemas| schemas.subschema_for::<<$op as $crate::ops::Operation>::Output>(),
                #[cfg(feature = "engine")]
                call: $crate::engine::Call::$call::<$op>(),
            },
        )* )* ];
    };
}
pub(crate) use operations;

/// Every operation, resource by resource.
pub fn all() -> impl Iterator<Item = &'static OpDef> {
    [
        projects::OPS,
        apps::OPS,
        deployments::OPS,
        releases::OPS,
        env::OPS,
        domains::OPS,
        volumes::OPS,
        instances::OPS,
        logs::OPS,
        sources::OPS,
        tokens::OPS,
        audit::OPS,
        platform::OPS,
    ]
    .into_iter()
    .flatten()
}

/// The operation of this name.
pub fn find(name: &str) -> Option<&'static OpDef> {
    all().find(|op| op.meta.name == name)
}

#[cfg(test)]
mod tests;
