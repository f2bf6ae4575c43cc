//! The OpenAPI 3.1 document. utoipa holds the frame (info, security, the routes that are no operations); operations and
//! schemas are JSON from [`sh0::ops::openapi`], which utoipa's typed schema cannot hold without loss: see
//! docs/decisions/001-one-schema-system.md.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use sh0::auth::Principal;
use sh0::ops::projects::ListProjects;
use sh0::ops::{self, Operation, contract};
use sh0::{Error, Result};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::guard::RequestId;
use crate::refusal::Refusal;
use crate::router::Shared;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "sh0",
        description = "Apps, releases, deployments, and all that belongs to them. Over TCP every operation needs a token; \
            a process of the platform's own user needs none over the Unix socket."
    ),
    paths(healthz, readyz, document),
    modifiers(&Token),
)]
struct Frame;

struct Token;

impl Modify for Token {
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
    let asked = tokio::time::timeout(Duration::from_secs(5), ask_store(&shared, &id)).await;
    match asked.unwrap_or_else(|_| Err(Error::unavailable("the store does not answer"))) {
        Ok(_) => "ready\n".into_response(),
        Err(error) => Refusal::from(Error::unavailable(format!("not ready: {error}"))).respond(&id),
    }
}

/// Any small question that goes through the engine to its store.
async fn ask_store(shared: &Shared, id: &RequestId) -> Result<Value> {
    let op = ops::find(ListProjects::META.name).ok_or_else(|| Error::internal("there is no such operation"))?;
    shared.sh0.as_caller(Principal::system(), &*id.0)?.call(op, json!({})).await
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
    if let (Some(all), Value::Object(paths)) = (document["paths"].as_object_mut(), ops::openapi::paths()) {
        all.extend(paths);
    }
    document["components"]["schemas"] = json!(contract().components);
    document["components"]["responses"] = json!({ "problem": {
        "description": "It failed: a problem object (RFC 9457) says why and what to do.",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    } });
    let resources: BTreeSet<&str> = ops::all().map(ops::openapi::resource).chain(["server"]).collect();
    let tag = |name| json!({ "name": name, "description": format!("What concerns {name}.") });
    document["tags"] = resources.into_iter().map(tag).collect();
    document["servers"] = json!([{ "url": "/", "description": "The server that this document comes from." }]);
    document
}
