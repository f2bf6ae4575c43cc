//! The command line of sh0: `sh0 up`, `sh0 deploy`, `sh0 logs` and the rest.
//!
//! | file | what |
//! | --- | --- |
//! | `verbs` | every verb that is an operation and nothing more, as data |
//! | `args` | from that data to clap's commands, and from what was typed to an operation's input |
//! | `run` | runs one: input to the platform, output to the person or the program |
//! | `render` | how values look |
//! | `deploy` | `sh0 deploy`, and the steps of any deployment as they happen |
//! | `session` | `sh0 run` and `sh0 exec`: a command joined to this terminal |
//! | `host` | `sh0 up`, `sh0 down`, `sh0 serve`: the platform in this process, or in the background |
//! | `upkeep` | `sh0 doctor`, `sh0 open`, `sh0 uninstall` |
//! | `place` | which platform is meant |
//! | `exit` | how it ends |
//!
//! ```
//! // What `sh0 --help` prints. The words of verbs and arguments come from the declarations of the operations.
//! let help = sh0_cli::command().render_long_help().to_string();
//! assert!(help.contains("Exit codes"));
//! ```
//!
//! **Deliberately absent:** rules about apps, checks of input (the operations have them), lists of operations. What the
//! table does not have, `sh0 call OPERATION` has.

// This is the program that prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod deploy;
mod exit;
mod host;
mod place;
mod render;
mod run;
mod session;
mod upkeep;
mod verbs;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, Subcommand};
use serde_json::Value;
use sh0::Error;

use exit::{Failure, INTERRUPTED, Outcome};
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
    /// Run the server in the foreground: API and proxy
    Serve(host::Serve),
    /// Run any operation of the API
    Call(Call),
    /// Open an app in the browser
    Open(upkeep::Open),
    /// Ask every part whether it works, and what it can and cannot do here
    Doctor,
    /// Stop everything and say what is left; with --purge, remove that too
    Uninstall(upkeep::Uninstall),
}

/// Any operation.
#[derive(Debug, clap::Args)]
struct Call {
    /// Its name, such as apps.list
    operation: String,
    /// Its input: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    input: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// The whole command line, as clap knows it.
pub fn command() -> Command {
    let root = Command::new("sh0")
        .about("Turns this machine into a deployment platform")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_long_help(exit::HELP)
        .after_help("`sh0 --help` also shows the exit codes and the environment.");
    args::with_verbs(Hand::augment_subcommands(place::Options::augment_args(root)))
}

/// Reads the command line, does what it says, and answers the exit code.
pub fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    // Roles of the data plane: before there is a runtime or a second thread.
    if let Some(code) = host::role(&typed) {
        return code;
    }
    let json = typed.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let matches = match command().try_get_matches_from(typed) {
        Ok(matches) => matches,
        Err(error) => return refused(&error, json),
    };
    let json = matches.get_flag("json");
    let ended = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(dispatch(Voice { json }, &matches));
            // A read of standard input may still wait in a thread of its own.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    ExitCode::from(ended.unwrap_or_else(|failure| {
        failure.print(json);
        failure.exit
    }))
}

/// What clap refused: usage errors end with 2, help with 0.
fn refused(error: &clap::Error, json: bool) -> ExitCode {
    if json && error.use_stderr() {
        let text = error.render().to_string();
        Failure::from(Error::invalid("command line", text.trim(), "see --help")).print(true);
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Finds out what was typed and does it; Ctrl-C ends it, but for what handles it on its own.
async fn dispatch(voice: Voice, matches: &ArgMatches) -> Outcome {
    let place = Place::from(place::Options::from_arg_matches(matches).map_err(usage)?)?;
    let Some((name, inner)) = matches.subcommand() else { return Ok(2) };
    let work = async {
        if let Some((verb, matches)) = args::typed(name, inner) {
            return table(voice, &place, verb, &matches).await;
        }
        match Hand::from_arg_matches(matches).map_err(usage)? {
            Hand::Up(up) => host::up(voice, &place, up).await,
            Hand::Down => host::down(voice, &place).await,
            Hand::Serve(serve) => host::serve(&place, serve).await,
            Hand::Deploy(deploy) => deploy::deploy(voice, &place.connect().await?, deploy).await,
            Hand::Call(call) => any(voice, &place, call).await,
            Hand::Open(open) => upkeep::open(voice, &place, open).await,
            Hand::Doctor => upkeep::doctor(voice, &place).await,
            Hand::Uninstall(uninstall) => upkeep::uninstall(voice, &place, uninstall).await,
        }
    };
    if matches!(name, "up" | "serve") {
        return work.await;
    }
    tokio::select! {
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => Ok(INTERRUPTED),
    }
}

/// A verb of the table.
async fn table(voice: Voice, place: &Place, verb: &verbs::Verb, matches: &[&ArgMatches]) -> Outcome {
    let mut input = args::input(verb, matches).map_err(usage)?;
    let instead = verb.instead.as_ref().filter(|instead| args::flag(instead.flag.0, matches));
    let (op, show) = instead.map_or((verb.op, &verb.show), |instead| (instead.op, &instead.show));
    let mut op = run::named(op)?;
    let platform = place.connect().await?;
    if let Some(field) = verb.edits {
        let app = serde_json::json!({ "app": input["app"] });
        let (get, changes) = (run::named("apps.get")?, input[field].take());
        match changes {
            // Nothing to change: it is shown.
            Value::Null => (op, input) = (get, app),
            changes => {
                input[field] = platform.dispatch().call(get, app).await?[field].take();
                args::merge(&mut input[field], changes);
            }
        }
    }
    let (yes, detach) = (args::flag("yes", matches), args::flag("detach", matches));
    run::run(voice, &platform, Job { op, input, show: Some(show), yes, detach }).await
}

/// `sh0 call`.
async fn any(voice: Voice, place: &Place, call: Call) -> Outcome {
    let op = run::named(&call.operation)?;
    let text = match call.input.strip_prefix('@') {
        Some(file) => args::read_text(file),
        None if call.input == "-" => args::read_text("-"),
        None => Ok(call.input),
    };
    let wrong = |reason: String| Error::invalid("--input", reason, "give a JSON object, @FILE or -");
    let text = text.map_err(wrong)?;
    let input: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let job = Job { op, input, show: None, yes: call.yes, detach: true };
    run::run(voice, &place.connect().await?, job).await
}

/// A mistake in the command line that shows only after clap has read it.
fn usage(error: clap::Error) -> Failure {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text).trim();
    Failure::from(Error::new(sh0::Code::Invalid, text))
}
