//! Variables of instances: known to the instance, and to no file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use sh0_core::model::{Millis, Plan, Sealed, Secret};
use sh0_core::traits::{CommandLine, ExecSpec, InstanceSpec, Runtime, Sealer};
use sh0_services::runtime::process::{ProcessConfig, ProcessRuntime};

use futures_util::StreamExt;

use crate::harness::*;

/// Bound to its row, as a real one is, and no more than that.
struct Reversing;

#[async_trait::async_trait]
impl Sealer for Reversing {
    fn seal(&self, row: &str, secret: &Secret) -> sh0_core::Result<Sealed> {
        Ok(Sealed::new(format!("{}|{row}", secret.expose().chars().rev().collect::<String>())))
    }

    fn open(&self, row: &str, sealed: &Sealed) -> sh0_core::Result<Secret> {
        let (text, own) = sealed.as_str().rsplit_once('|').unwrap();
        assert_eq!(own, row);
        Ok(Secret::new(text.chars().rev().collect::<String>()))
    }
}

fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(holding(&path, text));
        } else if fs::read(&path).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text)) {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    found
}

#[tokio::test]
async fn no_file_has_the_variables_of_an_instance() {
    const VALUE: &str = "hunter2-of-this-test";
    let place = Place::new();
    place.tree(&[("file", "")]);
    let config = ProcessConfig { sealer: Some(Arc::new(Reversing)), ..place.config() };
    let runtime = ProcessRuntime::open(config).await.unwrap();
    let artifact = place.build(&runtime, &Plan::default()).await.unwrap();
    let line = format!("echo \"run $$ ${{#PASSWORD}}\"; {STAY}");
    let mut spec = InstanceSpec { restart: true, ..place.spec(&artifact, &line) };
    spec.env.insert("PASSWORD".parse().unwrap(), Secret::new(VALUE));
    let name = &spec.name;
    let root = place.data.path().join("process");
    let none = |when: &str| assert_eq!(holding(&root, VALUE), [""; 0], "{when}");
    let length = VALUE.len();

    runtime.create(&spec).await.unwrap();
    none("created");
    runtime.start(name).await.unwrap();
    let first = printed(&runtime, name, "run ").await;
    assert!(first.ends_with(&format!(" {length}")), "{first}");
    none("running");
    signal(first.split(' ').nth(1).unwrap().parse().unwrap(), Signal::KILL);
    let runs =
        async || lines(&runtime, name).await.into_iter().filter(|line| line.starts_with("run ")).collect::<Vec<_>>();
    let again = async |count: usize| {
        while runs().await.len() < count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        runs().await
    };
    let second = soon(again(2)).await;
    assert!(second[1].ends_with(&format!(" {length}")), "started again by its shim: {second:?}");
    none("started again");

    let exec =
        ExecSpec { command: CommandLine::Shell("echo ${#PASSWORD}".into()), env: Default::default(), terminal: None };
    let mut session = runtime.exec(name, &exec).await.unwrap();
    let (_, text) = soon(session.output.next()).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&text).trim(), length.to_string(), "beside it");
    assert_eq!(soon(session.exit).await.unwrap().code, 0);

    runtime.stop(name, Millis(5000)).await.unwrap();
    none("stopped");
    runtime.start(name).await.unwrap();
    let third = soon(again(3)).await;
    assert!(third[2].ends_with(&format!(" {length}")), "started after its end: {third:?}");
    none("running again");
    runtime.remove(name).await.unwrap();
}
