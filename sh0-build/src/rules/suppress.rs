//! What the owner allows: in `sh0.toml`, or by a comment at the place itself. A reason is asked for.

use sh0_core::Error;
use sh0_core::model::{FailOn, Finding};

use super::context::Context;
use super::ignore::wildcard;
use crate::config::{FILE, Ignored, check_keys, fail_on, ignore_entry, ignored};
use crate::text::Toml;

/// The entries of `[check] ignore`, and what is wrong with them.
pub(super) struct Suppressions {
    entries: Vec<Entry>,
    /// What the owner wants to fail on.
    pub(super) fail_on: Option<FailOn>,
}

pub(super) struct Entry {
    rule: String,
    /// A path, or a pattern such as `docs/*`, from the folder of the app or from the top; every path when absent.
    path: Option<String>,
    reason: String,
    by: String,
}

/// An entry that allows nothing, with its line and why.
pub(super) struct Broken {
    pub(super) line: Option<u32>,
    pub(super) message: String,
}

impl Suppressions {
    pub(super) fn read(cx: &Context<'_>) -> Suppressions {
        let toml = Toml::read(cx.config().0, FILE).and_then(Result::ok);
        let fail_on = toml.and_then(|toml| fail_on(&toml).ok().flatten());
        Suppressions { entries: entries(cx).0, fail_on }
    }

    /// The owner's reason for a finding, and where it is said.
    pub(super) fn reason(&self, cx: &Context<'_>, finding: &Finding) -> Option<(String, String)> {
        let fits = |entry: &&Entry| {
            let path = finding.file.as_deref().unwrap_or_default();
            (entry.rule == finding.rule || entry.rule == finding.name)
                && entry.path.as_deref().is_none_or(|wanted| names(cx, wanted, path))
        };
        comment(cx, finding).or_else(|| {
            let entry = self.entries.iter().find(fits)?;
            Some((entry.reason.clone(), entry.by.clone()))
        })
    }
}

/// Whether an entry's path means this file, by either of its names.
fn names(cx: &Context<'_>, wanted: &str, path: &str) -> bool {
    cx.names(path).iter().any(|name| covers(wanted, name))
}

/// A file, a folder, or a pattern whose `*` goes over folders.
fn covers(wanted: &str, path: &str) -> bool {
    let wanted = wanted.trim_start_matches("./").trim_end_matches('/');
    wanted == path || path.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/')) || wildcard(wanted, path)
}

/// What begins a comment in the files that rules look at.
const OPENERS: &[&str] = &["#", "//", "/*", "*", "--", "<!--", ";", "%", "{#", "{{!"];

/// `sh0:ignore RULE reason` in a comment: in the line of the finding, or alone in the one before.
fn comment(cx: &Context<'_>, finding: &Finding) -> Option<(String, String)> {
    let (file, line) = (finding.file.as_deref()?, finding.line?);
    let text = cx.text(file)?;
    let place = usize::try_from(line).ok()?.checked_sub(1)?;
    for (at, alone) in [(Some(place), false), (place.checked_sub(1), true)] {
        let Some((at, line)) = at.and_then(|at| Some((at, text.lines().nth(at)?))) else { continue };
        let Some((rule, reason)) = allowed(line, alone) else { continue };
        if rule == finding.rule || rule == finding.name {
            return Some((reason.to_owned(), format!("{file}:{}", at + 1)));
        }
    }
    None
}

/// The rule and the reason of a line's comment; with `alone`, if the line is nothing else.
fn allowed(line: &str, alone: bool) -> Option<(&str, &str)> {
    let (before, said) = line.split_once("sh0:ignore ")?;
    let code =
        OPENERS.iter().filter_map(|opener| before.trim_end().strip_suffix(opener)).min_by_key(|code| code.len())?;
    let end = ["*/", "-->", "#}", "}}"].iter().filter_map(|end| said.find(end)).min();
    let (said, rest) =
        end.map_or((said, ""), |end| (&said[..end], said[end..].trim_start_matches(['*', '/', '-', '>', '#', '}'])));
    if is_in_quotes(before, said) || alone && !(code.trim().is_empty() && rest.trim().is_empty()) {
        return None;
    }
    let (rule, reason) = said.trim().split_once(char::is_whitespace)?;
    Some((rule, reason.trim())).filter(|(_, reason)| !reason.is_empty())
}

/// Whether a quote opens before a place and closes after it.
fn is_in_quotes(before: &str, after: &str) -> bool {
    let mut open = None;
    let mut chars = before.chars();
    while let Some(c) = chars.next() {
        match (open, c) {
            (_, '\\') => drop(chars.next()),
            (None, '"' | '\'' | '`') => open = Some(c),
            (Some(quote), c) if quote == c => open = None,
            _ => {}
        }
    }
    open.is_some_and(|quote| after.contains(quote))
}

/// Entries of the file that are whole, and those that are not.
pub(super) fn entries(cx: &Context<'_>) -> (Vec<Entry>, Vec<Broken>) {
    let (files, by) = cx.config();
    let Some(Ok(toml)) = Toml::read(files, FILE) else { return Default::default() };
    let line = toml.at(&["check"]).line;
    let known: Vec<(&str, &str)> = super::rules().map(|rule| (rule.id, rule.name)).collect();
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    let refused = |line: Option<u32>, error: &Error| {
        let hint = error.fields().first().map(|field| format!("; {}", field.hint)).unwrap_or_default();
        Broken { line, message: format!("{}{hint}", error.detail()) }
    };
    if let Err(error) = check_keys(&toml) {
        wrong.push(refused(line, &error));
    }
    if let Err(error) = fail_on(&toml) {
        wrong.push(refused(toml.at(&["check", "fail_on"]).line, &error));
    }
    let list = ignored(&toml).unwrap_or_else(|error| {
        wrong.push(refused(toml.at(&["check", "ignore"]).line, &error));
        Vec::new()
    });
    for (line, entry) in list {
        let Ignored { rule, path, reason } = match ignore_entry(line, entry) {
            Ok(entry) => entry,
            Err(error) => {
                wrong.push(refused(line, &error));
                continue;
            }
        };
        let mut broken = |message: String| wrong.push(Broken { line, message });
        let Some(rule) = rule else {
            broken("an entry of check.ignore names no rule".into());
            continue;
        };
        let Some(reason) = reason else {
            broken(format!("check.ignore allows {rule} without a reason"));
            continue;
        };
        if !known.iter().any(|(id, name)| *id == rule || *name == rule) {
            broken(format!("check.ignore names `{rule}`, which is no rule"));
            continue;
        }
        // What no rule looks at is there all the same.
        let is_there = |path: &str| {
            let exists = cx.files.0.kind(path.trim_end_matches('/')).is_some();
            exists || cx.truncated || cx.paths.iter().any(|file| names(cx, path, file))
        };
        if let Some(path) = path.filter(|path| !is_there(path)) {
            broken(format!("check.ignore allows {rule} in `{path}`, where no file is"));
        }
        entries.push(Entry {
            rule: rule.to_owned(),
            path: path.map(str::to_owned),
            reason: reason.to_owned(),
            by: by.clone(),
        });
    }
    (entries, wrong)
}
