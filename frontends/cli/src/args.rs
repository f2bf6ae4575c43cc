//! From verbs to clap's commands, and from what was typed to the input of an operation.

use std::io::Read as _;

use clap::builder::ArgPredicate;
use clap::error::ErrorKind;
use clap::{Arg as ClapArg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};
use sh0::ops::{Risk, contract, find};

use crate::verbs::{Arg, Kind, Show, VERBS, Verb};

/// Adds every verb of the table, those with two words below their first one.
pub(crate) fn with_verbs(mut root: Command) -> Command {
    for (at, verb) in VERBS.iter().enumerate() {
        let first = first_word(verb);
        if VERBS[..at].iter().any(|earlier| first_word(earlier) == first) {
            continue;
        }
        let bare = VERBS.iter().find(|verb| verb.words == first || verb.words == format!("{first} list"));
        let mut group = Command::new(first);
        group = match bare {
            Some(bare) => filled(group, bare),
            None => group.subcommand_required(true),
        };
        for verb in VERBS.iter().filter(|verb| first_word(verb) == first) {
            if let Some((_, second)) = verb.words.split_once(' ') {
                group = group.subcommand(filled(Command::new(second), verb));
            }
        }
        root = root.subcommand(group);
    }
    root
}

/// The verb that was typed, and what was typed for it: the innermost command first.
pub(crate) fn typed<'a>(name: &str, matches: &'a ArgMatches) -> Option<(&'static Verb, Vec<&'a ArgMatches>)> {
    let verb = |words: &str| VERBS.iter().find(|verb| verb.words == words);
    match matches.subcommand() {
        Some((second, inner)) => Some((verb(&format!("{name} {second}"))?, vec![inner, matches])),
        None => Some((verb(name).or_else(|| verb(&format!("{name} list")))?, vec![matches])),
    }
}

/// The input of the verb's operation.
pub(crate) fn input(verb: &Verb, matches: &[&ArgMatches]) -> Result<Value, clap::Error> {
    let mut input = Value::Object(Map::new());
    for arg in verb.args {
        if let Some(value) = given(arg, matches) {
            put(&mut input, arg.field, value);
        }
    }
    for field in required(verb.op).filter(|field| input.get(field).is_none()) {
        let hint = if field == "app" { "name the app: -a APP, or SH0_APP in the environment".to_owned() } else { format!("{field} is missing") };
        return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, format!("{hint}\n")));
    }
    Ok(input)
}

/// Whether the flag was given, at any level.
pub(crate) fn flag(name: &str, matches: &[&ArgMatches]) -> bool {
    matches.iter().any(|matches| matches!(matches.try_get_one::<bool>(name), Ok(Some(true))))
}

/// Writes a value at a path with dots.
pub(crate) fn put(target: &mut Value, path: &str, value: Value) {
    let Value::Object(fields) = target else { return };
    match path.split_once('.') {
        Some((first, rest)) => put(fields.entry(first).or_insert_with(|| Value::Object(Map::new())), rest, value),
        None => drop(fields.insert(path.to_owned(), value)),
    }
}

/// Lays changes over a value; `null` takes away what is there.
pub(crate) fn merge(target: &mut Value, changes: Value) {
    match (target, changes) {
        (Value::Object(target), Value::Object(changes)) => {
            for (name, change) in changes {
                match change {
                    Value::Null => drop(target.remove(&name)),
                    change => merge(target.entry(name).or_insert(Value::Null), change),
                }
            }
        }
        (target, Value::Object(changes)) => {
            *target = Value::Object(Map::new());
            merge(target, Value::Object(changes));
        }
        (target, change) => *target = change,
    }
}

fn first_word(verb: &Verb) -> &'static str {
    verb.words.split(' ').next().unwrap_or(verb.words)
}

/// The command with the verb's arguments.
fn filled(mut command: Command, verb: &Verb) -> Command {
    let words = verb.about.map_or_else(|| described(verb.op, ""), str::to_owned);
    command = command.about(words);
    for arg in verb.args {
        command = command.arg(clap_arg(verb, arg));
    }
    if let Some(instead) = &verb.instead {
        let arg = ClapArg::new(instead.flag.0).long(instead.flag.0).short(instead.flag.1);
        command = command.arg(arg.action(ArgAction::SetTrue).help(instead.help));
    }
    if matches!(verb.show, Show::Deployment) {
        command = command.arg(detach());
    }
    if find(verb.op).is_some_and(|op| op.meta.risk == Risk::Destructive) {
        command = command.arg(yes());
    }
    command
}

/// `--detach`: not waiting for a deployment.
pub(crate) fn detach() -> ClapArg {
    ClapArg::new("detach").long("detach").action(ArgAction::SetTrue).help("Do not wait until it is live")
}

/// `--yes`: not asking.
pub(crate) fn yes() -> ClapArg {
    ClapArg::new("yes").short('y').long("yes").action(ArgAction::SetTrue).help("Do not ask")
}

fn clap_arg(verb: &Verb, arg: &Arg) -> ClapArg {
    let mut clap = ClapArg::new(arg.name).help(described(verb.op, arg.field));
    let must = required(verb.op).any(|field| field == arg.field) && arg.field != "app";
    clap = match arg.positional {
        true => clap.value_name(arg.name.trim_end_matches("=VALUE").trim_end_matches("=N")).required(must || arg.field == "app"),
        false => clap.long(arg.name).short(arg.short).required(must),
    };
    if arg.name.contains('=') {
        clap = clap.value_name(arg.name);
    }
    if arg.field == "app" && !arg.positional {
        clap = clap.env("SH0_APP").hide_env_values(true).value_name("APP");
    }
    if let Some((default, unless)) = arg.default {
        clap = clap.default_value(default).default_value_if(unless, ArgPredicate::IsPresent, None);
    }
    match arg.kind {
        Kind::Flag => return clap.action(ArgAction::SetTrue),
        Kind::Pairs | Kind::Counts | Kind::Words if arg.positional => clap = clap.num_args(1..),
        Kind::Command => clap = clap.num_args(1..).trailing_var_arg(true).allow_hyphen_values(true),
        _ => {}
    }
    let kind = arg.kind;
    let append = matches!(kind, Kind::Pairs | Kind::Counts | Kind::Words | Kind::Command);
    let action = if append { ArgAction::Append } else { ArgAction::Set };
    clap.action(action).value_parser(move |text: &str| parse(kind, text))
}

/// What was typed for an argument, as the field's value.
fn given(arg: &Arg, matches: &[&ArgMatches]) -> Option<Value> {
    if arg.kind == Kind::Flag {
        return flag(arg.name, matches).then_some(Value::Bool(true));
    }
    let values: Vec<Value> =
        matches.iter().find_map(|matches| matches.try_get_many::<Value>(arg.name).ok().flatten())?.cloned().collect();
    match arg.kind {
        Kind::Words | Kind::Command => Some(values.into()),
        Kind::Pairs | Kind::Counts => {
            let pair = |value: Value| Some((value.get(0)?.as_str()?.to_owned(), value.get(1)?.clone()));
            Some(Value::Object(values.into_iter().filter_map(pair).collect()))
        }
        _ => values.into_iter().next(),
    }
}

/// Reads the text of one argument.
fn parse(kind: Kind, text: &str) -> Result<Value, String> {
    if text.is_empty() && !matches!(kind, Kind::Words | Kind::Command) {
        return Ok(Value::Null);
    }
    Ok(match kind {
        Kind::Text | Kind::Words | Kind::Command | Kind::Flag => text.into(),
        Kind::Word => text.replace('-', "_").into(),
        Kind::Number => number(text)?.into(),
        Kind::Release => number(text.strip_prefix('v').unwrap_or(text))?.into(),
        Kind::Pairs => {
            let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
            vec![Value::from(name), value.into()].into()
        }
        Kind::Counts => {
            let (name, count) = text.split_once('=').ok_or("write it as PROCESS=N, such as web=2")?;
            vec![Value::from(name), number(count)?.into()].into()
        }
        Kind::Since => since(text)?.into(),
        Kind::File => read_text(text)?.into(),
        Kind::Millis => u64::try_from(span(text)?.as_millis()).map_err(|_| "it is negative")?.into(),
        Kind::Bytes => size(text)?.into(),
        Kind::Cpus => {
            let cpus: f64 = text.parse().map_err(|_| "write a number of cores, such as 0.5")?;
            ((cpus * 1000.0).round().clamp(0.0, f64::from(u32::MAX)) as u64).into()
        }
    })
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number"))
}

fn span(text: &str) -> Result<jiff::SignedDuration, String> {
    text.parse().map_err(|_| "write a span of time, such as 500ms, 10m or 1h30m".to_owned())
}

fn since(text: &str) -> Result<String, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.to_string());
    }
    let ago = span(text).map_err(|_| "write a span of time, such as 10m, or a time, such as 2026-01-31T12:00:00Z")?;
    let at = jiff::Timestamp::now().checked_sub(ago).map_err(|_| "that is too long ago")?;
    Ok(at.to_string())
}

fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches("ib").trim_end_matches('b');
    let (digits, shift) = match digits.chars().last() {
        Some('k') => (&digits[..digits.len() - 1], 10),
        Some('m') => (&digits[..digits.len() - 1], 20),
        Some('g') => (&digits[..digits.len() - 1], 30),
        _ => (digits, 0),
    };
    let count: u64 = digits.parse().map_err(|_| "write a size, such as 512M or 2G")?;
    count.checked_mul(1 << shift).ok_or_else(|| "it is too large".to_owned())
}

/// The content of a file, or of standard input for `-`.
pub(crate) fn read_text(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().lock().read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map(|_| text).map_err(|error| error.to_string())
}

/// The required fields of an operation's input.
fn required(op: &str) -> impl Iterator<Item = &'static str> {
    let fields = contract().inputs.get(op).and_then(|input| input.get("required")).and_then(Value::as_array);
    fields.into_iter().flatten().filter_map(Value::as_str)
}

/// The first sentence that the declaration says of an operation, or of a field of its input.
pub(crate) fn described(op: &str, field: &str) -> String {
    let contract = contract();
    let Some(input) = contract.inputs.get(op) else { return String::new() };
    let mut said = input.get("description");
    let mut fields = input.get("properties");
    for part in field.split('.').filter(|part| !part.is_empty()) {
        let property = fields.and_then(|fields| fields.get(part));
        said = property.and_then(|property| property.get("description"));
        let target = property.and_then(|property| property.get("$ref")).and_then(Value::as_str);
        let component = target.and_then(|target| contract.components.get(target.rsplit('/').next()?));
        fields = component.or(property).and_then(|schema| schema.get("properties"));
    }
    let text = said.and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
    text.split_once(". ").map_or(text.as_str(), |(first, _)| first).trim_end_matches('.').to_owned()
}

/// Whether the operation's input has this field.
pub(crate) fn has_field(op: &str, field: &str) -> bool {
    contract().inputs.get(op).and_then(|input| input.get("properties")?.get(field)).is_some()
}

#[cfg(test)]
mod tests;
