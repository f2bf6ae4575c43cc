use sh0_docker::client::{ContainerSpec, Mount, VolumeSpec};

use crate::harness::with_engine;

#[test]
fn a_volume_keeps_its_data() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let name = corner.name();
        let spec = VolumeSpec { name: name.clone(), labels: corner.labels(), ..VolumeSpec::default() };
        let made = docker.create_volume(&spec).await.unwrap();
        assert_eq!((made.name.as_str(), made.driver.as_str(), &made.labels), (name.as_str(), "local", &spec.labels));
        // Creating it again gives the same one back, whatever is asked for.
        let other = VolumeSpec { name: name.clone(), ..VolumeSpec::default() };
        assert_eq!(docker.create_volume(&other).await.unwrap().labels, spec.labels);

        for (script, code) in [("echo kept > /v/x", 0), ("test \"$(cat /v/x)\" = kept", 0)] {
            let spec = ContainerSpec { mounts: vec![Mount::volume(&name, "/v")], ..corner.script(script) };
            let id = corner.create(&spec).await;
            assert_eq!(corner.run_to_end(&id).await, code);
            assert!(docker.remove_volume(&name, false).await.unwrap_err().is_conflict());
            docker
                .remove_container(&id, sh0_docker::client::RemoveContainer { force: true, volumes: true })
                .await
                .unwrap();
            assert!(docker.inspect_volume(&name).await.is_ok(), "a named volume stays");
        }
        assert_eq!(docker.list_volumes(&corner.mine()).await.unwrap().len(), 1);
        docker.remove_volume(&name, false).await.unwrap();
        assert!(docker.inspect_volume(&name).await.unwrap_err().is_not_found());
        assert!(docker.list_volumes(&corner.mine()).await.unwrap().is_empty());
        assert!(docker.create_volume(&VolumeSpec::default()).await.is_err());
    });
}
