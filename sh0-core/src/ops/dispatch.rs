//! One door for every frontend.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde_json::Value;

use super::OpDef;
use crate::Result;
use crate::traits::{ByteStream, Session};

/// Runs operations on behalf of one caller: the engine in this process, or a platform at the other end of a
/// connection. What differs between the two is nothing that a frontend can see.
#[async_trait]
pub trait Dispatch: Send + Sync {
    /// Runs a unary operation.
    async fn call(&self, op: &'static OpDef, input: Value) -> Result<Value>;

    /// Runs a stream operation.
    async fn stream(&self, op: &'static OpDef, input: Value) -> Result<BoxStream<'static, Result<Value>>>;

    /// Runs an upload operation.
    async fn upload(&self, op: &'static OpDef, input: Value, bytes: ByteStream) -> Result<Value>;

    /// Runs a duplex operation.
    async fn duplex(&self, op: &'static OpDef, input: Value) -> Result<Session>;
}
