//! Operations as OpenAPI 3.1 describes them: the same places in path, query and body that [`http`](super::http) reads
//! and writes. Plain JSON: a schema object of OpenAPI 3.1 *is* JSON Schema 2020-12, so nothing is converted or lost.

use serde_json::{Map, Value, json};

use super::http::{INPUT_HEADER, PREFIX};
use super::{Contract, Method, OpDef, OpKind, contract};

/// The `paths` object: every operation under its path and method.
pub fn paths() -> Value {
    let mut paths = Value::Object(Map::new());
    for op in super::all() {
        let method = method(op).as_str().to_ascii_lowercase();
        paths[format!("{PREFIX}{}", op.meta.path)][method] = operation(op, contract());
    }
    paths
}

/// The method by which an operation is asked for: a websocket begins with GET (RFC 6455 section 4.1).
pub fn method(op: &OpDef) -> Method {
    if op.meta.kind == OpKind::Duplex { Method::Get } else { op.meta.method }
}

/// The resource that an operation is about: the first part of its name.
pub fn resource(op: &'static OpDef) -> &'static str {
    op.meta.name.split_once('.').map_or(op.meta.name, |(resource, _)| resource)
}

fn operation(op: &'static OpDef, contract: &Contract) -> Value {
    let input = &contract.inputs[op.meta.name];
    let text = input.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut fields = input.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let required = input.get("required").and_then(Value::as_array);
    let required: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
    let mut parameters: Vec<Value> = op.meta.path_params().map(|name| path_parameter(name, &mut fields)).collect();
    let mut operation = json!({
        "operationId": op.meta.name,
        "summary": text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.'),
        "description": text,
        "tags": [resource(op)],
        "security": [{ "token": [] }],
        "responses": { "default": { "$ref": "#/components/responses/problem" } },
        "x-sh0": { "permission": op.meta.permission, "risk": op.meta.risk, "kind": op.meta.kind },
    });
    match op.meta.kind {
        OpKind::Upload => {
            let bytes =
                json!({ "description": "The bytes.", "required": true, "content": { "application/octet-stream": {} } });
            operation["requestBody"] = bytes;
        }
        OpKind::Unary | OpKind::Stream if op.meta.method.has_body() && !fields.is_empty() => {
            operation["requestBody"] = json_input(std::mem::take(&mut fields), &required, input);
        }
        OpKind::Duplex => {
            let mut header = json_input(std::mem::take(&mut fields), &required, input);
            header["name"] = INPUT_HEADER.into();
            header["in"] = "header".into();
            header["description"] = "The input, as JSON in ASCII: other characters as \\uXXXX.".into();
            parameters.push(header);
        }
        _ => {}
    }
    for (name, schema) in fields {
        parameters.push(query_parameter(&name, schema, required.contains(&name.as_str()), contract));
    }
    if op.meta.kind == OpKind::Stream {
        parameters.push(json!({
            "name": "Last-Event-ID",
            "in": "header",
            "description": "Resumes after the event of this id; takes the place of `after` and `tail`.",
            "schema": { "type": "string" },
        }));
    }
    operation["parameters"] = parameters.into();
    let (status, response) = response(op, &contract.outputs[op.meta.name]);
    operation["responses"][status] = response;
    operation
}

fn path_parameter(name: &str, fields: &mut Map<String, Value>) -> Value {
    let schema = match (name, fields.contains_key("project")) {
        ("project", false) => json!({
            "$ref": "#/components/schemas/ProjectRef",
            "description": "The project: its name or id; `-` beside an app's id.",
        }),
        ("app", _) => {
            fields.remove("app");
            json!({ "type": "string", "maxLength": 63, "pattern": "^[a-z0-9-]+$", "description": "The app: its name or id." })
        }
        _ => fields.remove(name).unwrap_or_default(),
    };
    json!({ "name": name, "in": "path", "required": true, "description": schema["description"], "schema": schema })
}

/// Text, numbers and booleans stand for themselves; everything else in a query is JSON (OpenAPI 3.1 section 4.8.12,
/// `content`).
fn query_parameter(name: &str, schema: Value, required: bool, contract: &Contract) -> Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next());
    let resolved = target.and_then(|name| contract.components.get(name)).unwrap_or(&schema);
    let structured = matches!(resolved.get("type").and_then(Value::as_str), Some("array" | "object"));
    let mut parameter =
        json!({ "name": name, "in": "query", "required": required, "description": schema["description"] });
    match structured {
        true => parameter["content"] = json!({ "application/json": { "schema": schema } }),
        false => parameter["schema"] = schema,
    }
    parameter
}

/// What is left of the input when the path has had its part: a body, or with a name a parameter.
fn json_input(fields: Map<String, Value>, required: &[&str], input: &Map<String, Value>) -> Value {
    let required: Vec<&str> = required.iter().copied().filter(|name| fields.contains_key(*name)).collect();
    let mut schema = input.clone();
    schema.insert("properties".into(), fields.into());
    schema.remove("required");
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    json!({
        "description": "The input.",
        "required": !required.is_empty(),
        "content": { "application/json": { "schema": schema } },
    })
}

fn response(op: &OpDef, output: &Value) -> (&'static str, Value) {
    let content = |kind: &str, text: &str| json!({ "description": text, "content": { kind: { "schema": output } } });
    let stream = "Server-sent events: each event's data is one such object, its id the cursor. The last event is `end`, or \
        `error` with a problem object; a stream that stops without either was cut off and can be resumed.";
    let duplex = "A websocket. Binary messages carry a channel byte (0 input, 1 output, 2 error output) and bytes; text \
        messages carry control objects, the last of which says how the command ended.";
    match op.meta.kind {
        OpKind::Duplex => ("101", json!({ "description": duplex })),
        OpKind::Stream => ("200", content("text/event-stream", stream)),
        _ if output.get("type") == Some(&json!("null")) => ("204", json!({ "description": "Done." })),
        _ => ("200", content("application/json", "The result.")),
    }
}
