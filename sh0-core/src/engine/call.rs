//! How an operation runs: one trait a kind, and their erased form in the table of operations.

use std::future::Future;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use serde_json::Value;

use super::{Authorized, Engine};
use crate::ops::Operation;
use crate::traits::{ByteStream, Session};
use crate::{Error, Result};

/// Runs a unary operation. [`Authorized`] has private fields: only dispatch can make one.
pub trait Handle<O: Operation> {
    /// Reads the store and the backends, fills the context's batch; dispatch commits it once, with the audit row.
    fn handle(&self, op: O, cx: &Authorized) -> impl Future<Output = Result<O::Output>> + Send;
}

/// Runs a stream operation.
pub trait Follow<O: Operation> {
    /// The items, until the caller drops the stream.
    fn follow(
        &self,
        op: O,
        cx: &Authorized,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<O::Output>>>> + Send;
}

/// Runs an upload operation.
pub trait Receive<O: Operation> {
    /// Takes the bytes as they come.
    fn receive(&self, op: O, bytes: ByteStream, cx: &Authorized) -> impl Future<Output = Result<O::Output>> + Send;
}

/// Runs a duplex operation.
pub trait Converse<O: Operation> {
    /// The running command.
    fn converse(&self, op: O, cx: &Authorized) -> impl Future<Output = Result<Session>> + Send;
}

type Unary = for<'a> fn(&'a Engine, Value, &'a Authorized) -> BoxFuture<'a, Result<Value>>;
type Stream = for<'a> fn(&'a Engine, Value, &'a Authorized) -> BoxFuture<'a, Result<BoxStream<'static, Result<Value>>>>;
type Upload = for<'a> fn(&'a Engine, Value, ByteStream, &'a Authorized) -> BoxFuture<'a, Result<Value>>;
type Duplex = for<'a> fn(&'a Engine, Value, &'a Authorized) -> BoxFuture<'a, Result<Session>>;

/// A handler with its types erased.
#[derive(Clone, Copy)]
pub enum Call {
    /// One value in, one out.
    Unary(Unary),
    /// One value in, many out.
    Stream(Stream),
    /// Bytes in, one value out.
    Upload(Upload),
    /// Bytes in both directions.
    Duplex(Duplex),
}

impl Call {
    pub(crate) const fn unary<O: Operation>() -> Call
    where
        Engine: Handle<O>,
    {
        Call::Unary(|engine, input, cx| {
            Box::pin(async move {
                let output = engine.handle(parse::<O>(input)?, cx).await?;
                Ok(serde_json::to_value(output)?)
            })
        })
    }

    pub(crate) const fn stream<O: Operation>() -> Call
    where
        Engine: Follow<O>,
    {
        Call::Stream(|engine, input, cx| {
            Box::pin(async move {
                let items = engine.follow(parse::<O>(input)?, cx).await?;
                Ok(items.map(|item| Ok(serde_json::to_value(item?)?)).boxed())
            })
        })
    }

    pub(crate) const fn upload<O: Operation>() -> Call
    where
        Engine: Receive<O>,
    {
        Call::Upload(|engine, input, bytes, cx| {
            Box::pin(async move {
                let output = engine.receive(parse::<O>(input)?, bytes, cx).await?;
                Ok(serde_json::to_value(output)?)
            })
        })
    }

    pub(crate) const fn duplex<O: Operation>() -> Call
    where
        Engine: Converse<O>,
    {
        Call::Duplex(|engine, input, cx| Box::pin(async move { engine.converse(parse::<O>(input)?, cx).await }))
    }
}

/// Parses an input; the error names the field, what is wrong with it and what to do.
pub(crate) fn parse<O: Operation>(input: Value) -> Result<O> {
    crate::ops::check(O::META.name, &input)?;
    serde_path_to_error::deserialize(input).map_err(|error| {
        let path = error.path().to_string();
        let text = error.into_inner().to_string();
        let field = match path.as_str() {
            "." => unknown_field(&text).unwrap_or_else(|| "input".to_owned()),
            path => path.to_owned(),
        };
        let (reason, hint) = text
            .split_once(crate::model::HINT_MARK)
            .unwrap_or((&text, "see the operation's schema in the OpenAPI document"));
        Error::invalid(field, reason, hint)
    })
}

/// serde says "missing field `x`" or "unknown field `x`" at the level above the field.
fn unknown_field(text: &str) -> Option<String> {
    let rest = text.strip_prefix("missing field `").or_else(|| text.strip_prefix("unknown field `"))?;
    Some(rest.split('`').next()?.to_owned())
}
