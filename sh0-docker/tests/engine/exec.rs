use std::time::Duration;

use futures_util::StreamExt;
use sh0_docker::client::{AttachOptions, ContainerSpec, ExecSpec, Source, Vars, WaitCondition};
use tokio::io::AsyncWriteExt;

use crate::harness::{Corner, read_all, with_engine};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> ExecSpec {
    ExecSpec { argv: vec!["sh".into(), "-c".into(), script.into()], ..ExecSpec::default() }
}

async fn sleeper(corner: &Corner) -> String {
    corner.start(&ContainerSpec { init: Some(true), ..corner.script("exec sleep 300") }).await
}

#[test]
fn output_is_split_and_the_exit_code_known() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let id = sleeper(&corner).await;
        let exec = docker.create_exec(&id, &shell("echo out; echo err >&2; exit 7")).await.unwrap();
        assert_eq!(docker.inspect_exec(&exec).await.unwrap().container_id, id);
        let mut session = docker.start_exec(&exec, false).await.unwrap();
        assert_eq!(read_all(&mut session).await, (b"out\n".to_vec(), b"err\n".to_vec()));
        assert_eq!(docker.wait_exec(&exec, SOON).await.unwrap(), 7);
        assert!(docker.start_exec("none", false).await.unwrap_err().is_not_found());
        assert!(docker.create_exec(&id, &ExecSpec::default()).await.is_err());
    });
}

#[test]
fn a_program_that_cannot_run_is_told_in_the_output() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let id = sleeper(&corner).await;
        for program in ["/no/such/program", "/etc/passwd"] {
            let spec = ExecSpec { argv: vec![program.into()], ..ExecSpec::default() };
            let exec = docker.create_exec(&id, &spec).await.unwrap();
            let mut session = docker.start_exec(&exec, false).await.unwrap();
            let (out, err) = read_all(&mut session).await;
            assert!(String::from_utf8([out, err].concat()).unwrap().contains(program));
            let code = docker.wait_exec(&exec, SOON).await.unwrap();
            assert!(code == 126 || code == 127, "{code}");
        }
    });
}

#[test]
fn an_exec_runs_only_once() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let id = sleeper(&corner).await;
        let exec = docker.create_exec(&id, &shell("echo ran >> /log")).await.unwrap();
        for _ in 0..2 {
            // 20.10 refuses the second start in the output, others with a status.
            if let Ok(mut session) = docker.start_exec(&exec, false).await {
                read_all(&mut session).await;
            }
        }
        let exec = docker.create_exec(&id, &shell("cat /log")).await.unwrap();
        let mut session = docker.start_exec(&exec, false).await.unwrap();
        assert_eq!(read_all(&mut session).await.0, b"ran\n");
    });
}

#[test]
fn user_directory_and_environment_are_its_own() {
    with_engine(async |corner| {
        let id = sleeper(&corner).await;
        let spec = ExecSpec {
            env: Vars::from([("A", "1 2")]),
            user: Some("65534".into()),
            working_dir: Some("/tmp".into()),
            ..shell(r#"echo "$A $PWD $(id -u)""#)
        };
        let exec = corner.docker.create_exec(&id, &spec).await.unwrap();
        let mut session = corner.docker.start_exec(&exec, false).await.unwrap();
        assert_eq!(read_all(&mut session).await.0, b"1 2 /tmp 65534\n");
    });
}

#[test]
fn input_is_binary_and_its_end_leaves_the_output_open() {
    with_engine(async |corner| {
        let id = sleeper(&corner).await;
        // All bytes, among them the detach keys; more than one socket buffer of them.
        let data: Vec<u8> = (0..=255u8).cycle().take(1 << 20).collect();
        let spec = ExecSpec { stdin: true, ..shell("cat; sleep 0.3; echo late >&2") };
        let exec = corner.docker.create_exec(&id, &spec).await.unwrap();
        let mut session = corner.docker.start_exec(&exec, false).await.unwrap();
        let mut input = session.input;
        let copy = data.clone();
        let writer = tokio::spawn(async move {
            input.write_all(&copy).await.unwrap();
            input.shutdown().await.unwrap();
            input
        });
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(frame) = session.output.next().await {
            let frame = frame.unwrap();
            if frame.source == Source::Stderr { &mut err } else { &mut out }.extend_from_slice(&frame.bytes);
        }
        writer.await.unwrap();
        assert!(out == data, "{} bytes came back", out.len());
        assert_eq!(err, b"late\n");
        assert_eq!(corner.docker.wait_exec(&exec, SOON).await.unwrap(), 0);
    });
}

#[test]
fn input_that_nobody_reads_does_not_break_the_output() {
    with_engine(async |corner| {
        let id = sleeper(&corner).await;
        for _ in 0..5 {
            let spec = ExecSpec { stdin: true, ..shell("echo done") };
            let exec = corner.docker.create_exec(&id, &spec).await.unwrap();
            let mut session = corner.docker.start_exec(&exec, false).await.unwrap();
            let _ = session.input.write_all(&[0; 65536]).await;
            assert_eq!(read_all(&mut session).await.0, b"done\n");
        }
    });
}

#[test]
fn a_terminal_is_raw_and_has_a_size() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let id = sleeper(&corner).await;
        let spec =
            ExecSpec { tty: true, stdin: true, ..shell("printf 'name: '; read name; stty size; echo \"<$name>\"") };
        let exec = docker.create_exec(&id, &spec).await.unwrap();
        let mut session = docker.start_exec(&exec, true).await.unwrap();
        // The prompt has no newline and must not be held back.
        let prompt = tokio::time::timeout(SOON, session.output.next()).await.unwrap().unwrap().unwrap();
        assert_eq!((prompt.source, &prompt.bytes[..]), (Source::Console, &b"name: "[..]));
        docker.resize_exec(&exec, 101, 33).await.unwrap();
        session.input.write_all(b"bob\n").await.unwrap();
        let (rest, _) = read_all(&mut session).await;
        let rest = String::from_utf8(rest).unwrap();
        assert!(rest.contains("33 101") && rest.contains("<bob>"), "{rest:?}");
        assert_eq!(docker.wait_exec(&exec, SOON).await.unwrap(), 0);
    });
}

#[test]
fn a_terminal_gets_every_key_at_once() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let id = sleeper(&corner).await;
        let spec = ExecSpec {
            tty: true,
            stdin: true,
            ..shell("stty raw -echo; printf ready; head -c 1 | od -An -tu1; head -c 1 | od -An -tu1")
        };
        let exec = docker.create_exec(&id, &spec).await.unwrap();
        let mut session = docker.start_exec(&exec, true).await.unwrap();
        // ctrl-p is the start of the default detach keys, which would hold it back and then, with ctrl-q, end this.
        for (key, answer) in [(None, "ready"), (Some(16), "16"), (Some(17), "17")] {
            if let Some(key) = key {
                session.input.write_all(&[key]).await.unwrap();
            }
            let mut text = String::new();
            while !text.contains(answer) {
                let frame = tokio::time::timeout(SOON, session.output.next()).await.expect(answer).unwrap().unwrap();
                text.push_str(&String::from_utf8_lossy(&frame.bytes));
            }
        }
    });
}

#[test]
fn a_stopped_container_runs_nothing() {
    with_engine(async |corner| {
        let id = corner.create(&corner.script("true")).await;
        assert!(corner.docker.create_exec(&id, &shell("true")).await.unwrap_err().is_conflict());
        assert!(corner.docker.create_exec("sh0-test-none", &shell("true")).await.unwrap_err().is_not_found());
    });
}

#[test]
fn a_detached_exec_runs_alone() {
    with_engine(async |corner| {
        let id = sleeper(&corner).await;
        let exec = corner.docker.create_exec(&id, &shell("sleep 0.2; exit 4")).await.unwrap();
        corner.docker.start_exec_detached(&exec).await.unwrap();
        assert_eq!(corner.docker.wait_exec(&exec, SOON).await.unwrap(), 4);
    });
}

#[test]
fn an_attached_container_answers_its_input() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let spec = ContainerSpec { open_stdin: true, stdin_once: true, ..corner.script("sort; echo end >&2") };
        let id = corner.create(&spec).await;
        let options = AttachOptions { stdin: true, ..AttachOptions::default() };
        let mut session = docker.attach(&id, &options).await.unwrap();
        let wait = docker.wait_container(&id, WaitCondition::NextExit).await.unwrap();
        docker.start_container(&id).await.unwrap();
        session.input.write_all(b"b\na\n").await.unwrap();
        session.input.shutdown().await.unwrap();
        assert_eq!(read_all(&mut session).await, (b"a\nb\n".to_vec(), b"end\n".to_vec()));
        assert_eq!(wait.exit().await.unwrap().code, 0);
        assert!(docker.attach("sh0-test-none", &options).await.unwrap_err().is_not_found());
    });
}

#[test]
fn an_attached_terminal_is_resized() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let spec = ContainerSpec { tty: true, open_stdin: true, ..corner.script("read x; stty size") };
        let id = corner.create(&spec).await;
        let mut session = docker.attach(&id, &AttachOptions { stdin: true, ..AttachOptions::default() }).await.unwrap();
        docker.start_container(&id).await.unwrap();
        docker.resize_container(&id, 90, 20).await.unwrap();
        session.input.write_all(b"\n").await.unwrap();
        let (text, _) = read_all(&mut session).await;
        assert!(String::from_utf8_lossy(&text).contains("20 90"), "{text:?}");
    });
}
