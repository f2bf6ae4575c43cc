use sh0_docker::client::{ConnectOptions, ContainerSpec, NetworkMode, NetworkSpec};

use crate::harness::{Corner, with_engine};

async fn network(corner: &Corner) -> (String, String) {
    let name = corner.name();
    let spec = NetworkSpec { name: name.clone(), labels: corner.labels(), ..NetworkSpec::default() };
    (corner.docker.create_network(&spec).await.unwrap(), name)
}

#[test]
fn names_are_unique_and_aliases_resolve() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let (id, name) = network(&corner).await;
        let again = NetworkSpec { name: name.clone(), labels: corner.labels(), ..NetworkSpec::default() };
        assert!(docker.create_network(&again).await.unwrap_err().is_conflict());

        let spec = ContainerSpec {
            network: Some(NetworkMode::Named(name.clone())),
            aliases: vec!["web-1".into()],
            ..corner.script("exec sleep 300")
        };
        let web = corner.start(&spec).await;
        let container = docker.inspect_container(&web).await.unwrap();
        let endpoint = &container.networks()[&name];
        assert_eq!(endpoint.network_id, id);
        assert!(endpoint.aliases.contains(&"web-1".to_owned()));
        let seen = docker.inspect_network(&name).await.unwrap();
        assert_eq!(seen.containers[&web].ip(), endpoint.ip);
        assert!(endpoint.ip.is_some() && seen.subnets().next().is_some() && seen.gateways().next().is_some());

        let asker = ContainerSpec {
            network: Some(NetworkMode::Named(name.clone())),
            ..corner.script(&format!("test \"$(getent hosts web-1 | cut -d' ' -f1)\" = {}", endpoint.ip.unwrap()))
        };
        let asker = corner.create(&asker).await;
        assert_eq!(corner.run_to_end(&asker).await, 0);
        assert_eq!(docker.remove_network(&id).await.unwrap_err().code(), "docker.unauthorized");
    });
}

#[test]
fn a_container_joins_and_leaves() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let (first, _) = network(&corner).await;
        let (second, name) = network(&corner).await;
        let spec = ContainerSpec { network: Some(NetworkMode::Named(first)), ..corner.script("exec sleep 300") };
        let id = corner.start(&spec).await;
        let options = ConnectOptions { aliases: vec!["db".into()], ip: None };
        docker.connect_network(&second, &id, &options).await.unwrap();
        let container = docker.inspect_container(&id).await.unwrap();
        assert_eq!(container.networks().len(), 2);
        assert!(container.networks()[&name].aliases.contains(&"db".to_owned()));
        assert!(docker.connect_network(&second, &id, &options).await.is_err());
        assert!(docker.connect_network("sh0-test-none", &id, &options).await.unwrap_err().is_not_found());

        docker.disconnect_network(&second, &id, false).await.unwrap();
        assert_eq!(docker.inspect_container(&id).await.unwrap().networks().len(), 1);
        assert!(docker.disconnect_network(&second, &id, false).await.is_err());
        docker.remove_network(&second).await.unwrap();
        assert!(docker.inspect_network(&second).await.unwrap_err().is_not_found());
        assert_eq!(docker.list_networks(&corner.mine()).await.unwrap().len(), 1);
    });
}
