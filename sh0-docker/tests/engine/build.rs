use std::{collections::BTreeMap, io};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sh0_docker::client::{
    BuildOptions, Error, Filters, ListContainers, ListImages, Progress, RegistryAuth, Secret, Vars,
};

use crate::harness::{Corner, tar, with_engine};

fn options(corner: &Corner) -> BuildOptions {
    BuildOptions { labels: corner.labels(), network: Some("none".into()), ..BuildOptions::default() }
}

#[test]
fn an_image_is_built_from_scratch() {
    with_engine(async |corner| {
        let tag = format!("{}:1", corner.name());
        let dockerfile = "FROM scratch\nARG KIND\nLABEL kind=$KIND\nCOPY hello /hello\nEXPOSE 80 53/udp\nVOLUME /data\n\
             USER 7\nWORKDIR /srv\nENTRYPOINT [\"/hello\"]\nCMD [\"a\"]\nSTOPSIGNAL SIGQUIT\n";
        let context = tar(&[("docker/File", dockerfile.as_bytes()), ("hello", &[7; 100_000])]);
        let spec = BuildOptions {
            tags: vec![tag.clone()],
            dockerfile: Some("docker/File".into()),
            build_args: Vars::from([("KIND", "a b&c")]),
            ..options(&corner)
        };
        let image = corner.docker.build_image(&spec, context).await.unwrap().finish().await.unwrap();
        let seen = corner.docker.inspect_image(&tag).await.unwrap();
        assert_eq!(seen.id, image.as_str());
        assert_eq!(seen.config.labels.get("kind").map(String::as_str), Some("a b&c"));
        assert_eq!(seen.config.exposed_ports().map(|port| port.to_string()).collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!(seen.config.volumes, ["/data"]);
        assert_eq!((seen.config.user.as_str(), seen.config.working_dir.as_str()), ("7", "/srv"));
        assert_eq!(seen.config.stop_signal.as_deref(), Some("SIGQUIT"));
        assert_eq!((seen.config.entrypoint, seen.config.cmd), (vec!["/hello".to_owned()], vec!["a".to_owned()]));
    });
}

#[test]
fn a_stage_is_a_target() {
    with_engine(async |corner| {
        let context = || {
            let dockerfile = format!(
                "FROM {} AS one\n{}\nRUN echo first > /which\nFROM one AS two\nRUN echo second > /which && exit 9\n",
                corner.image,
                corner.label_line(),
            );
            tar(&[("Dockerfile", dockerfile.as_bytes())])
        };
        let one = BuildOptions { target: Some("one".into()), ..options(&corner) };
        let image = corner.docker.build_image(&one, context()).await.unwrap().finish().await.unwrap();
        let mut spec = corner.script("test \"$(cat /which)\" = first");
        spec.image = image.to_string();
        let id = corner.create(&spec).await;
        assert_eq!(corner.run_to_end(&id).await, 0);

        // The first stage succeeds and tells an image; the whole build still fails.
        let error = corner.docker.build_image(&options(&corner), context()).await.unwrap().finish().await.unwrap_err();
        assert!(matches!(&error, Error::Stream { code: Some(9), .. }), "{error:?}");
    });
}

#[test]
fn what_a_failed_build_leaves_is_found_by_the_dockerfiles_own_labels() {
    with_engine(async |corner| {
        let dockerfile =
            format!("FROM {}\n{}\nRUN echo {} > /mark\nRUN exit 1\n", corner.image, corner.label_line(), corner.name());
        let context = tar(&[("Dockerfile", dockerfile.as_bytes())]);
        let build = corner.docker.build_image(&BuildOptions::default(), context).await.unwrap();
        build.finish().await.unwrap_err();
        assert!(!corner.docker.prune_images(&corner.mine(), false).await.unwrap().removed.is_empty());
        let left = corner.docker.list_images(&ListImages { all: true, filters: corner.mine() }).await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn a_failed_step_is_an_error_and_leaves_nothing() {
    with_engine(async |corner| {
        let mark = corner.name();
        let dockerfile = format!("FROM {}\n{}\nRUN echo {mark}; exit 3\n", corner.image, corner.label_line());
        let context = tar(&[("Dockerfile", dockerfile.as_bytes())]);
        let build = corner.docker.build_image(&options(&corner), context).await.unwrap();
        let items: Vec<Result<Progress, Error>> = build.collect().await;
        let (last, before) = items.split_last().unwrap();
        let text: String = before.iter().filter_map(|item| item.as_ref().unwrap().stream.clone()).collect();
        assert!(text.contains(&format!("\n{mark}\n")), "{text}");
        assert!(matches!(last, Err(Error::Stream { operation: "build", code: Some(3), .. })), "{last:?}");

        let all = ListContainers { all: true, filters: Filters::new() };
        for container in corner.docker.list_containers(&all).await.unwrap() {
            // Another test may have removed it meanwhile.
            if let Ok(container) = corner.docker.inspect_container(&container.id).await {
                assert!(!container.config.cmd.concat().contains(&mark), "the container of the step is still there");
            }
        }
    });
}

#[test]
fn a_context_that_cannot_be_used_is_refused() {
    with_engine(async |corner| {
        let build = async |context: Vec<(&'static str, &'static [u8])>| match corner
            .docker
            .build_image(&options(&corner), tar(&context))
            .await
        {
            Ok(build) => build.finish().await.unwrap_err(),
            Err(error) => error,
        };
        let none = build(vec![("x", b"")]).await;
        assert!(none.to_string().contains("Dockerfile"), "{none}");
        let nonsense = build(vec![("Dockerfile", b"HELLO world\n")]).await;
        assert!(nonsense.to_string().contains("HELLO"), "{nonsense}");
        let missing = build(vec![("Dockerfile", b"FROM scratch\nCOPY nothing /\n")]).await;
        assert!(matches!(missing, Error::Stream { .. }), "{missing:?}");
    });
}

#[test]
fn a_context_that_breaks_off_is_the_callers_error() {
    with_engine(async |corner| {
        let start = Bytes::from_static(b"FROM scratch\n");
        let context = stream::iter([Ok(start), Err(io::Error::other("tree vanished"))]);
        let error = corner.docker.build_image(&options(&corner), context).await.unwrap_err();
        assert_eq!(error.code(), "docker.upload", "{error}");
    });
}

#[test]
fn a_refusal_comes_through_an_endless_upload() {
    with_engine(async |corner| {
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[0; 65536])));
        let spec = BuildOptions { tags: vec!["Not A Name".into()], ..options(&corner) };
        let error = corner.docker.build_image(&spec, endless).await.unwrap_err();
        assert!(error.to_string().contains("reference"), "{error}");
    });
}

#[test]
fn a_dropped_build_is_cancelled() {
    with_engine(async |corner| {
        let mark = corner.name();
        let dockerfile = format!("FROM {}\n{}\nRUN echo {mark}; sleep 60\n", corner.image, corner.label_line());
        let context = tar(&[("Dockerfile", dockerfile.as_bytes())]);
        let mut build = corner.docker.build_image(&options(&corner), context).await.unwrap();
        while let Some(progress) = build.try_next().await.unwrap() {
            if progress.stream.is_some_and(|text| text == format!("{mark}\n")) {
                break;
            }
        }
        drop(build);
        for _ in 0..100 {
            let list = corner.docker.list_containers(&ListContainers::default()).await.unwrap();
            let mut found = false;
            for container in list {
                let seen = corner.docker.inspect_container(&container.id).await;
                found |= seen.is_ok_and(|seen| seen.config.cmd.concat().contains(&mark));
            }
            if !found {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("the step still runs");
    });
}

#[test]
fn credentials_that_are_not_needed_do_no_harm() {
    with_engine(async |corner| {
        let auth = RegistryAuth::password("me", Secret::new("a>>>b???c"));
        let spec = BuildOptions { auth: BTreeMap::from([("registry.invalid".to_owned(), auth)]), ..options(&corner) };
        let context = tar(&[("Dockerfile", b"FROM scratch\nCOPY Dockerfile /\n")]);
        corner.docker.build_image(&spec, context).await.unwrap().finish().await.unwrap();
    });
}
