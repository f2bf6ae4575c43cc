//! The rules of an input's schema that serde does not see: bounds of numbers, texts and lists, and lists in the place
//! of objects (serde reads a struct from a list of its fields' values too). Types, names and patterns are the business of
//! the types themselves, which parse after this.

use serde_json::{Map, Value};

use super::contract;
use crate::{Error, Result};

/// Refuses an input of the operation `name` that breaks a bound of its schema; the error names the field.
pub fn check(name: &str, input: &Value) -> Result<()> {
    let Some(schema) = contract().inputs.get(name) else { return Ok(()) };
    object(schema, input, "")
}

fn walk(schema: &Value, value: &Value, path: &str) -> Result<()> {
    let Value::Object(schema) = schema else { return Ok(()) };
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next());
    if let Some(target) = target.and_then(|name| contract().components.get(name)) {
        walk(target, value, path)?;
    }
    for variants in ["oneOf", "anyOf"].iter().filter_map(|key| schema.get(*key)?.as_array()) {
        if value.is_array() && variants.iter().all(is_object) {
            return Err(listed(path));
        }
        variants
            .iter()
            .filter(|variant| is_meant(variant, value))
            .try_for_each(|variant| walk(variant, value, path))?;
    }
    match value {
        Value::Array(_) if schema.get("type").is_some_and(|kind| kind == "object") => Err(listed(path)),
        Value::Array(items) => {
            bounds(schema, "minItems", "maxItems", items.len() as f64, path, "entries")?;
            let Some(of) = schema.get("items") else { return Ok(()) };
            items.iter().enumerate().try_for_each(|(index, item)| walk(of, item, &format!("{path}[{index}]")))
        }
        Value::Object(_) => object(schema, value, path),
        Value::String(text) => {
            bounds(schema, "minLength", "maxLength", text.chars().count() as f64, path, "characters")
        }
        Value::Number(number) => bounds(schema, "minimum", "maximum", number.as_f64().unwrap_or(0.0), path, ""),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn object(schema: &Map<String, Value>, value: &Value, path: &str) -> Result<()> {
    let Value::Object(fields) = value else { return Ok(()) };
    // Maps with checked keys are `patternProperties`, and `additionalProperties: false`.
    let of_keys = schema.get("patternProperties").and_then(|patterns| patterns.as_object()?.values().next());
    let of_any = of_keys.or_else(|| schema.get("additionalProperties"));
    for (name, value) in fields {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if let Some(schema) = schema.get("properties").and_then(|properties| properties.get(name)).or(of_any) {
            walk(schema, value, &path)?;
        }
    }
    Ok(())
}

/// Whether the value is of this variant: its tag is, or there is none.
fn is_meant(variant: &Value, value: &Value) -> bool {
    let properties = variant.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .all(|(name, schema)| schema.get("const").is_none_or(|tag| value.get(name) == Some(tag)))
}

fn is_object(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}

fn listed(path: &str) -> Error {
    Error::invalid(path, "is a list", "send an object with named fields, as the operation's schema has it")
}

fn bounds(schema: &Map<String, Value>, least: &str, most: &str, is: f64, path: &str, what: &str) -> Result<()> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let reason = || format!("is {is} {what}").trim_end().to_owned();
    match (bound(least), bound(most)) {
        (Some(least), _) if is < least => Err(Error::invalid(path, reason(), format!("use at least {least}"))),
        (_, Some(most)) if is > most => Err(Error::invalid(path, reason(), format!("use at most {most}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bounds_are_kept_at_every_depth() {
        let long = "x".repeat(1001);
        let cases = [
            ("apps.list", json!({ "limit": 0 }), Some("limit")),
            ("apps.list", json!({ "limit": 1001 }), Some("limit")),
            ("apps.list", json!({ "limit": 1000 }), None),
            ("logs.read", json!({ "app": "web", "contains": long }), Some("contains")),
            ("logs.read", json!({ "app": "web", "contains": "ü".repeat(1000) }), None),
            ("apps.update", json!({ "app": "web", "settings": ["x"] }), Some("settings")),
            ("apps.update", json!({ "app": "web", "settings": { "resources": [1] } }), Some("settings.resources")),
            (
                "apps.update",
                json!({ "app": "web", "settings": { "health": { "successes": 11 } } }),
                Some("settings.health.successes"),
            ),
            ("apps.update", json!({ "app": "web", "settings": { "health": { "successes": 10 } } }), None),
            ("apps.create", json!({ "name": "web", "source": ["folder", "/"] }), Some("source")),
            ("apps.create", json!({ "name": "web", "env": { "A": "x".repeat(131_073) } }), Some("env.A")),
            ("instances.exec", json!({ "app": "web", "command": [] }), Some("command")),
            ("apps.lock", json!({ "app": "web", "reason": "x".repeat(501) }), Some("reason")),
            // Types are not its business.
            ("apps.list", json!({ "limit": "x", "project": 7, "no_such": [] }), None),
        ];
        for (name, input, field) in cases {
            let found = check(name, &input).err().map(|error| error.fields()[0].field.clone());
            assert!(found.as_deref() == field, "{name}: {found:?} and not {field:?}");
        }
    }
}
