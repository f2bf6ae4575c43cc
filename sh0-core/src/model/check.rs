//! What a check of a source tree found.

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
}

impl Report {
    /// Whether something at least as grave as `level` was found: what `--fail-on LEVEL` asks.
    ///
    /// ```
    /// use sh0_core::model::{Report, Severity};
    /// assert!(!Report::default().fails_on(Severity::Info));
    /// ```
    pub fn fails_on(&self, level: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity >= level)
    }
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

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Severity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = Severity::ALL.into_iter().find(|level| level.as_str() == text);
        known.ok_or_else(|| {
            ParseError::new(
                "severity",
                format!("`{text}` is not a severity"),
                "use info, low, medium, high or critical",
            )
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

impl std::fmt::Display for Category {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
