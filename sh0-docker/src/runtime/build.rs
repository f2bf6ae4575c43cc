//! Images, built from a tree and a plan: by BuildKit where the engine has it, else by the classic builder.

use futures_util::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use sh0_core::model::{Artifact, ENV_DIGEST, EnvKey, ImagePlan, LogStream, Secret};
use sh0_core::traits::{BuildRequest, OutputSink};
use sh0_core::{Code, Error, Result};
use sha2::Sha256;

use super::DockerRuntime;
use super::artifacts::HELD;
use super::context::Context;
use super::failure::Account;
use super::fault::told;
use super::labels::{APP, MANAGED, PLATFORM};
use crate::client::{self, BuildOptions, Builder, Filters, Labels};

/// Where a generated Dockerfile lies in the context: beside nothing of the owner's.
const DOCKERFILE: &str = ".sh0/Dockerfile";

/// Where the static file server lies in the context; generated Dockerfiles copy this folder to `/`.
const ROOTFS: &str = ".sh0/rootfs";

/// The static file server's name in the image.
const STATIC_SERVER: &str = "sh0-static";

/// What builds yield to whatever serves: an eighth of the usual share. Classic builder only; all of BuildKit's builds
/// together have the share of one container.
const BUILD_CPU_SHARES: u64 = 128;

/// How often a build begins when layers are taken from it.
const BUILDS: usize = 3;

/// Stands before the id of each cache mount. It is an instruction for the frontend: no command sees it.
const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";

impl DockerRuntime {
    /// The one choice of a builder: what the engine has, unless the owner of the platform wants another one.
    pub(super) async fn builder(&self) -> Result<Builder> {
        match self.options.builder {
            Some(builder) => Ok(builder),
            None => Ok(self.client.engine().await.map_err(told)?.builder),
        }
    }

    pub(super) async fn build_image(&self, request: BuildRequest<'_>, sink: &dyn OutputSink) -> Result<Artifact> {
        let builder = self.builder().await?;
        if builder == Builder::Classic && !request.env.is_empty() {
            sink.line(
                LogStream::Stderr,
                "the app's variables are not given to image builds: they would stay in its layers",
            );
        }
        for _ in 0..BUILDS {
            match self.build_once(builder, &request, sink).await? {
                Some(artifact) => return Ok(artifact),
                None => sink.line(LogStream::Stderr, "a layer from the cache was removed meanwhile; once more"),
            }
        }
        let text = format!("layers of the builder's cache were removed during each of {BUILDS} builds; deploy again");
        Err(Error::new(Code::BuildFailed, text))
    }

    /// `None` when a layer that it took from the cache was removed before the build ended: another app's image was the
    /// last that had it. What was removed is not in the cache of the next build.
    async fn build_once(
        &self,
        builder: Builder,
        request: &BuildRequest<'_>,
        sink: &dyn OutputSink,
    ) -> Result<Option<Artifact>> {
        let (context, dockerfile, text) = self.context(request)?;
        let mut options = BuildOptions {
            // The tag names the newest build for people; releases refer to the image's id.
            tags: vec![format!("{HELD}{}:{}", request.app, request.deployment)],
            dockerfile: Some(dockerfile),
            // The same tree and plan give the same image, so nothing of the deployment is written into it.
            labels: Labels::from([
                (MANAGED.to_owned(), "1".to_owned()),
                (PLATFORM.to_owned(), request.platform.to_string()),
                (APP.to_owned(), request.app.to_string()),
            ]),
            no_cache: request.no_cache,
            cpu_shares: Some(BUILD_CPU_SHARES),
            builder,
            ..BuildOptions::default()
        };
        match builder {
            Builder::Classic => refuse_mounts(&text)?,
            Builder::BuildKit => {
                let secret = |(key, value): (&EnvKey, &Secret)| (key.to_string(), client::Secret::new(value.expose()));
                options.secrets = request.env.iter().map(secret).collect();
                let mut args = vec![(CACHE_NAMESPACE, format!("{}/{}", request.platform, request.app))];
                if text.contains(ENV_DIGEST) {
                    args.push((ENV_DIGEST, env_digest(request, self.options.digest_key.as_ref())?));
                }
                options.build_args = args.into_iter().collect();
            }
        }
        let mut build = self.client.build_image(&options, context.stream()).await.map_err(told)?;
        let mut account = Account::new(builder, &text, request.env);
        while let Some(progress) = build.next().await {
            match progress {
                Ok(progress) => account.hear(&progress, &mut |line| sink.line(LogStream::Stdout, line)),
                Err(error) if lost_layer(&error) => return Ok(None),
                Err(error) => return Err(account.error(error)),
            }
        }
        let id = build.finish().await.map_err(|error| account.error(error))?;
        self.artifact(id.as_str(), None).await.map(Some)
    }

    /// BuildKit keeps what was used most lately, up to a bound; some engines have none of their own. What the classic
    /// builder keeps are layers of images, and goes with them.
    pub(super) async fn trim_cache(&self) -> Result<()> {
        let Some(keep) = self.options.build_cache else { return Ok(()) };
        if self.builder().await? == Builder::BuildKit {
            let pruned = self.client.prune_build_cache(false, keep, &Filters::new()).await.map_err(told)?;
            tracing::debug!(bytes = pruned.freed_bytes, "trimmed the build cache");
        }
        Ok(())
    }

    /// The context, the path of its Dockerfile, and the Dockerfile's text.
    fn context(&self, request: &BuildRequest<'_>) -> Result<(Context, String, String)> {
        let tree = request.tree.clone();
        match &request.plan.image {
            ImagePlan::Generated { dockerfile, dockerignore } => {
                let files = match dockerfile.contains(ROOTFS) {
                    true => self.static_server()?,
                    false => Vec::new(),
                };
                let texts = vec![(DOCKERFILE.to_owned(), dockerfile.clone())];
                Ok((
                    Context { tree, ignore: dockerignore.clone(), keep: None, texts, files },
                    DOCKERFILE.to_owned(),
                    dockerfile.clone(),
                ))
            }
            ImagePlan::Dockerfile { path } => {
                let text = std::fs::read_to_string(tree.join(path.as_str())).map_err(|error| {
                    Error::new(Code::BuildFailed, format!("{path} cannot be read: {error}")).with_source(error)
                })?;
                // `<Dockerfile>.dockerignore` beats `.dockerignore`, as with docker build.
                let own = tree.join(format!("{path}.dockerignore"));
                let ignore =
                    std::fs::read_to_string(own).or_else(|_| std::fs::read_to_string(tree.join(".dockerignore")));
                let keep = Some(path.as_str().into());
                let files = match text.contains(ROOTFS) {
                    true => self.static_server()?,
                    false => Vec::new(),
                };
                Ok((
                    Context { tree, ignore: ignore.unwrap_or_default(), keep, texts: Vec::new(), files },
                    path.to_string(),
                    text,
                ))
            }
            ImagePlan::None | ImagePlan::Pull => Err(Error::new(
                Code::BuildFailed,
                "this tree cannot be made into an image: add a Dockerfile, or run it without Docker (`--runtime process`)",
            )),
        }
    }

    /// The server and its libraries: the libraries keep their paths, which are written into the program.
    fn static_server(&self) -> Result<Vec<(String, std::path::PathBuf)>> {
        let [program, libraries @ ..] = self.options.static_server.as_slice() else {
            let text =
                "static apps need the static file server in their image, and this platform was opened without one";
            return Err(Error::new(Code::Unsupported, text));
        };
        let mut files = vec![(format!("{ROOTFS}/{STATIC_SERVER}"), program.clone())];
        files.extend(libraries.iter().map(|library| (format!("{ROOTFS}{}", library.display()), library.clone())));
        Ok(files)
    }
}

/// The classic builder fails at a mount as well, but only when it comes to it, and does not say what to do.
fn refuse_mounts(dockerfile: &str) -> Result<()> {
    let mount = dockerfile.lines().find(|line| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("run")) && line.contains("--mount=")
    });
    let Some(line) = mount else { return Ok(()) };
    let what = match line.contains("type=secret") {
        true => "a secret, which would stay in a layer of the image without it",
        false => "a mount",
    };
    let text = format!(
        "the Dockerfile needs BuildKit, and this engine builds with the classic builder: `{}` asks for {what}. Use Docker Engine \
         20.10 or newer with BuildKit switched on, or take `--mount` out of the Dockerfile",
        line.trim()
    );
    Err(Error::new(Code::Unsupported, text))
}

/// Changes with the variables of the build: their HMAC-SHA256. It comes into the engine's cache, where nobody can try values
/// on it without the key.
fn env_digest(request: &BuildRequest<'_>, key: Option<&Secret>) -> Result<String> {
    let key = key.map(Secret::expose).unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|error| Error::internal(error.to_string()))?;
    mac.update(format!("{}/{}\n", request.platform, request.app).as_bytes());
    for (key, value) in request.env {
        mac.update(format!("{key} {}\n", value.expose().len()).as_bytes());
        mac.update(value.expose().as_bytes());
    }
    Ok(mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What the classic builder says when the parent of a new layer is gone (moby, `image/store.go`, `SetParent`).
fn lost_layer(error: &client::Error) -> bool {
    matches!(error, client::Error::Stream { message, .. } if message.contains("failed to set parent"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use sh0_core::model::{AppId, DeploymentId, Plan, PlatformId};
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn the_digest_of_variables_needs_the_key() {
        let (plan, env) = (Plan::default(), BTreeMap::from([("PIN".parse().unwrap(), Secret::new("1234"))]));
        let nil = ulid::Ulid::nil();
        let request = BuildRequest {
            platform: PlatformId::new(nil),
            app: AppId::new(nil),
            deployment: DeploymentId::new(nil),
            tree: "/x".into(),
            plan: &plan,
            env: &env,
            no_cache: false,
        };
        let (one, two) = (Secret::new("one"), Secret::new("two"));
        let digests: BTreeSet<_> = [None, Some(&one), Some(&two)].map(|key| env_digest(&request, key).unwrap()).into();
        assert_eq!(digests.len(), 3);
        assert!(digests.contains(&env_digest(&request, Some(&one)).unwrap()), "the same each time");
        let other = BTreeMap::from([("PIN".parse().unwrap(), Secret::new("1235"))]);
        let other = BuildRequest { env: &other, ..request };
        assert!(!digests.contains(&env_digest(&other, Some(&one)).unwrap()));
    }

    #[test]
    fn a_lost_layer_is_no_failure_of_the_app() {
        let said =
            |message: &str| client::Error::Stream { operation: "build", message: message.to_owned(), code: None };
        let lost = "failed to export image: failed to set parent sha256:fec0: unknown parent image ID sha256:fec0";
        assert!(lost_layer(&said(lost)));
        assert!(!lost_layer(&said("failed to export image: no space left on device")));
    }
}
