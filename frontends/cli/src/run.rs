//! Runs one operation: input to the platform, output to the person or, with `--json`, to the program.

use std::io::{IsTerminal as _, Write as _};

use futures_util::{StreamExt, stream};
use serde_json::Value;
use sh0::ops::fields::{has, summary};
use sh0::ops::{OpDef, OpKind, Risk, find};
use sh0::{Code, Error, Result, Sh0, console, text};
use tokio::signal::unix::{SignalKind, signal};

use crate::verbs::Show;
use crate::{deploy, terminal};

/// How this run of the program talks to whoever started it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    /// To a program.
    pub(crate) json: bool,
}

impl Voice {
    /// One document on standard output.
    pub(crate) fn document(self, value: &Value) {
        self.data(&format!("{value}\n"));
    }

    /// Data on standard output. A reader that has gone away wants no more.
    pub(crate) fn data(self, text: &str) {
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// A word beside the data, on standard error; programs do not get it.
    pub(crate) fn say(self, text: impl AsRef<str>) {
        if !self.json {
            eprintln!("{}", text.as_ref());
        }
    }

    /// One item of a stream, or a line of a list: NDJSON for programs.
    fn item(self, show: Option<Show>, item: &Value) {
        match show {
            Some(Show::Way(_)) if !self.json => self.data(&format!("{}\n", text::line(item))),
            _ => self.document(item),
        }
    }
}

/// What is run.
pub(crate) struct Job {
    pub(crate) op: &'static OpDef,
    pub(crate) input: Value,
    /// How the output looks; as JSON when absent.
    pub(crate) show: Option<Show>,
    /// Destructive operations are not asked about.
    pub(crate) yes: bool,
    /// Deployments are not waited for.
    pub(crate) detach: bool,
}

/// Runs it, whatever its kind.
pub(crate) async fn run(voice: Voice, platform: &Sh0, mut job: Job) -> Result<u8> {
    let door = platform.dispatch();
    if job.op.meta.risk == Risk::Destructive && !job.yes {
        let lost = job.op.meta.path_params().last().map_or(String::new(), |field| text::word(&job.input[field]));
        ask(&format!("{}.", summary(job.op)), &lost)?;
    }
    match job.op.meta.kind {
        OpKind::Unary => return unary(voice, platform, job).await,
        OpKind::Stream => {
            let mut items = door.stream(job.op, job.input).await?;
            while let Some(item) = items.next().await {
                voice.item(job.show, &item?);
            }
        }
        OpKind::Upload => {
            let bytes = console::bytes_of(tokio::io::stdin());
            voice.document(&door.upload(job.op, job.input, bytes).await?);
        }
        OpKind::Duplex => {
            let size = terminal::size().filter(|_| has(job.op, "terminal"));
            if let Some(size) = size {
                job.input["terminal"] = serde_json::to_value(size)?;
            }
            let session = door.duplex(job.op, job.input).await?;
            let _raw = size.and_then(|_| terminal::Raw::enter());
            let resized = stream::unfold(signal(SignalKind::window_change())?, |mut signal| async {
                signal.recv().await.map(|()| (terminal::size(), signal))
            });
            let (typed, sizes) =
                (console::bytes_of(tokio::io::stdin()), resized.filter_map(std::future::ready).boxed());
            let exit = console::join(session, typed, sizes, tokio::io::stdout(), tokio::io::stderr()).await?;
            return Ok(u8::try_from(exit.code).unwrap_or(1));
        }
    }
    Ok(0)
}

async fn unary(voice: Voice, platform: &Sh0, job: Job) -> Result<u8> {
    let output = platform.call_whole(job.op, job.input).await?;
    let items = output.get("items").or(output.get("names")).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match job.show {
        Some(Show::Way("deployment")) => return deploy::settle(voice, platform, output, job.detach).await,
        // Lines of a log are a stream, whether they are followed or not.
        Some(Show::Way("log")) => items.iter().for_each(|item| voice.item(job.show, item)),
        None => voice.document(&output),
        _ if voice.json => voice.document(&output),
        Some(Show::Table(columns)) => voice.data(&text::table(columns, items)),
        Some(Show::Way("lines")) => items.iter().for_each(|item| voice.item(job.show, item)),
        Some(Show::Way("done")) => voice.say("done"),
        Some(Show::Way("dotenv")) => voice.data(&text::dotenv(&output)),
        // Alone, for `SH0_TOKEN=$(sh0 tokens create ...)`.
        Some(Show::Way("secret")) => voice.data(&format!("{}\n", text::word(&output["secret"]))),
        Some(Show::Way(_)) => voice.data(&text::fields(&output)),
    }
    Ok(0)
}

/// Lets a person type a word before something is lost; without a person, tells the exact command that would do it.
pub(crate) fn ask(what: &str, word: &str) -> Result<()> {
    let declined = |text: String| Err(Error::new(Code::Cancelled, text));
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        let typed = std::env::args().collect::<Vec<_>>().join(" ");
        return declined(format!("something would be lost, and nobody is here to confirm it; run: {typed} --yes"));
    }
    eprint!("{what}\nType `{word}` to go on: ");
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    if typed.trim() == word { Ok(()) } else { declined("declined: nothing was changed".into()) }
}

/// The operation of this name.
pub(crate) fn named(name: &str) -> Result<&'static OpDef> {
    find(name).ok_or_else(|| Error::not_found("operation", name))
}
