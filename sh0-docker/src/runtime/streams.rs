//! Logs, exec, one-off runs, events.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sh0_core::model::{AppId, Exit, InstanceName, InstanceState, LogStream, Timestamp};
use sh0_core::traits::{ExecSpec, InstanceSpec, RawLine, RuntimeEvent, Session, SessionInput, Terminal};
use sh0_core::{Error, Result};
use tokio::io::AsyncWriteExt;

use super::DockerRuntime;
use super::ending::Command;
use super::fault::told;
use super::instances::{argv, container, exit};
use super::labels::APP;
use crate::client::{
    self, AttachOptions, Client, EventOptions, Input, LogOptions, LogRecord, OutputStream, RemoveContainer, Source,
    WaitCondition,
};

/// How long the engine may take to tell the exit code after the last output of a command.
const EXIT_WITHIN: Duration = Duration::from_secs(10);

/// Before a log that broke off is taken up again.
const TAKE_UP: Duration = Duration::from_millis(100);

impl DockerRuntime {
    /// The engine ends a followed log whenever the container ends, also when it is about to be started again: then it is
    /// taken up where it was.
    pub(super) async fn read_logs(
        &self,
        name: &InstanceName,
        since: Option<Timestamp>,
        follow: bool,
    ) -> Result<BoxStream<'static, Result<RawLine>>> {
        let mut reader =
            Reader { runtime: self.clone(), name: name.clone(), follow, from: since, seen: 0, skip: 0, log: None };
        // Errors of the first request are the caller's.
        reader.open().await?;
        Ok(stream::try_unfold(reader, |mut reader| async move { Ok(reader.next().await?.map(|line| (line, reader))) })
            .boxed())
    }

    pub(super) async fn exec_inside(&self, name: &InstanceName, command: &ExecSpec) -> Result<Session> {
        let mut env = client::Vars::default();
        for (key, secret) in &command.env {
            env.set(key.as_str(), secret.expose());
        }
        let tty = command.terminal.is_some();
        let spec =
            client::ExecSpec { argv: argv(&command.command), env, tty, stdin: true, ..client::ExecSpec::default() };
        let id = self.client.create_exec(name.as_str(), &spec).await.map_err(told)?;
        let session = self.client.start_exec(&id, tty).await.map_err(told)?;
        let running = Command::new(self.client.clone(), id.clone());
        let screen = Screen::Exec(self.client.clone(), id.clone());
        if let Some(size) = command.terminal {
            // It may have ended already; then there is nothing to resize.
            let _ = screen.resize(size).await;
        }
        let client = self.client.clone();
        let ended = async move {
            let code = client.wait_exec(&id, EXIT_WITHIN).await.map_err(told)?;
            running.has_ended();
            Ok(Exit { code: code.try_into().unwrap_or(-1), oom: false })
        };
        Ok(Session {
            input: Box::new(Keyboard { input: Some(session.input), screen }),
            output: bytes(session.output),
            exit: ended.boxed(),
        })
    }

    /// Attach, register the wait, then start: nothing is missed.
    pub(super) async fn run_attached(&self, spec: &InstanceSpec) -> Result<Session> {
        let name = spec.name.as_str().to_owned();
        let mut asked = container(spec);
        asked.open_stdin = true;
        asked.stdin_once = true;
        for mount in &spec.volumes {
            self.make_volume(spec.labels.app, &mount.name).await?;
        }
        self.hold_image(spec).await?;
        let (asked, turn) = self.placed(&spec.name, asked).await?;
        self.client.create_container(Some(&name), &asked).await.map_err(told)?;
        drop(turn);
        let cleaner = Cleaner { runtime: self.clone(), name: name.clone() };
        let tty = Some(asked.tty);
        let session = self
            .client
            .attach(&name, &AttachOptions { stdin: true, tty, ..AttachOptions::default() })
            .await
            .map_err(told)?;
        let wait = self.client.wait_container(&name, WaitCondition::NextExit).await.map_err(told)?;
        self.start_container(&spec.name).await?;
        let screen = Screen::Container(self.client.clone(), name.clone());
        if let Some(size) = spec.terminal {
            let _ = screen.resize(size).await;
        }
        Ok(Session {
            input: Box::new(Keyboard { input: Some(session.input), screen }),
            output: bytes(session.output),
            exit: ended(cleaner, wait),
        })
    }

    pub(super) async fn follow_events(&self) -> Result<BoxStream<'static, Result<RuntimeEvent>>> {
        let filters = self.ours(None).add("type", "container");
        let events = self.client.events(&EventOptions { filters, ..EventOptions::default() }).await.map_err(told)?;
        Ok(events.map_err(told).try_filter_map(|event| async move { Ok(translate(&event)) }).boxed())
    }
}

/// Podman says `died` and `remove` where Docker says `die` and `destroy`.
fn translate(event: &client::Event) -> Option<RuntimeEvent> {
    let name: InstanceName = event.attributes().get("name")?.parse().ok()?;
    let app: AppId = event.attributes().get(APP)?.parse().ok()?;
    match event.verb() {
        "start" => Some(RuntimeEvent::Started(name, app)),
        "die" | "died" => Some(RuntimeEvent::Ended(name, app)),
        "destroy" | "remove" => Some(RuntimeEvent::Removed(name, app)),
        _ => None,
    }
}

/// A log that goes on over restarts of its container.
struct Reader {
    runtime: DockerRuntime,
    name: InstanceName,
    follow: bool,
    /// The time of the last line given out, and how many lines have that very time.
    from: Option<Timestamp>,
    seen: u64,
    /// Lines of that time that come again and are known.
    skip: u64,
    log: Option<client::LogStream>,
}

impl Reader {
    /// From the last line on: those of its very time come again, and are skipped.
    async fn open(&mut self) -> Result<()> {
        let options = LogOptions { follow: self.follow, since: self.from, timestamps: true, ..LogOptions::default() };
        self.log = Some(self.runtime.client.logs(self.name.as_str(), &options).await.map_err(told)?);
        self.skip = self.seen;
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<RawLine>> {
        loop {
            let record = match &mut self.log {
                Some(log) => log.try_next().await.map_err(told)?,
                None => None,
            };
            let Some(record) = record else {
                if !self.goes_on().await? {
                    return Ok(None);
                }
                continue;
            };
            let line = line(&record);
            if Some(line.at) == self.from && self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            self.seen = if Some(line.at) == self.from { self.seen + 1 } else { 1 };
            self.from = Some(line.at);
            self.skip = 0;
            return Ok(Some(line));
        }
    }

    /// After the end of a stream: whether the container lives on, with the log opened again.
    async fn goes_on(&mut self) -> Result<bool> {
        if !self.follow {
            return Ok(false);
        }
        tokio::time::sleep(TAKE_UP).await;
        match self.runtime.inspect_container(&self.name).await? {
            Some(observed) if matches!(observed.state, InstanceState::Running | InstanceState::Restarting) => {
                self.open().await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

fn line(record: &LogRecord) -> RawLine {
    let text = String::from_utf8_lossy(&record.bytes);
    RawLine {
        at: record.time.unwrap_or_default(),
        stream: if record.source == Source::Stderr { LogStream::Stderr } else { LogStream::Stdout },
        text: text.trim_end_matches(['\n', '\r']).to_owned(),
    }
}

fn bytes(output: OutputStream) -> BoxStream<'static, Result<(LogStream, Bytes)>> {
    output
        .map_ok(|frame| {
            (if frame.source == Source::Stderr { LogStream::Stderr } else { LogStream::Stdout }, frame.bytes)
        })
        .map_err(told)
        .boxed()
}

/// The writing side of a session.
struct Keyboard {
    input: Option<Input>,
    screen: Screen,
}

/// Whose terminal it is.
enum Screen {
    Exec(Client, String),
    Container(Client, String),
}

impl Screen {
    async fn resize(&self, size: Terminal) -> Result<()> {
        match self {
            Screen::Exec(client, id) => client.resize_exec(id, size.cols, size.rows).await,
            Screen::Container(client, name) => client.resize_container(name, size.cols, size.rows).await,
        }
        .map_err(told)
    }
}

#[async_trait]
impl SessionInput for Keyboard {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let Some(input) = &mut self.input else {
            return Err(Error::conflict("the input of this command has been closed"));
        };
        input.write_all(&bytes).await?;
        Ok(input.flush().await?)
    }

    async fn close(&mut self) -> Result<()> {
        match self.input.take() {
            Some(mut input) => Ok(input.shutdown().await?),
            None => Ok(()),
        }
    }

    async fn resize(&mut self, size: Terminal) -> Result<()> {
        self.screen.resize(size).await
    }
}

/// The end of a one-off run; dropping it ends the run.
fn ended(cleaner: Cleaner, wait: client::Wait) -> BoxFuture<'static, Result<Exit>> {
    async move {
        let waited = wait.exit().await;
        // The wait may lose the code; the container still has it.
        let found = cleaner.runtime.client.inspect_container(&cleaner.name).await;
        let outcome = match (waited, found) {
            (_, Ok(found)) => Ok(exit(&found.state)),
            (Ok(exit), Err(_)) => Ok(Exit { code: exit.code.try_into().unwrap_or(-1), oom: false }),
            (Err(error), Err(_)) => Err(told(error)),
        };
        cleaner.clean().await;
        outcome
    }
    .boxed()
}

/// Removes the container of a one-off run, also when nobody waits for its end.
struct Cleaner {
    runtime: DockerRuntime,
    name: String,
}

impl Cleaner {
    async fn clean(mut self) {
        remove(self.runtime.clone(), std::mem::take(&mut self.name)).await;
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        // Outside of a runtime nothing can be sent; the reconciler removes it once it has ended.
        if let (false, Ok(handle)) = (self.name.is_empty(), tokio::runtime::Handle::try_current()) {
            handle.spawn(remove(self.runtime.clone(), std::mem::take(&mut self.name)));
        }
    }
}

async fn remove(runtime: DockerRuntime, name: String) {
    match runtime.client.remove_container(&name, RemoveContainer { force: true, volumes: true }).await {
        Ok(()) => runtime.leave_network().await,
        Err(error) if error.is_not_found() => {}
        Err(error) => tracing::warn!(name, %error, "a one-off run could not be removed"),
    }
}
