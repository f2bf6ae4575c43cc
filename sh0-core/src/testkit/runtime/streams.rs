//! Logs, commands beside instances, one-off runs, events.

use futures_util::{FutureExt, StreamExt};

use super::instances::{GRACE, STAY};
use super::{Bench, eventually, finish, fresh, ok, soon};
use crate::model::{InstanceName, LogStream};
use crate::traits::{CommandLine, ExecSpec, InstanceSpec, RawLine, RuntimeEvent, Terminal};

/// Prints 1 to 300 on standard output, every tenth on standard error too, with pauses.
const COUNT: &str = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; \
     if [ $((i % 10)) -eq 0 ]; then echo mark $i >&2; fi; if [ $((i % 60)) -eq 0 ]; then sleep 0.1; fi; done";

fn numbers(lines: &[RawLine], word: &str) -> Vec<u32> {
    let number = |line: &RawLine| line.text.strip_prefix(word)?.trim().parse().ok();
    lines.iter().filter_map(number).collect()
}

impl Bench<'_> {
    pub(super) async fn logs_lose_nothing(&self) {
        let spec = self.spec(COUNT);
        ok(self.runtime.create(&spec).await);
        let follow = ok(self.runtime.logs(&spec.name, None, true).await);
        ok(self.runtime.start(&spec.name).await);
        let followed: Vec<RawLine> = soon("following to the end", follow.map(ok).collect()).await;
        let expected: Vec<u32> = (1..=300).collect();
        assert_eq!(numbers(&followed, "line "), expected, "following loses nothing and repeats nothing");
        assert_eq!(numbers(&followed, "mark "), expected.iter().copied().filter(|n| n % 10 == 0).collect::<Vec<_>>());
        assert!(followed.iter().all(|line| (line.stream == LogStream::Stderr) == line.text.starts_with("mark")));
        // Of one stream: an engine may read the two at the same time and note them a moment later.
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            let of_it = followed.iter().filter(|line| line.stream == stream);
            assert!(of_it.is_sorted_by_key(|line| line.at), "times of {stream:?} do not go back");
        }
        assert_eq!(self.lines(&spec.name).await, followed, "what is there later is what was followed");
        ok(self.runtime.remove(&spec.name).await);

        let (lines, _) = self.output_of("printf 'no end'; printf '\\n\\ntwo  spaces \\n'; printf 'last'").await;
        assert_eq!(lines, ["no end", "", "two  spaces ", "last"], "lines arrive as they are");

        // A follower of something that is removed is not left waiting.
        let spec = self.spec(STAY);
        self.up(&spec).await;
        let mut follow = ok(self.runtime.logs(&spec.name, None, true).await);
        assert_eq!(soon("its first line", follow.next()).await.map(ok).map(|line| line.text), Some("up".to_owned()));
        ok(self.runtime.remove(&spec.name).await);
        assert!(soon("the end of the log", follow.next()).await.is_none(), "a log ends with its instance");
    }

    pub(super) async fn logs_can_be_resumed(&self) {
        let spec = self.spec(COUNT);
        self.up(&spec).await;
        let mut lines: Vec<RawLine> = Vec::new();
        // Every reader takes some lines and goes; the next begins at the time where it stopped.
        for take in [1, 50, 100, usize::MAX] {
            let since = lines.last().map(|line| line.at);
            let follow = ok(self.runtime.logs(&spec.name, since, true).await);
            let mut known = lines.iter().filter(|line| Some(line.at) == since).count();
            let fresh_lines = follow.map(ok).skip_while(move |line| {
                let skip = Some(line.at) == since && known > 0;
                known = known.saturating_sub(usize::from(skip));
                futures_util::future::ready(skip)
            });
            let read: Vec<RawLine> = soon("a part of the log", fresh_lines.take(take).collect()).await;
            lines.extend(read);
        }
        assert_eq!(
            numbers(&lines, "line "),
            (1..=300).collect::<Vec<u32>>(),
            "nothing lost or repeated over four readers"
        );
        let middle = lines[lines.len() / 2].at;
        let since = ok(self.runtime.logs(&spec.name, Some(middle), false).await);
        let since: Vec<RawLine> = soon("the log since a time", since.map(ok).collect()).await;
        let expected: Vec<RawLine> = lines.iter().filter(|line| line.at >= middle).cloned().collect();
        assert_eq!(since, expected, "since includes that very time");
        ok(self.runtime.remove(&spec.name).await);
    }

    pub(super) async fn commands_beside_it(&self) {
        let spec = InstanceSpec { env: Self::one_variable("OWN", "of the instance"), ..self.spec(STAY) };
        self.up(&spec).await;
        let exec = |line: &str| ExecSpec {
            command: CommandLine::Shell(line.to_owned()),
            env: Self::one_variable("MORE", "of the command"),
            terminal: None,
        };
        let session = ok(self.runtime.exec(&spec.name, &exec("echo $OWN, $MORE; echo bad >&2; exit 3")).await);
        let (out, err, code) = finish(session).await;
        assert_eq!((out.as_str(), err.as_str(), code), ("of the instance, of the command\n", "bad\n", 3));

        let mut session = ok(self.runtime.exec(&spec.name, &exec("cat; echo end of input")).await);
        ok(session.input.write("first ".into()).await);
        ok(session.input.write("second\n".into()).await);
        ok(session.input.close().await);
        assert_eq!(finish(session).await.0, "first second\nend of input\n", "output goes on after the end of input");

        let big = 300_000;
        let mut session = ok(self.runtime.exec(&spec.name, &exec("cat")).await);
        let mut input = session.input;
        session.input = Box::new(NoInput);
        let write = async move {
            for _ in 0..big / 1000 {
                ok(input.write("y".repeat(1000).into()).await);
            }
            drop(input);
        };
        let ((out, _, code), ()) = soon("bytes through cat", futures_util::future::join(finish(session), write)).await;
        assert_eq!((out.len(), code), (big, 0), "dropping the input ends it; no byte is lost");

        let program = ExecSpec {
            command: CommandLine::Exec(vec!["printf".into(), "%s|".into(), "a b".into(), "$c".into()]),
            ..exec("")
        };
        assert_eq!(finish(ok(self.runtime.exec(&spec.name, &program).await)).await.0, "a b|$c|", "no shell in between");
        assert!(self.observed(&spec.name).await.state.is_running(), "commands leave the instance alone");
        ok(self.runtime.stop(&spec.name, GRACE).await);
        assert!(self.runtime.exec(&spec.name, &exec("true")).await.is_err(), "nothing runs beside what does not run");
        ok(self.runtime.remove(&spec.name).await);
    }

    pub(super) async fn terminals(&self) {
        let spec = self.spec(STAY);
        self.up(&spec).await;
        let command = ExecSpec {
            command: CommandLine::Shell(format!(
                "{}read line; stty size; [ -t 1 ] && echo \"got $line\"; exit 4",
                until_size("31 117")
            )),
            env: Default::default(),
            terminal: Some(Terminal { rows: 31, cols: 117 }),
        };
        let mut session = ok(self.runtime.exec(&spec.name, &command).await);
        let mut text = String::new();
        while !text.contains("31 117") {
            let (stream, bytes) = ok(soon("the first size", session.output.next()).await.expect("output"));
            assert_eq!(stream, LogStream::Stdout, "a terminal has one stream");
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        ok(session.input.resize(Terminal { rows: 40, cols: 99 }).await);
        ok(session.input.write("hello\n".into()).await);
        let (out, _, code) = finish(session).await;
        assert!(out.contains("40 99") && out.contains("got hello"), "{out:?}");
        assert_eq!(code, 4);
        ok(self.runtime.remove(&spec.name).await);
    }

    fn one_off(&self, line: &str) -> InstanceSpec {
        let mut spec = self.spec(line);
        spec.name = InstanceName::one_off(fresh());
        spec.labels.one_off = true;
        spec
    }

    pub(super) async fn one_off_runs(&self) {
        let spec = self.one_off("read line; echo got $line; exit 9");
        let mut session = ok(self.runtime.run(&spec).await);
        let seen = ok(self.runtime.inspect(&spec.name).await).expect("a run can be seen");
        assert!(seen.labels.one_off, "and is marked as one");
        ok(session.input.write("something\n".into()).await);
        assert_eq!(finish(session).await, ("got something\n".to_owned(), String::new(), 9));
        assert_eq!(ok(self.runtime.inspect(&spec.name).await), None, "it is removed when it has ended");

        let spec =
            InstanceSpec { terminal: Some(Terminal { rows: 20, cols: 70 }), ..self.one_off(&until_size("20 70")) };
        let (out, _, code) = finish(ok(self.runtime.run(&spec).await)).await;
        assert_eq!((out.trim(), code), ("20 70", 0));

        // As the engine runs a release command: created, followed, waited for.
        let spec = self.one_off("echo migrated");
        ok(self.runtime.create(&spec).await);
        ok(self.runtime.start(&spec.name).await);
        let lines = ok(self.runtime.logs(&spec.name, None, true).await);
        let lines: Vec<RawLine> = soon("the output of a run", lines.map(ok).collect()).await;
        assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["migrated"]);
        assert_eq!(ok(self.runtime.wait(&spec.name).await).code, 0);
        assert_eq!(ok(self.runtime.wait(&spec.name).await).code, 0, "its exit can be read again");
        ok(self.runtime.remove(&spec.name).await);
    }

    pub(super) async fn dropped_runs_end(&self) {
        let spec = self.one_off("echo up; sleep 1000");
        let mut session = ok(self.runtime.run(&spec).await);
        assert!(soon("its first output", session.output.next()).await.is_some());
        drop(session);
        eventually("a dropped run is removed", || async { ok(self.runtime.inspect(&spec.name).await).is_none() }).await;
    }

    pub(super) async fn events_are_told(&self) {
        let mut events = ok(self.runtime.events().await);
        let spec = self.spec("sleep 0.2; exit 1");
        self.up(&spec).await;
        ok(soon("its end", self.runtime.wait(&spec.name)).await);
        ok(self.runtime.remove(&spec.name).await);
        let (name, app) = (spec.name.clone(), spec.labels.app);
        for expected in [
            RuntimeEvent::Started(name.clone(), app),
            RuntimeEvent::Ended(name.clone(), app),
            RuntimeEvent::Removed(name.clone(), app),
        ] {
            loop {
                let event = ok(soon("an event", events.next()).await.expect("events go on"));
                let about = match &event {
                    RuntimeEvent::Started(about, _)
                    | RuntimeEvent::Ended(about, _)
                    | RuntimeEvent::Removed(about, _) => about == &name,
                    RuntimeEvent::Gap => false,
                };
                if about {
                    assert_eq!(event, expected);
                    break;
                }
            }
        }
        assert!(events.next().now_or_never().is_none_or(|event| event.is_some()), "events go on");
    }
}

/// Stands in where the input was taken out of a session.
struct NoInput;

#[async_trait::async_trait]
impl crate::traits::SessionInput for NoInput {
    async fn write(&mut self, _: bytes::Bytes) -> crate::Result<()> {
        Ok(())
    }
    async fn close(&mut self) -> crate::Result<()> {
        Ok(())
    }
    async fn resize(&mut self, _: Terminal) -> crate::Result<()> {
        Ok(())
    }
}

/// Waits for a size, then prints it: some engines take the size only when the command runs already.
fn until_size(size: &str) -> String {
    format!("until [ \"$(stty size)\" = \"{size}\" ]; do sleep 0.05; done; stty size; ")
}
