//! Runs one verb: arguments to input, input to the platform, output to the person or, with `--json`, to the program.

use std::io::{IsTerminal as _, Write as _};

use futures_util::StreamExt;
use serde_json::{Value, json};
use sh0::ops::{OpDef, OpKind, Risk, find};
use sh0::{Error, Result, Sh0};

use crate::exit::{Failure, Outcome};
use crate::verbs::Show;
use crate::{args, deploy, render, session};

/// How this run of the program talks to whoever started it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Voice {
    /// Machine output.
    pub(crate) json: bool,
}

impl Voice {
    /// One document on standard output. A reader that has gone away is no error of ours.
    pub(crate) fn document(self, value: &Value) {
        self.data(&format!("{value}\n"));
    }

    /// Data on standard output.
    pub(crate) fn data(self, text: &str) {
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(0);
        }
    }

    /// A word beside the data, on standard error; programs do not get it.
    pub(crate) fn say(self, text: &str) {
        if !self.json && !text.is_empty() {
            eprintln!("{text}");
        }
    }
}

/// What is run.
pub(crate) struct Job<'a> {
    pub(crate) op: &'static OpDef,
    pub(crate) input: Value,
    /// How the output looks; as JSON when absent.
    pub(crate) show: Option<&'a Show>,
    /// Destructive operations are not asked about.
    pub(crate) yes: bool,
    /// Deployments are not waited for.
    pub(crate) detach: bool,
}

/// Runs it, whatever its kind.
pub(crate) async fn run(voice: Voice, platform: &Sh0, mut job: Job<'_>) -> Outcome {
    let door = platform.dispatch();
    if job.op.meta.risk == Risk::Destructive && !job.yes {
        confirm(&job)?;
    }
    match job.op.meta.kind {
        OpKind::Unary => unary(voice, platform, &job).await?,
        OpKind::Stream => {
            let mut items = door.stream(job.op, job.input.take()).await?;
            while let Some(item) = items.next().await {
                one(voice, &job, &item?);
            }
        }
        OpKind::Upload => {
            let output = door.upload(job.op, job.input.take(), session::stdin_bytes()).await?;
            voice.document(&output);
        }
        OpKind::Duplex => {
            let terminal = session::terminal().filter(|_| args::has_field(job.op.meta.name, "terminal"));
            if let Some(size) = terminal {
                job.input["terminal"] = serde_json::to_value(size)?;
            }
            let running = door.duplex(job.op, job.input.take()).await?;
            return Ok(session::converse(running, terminal.is_some()).await?);
        }
    }
    Ok(0)
}

async fn unary(voice: Voice, platform: &Sh0, job: &Job<'_>) -> Outcome<()> {
    let mut output = platform.dispatch().call(job.op, job.input.clone()).await?;
    follow_pages(platform, job, &mut output).await?;
    let waited = match &job.show {
        Some(Show::Deployment) => deploy::settle(voice, platform, &mut output, job.detach).await,
        _ => Ok(()),
    };
    match (job.show, voice.json) {
        // Lines of logs are a stream, whether they are followed or not.
        (Some(Show::Each(_)), _) => items(&output).iter().for_each(|item| one(voice, job, item)),
        (None, _) | (_, true) => voice.document(&output),
        (Some(Show::Table(columns)), _) => voice.data(&render::table(columns, items(&output))),
        (Some(Show::Fields(columns)), _) => voice.data(&render::fields(columns, &output)),
        (Some(Show::Whole(text)), _) => voice.data(&text(&output)),
        (Some(Show::Done(words)), _) => voice.say(&filled(words, &job.input)),
        (Some(Show::Deployment), _) => voice.say(&deploy::ending(&output, job.detach)),
    }
    waited
}

/// Takes all pages of a list together.
async fn follow_pages(platform: &Sh0, job: &Job<'_>, output: &mut Value) -> Result<()> {
    let cursor = if args::has_field(job.op.meta.name, "cursor") { "cursor" } else { "after" };
    while let Some(next) = output["next_cursor"].as_str().map(str::to_owned) {
        if job.input.get("limit").or(job.input.get("tail")).is_some() || !args::has_field(job.op.meta.name, cursor) {
            return Ok(());
        }
        let mut input = job.input.clone();
        input[cursor] = if cursor == "after" { json!(next.parse::<u64>().unwrap_or_default()) } else { json!(next) };
        let mut page = platform.dispatch().call(job.op, input).await?;
        if let (Some(items), Some(more)) = (output["items"].as_array_mut(), page["items"].as_array_mut()) {
            items.append(more);
        }
        match page["next_cursor"].take() {
            Value::Null => drop(output.as_object_mut().and_then(|output| output.remove("next_cursor"))),
            next => output["next_cursor"] = next,
        }
    }
    Ok(())
}

fn items(output: &Value) -> &[Value] {
    output.get("items").or(output.get("names")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One item of a stream, or a line of a list: NDJSON for programs.
fn one(voice: Voice, job: &Job<'_>, item: &Value) {
    match job.show {
        Some(Show::Each(line)) if !voice.json => voice.data(&format!("{}\n", line(item))),
        _ => voice.document(item),
    }
}

/// `{field}` in words becomes the field of the input.
fn filled(words: &str, input: &Value) -> String {
    let fields = input.as_object().into_iter().flatten();
    fields.fold(words.to_owned(), |words, (name, value)| {
        let value = if value.is_object() { render::list(value) } else { render::text(value) };
        words.replace(&format!("{{{name}}}"), &value)
    })
}

/// What is lost is named, and must be typed; without a terminal, the exact command that would do it is told.
fn confirm(job: &Job<'_>) -> Outcome<()> {
    let name = job.op.meta.path_params().last().map_or(String::new(), |field| render::text(&job.input[field]));
    let what = args::described(job.op.meta.name, "");
    ask(&format!("{what}."), &name)
}

/// Lets a person type a word before something is lost.
pub(crate) fn ask(what: &str, word: &str) -> Outcome<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        let typed: Vec<String> = std::env::args().collect();
        return Err(Failure::declined(format!(
            "this destroys something and nobody is here to confirm it; run: {} --yes",
            typed.join(" ")
        )));
    }
    eprint!("{what}\nType `{word}` to go on: ");
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    if typed.trim() == word { Ok(()) } else { Err(Failure::declined("declined: nothing was changed")) }
}

/// The operation of this name.
pub(crate) fn named(name: &str) -> Result<&'static OpDef> {
    find(name).ok_or_else(|| Error::not_found("operation", name))
}
