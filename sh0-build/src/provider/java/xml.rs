//! The little of XML that a POM needs: values of elements, with comments out of the way.

use crate::text::{find_line, line_at};

/// The text with its comments blanked, so that lines stay where they are.
pub(super) fn without_comments(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("<!--") {
        clean.push_str(&rest[..start]);
        let comment = &rest[start..];
        let end = comment.find("-->").map(|end| end + 3).unwrap_or(comment.len());
        clean.extend(comment[..end].chars().filter(|c| *c == '\n'));
        rest = &comment[end..];
    }
    clean.push_str(rest);
    clean
}

/// The first `<tag>value</tag>`, with its line; in a POM of another dialect the first `tag: value`.
pub(super) fn value<'t>(text: &'t str, tag: &str) -> Option<(u32, &'t str)> {
    let entry = || {
        let key = format!("{tag}:");
        let (line, found) = find_line(text, |line| line.trim_start().starts_with(&key))?;
        Some((line, found.trim_start()[key.len()..].trim().trim_matches(['"', '\''])))
    };
    values(text, tag).next().or_else(entry)
}

/// Every `<tag>value</tag>`.
pub(super) fn values<'t>(text: &'t str, tag: &str) -> impl Iterator<Item = (u32, &'t str)> {
    let open = format!("<{tag}>");
    let close = format!("</{tag}>");
    let starts: Vec<usize> = text.match_indices(&open).take(1_000).map(|(at, _)| at + open.len()).collect();
    starts.into_iter().filter_map(move |start| {
        let inside = &text[start..];
        let value = inside[..inside.find(&close)?].trim();
        (!value.contains('<')).then(|| (line_at(text, start), value))
    })
}

/// A value with `${name}` put in place, once.
pub(super) fn resolved(text: &str, raw: &str) -> String {
    match raw.strip_prefix("${").and_then(|name| name.strip_suffix('}')) {
        Some(name) => value(text, name).map(|(_, value)| value.to_owned()).unwrap_or_default(),
        None => raw.to_owned(),
    }
}
