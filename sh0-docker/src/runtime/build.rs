//! Images, built from a tree and a plan: by BuildKit where the engine has it, else by the classic builder.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use sh0_core::model::{Artifact, ENV_DIGEST, EnvKey, ImagePlan, LogStream, Secret};
use sh0_core::traits::{BuildRequest, LastLines, OutputSink};
use sh0_core::{Code, Error, Result};
use sha2::{Digest, Sha256};

use super::DockerRuntime;
use super::artifacts::{HELD, print};
use super::context::Context;
use super::fault::{no_image, told};
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
                    args.push((ENV_DIGEST, env_digest(request)));
                }
                options.build_args = args.into_iter().collect();
            }
        }
        let mut build = self.client.build_image(&options, context.stream()).await.map_err(told)?;
        let mut step = Step::default();
        while let Some(progress) = build.next().await {
            match progress {
                Ok(progress) => print(&progress, &mut |line| {
                    let line = without_preamble(line, request.env);
                    step.line(&line);
                    sink.line(LogStream::Stdout, &line);
                }),
                Err(error) if lost_layer(&error) => return Ok(None),
                Err(error) => return Err(failed(error, &text, &step, request.env)),
            }
        }
        let id = build.finish().await.map_err(|error| failed(error, &text, &step, request.env))?;
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

/// Changes with the variables of the build. It comes into the engine's cache, so it has the app's own salt, and says nothing
/// about a value to whoever does not know it already.
fn env_digest(request: &BuildRequest<'_>) -> String {
    let mut digest = Sha256::new();
    digest.update(format!("{}/{}\n", request.platform, request.app));
    for (key, value) in request.env {
        digest.update(format!("{key} {}\n", value.expose().len()));
        digest.update(value.expose());
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What stands before a command of a generated Dockerfile to give it its variables is not what its owner wrote.
fn without_preamble(line: &str, env: &BTreeMap<EnvKey, Secret>) -> String {
    let mut line = line.to_owned();
    for key in env.keys().filter(|_| line.contains("/run/secrets/")).collect::<Vec<_>>() {
        line = line
            .replace(&format!("--mount=type=secret,id={key},target=/run/secrets/{key} "), "")
            .replace(&format!("export {key}=\"$(cat /run/secrets/{key})\" && "), "");
    }
    line
}

/// Where a builder is, from what it prints.
#[derive(Default)]
struct Step {
    /// The base image that it came to last.
    stage: Option<String>,
    /// What the present step has printed.
    last: LastLines,
}

impl Step {
    fn line(&mut self, line: &str) {
        // The classic builder says so before it begins: `Step 4/9 : FROM debian:bookworm`.
        let instruction = line.strip_prefix("Step ").and_then(|rest| rest.split_once(" : "));
        match instruction {
            Some((count, instruction)) if count.bytes().all(|byte| byte.is_ascii_digit() || byte == b'/') => {
                self.last.clear();
                if let Some(from) = instruction.strip_prefix("FROM ") {
                    let image = from.split_whitespace().find(|word| !word.starts_with("--"));
                    self.stage = image.map(str::to_owned);
                }
            }
            // Its own words: ` ---> Running in 4f66ad9a0b2e`.
            _ if line.starts_with(" ---> ") || line.starts_with("Removing intermediate container ") => {}
            _ if is_step_of_buildkit(line) => self.last.clear(),
            _ => match line.strip_prefix("ERROR [") {
                // BuildKit says which image when it has not found it, and repeats which step has failed.
                Some(failed) => {
                    if let Some(image) = failed.strip_prefix("internal] load metadata for ") {
                        self.stage = Some(image.to_owned());
                    }
                }
                None => self.last.push(line),
            },
        }
    }
}

/// Whether it begins a step of BuildKit, or comes back to it: `[build 2/4] RUN npm ci`. Package managers count as well, but
/// not in instructions.
fn is_step_of_buildkit(line: &str) -> bool {
    let named = line.strip_prefix("CACHED ").unwrap_or(line).strip_prefix('[').and_then(|rest| rest.split_once("] "));
    let Some((_, instruction)) = named else { return false };
    let word = instruction.split_whitespace().next().unwrap_or_default();
    ["FROM", "RUN", "COPY", "ADD", "WORKDIR"].contains(&word)
}

/// What the classic builder says when the parent of a new layer is gone (moby, `image/store.go`, `SetParent`).
fn lost_layer(error: &client::Error) -> bool {
    matches!(error, client::Error::Stream { message, .. } if message.contains("failed to set parent"))
}

/// A failed build: when it failed for a base image, the error names the image and the ways out; when a command failed, it
/// has that command's last lines.
fn failed(error: client::Error, dockerfile: &str, step: &Step, env: &BTreeMap<EnvKey, Secret>) -> Error {
    let text = error.to_string();
    let about_image =
        ["pull", "manifest", "registry", "dial tcp", "no such host"].iter().any(|word| text.contains(word));
    let is_step = matches!(&error, client::Error::Stream { code: Some(code), .. } if *code != 0);
    // BuildKit names an image in full: `docker.io/library/node:20`.
    let is_named = |image: &String| {
        text.contains(image.as_str()) || step.stage.as_ref().is_some_and(|stage| stage.ends_with(image.as_str()))
    };
    match base_images(dockerfile).into_iter().find(is_named) {
        Some(image) if about_image && !is_step => no_image(&image, error),
        None if about_image && !is_step => {
            match step.stage.clone().or_else(|| base_images(dockerfile).into_iter().next()) {
                Some(image) => no_image(&image, error),
                None => told(error),
            }
        }
        _ => match error {
            client::Error::Stream { message, .. } => {
                let reason = format!("the image could not be built: {}", without_preamble(&message, env));
                if is_step { step.last.build_failed(reason) } else { Error::new(Code::BuildFailed, reason) }
            }
            error => told(error),
        },
    }
}

/// The images that a Dockerfile builds upon, its own stages left out.
fn base_images(dockerfile: &str) -> Vec<String> {
    let (mut images, mut stages) = (Vec::new(), vec!["scratch".to_owned()]);
    for line in dockerfile.lines() {
        let mut words = line.split_whitespace().filter(|word| !word.starts_with("--"));
        if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("from")) {
            continue;
        }
        let Some(image) = words.next() else { continue };
        if !stages.iter().any(|stage| stage == image) {
            images.push(image.to_owned());
        }
        if let (Some(_), Some(stage)) = (words.next(), words.next()) {
            stages.push(stage.to_owned());
        }
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_images_without_stages() {
        let text = "FROM node:20 AS build\nRUN x\nfrom --platform=linux/amd64 debian:bookworm as run\nFROM build\nFROM scratch\n";
        assert_eq!(base_images(text), ["node:20", "debian:bookworm"]);
    }

    #[test]
    fn a_command_is_told_as_its_owner_wrote_it() {
        let env = BTreeMap::from([("TOKEN".parse().unwrap(), Secret::new("x"))]);
        let line = "RUN --mount=type=secret,id=TOKEN,target=/run/secrets/TOKEN export TOKEN=\"$(cat /run/secrets/TOKEN)\" && npm ci";
        assert_eq!(without_preamble(line, &env), "RUN npm ci");
        assert_eq!(without_preamble("cat /run/secrets/OTHER", &env), "cat /run/secrets/OTHER");
    }

    #[test]
    fn a_lost_layer_is_no_failure_of_the_app() {
        let said =
            |message: &str| client::Error::Stream { operation: "build", message: message.to_owned(), code: None };
        let lost = "failed to export image: failed to set parent sha256:fec0: unknown parent image ID sha256:fec0";
        assert!(lost_layer(&said(lost)));
        assert!(!lost_layer(&said("failed to export image: no space left on device")));
    }

    #[test]
    fn a_missing_base_image_is_named_with_the_ways_out() {
        let message =
            "Get \"https://registry.example/v2/\": dial tcp: lookup registry.example: no such host".to_owned();
        let offline = client::Error::Stream { operation: "build", message, code: None };
        let (env, mut step) = (BTreeMap::new(), Step::default());
        step.line("Step 3/9 : FROM --platform=linux/amd64 node:20 AS run");
        let error = failed(offline, "FROM rust AS build\nFROM --platform=linux/amd64 node:20 AS run\n", &step, &env);
        for word in ["node:20", "--image-mirror", "--runtime process"] {
            assert!(error.detail().contains(word), "{word}: {}", error.detail());
        }
        let message = "The command '/bin/sh -c npm ci' returned a non-zero code: 1 (registry)".to_owned();
        for line in ["Step 4/9 : RUN npm ci", " ---> Running in 4f66ad9a0b2e", "\u{1b}[91mnpm error code EJSONPARSE"] {
            step.line(line);
        }
        let refused = client::Error::Stream { operation: "build", message, code: Some(1) };
        let error = failed(refused, "FROM node:20\n", &step, &env);
        assert!(!error.detail().contains("--image-mirror"), "{}", error.detail());
        assert!(error.detail().ends_with("; its last lines:\nnpm error code EJSONPARSE"), "{}", error.detail());
    }

    #[test]
    fn the_last_lines_are_those_of_the_step_that_buildkit_came_to_last() {
        let mut step = Step::default();
        for line in [
            "[build 2/4] RUN one",
            "of one",
            "CACHED [build 3/4] COPY . .",
            "[build 4/4] RUN yarn",
            "[1/4] Resolving packages...",
            "no",
            "ERROR [build 4/4] RUN yarn",
        ] {
            step.line(line);
        }
        assert_eq!(step.last.behind("x"), "x; its last lines:\n[1/4] Resolving packages...\nno");
        step.line("ERROR [internal] load metadata for docker.io/library/node:20");
        assert_eq!(step.stage.as_deref(), Some("docker.io/library/node:20"));
    }
}
