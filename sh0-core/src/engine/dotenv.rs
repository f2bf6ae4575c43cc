//! The text of a `.env` file, as [`ImportEnv`](crate::ops::env::ImportEnv) describes it. Nothing is expanded.

use std::collections::BTreeMap;

use crate::model::{EnvKey, Secret};
use crate::{Error, ParseError, Result};

/// Names and values; a later line wins.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<EnvKey, Secret>> {
    let mut vars = BTreeMap::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut number = 1;
    while let Some(line) = rest.lines().next() {
        let assignment = line.trim_start();
        if assignment.trim_end().is_empty() || assignment.starts_with('#') {
            rest = after_line(rest);
            number += 1;
            continue;
        }
        let fault =
            |what: &str| Error::invalid("content", format!("line {number} {what}"), "write NAME=value, one a line");
        let assignment = assignment.strip_prefix("export ").unwrap_or(assignment);
        let (name, _) = assignment.split_once('=').ok_or_else(|| fault("has no `=`"))?;
        let key: EnvKey =
            name.trim().parse().map_err(|error: ParseError| fault(&format!("has a name that {}", error.reason())))?;
        // A quoted value may go beyond its line, so it is read from the rest of the text.
        let from = line.len() - assignment.len() + name.len() + 1;
        let (value, after) = value(&rest[from..]).ok_or_else(|| fault("has a quote that is not closed"))?;
        number += rest[..rest.len() - after.len()].matches('\n').count();
        rest = after;
        vars.insert(key, Secret::new(value));
    }
    Ok(vars)
}

/// A value and what follows its line; `None` when its quote is not closed.
fn value(text: &str) -> Option<(String, &str)> {
    let start = text.trim_start_matches([' ', '\t']);
    match start.chars().next() {
        Some('\'') => {
            let (value, after) = start[1..].split_once('\'')?;
            Some((value.to_owned(), after_line(after)))
        }
        Some('"') => double_quoted(&start[1..]),
        _ => {
            let line = start.lines().next().unwrap_or_default();
            let value = line.find(" #").map_or(line, |comment| &line[..comment]);
            let value = if line.starts_with('#') { "" } else { value };
            Some((value.trim_end().to_owned(), after_line(start)))
        }
    }
}

fn double_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, after_line(&text[at + 1..]))),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                c @ ('"' | '\\' | '$') => value.push(c),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, after)| after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap().into_iter().map(|(key, value)| (key.to_string(), value.expose().to_owned())).collect()
    }

    #[test]
    fn values_are_literal() {
        let cases = [
            ("A=1", "1"),
            ("export A=1", "1"),
            ("A = 1 ", "1"),
            ("A=$HOME and $$", "$HOME and $$"),
            ("A=a#b # comment", "a#b"),
            ("A=# comment", ""),
            ("A=", ""),
            ("A='$x \\n # \"'", "$x \\n # \""),
            ("A=\"a\\nb\\\"c\\$d\\\\ \\q\"", "a\nb\"c$d\\ \\q"),
            ("A=\"one\ntwo\" # note", "one\ntwo"),
            ("A='one\ntwo'", "one\ntwo"),
            ("A=x=y=z", "x=y=z"),
            ("A=1\r\n", "1"),
            ("\u{feff}A=grüße 🎉", "grüße 🎉"),
        ];
        for (text, value) in cases {
            assert_eq!(parsed(text), [("A".to_owned(), value.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn lines_follow_each_other() {
        let text = "# first\n\nA=1\nB='x\ny'\n  # more\nC=\"z\"\nA=2";
        let expected = [("A", "2"), ("B", "x\ny"), ("C", "z")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(parsed(text), expected);
    }

    #[test]
    fn faults_name_the_line() {
        for (text, line) in [("A=1\nnothing", "line 2"), ("1A=x", "line 1"), ("A=1\nB='x\ny\nC=\"", "line 2")] {
            assert!(parse(text).unwrap_err().detail().contains(line), "{text:?}");
        }
    }
}
