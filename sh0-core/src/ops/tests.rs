use serde_json::{Value, json};

use super::*;

#[test]
fn declarations_keep_the_rules() {
    let contract = contract();
    for op in all() {
        let name = op.meta.name;
        let input = &contract.inputs[name];
        assert_eq!(input.get("additionalProperties"), Some(&Value::Bool(false)), "{name} refuses unknown fields");
        assert!(input.get("description").is_some(), "{name} is documented");
        let properties = input.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        for param in op.meta.path_params() {
            let merged = param == "project" && properties.contains_key("app");
            assert!(merged || properties.contains_key(param), "{name}: {{{param}}} is a field");
        }
        for field in op.meta.secrets {
            assert!(properties.contains_key(*field), "{name}: secret {field} is a field");
        }
        for (field, schema) in &properties {
            assert!(!schema.to_string().contains("\"null\""), "{name}.{field} is absent, not null");
            let holds_secret = schema.to_string().contains("schemas/Secret");
            assert_eq!(holds_secret, op.meta.secrets.contains(&field.as_str()), "{name}.{field} is named as a secret");
        }
        assert_eq!(op.meta.risk == Risk::Read, op.meta.method == Method::Get, "{name}: looking is GET");
    }
}

#[test]
fn input_survives_the_way_over_http() {
    let cases = [
        ("apps.get", json!({ "app": "shop/web" }), "/api/v1/projects/shop/apps/web", None),
        ("apps.get", json!({ "app": "web" }), "/api/v1/projects/default/apps/web", None),
        (
            "apps.get",
            json!({ "app": "01jcz0000000000000000000ab" }),
            "/api/v1/projects/-/apps/01jcz0000000000000000000ab",
            None,
        ),
        ("apps.list", json!({ "project": "shop", "limit": 5 }), "/api/v1/projects/shop/apps?limit=5", None),
        (
            "logs.read",
            json!({ "app": "web", "tail": 7, "contains": "a&b=c d" }),
            "/api/v1/projects/default/apps/web/logs?contains=a%26b%3Dc%20d&tail=7",
            None,
        ),
        (
            "env.set",
            json!({ "app": "web", "vars": { "A": "$x" }, "stage": true }),
            "/api/v1/projects/default/apps/web/env",
            Some(json!({ "vars": { "A": "$x" }, "stage": true })),
        ),
        (
            "instances.exec",
            json!({ "app": "web", "command": ["echo", "a b"] }),
            "/api/v1/projects/default/apps/web/exec",
            None,
        ),
    ];
    for (name, input, uri, body) in cases {
        let op = find(name).unwrap();
        let parts = http::encode(&op.meta, input.clone()).unwrap();
        assert_eq!((parts.uri.as_str(), &parts.body), (uri, &body), "{name}");
        let back = decode_uri(op, &parts);
        let canonical = |mut value: Value| {
            if let Some(Value::String(app)) = value.get_mut("app") {
                *app = app.parse::<crate::model::AppRef>().unwrap().to_string();
            }
            value
        };
        assert_eq!(canonical(back), canonical(input), "{name}");
    }
}

fn decode_uri(op: &OpDef, parts: &http::Parts) -> Value {
    let url = url::Url::parse(&format!("http://x{}", parts.uri)).unwrap();
    let template: Vec<&str> = op.meta.path.split('/').collect();
    let path: Vec<(String, String)> = url.path()[http::PREFIX.len()..]
        .split('/')
        .zip(template)
        .filter_map(|(value, name)| Some((name.strip_prefix('{')?.strip_suffix('}')?.to_owned(), value.to_owned())))
        .collect();
    let header = parts.header.as_ref().map(|text| http::from_header(text.as_bytes()).unwrap());
    http::decode(op, path, url.query_pairs().into_owned(), parts.body.clone().or(header)).unwrap()
}

#[test]
fn what_is_run_and_with_which_secrets_stays_out_of_addresses() {
    let op = find("instances.run").unwrap();
    let nasty = "$HOME \"q\" 'y' \\ \n\r\t\u{7f}\u{0} = ü 😀 \u{202e}";
    let input = json!({ "app": "web", "command": ["printf", nasty], "env": { "KEY": nasty } });
    let parts = http::encode(&op.meta, input.clone()).unwrap();
    assert_eq!(parts.uri, "/api/v1/projects/default/apps/web/run");
    let header = parts.header.clone().unwrap();
    assert!(header.chars().all(|c| matches!(c, ' '..='~')), "{header}");
    let mut back = decode_uri(op, &parts);
    back["app"] = "web".into();
    assert_eq!(back, input);

    for (name, field) in [("instances.run", "env"), ("env.set", "vars"), ("env.import", "content")] {
        let query = [(field.to_owned(), "{\"KEY\":\"hunter2\"}".to_owned())];
        let error = http::decode(find(name).unwrap(), [], query, None).unwrap_err();
        assert_eq!(error.fields()[0].field, field);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(http::from_header("ü".as_bytes()).unwrap_err().fields()[0].field, http::INPUT_HEADER);
}

#[test]
fn a_field_in_path_and_body_is_refused() {
    let op = find("env.set").unwrap();
    let path = [("project".to_owned(), "default".to_owned()), ("app".to_owned(), "web".to_owned())];
    let error = http::decode(op, path, [], Some(json!({ "app": "other", "vars": {} }))).unwrap_err();
    assert_eq!(error.fields()[0].field, "app");
}
