//! From the declarations of operations to clap's commands, and from what was typed to the input of an operation.

use clap::builder::ArgPredicate;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};
use sh0::ops::fields::{Field, Kind, fields, merge, summary};
use sh0::ops::{OpKind, Risk};
use sh0::{Code, Error, Result, typed};

use crate::verbs::{VERBS, Verb};

/// Fields that pages, terminals and followed streams fill.
const HIDDEN: &[&str] = &["after", "cursor", "limit", "terminal"];
/// Verbs that wait, by how their output looks.
const WAITING: &[(&str, &str)] =
    &[("deployment", "Do not wait until it is live"), ("gone", "Do not wait until nothing is left of it")];
/// The app where it is typed as it is, instead of behind `-a`.
const APP: &str = "APP";
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
pub(crate) fn verb<'a>(name: &str, matches: &'a ArgMatches) -> Option<(&'static Verb, Vec<&'a ArgMatches>)> {
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
        let value = if field.path == ["app"] { Some(app(&field, matches)?) } else { given(&field, matches) };
        if let Some(value) = value {
            *field.path.iter().fold(&mut input, |place, name| &mut place[*name]) = value;
        }
    }
    Ok(input)
}

/// The app: typed as it is, behind `-a`, or from the environment.
fn app(field: &Field, matches: &[&ArgMatches]) -> Result<Value> {
    let wrong = |text: &str| Err(Error::new(Code::Invalid, text));
    let bare = matches.iter().find_map(|matches| matches.try_get_one::<Value>(APP).ok().flatten());
    match (bare, given(field, matches)) {
        (Some(_), _) if any_typed(&["app"], matches) => wrong("two apps are named: one with -a, one without"),
        (Some(app), _) => Ok(app.clone()),
        (None, Some(app)) => Ok(app),
        (None, None) => wrong("which app? Name it with -a APP, or in SH0_APP"),
    }
}

/// Whether one of these was typed, and not only set in the environment.
pub(crate) fn any_typed(names: &[&str], matches: &[&ArgMatches]) -> bool {
    let typed = |matches: &&ArgMatches, name: &&str| {
        matches.try_contains_id(name).is_ok() && matches.value_source(name) == Some(ValueSource::CommandLine)
    };
    matches.iter().any(|matches| names.iter().any(|name| typed(matches, name)))
}

/// Whether the flag was given, at any level.
pub(crate) fn flag(name: &str, matches: &[&ArgMatches]) -> bool {
    matches.iter().any(|matches| matches!(matches.try_get_one::<bool>(name), Ok(Some(true))))
}

/// The fields that can be typed; within objects, only those of the one that the verb edits.
fn typeable(verb: &Verb) -> impl Iterator<Item = Field> {
    fields(verb.op).into_iter().filter(|field| {
        let setting = verb.edits && field.path[0] == "settings";
        // Beside the settings, `port` would be the port inside: the app's own is for `up`.
        let hidden = HIDDEN.contains(&field.path[0]) || (verb.edits && field.path == ["port"]);
        !hidden && (field.path.len() == 1 || setting)
    })
}

/// The command with the verb's arguments.
fn filled(word: &'static str, verb: &Verb) -> Command {
    let switch = |name: &'static str, help: &str| {
        Arg::new(name).long(name).short(letter(name)).action(ArgAction::SetTrue).help(help.to_owned())
    };
    let about = if verb.about.is_empty() { summary(verb.op) } else { verb.about.to_owned() };
    let mut command = Command::new(word).about(about).args(typeable(verb).map(|field| arg(verb, field)));
    let alone = command.get_positionals().next().is_none();
    if let Some(app) = typeable(verb).find(|field| alone && field.path == ["app"]) {
        let help = "The app, where -a does not name it";
        command = command.arg(Arg::new(APP).help(help).value_parser(move |text: &str| typed::read(&app.kind, text)));
    }
    if let Some((name, op, _)) = verb.instead {
        command = command.arg(switch(name, &summary(op)));
    }
    if let Some((_, until)) = WAITING.iter().find(|(show, _)| *show == verb.show) {
        command = command.arg(switch("detach", until));
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
    let (name, app) = (typed::option(&field), field.path == ["app"] && verb.place != "app");
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
    let hint = if arg.is_positional() && verb.place != "app" { "; an app is named with -a" } else { "" };
    arg.value_parser(move |text: &str| typed::read(&field.kind, text).map_err(|why| format!("{why}{hint}")))
}

/// What was typed for a field.
fn given(field: &Field, matches: &[&ArgMatches]) -> Option<Value> {
    let name = typed::option(field);
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
