//! Who may call what: parse, authorize, handle, audit, commit.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde_json::Value;

use super::{Call, Engine};
use crate::auth::Principal;
use crate::ops::{Dispatch, OpDef};
use crate::traits::{ByteStream, Session};
use crate::{Error, Result};

/// Proof that dispatch has checked the caller's rights for an operation. Only this module can make one.
pub struct Authorized {
    principal: Principal,
}

/// The engine on behalf of one caller.
#[derive(Clone)]
pub struct Caller {
    engine: Engine,
    principal: Principal,
    request_id: String,
}
