//! The health rules look at every source, and block what the owner does not let pass.

use futures_util::TryStreamExt;
use serde_json::json;

use super::{deployed, open_shop, reason, seen, shop};
use crate::model::{DeploymentState, EventKind, FailOn, Severity, Step};
use crate::ops::apps::UpdateApp;
use crate::ops::deployments::FollowDeployment;
use crate::testkit::fakes::{World, call, from};
use crate::{Code, engine::Engine};

async fn fail_on(engine: &Engine, level: &str) {
    let change = json!({ "app": "shop", "settings": { "fail_on": level } });
    call(engine, serde_json::from_value::<UpdateApp>(change).unwrap()).await.unwrap();
}

/// How many artifacts there are: what builds have made.
async fn built(world: &World, engine: &Engine) -> usize {
    use crate::traits::Runtime;
    let app = seen(world, engine).await.id;
    world.runtime.list_artifacts(app).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_told_and_kept() {
    let (world, engine) = shop().await;
    let deployment = deployed(&world, &engine, from("shop", "careless")).await;
    assert_eq!(deployment.state, DeploymentState::Live, "nothing is blocked unless somebody asks for it");
    let check = deployment.made.check.clone().unwrap();
    assert_eq!((check.score, check.counts.get(&Severity::High)), (85, Some(&1)));
    assert_eq!(check.findings[0].to_string(), "main:7 FAKE01 nobody looked");
    let follow = FollowDeployment { app: "shop".parse().unwrap(), deployment: deployment.id, after: None };
    let caller = engine.caller(crate::auth::Principal::local("test"), "request");
    let events = engine_events(&caller, follow).await;
    let told: Vec<&EventKind> = events.iter().filter(|what| matches!(what, EventKind::Checked { .. })).collect();
    assert_eq!(told, [&EventKind::Checked { check }]);
    assert_eq!(told[0].to_string(), "health rules: score 85 of 100: 1 high\n  main:7 FAKE01 nobody looked",);
    let clean = deployed(&world, &engine, from("shop", "one")).await.made.check.unwrap();
    assert_eq!(clean.to_string(), "health rules: score 100 of 100: nothing was found");
}

async fn engine_events(caller: &crate::engine::Caller, follow: FollowDeployment) -> Vec<EventKind> {
    use crate::ops::{Dispatch, find};
    let items =
        caller.stream(find("deployments.follow").unwrap(), serde_json::to_value(follow).unwrap()).await.unwrap();
    let events: Vec<serde_json::Value> = items.try_collect().await.unwrap();
    events.into_iter().map(|event| serde_json::from_value::<crate::model::Event>(event).unwrap().what).collect()
}

#[tokio::test(start_paused = true)]
async fn a_policy_blocks_before_the_build_and_the_old_release_serves_on() {
    let (world, engine) = open_shop().await;
    fail_on(&engine, "high").await;
    let before = (seen(&world, &engine).await, built(&world, &engine).await);
    let blocked = deployed(&world, &engine, from("shop", "careless")).await;
    assert_eq!(blocked.step, Some(Step::Check));
    let reason = reason(&blocked);
    for word in ["something high or graver (1 in all)", "the settings (fail_on)", "main:7 FAKE01", "Nothing was built"]
    {
        assert!(reason.contains(word), "{word}: {reason}");
    }
    assert_eq!(blocked.outcome().unwrap_err().code(), Code::DeployFailed);
    assert_eq!(blocked.made.check.as_ref().map(|check| check.score), Some(85), "kept with what failed, too");
    let follow = FollowDeployment { app: "shop".parse().unwrap(), deployment: blocked.id, after: None };
    let events = engine_events(&engine.caller(crate::auth::Principal::local("test"), "request"), follow).await;
    assert!(events.iter().any(|what| matches!(what, EventKind::Checked { .. })), "told, though it fails");
    assert_eq!((seen(&world, &engine).await, built(&world, &engine).await), before, "nothing was built or changed");

    fail_on(&engine, "critical").await;
    assert_eq!(deployed(&world, &engine, from("shop", "careless")).await.state, DeploymentState::Live);
}

#[tokio::test(start_paused = true)]
async fn the_settings_come_before_what_the_tree_says() {
    let (world, engine) = open_shop().await;
    let blocked = deployed(&world, &engine, from("shop", "strict")).await;
    assert!(reason(&blocked).contains("medium or graver (1 in all), and sh0.toml (check.fail_on)"), "{blocked:?}");
    fail_on(&engine, "never").await;
    assert_eq!(seen(&world, &engine).await.settings.fail_on, Some(FailOn::Never));
    assert_eq!(deployed(&world, &engine, from("shop", "strict")).await.state, DeploymentState::Live);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_level_is_refused_with_its_name_and_the_levels_there_are() {
    let (_world, engine) = shop().await;
    let caller = engine.caller(crate::auth::Principal::local("test"), "request");
    let update = crate::ops::find("apps.update").unwrap();
    let input = json!({ "app": "shop", "settings": { "fail_on": "worst" } });
    let error = crate::ops::Dispatch::call(&caller, update, input).await.unwrap_err();
    assert_eq!((error.code(), error.fields()[0].field.as_str()), (Code::Invalid, "settings.fail_on"));
    let text = error.to_string();
    for level in FailOn::ALL {
        assert!(text.contains(level.as_str()), "{level}: {text}");
    }
    assert!("worst".parse::<FailOn>().unwrap_err().hint().contains("critical"));
}
