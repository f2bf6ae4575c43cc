//! What a rule is: one entry of a table, and how it looks.

use sh0_core::model::{Category, Severity};

use super::context::Context;
use super::scan::Found;

/// One health rule.
pub(crate) struct Rule {
    /// Stable, such as `SEC01`.
    pub(crate) id: &'static str,
    /// Stable, such as `private-key`.
    pub(crate) name: &'static str,
    pub(crate) category: Category,
    /// Of most findings; a check may lower or raise a single one.
    pub(crate) severity: Severity,
    /// One line: what it finds.
    pub(crate) title: &'static str,
    pub(crate) why: &'static str,
    pub(crate) fix: &'static str,
    pub(crate) check: Check,
}

/// How a rule looks.
pub(crate) enum Check {
    /// For texts, in every file.
    Text(&'static [Pattern]),
    /// At the tree as a whole.
    Tree(fn(&Context<'_>, &mut Hits)),
    /// Both.
    TextAndTree(&'static [Pattern], fn(&Context<'_>, &mut Hits)),
}

impl Check {
    pub(crate) fn patterns(&self) -> &'static [Pattern] {
        match self {
            Check::Text(patterns) | Check::TextAndTree(patterns, _) => patterns,
            Check::Tree(_) => &[],
        }
    }

    pub(crate) fn tree(&self) -> Option<fn(&Context<'_>, &mut Hits)> {
        match self {
            Check::Tree(look) | Check::TextAndTree(_, look) => Some(*look),
            Check::Text(_) => None,
        }
    }
}

/// A text to look for. The regular expression only runs on lines that hold one of the keywords.
pub(crate) struct Pattern {
    /// What this is, in messages: `a GitHub token`.
    pub(crate) what: &'static str,
    /// Any of these must be in the line; case does not matter.
    pub(crate) keywords: &'static [&'static str],
    /// On bytes, without Unicode classes. What is reported is the group `value`, else
    /// group 1, else the whole match.
    pub(crate) regex: &'static str,
    /// Decides about a match: `None` is none, else its severity when it is not the rule's.
    pub(crate) judge: fn(&Found<'_>) -> Option<Verdict>,
}

/// What a match is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As grave as the rule says.
    Hit,
    /// Less, or more, grave.
    As(Severity),
}

/// What checks of the tree find.
#[derive(Default)]
pub(crate) struct Hits {
    pub(crate) list: Vec<Hit>,
}

/// One place that a rule found.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) message: String,
    pub(crate) severity: Option<Severity>,
}

impl Hits {
    /// At a line of a file.
    pub(crate) fn at(&mut self, file: impl Into<String>, line: impl Into<Option<u32>>, message: impl Into<String>) {
        self.list.push(Hit { file: Some(file.into()), line: line.into(), message: message.into(), severity: None });
    }

    /// In the tree, at no file.
    pub(crate) fn tree(&mut self, message: impl Into<String>) {
        self.list.push(Hit { file: None, line: None, message: message.into(), severity: None });
    }

    /// The severity of the last one.
    pub(crate) fn severity(&mut self, severity: Severity) {
        if let Some(last) = self.list.last_mut() {
            last.severity = Some(severity);
        }
    }
}
