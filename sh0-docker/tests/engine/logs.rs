use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use sh0_docker::client::{ContainerSpec, LogConfig, LogOptions, LogRecord, Source};

use crate::harness::with_engine;

fn text(records: &[LogRecord], source: Source) -> String {
    let bytes: Vec<u8> =
        records.iter().filter(|record| record.source == source).flat_map(|record| record.bytes.to_vec()).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_finished_log_is_read_in_parts() {
    with_engine(async |corner| {
        let docker = &corner.docker;
        let script = "echo one; sleep 0.05; echo two >&2; sleep 0.05; printf three";
        for driver in [LogConfig::json_file(1 << 20, 2), LogConfig::local(1 << 20, 2)] {
            let id = corner.create(&ContainerSpec { log: Some(driver), ..corner.script(script) }).await;
            corner.run_to_end(&id).await;

            let read = async |options: LogOptions| -> Vec<LogRecord> {
                docker.logs(&id, &options).await.unwrap().try_collect().await.unwrap()
            };
            let all = read(LogOptions { timestamps: true, ..LogOptions::default() }).await;
            assert_eq!(text(&all, Source::Stdout), "one\nthree\n".trim_end());
            assert_eq!(text(&all, Source::Stderr), "two\n");
            let times: Vec<_> = all.iter().map(|record| record.time.unwrap()).collect();
            assert!(times.is_sorted());

            // The line of exactly this time comes again: that is what a resuming reader must expect.
            let since = read(LogOptions { since: Some(times[1]), timestamps: true, ..LogOptions::default() }).await;
            assert_eq!(since.iter().map(|record| record.time.unwrap()).collect::<Vec<_>>(), times[1..]);
            let tail = read(LogOptions { tail: Some(1), ..LogOptions::default() }).await;
            assert_eq!((tail.len(), tail[0].is_partial(), tail[0].time), (1, true, None));
            let errors = read(LogOptions { stdout: false, ..LogOptions::default() }).await;
            assert_eq!((errors.len(), text(&errors, Source::Stderr)), (1, "two\n".to_owned()));
        }
    });
}

#[test]
fn a_followed_log_goes_on_to_the_end_of_the_container() {
    with_engine(async |corner| {
        let id = corner.start(&corner.script("for i in 1 2 3 4 5; do echo $i; sleep 0.1; done")).await;
        let logs = corner.docker.logs(&id, &LogOptions { follow: true, ..LogOptions::default() }).await.unwrap();
        let records: Vec<_> = tokio::time::timeout(Duration::from_secs(20), logs.try_collect()).await.unwrap().unwrap();
        assert_eq!(text(&records, Source::Stdout), "1\n2\n3\n4\n5\n");
    });
}

#[test]
fn a_silent_log_is_followed_without_waiting() {
    with_engine(async |corner| {
        let id = corner.start(&corner.script("exec sleep 300")).await;
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut logs = corner.docker.logs(&id, &options).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(300), logs.next()).await.is_err());
        corner.docker.kill_container(&id, "KILL").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(10), logs.next()).await.unwrap().is_none());
    });
}

#[test]
fn a_long_line_comes_in_parts_that_join() {
    with_engine(async |corner| {
        let script = "head -c 100000 /dev/zero | tr '\\0' x; echo; echo short";
        let id = corner.create(&corner.script(script)).await;
        corner.run_to_end(&id).await;
        let options = LogOptions { timestamps: true, ..LogOptions::default() };
        let records: Vec<_> = corner.docker.logs(&id, &options).await.unwrap().try_collect().await.unwrap();
        assert!(records.len() > 2 && records[0].is_partial(), "{} records", records.len());
        assert_eq!(text(&records, Source::Stdout), format!("{}\nshort\n", "x".repeat(100_000)));
    });
}

#[test]
fn a_terminals_log_is_raw() {
    with_engine(async |corner| {
        let spec =
            ContainerSpec { tty: true, ..corner.script("printf '\\001\\000\\000\\000'; echo one; echo two >&2") };
        let id = corner.create(&spec).await;
        corner.run_to_end(&id).await;
        let records: Vec<_> =
            corner.docker.logs(&id, &LogOptions::default()).await.unwrap().try_collect().await.unwrap();
        assert_eq!(text(&records, Source::Console), "\x01\0\0\0one\r\ntwo\r\n");
        let options = LogOptions { timestamps: true, ..LogOptions::default() };
        let records: Vec<_> = corner.docker.logs(&id, &options).await.unwrap().try_collect().await.unwrap();
        assert_eq!(records.len(), 2);
        assert!(records.iter().all(|record| record.time.is_some()));
    });
}

#[test]
fn a_large_log_arrives_whole() {
    with_engine(async |corner| {
        let id = corner.create(&corner.script("seq 1 200000")).await;
        corner.run_to_end(&id).await;
        let mut logs = corner.docker.logs(&id, &LogOptions::default()).await.unwrap();
        let mut lines = 0u64;
        while let Some(record) = logs.try_next().await.unwrap() {
            lines += 1;
            assert_eq!(record.bytes, format!("{lines}\n"));
        }
        assert_eq!(lines, 200_000);
    });
}

#[test]
fn no_container_no_log() {
    with_engine(async |corner| {
        for follow in [false, true] {
            for tty in [None, Some(false)] {
                let options = LogOptions { follow, tty, ..LogOptions::default() };
                assert!(corner.docker.logs("sh0-test-none", &options).await.unwrap_err().is_not_found());
            }
        }
    });
}
