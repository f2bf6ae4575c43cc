//! Logs on disk.

use std::fs;

use futures_util::StreamExt;
use sh0_core::model::Plan;
use sh0_core::traits::Runtime;

use crate::harness::*;

#[tokio::test]
async fn logs_are_bounded_and_a_follower_gets_every_line() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let runtime = place.open().await;
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    // 26 MB, slowly enough that the follower is never more than a file behind.
    let line = "i=0; while [ $i -lt 26 ]; do i=$((i+1)); yes \"$(printf '%0990d' $i)\" | head -n 1000; sleep 0.1; done";
    let spec = place.spec(&artifact, line);
    runtime.create(&spec).await.unwrap();
    let mut follow = runtime.logs(&spec.name, None, true).await.unwrap();
    runtime.start(&spec.name).await.unwrap();
    let mut counts = [0; 27];
    while let Some(line) = soon(follow.next()).await {
        counts[line.unwrap().text.parse::<usize>().unwrap()] += 1;
    }
    assert_eq!(counts[1..], [1000; 26], "every line once");
    let logs = place.data.path().join(format!("process/instances/{}/logs", spec.name));
    let bytes: u64 = fs::read_dir(logs).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 11 * 1024 * 1024, "{bytes} bytes on disk");
    let kept = lines(&runtime, &spec.name).await;
    assert!(kept.len() > 4000 && kept.last().unwrap().ends_with("26"), "the newest lines are kept");
    runtime.remove(&spec.name).await.unwrap();
}
