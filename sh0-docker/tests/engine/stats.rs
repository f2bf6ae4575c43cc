use std::time::Duration;

use futures_util::TryStreamExt;
use sh0_docker::client::{ContainerSpec, NetworkMode, Stats};

use crate::harness::with_engine;

#[test]
fn a_busy_container_has_numbers() {
    with_engine(async |corner| {
        let spec = ContainerSpec {
            memory_bytes: Some(64 << 20),
            pids_limit: Some(20),
            network: Some(NetworkMode::Bridge),
            ..corner.script("while :; do :; done")
        };
        let id = corner.start(&spec).await;
        let mut stream = corner.docker.stats_stream(&id).await.unwrap();
        let first = stream.try_next().await.unwrap().unwrap();
        let second = stream.try_next().await.unwrap().unwrap();
        assert!(second.cpus_since(&first).unwrap() > 0.05, "{second:?}");
        assert_eq!(second.memory_limit_bytes, Some(64 << 20));
        assert!(second.memory_needed_bytes().unwrap() > 0);
        assert!(second.pids.unwrap() >= 1);
        assert!(second.network_rx_bytes.is_some());
        assert!(second.cpus.is_some() && second.cpu_machine_ns > first.cpu_machine_ns);

        let once = corner.docker.stats_once(&id).await.unwrap();
        assert!(once.cpu_total_ns > second.cpu_total_ns);
    });
}

#[test]
fn a_stopped_container_has_none() {
    with_engine(async |corner| {
        let id = corner.create(&corner.script("true")).await;
        let stats =
            tokio::time::timeout(Duration::from_secs(10), corner.docker.stats_once(&id)).await.unwrap().unwrap();
        assert_eq!(stats, Stats::default());
        assert!(corner.docker.stats_once("sh0-test-none").await.unwrap_err().is_not_found());
    });
}
