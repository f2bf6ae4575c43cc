//! Writes YAML that reads well: block style, keys in the order they were given.

use std::fmt::Write;

/// A value to write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Number(u64),
    Switch(bool),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl From<&str> for Node {
    fn from(text: &str) -> Node {
        Node::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Node {
        Node::Text(text)
    }
}

impl From<u64> for Node {
    fn from(number: u64) -> Node {
        Node::Number(number)
    }
}

impl From<bool> for Node {
    fn from(on: bool) -> Node {
        Node::Switch(on)
    }
}

impl From<Vec<Node>> for Node {
    fn from(list: Vec<Node>) -> Node {
        Node::List(list)
    }
}

impl From<Map> for Node {
    fn from(map: Map) -> Node {
        Node::Map(map.0)
    }
}

/// A map in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Map(Vec<(String, Node)>);

impl Map {
    pub(super) fn new() -> Map {
        Map::default()
    }

    /// With this entry.
    pub(super) fn with(mut self, key: impl Into<String>, value: impl Into<Node>) -> Map {
        self.0.push((key.into(), value.into()));
        self
    }

    /// With this entry, if there is a value.
    pub(super) fn maybe(self, key: &str, value: Option<impl Into<Node>>) -> Map {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// With this entry, if the list or map is not empty.
    pub(super) fn filled(self, key: &str, value: impl Into<Node>) -> Map {
        let value = value.into();
        match &value {
            Node::List(list) if list.is_empty() => self,
            Node::Map(map) if map.is_empty() => self,
            _ => self.with(key, value),
        }
    }
}

/// A list of texts.
pub(super) fn texts<T: Into<String>>(list: impl IntoIterator<Item = T>) -> Node {
    Node::List(list.into_iter().map(|text| Node::Text(text.into())).collect())
}

/// A document, with comments on top.
pub(super) fn document(notes: &[String], node: &Node) -> String {
    comments(notes) + &body(node)
}

pub(super) fn comments(notes: &[String]) -> String {
    // Line ends of YAML 1.1 are more than `\n`.
    let ends = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    notes.iter().map(|note| format!("# {}\n", note.replace(ends, " "))).collect()
}

pub(super) fn body(node: &Node) -> String {
    let mut out = String::new();
    write(&mut out, node, 0, false);
    out
}

/// `inline`: behind a dash, where the first entry of a map has its place.
fn write(out: &mut String, node: &Node, depth: usize, inline: bool) {
    let indent = "  ".repeat(depth);
    match node {
        Node::Map(entries) => {
            for (place, (key, value)) in entries.iter().enumerate() {
                if !(inline && place == 0) {
                    out.push_str(&indent);
                }
                out.push_str(&scalar(key));
                out.push(':');
                below(out, value, depth);
            }
        }
        Node::List(list) => {
            for item in list {
                out.push_str(&indent);
                out.push_str("- ");
                match item {
                    Node::Map(entries) if !entries.is_empty() => write(out, item, depth + 1, true),
                    other => {
                        out.push_str(&flow(other));
                        out.push('\n');
                    }
                }
            }
        }
        other => {
            out.push_str(&flow(other));
            out.push('\n');
        }
    }
}

fn below(out: &mut String, value: &Node, depth: usize) {
    match value {
        Node::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            write(out, value, depth + 1, false);
        }
        Node::List(list) if list.iter().any(|item| matches!(item, Node::Map(_) | Node::List(_))) || list.len() > 6 => {
            out.push('\n');
            write(out, value, depth + 1, false);
        }
        other => {
            let _ = writeln!(out, " {}", flow(other));
        }
    }
}

fn flow(node: &Node) -> String {
    match node {
        Node::Text(text) => scalar(text),
        Node::Number(number) => number.to_string(),
        Node::Switch(on) => on.to_string(),
        Node::List(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Node::Map(entries) => {
            let inner: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value))).collect();
            format!("{{{}}}", inner.join(", "))
        }
    }
}

/// A text as it is where no reader takes it for anything else, in quotes otherwise: JSON's quotes are YAML's.
fn scalar(text: &str) -> String {
    let first = text.chars().next().unwrap_or(' ');
    let plain = first.is_ascii_alphabetic() || first == '/' || first == '.' && text.len() > 1;
    let safe = text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-@$".contains(c));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n" | ".inf" | ".nan"
    );
    if plain && safe && !word { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let node: Node = Map::new()
            .with("plain", "web-1")
            .with("number-like", "8080")
            .with("yes", "yes")
            .with("quoted", "a: \"b\"\n#c")
            .with("list", texts(["x", "1", ""]))
            .with(
                "maps",
                vec![
                    Map::new().with("a", 1).with("b", Map::new().with("c", true)).into(),
                    Map::new().with("d", vec![]).into(),
                ],
            )
            .filled("left out", Vec::new())
            .into();
        let text = document(&["a note".to_owned()], &node);
        let read = crate::yaml::Yaml::parse(&text).expect("what was written");
        assert_eq!(read.get(&["number-like"]).and_then(|v| v.text()), Some("8080"));
        assert_eq!(read.get(&["quoted"]).and_then(|v| v.text()), Some("a: \"b\"\n#c"));
        assert_eq!(read.get(&["list"]).map(|v| v.list().len()), Some(3));
        assert_eq!(read.get(&["maps"]).and_then(|v| v.list()[0].get(&["b", "c"])?.text()), Some("true"));
        assert!(text.starts_with("# a note\nplain: web-1\nnumber-like: \"8080\"\n\"yes\": \"yes\"\n"), "{text}");
    }
}
