//! The JSON Schemas of all operations, made once: what OpenAPI, MCP and input checks are built from.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::generate::{Contract as Side, SchemaSettings};
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

use super::OpDef;

/// The schemas of all operations. `$ref`s point at `#/components/schemas/...`.
#[derive(Debug, Clone)]
pub struct Contract {
    /// Inputs by operation name: always an object with `properties`.
    pub inputs: BTreeMap<&'static str, Map<String, Value>>,
    /// Outputs (or stream items) by operation name.
    pub outputs: BTreeMap<&'static str, Value>,
    /// What the `$ref`s point at.
    pub components: BTreeMap<String, Value>,
}

/// The contract of [`all`](super::all) operations.
///
/// # Panics
/// When a declaration breaks the rules of [`ops`](super): a fault of the program that its tests find, never of input.
pub fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(|| match build(super::all()) {
        Ok(contract) => contract,
        Err(fault) => panic!("an operation is declared wrongly: {fault}"),
    })
}

fn build(ops: impl Iterator<Item = &'static OpDef>) -> Result<Contract, String> {
    let mut reading = generator(Side::Deserialize);
    let mut writing = generator(Side::Serialize);
    let (mut inputs, mut outputs) = (BTreeMap::new(), BTreeMap::new());
    for op in ops {
        let name = op.meta.name;
        let mut input = (op.input)(&mut reading);
        DropNull.transform(&mut input);
        let Some(Value::Object(input)) = Some(input.to_value()) else {
            return Err(format!("{name}: input is no object"));
        };
        if input.get("type") != Some(&Value::from("object")) {
            return Err(format!("{name}: input is no object"));
        }
        if inputs.insert(name, input).is_some() {
            return Err(format!("{name}: declared twice"));
        }
        outputs.insert(name, (op.output)(&mut writing).to_value());
    }
    let mut read_types = reading.take_definitions(true);
    for schema in read_types.values_mut() {
        if let Ok(schema) = <&mut Schema>::try_from(schema) {
            DropNull.transform(schema);
        }
    }
    let write_types = writing.take_definitions(true);
    let components = merge(read_types, write_types, &mut inputs)?;
    Ok(Contract { inputs, outputs, components })
}

fn generator(side: Side) -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.contract = side;
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    settings.into_generator()
}

/// One set of components. A type that is read otherwise than it is written gets a second one, `<Name>Input`.
fn merge(
    read: Map<String, Value>,
    written: Map<String, Value>,
    inputs: &mut BTreeMap<&'static str, Map<String, Value>>,
) -> Result<BTreeMap<String, Value>, String> {
    if let Some(name) = read.keys().chain(written.keys()).find(|name| name.ends_with(|c: char| c.is_ascii_digit())) {
        return Err(format!("two types have one name: {name}"));
    }
    // A type differs when its own schema differs, or that of a type it refers to.
    let mut differs: Vec<String> =
        read.keys().filter(|name| written.get(*name).is_some_and(|w| *w != read[*name])).cloned().collect();
    loop {
        let more: Vec<String> = read
            .iter()
            .filter(|(name, schema)| {
                written.contains_key(*name) && !differs.contains(name) && refers_to(schema, &differs)
            })
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        differs.extend(more);
    }
    for input in inputs.values_mut() {
        let mut value = Value::Object(std::mem::take(input));
        rename_refs(&mut value, &differs);
        if let Value::Object(map) = value {
            *input = map;
        }
    }
    let mut components: BTreeMap<String, Value> = written.into_iter().collect();
    for (name, mut schema) in read {
        rename_refs(&mut schema, &differs);
        let name = if differs.contains(&name) { format!("{name}Input") } else { name };
        components.insert(name, schema);
    }
    Ok(components)
}

const REF: &str = "#/components/schemas/";

fn refers_to(schema: &Value, names: &[String]) -> bool {
    match schema {
        Value::Object(map) => map.iter().any(|(key, value)| match (key.as_str(), value) {
            ("$ref", Value::String(target)) => {
                target.strip_prefix(REF).is_some_and(|name| names.iter().any(|n| n == name))
            }
            _ => refers_to(value, names),
        }),
        Value::Array(items) => items.iter().any(|item| refers_to(item, names)),
        _ => false,
    }
}

fn rename_refs(schema: &mut Value, names: &[String]) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match (key.as_str(), &mut *value) {
                    ("$ref", Value::String(target)) => {
                        if let Some(name) = target.strip_prefix(REF).filter(|name| names.iter().any(|n| n == name)) {
                            *value = Value::from(format!("{REF}{name}Input"));
                        }
                    }
                    _ => rename_refs(value, names),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename_refs(item, names)),
        _ => {}
    }
}

/// An optional input is absent, not null: some readers of tool schemas refuse `["string", "null"]`.
struct DropNull;

impl Transform for DropNull {
    fn transform(&mut self, schema: &mut Schema) {
        RecursiveTransform(drop_null).transform(schema);
    }
}

fn drop_null(schema: &mut Schema) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(options)) = map.get_mut("anyOf") {
        options.retain(|option| option.get("type") != Some(&Value::from("null")));
        if let [Value::Object(only)] = options.as_slice() {
            let only = only.clone();
            map.remove("anyOf");
            for (key, value) in only {
                map.entry(key).or_insert(value);
            }
        }
    }
    if map.get("default") == Some(&Value::Null) {
        map.remove("default");
    }
}
