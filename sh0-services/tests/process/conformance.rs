//! The conformance suite of runtimes, against real processes of this host.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sh0_core::model::{Plan, PlatformId};
use sh0_core::testkit::runtime::{RuntimeHarness, conformance};
use sh0_core::traits::{CommandLine, Runtime};
use sh0_services::runtime::process::{ProcessConfig, ProcessRuntime, ShimCommand};

use crate::harness::{SHIM, processes_with, signal};

struct Processes {
    root: tempfile::TempDir,
    tree: tempfile::TempDir,
    own_users: bool,
}

impl Processes {
    fn new(own_users: bool) -> Processes {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("index.html"), "hello\n").unwrap();
        Processes { root: tempfile::tempdir().unwrap(), tree, own_users }
    }
}

impl Drop for Processes {
    /// A check that failed leaves instances behind.
    fn drop(&mut self) {
        for pid in processes_with(&self.root.path().to_string_lossy()) {
            signal(pid, rustix::process::Signal::TERM);
        }
    }
}

#[async_trait]
impl RuntimeHarness for Processes {
    async fn open(&self, platform: PlatformId) -> Arc<dyn Runtime> {
        let mut config = ProcessConfig::new(self.root.path().join("process"), platform, ShimCommand::new(SHIM));
        config.hidden.push(self.root.path().to_owned());
        config.readable.push(SHIM.into());
        config.own_users = self.own_users;
        Arc::new(ProcessRuntime::open(config).await.unwrap())
    }

    fn app(&self) -> (PathBuf, Plan) {
        self.with_build(&["test -f index.html", "echo built > made"])
    }

    fn with_build(&self, commands: &[&str]) -> (PathBuf, Plan) {
        let build = commands.iter().map(|line| (*line).to_owned()).collect();
        (self.tree.path().to_owned(), Plan { language: "shell".into(), build, ..Plan::default() })
    }

    fn server(&self) -> Option<CommandLine> {
        Some(CommandLine::Exec(vec![SHIM.into(), "static".into(), ".".into()]))
    }
}

#[tokio::test]
async fn the_process_runtime_conforms() {
    conformance(&Processes::new(true)).await;
}

#[tokio::test]
async fn it_conforms_without_own_users() {
    conformance(&Processes::new(false)).await;
}

/// Namespaces and Landlock without root.
#[tokio::test]
async fn it_conforms_for_an_ordinary_user() {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        // The first test is just that.
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(tmp.path(), Some(65534), Some(65534)).unwrap();
    let mut command = std::process::Command::new("/proc/self/exe");
    command
        .args(["--exact", "conformance::the_process_runtime_conforms"])
        .env("TMPDIR", tmp.path())
        .uid(65534)
        .gid(65534);
    match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        // The build folder lies below one that only root may enter.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
}
