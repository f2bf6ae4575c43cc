//! Who may call what: parse, authorize, handle, audit, commit. Every frontend comes through here.

mod lease;

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde_json::{Value, json};

use super::repo::{self, Change};
use super::tries::Tries;
use super::{Call, Engine};
use crate::auth::Principal;
use crate::ops::{Dispatch, OpDef, Risk};
use crate::traits::{ByteStream, Session};
use crate::{Code, Error, Result};
use lease::Lease;

/// Proof that dispatch has checked the caller's rights for an operation, and the batch that its handler fills. Only
/// this module can make one.
pub struct Authorized {
    principal: Principal,
    change: Mutex<Change>,
}

impl Authorized {
    /// Who calls.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What the handler wants written; dispatch commits it.
    pub(crate) fn change(&self) -> MutexGuard<'_, Change> {
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine on behalf of one caller.
#[derive(Clone)]
pub struct Caller {
    engine: Engine,
    principal: Principal,
    request_id: String,
}

impl Engine {
    /// A door for one caller. `request_id` names its requests in the audit log.
    pub fn caller(&self, principal: Principal, request_id: impl Into<String>) -> Caller {
        Caller { engine: self.clone(), principal, request_id: request_id.into() }
    }
}

impl Caller {
    fn authorize(&self, op: &OpDef) -> Result<Authorized> {
        if !self.principal.may(op.meta.permission) {
            let text = format!(
                "{} may not call {}: its role `{}` lacks the permission `{}`",
                self.principal,
                op.meta.name,
                self.principal.role(),
                op.meta.permission
            );
            return Err(Error::new(Code::Forbidden, text));
        }
        Ok(Authorized { principal: self.principal.clone(), change: Mutex::default() })
    }

    /// Adds the audit row and commits everything at once.
    async fn commit(&self, op: &OpDef, input: &Value, cx: Authorized) -> Result<()> {
        let mut change = cx.change.into_inner().unwrap_or_else(PoisonError::into_inner);
        if op.meta.risk != Risk::Read {
            let row = json!({
                "at": self.engine.now(),
                "actor": self.principal.to_string(),
                "operation": op.meta.name,
                "input": input,
                "request_id": self.request_id,
            });
            change.append(repo::AUDIT, row);
        }
        self.engine.commit(change).await.map(drop)
    }

    fn wrong_kind(op: &OpDef) -> Error {
        Error::internal(format!("{} does not talk this way: it is declared as {:?}", op.meta.name, op.meta.kind))
    }
}

/// The input without its secrets: what audit keeps.
fn redact(op: &OpDef, input: &Value) -> Value {
    let mut input = input.clone();
    for field in op.meta.secrets {
        match input.get_mut(*field) {
            Some(Value::Object(map)) => map.values_mut().for_each(|value| *value = "***".into()),
            Some(value) => *value = "***".into(),
            None => {}
        }
    }
    input
}

#[async_trait]
impl Dispatch for Caller {
    async fn call(&self, op: &'static OpDef, input: Value) -> Result<Value> {
        let Call::Unary(run) = op.call else { return Err(Self::wrong_kind(op)) };
        let audited = redact(op, &input);
        let mut turn = None;
        let mut tries = Tries::default();
        loop {
            let cx = self.authorize(op)?;
            let output = run(&self.engine, input.clone(), &cx).await?;
            if let Some(ended) = tries.ended(self.commit(op, &audited, cx).await) {
                return ended.map(|()| output);
            }
            // Those who try again do it one after the other, so that a hundred at once do not stand in each other's way.
            if turn.is_none() {
                turn = Some(self.engine.inner.retries.lock().await);
            }
        }
    }

    async fn stream(&self, op: &'static OpDef, input: Value) -> Result<BoxStream<'static, Result<Value>>> {
        let Call::Stream(run) = op.call else { return Err(Self::wrong_kind(op)) };
        let cx = self.authorize(op)?;
        let lease = Lease::of(&self.engine, &self.principal);
        Ok(lease.over_stream(run(&self.engine, input, &cx).await?))
    }

    async fn upload(&self, op: &'static OpDef, input: Value, bytes: ByteStream) -> Result<Value> {
        let Call::Upload(run) = op.call else { return Err(Self::wrong_kind(op)) };
        let cx = self.authorize(op)?;
        let audited = redact(op, &input);
        let output = run(&self.engine, input, bytes, &cx).await?;
        self.commit(op, &audited, cx).await?;
        Ok(output)
    }

    async fn duplex(&self, op: &'static OpDef, input: Value) -> Result<Session> {
        let Call::Duplex(run) = op.call else { return Err(Self::wrong_kind(op)) };
        let cx = self.authorize(op)?;
        let audited = redact(op, &input);
        let session = run(&self.engine, input, &cx).await?;
        self.commit(op, &audited, cx).await?;
        Ok(Lease::of(&self.engine, &self.principal).over_session(session))
    }
}
