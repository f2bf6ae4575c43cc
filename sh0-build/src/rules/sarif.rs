//! A report as SARIF 2.1.0, which code hosts show beside the lines (OASIS, "Static Analysis Results Interchange Format").

use serde_json::{Value, json};
use sh0_core::model::{Finding, Report, Severity};

/// The report as a SARIF log.
pub fn to_sarif(report: &Report) -> Value {
    let rules = super::rule_table();
    let place = |finding: &Finding| rules.iter().position(|rule| rule.id == finding.rule);
    let results = report.findings.iter().map(|finding| result(finding, place(finding), None));
    let suppressed = report.suppressed.iter().map(|one| result(&one.finding, place(&one.finding), Some(&one.reason)));
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "sh0",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules.iter().map(|rule| json!({
                    "id": rule.id,
                    "name": pascal(rule.name),
                    "shortDescription": { "text": rule.title },
                    "fullDescription": { "text": format!("{}. {}", rule.title, rule.why) },
                    "help": { "text": rule.fix },
                    "defaultConfiguration": { "level": level(rule.severity) },
                    "properties": { "tags": [rule.category.as_str()], "security-severity": security_severity(rule.severity) },
                })).collect::<Vec<_>>(),
            } },
            "columnKind": "utf16CodeUnits",
            "results": results.chain(suppressed).collect::<Vec<_>>(),
            "properties": { "score": report.score },
        }],
    })
}

fn result(finding: &Finding, place: Option<usize>, reason: Option<&str>) -> Value {
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": { "text": format!("{}. {}", finding.message, finding.fix) },
        "properties": { "severity": finding.severity.as_str() },
    });
    if let Some(place) = place {
        result["ruleIndex"] = json!(place);
    }
    // Code hosts want a place: a finding about the whole tree is shown at its root.
    let mut location = json!({ "artifactLocation": { "uri": uri(finding.file.as_deref().unwrap_or(".")) } });
    if let Some(line) = finding.line {
        location["region"] = json!({ "startLine": line.max(1) });
    }
    result["locations"] = json!([{ "physicalLocation": location }]);
    if let Some(reason) = reason {
        result["suppressions"] = json!([{ "kind": "inSource", "justification": reason }]);
    }
    result
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// What code hosts sort by: 0.0 to 10.0.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "3.0",
        Severity::Info => "1.0",
    }
}

/// `private-key` as `PrivateKey`.
fn pascal(name: &str) -> String {
    name.split('-')
        .flat_map(|word| word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1)))
        .collect()
}

/// A relative reference of a path (RFC 3986, section 3.3).
fn uri(path: &str) -> String {
    path.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~/@!$&'()*+,;=".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
