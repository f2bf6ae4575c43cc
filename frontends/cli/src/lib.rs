//! The command line of sh0: `sh0 up`, `sh0 deploy`, `sh0 logs` and the rest.
//!
//! `verbs.txt` lists the verbs that are an operation and nothing more; `args` makes their arguments and help from the
//! operations' declarations and `run` runs them. `deploy` and `host` hold the few verbs made by hand,
//! `look` those that need no server.
//!
//! ```
//! // Most words of `sh0 --help` come from the declarations of the operations.
//! let help = sh0_cli::command().render_long_help().to_string();
//! assert!(help.contains("Exit codes"));
//! ```
//!
//! **Deliberately absent:** rules about apps, checks of input (the operations have them), a list of all operations: what
//! has no verb is reached with `sh0 call OPERATION`.

// This is the program that prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod deploy;
mod exit;
mod host;
mod look;
mod place;
mod run;
mod verbs;

use std::process::ExitCode;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, Subcommand};
use serde_json::Value;
use sh0::ops::find;
use sh0::{Code, Error, Result, typed};

use look::Look;
use place::Place;
use run::{Job, Voice};

/// The verbs that are more than one operation.
#[derive(Debug, Subcommand)]
enum Hand {
    /// Deploy a folder and keep it running: the whole platform from one command
    Up(host::Up),
    /// Stop what `sh0 up` started, apps included
    Down,
    /// Deploy an app and switch traffic to it once it is healthy
    Deploy(deploy::Deploy),
    /// Write an app, or the app in a folder, as the files of another platform; secrets are references
    Export(look::Export),
    /// Run the server in the foreground: API and proxy
    Serve(host::Serve),
    /// Stop everything and say what is left; with --purge, remove that too
    Uninstall(host::Uninstall),
    /// Run any operation of the API
    Call(Call),
}

#[derive(Debug, clap::Args)]
struct Call {
    /// Its name, such as apps.list
    operation: String,
    /// Its input: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = typed::json)]
    input: Value,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// The verbs that need no server, and the options of all.
fn local() -> Command {
    Look::augment_subcommands(Place::augment_args(Command::new("sh0").version(env!("CARGO_PKG_VERSION"))))
}

/// The whole command line, as clap knows it.
pub fn command() -> Command {
    let root = args::with_verbs(Hand::augment_subcommands(local()));
    root.about("Turns this machine into a deployment platform")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help("`sh0 --help` also shows the exit codes and the environment.")
        .after_long_help(include_str!("help.txt"))
}

/// Reads the command line, does what it says, and answers the exit code.
pub fn main() -> ExitCode {
    let typed: Vec<_> = std::env::args_os().collect();
    // Roles of the data plane come before a runtime or a second thread.
    if let Some(ended) = sh0::roles::enter(&typed) {
        return ended.unwrap_or_else(|error| exit::failed(&error, false).into());
    }
    let json = typed.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    // A look at a folder waits neither for the verbs of all operations nor for a runtime; help and mistakes do.
    if let Ok(look) = local().try_get_matches_from(&typed).and_then(|matches| Look::from_arg_matches(&matches)) {
        return ExitCode::from(look::run(Voice { json }, look).unwrap_or_else(|error| exit::failed(&error, json)));
    }
    let ended = match command().try_get_matches_from(typed) {
        Err(error) if !(json && error.use_stderr()) => error.exit(),
        Err(error) => Err(usage(error)),
        Ok(matches) => tokio::runtime::Runtime::new().map_err(Error::from).and_then(|runtime| {
            let ended = runtime.block_on(dispatch(Voice { json }, &matches));
            // A read of standard input may still wait in a thread of its own.
            runtime.shutdown_background();
            ended
        }),
    };
    ExitCode::from(ended.unwrap_or_else(|error| exit::failed(&error, json)))
}

/// Does what was typed; Ctrl-C ends it, but for what handles it on its own.
async fn dispatch(voice: Voice, matches: &ArgMatches) -> Result<u8> {
    let place = Place::from_arg_matches(matches).map_err(usage)?;
    let Some((name, inner)) = matches.subcommand() else { return Ok(2) };
    let work = async {
        if let Some((verb, matches)) = args::verb(name, inner) {
            return table(voice, &place, verb, &matches).await;
        }
        match Hand::from_arg_matches(matches).map_err(usage)? {
            Hand::Up(up) => host::up(voice, place.here()?, up, args::any_typed(host::HOSTING, &[inner])).await,
            Hand::Down => host::down(voice, place.here()?).await,
            Hand::Serve(serve) => host::serve(place.here()?, serve).await,
            Hand::Deploy(deploy) => deploy::deploy(voice, &place, deploy).await,
            Hand::Export(export) => look::export(voice, &place, export).await,
            Hand::Uninstall(uninstall) => host::uninstall(voice, &place, uninstall).await,
            Hand::Call(Call { operation, input, yes }) => {
                let op = find(&operation).ok_or_else(|| Error::not_found("operation", &operation))?;
                let job = Job { op, input, show: "json", yes, detach: true };
                run::run(voice, &place.connect().await?, job).await
            }
        }
    };
    if matches!(name, "up" | "serve") {
        return work.await;
    }
    tokio::select! {
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => Ok(exit::INTERRUPTED),
    }
}

/// A verb of the table.
async fn table(voice: Voice, place: &Place, verb: &verbs::Verb, matches: &[&ArgMatches]) -> Result<u8> {
    let mut input = args::input(verb, matches)?;
    let instead = verb.instead.filter(|(flag, ..)| args::flag(flag, matches));
    let (op, show) = instead.map_or((verb.op, verb.show), |(_, op, show)| (op, show));
    let (yes, detach) = (args::flag("yes", matches), args::flag("detach", matches));
    if verb.patient && place.running().await?.is_none() {
        voice.say(format!("no server runs for {}: this is what one would find here", place.data.display()));
        let folder = tempfile::tempdir()?;
        let trial = host::quiet(place, folder.path(), false).await?;
        let ended = run::run(voice, &trial, Job { op, input, show, yes, detach }).await;
        return trial.shutdown_with(true).await.and(ended);
    }
    let platform = place.connect().await?;
    if verb.edits {
        platform.complete_settings(&mut input).await?;
    }
    run::run(voice, &platform, Job { op, input, show, yes, detach }).await
}

/// A mistake in the command line, for programs.
fn usage(error: clap::Error) -> Error {
    Error::new(Code::Invalid, error.to_string().trim_start_matches("error: ").trim())
}
