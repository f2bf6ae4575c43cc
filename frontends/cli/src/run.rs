//! Runs one operation: input to the platform, output to the person or, with `--json`, to the program.

use std::fmt::Display;
use std::io::{IsTerminal, Write as _};

use futures_util::StreamExt;
use serde::Serialize;
use serde_json::Value;
use sh0::ops::fields::summary;
use sh0::ops::{OpDef, OpKind, Risk};
use sh0::{Error, Result, Sh0, console, text};

use crate::deploy;

/// How this run of the program talks to whoever started it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    /// To a program.
    pub(crate) json: bool,
}

impl Voice {
    /// One document on standard output.
    pub(crate) fn document(self, value: &impl Serialize) {
        self.data(&format!("{}\n", serde_json::to_string(value).unwrap_or_default()));
    }

    /// Data on standard output. A reader that has gone away wants no more.
    pub(crate) fn data(self, text: &str) {
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// A value: as JSON, or as text, in colours where a terminal shows it.
    pub(crate) fn show<T: Serialize>(self, value: &T, text: fn(&T, bool) -> String) {
        if self.json { self.document(value) } else { self.data(&text(value, colours(&std::io::stdout()))) }
    }

    /// A word beside the data, on standard error; programs do not get it.
    pub(crate) fn say(self, text: impl AsRef<str>) {
        if !self.json {
            eprintln!("{}", text.as_ref());
        }
    }

    /// What was done: as JSON, or in words beside the data.
    pub(crate) fn tell<T: Serialize + Display>(self, done: &T) {
        if self.json { self.document(done) } else { self.say(done.to_string()) }
    }

    /// One item of a stream, or a line of a list: NDJSON for programs.
    fn item(self, show: &str, item: &Value) {
        if self.json || show == "json" { self.document(item) } else { self.data(&format!("{}\n", text::line(item))) }
    }
}

/// Whether a stream takes colours (no-color.org).
pub(crate) fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What is run.
pub(crate) struct Job {
    pub(crate) op: &'static OpDef,
    pub(crate) input: Value,
    /// How the output looks: a word of `verbs.txt`, or `json`.
    pub(crate) show: &'static str,
    pub(crate) yes: bool,
    pub(crate) detach: bool,
}

/// Runs it, whatever its kind.
pub(crate) async fn run(voice: Voice, platform: &Sh0, job: Job) -> Result<u8> {
    let door = platform.dispatch();
    if job.op.meta.risk == Risk::Destructive && !job.yes {
        let lost = job.op.meta.path_params().last().map_or(String::new(), |field| text::word(&job.input[field]));
        console::confirm(&format!("{}.", summary(job.op)), &lost)?;
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
            voice.document(&door.upload(job.op, job.input, console::bytes_of(tokio::io::stdin())).await?);
        }
        OpKind::Duplex => {
            let exit = console::converse(&*door, job.op, job.input).await?;
            return Ok(u8::try_from(exit.code).unwrap_or(1));
        }
    }
    Ok(0)
}

async fn unary(voice: Voice, platform: &Sh0, job: Job) -> Result<u8> {
    if job.show == "gone" {
        voice.tell(&platform.destroy(serde_json::from_value(job.input)?, !job.detach).await?);
        return Ok(0);
    }
    let output = platform.call_whole(job.op, job.input).await?;
    let items = text::items(&output);
    match job.show {
        "deployment" => return deploy::settle(voice, platform, output, job.detach).await,
        // A log is a stream of lines, whether it is followed or not.
        "log" => items.iter().for_each(|item| voice.item(job.show, item)),
        show if voice.json || show == "json" => voice.document(&output),
        "lines" => items.iter().for_each(|item| voice.item(job.show, item)),
        "done" => voice.say("done"),
        "open" => open(voice, &output)?,
        show => voice.data(&text::output(show, &output)),
    }
    Ok(0)
}

/// `sh0 open`: prints the address of an app, and shows it where there is a browser.
fn open(voice: Voice, app: &Value) -> Result<()> {
    let url = app["urls"][0].as_str().ok_or_else(|| Error::conflict("it has no address: deploy it first"))?;
    voice.data(&format!("{url}\n"));
    if ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some()) {
        console::browse(url);
    }
    Ok(())
}
