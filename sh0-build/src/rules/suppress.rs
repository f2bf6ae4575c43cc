//! What the owner allows: in `sh0.toml`, or by a comment at the place itself. A reason is asked for.

use sh0_core::model::{FailOn, Finding};

use super::context::Context;
use super::ignore::wildcard;
use crate::config::{FILE, check_keys, fail_on};
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

/// `sh0:ignore RULE reason` in the line of the finding or the one before.
fn comment(cx: &Context<'_>, finding: &Finding) -> Option<(String, String)> {
    let (file, line) = (finding.file.as_deref()?, finding.line?);
    let text = cx.text(file)?;
    let place = usize::try_from(line).ok()?.checked_sub(1)?;
    for at in [Some(place), place.checked_sub(1)].into_iter().flatten() {
        let Some(line) = text.lines().nth(at) else { continue };
        let Some((_, said)) = line.split_once("sh0:ignore ") else { continue };
        let (rule, reason) = said.trim().split_once(char::is_whitespace).unwrap_or((said.trim(), ""));
        let reason = reason.trim().trim_end_matches("*/").trim_end_matches("-->").trim();
        if (rule == finding.rule || rule == finding.name) && !reason.is_empty() {
            return Some((reason.to_owned(), format!("{file}:{}", at + 1)));
        }
    }
    None
}

/// Entries of the file that are whole, and those that are not.
pub(super) fn entries(cx: &Context<'_>) -> (Vec<Entry>, Vec<Broken>) {
    let (files, by) = cx.config();
    let Some(Ok(toml)) = Toml::read(files, FILE) else { return Default::default() };
    let Some(check) = toml.get(&["check"]) else { return Default::default() };
    let line = toml.at(&["check"]).line;
    let broken = |message: String| Broken { line, message };
    let known: Vec<(&str, &str)> = super::rules().map(|rule| (rule.id, rule.name)).collect();
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    if let Err(error) = check_keys(&toml) {
        wrong.push(broken(error.detail().to_owned()));
    }
    if let Err(error) = fail_on(&toml) {
        wrong.push(Broken { line: toml.at(&["check", "fail_on"]).line, message: error.detail().to_owned() });
    }
    let list = check.get("ignore").and_then(|list| list.as_array()).map(Vec::as_slice).unwrap_or_default();
    for entry in list {
        let text =
            |key: &str| entry.get(key).and_then(|value| value.as_str()).map(str::trim).filter(|text| !text.is_empty());
        let Some(rule) = text("rule") else {
            wrong.push(broken("an entry of check.ignore names no rule".into()));
            continue;
        };
        let Some(reason) = text("reason") else {
            wrong.push(broken(format!("check.ignore allows {rule} without a reason")));
            continue;
        };
        if !known.iter().any(|(id, name)| *id == rule || *name == rule) {
            wrong.push(broken(format!("check.ignore names `{rule}`, which is no rule")));
            continue;
        }
        let path = text("path");
        // What no rule looks at is there all the same.
        let is_there = |path: &str| {
            let exists = cx.files.0.kind(path.trim_end_matches('/')).is_some();
            exists || cx.truncated || cx.paths.iter().any(|file| names(cx, path, file))
        };
        if let Some(path) = path.filter(|path| !is_there(path)) {
            wrong.push(broken(format!("check.ignore allows {rule} in `{path}`, where no file is")));
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
