//! Where in a file something is said: a decision names the line it came from.

use std::collections::BTreeMap;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use crate::tree::Files;

/// A place in a file of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) file: String,
    pub(crate) line: Option<u32>,
}

impl At {
    pub(crate) fn file(file: impl Into<String>) -> Self {
        At { file: file.into(), line: None }
    }

    pub(crate) fn line(file: impl Into<String>, line: impl Into<Option<u32>>) -> Self {
        At { file: file.into(), line: line.into() }
    }
}

/// The line, from 1, that holds the byte at `offset`.
pub(crate) fn line_at(text: &str, offset: usize) -> u32 {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    u32::try_from(before.iter().filter(|b| **b == b'\n').count()).unwrap_or(u32::MAX - 1) + 1
}

/// The lines of a text, counted from 1.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1..).zip(text.lines())
}

/// The first line that `wanted` accepts, with its number.
pub(crate) fn find_line(text: &str, mut wanted: impl FnMut(&str) -> bool) -> Option<(u32, &str)> {
    lines(text).find(|(_, line)| wanted(line))
}

/// A JSON document that knows the lines of its keys.
pub(crate) struct Json {
    pub(crate) file: String,
    pub(crate) value: Value,
    lines: BTreeMap<Vec<String>, u32>,
}

impl Json {
    /// `None` when the file is not there; the error says where the text is broken.
    pub(crate) fn read(files: Files<'_>, file: &str) -> Option<Result<Json, String>> {
        let text = files.text(file)?;
        Some(match serde_json::from_str(&text) {
            Ok(value) => Ok(Json { file: file.to_owned(), value, lines: json_lines(&text) }),
            Err(error) => Err(format!("{file} is not valid JSON: {error}")),
        })
    }

    /// The same for files that may have comments, and commas behind the last value.
    pub(crate) fn read_with_comments(files: Files<'_>, file: &str) -> Option<Result<Json, String>> {
        let text = without_comments(&files.text(file)?);
        Some(match serde_json::from_str(&text) {
            Ok(value) => Ok(Json { file: file.to_owned(), value, lines: json_lines(&text) }),
            Err(error) => Err(format!("{file} is not valid JSON with comments: {error}")),
        })
    }

    /// The same for JSON5 (json5.org): keys without quotes and texts in single ones, as far as manifests have them.
    pub(crate) fn read_json5(files: Files<'_>, file: &str) -> Option<Result<Json, String>> {
        let text = quoted(&without_comments(&files.text(file)?));
        Some(match serde_json::from_str(&text) {
            Ok(value) => Ok(Json { file: file.to_owned(), value, lines: json_lines(&text) }),
            Err(error) => Err(format!("{file} is not valid JSON5: {error}")),
        })
    }

    pub(crate) fn get(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |value, key| value.get(key))
    }

    pub(crate) fn str(&self, path: &[&str]) -> Option<&str> {
        self.get(path)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    pub(crate) fn at(&self, path: &[&str]) -> At {
        let key: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        At::line(&self.file, self.lines.get(&key).copied())
    }
}

/// JSON with its comments and last commas blanked, so that lines stay where they are.
fn without_comments(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut in_text = false;
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('"', _) => in_text = !in_text,
            ('\\', Some(_)) if in_text => {
                clean.push(c);
                clean.extend(chars.next());
                continue;
            }
            ('/', Some('/')) if !in_text => {
                while chars.peek().is_some_and(|c| *c != '\n') {
                    chars.next();
                }
                continue;
            }
            ('/', Some('*')) if !in_text => {
                let mut last = chars.next();
                for c in chars.by_ref() {
                    if c == '\n' {
                        clean.push(c);
                    }
                    if (last, c) == (Some('*'), '/') {
                        break;
                    }
                    last = Some(c);
                }
                continue;
            }
            (']' | '}', _) if !in_text => {
                let end = clean.trim_end().len();
                if clean[..end].ends_with(',') {
                    clean.replace_range(end - 1..end, " ");
                }
            }
            _ => {}
        }
        clean.push(c);
    }
    clean
}

/// JSON5 without comments as JSON: every key and text in double quotes.
fn quoted(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut open = None;
    while let Some(c) = chars.next() {
        match (open, c) {
            (Some(_), '\\') => match chars.next() {
                Some('\'') => clean.push('\''),
                Some(next) => clean.extend(['\\', next]),
                None => clean.push(c),
            },
            (Some(quote), c) if c == quote => {
                clean.push('"');
                open = None;
            }
            (Some(_), '"') => clean.push_str("\\\""),
            (Some(_), c) => clean.push(c),
            (None, '"' | '\'') => {
                clean.push('"');
                open = Some(c);
            }
            (None, c) if c.is_alphabetic() || matches!(c, '_' | '$') => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$')) {
                    word.push(c);
                }
                let is_key = chars.clone().find(|c| !c.is_whitespace()) == Some(':');
                clean.push_str(&if is_key { format!("\"{word}\"") } else { word });
            }
            (None, c) => clean.push(c),
        }
    }
    clean
}

/// The line of every key down to the third level. The text is known to be valid.
fn json_lines(text: &str) -> BTreeMap<Vec<String>, u32> {
    const DEPTH: usize = 3;
    let mut found = BTreeMap::new();
    // One frame for each open bracket: whether it is an object, and the key that is being read in it.
    let mut stack: Vec<(bool, String)> = Vec::new();
    let (mut line, mut at_key) = (1u32, false);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\n' => line += 1,
            b'{' | b'[' => {
                at_key = bytes[at] == b'{';
                stack.push((at_key, String::new()));
            }
            b'}' | b']' => {
                stack.pop();
                at_key = false;
            }
            b',' => at_key = stack.last().is_some_and(|(object, _)| *object),
            b':' => at_key = false,
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                if at_key && stack.len() <= DEPTH {
                    let raw = text.get(start..at.min(bytes.len())).unwrap_or_default();
                    let depth = stack.len();
                    if let Some((_, key)) = stack.last_mut() {
                        raw.clone_into(key);
                    }
                    let path: Vec<String> =
                        stack.iter().filter(|(object, _)| *object).map(|(_, key)| key.clone()).collect();
                    if path.len() == depth {
                        found.entry(path).or_insert(line);
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// A TOML document that knows the lines of its keys.
pub(crate) struct Toml {
    pub(crate) file: String,
    pub(crate) text: String,
    pub(crate) table: toml::Table,
}

impl Toml {
    /// `None` when the file is not there; the error says where the text is broken.
    pub(crate) fn read(files: Files<'_>, file: &str) -> Option<Result<Toml, String>> {
        let text = files.text(file)?;
        Some(match text.parse::<toml::Table>() {
            Ok(table) => Ok(Toml { file: file.to_owned(), text, table }),
            Err(error) => {
                let line = error.span().map(|span| line_at(&text, span.start)).unwrap_or(1);
                Err(format!("{file}:{line} is not valid TOML: {}", error.message()))
            }
        })
    }

    pub(crate) fn get(&self, path: &[&str]) -> Option<&toml::Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.table.get(*first)?, |value, key| value.get(*key))
    }

    pub(crate) fn str(&self, path: &[&str]) -> Option<&str> {
        self.get(path)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    /// Where a key is written.
    pub(crate) fn at(&self, path: &[&str]) -> At {
        let offset = DeTable::parse(&self.text).ok().and_then(|table| offset_of(table.get_ref(), path));
        At::line(&self.file, offset.map(|offset| line_at(&self.text, offset)))
    }

    /// The lines of the entries of a list.
    pub(crate) fn lines_of(&self, path: &[&str]) -> Vec<Option<u32>> {
        let Some((last, tables)) = path.split_last() else { return Vec::new() };
        let Ok(document) = DeTable::parse(&self.text) else { return Vec::new() };
        let inner = tables.iter().try_fold(document.get_ref(), |table, key| table.get(*key)?.get_ref().as_table());
        let list = inner.and_then(|table| table.get(*last)?.get_ref().as_array());
        list.into_iter().flat_map(|list| list.iter()).map(|item| Some(line_at(&self.text, item.span().start))).collect()
    }
}

fn offset_of(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => offset_of(inner, rest),
        _ => Some(key.span().start),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::MemoryTree;

    #[test]
    fn keys_know_their_lines() {
        let text = "{\n  \"name\": \"a\\\"b{\",\n  \"list\": [{\"start\": 1}],\n  \"scripts\": {\n    \"start\": \"x\"\n  }\n}\n";
        let tree = MemoryTree::from([("a.json", text)]);
        let json = Json::read(Files(&tree), "a.json").unwrap().unwrap();
        assert_eq!(json.at(&["name"]).line, Some(2));
        assert_eq!(json.at(&["scripts", "start"]).line, Some(5));
        assert_eq!(json.at(&["start"]).line, None);

        let tree = MemoryTree::from([(
            "a.json5",
            "{\n // c\n scripts: {'start': \"node 'a\", b: 'it\\'s \"x\"',},\n x: true\n}",
        )]);
        let json = Json::read_json5(Files(&tree), "a.json5").unwrap().unwrap();
        assert_eq!(
            (json.str(&["scripts", "start"]), json.str(&["scripts", "b"])),
            (Some("node 'a"), Some("it's \"x\""))
        );
        assert_eq!(json.at(&["x"]).line, Some(4));

        let tree = MemoryTree::from([("a.toml", "x = 1\n[project]\nname = \"n\"\n[tool.ruff]\nline = 2\n")]);
        let toml = Toml::read(Files(&tree), "a.toml").unwrap().unwrap();
        assert_eq!(toml.at(&["project", "name"]).line, Some(3));
        assert_eq!(toml.at(&["tool", "ruff", "line"]).line, Some(5));
        for (text, lines) in [
            ("[a]\nb = [{ c = 1 }, { c = 2 },\n { c = 3 }]\n", [Some(2), Some(2), Some(3)]),
            ("[[a.b]]\nc = 1\n[[a.b]]\nc = 2\n[[a.b]]\nc = 3\n", [Some(1), Some(3), Some(5)]),
        ] {
            let tree = MemoryTree::from([("a.toml", text)]);
            let toml = Toml::read(Files(&tree), "a.toml").unwrap().unwrap();
            assert_eq!(toml.lines_of(&["a", "b"]), lines);
        }
    }

    #[test]
    fn comments_and_last_commas() {
        let text = "{ // one\n  /* two\n*/ \"a\": \"x // y\\\" ,\", \"b\": [1, /**/ 2, ],\n}";
        let tree = MemoryTree::from([("deno.jsonc", text)]);
        let json = Json::read_with_comments(Files(&tree), "deno.jsonc").unwrap().unwrap();
        assert_eq!(json.str(&["a"]), Some("x // y\" ,"));
        assert_eq!((json.at(&["a"]).line, json.get(&["b"]).unwrap().as_array().unwrap().len()), (Some(3), 2));
    }

    #[test]
    fn broken_text_is_named_with_its_line() {
        let tree = MemoryTree::from([("a.toml", "x = 1\ny = \n")]);
        let error = Toml::read(Files(&tree), "a.toml").unwrap().err().unwrap();
        assert!(error.starts_with("a.toml:2 is not valid TOML"), "{error}");
    }
}
