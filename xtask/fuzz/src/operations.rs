//! Inputs of operations: every one there is, on a whole engine whose backends are fakes.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::Value;
use sh0_core::auth::{Principal, Role};
use sh0_core::model::TokenId;
use sh0_core::ops::http::{encode, from_header};
use sh0_core::ops::{self, Dispatch, OpDef, OpKind};
use sh0_core::testkit::fakes::{FakeStore, World};
use sh0_core::{Code, Result, engine};

/// A line each: the name of an operation, a space, its input in JSON. What is wrong is said in terms of the input, and is
/// never a fault of the platform.
pub fn operations(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let calls: Vec<(&'static OpDef, Value)> = text.lines().take(8).filter_map(call).collect();
    if calls.is_empty() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(FakeStore::default());
        let engine = world.open().await.unwrap();
        let token: TokenId = crate::ID.parse().unwrap();
        let caller = engine.caller(Principal::token(token, "fuzz", Role::Admin), "request");
        for (op, input) in calls {
            travels(op, &input);
            let Err(error) = attempt(&caller, op, input.clone()).await else { continue };
            assert_ne!(error.code(), Code::Internal, "{} {input}: {error:?}", op.meta.name);
            assert!(!error.detail().is_empty());
            let whole = |text: &str| !text.trim().is_empty();
            let named = error.fields().iter().all(|field| whole(&field.reason) && whole(&field.hint));
            assert!(named, "{} {input}: {error:?}", op.meta.name);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
}

fn call(line: &str) -> Option<(&'static OpDef, Value)> {
    let (name, input) = line.split_once(' ')?;
    Some((ops::find(name)?, serde_json::from_str(input).ok()?))
}

/// What goes out as a header comes in again.
fn travels(op: &OpDef, input: &Value) {
    if let Ok(parts) = encode(&op.meta, input.clone())
        && let Some(header) = parts.header
    {
        assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{header:?}");
        let Ok(Value::Object(came)) = from_header(header.as_bytes()) else { panic!("{header:?} is no input") };
        assert!(came.iter().all(|(name, value)| input.get(name) == Some(value)), "{header:?}");
    }
}

async fn attempt(caller: &engine::Caller, op: &'static OpDef, input: Value) -> Result<()> {
    match op.meta.kind {
        OpKind::Unary => caller.call(op, input).await.map(drop),
        OpKind::Upload => caller.upload(op, input, stream::empty().boxed()).await.map(drop),
        OpKind::Duplex => caller.duplex(op, input).await.map(drop),
        // Those that follow may have nothing to say for now.
        OpKind::Stream => match caller.stream(op, input).await?.next().now_or_never().flatten() {
            Some(item) => item.map(drop),
            None => Ok(()),
        },
    }
}
