//! What an engine (20.10.24) answered, played by a scripted one.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::super::{
    BuildOptions, Builder, Error, Filters, Result,
    fake::{Fake, Step, answer, chunked, cut_chunked},
};

const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

/// An engine that opens a session, and answers the build with these bytes.
fn engine(progress: Vec<u8>) -> Fake {
    Fake::new(vec![
        vec![Step::Ping("1.41"), Step::Hold],
        vec![Step::Read, Step::Send(UPGRADED.to_vec()), Step::ReadToEnd],
        vec![Step::Ping("1.41"), Step::Read, Step::Send(progress)],
    ])
}

async fn build(fake: &Fake) -> (String, Result<String>) {
    let options = BuildOptions { builder: Builder::BuildKit, ..BuildOptions::default() };
    let context = stream::iter([Ok(Bytes::from_static(b"context"))]);
    let mut build = fake.client.build_image(&options, context).await.unwrap();
    let mut text = String::new();
    while let Some(progress) = build.next().await {
        match progress {
            Ok(progress) => text.push_str(&progress.output()),
            Err(error) => return (text, Err(error)),
        }
    }
    (text, build.finish().await.map(|id| id.to_string()))
}

async fn played(recorded: &[u8]) -> (String, Result<String>) {
    // In chunks that have nothing to do with the messages.
    let chunks: Vec<&[u8]> = recorded.chunks(777).collect();
    build(&engine(chunked(&chunks))).await
}

#[tokio::test]
async fn a_build_is_told_in_lines() {
    let (text, image) = played(include_bytes!("fixtures/built.ndjson")).await;
    assert_eq!(image.unwrap(), "sha256:e162d101ab7a834b1a6cdc4e67b0f11eeaf66c4e4d281b784e0cf23ee1ec6d4b");
    let steps: Vec<&str> = text.lines().filter(|line| line.contains("/5]")).collect();
    assert!(steps[1].contains("2/5] WORKDIR /app") && steps[4].contains("5/5] RUN --mount=type=cache"), "{text}");
    assert!(text.ends_with("\nonce\none\nexporting to image\n") && !text.contains("[internal]"), "{text}");
}

#[tokio::test]
async fn a_failed_step_has_its_output_and_its_exit_code() {
    let (text, end) = played(include_bytes!("fixtures/failed-step.ndjson")).await;
    let step = "[2/2] RUN echo to stdout; echo to stderr >&2; printf 'no end'; exit 7";
    assert!(text.ends_with(&format!("{step}\nto stderr\nto stdout\nno end\nERROR {step}\n")), "{text}");
    assert!(matches!(end, Err(Error::Stream { code: Some(7), .. })), "{end:?}");
}

#[tokio::test]
async fn an_image_that_is_not_found_is_named() {
    let (text, end) = played(include_bytes!("fixtures/missing-image.ndjson")).await;
    assert_eq!(text, "ERROR [internal] load metadata for nobody.invalid/nothing:1\n");
    assert!(end.unwrap_err().to_string().contains("no such host"));
}

#[tokio::test]
async fn an_engine_that_goes_away_is_no_success() {
    let recorded = include_bytes!("fixtures/built.ndjson");
    let (_, end) = build(&engine(cut_chunked(&[&recorded[..3000]]))).await;
    assert!(matches!(end, Err(Error::Broken { .. } | Error::Protocol(_))), "{end:?}");
    let (_, end) = build(&engine(chunked(&[&recorded[..recorded.iter().position(|b| *b == b'\n').unwrap()]]))).await;
    assert!(matches!(end, Err(Error::Stream { .. })), "{end:?}");
}

#[tokio::test]
async fn progress_that_cannot_be_read_ends_the_build() {
    for aux in ["!", "////"] {
        let message = format!("{{\"id\":\"moby.buildkit.trace\",\"aux\":\"{aux}\"}}\n");
        let (_, end) = build(&engine(chunked(&[message.as_bytes()]))).await;
        assert!(matches!(end, Err(Error::Protocol(_))), "{end:?}");
    }
}

#[tokio::test]
async fn the_session_is_announced_and_closed_with_the_build() {
    let fake = engine(chunked(&[include_bytes!("fixtures/built.ndjson")]));
    build(&fake).await.1.unwrap();
    for _ in 0..100 {
        if fake.requests().len() >= 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let requests = fake.requests();
    let session = requests.iter().find(|request| request.starts_with("POST /v1.41/session HTTP/1.1\r\n")).unwrap();
    let id = session.lines().find_map(|line| line.strip_prefix("x-docker-expose-session-uuid: ")).unwrap();
    assert!(session.contains("\r\nUpgrade: h2c\r\n"), "{session}");
    assert!(session.contains("\r\nx-docker-expose-session-grpc-method: /grpc.health.v1.Health/Check\r\n"), "{session}");
    let build = requests.iter().find(|request| request.starts_with("POST /v1.41/build?version=2&")).unwrap();
    assert!(build.contains(&format!("&session={id} HTTP/1.1")), "{build}");
    assert_eq!(requests.len(), 5, "the session was read to its end: {requests:?}");
}

#[tokio::test]
async fn an_engine_without_sessions_says_so() {
    let refusal = answer("404 Not Found", "application/json", "{\"message\":\"page not found\"}");
    let fake = Fake::new(vec![vec![Step::Ping("1.41"), Step::Hold], vec![Step::Read, Step::Send(refusal)]]);
    let options = BuildOptions { builder: Builder::BuildKit, ..BuildOptions::default() };
    let error = fake.client.build_image(&options, stream::empty()).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn the_bound_of_the_cache_has_a_name_for_each_version() {
    for (version, bound) in [("1.41", "keep-storage"), ("1.47", "keep-storage"), ("1.48", "reserved-space")] {
        let answer = answer("200 OK", "application/json", "{\"CachesDeleted\":[\"a\"],\"SpaceReclaimed\":7}");
        let fake = Fake::new(vec![vec![Step::Ping(version), Step::Read, Step::Send(answer)]]);
        let pruned = fake.client.prune_build_cache(false, 10_000, &Filters::new()).await.unwrap();
        assert_eq!(pruned.freed_bytes, Some(7));
        assert_eq!(fake.lines()[1], format!("POST /v{version}/build/prune?{bound}=10000 HTTP/1.1"));
    }
}
