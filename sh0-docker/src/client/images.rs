//! Images: pull, list, tag, move, remove.

use std::io;

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderValue;
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    Client,
    auth::RegistryAuth,
    body::{ByteStream, JsonStream, upload},
    error::{Error, Result},
    model::{Filters, Labels, Port, Pruned, keys, or_default, strings, time},
    progress::{Job, Progress, ProgressStream},
    request::{Call, image_path},
    transport::whole,
};

/// The id of an image, `sha256:..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(String);

impl ImageId {
    /// The id as the engine writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ImageId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

impl std::fmt::Display for ImageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct ImageSummary {
    /// `sha256:..`.
    pub id: String,
    /// `name:tag`, every one it has.
    #[serde(deserialize_with = "strings")]
    pub repo_tags: Vec<String>,
    /// `name@sha256:..`, where it was pulled from.
    #[serde(deserialize_with = "strings")]
    pub repo_digests: Vec<String>,
    /// Size in bytes, layers shared with other images included.
    #[serde(deserialize_with = "or_default")]
    pub size: Option<u64>,
    /// When it was built, in seconds since 1970.
    #[serde(deserialize_with = "or_default")]
    pub created: Option<i64>,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
}

/// An image in full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct Image {
    /// `sha256:..`.
    pub id: String,
    /// `name:tag`, every one it has.
    #[serde(deserialize_with = "strings")]
    pub repo_tags: Vec<String>,
    /// `name@sha256:..`, where it was pulled from.
    #[serde(deserialize_with = "strings")]
    pub repo_digests: Vec<String>,
    /// Size in bytes.
    #[serde(deserialize_with = "or_default")]
    pub size: Option<u64>,
    /// When it was built.
    #[serde(deserialize_with = "time")]
    pub created: Option<Timestamp>,
    /// Processor, in Go's words: `amd64`, `arm64`.
    #[serde(deserialize_with = "or_default")]
    pub architecture: Option<String>,
    /// `linux` or `windows`.
    #[serde(deserialize_with = "or_default")]
    pub os: Option<String>,
    /// What a container of it starts with.
    #[serde(deserialize_with = "or_default")]
    pub config: ImageConfig,
}

/// What an image says about its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct ImageConfig {
    /// User, possibly empty.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// Arguments.
    #[serde(deserialize_with = "strings")]
    pub cmd: Vec<String>,
    /// Program.
    #[serde(deserialize_with = "strings")]
    pub entrypoint: Vec<String>,
    /// Directory to start in.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// Signal to stop with; `SIGTERM` when absent.
    #[serde(deserialize_with = "or_default")]
    pub stop_signal: Option<String>,
    /// Labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
    #[serde(deserialize_with = "keys")]
    exposed_ports: Vec<String>,
    /// Paths named by `VOLUME`: without a mount there, each container gets an anonymous volume.
    #[serde(deserialize_with = "keys")]
    pub volumes: Vec<String>,
}

impl ImageConfig {
    /// Ports named by `EXPOSE`.
    pub fn exposed_ports(&self) -> impl Iterator<Item = Port> {
        self.exposed_ports.iter().filter_map(|port| Port::parse(port))
    }
}

/// Which images to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListImages {
    /// Untagged parents of other images too.
    pub all: bool,
    /// `label`, `reference`, `dangling`, `before`, `since`.
    pub filters: Filters,
}

/// How to remove an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveImage {
    /// Although it has several names or a stopped container uses it.
    pub force: bool,
    /// Keep untagged parents.
    pub keep_parents: bool,
}

/// What the removal of an image did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageRemoval {
    /// A name or digest was taken off.
    Untagged(String),
    /// An image or layer is gone.
    Deleted(String),
}

#[derive(Deserialize)]
struct RemovalAnswer {
    #[serde(default, rename = "Untagged")]
    untagged: Option<String>,
    #[serde(default, rename = "Deleted")]
    deleted: Option<String>,
}

impl RemovalAnswer {
    fn into_removal(self) -> Option<ImageRemoval> {
        self.deleted.map(ImageRemoval::Deleted).or_else(|| self.untagged.map(ImageRemoval::Untagged))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub(crate) struct PruneAnswer {
    #[serde(deserialize_with = "or_default")]
    images_deleted: Vec<RemovalAnswer>,
    #[serde(deserialize_with = "or_default")]
    caches_deleted: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    containers_deleted: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    space_reclaimed: Option<u64>,
}

impl From<PruneAnswer> for Pruned {
    fn from(answer: PruneAnswer) -> Self {
        let images = answer.images_deleted.into_iter().filter_map(|image| image.deleted);
        Self {
            removed: images.chain(answer.caches_deleted).chain(answer.containers_deleted).collect(),
            freed_bytes: answer.space_reclaimed,
        }
    }
}

/// A running pull; see [`ProgressStream`].
#[derive(Debug)]
pub struct Pull {
    progress: ProgressStream,
}

impl Pull {
    /// Reads to the end and returns the digest that was pulled, when the engine told it.
    ///
    /// # Errors
    /// [`Error::Stream`] or [`Error::Unauthorized`] when it failed, also when the engine ended without a result.
    pub async fn finish(self) -> Result<Option<String>> {
        Ok(self.progress.outcomes().await?.into_iter().find(|digest| !digest.is_empty()))
    }
}

/// A running load; see [`ProgressStream`].
#[derive(Debug)]
pub struct Load {
    progress: ProgressStream,
}

impl Load {
    /// Reads to the end and returns the names (or ids, for nameless ones) of the images.
    ///
    /// # Errors
    /// [`Error::Stream`] when the archive holds no image or cannot be read.
    pub async fn finish(self) -> Result<Vec<String>> {
        self.progress.outcomes().await
    }
}

macro_rules! stream_of_progress {
    ($($name:ty),+) => {$(
        impl Stream for $name {
            type Item = Result<Progress>;

            fn poll_next(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Self::Item>> {
                std::pin::Pin::new(&mut self.progress).poll_next(cx)
            }
        }
    )+};
}
stream_of_progress!(Pull, Load);

impl Client {
    /// Pulls an image: `name`, `name:tag` or `name@digest`. A bare name means `:latest`, never all tags.
    /// API: `POST /images/create`.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Unauthorized`] when the registry refuses at once; later failures are items of
    /// the returned stream.
    pub async fn pull_image(&self, image: &str, auth: Option<&RegistryAuth>) -> Result<Pull> {
        let (name, tag) = split_reference(image)?;
        // Without a tag the engine pulls every tag there is.
        let mut call = Call::post("/images/create").query("fromImage", name).query("tag", tag).slow();
        if let Some(auth) = auth {
            call = call.header("x-registry-auth", auth.header()?);
        }
        let (response, engine) = self.transport.stream(&call, whole(Bytes::new())).await?;
        let messages = JsonStream::new(ByteStream::new(response.into_body()), "pull progress");
        Ok(Pull { progress: ProgressStream::new(messages, Job::Pull { podman: engine.podman }) })
    }

    /// Lists images. API: `GET /images/json`.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn list_images(&self, options: &ListImages) -> Result<Vec<ImageSummary>> {
        let call = Call::get("/images/json").flag("all", options.all);
        self.json(&call.query_some("filters", options.filters.query())).await
    }

    /// Looks at an image by name or id. API: `GET /images/{name}/json`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn inspect_image(&self, image: &str) -> Result<Image> {
        self.json(&Call::get(format!("/images/{}/json", image_path(image)?))).await
    }

    /// Gives an image another name, taking it from the image that had it. API: `POST /images/{name}/tag`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the image, [`Error::BadRequest`] for a malformed name.
    pub async fn tag_image(&self, image: &str, name: &str) -> Result<()> {
        let (repo, tag) = split_reference(name)?;
        let call = Call::post(format!("/images/{}/tag", image_path(image)?)).query("repo", repo).query("tag", tag);
        self.transport.call(&call).await.map(drop)
    }

    /// Removes a name and, with the last one, the image. API: `DELETE /images/{name}`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] while a container uses it.
    pub async fn remove_image(&self, image: &str, options: RemoveImage) -> Result<Vec<ImageRemoval>> {
        let call = Call::delete(format!("/images/{}", image_path(image)?))
            .flag("force", options.force)
            .flag("noprune", options.keep_parents)
            .slow();
        let removed: Vec<RemovalAnswer> = self.json(&call).await?;
        Ok(removed.into_iter().filter_map(RemovalAnswer::into_removal).collect())
    }

    /// Removes unused images that have the label of `filters`: untagged ones, or with `all` every unused one.
    /// API: `POST /images/prune`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without a label filter: images of others are not ours to remove.
    pub async fn prune_images(&self, filters: &Filters, all: bool) -> Result<Pruned> {
        if !filters.has_label() {
            return Err(Error::InvalidInput { what: "prune filter", reason: "it names no label".into() });
        }
        let filters = filters.clone().add("dangling", if all { "false" } else { "true" });
        let call = Call::post("/images/prune").query_some("filters", filters.query()).slow();
        let answer: PruneAnswer = self.json(&call).await?;
        Ok(answer.into())
    }

    /// Writes images as one tar stream. API: `GET /images/get`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a name; [`Error::InvalidInput`] for no name at all.
    pub async fn save_images(&self, images: &[&str]) -> Result<ByteStream> {
        if images.is_empty() {
            return Err(Error::InvalidInput { what: "images", reason: "name at least one".into() });
        }
        let call = images.iter().fold(Call::get("/images/get").slow(), |call, image| call.query("names", image));
        let (response, _) = self.transport.stream(&call, whole(Bytes::new())).await?;
        Ok(ByteStream::new(response.into_body()))
    }

    /// Reads images from a tar stream, as [`save_images`](Self::save_images) wrote it. API: `POST /images/load`.
    ///
    /// # Errors
    /// [`Error::Upload`] when `archive` fails. What is wrong with the archive is an item of the returned stream.
    pub async fn load_images<S>(&self, archive: S) -> Result<Load>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let call = Call::post("/images/load").header("content-type", HeaderValue::from_static("application/x-tar"));
        let (response, _) = self.transport.stream_untimed(&call, upload(archive)).await?;
        let messages = JsonStream::new(ByteStream::new(response.into_body()), "load progress");
        Ok(Load { progress: ProgressStream::new(messages, Job::Load) })
    }
}

/// Splits `name[:tag][@digest]` into the name and the digest, or the tag, or `latest`.
fn split_reference(image: &str) -> Result<(&str, &str)> {
    let invalid = || Error::InvalidInput { what: "image name", reason: format!("{image:?}") };
    let (named, digest) = match image.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (image, None),
    };
    // A colon before a slash belongs to the registry's port.
    let name_start = named.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match named[name_start..].rfind(':') {
        Some(colon) => (&named[..name_start + colon], Some(&named[name_start + colon + 1..])),
        None => (named, None),
    };
    let reference = digest.or(tag).unwrap_or("latest");
    if name.is_empty() || name.ends_with('/') || reference.is_empty() {
        return Err(invalid());
    }
    Ok((name, reference))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bare_name_means_latest() {
        let split = |image| split_reference(image).unwrap();
        assert_eq!(split("nginx"), ("nginx", "latest"));
        assert_eq!(split("nginx:1.27"), ("nginx", "1.27"));
        assert_eq!(split("host:5000/a/b"), ("host:5000/a/b", "latest"));
        assert_eq!(split("host:5000/a/b:c"), ("host:5000/a/b", "c"));
        assert_eq!(split("a/b:c@sha256:00ff"), ("a/b", "sha256:00ff"));
        for image in ["", ":tag", "a:", "a@", "a/", "host/:x"] {
            assert!(split_reference(image).is_err(), "{image}");
        }
    }

    #[test]
    fn nulls_of_podman_are_empty_lists() {
        let image: Image = serde_json::from_str(
            r#"{"Id":"x","RepoTags":null,"Config":{"Entrypoint":"sh","Labels":null,"ExposedPorts":{"80/tcp":{}}}}"#,
        )
        .unwrap();
        assert_eq!(image.config.entrypoint, ["sh"]);
        assert_eq!(image.config.exposed_ports().collect::<Vec<_>>(), [Port::tcp(80)]);
    }
}
