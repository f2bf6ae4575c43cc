//! What a check of a source tree found.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ParseError;

/// What the health rules found in a source tree.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// From 100 (nothing found) to 0: every rule that found something takes away the weight of its gravest finding
    /// (critical 40, high 15, medium 5, low 2, info 0), half as much again when it found more than one.
    pub score: u8,
    /// What was found, the gravest first.
    pub findings: Vec<Finding>,
    /// What was found and allowed by the owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suppressed: Vec<Suppressed>,
    /// How many files were read.
    pub files: u32,
    /// The tree was larger than what is looked at; the rest was left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// What the owner of the tree wants to fail on, where `sh0.toml` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_on: Option<FailOn>,
}

impl Report {
    /// Whether something at least as grave as `level` was found: what `--fail-on LEVEL` asks.
    ///
    /// ```
    /// use sh0_core::model::{FailOn, Report};
    /// assert!(!Report::default().fails_on(FailOn::Info));
    /// ```
    pub fn fails_on(&self, level: FailOn) -> bool {
        self.findings.iter().any(|finding| level.covers(finding.severity))
    }

    /// How many findings of each severity there are.
    pub fn counts(&self) -> BTreeMap<Severity, u32> {
        let mut counts = BTreeMap::new();
        self.findings.iter().for_each(|finding| *counts.entry(finding.severity).or_default() += 1);
        counts
    }

    /// Score and counts in a line: `score 78 of 100: 1 high, 1 low in 12 files`.
    pub fn headline(&self) -> String {
        let rest = if self.truncated { "; the tree is larger, the rest was not read" } else { "" };
        format!("score {} of 100: {} in {} files{rest}", self.score, in_words(&self.counts()), self.files)
    }

    /// What is kept with a deployment: bounded, whatever was found.
    pub fn summary(&self) -> CheckSummary {
        let clipped = |finding: &Finding| {
            let mut finding = finding.clone();
            finding.message.truncate(finding.message.floor_char_boundary(CheckSummary::LONGEST_MESSAGE));
            finding
        };
        CheckSummary {
            score: self.score,
            counts: self.counts(),
            findings: self.findings.iter().take(CheckSummary::MOST_FINDINGS).map(clipped).collect(),
            suppressed: self.suppressed.len().try_into().unwrap_or(u32::MAX),
            truncated: self.truncated,
        }
    }
}

/// What the health rules found in the source of a deployment, as far as it is kept with it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CheckSummary {
    /// That of the whole report.
    pub score: u8,
    /// How many findings of each severity there are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<Severity, u32>,
    /// The gravest of them, at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// How many findings the owner allows.
    #[serde(default)]
    pub suppressed: u32,
    /// The tree was larger than what is looked at; the rest was left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

impl CheckSummary {
    const MOST_FINDINGS: usize = 20;
    const LONGEST_MESSAGE: usize = 300;
    /// Findings that are told of in a few lines.
    const MOST_TOLD: usize = 3;
}

impl fmt::Display for CheckSummary {
    /// The score and the counts in one line, and one line for each of the worst findings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "health rules: score {} of 100: {}", self.score, in_words(&self.counts))?;
        let worth = |finding: &&Finding| finding.severity > Severity::Info;
        let told = self.findings.iter().filter(worth).take(Self::MOST_TOLD);
        told.clone().try_for_each(|finding| write!(f, "\n  {finding}"))?;
        let all: u32 = self.counts.values().sum();
        match all as usize - told.count().min(all as usize) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more: `sh0 check` shows all, and what to do"),
        }
    }
}

/// Counts of findings, the gravest first: `2 high, 1 low`; `nothing was found`.
fn in_words(counts: &BTreeMap<Severity, u32>) -> String {
    let words: Vec<String> = counts.iter().rev().map(|(severity, count)| format!("{count} {severity}")).collect();
    if words.is_empty() { "nothing was found".to_owned() } else { words.join(", ") }
}

/// One thing that a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The id of the rule, such as `SEC01`.
    pub rule: String,
    /// The name of the rule, such as `private-key`.
    pub name: String,
    /// What it is about.
    pub category: Category,
    /// How grave it is.
    pub severity: Severity,
    /// The file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What was seen. Secrets are masked.
    pub message: String,
    /// Why it matters.
    pub why: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Finding {
    /// Where, which rule, what: in one line, without what could drive a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map_or(String::new(), |line| format!(":{line}"));
        let place = self.file.as_ref().map_or(String::new(), |file| format!("{file}{line} "));
        let text = format!("{place}{} {}", self.rule, self.message);
        f.write_str(&text.replace(char::is_control, ""))
    }
}

/// A finding that the owner of the tree allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suppressed {
    /// What was found.
    pub finding: Finding,
    /// Why it is allowed, in the owner's words.
    pub reason: String,
    /// Where the owner says so: a file, or a file with a line.
    pub by: String,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Could be better.
    Low,
    /// Will hurt one day.
    Medium,
    /// Hurts in production.
    High,
    /// The app does not work, or a secret is out.
    Critical,
}

impl Severity {
    /// From the least to the gravest.
    pub const ALL: [Severity; 5] =
        [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How grave a finding has to be to block a deployment, or to make `sh0 check` fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailOn {
    /// No finding does.
    #[default]
    Never,
    /// Every finding does.
    Info,
    /// One that is low or graver.
    Low,
    /// One that is medium or graver.
    Medium,
    /// One that is high or graver.
    High,
    /// Only a critical one.
    Critical,
}

impl FailOn {
    /// From the strictest on.
    pub const ALL: [FailOn; 6] =
        [FailOn::Info, FailOn::Low, FailOn::Medium, FailOn::High, FailOn::Critical, FailOn::Never];

    /// From which severity on.
    pub fn severity(self) -> Option<Severity> {
        match self {
            FailOn::Never => None,
            FailOn::Info => Some(Severity::Info),
            FailOn::Low => Some(Severity::Low),
            FailOn::Medium => Some(Severity::Medium),
            FailOn::High => Some(Severity::High),
            FailOn::Critical => Some(Severity::Critical),
        }
    }

    /// Whether a finding of this severity is grave enough.
    pub fn covers(self, severity: Severity) -> bool {
        self.severity().is_some_and(|level| severity >= level)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.severity().map_or("never", Severity::as_str)
    }
}

impl fmt::Display for FailOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for FailOn {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = FailOn::ALL.into_iter().find(|level| level.as_str() == text);
        known.ok_or_else(|| {
            let hint = "use info, low, medium, high, critical or never";
            ParseError::new("severity", format!("`{text}` is not a severity"), hint)
        })
    }
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Keys, tokens and passwords where they can be read.
    Secrets,
    /// What makes an attack easy.
    Security,
    /// Dockerfiles, and what comes of them.
    Image,
    /// Dependencies and builds, workspaces among them.
    Build,
    /// Versions of languages, frameworks and package managers.
    Versions,
    /// Ports and addresses.
    Network,
    /// How processes start, end and show their health.
    Process,
    /// Variables and settings.
    Configuration,
    /// What must outlive a release.
    Data,
    /// Compose files.
    Compose,
}

impl Category {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Secrets => "secrets",
            Category::Security => "security",
            Category::Image => "image",
            Category::Build => "build",
            Category::Versions => "versions",
            Category::Network => "network",
            Category::Process => "process",
            Category::Configuration => "configuration",
            Category::Data => "data",
            Category::Compose => "compose",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
