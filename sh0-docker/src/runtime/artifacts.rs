//! Images: pulled, listed, held, removed.

use futures_util::TryStreamExt;
use sh0_core::Result;
use sh0_core::model::{AppId, Artifact, ImageRef, LogStream, RuntimeKind};
use sh0_core::traits::{InstanceSpec, OutputSink};

use super::DockerRuntime;
use super::fault::{no_image, told};
use super::labels;
use crate::client::{Filters, ListContainers, ListImages, Progress, RemoveImage};

/// The repository, followed by the app, in which the builds of an app and the pulled images that it holds have names.
pub(super) const HELD: &str = "sh0/";

/// What the tags of pulled images begin with there.
const HOLD_TAG: &str = ":image-";

impl DockerRuntime {
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

    pub(super) async fn artifact(&self, name: &str, image: Option<ImageRef>) -> Result<Artifact> {
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
            None => self.discard(&artifact.id).await,
            Some(image) => match hold(image) {
                Some(hold) => self.let_go(&artifact.id, hold).await,
                // As it was pulled: other apps may hold it.
                None => Ok(()),
            },
        }
    }

    /// Removes an image that was built. Where somebody else has given it a name, runs a container or has built an image
    /// from it, it only loses the names that are ours: nobody asked for theirs to be touched.
    async fn discard(&self, id: &str) -> Result<()> {
        let image = match self.client.inspect_image(id).await {
            Err(error) if error.is_not_found() => return Ok(()),
            image => image.map_err(told)?,
        };
        let (ours, theirs): (Vec<_>, Vec<_>) = image.repo_tags.iter().partition(|name| name.starts_with(HELD));
        if !theirs.is_empty() {
            for name in ours {
                self.remove(name, false).await?;
            }
            tracing::debug!(id, ?theirs, "an image stays");
            return Ok(());
        }
        let refused = match self.client.remove_image(id, RemoveImage { force: true, keep_parents: false }).await {
            Err(error) if error.is_conflict() => error,
            Err(error) if !error.is_not_found() => return Err(told(error)),
            _ => return Ok(()),
        };
        let users = ListContainers { all: true, filters: self.ours(None).add("ancestor", id) };
        let users = self.client.list_containers(&users).await.map_err(told)?;
        // Labels of an image come into every container of it; those of an instance are more.
        if users.iter().any(|container| labels::read(&container.labels).is_some()) {
            return Err(told(refused));
        }
        for name in ours {
            // With force the engine takes the last name, too; what runs keeps the image.
            self.remove(name, true).await?;
        }
        tracing::debug!(id, error = %refused, "an image stays");
        Ok(())
    }

    /// Takes the app's hold from a pulled image, and removes it when no other app holds it, no container uses it, and it
    /// has no more than the one name under which it came.
    async fn let_go(&self, id: &str, hold: &str) -> Result<()> {
        self.remove(hold, false).await?;
        match self.client.inspect_image(id).await {
            Ok(image) if image.repo_tags.iter().any(|name| name.starts_with(HELD)) => Ok(()),
            Ok(_) => self.remove(id, false).await,
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(told(error)),
        }
    }

    /// Takes a name from an image, the image with its last one; what somebody else uses stays.
    async fn remove(&self, name: &str, force: bool) -> Result<()> {
        match self.client.remove_image(name, RemoveImage { force, keep_parents: false }).await {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(told(error)),
            _ => Ok(()),
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
pub(super) fn print(progress: &Progress, take: &mut dyn FnMut(&str)) {
    let status = progress.status.as_deref().map(|status| match &progress.id {
        Some(id) => format!("{id}: {status}"),
        None => status.to_owned(),
    });
    for text in progress.stream.iter().chain(status.iter()) {
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).for_each(&mut *take);
    }
}
