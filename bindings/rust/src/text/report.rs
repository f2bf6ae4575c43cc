//! What health rules found, as a person reads it.

use sh0_core::model::{Finding, Report, Severity};

use super::{Ink, place, plain};

/// Findings, the gravest first: what was seen where, then why it matters and what to do, said once a rule; then the
/// score. `colour` is for terminals.
///
/// ```
/// let report = sh0::model::Report { score: 100, files: 3, ..Default::default() };
/// assert_eq!(sh0::text::report(&report, false), "score 100 of 100: nothing was found in 3 files\n");
/// ```
pub fn report(report: &Report, colour: bool) -> String {
    let ink = Ink { colour };
    let mut out = String::new();
    for group in report.findings.chunk_by(|a, b| (&a.rule, a.severity) == (&b.rule, b.severity)) {
        out.push_str(&rule(ink, group));
    }
    for allowed in &report.suppressed {
        let Finding { rule, name, file, line, .. } = &allowed.finding;
        let at = place(file.as_deref(), *line).map_or(String::new(), |place| format!(" at {place}"));
        let text = format!("allowed  {rule} {name}{at}: {} (says {})", allowed.reason, allowed.by);
        out.push_str(&format!("{}\n", ink.dim(&plain(&text))));
    }
    out + &report.headline() + "\n"
}

/// The findings of one rule.
fn rule(ink: Ink, findings: &[Finding]) -> String {
    let [first, ..] = findings else { return String::new() };
    let severity = match first.severity {
        Severity::Critical | Severity::High => ink.red(first.severity.as_str()),
        Severity::Medium => ink.yellow(first.severity.as_str()),
        Severity::Low | Severity::Info => ink.bold(first.severity.as_str()),
    };
    let mut out = format!("{severity}  {} {}\n", first.rule, ink.bold(&first.name));
    for finding in findings {
        let at = place(finding.file.as_deref(), finding.line).map_or(String::new(), |place| format!("{place}  "));
        out.push_str(&format!("  {}\n", plain(&format!("{at}{}", finding.message))));
    }
    out.push_str(&format!("    {} {}\n", ink.dim("why:"), plain(&first.why)));
    out.push_str(&format!("    {} {}\n\n", ink.dim("fix:"), plain(&first.fix)));
    out
}
