//! What builds can have, by builder.

use sh0_build::{DirTree, Options, plan_tree};
use sh0_docker::client::Builder;

use super::*;

/// A variable reaches the command as a generated Dockerfile has it.
const WITH_SECRET: &str = "FROM BASE AS build\nARG SH0_ENV_DIGEST\n\
    RUN --mount=type=secret,id=TOKEN,target=/run/secrets/TOKEN export TOKEN=\"$(cat /run/secrets/TOKEN)\" && \
    echo \"has ${#TOKEN} characters\" && echo made > /made\n\
    FROM BASE\nCOPY --from=build /made /made\n";

impl Bench {
    async fn build_with(
        &self,
        builder: Option<Builder>,
        dockerfile: &str,
        token: &str,
    ) -> (Vec<String>, sh0_core::Result<Artifact>) {
        let options = DockerOptions { builder, ..DockerOptions::default() };
        let runtime = DockerRuntime::new(self.client.clone(), self.platform, options);
        let tree = tempfile::tempdir().unwrap();
        let image =
            ImagePlan::Generated { dockerfile: dockerfile.replace("BASE", &self.image), dockerignore: String::new() };
        let plan = Plan { image, ..Plan::default() };
        let env = BTreeMap::from([("TOKEN".parse().unwrap(), Secret::new(token))]);
        let output = Lines::default();
        let request = BuildRequest { env: &env, ..self.request(tree.path(), &plan) };
        let built = runtime.build(request, &output).await;
        (output.0.into_inner().unwrap(), built)
    }
}

#[tokio::test]
async fn variables_are_mounted_and_a_changed_one_is_a_new_build() {
    let Some(bench) = Bench::new().await else { return };
    if !bench.runtime.build_mounts().await.unwrap() {
        return;
    }
    let ran = |lines: &[String], length: usize| lines.iter().any(|line| *line == format!("has {length} characters"));
    let (lines, built) = bench.build_with(None, WITH_SECRET, "hunter2-hunter2").await;
    assert!(ran(&lines, 15), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.ends_with("] RUN echo \"has ${#TOKEN} characters\" && echo made > /made")),
        "{lines:?}"
    );
    let first = built.unwrap();
    let (lines, built) = bench.build_with(None, WITH_SECRET, "hunter2-hunter2").await;
    assert!(!ran(&lines, 15), "the same variables, from the cache: {lines:?}");
    assert_eq!(built.unwrap().id, first.id);
    let (lines, built) = bench.build_with(None, WITH_SECRET, "hunter3").await;
    assert!(ran(&lines, 7), "{lines:?}");
    built.unwrap();
    assert!(lines.iter().all(|line| !line.contains("hunter3")), "{lines:?}");
    let options = DockerOptions { build_cache: Some(10_000_000_000), ..DockerOptions::default() };
    DockerRuntime::new(bench.client.clone(), bench.platform, options).trim_build_cache().await.unwrap();
    bench.clean().await;
}

#[tokio::test]
async fn the_classic_builder_refuses_what_it_cannot_keep_secret() {
    let Some(bench) = Bench::new().await else { return };
    let (lines, built) = bench.build_with(Some(Builder::Classic), WITH_SECRET, "hunter2").await;
    let error = built.unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    for word in ["BuildKit", "asks for a secret", "Docker Engine 20.10"] {
        assert!(error.detail().contains(word), "{word}: {error}");
    }
    assert!(lines.concat().contains("variables are not given to image builds"), "{lines:?}");

    let (lines, built) = bench.build_with(Some(Builder::Classic), "FROM BASE\nRUN echo by-hand\n", "hunter2").await;
    built.unwrap();
    assert!(
        lines.iter().any(|line| line.starts_with("Step 2/")) && lines.iter().any(|line| line == "by-hand"),
        "{lines:?}"
    );
    bench.clean().await;
}

#[tokio::test]
async fn the_error_of_a_failed_step_has_its_last_lines() {
    let Some(bench) = Bench::new().await else { return };
    let chosen = bench.runtime.build_mounts().await.unwrap().then_some(Builder::BuildKit);
    for builder in chosen.into_iter().chain([Builder::Classic]) {
        let dockerfile = "FROM BASE\nRUN seq 5000; sleep 0.3; echo the-reason >&2; exit 7\n";
        let (_, built) = bench.build_with(Some(builder), dockerfile, "").await;
        let error = built.unwrap_err();
        assert_eq!(error.code(), Code::BuildFailed);
        for word in ["seq 5000", "its last lines", "\n4999\n5000\n", "the-reason"] {
            assert!(error.detail().contains(word), "{builder:?}, {word}: {error}");
        }
        assert!(error.detail().len() < 1000, "{error}");
    }
    bench.clean().await;
}

/// A Dockerfile of an owner's: without an id, a cache is named by its folder, which others have as well.
#[tokio::test]
async fn no_app_reads_or_writes_caches_of_another_one() {
    let (Some(bench), Some(other)) = (Bench::new().await, Bench::new().await) else { return };
    if !bench.runtime.build_mounts().await.unwrap() {
        return;
    }
    // Two apps of one platform.
    let other = Bench { runtime: bench.runtime.clone(), platform: bench.platform, ..other };
    let ids = ["".to_owned(), "id=npm,".to_owned(), format!("id=../{}/npm,", bench.app)];
    let dockerfile = |command: &str| {
        let mounts = ids.iter().enumerate();
        let mounts: String = mounts.map(|(at, id)| format!("--mount=type=cache,{id}target=/caches/{at} ")).collect();
        format!("FROM BASE\nRUN : {}\nRUN {mounts}{command}\n", ulid::Ulid::generate())
    };
    let fill = dockerfile("touch /caches/0/mine /caches/1/mine /caches/2/mine; echo \"[$BUILDKIT_CACHE_MOUNT_NS]\"");
    let look = dockerfile("echo \"found: $(find /caches -type f | sort | xargs)\"");
    let (lines, built) = bench.build_with(None, &fill, "").await;
    built.unwrap();
    assert!(lines.iter().any(|line| line == "[]"), "{lines:?}");
    for (who, found) in [(&other, "found:"), (&bench, "found: /caches/0/mine /caches/1/mine /caches/2/mine")] {
        let (lines, built) = who.build_with(None, &look, "").await;
        built.unwrap();
        assert!(lines.iter().any(|line| line == found), "{lines:?}");
    }
    other.clean().await;
    bench.clean().await;
}

#[tokio::test]
async fn a_step_that_fails_is_told_from_one_beside_it() {
    let Some(bench) = Bench::new().await else { return };
    if !bench.runtime.build_mounts().await.unwrap() {
        return;
    }
    let dockerfile = "FROM BASE AS other\nRUN for i in 1 2 3 4 5 6 7 8; do echo other $i; sleep 0.3; done\n\
        FROM BASE AS failing\nRUN sleep 0.7; echo 'ERROR [it] the-reason'; exit 7\n\
        FROM BASE\nCOPY --from=other /etc/hostname /a\nCOPY --from=failing /etc/hostname /b\n";
    let (lines, built) = bench.build_with(None, dockerfile, "").await;
    let error = built.unwrap_err();
    assert!(error.detail().ends_with("; its last lines:\nERROR [it] the-reason"), "{error}: {lines:?}");
    assert!(lines.iter().any(|line| line == "other 1"), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("ERROR [failing")).count(), 1, "{lines:?}");
    bench.clean().await;
}

#[tokio::test]
async fn only_an_image_that_is_missing_is_blamed() {
    let Some(bench) = Bench::new().await else { return };
    let buildkit = bench.runtime.build_mounts().await.unwrap().then_some(Builder::BuildKit);
    for builder in buildkit.into_iter().chain([Builder::Classic]) {
        let why = async |dockerfile| bench.build_with(Some(builder), dockerfile, "").await.1.unwrap_err();
        let error = why("FROM BASE\nCOPY manifest.json .\n").await;
        assert!(error.detail().starts_with("the image could not be built: "), "{builder:?}: {error}");
        assert!(
            error.detail().contains("manifest.json") && !error.detail().contains("printed"),
            "{builder:?}: {error}"
        );
        let error = why("FROM BASE AS one\nFROM nobody.invalid/registry:1\n").await;
        assert!(error.detail().starts_with("the image nobody.invalid/registry:1 is not here"), "{builder:?}: {error}");
    }
    bench.clean().await;
}

/// What the install made is shipped from where it was made, and what the build changed of it from there.
#[tokio::test]
async fn installed_files_are_shipped_as_the_build_left_them() {
    const INSTALL: &str = "mkdir -p node_modules/lib && cd node_modules/lib && echo installed | tee same > changed \
        && ln -s same link && echo installs $(cat /app/package.json | wc -l)";
    const BUILD: &str = "echo built > node_modules/lib/changed && mkdir -p node_modules/.client dist \
        && echo built > node_modules/.client/made && cp page dist/page";
    const SHOW: &str = "cd /app && cat page dist/page node_modules/lib/same node_modules/lib/link \
        node_modules/lib/changed node_modules/.client/made && stat -c %u . node_modules/lib/same page && echo own > page";
    let Some(bench) = Bench::new().await else { return };
    let chosen = bench.runtime.build_mounts().await.unwrap().then_some(Builder::BuildKit);
    let tree = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(tree.path().join(name), text).unwrap();
    write("package.json", &format!("{{ \"name\": \"{}\", \"dependencies\": {{ \"lib\": \"1\" }} }}\n", bench.app));
    write("package-lock.json", "{}");
    // A build that says so is not split.
    write("build.sh", BUILD);
    write("sh0.toml", &format!("install = ['{INSTALL}']\nbuild = ['sh build.sh']\nstart_command = 'cat page'\n"));
    for builder in chosen.into_iter().chain([Builder::Classic]) {
        for page in ["one", "two"] {
            write("page", &format!("{page}\n"));
            let options = Options {
                base_images: BTreeMap::from([("node".to_owned(), bench.image.clone())]),
                buildkit: builder == Builder::BuildKit,
                ..Options::default()
            };
            let plan = plan_tree(&DirTree::open(tree.path()).unwrap(), &AppSettings::default(), &options).unwrap();
            assert!(
                matches!(&plan.image, ImagePlan::Generated { dockerfile, .. } if dockerfile.contains("/ship /app"))
            );
            let options = DockerOptions { builder: Some(builder), ..DockerOptions::default() };
            let runtime = DockerRuntime::new(bench.client.clone(), bench.platform, options);
            let output = Lines::default();
            let artifact = runtime.build(bench.request(tree.path(), &plan), &output).await.unwrap();
            let output = output.0.into_inner().unwrap();
            let installs = output.iter().any(|line| line == "installs 1");
            assert_eq!(installs, page == "one", "{builder:?}, a change of the source installs nothing: {output:?}");
            let name = bench.up(&bench.spec(&artifact, 0, SHOW)).await;
            assert_eq!(bench.runtime.wait(&name).await.unwrap().code, 0);
            let expected = [page, page, "installed", "installed", "built", "built", "10001", "10001", "10001"];
            assert_eq!(bench.lines(&name).await, expected, "{builder:?}");
            bench.runtime.remove(&name).await.unwrap();
        }
    }
    bench.clean().await;
}
