//! How an operation's input travels over HTTP: path parameters, query string, JSON body, and for websockets a header.
//! Client and server both use this, so they cannot disagree.

use serde_json::{Map, Value};

use super::{Meta, OpDef, OpKind, contract};
use crate::model::{AppRef, ProjectRef};
use crate::{Error, Result};

/// Below which all routes lie.
pub const PREFIX: &str = "/api/v1";

/// Carries the input of a duplex operation beside its path: JSON in ASCII. A websocket begins with GET, which has no body,
/// and its address ends up in the logs of every proxy on the way: what somebody runs, and with which secrets, must not.
pub const INPUT_HEADER: &str = "sh0-input";

/// The header in which a local caller shows the key of a Unix socket: a [`LocalKey`](crate::LocalKey).
pub const KEY_HEADER: &str = "sh0-key";

/// An operation's input on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// Path and query, percent-encoded (RFC 3986).
    pub uri: String,
    /// The JSON body, where the method has one.
    pub body: Option<Value>,
    /// The value of [`INPUT_HEADER`], for a duplex operation.
    pub header: Option<String>,
}

/// Splits an input into path, query and body.
pub fn encode(meta: &Meta, input: Value) -> Result<Parts> {
    let Value::Object(mut fields) = input else {
        return Err(Error::internal(format!("the input of {} is not an object", meta.name)));
    };
    split_app(meta, &mut fields)?;
    let mut uri = String::from(PREFIX);
    for part in meta.path.split('/').skip(1) {
        uri.push('/');
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => {
                let value =
                    fields.remove(name).ok_or_else(|| Error::invalid(name, "is missing", "it is part of the path"))?;
                uri.push_str(&percent_encode(&plain(&value)));
            }
            None => uri.push_str(part),
        }
    }
    match meta.kind {
        OpKind::Duplex => return Ok(Parts { uri, body: None, header: Some(ascii(&Value::Object(fields))) }),
        OpKind::Unary | OpKind::Stream if meta.method.has_body() => {
            return Ok(Parts { uri, body: Some(Value::Object(fields)), header: None });
        }
        _ => {}
    }
    let query: Vec<String> =
        fields.iter().map(|(key, value)| format!("{key}={}", percent_encode(&plain(value)))).collect();
    if !query.is_empty() {
        uri = format!("{uri}?{}", query.join("&"));
    }
    Ok(Parts { uri, body: None, header: None })
}

/// The value in an [`INPUT_HEADER`], which [`decode`] takes as the body.
pub fn from_header(header: &[u8]) -> Result<Value> {
    serde_json::from_slice(header).map_err(|error| {
        Error::invalid(INPUT_HEADER, format!("is not JSON: {error}"), "send the input as JSON in ASCII")
    })
}

/// JSON that fits in a header (RFC 9110 section 5.5): what is not printable ASCII is escaped (RFC 8259 section 7).
fn ascii(value: &Value) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            ' '..='~' => out.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| write!(out, "\\u{unit:04x}").unwrap_or_default()),
        }
    }
    out
}

/// Puts path parameters, query pairs (both percent-decoded) and body together to the input they came from.
pub fn decode(
    op: &OpDef,
    path: impl IntoIterator<Item = (String, String)>,
    query: impl IntoIterator<Item = (String, String)>,
    body: Option<Value>,
) -> Result<Value> {
    let mut fields = match body {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(fields)) => fields,
        Some(_) => {
            return Err(Error::invalid(
                "body",
                "is not a JSON object",
                "send an object with the fields of the operation",
            ));
        }
    };
    let mut from_path: Map<String, Value> = path.into_iter().map(|(name, text)| (name, Value::from(text))).collect();
    join_app(op, &mut from_path);
    for (name, value) in from_path {
        if fields.insert(name.clone(), value).is_some() {
            return Err(Error::invalid(name, "is in the path and in the body", "leave it out of the body"));
        }
    }
    for (name, text) in query {
        if op.meta.secrets.contains(&name.as_str()) {
            let hint = format!("send it in the body, or for a websocket in the header `{INPUT_HEADER}`");
            return Err(Error::invalid(name, "is secret, and addresses are not", hint));
        }
        let value = typed(op, &name, text);
        if fields.insert(name.clone(), value).is_some() {
            return Err(Error::invalid(name, "is given twice", "give it once"));
        }
    }
    Ok(Value::Object(fields))
}

/// The input of a stream that was cut off, so that it goes on after `cursor`, the id of the last event that came. `tail`
/// is how a stream begins; resumed, it would leave out what came meanwhile.
pub fn resume(op: &OpDef, mut input: Value, cursor: &str) -> Value {
    if let (true, Value::Object(fields)) = (property(op, "after").is_some(), &mut input) {
        fields.insert("after".into(), cursor.parse::<u64>().map_or_else(|_| cursor.into(), Value::from));
        fields.remove("tail");
    }
    input
}

/// `app: "shop/web"` becomes `project: "shop", app: "web"` where the path has a place for both; an id goes with `-`.
fn split_app(meta: &Meta, fields: &mut Map<String, Value>) -> Result<()> {
    if !meta.path.contains("{project}") {
        return Ok(());
    }
    if meta.path.contains("{app}") {
        let app: AppRef = serde_json::from_value(fields.remove("app").unwrap_or_default())
            .map_err(|error| Error::invalid("app", error.to_string(), "name the app"))?;
        let (project, app) = match app {
            AppRef::Id(id) => ("-".to_owned(), id.to_string()),
            AppRef::Name(project, name) => (project.to_string(), name.to_string()),
        };
        fields.insert("project".into(), project.into());
        fields.insert("app".into(), app.into());
    }
    fields.entry("project").or_insert_with(|| ProjectRef::default().to_string().into());
    Ok(())
}

fn join_app(op: &OpDef, path: &mut Map<String, Value>) {
    if property(op, "project").is_some() {
        return;
    }
    if let (Some(Value::String(project)), Some(Value::String(app))) = (path.remove("project"), path.get("app")) {
        let app = format!("{project}/{app}");
        path.insert("app".into(), app.into());
    }
}

fn property<'a>(op: &OpDef, name: &str) -> Option<&'a Value> {
    contract().inputs.get(op.meta.name)?.get("properties")?.get(name)
}

/// A query value is text; its schema says whether it stands for something else. Text that does not fit stays text, and
/// is refused with the field's name when the input is parsed.
fn typed(op: &OpDef, name: &str, text: String) -> Value {
    let kind = property(op, name).and_then(|schema| match schema.get("$ref").and_then(Value::as_str) {
        Some(target) => contract().components.get(target.rsplit('/').next()?)?.get("type"),
        None => schema.get("type"),
    });
    let parsed = match kind.and_then(Value::as_str) {
        Some("integer" | "number" | "boolean" | "array" | "object") => serde_json::from_str(&text).ok(),
        _ => None,
    };
    parsed.unwrap_or(Value::String(text))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => write!(out, "%{byte:02X}").unwrap_or_default(),
        }
    }
    out
}
