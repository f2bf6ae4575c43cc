//! Images: built from a plan, pulled, listed, removed.

use futures_util::{StreamExt, TryStreamExt};
use sh0_core::model::{AppId, Artifact, ImagePlan, ImageRef, LogStream, RuntimeKind};
use sh0_core::traits::{BuildRequest, InstanceSpec, LastLines, OutputSink};
use sh0_core::{Code, Error, Result};

use super::DockerRuntime;
use super::context::Context;
use super::fault::{no_image, told};
use super::labels::{APP, MANAGED, PLATFORM};
use crate::client::{self, BuildOptions, Filters, Labels, ListImages, Progress, RemoveImage};

/// Where a generated Dockerfile lies in the context: beside nothing of the owner's.
const DOCKERFILE: &str = ".sh0/Dockerfile";

/// Where the static file server lies in the context; generated Dockerfiles copy this folder to `/`.
const ROOTFS: &str = ".sh0/rootfs";

/// The static file server's name in the image.
const STATIC_SERVER: &str = "sh0-static";

/// The repository, followed by the app, in which the builds of an app and the pulled images that it holds have names.
const HELD: &str = "sh0/";

/// What the tags of pulled images begin with there.
const HOLD_TAG: &str = ":image-";

/// What builds yield to whatever serves: an eighth of the usual share.
const BUILD_CPU_SHARES: u64 = 128;

/// How often a build begins when layers are taken from it.
const BUILDS: usize = 3;

impl DockerRuntime {
    pub(super) async fn build_image(&self, request: BuildRequest<'_>, sink: &dyn OutputSink) -> Result<Artifact> {
        if !request.env.is_empty() {
            sink.line(
                LogStream::Stderr,
                "the app's variables are not given to image builds: they would stay in its layers",
            );
        }
        for _ in 0..BUILDS {
            match self.build_once(&request, sink).await? {
                Some(artifact) => return Ok(artifact),
                None => sink.line(LogStream::Stderr, "a layer from the cache was removed meanwhile; once more"),
            }
        }
        let text = format!("layers of the builder's cache were removed during each of {BUILDS} builds; deploy again");
        Err(Error::new(Code::BuildFailed, text))
    }

    /// `None` when a layer that it took from the cache was removed before the build ended: another app's image was the
    /// last that had it. What was removed is not in the cache of the next build.
    async fn build_once(&self, request: &BuildRequest<'_>, sink: &dyn OutputSink) -> Result<Option<Artifact>> {
        let (context, dockerfile, text) = self.context(request)?;
        let options = BuildOptions {
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
            ..BuildOptions::default()
        };
        let mut build = self.client.build_image(&options, context.stream()).await.map_err(told)?;
        let mut step = Step::default();
        while let Some(progress) = build.next().await {
            match progress {
                Ok(progress) => print(&progress, &mut |line| {
                    step.line(line);
                    sink.line(LogStream::Stdout, line);
                }),
                Err(error) if lost_layer(&error) => return Ok(None),
                Err(error) => return Err(failed(error, &text, &step)),
            }
        }
        let id = build.finish().await.map_err(|error| failed(error, &text, &step))?;
        self.artifact(id.as_str(), None).await.map(Some)
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

    /// A pull asks the registry for the newest; an image that is here already serves when the registry cannot be reached.
    pub(super) async fn pull_image(&self, image: &ImageRef, sink: &dyn OutputSink) -> Result<Artifact> {
        let pulled = async {
            let mut pull = self.client.pull_image(image.as_str(), None).await?;
            while let Some(progress) = pull.try_next().await? {
                // A line a change of state, not one a percent.
                if progress.detail.is_none_or(|detail| detail.total.is_none()) {
                    print(&progress, &mut |line| sink.line(LogStream::Stdout, line));
                }
            }
            pull.finish().await
        };
        if let Err(error) = pulled.await {
            if self.client.inspect_image(image.as_str()).await.is_err() {
                return Err(no_image(image.as_str(), error));
            }
            sink.line(
                LogStream::Stderr,
                &format!("{image} could not be pulled; the one that is here already is used ({error})"),
            );
        }
        self.artifact(image.as_str(), Some(image.clone())).await
    }

    async fn artifact(&self, name: &str, image: Option<ImageRef>) -> Result<Artifact> {
        let found = self.client.inspect_image(name).await.map_err(told)?;
        let port = found.config.exposed_ports().map(|port| port.number).min();
        Ok(Artifact { runtime: RuntimeKind::Docker, id: found.id, image, port })
    }

    /// What was built for the app, and the pulled images that it holds.
    pub(super) async fn images_of(&self, app: AppId) -> Result<Vec<Artifact>> {
        let list = async |filters| self.client.list_images(&ListImages { all: false, filters }).await.map_err(told);
        let built = list(self.ours(Some(app))).await?;
        let mut artifacts: Vec<Artifact> = built.into_iter().map(|image| artifact(image.id, None)).collect();
        let repository = format!("{HELD}{app}");
        for image in list(Filters::new().add("reference", &repository)).await? {
            if artifacts.iter().any(|built| built.id == image.id) {
                continue;
            }
            // Names of the app's builds are in the same repository, but builds were in the first list.
            let held = image.repo_tags.iter().find(|name| name.starts_with(&repository)).and_then(|n| n.parse().ok());
            artifacts.extend(held.map(|held| artifact(image.id, Some(held))));
        }
        Ok(artifacts)
    }

    /// Marks a pulled image as one that the app needs: with a name, since labels cannot be given to it.
    pub(super) async fn hold_image(&self, spec: &InstanceSpec) -> Result<()> {
        if spec.artifact.image.is_none() {
            return Ok(());
        }
        let short: String = spec.artifact.id.trim_start_matches("sha256:").chars().take(12).collect();
        let name = format!("{HELD}{}{HOLD_TAG}{short}", spec.labels.app);
        match self.client.tag_image(&spec.artifact.id, &name).await {
            // The create that follows says it better.
            Err(error) if !error.is_not_found() => Err(told(error)),
            _ => Ok(()),
        }
    }

    pub(super) async fn remove_image(&self, artifact: &Artifact) -> Result<()> {
        match &artifact.image {
            None => self.delete_image(&artifact.id, true).await,
            Some(image) => match hold(image) {
                Some(hold) => self.let_go(&artifact.id, hold).await,
                // As it was pulled: other apps may hold it.
                None => Ok(()),
            },
        }
    }

    /// Takes the app's hold from a pulled image, and removes it when no other app holds it, no container uses it, and it
    /// has no more than the one name under which it came.
    async fn let_go(&self, id: &str, hold: &str) -> Result<()> {
        self.delete_image(hold, false).await?;
        match self.client.inspect_image(id).await {
            Ok(image) if image.repo_tags.iter().any(|name| name.starts_with(HELD)) => Ok(()),
            Ok(_) => self.delete_image(id, false).await,
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    /// Without force, what somebody else uses stays.
    async fn delete_image(&self, image: &str, force: bool) -> Result<()> {
        match self.client.remove_image(image, RemoveImage { force, keep_parents: false }).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() || !force && error.is_conflict() => {
                tracing::debug!(image, %error, "an image stays");
                Ok(())
            }
            Err(error) => Err(told(error)),
        }
    }
}

/// The name by which an app holds an image. An image reference says its registry, the engine leaves the default one out.
fn hold(image: &ImageRef) -> Option<&str> {
    image.as_str().strip_prefix("docker.io/").filter(|name| name.starts_with(HELD) && name.contains(HOLD_TAG))
}

fn artifact(id: String, image: Option<ImageRef>) -> Artifact {
    Artifact { runtime: RuntimeKind::Docker, id, image, port: None }
}

/// What a build or a pull says, a line at a time.
fn print(progress: &Progress, take: &mut dyn FnMut(&str)) {
    let status = progress.status.as_deref().map(|status| match &progress.id {
        Some(id) => format!("{id}: {status}"),
        None => status.to_owned(),
    });
    for text in progress.stream.iter().chain(status.iter()) {
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).for_each(&mut *take);
    }
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
        // It says so before it begins: `Step 4/9 : FROM debian:bookworm`.
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
            _ => self.last.push(line),
        }
    }
}

/// What the classic builder says when the parent of a new layer is gone (moby, `image/store.go`, `SetParent`).
fn lost_layer(error: &client::Error) -> bool {
    matches!(error, client::Error::Stream { message, .. } if message.contains("failed to set parent"))
}

/// A failed build: when it failed for a base image, the error names the image and the ways out; when a command failed, it
/// has that command's last lines.
fn failed(error: client::Error, dockerfile: &str, step: &Step) -> Error {
    let text = error.to_string();
    let about_image =
        ["pull", "manifest", "registry", "dial tcp", "no such host"].iter().any(|word| text.contains(word));
    let is_step = matches!(&error, client::Error::Stream { code: Some(code), .. } if *code != 0);
    match base_images(dockerfile).into_iter().find(|image| text.contains(image.as_str())) {
        Some(image) if about_image && !is_step => no_image(&image, error),
        None if about_image && !is_step => {
            match step.stage.clone().or_else(|| base_images(dockerfile).into_iter().next()) {
                Some(image) => no_image(&image, error),
                None => told(error),
            }
        }
        _ => match error {
            client::Error::Stream { message, .. } => {
                let reason = format!("the image could not be built: {message}");
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
        let mut step = Step::default();
        step.line("Step 3/9 : FROM --platform=linux/amd64 node:20 AS run");
        let error = failed(offline, "FROM rust AS build\nFROM --platform=linux/amd64 node:20 AS run\n", &step);
        for word in ["node:20", "--image-mirror", "--runtime process"] {
            assert!(error.detail().contains(word), "{word}: {}", error.detail());
        }
        let message = "The command '/bin/sh -c npm ci' returned a non-zero code: 1 (registry)".to_owned();
        for line in ["Step 4/9 : RUN npm ci", " ---> Running in 4f66ad9a0b2e", "\u{1b}[91mnpm error code EJSONPARSE"] {
            step.line(line);
        }
        let error =
            failed(client::Error::Stream { operation: "build", message, code: Some(1) }, "FROM node:20\n", &step);
        assert!(!error.detail().contains("--image-mirror"), "{}", error.detail());
        assert!(error.detail().ends_with("; its last lines:\nnpm error code EJSONPARSE"), "{}", error.detail());
    }
}
