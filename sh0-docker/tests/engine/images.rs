use std::io;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use sh0_docker::client::{BuildOptions, Error, Filters, ImageRemoval, ListImages, RemoveImage};

use crate::harness::{Corner, tar, with_engine};

/// A tiny image, different for each content.
async fn build(corner: &Corner, tags: &[&str], content: &str) -> String {
    let options = BuildOptions {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        labels: corner.labels(),
        ..BuildOptions::default()
    };
    let context = tar(&[("Dockerfile", b"FROM scratch\nCOPY content /\n"), ("content", content.as_bytes())]);
    corner.docker.build_image(&options, context).await.unwrap().finish().await.unwrap().to_string()
}

#[test]
fn names_come_and_go() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let (first, second) = (format!("{}:1", corner.name()), format!("{}:2", corner.name()));
        let id = build(&corner, &[&first], &first).await;
        docker.tag_image(&first, &second).await.unwrap();
        let list = docker.list_images(&ListImages { all: false, filters: corner.mine() }).await.unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].id.as_str(), list[0].repo_tags.len()), (id.as_str(), 2));
        assert_eq!(list[0].labels.get("sh0.test").map(String::as_str), Some("1"));

        let removed = docker.remove_image(&first, RemoveImage::default()).await.unwrap();
        assert_eq!(removed, [ImageRemoval::Untagged(first.clone())]);
        assert!(docker.inspect_image(&first).await.unwrap_err().is_not_found());
        let removed = docker.remove_image(&second, RemoveImage::default()).await.unwrap();
        assert!(removed.contains(&ImageRemoval::Deleted(id.clone())), "{removed:?}");
        assert!(docker.inspect_image(&id).await.unwrap_err().is_not_found());
        assert!(docker.remove_image(&second, RemoveImage::default()).await.unwrap_err().is_not_found());
    });
}

#[test]
fn an_image_in_use_is_kept() {
    with_engine(async |corner| {
        let tag = format!("{}:1", corner.name());
        build(&corner, &[&tag], &tag).await;
        let mut spec = corner.script("");
        spec.image = tag.clone();
        corner.create(&spec).await;
        assert!(corner.docker.remove_image(&tag, RemoveImage::default()).await.unwrap_err().is_conflict());
    });
}

#[test]
fn a_saved_image_loads_again() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let tag = format!("{}:1", corner.name());
        let id = build(&corner, &[&tag], &tag).await;
        let archive: Vec<Bytes> = docker.save_images(&[&tag]).await.unwrap().try_collect().await.unwrap();
        docker.remove_image(&tag, RemoveImage::default()).await.unwrap();
        let loaded = docker.load_images(stream::iter(archive.into_iter().map(Ok))).await.unwrap();
        assert_eq!(loaded.finish().await.unwrap(), vec![tag.clone()]);
        assert_eq!(docker.inspect_image(&tag).await.unwrap().id, id);
        assert!(docker.save_images(&["sh0-test/none:1"]).await.unwrap_err().is_not_found());
        assert!(docker.save_images(&[]).await.is_err());
    });
}

#[test]
fn an_archive_that_is_none_does_not_load() {
    with_engine(async |corner| {
        let load = async |chunks: Vec<io::Result<Bytes>>| -> Error {
            match corner.docker.load_images(stream::iter(chunks)).await {
                Ok(load) => load.finish().await.unwrap_err(),
                Err(error) => error,
            }
        };
        load(vec![Ok(Bytes::from_static(b"this is no tar"))]).await;
        let empty: Vec<Bytes> = tar(&[("file", b"x")]).try_collect().await.unwrap();
        load(empty.into_iter().map(Ok).collect()).await;
    });
}

#[test]
fn a_pull_without_a_registry_fails_with_words() {
    with_engine(async |corner| {
        // Nothing listens on port 1: the engine itself answers, no network is needed.
        let error = match corner.docker.pull_image("localhost:1/sh0-test/none", None).await {
            Ok(pull) => pull.finish().await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains("refused"), "{error}");
    });
}

#[test]
fn a_prune_takes_only_its_label() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let tag = format!("{}:1", corner.name());
        let old = build(&corner, &[&tag], "old").await;
        let new = build(&corner, &[&tag], "new").await;
        assert_ne!(old, new);
        let pruned = docker.prune_images(&corner.mine(), false).await.unwrap();
        assert!(pruned.removed.contains(&old) && !pruned.removed.contains(&new), "{pruned:?}");
        assert!(docker.inspect_image(&tag).await.is_ok());
        let pruned = docker.prune_images(&corner.mine(), true).await.unwrap();
        assert!(pruned.removed.contains(&new), "{pruned:?}");
        assert!(docker.prune_images(&Filters::new(), true).await.is_err());
        assert!(docker.inspect_image(&corner.image).await.is_ok());
    });
}
