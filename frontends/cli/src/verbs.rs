//! The verbs of the command line, as data over the operations: `verbs.txt` says what is typed, which operation that is,
//! how its output looks. Arguments and help come from the operation's own declaration (see `args`).

use std::sync::LazyLock;

use sh0::ops::{OpDef, find};

/// A verb that is an operation and nothing more.
pub(crate) struct Verb {
    /// What is typed. The first verb with two words is also what its first word alone means.
    pub(crate) words: &'static str,
    pub(crate) op: &'static OpDef,
    /// How its output looks: `table` and its columns, or one of the words that `run` knows.
    pub(crate) show: &'static str,
    /// What it does, where the operation's own words would not do.
    pub(crate) about: &'static str,
    /// A field that is typed without its name, though it may be left out or is an app.
    pub(crate) place: &'static str,
    /// Whether it changes parts of the app's settings.
    pub(crate) edits: bool,
    /// Whether it also works where no server runs.
    pub(crate) patient: bool,
    /// A flag that asks for another operation with the same input.
    pub(crate) instead: Option<(&'static str, &'static OpDef, &'static str)>,
}

pub(crate) static VERBS: LazyLock<Vec<Verb>> = LazyLock::new(|| {
    let mut verbs: Vec<Verb> = Vec::new();
    for line in include_str!("verbs.txt").lines().filter(|line| !line.starts_with('#')) {
        // The first operation's name, at its column, splits what is typed from how it looks.
        let (typed, rest) = line.split_at(24);
        let (op, show) = rest.split_once(' ').unwrap_or((rest, "done"));
        let (show, about) = show.split_once(" # ").unwrap_or((show, ""));
        let (typed, Some(op), show) = (typed.trim(), find(op), show.trim()) else { continue };
        if let (Some(flag), Some(verb)) = (typed.strip_prefix("--"), verbs.last_mut()) {
            verb.instead = Some((flag, op, show));
            continue;
        }
        let words = typed.trim_end_matches([' ', '*', '?']).split(" [").next().unwrap_or(typed);
        let place = typed.split_once('[').map_or("", |(_, place)| place.trim_end_matches(']'));
        let (edits, patient) = (typed.ends_with('*'), typed.ends_with('?'));
        verbs.push(Verb { words, op, show, about, place, edits, patient, instead: None });
    }
    verbs
});
