//! Building images, with either builder of the engine.
//!
//! Which builder is explicit in every request ([`Builder`]); [`Engine::builder`] says what an engine has. BuildKit runs
//! steps at the same time, keeps what package managers fetch (`RUN --mount=type=cache`) and brings secrets to a step
//! without a trace (`RUN --mount=type=secret`); see [`buildkit`](super::buildkit). The classic one knows none of these,
//! nor `COPY --link` and heredocs, and starts a container a step. Both get the whole context as a tar stream.
//!
//! [`Engine::builder`]: super::Engine::builder

use std::{collections::BTreeMap, io};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderValue;

use super::{
    Client,
    auth::{RegistryAuth, Secret},
    body::{ByteStream, JsonStream, upload},
    buildkit::{BuildSession, Offer, Transcript},
    error::{Error, Result},
    images::ImageId,
    model::{Filters, Labels, Pruned, Vars},
    negotiate::ApiVersion,
    progress::{Job, Progress, ProgressStream},
    request::Call,
};

/// Which builder of the engine is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Builder {
    /// The classic one (`version=1`): one container a step, on every engine.
    #[default]
    Classic,
    /// BuildKit within the engine (`version=2`).
    BuildKit,
}

impl Builder {
    fn version(self) -> &'static str {
        match self {
            Self::Classic => "1",
            Self::BuildKit => "2",
        }
    }
}

/// How to build an image.
///
/// ```
/// use sh0_docker::client::{BuildOptions, Vars};
/// let options = BuildOptions {
///     tags: vec!["shop/web:42".into()],
///     build_args: Vars::from([("NODE_ENV", "production")]),
///     memory_bytes: Some(1 << 30),
///     ..BuildOptions::default()
/// };
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// Names for the image, `name:tag`.
    pub tags: Vec<String>,
    /// Path of the Dockerfile inside the context; `Dockerfile` when absent.
    pub dockerfile: Option<String>,
    /// Values for `ARG`. They end up in the image's history: no place for secrets.
    pub build_args: Vars,
    /// What `RUN --mount=type=secret,id=NAME` gets, by name, each at most 500 KB: in no layer and no history. BuildKit
    /// only.
    pub secrets: BTreeMap<String, Secret>,
    /// Labels of the image. The classic builder sets them with the last step, so what a failed or cancelled build
    /// leaves behind (the images of the steps before) has none of them and no prune by label finds it. A `LABEL` as the
    /// first instruction of each stage of the Dockerfile is on all of them.
    pub labels: Labels,
    /// Build every step anew.
    pub no_cache: bool,
    /// Look for newer base images even when there are local ones.
    pub pull: bool,
    /// Stage to stop at.
    pub target: Option<String>,
    /// Network for `RUN`: `none`, `host`, or, with the classic builder, a network's name.
    pub network: Option<String>,
    /// Memory limit of each `RUN`, in bytes, with no swap on top. Classic builder only: BuildKit has no limits.
    pub memory_bytes: Option<u64>,
    /// CPU time of each `RUN` in microseconds per 100 ms, e.g. 50 000 for half a processor. Classic builder only.
    pub cpu_quota_micros: Option<u64>,
    /// Share of each `RUN` when processors are short; other containers have 1024. Classic builder only: all builds of
    /// BuildKit together have the share of one container.
    pub cpu_shares: Option<u64>,
    /// Images whose layers may be reused.
    pub cache_from: Vec<String>,
    /// `os/arch` to build for.
    pub platform: Option<String>,
    /// Credentials for base images, by registry. No header is sent when empty.
    pub auth: BTreeMap<String, RegistryAuth>,
    /// Which builder.
    pub builder: Builder,
}

/// A running build; see [`ProgressStream`]. The classic builder's output comes in [`Progress::stream`], BuildKit's in
/// [`Progress::steps`]; [`Progress::output`] is either.
#[derive(Debug)]
pub struct Build {
    progress: ProgressStream,
    transcript: Transcript,
    /// Open until the build has ended.
    _session: Option<BuildSession>,
}

impl Build {
    /// Reads to the end and returns the image.
    ///
    /// # Errors
    /// [`Error::Stream`] when a step failed (`code` is then its exit code) or the engine ended without an image.
    pub async fn finish(self) -> Result<ImageId> {
        let last = self.progress.outcomes().await?.pop();
        last.map(ImageId::from).ok_or_else(|| Error::head("the build told no image"))
    }

    /// Puts a message of BuildKit into words.
    fn tell(&mut self, mut progress: Progress) -> Result<Progress> {
        if let Some(trace) = progress.take_trace() {
            let read = STANDARD.decode(trace).ok().and_then(|message| self.transcript.add(&message).ok());
            progress.steps = read.ok_or_else(|| Error::head("the progress of the build cannot be read"))?;
        }
        Ok(progress)
    }
}

impl Stream for Build {
    type Item = Result<Progress>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let item = std::task::ready!(std::pin::Pin::new(&mut self.progress).poll_next(cx));
        let item = item.map(|item| item.and_then(|progress| self.tell(progress)));
        if matches!(item, Some(Err(_))) {
            self.progress.end();
        }
        std::task::Poll::Ready(item)
    }
}

impl Client {
    /// Builds an image from a tar stream (plain or gzip) with the context. Intermediate containers are always removed,
    /// after a failed step too. Dropping the [`Build`] cancels it. API: `POST /build`, with BuildKit beside `POST
    /// /session`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for secrets without BuildKit, [`Error::BadRequest`] for a Dockerfile that cannot be read,
    /// [`Error::Upload`] when `context` fails. A failing step is an item of the returned stream.
    pub async fn build_image<S>(&self, options: &BuildOptions, context: S) -> Result<Build>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let mut call = build_call(options)?;
        let session = match options.builder {
            Builder::Classic => None,
            Builder::BuildKit => {
                let offer = Offer { secrets: options.secrets.clone(), auth: options.auth.clone() };
                let session = self.transport.open_session(offer).await?;
                call = call.query("session", &session.id);
                Some(session)
            }
        };
        // No answer is due before the context is sent and the first step speaks: no time limit.
        let (response, _) = self.transport.stream_untimed(&call, upload(context)).await?;
        let messages = JsonStream::new(ByteStream::new(response.into_body()), "build progress");
        let progress = ProgressStream::new(messages, Job::Build);
        Ok(Build { progress, transcript: Transcript::default(), _session: session })
    }

    /// Removes build cache that no image and no running build uses, what was used least lately first, until no more than
    /// `keep_bytes` are left; `all` also takes what belongs to BuildKit itself. API: `POST /build/prune`.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn prune_build_cache(&self, all: bool, keep_bytes: u64, filters: &Filters) -> Result<Pruned> {
        // `keep-storage` has another name from API 1.48 on.
        let keep = match self.engine().await?.api >= ApiVersion::new(1, 48) {
            true => "reserved-space",
            false => "keep-storage",
        };
        let call = Call::post("/build/prune")
            .flag("all", all)
            .query_some(keep, (keep_bytes > 0).then(|| keep_bytes.to_string()))
            .query_some("filters", filters.query())
            .slow();
        let answer: super::images::PruneAnswer = self.json(&call).await?;
        Ok(answer.into())
    }
}

fn build_call(options: &BuildOptions) -> Result<Call> {
    let number = |value: u64| value.to_string();
    let json = |map: &BTreeMap<String, String>| serde_json::to_string(map).map_err(Error::json("build options"));
    if options.builder == Builder::Classic && !options.secrets.is_empty() {
        let reason = "the classic builder would leave them in layers: they need BuildKit".to_owned();
        return Err(Error::InvalidInput { what: "build secrets", reason });
    }
    let mut call = Call::post("/build")
        .query("version", options.builder.version())
        // `rm` alone leaves the container of a failed step behind.
        .query("rm", "1")
        .query("forcerm", "1")
        .query_some("dockerfile", options.dockerfile.as_ref())
        .query_some("target", options.target.as_ref())
        .query_some("networkmode", options.network.as_ref())
        .query_some("platform", options.platform.as_ref())
        .query_some("memory", options.memory_bytes.map(number))
        .query_some("memswap", options.memory_bytes.map(number))
        .query_some("cpuquota", options.cpu_quota_micros.map(number))
        .query_some("cpuperiod", options.cpu_quota_micros.map(|_| "100000"))
        .query_some("cpushares", options.cpu_shares.map(number))
        .flag("nocache", options.no_cache)
        .flag("pull", options.pull);
    for tag in &options.tags {
        call = call.query("t", tag);
    }
    if !options.build_args.is_empty() {
        call = call.query("buildargs", &json(options.build_args.as_map())?);
    }
    if !options.labels.is_empty() {
        call = call.query("labels", &json(&options.labels)?);
    }
    if !options.cache_from.is_empty() {
        let list = serde_json::to_string(&options.cache_from).map_err(Error::json("build options"))?;
        call = call.query("cachefrom", &list);
    }
    if !options.auth.is_empty() {
        call = call.header("x-registry-config", RegistryAuth::config_header(&options.auth)?);
    }
    Ok(call.header("content-type", HeaderValue::from_static("application/x-tar")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_builder_and_the_clean_up_are_always_explicit() {
        let call = build_call(&BuildOptions::default()).unwrap();
        assert_eq!(call.query, "version=1&rm=1&forcerm=1");
        assert!(!call.headers.iter().any(|(name, _)| name == "x-registry-config"));
    }

    #[test]
    fn secrets_are_refused_where_they_would_stay_and_are_in_no_request() {
        let secrets = BTreeMap::from([("TOKEN".to_owned(), Secret::new("hunter2"))]);
        let classic = BuildOptions { secrets, ..BuildOptions::default() };
        assert!(build_call(&classic).err().unwrap().to_string().contains("BuildKit"));
        let buildkit = BuildOptions { builder: Builder::BuildKit, ..classic };
        assert_eq!(build_call(&buildkit).unwrap().query, "version=2&rm=1&forcerm=1");
        assert!(!format!("{buildkit:?}").contains("hunter2"));
    }

    #[test]
    fn memory_means_memory_without_swap() {
        let options = BuildOptions { memory_bytes: Some(1024), ..BuildOptions::default() };
        assert!(build_call(&options).unwrap().query.contains("memory=1024&memswap=1024"));
    }
}
