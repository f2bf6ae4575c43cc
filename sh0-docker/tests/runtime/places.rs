//! Each container's own address.

use std::net::{IpAddr, SocketAddr};

use sh0_docker::client::{NetworkMode, StopOptions};

use super::*;

/// Answers its own name to whoever connects.
fn named(name: &str) -> String {
    format!(
        "exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die; \
         while ($c = $s->accept) {{ print $c \"{name}\"; close $c }}'"
    )
}

impl Bench {
    fn network(&self) -> String {
        format!("sh0-{}", self.platform)
    }

    async fn endpoint(&self, name: &InstanceName) -> SocketAddr {
        let observed = async || self.runtime.inspect(name).await.unwrap().unwrap().endpoint;
        until("an endpoint", observed).await
    }

    async fn stop(&self, names: &[InstanceName]) {
        let now = StopOptions { grace: Some(Duration::ZERO), signal: None };
        for name in names {
            self.client.stop_container(name.as_str(), &now).await.unwrap();
        }
    }
}

async fn who_answers(at: SocketAddr) -> String {
    use tokio::io::AsyncReadExt;
    let mut stream = until("a connection", async || tokio::net::TcpStream::connect(at).await.ok()).await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn an_address_stays_its_containers_own() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build("FROM BASE\n", &[], &NoOutput).await.unwrap();
    let a = bench.up(&bench.spec(&artifact, 0, &named("A"))).await;
    let b = bench.up(&bench.spec(&artifact, 1, &named("B"))).await;
    let (at_a, at_b) = (bench.endpoint(&a).await, bench.endpoint(&b).await);
    assert_ne!(at_a, at_b);

    // As after a restart of the engine, without anybody of the platform: in the other order.
    bench.stop(&[a.clone(), b.clone()]).await;
    for name in [&b, &a] {
        bench.client.start_container(name.as_str()).await.unwrap();
    }
    assert_eq!((who_answers(at_a).await, who_answers(at_b).await), ("A".to_owned(), "B".to_owned()));

    // A container that does not run keeps its address from new ones.
    bench.stop(std::slice::from_ref(&a)).await;
    for index in 2..5 {
        let other = bench.up(&bench.spec(&artifact, index, "sleep 600")).await;
        assert_ne!(bench.endpoint(&other).await, at_a);
    }
    bench.runtime.start(&a).await.unwrap();
    assert_eq!(bench.endpoint(&a).await, at_a);
    let network = bench.network();
    assert!(bench.client.inspect_network(&network).await.is_ok());
    bench.clean().await;
    assert!(
        bench.client.inspect_network(&network).await.unwrap_err().is_not_found(),
        "it goes with the last container"
    );
}

#[tokio::test]
async fn a_lost_place_is_found_again() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build("FROM BASE\n", &[], &NoOutput).await.unwrap();
    let a = bench.up(&bench.spec(&artifact, 0, &named("A"))).await;
    let before = bench.endpoint(&a).await;
    bench.stop(std::slice::from_ref(&a)).await;
    // `docker network prune` takes networks in which nothing runs.
    bench.client.remove_network(&bench.network()).await.unwrap();
    bench.runtime.start(&a).await.unwrap();
    assert_eq!(bench.endpoint(&a).await, before, "the same network, the same address");

    bench.stop(std::slice::from_ref(&a)).await;
    let taken: IpAddr = before.ip();
    let stranger = ContainerSpec {
        image: bench.image.clone(),
        cmd: Some(vec!["sleep".into(), "600".into()]),
        network: Some(NetworkMode::Named(bench.network())),
        address: Some(taken),
        ..ContainerSpec::default()
    };
    let stranger = bench.client.create_container(None, &stranger).await.unwrap().id;
    bench.client.start_container(&stranger).await.unwrap();
    bench.runtime.start(&a).await.unwrap();
    let after = bench.endpoint(&a).await;
    assert_ne!(after, before, "somebody else has it");
    assert_eq!(who_answers(after).await, "A");
    bench.client.remove_container(&stranger, RemoveContainer { force: true, volumes: true }).await.unwrap();
    bench.clean().await;
}

#[tokio::test]
async fn many_at_once_have_an_address_each_and_the_given_subnet_counts() {
    let Some(bench) = Bench::new().await else { return };
    let artifact = bench.build("FROM BASE\n", &[], &NoOutput).await.unwrap();
    let subnet = "10.254.77.0/28".parse().unwrap();
    let options = DockerOptions { subnet: Some(subnet), ..DockerOptions::default() };
    let bench = Bench { runtime: DockerRuntime::new(bench.client.clone(), bench.platform, options), ..bench };
    // Of 16 addresses the upper eight are ours, and the last is the broadcast address.
    let specs: Vec<InstanceSpec> = (0..7).map(|index| bench.spec(&artifact, index, "sleep 600")).collect();
    let created = futures_util::future::join_all(specs.iter().map(|spec| bench.up(spec))).await;
    let mut seen = std::collections::BTreeSet::new();
    for name in &created {
        seen.insert(bench.endpoint(name).await.ip());
    }
    let expected = (8..15).map(|last| IpAddr::from([10, 254, 77, last])).collect();
    assert_eq!(seen, expected);
    let error = bench.runtime.create(&bench.spec(&artifact, 7, "true")).await.unwrap_err();
    assert!(error.detail().contains("docker_subnet"), "{error}");
    bench.clean().await;
}
