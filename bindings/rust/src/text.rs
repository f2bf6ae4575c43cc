//! Outputs of operations as text for people: tables, fields, lines.
//!
//! ```
//! use serde_json::json;
//!
//! let apps = [json!({ "name": "web", "live": { "number": 3 }, "urls": ["http://127.0.0.1:4000"] })];
//! assert_eq!(
//!     sh0::text::table("name release=live.number url=urls.0", &apps),
//!     "NAME  RELEASE  URL\nweb   v3       http://127.0.0.1:4000\n",
//! );
//! ```
//!
//! Text from outside is shown without its control characters, so that no name or reason can drive a terminal; the lines
//! that apps and builds print are shown as they are.

mod export;
mod plan;
mod report;

use serde::de::DeserializeOwned;
use serde_json::Value;
use sh0_core::Error;
use sh0_core::model::{Bytes, Deployment, DeploymentState, EventKind, LogLine, Part, Timestamp};

pub use export::{export, export_notes};
pub use plan::plan;
pub use report::report;

/// An output as one word says: `table` with the columns of a [`table`] behind it, `dotenv`, `secret` (the secret alone,
/// for `SH0_TOKEN=$(sh0 tokens create ...)`); as its [`fields`] for any other.
pub fn output(show: &str, output: &Value) -> String {
    match show.split_once(' ').unwrap_or((show, "")) {
        ("table", columns) => table(columns.trim(), items(output)),
        ("dotenv", _) => dotenv(output),
        ("secret", _) => format!("{}\n", word(&output["secret"])),
        _ => fields(output),
    }
}

/// What an output lists.
pub fn items(output: &Value) -> &[Value] {
    output.get("items").or(output.get("names")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Items as rows below their titles. `columns` are paths with dots, or `title=path`, between spaces.
pub fn table(columns: &str, items: &[Value]) -> String {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_uppercase();
    let title = |column: &str| column.split_once('=').map_or_else(|| last(column), |(title, _)| title.to_uppercase());
    let mut rows = vec![columns.split(' ').map(title).collect()];
    for item in items {
        let paths = columns.split(' ').map(|column| column.split_once('=').map_or(column, |(_, path)| path));
        rows.push(paths.map(|path| cell(path, at(item, path))).collect());
    }
    aligned(&rows)
}

/// One object, one field a row; those of objects within it by their path.
pub fn fields(value: &Value) -> String {
    let mut rows = Vec::new();
    flatten("", value, &mut rows);
    aligned(&rows)
}

/// A log line, an event or a part of the platform, in its own words; anything else as a [`word`].
pub fn line(item: &Value) -> String {
    let known =
        printed::<LogLine>(item).or_else(|| printed::<Part>(item)).or_else(|| printed::<EventKind>(&item["what"]));
    known.unwrap_or_else(|| word(item))
}

fn printed<T: DeserializeOwned + ToString>(value: &Value) -> Option<String> {
    serde_json::from_value::<T>(value.clone()).ok().map(|value| value.to_string())
}

/// Writes what happens in a deployment, for whoever watches.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// On a terminal the step under way stands in the last line, until something else does.
    pub terminal: bool,
    /// Whether notes and output are dim.
    pub colour: bool,
}

impl Progress {
    /// What is to be written for this event, with the end of its line.
    pub fn text(&self, event: &EventKind) -> String {
        let text = event.to_string().replace('\n', "\n  ");
        let line = match event {
            EventKind::State { .. } => String::new(),
            EventKind::StepStarted { .. } if self.terminal => format!("  {text}"),
            EventKind::StepStarted { .. } => String::new(),
            EventKind::Note { .. } | EventKind::Output { .. } if self.colour => format!("  \x1b[2m{text}\x1b[0m\n"),
            _ => format!("  {text}\n"),
        };
        format!("{}{line}", if self.terminal { "\r\x1b[K" } else { "" })
    }
}

/// How far the deployment of an operation is; `None` is one that only stored something.
pub fn settled(deployment: Option<&Deployment>) -> String {
    match deployment {
        None => "stored; the next deployment takes it along".into(),
        Some(live) if live.state == DeploymentState::Live => {
            format!("v{} is live", live.made.number.unwrap_or_default())
        }
        Some(begun) => format!("deployment {} has begun", begun.id),
    }
}

/// Variables as the operation `env.import` reads them.
pub fn dotenv(values: &Value) -> String {
    values["vars"].as_object().into_iter().flatten().map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// An error: in words and with what to do, or as its problem object in JSON.
pub fn error(error: &Error, json: bool) -> String {
    if json {
        return serde_json::to_string(&error.problem("")).unwrap_or_default();
    }
    let hints = error.fields().iter().map(|field| &field.hint).filter(|hint| !hint.is_empty());
    let text = hints.fold(format!("error: {}", error.detail()), |text, hint| format!("{text}\nhint: {hint}"));
    text.replace('\t', " ").split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// A value in one line: `a, b` of a list, `a=1, b=2` of a map; things in a list by their names.
pub fn word(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        Value::Array(items) => joined(items.iter().map(|item| word(item.get("name").unwrap_or(item))).collect()),
        Value::Object(fields) => joined(fields.iter().map(|(name, value)| format!("{name}={}", word(value))).collect()),
        other => other.to_string(),
    }
}

/// A text in one line, without what could drive a terminal or turn the order of its letters (Unicode's UAX #9).
fn plain(text: &str) -> String {
    let turns = |c: &char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !c.is_control() && !turns(c)).collect()
}

/// `FILE:LINE`.
fn place(file: Option<&str>, line: Option<u32>) -> Option<String> {
    let line = line.map_or(String::new(), |line| format!(":{line}"));
    file.map(|file| format!("{file}{line}"))
}

/// Colours of a terminal (ECMA-48, "Select Graphic Rendition"), where they are wanted.
#[derive(Clone, Copy)]
struct Ink {
    colour: bool,
}

impl Ink {
    fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn flatten(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            flatten(&path, value, rows);
        }),
        Value::Array(items) if !items.is_empty() && items.iter().all(|item| printed::<Part>(item).is_some()) => {
            rows.extend(items.iter().map(|part| vec![format!("{}:", word(&part["name"])), health(part)]));
        }
        value => rows.push(vec![format!("{path}:"), cell(path, value)]),
    }
}

/// Of a part of the platform: whether it works, and what it says.
fn health(part: &Value) -> String {
    format!("{}  {}", if part["ok"] == true { "ok  " } else { "FAIL" }, word(&part["detail"]))
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
        _ => word(value),
    }
}

/// How long ago a time was.
fn age(time: &str) -> String {
    let Ok(then) = time.parse::<Timestamp>() else { return time.to_owned() };
    match Timestamp::now().duration_since(then).as_secs().max(0) {
        seconds @ 0..60 => format!("{seconds}s ago"),
        seconds @ 60..3600 => format!("{}m ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h ago", seconds / 3600),
        seconds => format!("{}d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_align_and_name_their_columns() {
        let items = [
            json!({ "name": "a", "live": { "number": 3 }, "urls": ["http://x", "http://y"], "locked": false }),
            json!({ "name": "longer", "urls": [], "locked": true }),
        ];
        assert_eq!(
            table("name release=live.number locked url=urls.0", &items),
            "NAME    RELEASE  LOCKED  URL\na       v3       no      http://x\nlonger           yes\n"
        );
    }

    #[test]
    fn fields_are_flat_and_in_plain_words() {
        let value =
            json!({ "id": "x", "used": 1_572_864, "scale": { "web": 2 }, "parts": [{ "name": "p" }, { "name": "q" }] });
        assert_eq!(fields(&value), "id:         x\nparts:      p, q\nscale.web:  2\nused:       1.5 MiB\n");
    }

    #[test]
    fn parts_of_the_platform_say_how_they_are() {
        let part = |name, ok, detail| json!({ "name": name, "ok": ok, "detail": detail });
        let parts = [part("store", true, "sqlite"), part("runtime docker", false, "no engine answers")];
        let expected = "store:           ok    sqlite\nruntime docker:  FAIL  no engine answers\nversion:         1\n";
        assert_eq!(fields(&json!({ "version": "1", "parts": parts })), expected);
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(word(&json!({ "reason": "a\u{1b}[2Jb\n\u{202e}" })), "reason=a[2Jb");
        let refused = Error::invalid("sh0.toml", "no \u{1b}[31m\u{7}key\n  - a", "write b\u{202e}");
        assert_eq!(error(&refused, false), "error: sh0.toml: no [31mkey\n  - a\nhint: write b");
    }

    #[test]
    fn variables_keep_what_is_in_them() {
        let nasty = "$x \"q\" 'y' \\ \n = ü";
        let text = dotenv(&json!({ "vars": { "A": nasty } }));
        assert_eq!(text, "A=\"$x \\\"q\\\" 'y' \\\\ \\n = ü\"\n");
    }

    #[test]
    fn progress_has_one_line_for_the_step_under_way() {
        let event = |value| serde_json::from_value::<EventKind>(value).expect("an event");
        let events = [
            event(json!({ "type": "state", "state": "running" })),
            event(json!({ "type": "step_started", "step": "build" })),
            event(json!({ "type": "output", "stream": "stdout", "lines": ["a", "b"] })),
            event(json!({ "type": "step_done", "step": "build", "millis": 20 })),
        ];
        let seen = |progress: Progress| events.iter().map(|event| progress.text(event)).collect::<String>();
        let plain = seen(Progress { terminal: false, colour: false });
        assert_eq!(plain, "  | a\n  | b\n  build           20 ms\n");
        let shown = seen(Progress { terminal: true, colour: true });
        let clear = "\r\x1b[K";
        let expected =
            format!("{clear}{clear}  build ...{clear}  \x1b[2m| a\n  | b\x1b[0m\n{clear}  build           20 ms\n");
        assert_eq!(shown, expected);
    }

    #[test]
    fn lines_speak_for_themselves() {
        let part = json!({ "name": "store", "ok": false, "detail": "gone", "capabilities": [{ "name": "x", "support": { "type": "no", "reason": "y" } }] });
        assert_eq!(line(&part), "FAIL  store: gone\n          no  x: y");
        assert_eq!(line(&json!("A")), "A");
    }
}
