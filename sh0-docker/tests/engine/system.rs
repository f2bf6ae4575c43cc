use sh0_docker::client::{ApiVersion, BuildOptions, Filters, VolumeSpec};

use crate::harness::{tar, with_engine};

#[test]
fn the_engine_introduces_itself() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        docker.ping().await.unwrap();
        let engine = docker.engine().await.unwrap();
        assert!(engine.api >= ApiVersion::OLDEST && engine.api <= ApiVersion::NEWEST);
        let version = docker.version().await.unwrap();
        assert_eq!(version.api_version.parse::<ApiVersion>().unwrap(), engine.newest);
        let info = docker.info().await.unwrap();
        assert_eq!(info.server_version, version.version);
        assert_eq!(info.os_type, "linux");
        assert!(info.cpus.unwrap() > 0 && info.memory_bytes.unwrap() > 0);
        assert!(!info.runtimes.is_empty() && info.default_runtime.is_some());
    });
}

#[test]
fn disk_usage_knows_volumes_and_images() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let name = corner.name();
        let volume = VolumeSpec { name: name.clone(), labels: corner.labels(), ..VolumeSpec::default() };
        docker.create_volume(&volume).await.unwrap();
        let usage = docker.disk_usage().await.unwrap();
        let volume = usage.volumes.iter().find(|volume| volume.name == name).unwrap();
        assert_eq!((volume.bytes(), volume.containers()), (Some(0), Some(0)));
        assert!(usage.images.iter().any(|image| image.repo_tags.contains(&corner.image)));
        assert!(usage.layers_bytes.unwrap() > 0);
    });
}

#[test]
fn the_build_cache_can_be_pruned() {
    with_engine(async |corner| {
        let options = BuildOptions { labels: corner.labels(), ..BuildOptions::default() };
        let context = tar(&[("Dockerfile", b"FROM scratch\nCOPY Dockerfile /\n")]);
        corner.docker.build_image(&options, context).await.unwrap().finish().await.unwrap();
        // An hour-long memory is kept: nothing of others goes.
        let filters = Filters::new().add("until", "8760h");
        corner.docker.prune_build_cache(false, 0, &filters).await.unwrap();
    });
}
