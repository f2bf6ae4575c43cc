//! The OpenAPI 3.1 document. utoipa holds the frame (info, security, the routes that are no operations); the operations'
//! paths and schemas are JSON, straight from the contract: utoipa's typed `Schema` cannot hold all of JSON Schema
//! (docs/decisions/001-one-schema-system.md).

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use sh0::auth::Principal;
use sh0::ops::http::PREFIX;
use sh0::ops::projects::ListProjects;
use sh0::ops::{self, OpDef, OpKind, Operation, contract};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::guard::RequestId;
use crate::refusal::Refusal;
use crate::router::Shared;

#[derive(OpenApi)]
#[openapi(
    info(title = "sh0", description = "The API of a sh0 platform: apps, releases, deployments, and all that belongs to them. \
        Over TCP every operation needs a token; a process of the platform's own user needs none over the Unix socket."),
    paths(healthz, readyz, document),
    modifiers(&Bearer),
)]
struct Frame;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, frame: &mut utoipa::openapi::OpenApi) {
        let components = frame.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    }
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", operation_id = "server.healthz", tag = "server",
    responses((status = 200, description = "It lives.", content_type = "text/plain", body = String)))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the engine and its store answer.
#[utoipa::path(get, path = "/readyz", operation_id = "server.readyz", tag = "server",
    responses((status = 200, description = "They answer.", content_type = "text/plain", body = String)))]
pub(crate) async fn readyz(State(shared): State<Arc<Shared>>, Extension(id): Extension<RequestId>) -> Response {
    let asked = async {
        let op = ops::find(ListProjects::META.name).ok_or_else(|| sh0::Error::internal("no such operation"))?;
        shared.sh0.as_caller(Principal::system(), &id.0)?.call(op, json!({})).await
    };
    match tokio::time::timeout(std::time::Duration::from_secs(5), asked).await {
        Ok(Ok(_)) => "ready\n".into_response(),
        Ok(Err(error)) => Refusal::from(sh0::Error::unavailable(format!("not ready: {error}"))).respond(&id.0),
        Err(_) => Refusal::http(StatusCode::SERVICE_UNAVAILABLE, "not ready: the store does not answer").respond(&id.0),
    }
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "server.openapi", tag = "server",
    responses((status = 200, description = "An OpenAPI 3.1 document.", content_type = "application/json", body = Object)))]
pub(crate) async fn document() -> Json<&'static Value> {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    Json(DOCUMENT.get_or_init(openapi))
}

/// The OpenAPI 3.1 document of the whole API.
pub fn openapi() -> Value {
    let mut document = serde_json::to_value(Frame::openapi()).unwrap_or_default();
    for op in ops::all() {
        let method = if op.meta.kind == OpKind::Duplex { "get".to_owned() } else { op.meta.method.as_str().to_lowercase() };
        document["paths"][format!("{PREFIX}{}", op.meta.path)][method] = operation(op);
    }
    let resources: BTreeSet<&str> = ops::all().filter_map(resource).chain(["server"]).collect();
    document["tags"] = resources.iter().map(|name| json!({ "name": name, "description": format!("Operations on {name}.") })).collect();
    document["servers"] = json!([{ "url": "/", "description": "the server that this document comes from" }]);
    document["components"]["schemas"] = contract().components.iter().map(|(name, schema)| (name.clone(), schema.clone())).collect();
    document["components"]["responses"]["problem"] = json!({
        "description": "It failed: a problem object (RFC 9457) says why and what to do.",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    document
}

fn resource(op: &'static OpDef) -> Option<&'static str> {
    op.meta.name.split('.').next()
}

fn operation(op: &'static OpDef) -> Value {
    let input = &contract().inputs[op.meta.name];
    let text = input.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut fields = input.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let required: Vec<&str> = input.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
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
            let bytes = json!({ "description": "The bytes.", "required": true, "content": { "application/octet-stream": {} } });
            operation["requestBody"] = bytes;
        }
        OpKind::Unary | OpKind::Stream if op.meta.method.has_body() => {
            if let Some(body) = json_body(std::mem::take(&mut fields), &required, input) {
                operation["requestBody"] = body;
            }
        }
        _ => {}
    }
    parameters.extend(fields.into_iter().map(|(name, schema)| query_parameter(&name, schema, required.contains(&name.as_str()))));
    if op.meta.kind == OpKind::Stream {
        parameters.push(json!({ "name": "Last-Event-ID", "in": "header", "schema": { "type": "string" },
            "description": "Resumes after the event of this id; takes the place of `after` and `tail`." }));
    }
    operation["parameters"] = parameters.into();
    let (status, response) = response(op);
    operation["responses"][status] = response;
    operation
}

fn path_parameter(name: &str, fields: &mut Map<String, Value>) -> Value {
    let schema = match (name, fields.contains_key("project")) {
        ("project", false) => {
            json!({ "$ref": "#/components/schemas/ProjectRef", "description": "The project: its name or id; `-` beside an app's id." })
        }
        ("app", _) => {
            fields.remove("app");
            json!({ "type": "string", "maxLength": 63, "pattern": "^[a-z0-9-]+$", "description": "The app: its name or id." })
        }
        _ => fields.remove(name).unwrap_or_default(),
    };
    json!({ "name": name, "in": "path", "required": true, "description": schema["description"], "schema": schema })
}

/// Text stands for itself; everything else in a query is JSON (OpenAPI 3.1 section 4.8.12.2, `content`).
fn query_parameter(name: &str, schema: Value, required: bool) -> Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next());
    let kind = target.and_then(|name| contract().components.get(name)).unwrap_or(&schema).get("type").and_then(Value::as_str);
    let mut parameter = json!({ "name": name, "in": "query", "required": required, "description": schema["description"] });
    match kind {
        Some("array" | "object") => parameter["content"] = json!({ "application/json": { "schema": schema } }),
        _ => parameter["schema"] = schema,
    }
    parameter
}

/// What is left of the input when the path has had its part.
fn json_body(fields: Map<String, Value>, required: &[&str], input: &Map<String, Value>) -> Option<Value> {
    if fields.is_empty() {
        return None;
    }
    let required: Vec<&str> = required.iter().copied().filter(|name| fields.contains_key(*name)).collect();
    let mut schema: Map<String, Value> = input.clone();
    schema.insert("properties".into(), fields.into());
    schema.remove("required");
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    Some(json!({ "description": "The input.", "required": !required.is_empty(), "content": { "application/json": { "schema": schema } } }))
}

fn response(op: &'static OpDef) -> (&'static str, Value) {
    let output = &contract().outputs[op.meta.name];
    let content = |kind: &str, text: &str| json!({ "description": text, "content": { kind: { "schema": output } } });
    match op.meta.kind {
        OpKind::Duplex => ("101", json!({ "description": "A websocket: binary messages carry a channel byte (0 in, 1 out, 2 error) and bytes, \
            text messages carry control objects; the last one says how the command ended." })),
        OpKind::Stream => ("200", content("text/event-stream", "Server-sent events: each event's data is one such object, its id the cursor; \
            the last event is `end`, or `error` with a problem object.")),
        _ if output.get("type") == Some(&json!("null")) => ("204", json!({ "description": "Done." })),
        _ => ("200", content("application/json", "The result.")),
    }
}
