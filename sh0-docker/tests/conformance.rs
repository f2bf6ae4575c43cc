//! The conformance suite of runtimes, against a real engine with the image of `tests/engine.rs`.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sh0_core::model::{ImagePlan, Plan, PlatformId};
use sh0_core::testkit::runtime::{RuntimeHarness, conformance};
use sh0_core::traits::{CommandLine, Runtime};
use sh0_docker::client::{Client, Endpoint};
use sh0_docker::runtime::{DockerOptions, DockerRuntime};

struct Containers {
    client: Client,
    image: String,
    tree: tempfile::TempDir,
}

#[async_trait]
impl RuntimeHarness for Containers {
    async fn open(&self, platform: PlatformId) -> Arc<dyn Runtime> {
        Arc::new(DockerRuntime::new(self.client.clone(), platform, DockerOptions::default()))
    }

    fn app(&self) -> (PathBuf, Plan) {
        self.with_build(&["test -f index.html", "echo built > made"])
    }

    fn with_build(&self, commands: &[&str]) -> (PathBuf, Plan) {
        let mut dockerfile = format!("FROM {}\nWORKDIR /app\nCOPY . .\n", self.image);
        for command in commands {
            dockerfile.push_str(&format!("RUN {command}\n"));
        }
        let image = ImagePlan::Generated { dockerfile, dockerignore: String::new() };
        (self.tree.path().to_owned(), Plan { language: "shell".into(), image, ..Plan::default() })
    }

    /// Perl is in every Debian, however small.
    fn server(&self) -> Option<CommandLine> {
        let script = "use IO::Socket::INET; $s = IO::Socket::INET->new(LocalPort => $ENV{PORT}, Listen => 5, ReuseAddr => 1) or die; \
            while ($c = $s->accept) { while (<$c>) { last if /^\\r?$/ } print $c \"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok\"; close $c }";
        Some(CommandLine::Exec(["perl", "-e", script].map(str::to_owned).to_vec()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docker_runtime_conforms() {
    let endpoint = match std::env::var("DOCKER_HOST") {
        Ok(host) => host.parse().unwrap(),
        Err(_) => Endpoint::default(),
    };
    let client = match Client::connect(endpoint).await {
        Ok(client) => client,
        Err(error) => {
            assert!(std::env::var("CI").is_err(), "CI needs a Docker engine: {error}");
            eprintln!("not run: {error}; install docker.io, start dockerd, and run `cargo xtask setup`");
            return;
        }
    };
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("index.html"), "hello\n").unwrap();
    let image = std::env::var("SH0_TEST_IMAGE").unwrap_or_else(|_| "sh0-test/debian:bookworm".into());
    conformance(&Containers { client, image, tree }).await;
}
