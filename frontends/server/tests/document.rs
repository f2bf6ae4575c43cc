//! The OpenAPI document: its structure, and that nothing of the schemas is lost on the way into it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeSet;

use serde_json::Value;
use sh0::ops::http::INPUT_HEADER;
use sh0::ops::{self, OpKind, contract};

fn walk<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                visit(key, value);
                walk(value, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = sh0_server::openapi();
    let mut references = 0;
    walk(&document, &mut |key, value| {
        if let ("$ref", Value::String(target)) = (key, value) {
            references += 1;
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    });
    assert!(references > 100);
}

#[test]
fn every_operation_is_complete() {
    let document = sh0_server::openapi();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    let described = |value: &Value| value["description"].as_str().is_some_and(|text| !text.is_empty());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{place}: its id is not unique");
            assert!(!operation["summary"].as_str().unwrap_or_default().is_empty(), "{place}: no summary");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path: BTreeSet<&str> =
                parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            let named: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(in_path, named, "{place}");
            for parameter in &parameters {
                assert!(described(parameter), "{place}: {parameter}");
                assert!(parameter["in"] != "path" || parameter["required"] == true, "{place}: {parameter}");
                assert!(
                    parameter.get("schema").is_some() != parameter.get("content").is_some(),
                    "{place}: {parameter}"
                );
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(response.get("$ref").is_some() || described(response), "{place}: {status}");
            }
            let tag = &operation["tags"][0];
            assert!(
                document["tags"].as_array().unwrap().iter().any(|declared| declared["name"] == *tag),
                "{place}: {tag}"
            );
        }
    }
    for op in ops::all() {
        assert!(ids.contains(op.meta.name), "{}", op.meta.name);
    }
    assert_eq!(ids.len(), ops::all().count() + 3, "operations, healthz, readyz, openapi");
}

#[test]
fn operations_say_what_they_need_and_risk() {
    let document = sh0_server::openapi();
    let delete = &document["paths"]["/api/v1/projects/{project}/apps/{app}"]["delete"];
    assert_eq!(delete["x-sh0"], serde_json::json!({ "permission": "write", "risk": "destructive", "kind": "unary" }));
    assert_eq!(delete["security"], serde_json::json!([{ "token": [] }]));
    assert!(delete["responses"].get("204").is_some());
    let follow = &document["paths"]["/api/v1/projects/{project}/apps/{app}/logs/follow"]["get"];
    assert!(follow["responses"]["200"]["content"].get("text/event-stream").is_some());
    let exec = &document["paths"]["/api/v1/projects/{project}/apps/{app}/exec"]["get"];
    let input = exec["parameters"].as_array().unwrap().iter().find(|p| p["in"] == "header").unwrap();
    assert_eq!(input["content"]["application/json"]["schema"]["properties"]["command"]["type"], "array");
}

/// Each field of each input is in the document once, with the very schema of the contract; so is each output.
#[test]
fn nothing_of_the_contract_is_lost() {
    let document = sh0_server::openapi();
    for (name, schema) in &contract().components {
        assert_eq!(&document["components"]["schemas"][name], schema, "{name}");
    }
    for op in ops::all() {
        let name = op.meta.name;
        let method = ops::openapi::method(op).as_str().to_lowercase();
        let operation = &document["paths"][format!("/api/v1{}", op.meta.path)][method];
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        for (field, schema) in
            contract().inputs[name].get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            let parameter = operation["parameters"].as_array().unwrap().iter().find(|p| p["name"] == *field);
            let header = operation["parameters"].as_array().unwrap().iter().find(|p| p["name"] == INPUT_HEADER);
            let places = [
                parameter.map(|p| &p["schema"]),
                parameter.map(|p| &p["content"]["application/json"]["schema"]),
                header.map(|p| &p["content"]["application/json"]["schema"]["properties"][field]),
                Some(&body["properties"][field]),
            ];
            let found: Vec<&Value> = places.into_iter().flatten().filter(|place| !place.is_null()).collect();
            assert_eq!(found.len(), 1, "{name}.{field}");
            // `app` is two parameters of the path.
            assert!(found[0] == schema || field == "app", "{name}.{field}");
        }
        let written = operation["responses"]["200"]["content"].as_object().and_then(|content| content.values().next());
        if op.meta.kind != OpKind::Duplex && contract().outputs[name]["type"] != "null" {
            assert_eq!(&written.unwrap()["schema"], &contract().outputs[name], "{name}");
        }
    }
}

/// Why the schemas do not go through utoipa's own type: what it would lose. When this fails because nothing is lost any
/// more, docs/decisions/001-one-schema-system.md can be thought over.
#[test]
fn utoipa_would_lose_parts_of_the_schemas() {
    use utoipa::openapi::{RefOr, Schema};
    const KEYWORDS: [&str; 14] = [
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "default",
        "description",
        "enum",
        "format",
        "maxLength",
        "minimum",
        "oneOf",
        "pattern",
        "patternProperties",
        "type",
    ];
    let all: Vec<Value> =
        contract().components.values().cloned().chain(contract().inputs.values().cloned().map(Value::Object)).collect();
    let (mut refused, mut changed, mut lost) = (0, 0, BTreeSet::new());
    for schema in &all {
        let Ok(typed) = serde_json::from_value::<RefOr<Schema>>(schema.clone()) else {
            refused += 1;
            continue;
        };
        let back = serde_json::to_value(typed).unwrap();
        changed += usize::from(back != *schema);
        let count = |value: &Value, keyword: &str| {
            let mut count = 0;
            walk(value, &mut |key, _| count += usize::from(key == keyword));
            count
        };
        lost.extend(KEYWORDS.into_iter().filter(|keyword| count(&back, keyword) < count(schema, keyword)));
    }
    println!("of {} schemas {refused} are refused, {changed} change; keywords lost: {lost:?}", all.len());
    assert!(lost.contains("const"), "tagged enums lose their discriminators: {lost:?}");
}
