//! How values look to a person: aligned columns, ages, sizes. Text from outside is shown without its control
//! characters, so that no name or reason can drive a terminal; the lines of apps and builds are shown as they are.

use std::fmt::Write as _;

use serde_json::Value;
use sh0::model::{Event, EventKind};

use crate::verbs::Column;

/// How the value of a column is written; `null` where there is none.
pub(crate) type Cell = fn(&Value) -> String;

/// Items as rows below their titles.
pub(crate) fn table(columns: &[Column], items: &[Value]) -> String {
    let titles = columns.iter().map(|column| column.0.to_owned()).collect();
    let rows = items.iter().map(|item| columns.iter().map(|column| column.2(at(item, column.1))).collect());
    aligned(std::iter::once(titles).chain(rows).collect())
}

/// The fields of one object, one a row; those without a value are left out.
pub(crate) fn fields(columns: &[Column], value: &Value) -> String {
    let rows = columns.iter().map(|column| vec![format!("{}:", column.0), column.2(at(value, column.1))]);
    aligned(rows.filter(|row| !row[1].is_empty()).collect())
}

fn aligned(rows: Vec<Vec<String>>) -> String {
    let mut widths = Vec::new();
    for row in &rows {
        widths.resize(row.len(), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for row in rows {
        let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The value at a path with dots; numbers are places in a list.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').filter(|part| !part.is_empty()).fold(value, |value, part| match part.parse::<usize>() {
        Ok(index) if value.is_array() => &value[index],
        _ => &value[part],
    })
}

pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
        other => other.to_string(),
    }
}

/// `yes` for everything but nothing and `false`.
pub(crate) fn yes(value: &Value) -> String {
    if matches!(value, Value::Null | Value::Bool(false)) { "no".into() } else { "yes".into() }
}

pub(crate) fn version(value: &Value) -> String {
    value.as_u64().map_or(String::new(), |number| format!("v{number}"))
}

pub(crate) fn short_id(value: &Value) -> String {
    text(value).trim_start_matches("sha256:").chars().take(12).collect()
}

/// `a, b` of a list; `a=1, b=2` of a map.
pub(crate) fn list(value: &Value) -> String {
    let items: Vec<String> = match value {
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| format!("{name}={}", text(value))).collect(),
        _ => Vec::new(),
    };
    items.join(", ")
}

/// How long ago a time was.
pub(crate) fn age(value: &Value) -> String {
    let Some(then) = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) else { return String::new() };
    let seconds = jiff::Timestamp::now().duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86_400 => format!("{}h ago", seconds / 3600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

pub(crate) fn bytes(value: &Value) -> String {
    let Some(bytes) = value.as_u64() else { return String::new() };
    let scaled = |unit: u32| bytes as f64 / f64::from(1u32 << unit);
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", scaled(10)),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", scaled(20)),
        _ => format!("{:.1} GiB", scaled(30)),
    }
}

pub(crate) fn cpu_time(value: &Value) -> String {
    value.as_u64().map_or(String::new(), |micros| format!("{:.2} s", micros as f64 / 1e6))
}

pub(crate) fn plain(value: &Value) -> String {
    text(value)
}

/// A line of an app, behind who printed it.
pub(crate) fn log_line(line: &Value) -> String {
    let release = text(&line["instance"]);
    let index = release.rsplit('-').next().unwrap_or_default();
    format!("{} {}.{index} | {}", text(&line["at"]), text(&line["process"]), line["text"].as_str().unwrap_or_default())
}

/// An event of a deployment, as a line or several.
pub(crate) fn event_line(value: &Value) -> String {
    let Ok(event) = serde_json::from_value::<Event>(value.clone()) else { return value.to_string() };
    match event.what {
        EventKind::State { state, error } => {
            let state = text(&serde_json::to_value(state).unwrap_or_default());
            error.map_or(state.clone(), |problem| format!("{state}: {}", problem.detail))
        }
        EventKind::StepStarted { step } => format!("{step} ..."),
        EventKind::StepDone { step, millis } => format!("{step} done in {}", span(millis)),
        EventKind::Note { text } => format!("  {text}"),
        EventKind::Output { lines, .. } => lines.iter().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n"),
    }
}

/// A span of time as a person says it.
pub(crate) fn span(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{:.1} s", millis as f64 / 1000.0),
        _ => format!("{}m{:02}s", millis / 60_000, millis / 1000 % 60),
    }
}

/// Variables as `env import` reads them.
pub(crate) fn dotenv(value: &Value) -> String {
    let mut out = String::new();
    for (name, value) in value["vars"].as_object().into_iter().flatten() {
        let mut quoted = String::new();
        for c in value.as_str().unwrap_or_default().chars() {
            match c {
                '"' | '\\' | '$' => quoted.extend(['\\', c]),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                c => quoted.push(c),
            }
        }
        let _ = writeln!(out, "{name}=\"{quoted}\"");
    }
    out
}

/// The settings of an app.
pub(crate) fn settings(app: &Value) -> String {
    let mut rows = Vec::new();
    flatten("", &app["settings"], &mut rows);
    aligned(rows)
}

fn flatten(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            flatten(&path, value, rows);
        }),
        value => rows.push(vec![format!("{path}:"), text(value)]),
    }
}

/// The secret alone, for `SH0_TOKEN=$(sh0 tokens create ...)`.
pub(crate) fn new_token(value: &Value) -> String {
    format!("{}\n", text(&value["secret"]))
}

/// `name: what` of each part.
pub(crate) fn parts(value: &Value) -> String {
    let part = |part: &Value| format!("{}{}", text(&part["name"]), if part["ok"] == true { "" } else { " (does not answer)" });
    value.as_array().into_iter().flatten().map(part).collect::<Vec<_>>().join(", ")
}

/// Every part, whether it works, and in plain words what it cannot do here.
pub(crate) fn doctor(page: &Value) -> String {
    let mut out = String::new();
    for part in page["items"].as_array().into_iter().flatten() {
        let mark = if part["ok"] == true { "ok  " } else { "FAIL" };
        let _ = writeln!(out, "{mark}  {}: {}", text(&part["name"]), text(&part["detail"]));
        for capability in part["capabilities"].as_array().into_iter().flatten() {
            let (support, name) = (&capability["support"], text(&capability["name"]));
            let _ = match support["type"].as_str() {
                Some("yes") => writeln!(out, "        yes  {name}"),
                Some("degraded") => writeln!(out, "      partly {name}: {}", text(&support["reason"])),
                _ => writeln!(out, "         no  {name}: {}", text(&support["reason"])),
            };
        }
    }
    out
}
