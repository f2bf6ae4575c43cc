use std::time::{Duration, Instant};

use sh0_docker::client::{
    Change, ContainerSpec, Error, HostConfig, ListContainers, LogConfig, Mount, NetworkMode, Port, Publish,
    RemoveContainer, Status, StopOptions, UpdateResources, Vars, WaitCondition,
};

use crate::harness::with_engine;

#[test]
fn a_life() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let name = corner.name();
        let spec = ContainerSpec { init: Some(true), ..corner.script("exec sleep 300") };
        let id = docker.create_container(Some(&name), &spec).await.unwrap().id;

        let made = docker.inspect_container(&name).await.unwrap();
        assert_eq!((made.id.as_str(), made.name()), (id.as_str(), name.as_str()));
        assert_eq!(made.state.status, Some(Status::Created));
        assert_eq!((made.state.started_at, made.state.pid), (None, None));
        assert!(made.created.is_some());
        assert_eq!(made.config.labels.get("sh0.test").map(String::as_str), Some("1"));
        assert!(docker.create_container(Some(&name), &spec).await.unwrap_err().is_conflict());

        assert_eq!(docker.start_container(&id).await.unwrap(), Change::Made);
        assert_eq!(docker.start_container(&id).await.unwrap(), Change::AlreadySo);
        let running = docker.inspect_container(&id).await.unwrap();
        assert!(running.state.running && running.state.pid.is_some() && running.state.started_at.is_some());
        let top = docker.top_container(&id).await.unwrap();
        assert!(top.processes.iter().flatten().any(|column| column.contains("sleep")), "{top:?}");

        let other = corner.name();
        docker.rename_container(&id, &other).await.unwrap();
        assert_eq!(docker.inspect_container(&id).await.unwrap().name(), other);
        assert!(docker.remove_container(&id, RemoveContainer::default()).await.unwrap_err().is_conflict());

        docker.restart_container(&id, Some(Duration::from_secs(2))).await.unwrap();
        assert!(docker.inspect_container(&id).await.unwrap().state.running);

        let started = Instant::now();
        assert_eq!(docker.stop_container(&id, &StopOptions::default()).await.unwrap(), Change::Made);
        assert!(started.elapsed() < Duration::from_secs(9), "with an init the signal arrives");
        assert_eq!(docker.stop_container(&id, &StopOptions::default()).await.unwrap(), Change::AlreadySo);
        let ended = docker.inspect_container(&id).await.unwrap();
        assert_eq!((ended.state.status, ended.state.exit_code), (Some(Status::Exited), Some(143)));
        assert!(docker.kill_container(&id, "SIGTERM").await.unwrap_err().is_conflict());

        docker.remove_container(&id, RemoveContainer { force: false, volumes: true }).await.unwrap();
        assert!(docker.inspect_container(&id).await.unwrap_err().is_not_found());
        assert!(docker.start_container(&id).await.unwrap_err().is_not_found());
    });
}

#[test]
fn a_wait_before_the_start_misses_nothing() {
    with_engine(async |corner| {
        for code in [0, 3, 137] {
            let id = corner.create(&corner.script(&format!("exit {code}"))).await;
            assert_eq!(corner.run_to_end(&id).await, code);
        }
        // One that never ran "does not run" at once, with a code that means nothing.
        let id = corner.create(&corner.script("exit 5")).await;
        let wait = corner.docker.wait_container(&id, WaitCondition::NotRunning).await.unwrap();
        assert_eq!(wait.exit().await.unwrap().code, 0);
        let error = corner.docker.wait_container("sh0-test-none", WaitCondition::NextExit).await.unwrap_err();
        assert!(error.is_not_found());
    });
}

#[test]
fn a_stop_sends_the_signal_it_is_given() {
    with_engine(async |corner| {
        let trap = "trap 'exit 21' QUIT; trap 'exit 22' TERM; echo ready; while :; do sleep 0.05; done";
        for (signal, code) in [(Some("SIGQUIT".to_owned()), 21), (None, 22)] {
            let id = corner.start(&corner.script(trap)).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let options = StopOptions { grace: Some(Duration::from_secs(5)), signal };
            assert_eq!(corner.docker.stop_container(&id, &options).await.unwrap(), Change::Made);
            assert_eq!(corner.docker.inspect_container(&id).await.unwrap().state.exit_code, Some(code));
            assert_eq!(corner.docker.stop_container(&id, &options).await.unwrap(), Change::AlreadySo);
        }
    });
}

#[test]
fn a_deaf_process_is_killed_after_the_grace() {
    with_engine(async |corner| {
        let id = corner.start(&corner.script("trap '' TERM QUIT; while :; do sleep 0.1; done")).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let options = StopOptions { grace: Some(Duration::from_secs(1)), signal: Some("QUIT".into()) };
        corner.docker.stop_container(&id, &options).await.unwrap();
        assert_eq!(corner.docker.inspect_container(&id).await.unwrap().state.exit_code, Some(137));
    });
}

#[test]
fn a_program_that_cannot_run_is_told_at_the_start() {
    with_engine(async |corner| {
        let spec = ContainerSpec { cmd: Some(vec!["/no/such/program".into()]), ..corner.script("") };
        let id = corner.create(&spec).await;
        let error = corner.docker.start_container(&id).await.unwrap_err();
        assert_eq!(error.code(), "docker.bad_request", "{error}");
        let state = corner.docker.inspect_container(&id).await.unwrap().state;
        assert_eq!(state.exit_code, Some(127));
        assert!(!state.error.is_empty());
    });
}

#[test]
fn an_unknown_image_or_a_bad_spec_is_told_at_creation() {
    with_engine(async |corner| {
        let spec = ContainerSpec { image: "sh0-test/none:1".into(), ..corner.script("") };
        assert!(corner.docker.create_container(None, &spec).await.unwrap_err().is_not_found());
        let spec = ContainerSpec { mounts: vec![Mount::bind("/no/such/dir", "/x")], ..corner.script("") };
        assert_eq!(corner.docker.create_container(None, &spec).await.unwrap_err().code(), "docker.bad_request");
        let error = corner.docker.create_container(Some("bad/name"), &corner.script("")).await.unwrap_err();
        assert_eq!(error.code(), "docker.bad_request");
    });
}

#[test]
fn a_spec_arrives_as_it_was_meant() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let volume = corner.name();
        let script = r#"test "$GREETING" = "a 'b' \"c\" =d" && test "$PWD" = /srv && test "$(id -u)" = 1234 \
            && test "$(hostname)" = box && touch /data/x && ! touch /x 2>/dev/null && touch /scratch/y \
            && test "$(ulimit -n)" = 555"#;
        let spec = ContainerSpec {
            env: Vars::from([("GREETING", r#"a 'b' "c" =d"#)]),
            working_dir: Some("/srv".into()),
            user: Some("1234".into()),
            hostname: Some("box".into()),
            read_only: true,
            mounts: vec![
                Mount::Tmpfs { target: "/data".into(), size_bytes: Some(1 << 20), mode: Some(0o1777) },
                Mount::Tmpfs { target: "/scratch".into(), size_bytes: None, mode: Some(0o1777) },
                Mount::Volume {
                    name: volume.clone(),
                    target: "/kept".into(),
                    read_only: true,
                    no_copy: true,
                    labels: corner.labels(),
                },
            ],
            memory_bytes: Some(64 << 20),
            cpus_nano: Some(500_000_000),
            pids_limit: Some(50),
            cap_drop: vec!["ALL".into()],
            security_opt: vec!["no-new-privileges".into()],
            ulimits: vec![sh0_docker::client::Ulimit { name: "nofile".into(), soft: 555, hard: 555 }],
            stop_grace: Some(Duration::from_secs(3)),
            log: Some(LogConfig::json_file(1 << 20, 2)),
            ..corner.script(script)
        };
        let id = corner.create(&spec).await;
        assert_eq!(corner.run_to_end(&id).await, 0);

        let seen = docker.inspect_container(&id).await.unwrap();
        assert_eq!(seen.host_config.memory_bytes, Some(64 << 20));
        assert_eq!(seen.host_config.cpus_nano, Some(500_000_000));
        assert_eq!(seen.host_config.pids_limit, Some(50));
        assert_eq!(seen.config.stop_timeout, Some(3));
        let kept = seen.mounts.iter().find(|mount| mount.destination == "/kept").unwrap();
        assert_eq!((kept.name.as_deref(), kept.writable), (Some(volume.as_str()), false));
        assert_eq!(docker.inspect_volume(&volume).await.unwrap().labels, corner.labels());

        let limits =
            UpdateResources { memory_bytes: Some(32 << 20), pids_limit: Some(60), ..UpdateResources::default() };
        docker.update_container(&id, &limits).await.unwrap();
        let HostConfig { memory_bytes, pids_limit, .. } = docker.inspect_container(&id).await.unwrap().host_config;
        assert_eq!((memory_bytes, pids_limit), (Some(32 << 20), Some(60)));
    });
}

#[test]
fn too_much_memory_is_an_oom_kill() {
    with_engine(async |corner| {
        let spec = ContainerSpec { memory_bytes: Some(16 << 20), ..corner.script("exec tail /dev/zero") };
        // The code is certain. The flag is lost when the end overtakes its reason on the way to the engine (measured:
        // 5 of 100), and then for good, so waiting does not help; that it is lost five times in a row is unlikely.
        let mut seen = false;
        for _ in 0..5 {
            let id = corner.create(&spec).await;
            assert_eq!(corner.run_to_end(&id).await, 137);
            seen = corner.docker.inspect_container(&id).await.unwrap().state.oom_killed;
            if seen {
                break;
            }
        }
        assert!(seen, "no kill was reported as one for lack of memory");

        // And a kill for another reason is never reported as one.
        let id = corner.start(&corner.script("exec sleep 300")).await;
        corner.docker.kill_container(&id, "KILL").await.unwrap();
        let wait = corner.docker.wait_container(&id, WaitCondition::NotRunning).await.unwrap();
        assert_eq!(wait.exit().await.unwrap().code, 137);
        assert!(!corner.docker.inspect_container(&id).await.unwrap().state.oom_killed);
    });
}

#[test]
fn a_taken_port_is_told_at_the_start() {
    with_engine(async |corner| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let publish =
            |host_port| vec![Publish { port: Port::tcp(80), host_ip: Some([127, 0, 0, 1].into()), host_port }];
        let spec = ContainerSpec {
            network: Some(NetworkMode::Bridge),
            publish: publish(Some(taken.local_addr().unwrap().port())),
            ..corner.script("exec sleep 60")
        };
        let id = corner.create(&spec).await;
        let error = corner.docker.start_container(&id).await.unwrap_err();
        assert!(error.is_port_taken(), "{error}");

        let free = ContainerSpec { publish: publish(None), ..spec };
        let id = corner.start(&free).await;
        let container = corner.docker.inspect_container(&id).await.unwrap();
        let port = container.published(Port::tcp(80)).next().unwrap();
        assert_eq!(port.ip, Some([127, 0, 0, 1].into()));
        assert!(port.port.is_some());
    });
}

#[test]
fn lists_are_by_label_and_prunes_spare_the_running() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let running = corner.start(&corner.script("exec sleep 300")).await;
        let stopped = corner.create(&corner.script("true")).await;
        let ids = async |all| {
            let list = docker.list_containers(&ListContainers { all, filters: corner.mine() }).await.unwrap();
            let mut ids: Vec<_> = list.into_iter().map(|container| container.id).collect();
            ids.sort();
            ids
        };
        let mut both = vec![running.clone(), stopped.clone()];
        both.sort();
        assert_eq!(ids(true).await, both);
        assert_eq!(ids(false).await, vec![running.clone()]);
        let list = ListContainers { all: true, filters: corner.mine().add("status", "created") };
        let found = docker.list_containers(&list).await.unwrap();
        assert_eq!((found.len(), found[0].state.clone()), (1, Some(Status::Created)));
        assert!(found[0].name().is_some_and(|name| name.starts_with("sh0-test-")));

        assert_eq!(docker.prune_containers(&corner.mine()).await.unwrap().removed, [stopped]);
        assert_eq!(ids(true).await, [running]);
    });
}

#[test]
fn anonymous_volumes_go_with_the_container_when_asked() {
    with_engine(async |corner| {
        let mut spec = corner.script("true");
        spec.mounts = vec![Mount::volume("", "/anonymous")];
        let id = corner.create(&spec).await;
        let container = corner.docker.inspect_container(&id).await.unwrap();
        let volume = container.mounts[0].name.clone().unwrap();
        corner.docker.remove_container(&id, RemoveContainer { force: false, volumes: true }).await.unwrap();
        assert!(matches!(corner.docker.inspect_volume(&volume).await, Err(Error::NotFound { .. })));
    });
}

#[test]
fn many_calls_at_once_share_few_connections() {
    with_engine(async |corner| {
        let id = corner.create(&corner.script("true")).await;
        let calls = (0..64).map(|_| corner.docker.inspect_container(&id));
        let results = futures_util::future::join_all(calls).await;
        assert!(results.into_iter().all(|result| result.unwrap().id == id));
    });
}

#[test]
fn a_dropped_call_does_not_disturb_the_next() {
    with_engine(async |corner| {
        let id = corner.create(&corner.script("true")).await;
        for micros in 0..200 {
            let call = corner.docker.inspect_container(&id);
            let _ = tokio::time::timeout(Duration::from_micros(micros * 10), call).await;
        }
        assert_eq!(corner.docker.inspect_container(&id).await.unwrap().id, id);
    });
}
