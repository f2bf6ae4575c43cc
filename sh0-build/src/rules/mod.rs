//! Health rules: what will hurt in production, found in the source tree before anything is built.
//!
//! A rule is one entry of a table: id, name, category, severity, what it finds, why it matters, what to do, and either
//! texts to look for or a function that looks at the tree. The tree is walked once and every file is scanned once for
//! the texts of all rules; checks of the tree read what that pass saw. Each rule has fixtures that trigger it and
//! innocent ones that must not (`fixtures/ID.txt`).

mod build;
mod class;
mod compose;
mod context;
mod credential_files;
mod data;
mod env;
mod eol;
mod facts;
pub(crate) mod ignore;
mod image;
mod image_layers;
mod judge;
mod locks;
mod network;
mod process;
mod rule;
mod sarif;
mod scan;
mod secret_judges;
mod secrets;
mod security;
mod settings;
mod start;
mod suppress;
mod tokens;
mod versions;
mod workspace;

use std::collections::BTreeSet;

use sh0_core::model::{Category, Finding, Plan, RelPath, Report, Severity, Suppressed, Timestamp};

use crate::root::{AppFolder, Root};
use crate::tree::{Files, Tree};
use context::{Context, Place};
use judge::masked;
use rule::{Hit, Hits, Rule, Verdict};
use scan::Owner;
use suppress::Suppressions;

pub(crate) use env::EnvFile;
pub(crate) use judge::{is_secret_name, is_secret_variable};
pub use sarif::to_sarif;

/// What a check knows beyond the tree.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// Now: decides what is past its end of life. Without it, the day when the table was made.
    pub now: Option<Timestamp>,
    /// Variables that the platform sets for the app: rules do not ask for them.
    pub env: BTreeSet<String>,
    /// Folders of volumes, as instances see them: data below them is kept. Instances see the app in `/app`.
    pub volumes: Vec<String>,
    /// The folder of the app, as its plan was told ([`Options::root`](crate::Options::root)).
    pub root: Option<RelPath>,
}

/// A rule, for lists and documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleInfo {
    /// Stable, such as `SEC01`.
    pub id: &'static str,
    /// Stable, such as `private-key`.
    pub name: &'static str,
    /// What it is about.
    pub category: Category,
    /// Of most of its findings.
    pub severity: Severity,
    /// What it finds.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// Every rule there is.
pub fn rule_table() -> Vec<RuleInfo> {
    rules().map(info).collect()
}

fn info(rule: &Rule) -> RuleInfo {
    let Rule { id, name, category, severity, title, why, fix, .. } = *rule;
    RuleInfo { id, name, category, severity, title, why, fix }
}

/// The tables, in the order of the ids.
fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        secrets::RULES,
        security::RULES,
        image::RULES,
        build::RULES,
        versions::RULES,
        network::RULES,
        process::RULES,
        settings::RULES,
        data::RULES,
        compose::RULES,
    ]
    .into_iter()
    .flatten()
}

/// Checks a tree, with its plan when it has one. The same tree gives the same report.
///
/// What is checked is what is built: the folder of the app where that is a tree of its own ([`Plan::root`]), else the
/// whole tree. Paths are those of the tree.
///
/// ```
/// use sh0_build::{CheckOptions, MemoryTree, check_tree};
///
/// let tree = MemoryTree::from([("Dockerfile", "FROM node:24\nARG API_TOKEN=abc123def\nCMD [\"node\", \"a.js\"]\n")]);
/// let report = check_tree(&tree, None, &CheckOptions::default());
/// let first = report.findings.iter().find(|finding| finding.rule == "SEC06").expect("a secret in the image");
/// assert_eq!((first.file.as_deref(), first.line), (Some("Dockerfile"), Some(2)));
/// ```
pub fn check_tree(tree: &dyn Tree, plan: Option<&Plan>, options: &CheckOptions) -> Report {
    let files = Files(tree);
    let place = match plan.and_then(|plan| plan.root.as_ref()) {
        Some(root) => Place::Alone(AppFolder::of_plan(files, root.as_str())),
        // A folder that is not there has no plan either; who asks for one hears of it.
        None => match Root::find(files, options.root.as_ref()) {
            Ok(Some(root)) if root.member_of.is_some() => Place::Member(root.app),
            Ok(Some(root)) if plan.is_none() => Place::Alone(root.app),
            _ => Place::Tree,
        },
    };
    let Place::Alone(app) = &place else { return checked(&Context::new(tree, &place, plan, options)) };
    let mut report = checked(&Context::new(app, &place, plan, options));
    let suppressed = report.suppressed.iter_mut().map(|one| {
        one.by = app.outside(&one.by);
        &mut one.finding
    });
    for file in report.findings.iter_mut().chain(suppressed).filter_map(|finding| finding.file.as_mut()) {
        *file = app.outside(file);
    }
    report
}

fn checked(cx: &Context<'_>) -> Report {
    let suppressions = Suppressions::read(cx);
    let mut findings = Vec::new();
    let mut suppressed = Vec::new();
    for (place, rule) in rules().enumerate() {
        let mut hits = Hits::default();
        for (path, one) in cx.found(Owner::Rule(place)) {
            if rule.category == Category::Data && data::is_kept(cx, path, &one.value) {
                continue;
            }
            let shown = if rule.category == Category::Secrets { masked(&one.value) } else { one.value.clone() };
            hits.at(path, one.line, format!("{}: {shown}", one.what));
            if let Verdict::As(severity) = one.verdict {
                hits.severity(severity);
            }
        }
        if let Some(look) = rule.check.tree() {
            look(cx, &mut hits);
        }
        hits.list.sort_by(|a, b| (&a.file, a.line, &a.message).cmp(&(&b.file, b.line, &b.message)));
        hits.list.dedup_by(|a, b| (&a.file, a.line) == (&b.file, b.line));
        for hit in hits.list {
            let finding = finding(rule, hit);
            match suppressions.reason(cx, &finding) {
                Some((reason, by)) => suppressed.push(Suppressed { finding, reason, by }),
                None => findings.push(finding),
            }
        }
    }
    let places: BTreeSet<_> = findings
        .iter()
        .chain(suppressed.iter().map(|one| &one.finding))
        .filter(|finding| finding.category == Category::Secrets || finding.rule == compose::PASSWORD)
        .filter(|finding| finding.rule != secrets::GENERAL)
        .map(|finding| (finding.file.clone(), finding.line))
        .collect();
    findings
        .retain(|finding| finding.rule != secrets::GENERAL || !places.contains(&(finding.file.clone(), finding.line)));
    findings.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| (&a.rule, &a.file, a.line).cmp(&(&b.rule, &b.file, b.line)))
    });
    Report {
        score: score(&findings),
        findings,
        suppressed,
        files: u32::try_from(cx.paths.len()).unwrap_or(u32::MAX),
        truncated: cx.truncated,
        fail_on: suppressions.fail_on,
    }
}

fn finding(rule: &Rule, hit: Hit) -> Finding {
    Finding {
        rule: rule.id.into(),
        name: rule.name.into(),
        category: rule.category,
        severity: hit.severity.unwrap_or(rule.severity),
        file: hit.file,
        line: hit.line,
        message: hit.message,
        why: rule.why.into(),
        fix: rule.fix.into(),
    }
}

/// From 100 down: each rule that found something takes the weight of its gravest finding, half as much again when it
/// found more than one. The formula is part of [`Report::score`].
fn score(findings: &[Finding]) -> u8 {
    let rules: BTreeSet<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    let lost: u32 = rules
        .into_iter()
        .map(|rule| {
            let of_rule = findings.iter().filter(|finding| finding.rule == rule);
            let weight = of_rule.clone().map(|finding| weight(finding.severity)).max().unwrap_or(0);
            if of_rule.count() > 1 { weight + weight.div_ceil(2) } else { weight }
        })
        .sum();
    u8::try_from(100u32.saturating_sub(lost)).unwrap_or(0)
}

fn weight(severity: Severity) -> u32 {
    match severity {
        Severity::Critical => 40,
        Severity::High => 15,
        Severity::Medium => 5,
        Severity::Low => 2,
        Severity::Info => 0,
    }
}
