//! The traps of the protocol, each played by a scripted engine.

#![allow(clippy::unwrap_used)]

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncWriteExt;

use super::{
    fake::{Fake, Step, answer, chunked, cut_chunked, json},
    frames::{FrameError, Source},
    *,
};

const UPGRADED: &[u8] =
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const PLAIN_200: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";

fn empty() -> stream::Empty<io::Result<Bytes>> {
    stream::empty()
}

// --- versions

#[tokio::test]
async fn every_path_has_the_version_and_the_ping_has_none() {
    let fake = Fake::new(vec![vec![Step::Ping("1.43"), Step::Read, Step::Send(json("{}")), Step::Hold]]);
    fake.client.version().await.unwrap();
    assert_eq!(fake.lines(), ["HEAD /_ping HTTP/1.1", "GET /v1.43/version HTTP/1.1"]);
}

#[tokio::test]
async fn a_newer_engine_is_spoken_to_in_our_newest_version() {
    let fake = Fake::new(vec![vec![Step::Ping("1.56"), Step::Read, Step::Send(json("{}"))]]);
    fake.client.version().await.unwrap();
    assert_eq!(fake.lines()[1], "GET /v1.51/version HTTP/1.1");
}

#[tokio::test]
async fn an_old_engine_is_refused_before_any_call() {
    let fake = Fake::new(vec![vec![Step::Ping("1.40"), Step::Read]]);
    let error = fake.client.version().await.unwrap_err();
    assert_eq!(error.code(), "docker.unsupported_version");
    assert_eq!(fake.lines().len(), 1);
}

#[tokio::test]
async fn a_ping_that_knows_no_head_is_asked_again_with_get() {
    let refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    let pong = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK".to_vec();
    let fake = Fake::new(vec![vec![Step::Read, Step::Send(refused), Step::Read, Step::Send(pong), Step::Hold]]);
    let engine = fake.client.engine().await.unwrap();
    assert_eq!(engine.api, ApiVersion::new(1, 41));
    assert_eq!(fake.lines(), ["HEAD /_ping HTTP/1.1", "GET /_ping HTTP/1.1"]);
}

#[tokio::test]
async fn something_else_on_the_socket_is_named_so() {
    let other = answer("200 OK", "text/html", "");
    let fake = Fake::new(vec![vec![Step::Read, Step::Send(other.clone()), Step::Read, Step::Send(other)]]);
    let error = fake.client.engine().await.unwrap_err();
    assert!(error.to_string().contains("is this a Docker engine?"), "{error}");
}

#[tokio::test]
async fn a_version_refused_later_is_a_version_error() {
    let text = r#"{"message":"client version 1.41 is too old. Minimum supported API version is 1.44"}"#;
    let fake = Fake::answering(answer("400 Bad Request", "application/json", text));
    assert_eq!(fake.client.version().await.unwrap_err().code(), "docker.unsupported_version");
}

// --- connections

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let mut script = vec![Step::Ping("1.41")];
    for _ in 0..5 {
        script.extend([Step::Read, Step::Send(json("{}"))]);
    }
    let fake = Fake::new(vec![script]);
    for _ in 0..5 {
        fake.client.version().await.unwrap();
    }
    assert_eq!(fake.lines().len(), 6);
}

#[tokio::test]
async fn after_a_restart_a_new_connection_agrees_anew() {
    let fake = Fake::new(vec![
        vec![Step::Ping("1.41"), Step::Read, Step::Send(json("{}"))],
        vec![Step::Ping("1.44"), Step::Read, Step::Send(json("{}"))],
    ]);
    fake.client.version().await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    fake.client.version().await.unwrap();
    assert_eq!(fake.lines()[3], "GET /v1.44/version HTTP/1.1");
}

#[tokio::test]
async fn a_stale_connection_is_tried_once_more_for_a_get() {
    // The engine takes the second request and dies: the client cannot know whether it was read.
    let fake = Fake::new(vec![
        vec![Step::Ping("1.41"), Step::Read, Step::Send(json("{}")), Step::Read],
        vec![Step::Ping("1.41"), Step::Read, Step::Send(json(r#"{"Version":"2"}"#))],
    ]);
    fake.client.version().await.unwrap();
    assert_eq!(fake.client.version().await.unwrap().version, "2");
    assert_eq!(fake.lines().len(), 5);
}

#[tokio::test]
async fn a_post_is_not_sent_twice() {
    let fake = Fake::new(vec![
        vec![Step::Ping("1.41"), Step::Read, Step::Send(json("{}")), Step::Read],
        vec![Step::Ping("1.41"), Step::Read, Step::Send(json("{}"))],
    ]);
    fake.client.version().await.unwrap();
    let error = fake.client.stop_container("web", &StopOptions::default()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert_eq!(fake.lines().iter().filter(|line| line.contains("/stop")).count(), 1);
}

/// An engine that shuts down stops its containers, and still serves the connections that it has.
#[tokio::test]
async fn a_start_takes_a_new_connection() {
    let started = b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    let fake = Fake::new(vec![
        vec![Step::Ping("1.41"), Step::Read, Step::Send(json("{}")), Step::Hold],
        vec![Step::Ping("1.41"), Step::Read, Step::Send(started), Step::Hold],
    ]);
    fake.client.version().await.unwrap();
    fake.client.start_container("web").await.unwrap();
    assert_eq!(fake.lines()[3], "POST /v1.41/containers/web/start HTTP/1.1");
}

#[tokio::test]
async fn a_first_connection_is_not_tried_again() {
    let fake = Fake::new(vec![vec![Step::Ping("1.41"), Step::Read], vec![Step::Ping("1.41"), Step::Read]]);
    assert!(fake.client.version().await.unwrap_err().is_unavailable());
    assert_eq!(fake.lines().len(), 2);
}

#[tokio::test]
async fn no_answer_is_a_timeout_without_the_query() {
    let options = ClientOptions { answer_within: Duration::from_millis(80), ..ClientOptions::default() };
    let fake = Fake::with_options(vec![vec![Step::Ping("1.41"), Step::Read, Step::Hold]], options);
    let error = fake.client.rename_container("web", "s3cret").await.unwrap_err();
    assert_eq!(error.code(), "docker.timeout");
    assert!(error.to_string().contains("POST /containers/web/rename"), "{error}");
    assert!(!error.to_string().contains("s3cret"));
}

#[tokio::test]
async fn a_slow_call_does_not_hold_the_quick_ones_up() {
    let options = ClientOptions { connections: 1, ..ClientOptions::default() };
    let fake = Fake::with_options(
        vec![
            vec![Step::Ping("1.41"), Step::Read, Step::Hold],
            vec![Step::Ping("1.41"), Step::Read, Step::Send(json("{}"))],
        ],
        options,
    );
    let client = fake.client.clone();
    let stop = tokio::spawn(async move { client.stop_container("web", &StopOptions::default()).await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    fake.client.version().await.unwrap();
    stop.abort();
}

#[test]
fn a_client_outlives_a_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime();
    let script = || vec![Step::Ping("1.41"), Step::Read, Step::Send(json("{}")), Step::Hold];
    let fake = server.block_on(async { Fake::new(vec![script(), script()]) });
    let client = fake.client.clone();
    let calls = std::thread::spawn(move || {
        for _ in 0..2 {
            runtime().block_on(client.version()).unwrap();
        }
    });
    server.block_on(async {
        while !calls.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    calls.join().unwrap();
}

#[tokio::test]
async fn no_socket_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::connect(Endpoint::unix(dir.path().join("none.sock"))).await.unwrap_err();
    assert_eq!(error.code(), "docker.unavailable");
    assert!(error.to_string().contains("install Docker and start its service"), "{error}");
    let dead = dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let error = Client::connect(Endpoint::unix(dead)).await.unwrap_err();
    assert!(error.to_string().contains("start the Docker service"), "{error}");
}

// --- answers

#[tokio::test]
async fn an_error_may_be_plain_text_or_chunked() {
    let fake = Fake::answering(answer("404 Not Found", "text/plain; charset=utf-8", "404 page not found\n"));
    let error = fake.client.inspect_container("x").await.unwrap_err();
    assert_eq!(error.to_string(), "not found: 404 page not found");

    let mut text = chunked(&[br#"{"message":"#, br#""boom"}"#]);
    text.splice(..15, b"HTTP/1.1 500 No".iter().copied());
    let error = Fake::answering(text).client.inspect_container("x").await.unwrap_err();
    assert_eq!(error.to_string(), "the engine failed with status 500: boom");
}

#[tokio::test]
async fn not_modified_is_no_error() {
    let fake = Fake::answering("HTTP/1.1 304 Not Modified\r\n\r\n");
    assert_eq!(fake.client.start_container("web").await.unwrap(), Change::AlreadySo);
    let fake = Fake::answering("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(fake.client.start_container("web").await.unwrap(), Change::Made);
}

#[tokio::test]
async fn an_empty_id_never_reaches_the_engine() {
    let fake = Fake::new(vec![]);
    let error = fake.client.remove_container("", RemoveContainer::default()).await.unwrap_err();
    assert_eq!(error.code(), "docker.invalid_input");
    assert!(fake.client.prune_images(&Filters::new(), true).await.is_err());
    assert!(fake.client.prune_containers(&Filters::new().add("until", "1h")).await.is_err());
}

// --- progress

const STEP: &[u8] = b"{\"stream\":\"Step 1/1 : FROM scratch\\n\"}\r\n";
const AUX: &[u8] = b"{\"aux\":{\"ID\":\"sha256:abc\"}}\r\n";

#[tokio::test]
async fn a_build_is_done_with_its_last_id() {
    let body = chunked(&[
        STEP,
        b"{\"aux\":{\"ID\":\"sha256:stage\"}}\r",
        b"\n{\"stream\":\"Successfully ",
        b"built abc\\n\"}\r\n{\"aux\":{\"ID\":\"sha256:abc\"}}",
        b"\r\n{\"stream\":\"Successfully tagged x:latest\\n\"}",
    ]);
    let fake = Fake::answering(body);
    let build = fake.client.build_image(&BuildOptions::default(), empty()).await.unwrap();
    assert_eq!(build.finish().await.unwrap().as_str(), "sha256:abc");
    assert!(fake.lines()[1].starts_with("POST /v1.41/build?version=1&rm=1&forcerm=1"));
}

#[tokio::test]
async fn an_error_inside_a_200_fails_the_build() {
    let detail =
        br#"{"errorDetail":{"code":3,"message":"returned a non-zero code: 3"},"error":"returned a non-zero code: 3"}"#;
    for (error, code) in [(&detail[..], Some(3)), (br#"{"error":"only the old field"}"#, None)] {
        let fake = Fake::answering(chunked(&[STEP, AUX, error, b"\r\n"]));
        let build = fake.client.build_image(&BuildOptions::default(), empty()).await.unwrap();
        let Error::Stream { code: got, .. } = build.finish().await.unwrap_err() else { panic!("not a stream error") };
        assert_eq!(got, code);
    }
}

#[tokio::test]
async fn a_build_that_just_ends_has_failed() {
    let fake = Fake::answering(chunked(&[STEP]));
    let build = fake.client.build_image(&BuildOptions::default(), empty()).await.unwrap();
    let items: Vec<_> = build.collect().await;
    assert_eq!(items.len(), 2);
    assert_eq!(items[1].as_ref().unwrap_err().code(), "docker.stream");
}

#[tokio::test]
async fn a_cut_stream_is_not_the_end() {
    for body in [cut_chunked(&[STEP, AUX]), chunked(&[AUX, b"{\"stream\":\"half"])] {
        let fake = Fake::answering(body);
        let build = fake.client.build_image(&BuildOptions::default(), empty()).await.unwrap();
        assert_eq!(build.finish().await.unwrap_err().code(), "docker.protocol");
    }
}

#[tokio::test]
async fn a_pull_names_a_tag_and_needs_a_result() {
    let done = b"{\"status\":\"Digest: sha256:d\"}\r\n{\"status\":\"Status: Image is up to date for x:latest\"}\r\n";
    let fake = Fake::answering(chunked(&[done]));
    let digest = fake.client.pull_image("x", None).await.unwrap().finish().await.unwrap();
    assert_eq!(digest.as_deref(), Some("sha256:d"));
    assert_eq!(fake.lines()[1], "POST /v1.41/images/create?fromImage=x&tag=latest HTTP/1.1");
    assert!(!fake.requests()[1].to_ascii_lowercase().contains("x-registry-auth"));

    let fake = Fake::answering(chunked(&[b"{\"status\":\"Download complete\",\"id\":\"layer\"}\r\n"]));
    let error = fake.client.pull_image("x", None).await.unwrap().finish().await.unwrap_err();
    assert_eq!(error.code(), "docker.stream");

    let fake = Fake::answering(chunked(&[b"{\"errorDetail\":{\"message\":\"unauthorized: wrong\"}}\r\n"]));
    let auth = RegistryAuth::password("me", Secret::new("a>>>b???c"));
    let error = fake.client.pull_image("x:1", Some(&auth)).await.unwrap().finish().await.unwrap_err();
    assert_eq!(error.code(), "docker.unauthorized");
    assert!(fake.requests()[1].to_ascii_lowercase().contains("x-registry-auth: "));
}

#[tokio::test]
async fn a_failing_upload_is_the_callers_error() {
    let fake = Fake::new(vec![vec![Step::Ping("1.41"), Step::Read, Step::Hold]]);
    let context = stream::iter([Ok(Bytes::from_static(b"x")), Err(io::Error::other("disk gone"))]);
    let error = fake.client.build_image(&BuildOptions::default(), context).await.unwrap_err();
    assert_eq!(error.code(), "docker.upload");
    assert!(error.to_string().contains("disk gone"), "{error}");
}

// --- upgraded connections

async fn output(session: &mut Session) -> Vec<u8> {
    let frames: Vec<_> = (&mut session.output).try_collect().await.unwrap();
    frames.iter().flat_map(|frame| frame.bytes.to_vec()).collect()
}

/// The connection that tells the version, then the upgraded one.
fn upgrading(steps: Vec<Step>) -> Fake {
    let mut script = vec![Step::Read];
    script.extend(steps);
    Fake::new(vec![vec![Step::Ping("1.41"), Step::Hold], script])
}

#[tokio::test]
async fn both_101_and_200_hand_the_connection_over_with_bytes_already_read() {
    for head in [UPGRADED, PLAIN_200] {
        let with_output = [head, b"\x01\0\0\0\0\0\0\x03hi\n"].concat();
        let fake = upgrading(vec![Step::Send(with_output)]);
        let mut session = fake.client.start_exec("e", false).await.unwrap();
        assert_eq!(output(&mut session).await, b"hi\n");
        let request = &fake.requests()[1];
        assert!(request.starts_with("POST /v1.41/exec/e/start HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("Connection: Upgrade\r\nUpgrade: tcp\r\n"));
        assert!(request.ends_with(r#"{"Detach":false,"Tty":false}"#), "the body is there, and nothing after it");
    }
}

#[tokio::test]
async fn closing_the_input_leaves_the_output_open() {
    let fake = upgrading(vec![
        Step::Send(UPGRADED.to_vec()),
        Step::ReadToEnd,
        Step::Send(b"\x01\0\0\0\0\0\0\x04late".to_vec()),
    ]);
    let mut session = fake.client.start_exec("e", false).await.unwrap();
    session.input.write_all(b"question").await.unwrap();
    session.input.shutdown().await.unwrap();
    assert_eq!(output(&mut session).await, b"late");
    assert_eq!(fake.requests()[2], "question");
}

#[tokio::test]
async fn a_terminal_is_raw_and_not_held_back() {
    // A prompt without a newline, starting with a byte that looks like a frame header.
    let fake = upgrading(vec![Step::Send([UPGRADED, b"\x01\0\0\0 password: "].concat()), Step::Hold]);
    let mut session = fake.client.start_exec("e", true).await.unwrap();
    let frame = tokio::time::timeout(Duration::from_secs(2), session.output.next()).await.unwrap().unwrap().unwrap();
    assert_eq!((frame.source, &frame.bytes[..]), (Source::Console, &b"\x01\0\0\0 password: "[..]));
}

#[tokio::test]
async fn output_cut_inside_a_frame_is_an_error() {
    let fake = upgrading(vec![Step::Send([UPGRADED, b"\x01\0\0\0\0\0\0\x09part"].concat())]);
    let mut session = fake.client.start_exec("e", false).await.unwrap();
    let error = session.output.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::Frame(FrameError::Truncated { missing: 5 }))), "{error}");
    assert!(session.output.next().await.is_none());
}

#[tokio::test]
async fn a_reset_because_of_unread_input_is_the_end() {
    let frame = [UPGRADED, b"\x01\0\0\0\0\0\0\x02ok"].concat();
    // The engine closes with our input still unread in its socket.
    let fake = upgrading(vec![Step::Send(frame), Step::Pause(Duration::from_millis(100))]);
    let mut session = fake.client.start_exec("e", false).await.unwrap();
    session.input.write_all(&[0; 4096]).await.unwrap();
    assert_eq!(output(&mut session).await, b"ok");
}

#[tokio::test]
async fn a_refused_upgrade_tells_the_engines_text() {
    let stopped = answer("409 Conflict", "application/json", r#"{"message":"Container x is not running"}"#);
    let fake = upgrading(vec![Step::Send(stopped), Step::Hold]);
    let error = fake.client.start_exec("e", false).await.unwrap_err();
    assert_eq!(error.to_string(), "conflict: Container x is not running");

    let mut text = chunked(&[br#"{"message":"gone"}"#]);
    text.splice(..15, b"HTTP/1.1 404 No".iter().copied());
    let fake = upgrading(vec![Step::Send(text), Step::Hold]);
    assert_eq!(fake.client.start_exec("e", false).await.unwrap_err().to_string(), "not found: gone");

    let fake = upgrading(vec![Step::Send(b"HTTP/1.1 500 No\r\n\r\nplain".to_vec())]);
    let error = fake.client.start_exec("e", false).await.unwrap_err();
    assert_eq!(error.to_string(), "the engine failed with status 500: plain");
}

// --- followed streams

#[tokio::test]
async fn logs_ask_for_the_tty_and_read_a_stream_without_headers() {
    let inspect = |tty: bool| json(&format!(r#"{{"Config":{{"Tty":{tty}}}}}"#));
    let bare = |body: &[u8]| [b"HTTP/1.1 200 OK\r\n\r\n", body].concat();
    for (tty, body) in [(true, &b"raw text"[..]), (false, b"\x02\0\0\0\0\0\0\x03err\x01\0\0\0\0\0\0\x00")] {
        let fake = Fake::new(vec![
            vec![Step::Ping("1.41"), Step::Read, Step::Send(inspect(tty)), Step::Hold],
            vec![Step::Ping("1.41"), Step::Read, Step::Send(bare(body))],
        ]);
        let logs = fake.client.logs("web", &LogOptions::default()).await.unwrap();
        let records: Vec<_> = logs.try_collect().await.unwrap();
        let sources: Vec<_> = records.iter().map(|record| record.source).collect();
        if tty {
            assert_eq!((sources.as_slice(), &records[0].bytes[..]), (&[Source::Console][..], body));
        } else {
            assert_eq!(sources, [Source::Stderr, Source::Stdout]);
        }
    }
}

#[tokio::test]
async fn a_followed_stream_may_have_no_head_until_something_happens() {
    let event = chunked(&[b"{\"Type\":\"container\",\"Action\":\"die\"}\n"]);
    let late = logs::HEAD_PATIENCE + Duration::from_millis(500);
    let fake = Fake::new(vec![vec![Step::Ping("1.41"), Step::Read, Step::Pause(late), Step::Send(event)]]);
    let mut events = fake.client.events(&EventOptions::default()).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().verb(), "die");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_refused_stream_is_refused_at_once() {
    let fake = Fake::answering(answer("404 Not Found", "application/json", r#"{"message":"No such container: x"}"#));
    let options = LogOptions { tty: Some(false), follow: true, ..LogOptions::default() };
    assert!(fake.client.logs("x", &options).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_wait_looks_at_the_error_before_the_code() {
    let podman = json(r#"{"StatusCode":0,"Error":{"Message":"container has already been removed"}}"#);
    let wait = Fake::answering(podman);
    let error = wait.client.wait_container("x", WaitCondition::NextExit).await.unwrap().exit().await.unwrap_err();
    assert_eq!(error.code(), "docker.exit_unknown");

    let docker = Fake::answering(chunked(&[br#"{"Error":null,"StatusCode":137}"#]));
    let exit = docker.client.wait_container("x", WaitCondition::NextExit).await.unwrap().exit().await.unwrap();
    assert_eq!(exit.code, 137);

    let cut = Fake::answering(chunked(&[]));
    let error = cut.client.wait_container("x", WaitCondition::NextExit).await.unwrap().exit().await.unwrap_err();
    assert_eq!(error.code(), "docker.exit_unknown");
}

#[tokio::test]
async fn a_stop_signal_is_a_query_from_1_42_and_a_kill_before() {
    let options = StopOptions { grace: Some(Duration::from_millis(1500)), signal: Some("SIGQUIT".into()) };
    let done = || Step::Send(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());

    let fake = Fake::new(vec![vec![Step::Ping("1.42"), Step::Read, done()]]);
    fake.client.stop_container("web", &options).await.unwrap();
    assert_eq!(fake.lines()[1], "POST /v1.42/containers/web/stop?signal=SIGQUIT&t=2 HTTP/1.1");

    let fake = Fake::new(vec![
        vec![Step::Ping("1.41"), Step::Read, done(), Step::Read, done(), Step::Hold],
        vec![Step::Ping("1.41"), Step::Read, Step::Send(json(r#"{"StatusCode":0}"#))],
    ]);
    fake.client.stop_container("web", &options).await.unwrap();
    let lines = fake.lines();
    assert!(lines.contains(&"POST /v1.41/containers/web/kill?signal=SIGQUIT HTTP/1.1".to_owned()), "{lines:?}");
    assert_eq!(lines.last().unwrap(), "POST /v1.41/containers/web/stop?t=0 HTTP/1.1");
}
