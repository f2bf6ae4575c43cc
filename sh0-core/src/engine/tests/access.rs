//! Who may do what, for every operation there is.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::open_shop;
use crate::auth::{Permission, Principal, Role};
use crate::model::{Source, TokenId};
use crate::ops::deployments::CreateDeployment;
use crate::ops::tokens::{CreateToken, RevokeToken};
use crate::ops::{self, Dispatch, OpDef, OpKind};
use crate::testkit::fakes::{STAYS, World, call, call_as, from};
use crate::traits::Clock;
use crate::{Code, Error, Result};

fn token(world: &World, role: Role) -> Principal {
    Principal::token(TokenId::new(world.clock.ulid()), "ci", role)
}

/// Calls an operation in its own way, with an input that parses for most.
async fn attempt(caller: &super::super::Caller, op: &'static OpDef) -> Result<()> {
    let input = json!({ "app": "shop" });
    match op.meta.kind {
        OpKind::Unary => caller.call(op, input).await.map(drop),
        OpKind::Stream => caller.stream(op, input).await.map(drop),
        OpKind::Upload => caller.upload(op, json!({}), stream::empty().boxed()).await.map(drop),
        OpKind::Duplex => caller.duplex(op, input).await.map(drop),
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_only_token_can_only_look() {
    let (world, engine) = open_shop().await;
    let caller = engine.caller(token(&world, Role::ReadOnly), "request-1");
    let before = *world.store.watch().borrow();
    let mut denied = 0;
    for op in ops::all() {
        let error = attempt(&caller, op).await.err().filter(|error| error.code() == Code::Forbidden);
        let words = format!("its role `read_only` lacks the permission `{}`", op.meta.permission);
        let forbidden = error.is_some_and(|error| error.detail().ends_with(&words));
        let looks = op.meta.permission == Permission::Read;
        assert_eq!(forbidden, !looks, "{} needs {:?}", op.meta.name, op.meta.permission);
        denied += usize::from(forbidden);
    }
    assert!(denied > 20, "{denied} operations were denied");
    assert_eq!(*world.store.watch().borrow(), before, "nothing was written, not even to audit");
}

#[tokio::test(start_paused = true)]
async fn only_who_is_on_the_machine_names_its_folders() {
    let (world, engine) = open_shop().await;
    let git = |url: &str| Source::Git { url: url.parse().unwrap(), reference: None, root: None };
    for source in [Source::Folder { path: "/etc".parse().unwrap() }, git("/srv/repo.git"), git("file:///srv/repo.git")]
    {
        let wish = CreateDeployment { source: Some(source.clone()), ..from("shop", "two") };
        let refused = call_as(&engine, token(&world, Role::Admin), wish).await.unwrap_err();
        assert_eq!(refused.code(), Code::Forbidden, "{source:?}");
    }
    let wish = CreateDeployment { source: Some(git("https://example.com/two.git")), ..from("shop", "two") };
    call_as(&engine, token(&world, Role::Admin), wish).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tokens_open_the_door_until_they_expire_or_are_revoked() {
    let (world, engine) = open_shop().await;
    let make = |name: &str, days| CreateToken { name: name.parse().unwrap(), role: Role::ReadOnly, days };
    let ci = call(&engine, make("ci", Some(1))).await.unwrap();
    let forever = call(&engine, make("forever", Some(0))).await.unwrap();
    assert_eq!(call(&engine, make("ci", None)).await.unwrap_err().code(), Code::Conflict);
    let principal = engine.authenticate(ci.secret.expose()).await.unwrap();
    assert_eq!((principal.to_string().as_str(), principal.role()), ("token:ci", Role::ReadOnly));

    let refused = |result: Result<Principal, Error>| assert_eq!(result.unwrap_err().code(), Code::Unauthorized);
    for wrong in ["", "sh0p_", "ci", &format!("{}0", ci.secret.expose()), &ci.secret.expose().to_uppercase()] {
        refused(engine.authenticate(wrong).await);
    }
    world.clock.jump(jiff::SignedDuration::from_hours(25));
    refused(engine.authenticate(ci.secret.expose()).await);
    engine.authenticate(forever.secret.expose()).await.unwrap();
    call(&engine, RevokeToken { token: "forever".parse().unwrap() }).await.unwrap();
    refused(engine.authenticate(forever.secret.expose()).await);
}

#[tokio::test(start_paused = true)]
async fn an_upload_can_be_deployed_and_one_too_many_bytes_cannot() {
    let (world, engine) = open_shop().await;
    let caller = engine.caller(token(&world, Role::Admin), "request-1");
    let op = ops::find("sources.upload").unwrap();
    let chunk = || Ok(Bytes::from(vec![0; 1 << 16]));
    let upload = caller.upload(op, json!({}), stream::iter([chunk()]).boxed()).await.unwrap();
    let source: Source = serde_json::from_value(json!({ "type": "upload", "upload": upload["id"] })).unwrap();
    let wish = CreateDeployment { source: Some(source), ..from("shop", "two") };
    call_as(&engine, token(&world, Role::Admin), wish).await.unwrap();
    world.settle(&engine).await;
    assert_eq!(world.app(&engine, "shop").await.unwrap().live.unwrap().number, 2);
    let endless = stream::repeat_with(chunk).boxed();
    assert_eq!(caller.upload(op, json!({}), endless).await.unwrap_err().code(), Code::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn what_a_token_opened_ends_when_it_expires() {
    let (world, engine) = open_shop().await;
    let create = CreateToken { name: "ci".parse().unwrap(), role: Role::Admin, days: Some(1) };
    let secret = call(&engine, create).await.unwrap().secret;
    let caller = engine.caller(engine.authenticate(secret.expose()).await.unwrap(), "request-1");
    let follow = ops::find("logs.follow").unwrap();
    let mut lines = caller.stream(follow, json!({ "app": "shop" })).await.unwrap();
    let exec = json!({ "app": "shop", "command": [STAYS] });
    let mut session = caller.duplex(ops::find("instances.exec").unwrap(), exec).await.unwrap();
    assert_eq!(session.output.next().await.unwrap().unwrap().1, STAYS);
    session.input.write("typed".into()).await.unwrap();

    world.clock.jump(jiff::SignedDuration::from_hours(25));
    let refused = |code: Code| assert_eq!(code, Code::Unauthorized);
    refused(lines.by_ref().filter_map(async |line| line.err()).boxed().next().await.unwrap().code());
    assert!(lines.next().await.is_none());
    refused(session.output.next().await.unwrap().unwrap_err().code());
    refused(session.input.write("more".into()).await.unwrap_err().code());
    refused(session.exit.await.unwrap_err().code());
}
