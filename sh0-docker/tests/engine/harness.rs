//! Finds the engine, gives each test names and labels of its own, and cleans up after it, also when it panics.

use std::{
    io,
    panic::resume_unwind,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use sh0_docker::client::{
    Client, ContainerSpec, Endpoint, Filters, Frame, Labels, ListContainers, ListImages, RemoveContainer, RemoveImage,
    Session, Source, WaitCondition,
};

const HELP: &str = "Docker tests skipped: install Docker 20.10 or newer, start its service, and import a base image, \
    for example `debootstrap --variant=minbase bookworm dir && tar -C dir -c . | docker import - sh0-test/debian:bookworm`";

/// A test's own corner of the engine.
#[derive(Clone)]
pub(crate) struct Corner {
    pub(crate) docker: Client,
    pub(crate) image: String,
    run: String,
    count: std::sync::Arc<AtomicU32>,
}

/// Runs a test with a multi-threaded runtime of its own.
pub(crate) fn with_engine<F, W>(test: F)
where
    F: FnOnce(Corner) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(corner) = Corner::find().await else {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty() || ci == "false"), "{HELP}");
            eprintln!("{HELP}");
            return;
        };
        let work = tokio::spawn(tokio::time::timeout(Duration::from_secs(240), test(corner.clone())));
        let result = work.await;
        corner.clean_up().await;
        match result {
            Ok(in_time) => in_time.expect("the test took too long"),
            Err(error) => resume_unwind(error.into_panic()),
        }
    });
}

impl Corner {
    async fn find() -> Option<Self> {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let endpoint = match std::env::var("DOCKER_HOST") {
            Ok(host) if !host.is_empty() => host.parse().expect("DOCKER_HOST"),
            _ => Endpoint::default(),
        };
        let docker = match Client::connect(endpoint).await {
            Ok(docker) => docker,
            Err(error) => {
                eprintln!("{error}");
                return None;
            }
        };
        let image = std::env::var("SH0_TEST_IMAGE").unwrap_or_else(|_| "sh0-test/debian:bookworm".to_owned());
        if let Err(error) = docker.inspect_image(&image).await {
            eprintln!("{image}: {error}");
            return None;
        }
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
        let number = TESTS.fetch_add(1, Ordering::Relaxed);
        let run = format!("sh0-test-{}-{number}-{nanos}", std::process::id());
        Some(Self { docker, image, run, count: std::sync::Arc::default() })
    }

    /// A name that nobody else has.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.run, self.count.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn labels(&self) -> Labels {
        [("sh0.test", "1"), ("sh0.test.run", &self.run)].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    /// The labels as an instruction, for builds that fail: see `BuildOptions::labels`.
    pub(crate) fn label_line(&self) -> String {
        format!("LABEL sh0.test=1 sh0.test.run={}", self.run)
    }

    /// Everything of this test.
    pub(crate) fn mine(&self) -> Filters {
        Filters::new().label("sh0.test=1").label(format!("sh0.test.run={}", self.run))
    }

    /// A container of the base image that runs a shell script.
    pub(crate) fn script(&self, script: &str) -> ContainerSpec {
        ContainerSpec {
            image: self.image.clone(),
            cmd: Some(vec!["sh".into(), "-c".into(), script.into()]),
            labels: self.labels(),
            network: Some(sh0_docker::client::NetworkMode::None),
            ..ContainerSpec::default()
        }
    }

    pub(crate) async fn create(&self, spec: &ContainerSpec) -> String {
        self.docker.create_container(Some(&self.name()), spec).await.unwrap().id
    }

    pub(crate) async fn start(&self, spec: &ContainerSpec) -> String {
        let id = self.create(spec).await;
        self.docker.start_container(&id).await.unwrap();
        id
    }

    /// Runs a container to its end and returns the exit code.
    pub(crate) async fn run_to_end(&self, id: &str) -> i64 {
        let wait = self.docker.wait_container(id, WaitCondition::NextExit).await.unwrap();
        self.docker.start_container(id).await.unwrap();
        wait.exit().await.unwrap().code
    }

    async fn clean_up(&self) {
        let docker = &self.docker;
        let list = ListContainers { all: true, filters: self.mine() };
        for container in docker.list_containers(&list).await.unwrap_or_default() {
            let _ = docker.remove_container(&container.id, RemoveContainer { force: true, volumes: true }).await;
        }
        for network in docker.list_networks(&self.mine()).await.unwrap_or_default() {
            let _ = docker.remove_network(&network.id).await;
        }
        for volume in docker.list_volumes(&self.mine()).await.unwrap_or_default() {
            let _ = docker.remove_volume(&volume.name, true).await;
        }
        let list = ListImages { all: false, filters: self.mine() };
        for image in docker.list_images(&list).await.unwrap_or_default() {
            let _ = docker.remove_image(&image.id, RemoveImage { force: true, keep_parents: false }).await;
        }
    }
}

/// A tar of files, as a stream of small chunks.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, path, *content).unwrap();
    }
    let bytes = Bytes::from(archive.into_inner().unwrap());
    let chunks: Vec<_> = bytes.chunks(4096).map(|chunk| Ok(bytes.slice_ref(chunk))).collect();
    stream::iter(chunks)
}

/// Reads to the end and gives what came from one source.
pub(crate) async fn read_all(session: &mut Session) -> (Vec<u8>, Vec<u8>) {
    let frames: Vec<Frame> = (&mut session.output).try_collect().await.unwrap();
    let from = |wanted: &[Source]| {
        let frames = frames.iter().filter(|frame| wanted.contains(&frame.source));
        frames.flat_map(|frame| frame.bytes.to_vec()).collect()
    };
    (from(&[Source::Stdout, Source::Console]), from(&[Source::Stderr]))
}
