//! From the declarations of operations to clap's commands, and from what was typed to the input of an operation.

use clap::builder::ArgPredicate;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use sh0::model::ParseError;
use sh0::ops::fields::{Field, Kind, fields, merge, summary};
use sh0::ops::{OpKind, Risk};
use sh0::{Code, Error, Result};

use crate::verbs::{VERBS, Verb};

/// Fields that pages, terminals and followed streams fill.
const HIDDEN: &[&str] = &["after", "cursor", "limit", "terminal"];
/// Letters of options.
const LETTERS: &[(&str, char)] = &[("app", 'a'), ("env", 'e'), ("follow", 'f'), ("tail", 'n')];

/// Adds every verb of the table.
pub(crate) fn with_verbs(root: Command) -> Command {
    VERBS.iter().fold(root, |root, verb| match verb.words.split_once(' ') {
        None => root.subcommand(filled(verb.words, verb)),
        Some((group, word)) if root.find_subcommand(group).is_some() => {
            root.mut_subcommand(group, |group| group.subcommand(filled(word, verb)))
        }
        Some((group, word)) => root.subcommand(filled(group, verb).subcommand(filled(word, verb))),
    })
}

/// The verb that was typed, and what was typed for it: the innermost command first.
pub(crate) fn typed<'a>(name: &str, matches: &'a ArgMatches) -> Option<(&'static Verb, Vec<&'a ArgMatches>)> {
    let verb = |words: String| VERBS.iter().find(|verb| verb.words == words);
    match matches.subcommand() {
        Some((word, inner)) => Some((verb(format!("{name} {word}"))?, vec![inner, matches])),
        None => Some((VERBS.iter().find(|verb| verb.words.split(' ').next() == Some(name))?, vec![matches])),
    }
}

/// The input of the verb's operation.
pub(crate) fn input(verb: &Verb, matches: &[&ArgMatches]) -> Result<Value> {
    let mut input = json!({});
    for field in typeable(verb) {
        match given(&field, matches) {
            Some(value) => *field.path.iter().fold(&mut input, |place, name| &mut place[*name]) = value,
            None if field.required && field.path == ["app"] => {
                return Err(Error::new(Code::Invalid, "which app? Name it with -a APP, or in SH0_APP"));
            }
            None => {}
        }
    }
    Ok(input)
}

/// Whether the flag was given, at any level.
pub(crate) fn flag(name: &str, matches: &[&ArgMatches]) -> bool {
    matches.iter().any(|matches| matches!(matches.try_get_one::<bool>(name), Ok(Some(true))))
}

/// The content of a file, or of standard input for `-`.
fn read_text(path: &str) -> Result<String, String> {
    let text = if path == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    text.map_err(|error| error.to_string())
}

/// JSON as it is, from `@FILE`, or from standard input for `-`.
pub(crate) fn json(text: &str) -> Result<Value, String> {
    let path = if text == "-" { Some(text) } else { text.strip_prefix('@') };
    let text = path.map_or(Ok(text.to_owned()), read_text)?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// The fields that can be typed; within objects, only those of the one that the verb edits.
fn typeable(verb: &Verb) -> impl Iterator<Item = Field> {
    fields(verb.op).into_iter().filter(|field| {
        !HIDDEN.contains(&field.path[0]) && (field.path.len() == 1 || (verb.edits && field.path[0] == "settings"))
    })
}

/// The long option of a field: the path to it, without the steps that say nothing.
fn name(field: &Field) -> String {
    let path = field.path.iter().filter(|name| !["settings", "resources"].contains(name));
    path.map(|name| if *name == "contains" { "grep" } else { name }).collect::<Vec<_>>().join("-").replace('_', "-")
}

/// The command with the verb's arguments.
fn filled(word: &'static str, verb: &Verb) -> Command {
    let switch = |name: &'static str, help: &str| {
        Arg::new(name).long(name).short(letter(name)).action(ArgAction::SetTrue).help(help.to_owned())
    };
    let about = if verb.about.is_empty() { summary(verb.op) } else { verb.about.to_owned() };
    let mut command = Command::new(word).about(about).args(typeable(verb).map(|field| arg(verb, field)));
    if let Some((name, op, _)) = verb.instead {
        command = command.arg(switch(name, &summary(op)));
    }
    if verb.show == "deployment" {
        command = command.arg(switch("detach", "Do not wait until it is live"));
    }
    match verb.op.meta.risk {
        Risk::Destructive => command.arg(switch("yes", "Do not ask").short('y')),
        _ => command,
    }
}

fn letter(name: &str) -> Option<char> {
    LETTERS.iter().find(|(field, _)| *field == name).map(|(_, letter)| *letter)
}

fn arg(verb: &Verb, field: Field) -> Arg {
    let (name, app) = (name(&field), field.path == ["app"] && verb.place != "app");
    let mut arg = Arg::new(name.clone()).value_name(name.to_uppercase()).help(field.summary());
    arg = match verb.place == name || (field.required && !app) {
        true => arg.required(field.required),
        false => arg.long(name.clone()).short(letter(&name)),
    };
    if app {
        arg = arg.env("SH0_APP").hide_env_values(true);
    }
    if name == "tail" {
        arg = arg.default_value("100").default_value_if("since", ArgPredicate::IsPresent, None);
    }
    let several = 1..if field.required { usize::MAX } else { 2 };
    let command = verb.op.meta.kind == OpKind::Duplex;
    arg = match &field.kind {
        Kind::Flag => return arg.action(ArgAction::SetTrue),
        Kind::Word(words) => arg.value_name(words.join("|")),
        Kind::Secret => arg.value_name("FILE"),
        Kind::List if command => arg.num_args(1..).trailing_var_arg(true).allow_hyphen_values(true),
        Kind::List => arg.num_args(1..),
        Kind::Texts => arg.action(ArgAction::Append).value_name("NAME=VALUE").num_args(several),
        Kind::Numbers => arg.action(ArgAction::Append).value_name("PROCESS=N").num_args(several),
        _ => arg,
    };
    arg.value_parser(move |text: &str| read(&field.kind, text))
}

/// The value that a text stands for. A secret is the content of a file: other users can see arguments.
fn read(kind: &Kind, text: &str) -> Result<Value, String> {
    let words = |error: ParseError| format!("it {}: {}", error.reason(), error.hint());
    match kind {
        Kind::List | Kind::Texts | Kind::Numbers => kind.read(text).map_err(words),
        _ if text.is_empty() => Ok(Value::Null),
        Kind::Secret => read_text(text).map(Value::from),
        Kind::Number => kind.read(text.trim_start_matches('v')).map_err(words),
        Kind::Time => {
            let ago = text.parse::<jiff::SignedDuration>().ok();
            let then = ago.and_then(|ago| jiff::Timestamp::now().checked_sub(ago).ok());
            then.map_or_else(|| kind.read(text).map_err(words), |then| Ok(then.to_string().into()))
        }
        kind => kind.read(text).map_err(words),
    }
}

/// What was typed for a field.
fn given(field: &Field, matches: &[&ArgMatches]) -> Option<Value> {
    let name = name(field);
    if matches!(field.kind, Kind::Flag) {
        return flag(&name, matches).then_some(Value::Bool(true));
    }
    let mut values = matches.iter().find_map(|matches| matches.try_get_many::<Value>(&name).ok().flatten())?.cloned();
    match field.kind {
        Kind::List => Some(values.collect()),
        Kind::Texts | Kind::Numbers => {
            let mut all = json!({});
            values.for_each(|pair| merge(&mut all, pair));
            Some(all)
        }
        _ => values.next(),
    }
}

#[cfg(test)]
mod tests;
