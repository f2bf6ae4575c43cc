//! The server over a real engine: who may do what, and what becomes of input that no good client would send. Both tests
//! go through the table of operations; a new operation is tested without a word here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use common::{Answer, options, raw_but_endless};
use serde_json::{Map, Value, json};
use sh0::auth::Role;
use sh0::ops::apps::CreateApp;
use sh0::ops::tokens::CreateToken;
use sh0::ops::{self, OpDef, OpKind, contract};
use sh0::{Secret, Sh0};
use sh0_core::testkit::fakes::{FakeStore, World};
use sh0_server::{Server, serve};

struct Bench {
    store: Arc<FakeStore>,
    sh0: Sh0,
    server: Server,
    _dir: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Bench {
        let store = Arc::new(FakeStore::default());
        let world = World::over(store.clone());
        let sh0 = Sh0::hosting(Arc::new(world.open().await.unwrap()));
        let dir = tempfile::tempdir().unwrap();
        let server = serve(sh0.clone(), options(&dir)).await.unwrap();
        Bench { store, sh0, server, _dir: dir }
    }

    fn addr(&self) -> SocketAddr {
        self.server.tcp()[0]
    }

    async fn token(&self, name: &str, role: Role) -> String {
        let create = CreateToken { name: name.parse().unwrap(), role, days: None };
        self.sh0.call(create).await.unwrap().secret.expose().to_owned()
    }

    /// Sends an operation's input as a client would, without the client's own checks.
    async fn send(&self, op: &OpDef, mut input: Map<String, Value>, headers: &str) -> Answer {
        let mut path = String::from(ops::http::PREFIX);
        for part in op.meta.path.split('/').skip(1) {
            let value = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some("project") => input.remove("project").unwrap_or("default".into()),
                Some(name) => input.remove(name).unwrap_or_default(),
                None => part.into(),
            };
            path = format!("{path}/{}", encode(&plain(&value)));
        }
        let mut head = format!("host: localhost\n{headers}");
        let mut body = Vec::new();
        match op.meta.kind {
            OpKind::Unary | OpKind::Stream if op.meta.method.has_body() => {
                body = serde_json::to_vec(&input).unwrap();
                head += "content-type: application/json\n";
            }
            OpKind::Duplex => {
                head += "upgrade: websocket\nconnection: upgrade\nsec-websocket-version: 13\n";
                head += "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\n";
                head += &format!("{}: {}\n", ops::http::INPUT_HEADER, Value::from(input));
            }
            _ => {
                let query: Vec<_> =
                    input.iter().map(|(key, value)| format!("{}={}", encode(key), encode(&plain(value)))).collect();
                path = format!("{path}?{}", query.join("&"));
            }
        }
        let method = ops::openapi::method(op).as_str();
        let head = format!("{method} {path} HTTP/1.1\n{head}content-length: {}", body.len());
        raw_but_endless(self.addr(), &head, &body).await
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn properties(op: &OpDef) -> Map<String, Value> {
    contract().inputs[op.meta.name].get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The schema itself, behind its reference.
fn resolved(schema: &Value) -> Value {
    match schema.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next()) {
        Some(name) => contract().components[name].clone(),
        None => schema.clone(),
    }
}

/// Something that fits a schema.
fn sample(schema: &Value) -> Value {
    let schema = resolved(schema);
    if let Some(first) = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)?.get(0).cloned()) {
        return sample(&first);
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("enum").and_then(|all| all.get(0))) {
        return value.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(false),
        Some("array") => json!([sample(&schema["items"])]),
        Some("object") => {
            required(&schema).into_iter().map(|name| (name.clone(), sample(&schema["properties"][&name]))).collect()
        }
        _ => match schema.get("pattern").and_then(Value::as_str).unwrap_or_default() {
            pattern if pattern.contains("{26}") => json!("01jcz0000000000000000000ab"),
            pattern if pattern.starts_with("^/") => json!("/data"),
            _ => json!("web"),
        },
    }
}

fn required(schema: &Value) -> Vec<String> {
    schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect()
}

/// The least input that is well-formed.
fn least(op: &OpDef) -> Map<String, Value> {
    let properties = properties(op);
    let schema = Value::Object(contract().inputs[op.meta.name].clone());
    let mut input: Map<String, Value> =
        required(&schema).into_iter().map(|name| (name.clone(), sample(&properties[&name]))).collect();
    // Without a project it is the default one, which exists.
    for name in op.meta.path_params().filter(|name| *name != "project" && properties.contains_key(*name)) {
        input.entry(name).or_insert_with(|| sample(&properties[name]));
    }
    input
}

#[tokio::test]
async fn every_operation_denies_those_who_may_not() {
    let bench = Bench::new().await;
    let admin = format!("authorization: Bearer {}\n", bench.token("boss", Role::Admin).await);
    let reader = format!("authorization: Bearer {}\n", bench.token("looker", Role::ReadOnly).await);
    let before = bench.store.dump();
    for op in ops::all() {
        let name = op.meta.name;
        let nobody = bench.send(op, least(op), "").await;
        assert_eq!((nobody.status, &nobody.problem()["code"]), (401, &json!("unauthorized")), "{name}");
        let unknown = bench.send(op, least(op), "authorization: Bearer sh0p_0000\n").await;
        assert_eq!(unknown.status, 401, "{name}");
        let page = bench.send(op, least(op), &format!("{admin}origin: http://hello.localhost:8080\n")).await;
        assert_eq!(page.status, 403, "{name}");
        let answer = bench.send(op, least(op), &reader).await;
        match Role::ReadOnly.allows(op.meta.permission) {
            true => assert!(matches!(answer.status, 200 | 404), "{name} lets a reader look: {answer:?}"),
            false => {
                assert_eq!((answer.status, &answer.problem()["code"]), (403, &json!("forbidden")), "{name}");
                let malformed = bench.send(op, Map::from_iter([("bad".into(), json!([]))]), &reader).await;
                assert!(
                    matches!(malformed.status, 403 | 404),
                    "{name} says nothing of its input to a reader: {malformed:?}"
                );
            }
        }
        assert_eq!(bench.store.dump(), before, "{name} left something behind");
    }
    let denied = ops::all().filter(|op| !Role::ReadOnly.allows(op.meta.permission)).count();
    assert!(denied > 20, "{denied} operations are denied to a reader");
}

const HOSTILE: [&str; 14] = [
    "",
    " ",
    "..",
    "../../etc/passwd",
    "/etc/passwd\0",
    "$(reboot)",
    "`id`",
    "; rm -rf /",
    "a && b | c",
    "-rf",
    "A\r\nB: c",
    "ünïcødé-😀",
    "\u{202e}gnp.exe",
    "%00%2e%2e%2f",
];

/// What is wrong with an answer to an input whose `field` is odd. `certain`: it cannot but be refused for that field.
fn fault(answer: &Answer, field: &str, certain: bool, stored: bool) -> Option<&'static str> {
    match answer.status {
        status if status >= 500 => return Some("a fault of the server"),
        status if status < 400 => return certain.then_some("accepted"),
        400 | 404 | 409 | 413 | 414 | 422 | 423 | 431 => {}
        _ => return Some("another status than these"),
    }
    if stored {
        return Some("refused, and yet something is stored");
    }
    let problem = answer.problem();
    if answer.status != 422 {
        return certain.then_some("not 422");
    }
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let text = |error: &Value, key: &str| error[key].as_str().unwrap_or_default().to_owned();
    if !errors.iter().all(|error| ["field", "reason", "hint"].iter().all(|key| !text(error, key).is_empty())) {
        return Some("field, reason or hint is missing");
    }
    // Without certainty another field may be what is refused.
    let named = errors.iter().any(|error| !certain || text(error, "field").split(['.', '[']).next() == Some(field));
    (!named).then_some("the field is not named")
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field_and_leaves_nothing() {
    let bench = Bench::new().await;
    let admin = format!("authorization: Bearer {}\n", bench.token("boss", Role::Admin).await);
    let create: CreateApp = serde_json::from_value(json!({ "name": "web" })).unwrap();
    bench.sh0.call(create).await.unwrap();
    let long = "a".repeat(20_000);
    let (mut sent, mut refused, mut faults) = (0, 0, Vec::new());
    for op in ops::all() {
        let in_path: BTreeSet<&str> = op.meta.path_params().collect();
        let in_body = op.meta.method.has_body() && op.meta.kind == OpKind::Unary;
        let schema = Value::Object(contract().inputs[op.meta.name].clone());
        // What is sent, the field that is wrong, and whether the operation cannot but refuse it.
        let mut cases: Vec<(Map<String, Value>, String, bool)> = Vec::new();
        let mut with = |field: &str, value: Value, certain: bool| {
            let mut input = least(op);
            input.insert(field.to_owned(), value);
            cases.push((input, field.to_owned(), certain));
        };
        with("no_such_field", json!("x"), true);
        for (field, schema) in properties(op) {
            let schema = resolved(&schema);
            let kind = schema.get("type").and_then(Value::as_str).unwrap_or("object");
            for text in HOSTILE.into_iter().chain([long.as_str()]) {
                let bound = ["pattern", "maxLength"].iter().any(|key| schema.get(*key).is_some());
                let too_long = text.len() > 10_000 && bound && schema.get("format") != Some(&json!("password"));
                with(&field, json!(text), kind != "string" || too_long || field == "cursor");
            }
            if in_body && !in_path.contains(field.as_str()) {
                let values =
                    [json!(1.5), json!(-1), json!(true), json!([[]]), json!({ "a": { "b": 1 } }), json!([null])];
                for value in values {
                    let fits = matches!((kind, &value), ("boolean", Value::Bool(_)));
                    let certain = !fits && kind != "array" && (kind != "object" || value.is_array());
                    with(&field, value, certain);
                }
                for text in HOSTILE.into_iter().chain([long.as_str()]) {
                    // As the name of a field, and of a member of a map; and one level down.
                    with(&field, json!({ text: text }), false);
                    with(&field, json!([text]), kind != "array");
                    for inner in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                        with(&field, json!({ inner.0: text }), false);
                        with(&field, json!({ inner.0: [text] }), false);
                    }
                }
            }
        }
        for field in required(&schema).into_iter().filter(|field| in_body && !in_path.contains(field.as_str())) {
            let mut input = least(op);
            input.remove(&field);
            cases.push((input, field, true));
        }
        for (input, field, certain) in cases {
            let before = bench.store.dump();
            let answer = bench.send(op, input.clone(), &admin).await;
            sent += 1;
            refused += usize::from(answer.status >= 400);
            let certain = certain && !in_path.contains(field.as_str());
            let fault = fault(&answer, &field, certain, bench.store.dump() != before);
            faults.extend(fault.map(|fault| {
                let input: String = Value::Object(input).to_string().chars().take(200).collect();
                format!("{} with {field}: {fault}\n    {input}\n    {answer:?}", op.meta.name)
            }));
        }
    }
    assert!(faults.is_empty(), "{} of {sent}:\n{}", faults.len(), faults.join("\n"));
    assert!(refused > 500, "{sent} inputs, {refused} refused");
}

#[tokio::test]
async fn a_revoked_token_is_worth_nothing_at_once() {
    let bench = Bench::new().await;
    let token = bench.token("short-lived", Role::Admin).await;
    let target = || format!("http://{}", bench.addr()).parse().unwrap();
    let remote = Sh0::connect(target(), Some(Secret::new(&token))).await.unwrap();
    remote.call(ops::tokens::ListTokens {}).await.unwrap();
    bench.sh0.call(ops::tokens::RevokeToken { token: "short-lived".parse().unwrap() }).await.unwrap();
    let error = remote.call(ops::tokens::ListTokens {}).await.unwrap_err();
    assert_eq!(error.code(), sh0::Code::Unauthorized);
}

#[tokio::test]
async fn what_a_token_opened_ends_with_it() {
    use futures_util::StreamExt;
    use sh0_core::testkit::fakes::STAYS;
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "hello").unwrap();
    let deployment = bench.sh0.deploy_folder(folder.path(), "hello".parse().unwrap()).await.unwrap();
    bench.sh0.finished(&deployment).await.unwrap();
    let [short, long] = [bench.token("short", Role::Admin).await, bench.token("long", Role::Admin).await];
    let mut opened = Vec::new();
    for token in [&short, &long] {
        let target = format!("http://{}", bench.addr()).parse().unwrap();
        let door = Sh0::connect(target, Some(Secret::new(token))).await.unwrap().dispatch();
        let lines = door.stream(ops::find("logs.follow").unwrap(), json!({ "app": "hello" })).await.unwrap();
        let stays = json!({ "app": "hello", "command": [STAYS] });
        let mut exec = door.duplex(ops::find("instances.exec").unwrap(), stays).await.unwrap();
        assert_eq!(exec.output.next().await.unwrap().unwrap().1, STAYS);
        opened.push((lines, exec));
    }
    bench.sh0.call(ops::tokens::RevokeToken { token: "short".parse().unwrap() }).await.unwrap();
    let (mut lines, mut exec) = opened.remove(0);
    let ends = async {
        let stream = loop {
            match lines.next().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        while let Some(Ok(_)) = exec.output.next().await {}
        (stream.code(), exec.exit.await.unwrap_err().code())
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), ends).await.unwrap();
    assert_eq!(ended, (sh0::Code::Unauthorized, sh0::Code::Unauthorized));

    let (_, mut exec) = opened.remove(0);
    let more = tokio::time::timeout(std::time::Duration::from_millis(300), exec.output.next()).await;
    assert!(more.is_err(), "other tokens' sessions go on");
}

#[tokio::test]
async fn an_app_is_deployed_and_followed_over_the_socket() {
    use futures_util::TryStreamExt;
    let bench = Bench::new().await;
    let remote = Sh0::connect(sh0::Target::unix(bench.server.unix_socket().unwrap()), None).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "hello").unwrap();
    let deployment = remote.deploy_folder(folder.path(), "hello".parse().unwrap()).await.unwrap();
    let events: Vec<_> = remote.follow(&deployment).await.unwrap().try_collect().await.unwrap();
    assert!(events.windows(2).all(|pair| pair[0].cursor < pair[1].cursor));
    let ended = remote.finished(&deployment).await.unwrap();
    assert!(ended.state.is_final(), "{ended:?}");
    let again = remote.deploy_folder(folder.path(), "hello".parse().unwrap()).await.unwrap();
    assert_eq!(again.app, deployment.app);
}
