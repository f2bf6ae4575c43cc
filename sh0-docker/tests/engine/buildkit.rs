use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use sh0_docker::client::{Build, BuildOptions, Builder, Error, Secret};

use crate::harness::{Corner, tar, with_engine};

const SECRET: &str = "correct-horse-battery-staple";

fn options(corner: &Corner) -> BuildOptions {
    BuildOptions {
        labels: corner.labels(),
        network: Some("none".into()),
        builder: Builder::BuildKit,
        secrets: BTreeMap::from([("TOKEN".to_owned(), Secret::new(SECRET))]),
        ..BuildOptions::default()
    }
}

/// Engines without it have nothing to test here.
async fn has_buildkit(corner: &Corner) -> bool {
    corner.docker.engine().await.unwrap().builder == Builder::BuildKit
}

async fn start(corner: &Corner, options: &BuildOptions, dockerfile: &str, source: &str) -> Build {
    let dockerfile = dockerfile.replace("BASE", &corner.image);
    let context = tar(&[("Dockerfile", dockerfile.as_bytes()), ("source", source.as_bytes())]);
    corner.docker.build_image(options, context).await.unwrap()
}

/// What a build printed, and how it ended.
async fn played(mut build: Build) -> (String, Result<String, Error>) {
    let mut text = String::new();
    loop {
        match build.try_next().await {
            Ok(Some(progress)) => text.push_str(&progress.output()),
            Ok(None) => return (text, build.finish().await.map(|id| id.to_string())),
            Err(error) => return (text, Err(error)),
        }
    }
}

#[test]
fn a_second_build_takes_what_has_not_changed_from_the_cache() {
    with_engine(async |corner| {
        if !has_buildkit(&corner).await {
            return;
        }
        let cache = corner.name();
        let dockerfile = format!(
            "FROM BASE\nWORKDIR /app\n\
             RUN --mount=type=cache,id={cache},target=/cache echo once >> /cache/log; sleep 2; echo {cache} > fetched\n\
             COPY source .\n\
             RUN --mount=type=cache,id={cache},target=/cache cat source >> /cache/log; cp /cache/log .; cat log\n"
        );
        let began = Instant::now();
        let (first, image) = played(start(&corner, &options(&corner), &dockerfile, "one\n").await).await;
        let first_time = began.elapsed();
        assert!(first.contains("] RUN --mount=type=cache") && first.contains("\nonce\none\n"), "{first}");
        let one = image.unwrap();

        let began = Instant::now();
        let (second, image) = played(start(&corner, &options(&corner), &dockerfile, "two\n").await).await;
        let second_time = began.elapsed();
        assert!(second.lines().any(|line| line.starts_with("CACHED ") && line.contains("echo once")), "{second}");
        // The first step was not run again, and the cache still has what the first build wrote.
        assert!(second.contains(" 3/5] RUN --mount=type=cache") && second.contains("\nonce\none\ntwo\n"), "{second}");
        assert!(second_time + Duration::from_secs(1) < first_time, "{first_time:?}, then {second_time:?}");
        let two = image.unwrap();
        assert_ne!(one, two);
        let seen = corner.docker.inspect_image(&two).await.unwrap();
        assert_eq!(seen.id, two);
        assert!(corner.labels().iter().all(|(key, value)| seen.config.labels.get(key) == Some(value)), "{seen:?}");
        eprintln!("first build {first_time:?}, after a change of source {second_time:?}");
    });
}

#[test]
fn a_secret_reaches_its_step_and_stays_nowhere() {
    with_engine(async |corner| {
        if !has_buildkit(&corner).await {
            return;
        }
        let dockerfile = "FROM BASE\nRUN : MARK\nRUN --mount=type=secret,id=TOKEN cp /run/secrets/TOKEN /dev/shm/t; wc -c < /dev/shm/t\n\
             RUN --mount=type=secret,id=OTHER test ! -e /run/secrets/OTHER && echo no other\n\
             RUN test ! -s /run/secrets/TOKEN && echo gone\n";
        let dockerfile = dockerfile.replace("MARK", &corner.name());
        let (text, image) = played(start(&corner, &options(&corner), &dockerfile, "").await).await;
        for told in [&format!("\n{}\n", SECRET.len()), "\nno other\n", "\ngone\n"] {
            assert!(text.contains(told), "{told}: {text}");
        }
        // The archive has every layer, and the configuration with the history.
        let mut archive = corner.docker.save_images(&[&image.unwrap()]).await.unwrap();
        let (mut window, mut history, mut length) = (Vec::new(), false, 0);
        while let Some(chunk) = archive.try_next().await.unwrap() {
            window.extend_from_slice(&chunk);
            length += chunk.len();
            assert!(!has(&window, SECRET.as_bytes()), "the secret is in the image");
            history |= has(&window, b"no other");
            window.drain(..window.len().saturating_sub(64));
        }
        assert!(history && length > 1_000_000, "the archive was searched");
    });
}

async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..100 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_failed_step_is_named_with_its_exit_code() {
    with_engine(async |corner| {
        if !has_buildkit(&corner).await {
            return;
        }
        let dockerfile = "FROM BASE\nRUN echo to stdout; echo to stderr >&2; printf 'no end'; exit 7\n";
        let (text, end) = played(start(&corner, &options(&corner), dockerfile, "").await).await;
        for line in ["] RUN echo", "\nto stdout\n", "\nto stderr\n", "no end\n"] {
            assert!(text.contains(line), "{line:?}: {text}");
        }
        match end.unwrap_err() {
            Error::Stream { operation: "build", message, code: Some(7) } => {
                assert!(message.contains("echo to stdout"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn what_cannot_be_built_is_told() {
    with_engine(async |corner| {
        if !has_buildkit(&corner).await {
            return;
        }
        for (dockerfile, word) in [
            ("HELLO world\n", "HELLO"),
            ("FROM nobody.invalid/nothing:1\nRUN true\n", "nobody.invalid/nothing:1"),
            ("FROM BASE\nCOPY missing .\n", "missing"),
            ("", "Dockerfile"),
        ] {
            let (text, end) = played(start(&corner, &options(&corner), dockerfile, "").await).await;
            let error = end.unwrap_err().to_string();
            assert!(format!("{text}{error}").contains(word), "{dockerfile:?}: {text}{error}");
        }
    });
}

#[test]
fn a_dropped_build_ends_its_step() {
    with_engine(async |corner| {
        if !has_buildkit(&corner).await {
            return;
        }
        let mark = corner.name();
        let dockerfile = format!("FROM BASE\nRUN echo {mark} here; exec sleep 61.{}\n", std::process::id());
        let asleep = || {
            let name = format!("sleep\x0061.{}\0", std::process::id());
            let processes = std::fs::read_dir("/proc").unwrap().flatten();
            processes
                .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
                .any(|line| line == name.as_bytes())
        };
        let mut build = start(&corner, &options(&corner), &dockerfile, "").await;
        while let Some(progress) = build.try_next().await.unwrap() {
            if progress.output().lines().any(|line| line == format!("{mark} here")) {
                break;
            }
        }
        until("the step runs on this machine", asleep).await;
        drop(build);
        until("the step has ended", || !asleep()).await;
    });
}

#[test]
fn a_step_that_prints_without_end_is_read_to_its_end() {
    with_engine(async |corner| {
        if !has_buildkit(&corner).await {
            return;
        }
        let dockerfile = "FROM BASE\nRUN seq 3000000; head -c 3000000 /dev/zero | tr '\\\\0' x\nRUN echo and on\n";
        let mut build = start(&corner, &options(&corner), dockerfile, "").await;
        let (mut longest, mut last) = (0, String::new());
        while let Some(progress) = build.next().await {
            let text = progress.unwrap().output();
            longest = longest.max(text.len());
            if !text.is_empty() {
                last = text;
            }
        }
        assert!(last.ends_with("exporting to image\n") || last.contains("and on"), "{last}");
        assert!(longest < 8 << 20, "{longest}");
        build.finish().await.unwrap();
    });
}
