use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use sh0_docker::client::{EventKind, EventOptions};

use crate::harness::with_engine;

#[test]
fn a_life_is_told_in_events() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let options = EventOptions { filters: corner.mine(), ..EventOptions::default() };
        let mut events = docker.events(&options).await.unwrap();
        let id = corner.create(&corner.script("exit 9")).await;
        corner.run_to_end(&id).await;

        let mut seen = Vec::new();
        while !seen.iter().any(|event: &sh0_docker::client::Event| event.verb() == "die") {
            let next = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
            seen.push(next.unwrap().unwrap().unwrap());
        }
        assert!(seen.iter().all(|event| event.kind == EventKind::Container && event.id() == id));
        let verbs: Vec<_> = seen.iter().map(sh0_docker::client::Event::verb).collect();
        assert_eq!(verbs, ["create", "start", "die"]);
        let die = seen.last().unwrap();
        assert_eq!(die.exit_code(), Some(9));
        assert_eq!(die.attributes().get("sh0.test").map(String::as_str), Some("1"));

        // Going on from a time repeats the event of that time and all after it.
        let again = EventOptions { since: seen[1].time(), until: die.time(), filters: corner.mine() };
        let replayed: Vec<_> = docker.events(&again).await.unwrap().try_collect().await.unwrap();
        let verbs: Vec<_> = replayed.iter().map(sh0_docker::client::Event::verb).collect();
        assert_eq!(verbs, ["start", "die"]);
    });
}

#[test]
fn a_quiet_stream_is_open_at_once() {
    with_engine(async |corner| {
        let options = EventOptions { filters: corner.mine(), ..EventOptions::default() };
        let started = std::time::Instant::now();
        let mut events = corner.docker.events(&options).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(1), "Docker sends the head before the first event");
        assert!(tokio::time::timeout(Duration::from_millis(200), events.next()).await.is_err());
    });
}
