//! How values look to a person. Text from outside is shown without its control characters, so that no name or reason
//! can drive a terminal; the lines that apps and builds print are shown as they are.

use serde::de::DeserializeOwned;
use serde_json::Value;
use sh0::model::{Bytes, EventKind, LogLine, Part};

/// One item of a stream or of a list of lines.
pub(crate) fn line(way: &str, item: &Value) -> String {
    match way {
        "log" => printed::<LogLine>(item),
        "event" => printed::<EventKind>(&item["what"]),
        "parts" => printed::<Part>(item),
        _ => text(item),
    }
}

fn printed<T: DeserializeOwned + ToString>(value: &Value) -> String {
    serde_json::from_value::<T>(value.clone()).map_or_else(|_| text(value), |value| value.to_string())
}

/// The whole of an output.
pub(crate) fn whole(way: &str, value: &Value) -> String {
    match way {
        // As `sh0 env import` reads it.
        "dotenv" => {
            let vars = value["vars"].as_object().into_iter().flatten();
            vars.map(|(name, value)| format!("{name}={value}\n")).collect()
        }
        // Alone, for `SH0_TOKEN=$(sh0 tokens create ...)`.
        "secret" => format!("{}\n", text(&value["secret"])),
        _ => {
            let mut rows = Vec::new();
            flatten("", value, &mut rows);
            aligned(&rows)
        }
    }
}

/// One object, one field a row.
fn flatten(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            flatten(&path, value, rows);
        }),
        value => rows.push(vec![format!("{path}:"), cell(path, value)]),
    }
}

/// Items as rows below their titles. `columns` are paths, or `title=path`.
pub(crate) fn table(columns: &str, items: &[Value]) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_uppercase();
    let title = |column: &str| column.split_once('=').map_or_else(|| last(column), |(title, _)| title.to_uppercase());
    let mut rows = vec![columns.split(' ').map(title).collect()];
    for item in items {
        let paths = columns.split(' ').map(|column| column.split_once('=').map_or(column, |(_, path)| path));
        rows.push(paths.map(|path| cell(path, at(item, path))).collect());
    }
    aligned(&rows)
}

fn aligned(rows: &[Vec<String>]) -> String {
    let wide = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(wide).collect();
    let mut out = String::new();
    for row in rows {
        let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The value at a path with dots; numbers are places in a list.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, part| match part.parse::<usize>() {
        Ok(index) if value.is_array() => &value[index],
        _ => &value[part],
    })
}

/// A value, as the name of its field says.
fn cell(path: &str, value: &Value) -> String {
    match (path.rsplit('.').next().unwrap_or(path), value) {
        (_, Value::Bool(yes)) => if *yes { "yes" } else { "no" }.into(),
        ("number", Value::Number(number)) => format!("v{number}"),
        ("used" | "memory", Value::Number(bytes)) => Bytes(bytes.as_u64().unwrap_or_default()).to_string(),
        ("cpu_micros", Value::Number(micros)) => format!("{:.2} s", micros.as_f64().unwrap_or_default() / 1e6),
        ("created_at" | "started_at", Value::String(time)) => age(time),
        ("id", Value::String(id)) if id.len() >= 40 => id.trim_start_matches("sha256:").chars().take(12).collect(),
        _ => text(value),
    }
}

/// A value in one line: `a, b` of a list, `a=1, b=2` of a map; things in a list by their names.
pub(crate) fn text(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.chars().filter(|c| !c.is_control()).collect(),
        Value::Array(items) => joined(items.iter().map(|item| text(item.get("name").unwrap_or(item))).collect()),
        Value::Object(fields) => joined(fields.iter().map(|(name, value)| format!("{name}={}", text(value))).collect()),
        other => other.to_string(),
    }
}

/// How long ago a time was.
fn age(time: &str) -> String {
    let Ok(then) = time.parse::<jiff::Timestamp>() else { return time.to_owned() };
    match jiff::Timestamp::now().duration_since(then).as_secs().max(0) {
        seconds @ 0..60 => format!("{seconds}s ago"),
        seconds @ 60..3600 => format!("{}m ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h ago", seconds / 3600),
        seconds => format!("{}d ago", seconds / 86_400),
    }
}
