//! The fields of an operation's input, one by one, from its JSON Schema: what command lines and forms are made from.
//!
//! ```
//! use sh0_core::ops::{self, fields::{Kind, fields}};
//!
//! let set = fields(ops::find("apps.update").unwrap());
//! let grace = set.iter().find(|field| field.path == ["settings", "stop_grace"]).unwrap();
//! assert_eq!(grace.kind.read("1m30s").unwrap(), 90_000);
//! assert!(matches!(grace.kind, Kind::Quantity(_)));
//! ```
//!
//! Left out are fields that no single text can fill: lists of objects, and choices between objects.

use serde_json::{Map, Value};

use super::{OpDef, contract};
use crate::model::{Bytes, MilliCpus, Millis, ParseError};

/// A field of an operation's input.
#[derive(Debug, Clone)]
pub struct Field {
    /// The names from the input down to it.
    pub path: Vec<&'static str>,
    /// How text becomes its value.
    pub kind: Kind,
    /// Whether the input cannot do without it.
    pub required: bool,
    /// What its declaration says of it.
    pub about: &'static str,
}

/// How text becomes the value of a field.
#[derive(Debug, Clone)]
pub enum Kind {
    /// True or false.
    Flag,
    /// Any text; its type has the parser.
    Text,
    /// One of these words.
    Word(Vec<&'static str>),
    /// A whole number.
    Number,
    /// A time, RFC 3339.
    Time,
    /// A number with its unit.
    Quantity(fn(&str) -> Result<u64, ParseError>),
    /// Text that must not be seen.
    Secret,
    /// Several texts.
    List,
    /// Names and texts.
    Texts,
    /// Names and whole numbers.
    Numbers,
}

/// The fields of an operation's input; those of objects within it by their path.
pub fn fields(op: &OpDef) -> Vec<Field> {
    let mut found = Vec::new();
    if let Some(input) = contract().inputs.get(op.meta.name) {
        collect(input, &[], &mut found);
    }
    found
}

fn collect(object: &'static Map<String, Value>, above: &[&'static str], found: &mut Vec<Field>) {
    let required = object.get("required").and_then(Value::as_array);
    for (name, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let mut path = above.to_vec();
        path.push(name.as_str());
        let target = schema["$ref"].as_str().unwrap_or_default();
        let type_name = target.rsplit('/').next().unwrap_or_default();
        let inner = contract().components.get(type_name).unwrap_or(schema);
        match (Kind::of(type_name, inner), inner.as_object()) {
            (Some(kind), _) => found.push(Field {
                path,
                kind,
                required: above.is_empty() && required.is_some_and(|all| all.iter().any(|one| one == name)),
                about: schema["description"].as_str().unwrap_or_default(),
            }),
            (None, Some(inner)) => collect(inner, &path, found),
            (None, None) => {}
        }
    }
}

impl Field {
    /// What its declaration says of it, in one sentence.
    pub fn summary(&self) -> String {
        sentence(self.about)
    }
}

/// What an operation does, in one sentence.
pub fn summary(op: &OpDef) -> String {
    let input = contract().inputs.get(op.meta.name);
    input.and_then(|input| input.get("description")?.as_str()).map(sentence).unwrap_or_default()
}

/// Whether the input of an operation has this field at its top.
pub fn has(op: &OpDef, field: &str) -> bool {
    contract()
        .inputs
        .get(op.meta.name)
        .is_some_and(|input| input.get("properties").is_some_and(|all| all.get(field).is_some()))
}

/// Lays changes over a value; `null` takes away what is there (RFC 7396).
pub fn merge(target: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else { return *target = changes };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (name, change) in changes {
        match change {
            Value::Null => drop(target.as_object_mut().and_then(|fields| fields.remove(&name))),
            change => merge(&mut target[name], change),
        }
    }
}

fn sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    text.split_once(". ").map_or(text.as_str(), |(first, _)| first).trim_end_matches('.').to_owned()
}

impl Kind {
    fn of(type_name: &str, schema: &'static Value) -> Option<Kind> {
        let first = |all: &'static Value| all.as_object().and_then(|all| all.values().next());
        Some(match (type_name, schema["type"].as_str()) {
            ("Millis", _) => Kind::Quantity(|text| text.parse::<Millis>().map(|millis| millis.0)),
            ("Bytes", _) => Kind::Quantity(|text| text.parse::<Bytes>().map(|bytes| bytes.0)),
            ("MilliCpus", _) => Kind::Quantity(|text| text.parse::<MilliCpus>().map(|cpus| cpus.0.into())),
            ("Secret", _) => Kind::Secret,
            (_, Some("boolean")) => Kind::Flag,
            (_, Some("integer")) => Kind::Number,
            (_, Some("string")) if schema["format"] == "date-time" => Kind::Time,
            (_, Some("string")) => match schema["enum"].as_array() {
                Some(words) => Kind::Word(words.iter().filter_map(Value::as_str).collect()),
                None => Kind::Text,
            },
            (_, Some("array")) if schema["items"]["type"] == "string" || schema["items"]["$ref"].is_string() => {
                match schema["items"]["$ref"]
                    .as_str()
                    .and_then(|target| contract().components.get(target.rsplit('/').next()?))
                {
                    Some(item) if item["type"] != "string" => return None,
                    _ => Kind::List,
                }
            }
            (_, Some("object")) => match first(&schema["patternProperties"])?["type"].as_str() {
                Some("integer") => Kind::Numbers,
                _ => Kind::Texts,
            },
            _ => {
                let words = schema["oneOf"].as_array()?.iter().map(|one| one["const"].as_str());
                Kind::Word(words.collect::<Option<_>>()?)
            }
        })
    }

    /// The value that a text stands for; one `NAME=VALUE` becomes an object.
    pub fn read(&self, text: &str) -> Result<Value, ParseError> {
        Ok(match self {
            Kind::Text | Kind::Secret | Kind::List => text.into(),
            Kind::Flag => {
                text.parse::<bool>().map_err(|_| ParseError::new("flag", "is not one", "write true or false"))?.into()
            }
            Kind::Number => number(text)?.into(),
            Kind::Quantity(parse) => parse(text)?.into(),
            Kind::Word(words) => {
                let word = text.replace('-', "_");
                match words.contains(&word.as_str()) {
                    true => word.into(),
                    false => {
                        return Err(ParseError::new(
                            "word",
                            "is not known",
                            format!("it is one of {}", words.join(", ")),
                        ));
                    }
                }
            }
            Kind::Time => {
                let hint = "write it like 2026-01-31T12:00:00Z";
                let time: jiff::Timestamp = text.parse().map_err(|_| ParseError::new("time", "is not one", hint))?;
                time.to_string().into()
            }
            Kind::Texts | Kind::Numbers => {
                let pair = text.split_once('=');
                let (name, value) =
                    pair.ok_or_else(|| ParseError::new("pair", "has no `=`", "write it as NAME=VALUE"))?;
                let value = if matches!(self, Kind::Numbers) { number(value)?.into() } else { value.into() };
                Value::Object([(name.to_owned(), value)].into_iter().collect())
            }
        })
    }
}

fn number(text: &str) -> Result<u64, ParseError> {
    text.parse().map_err(|_| ParseError::new("number", "is not a whole number", "write digits only"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ops::find;

    #[test]
    fn every_kind_of_field_is_recognised() {
        let cases = [
            ("env.set", "vars", "A=b=c", "{\"A\":\"b=c\"}"),
            ("apps.scale", "scale", "web=2", "{\"web\":2}"),
            ("apps.update", "settings.strategy", "recreate", "\"recreate\""),
            ("tokens.create", "role", "read-only", "\"read_only\""),
            ("apps.update", "settings.resources.memory", "512M", "536870912"),
            ("apps.update", "settings.resources.cpus", "0.5", "500"),
            ("apps.update", "settings.health.path", "/up", "\"/up\""),
            ("logs.read", "since", "2026-01-31T12:00:00Z", "\"2026-01-31T12:00:00Z\""),
            ("releases.rollback", "to", "3", "3"),
            ("env.unset", "names", "A", "\"A\""),
            ("env.import", "content", "A=1", "\"A=1\""),
        ];
        for (op, path, text, value) in cases {
            let found = fields(find(op).unwrap());
            let field =
                found.iter().find(|field| field.path.join(".") == path).unwrap_or_else(|| panic!("{op} {path}"));
            assert_eq!(field.kind.read(text).unwrap().to_string(), value, "{op} {path}");
            assert!(!field.about.is_empty(), "{op} {path}");
        }
        let paths: Vec<String> =
            fields(find("apps.update").unwrap()).iter().map(|field| field.path.join(".")).collect();
        assert!(!paths.iter().any(|path| path == "settings.volumes" || path.starts_with("source")), "{paths:?}");
    }

    #[test]
    fn changes_are_laid_over_what_is_there() {
        let mut value = json!({ "a": { "b": 1, "c": 2 }, "d": 3 });
        merge(&mut value, json!({ "a": { "b": null, "e": 4 }, "d": { "g": 5 } }));
        assert_eq!(value, json!({ "a": { "c": 2, "e": 4 }, "d": { "g": 5 } }));
        assert_eq!(summary(find("env.set").unwrap()), "Set variables; others stay");
        assert!(has(find("env.set").unwrap(), "vars") && !has(find("env.set").unwrap(), "names"));
    }

    #[test]
    fn text_that_does_not_fit_is_refused() {
        for (kind, text) in [
            (Kind::Number, "x"),
            (Kind::Number, "-1"),
            (Kind::Time, "yesterday"),
            (Kind::Texts, "A"),
            (Kind::Numbers, "web=x"),
            (Kind::Word(vec!["a"]), "b"),
            (Kind::Flag, "1"),
        ] {
            assert!(kind.read(text).is_err(), "{kind:?} {text}");
        }
    }
}
