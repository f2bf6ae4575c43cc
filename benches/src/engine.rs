//! Docker Engines: the machine's, and one of a proof's own that may be stopped and started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::Signal;
use sh0::model::PlatformId;
use sh0_docker::client::{BuildOptions, Client, ContainerSummary, Endpoint, Filters, ListContainers, RemoveContainer};
use tempfile::TempDir;

use crate::{Outcome, system};

const START: Duration = Duration::from_secs(60);

/// The engine at the usual socket.
pub async fn usual() -> Outcome<Client> {
    Ok(Client::connect(Endpoint::default()).await?)
}

/// Every container that carries the labels of an instance of this platform. A container of somebody else inherits labels
/// from an image that sh0 built, but not all of them.
pub async fn labelled(client: &Client, platform: PlatformId) -> Outcome<Vec<ContainerSummary>> {
    let filters = Filters::new().label(format!("sh0.platform={platform}"));
    let mut found = client.list_containers(&ListContainers { all: true, filters }).await?;
    found.retain(|container| container.labels.contains_key("sh0.deployment"));
    Ok(found)
}

/// Removes what a proof left.
pub async fn sweep(client: &Client, platform: PlatformId) -> Outcome {
    for container in labelled(client, platform).await? {
        client.remove_container(&container.id, RemoveContainer { force: true, volumes: true }).await?;
    }
    Ok(())
}

/// Builds an image from a folder with a Dockerfile.
pub async fn build(client: &Client, tree: &Path, tag: &str) -> Outcome {
    let options = BuildOptions { tags: vec![tag.to_owned()], ..BuildOptions::default() };
    let mut archive = tar::Builder::new(Vec::new());
    // Engines do not know the kind of entry that holds a file with holes.
    archive.sparse(false);
    archive.append_dir_all(".", tree)?;
    let context = futures_util::stream::iter([Ok(Bytes::from(archive.into_inner()?))]);
    client.build_image(&options, context).await?.finish().await?;
    Ok(())
}

/// An engine with its own data, its own sockets and its own bridge: the machine's engine does not notice it.
pub struct OwnEngine {
    dir: TempDir,
    bridge: String,
    subnet: String,
    child: Option<Child>,
}

impl OwnEngine {
    /// Starts one.
    pub async fn start() -> Outcome<OwnEngine> {
        let dir = tempfile::Builder::new().prefix("sh0-dockerd-").tempdir()?;
        let number = std::process::id() % 200;
        let mut engine =
            OwnEngine { dir, bridge: format!("sh0br{number}"), subnet: format!("10.213.{number}.1/24"), child: None };
        run(Command::new("ip").args(["link", "add", "name", &engine.bridge, "type", "bridge"]))?;
        run(Command::new("ip").args(["addr", "add", &engine.subnet, "dev", &engine.bridge]))?;
        run(Command::new("ip").args(["link", "set", &engine.bridge, "up"]))?;
        engine.spawn()?;
        engine.ready().await?;
        Ok(engine)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    /// A client for it.
    pub async fn client(&self) -> Outcome<Client> {
        Ok(Client::connect(Endpoint::unix(self.socket())).await?)
    }

    /// Starts its process.
    pub fn spawn(&mut self) -> Outcome {
        let at = |name: &str| self.dir.path().join(name);
        let log = File::options().create(true).append(true).open(at("dockerd.log"))?;
        let mut dockerd = Command::new("dockerd");
        dockerd.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec"));
        dockerd.arg("--pidfile").arg(at("dockerd.pid")).arg("--bridge").arg(&self.bridge);
        dockerd.arg("--host").arg(format!("unix://{}", self.socket().display()));
        dockerd.args(["--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
        dockerd.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(dockerd.spawn()?);
        Ok(())
    }

    /// Waits until it answers.
    pub async fn ready(&mut self) -> Outcome {
        let began = Instant::now();
        while self.client().await.is_err() {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                let log = fs::read_to_string(self.dir.path().join("dockerd.log")).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                return Err(
                    format!("dockerd ended ({status}): {}", lines[lines.len().saturating_sub(8)..].join("\n")).into()
                );
            }
            if began.elapsed() > START {
                return Err("dockerd does not answer".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Ends it as a service manager does: containers end with it, and come back by their restart policy.
    pub fn stop(&mut self) -> Outcome {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        system::kill(child.id(), Signal::TERM);
        let began = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if began.elapsed() > START {
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        drop(self.stop());
        system::of_folder(self.dir.path()).iter().for_each(system::Process::kill);
        drop(run(Command::new("ip").args(["link", "delete", &self.bridge])));
        unmount_below(self.dir.path());
    }
}

/// Mounts that a killed engine leaves would keep its folder from being removed.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for place in places.filter(|place| place.starts_with(folder)).collect::<Vec<_>>().into_iter().rev() {
        drop(run(Command::new("umount").arg("--lazy").arg(place)));
    }
}

fn run(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
    }
}
