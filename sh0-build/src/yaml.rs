//! YAML that knows its lines, read with bounds: a document may be deep, may refer to itself again and again, and may
//! be no YAML at all.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// The most values that one document may have, those behind aliases counted each time (the "billion laughs").
const MAX_NODES: usize = 200_000;

/// How deep lists and maps may lie in each other.
const MAX_DEPTH: usize = 64;

/// A value, and the line where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Yaml {
    pub(crate) line: u32,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Null, also what is left out behind a colon.
    Null,
    /// Any other scalar, as it is written: numbers and booleans too.
    Text(String),
    List(Vec<Yaml>),
    /// In the order of the file; the key's line is that of the entry.
    Map(Vec<(Key, Yaml)>),
}

/// A key of a map, and its line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) line: u32,
    pub(crate) name: String,
}

impl Yaml {
    /// The first document of the text; an empty text is null. The error names the line.
    pub(crate) fn parse(text: &str) -> Result<Yaml, String> {
        let mut reader =
            Reader { events: Parser::new_from_str(text), anchors: BTreeMap::new(), left: MAX_NODES, last: 1 };
        loop {
            let (event, span) = reader.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok(Yaml { line: 1, value: Value::Null }),
                first => return reader.value(first, span, 0),
            }
        }
    }

    /// The value below these keys.
    pub(crate) fn get(&self, path: &[&str]) -> Option<&Yaml> {
        path.iter().try_fold(self, |at, key| at.entry(key).map(|(_, value)| value))
    }

    /// A key with its value.
    pub(crate) fn entry(&self, key: &str) -> Option<(&Key, &Yaml)> {
        self.entries().iter().find(|(k, _)| k.name == key).map(|(k, v)| (k, v))
    }

    /// The scalar, as it is written.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a map; none for what is not one.
    pub(crate) fn entries(&self) -> &[(Key, Yaml)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The members of a list; none for what is not one.
    pub(crate) fn list(&self) -> &[Yaml] {
        match &self.value {
            Value::List(list) => list,
            _ => &[],
        }
    }
}

struct Reader<'t> {
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: BTreeMap<usize, Yaml>,
    left: usize,
    last: u32,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), String> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                self.last = line(&span);
                Ok((event, span))
            }
            Some(Err(error)) => Err(format!("line {}: {}", error.marker().line(), error.info())),
            None => Err(format!("line {}: the text ends too early", self.last)),
        }
    }

    fn value(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Yaml, String> {
        let line = line(&span);
        if depth > MAX_DEPTH {
            return Err(format!("line {line}: lists and maps lie more than {MAX_DEPTH} deep in each other"));
        }
        self.spend(1, line)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (if null { Value::Null } else { Value::Text(text.into_owned()) }, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut list = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => list.push(self.value(event, span, depth + 1)?),
                    }
                }
                (Value::List(list), anchor)
            }
            Event::MappingStart(anchor, _) => (Value::Map(self.map(depth)?), anchor),
            Event::Alias(anchor) => {
                let Some(known) = self.anchors.get(&anchor).cloned() else {
                    return Err(format!("line {line}: an alias of nothing"));
                };
                self.spend(count(&known), line)?;
                return Ok(Yaml { line, ..known });
            }
            _ => (Value::Null, 0),
        };
        let value = Yaml { line, value };
        if anchor > 0 {
            self.spend(count(&value), line)?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Key, Yaml)>, String> {
        let mut entries: Vec<(Key, Yaml)> = Vec::new();
        let mut merged: Vec<(Key, Yaml)> = Vec::new();
        loop {
            let (event, span) = match self.next()? {
                (Event::MappingEnd, _) => break,
                other => other,
            };
            let key = self.value(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.value(event, span, depth + 1)?;
            // A key that is no scalar, or null, has no name that anybody asks for.
            let name = key.text().unwrap_or_default().to_owned();
            if name == "<<" {
                let sources = if value.list().is_empty() { std::slice::from_ref(&value) } else { value.list() };
                merged.extend(sources.iter().flat_map(|source| source.entries().iter().cloned()));
            } else {
                entries.push((Key { line: key.line, name }, value));
            }
        }
        for entry in merged {
            if !entries.iter().any(|(key, _)| key.name == entry.0.name) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn spend(&mut self, nodes: usize, line: u32) -> Result<(), String> {
        match self.left.checked_sub(nodes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(format!("line {line}: more than {MAX_NODES} values")),
        }
    }
}

fn line(span: &Span) -> u32 {
    u32::try_from(span.start.line()).unwrap_or(u32::MAX)
}

fn count(yaml: &Yaml) -> usize {
    1 + match &yaml.value {
        Value::List(list) => list.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|(_, value)| 1 + count(value)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_know_their_lines() {
        let yaml = Yaml::parse("a: 1\nb:\n  - x: [p, \"q\"]\n  - ~\nc: &d\n  e: f\ng:\n  <<: *d\n  h: i\n").unwrap();
        assert_eq!(yaml.get(&["a"]).unwrap().text(), Some("1"));
        let list = yaml.get(&["b"]).unwrap().list();
        assert_eq!(list[0].get(&["x"]).unwrap().list()[1].text(), Some("q"));
        assert_eq!((list[0].line, list[1].line, &list[1].value), (3, 4, &Value::Null));
        assert_eq!(yaml.entry("g").unwrap().0.line, 7);
        assert_eq!(yaml.get(&["g", "e"]).unwrap().text(), Some("f"));
        assert_eq!(Yaml::parse("").unwrap().value, Value::Null);
    }

    #[test]
    fn what_is_wrong_has_a_line() {
        assert!(Yaml::parse("a: 1\nb: [x\n").unwrap_err().starts_with("line "));
        assert!(Yaml::parse("a: *nope").is_err());
        let deep = "[".repeat(1000);
        assert!(Yaml::parse(&deep).is_err());
    }

    #[test]
    fn aliases_of_aliases_end() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let refs = vec![format!("*a{}", n - 1); 9].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{refs}]\n"));
        }
        assert!(Yaml::parse(&bomb).unwrap_err().contains("values"));
    }
}
