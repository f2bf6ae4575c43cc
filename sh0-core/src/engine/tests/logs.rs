//! Streams that go on where they stopped.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};

use super::{open_shop, seen};
use crate::model::{DeploymentState, EventKind, Step};
use crate::ops::logs::ReadLogs;
use crate::testkit::fakes::{Behaviour, call, follow, from};

/// Lines of one moment are the hard case: the time alone does not say which of them are known.
#[tokio::test(start_paused = true)]
async fn every_line_is_collected_once_whoever_dies() {
    let (world, engine) = open_shop().await;
    let app = seen(&world, &engine).await;
    let name = app.live.unwrap().upstreams[0].instance.clone();
    let mut expected = vec!["started".to_owned()];
    let mut engine = Some(engine);
    let mut halves = 0;
    for round in 0..5 {
        for line in 0..4 {
            let text = format!("line {line} of round {round}");
            world.runtime.print(&name, &text);
            expected.push(text);
            if line == 1 {
                // Half of the lines of this moment are collected by one engine, half by the next.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                drop(engine.take());
            }
        }
        halves += u32::from(world.logs.texts(app.id).len() == expected.len() - 2);
        engine = Some(world.open().await.unwrap());
        tokio::time::sleep(Duration::from_secs(35)).await;
        assert_eq!(world.logs.texts(app.id), expected);
    }
    assert!(halves > 0, "an engine has died between two lines of one moment");
}

#[tokio::test(start_paused = true)]
async fn the_last_words_of_the_old_are_kept() {
    let (world, engine) = open_shop().await;
    let app = seen(&world, &engine).await;
    let name = app.live.unwrap().upstreams[0].instance.clone();
    world.runtime.print(&name, "bye");
    call(&engine, from("shop", "two")).await.unwrap();
    world.settle(&engine).await;
    let read = ReadLogs {
        app: "shop".parse().unwrap(),
        after: None,
        since: None,
        tail: None,
        process: None,
        instance: Some(name),
        contains: None,
    };
    let texts: Vec<_> = call(&engine, read).await.unwrap().items.into_iter().map(|line| line.text).collect();
    assert_eq!(texts, ["started", "bye"]);
}

#[tokio::test(start_paused = true)]
async fn events_resume_after_a_cursor_and_end() {
    let (_world, engine) = open_shop().await;
    let deployment = call(&engine, from("shop", "two")).await.unwrap();
    let live: Vec<_> = follow(&engine, "shop", deployment.id, None).await.unwrap().try_collect().await.unwrap();
    let cursors: Vec<u64> = live.iter().map(|event| event.cursor).collect();
    assert_eq!(cursors, (1..=live.len() as u64).collect::<Vec<_>>(), "no holes");
    assert!(matches!(live[0].what, EventKind::State { state: DeploymentState::Queued, .. }));
    assert!(matches!(live.last().unwrap().what, EventKind::State { state: DeploymentState::Live, .. }));
    for cut in 0..live.len() {
        let after = follow(&engine, "shop", deployment.id, Some(cut as u64)).await.unwrap();
        let rest: Vec<_> = after.try_collect().await.unwrap();
        assert_eq!(rest, live[cut..], "after {cut}");
    }
    let begun: Vec<Step> = live
        .iter()
        .filter_map(|event| match event.what {
            EventKind::StepStarted { step } => Some(step),
            _ => None,
        })
        .collect();
    let steps = [
        Step::Fetch,
        Step::Plan,
        Step::Check,
        Step::Build,
        Step::Release,
        Step::Create,
        Step::Start,
        Step::Health,
        Step::Switch,
        Step::Drain,
        Step::Retire,
    ];
    assert_eq!(begun, steps);
}

#[tokio::test(start_paused = true)]
async fn a_follower_sees_a_crash_only_as_a_pause() {
    let (world, engine) = open_shop().await;
    world.runtime.script("slow", Behaviour::HealthyAfter(20));
    let deployment = call(&engine, from("shop", "slow")).await.unwrap();
    let mut events = follow(&engine, "shop", deployment.id, None).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 8 {
        seen.push(events.next().await.unwrap().unwrap());
    }
    drop((events, engine));
    let engine = world.open().await.unwrap();
    let rest = follow(&engine, "shop", deployment.id, Some(8)).await.unwrap();
    seen.extend(rest.try_collect::<Vec<_>>().await.unwrap());
    let ends = |event: &&crate::model::Event| matches!(&event.what, EventKind::State { state, .. } if state.is_final());
    assert_eq!(seen.iter().filter(ends).count(), 1);
    assert!(ends(&seen.last().unwrap()));
    assert!(seen.windows(2).all(|pair| pair[0].cursor + 1 == pair[1].cursor));
}
