//! What a tree should give, and whether a plan gives it.

use sh0::model::Plan;

/// A row of the list: what the authors of an example say of it. `a|b` in a field means that either is right; an empty
/// field, that nobody says.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    /// `owner/name`.
    pub(super) repo: String,
    /// Within the repository.
    pub(super) path: String,
    /// The language.
    pub(super) language: String,
    package_manager: String,
    framework: String,
    start: String,
    start_alt: String,
    port: String,
    scope: String,
    note: String,
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    /// The plan's language.
    Language,
    /// There is a plan that starts or serves something.
    Plan,
    /// The package manager of a Node app.
    NodeManager,
    /// The package manager of any other app.
    OtherManager,
    /// The framework, where one is named.
    Framework,
    /// The start command, the folder that is served, or any server of PHP pages.
    Start,
    /// The services of a compose file, and the ports they publish.
    Services,
}

impl Field {
    /// All, in the order of the table.
    pub(super) const ALL: [Field; 7] = [
        Field::Language,
        Field::Plan,
        Field::NodeManager,
        Field::OtherManager,
        Field::Framework,
        Field::Start,
        Field::Services,
    ];

    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Field::Language => "language",
            Field::Plan => "usable plan",
            Field::NodeManager => "Node package manager",
            Field::OtherManager => "other package manager",
            Field::Framework => "framework",
            Field::Start => "start command",
            Field::Services => "compose services",
        }
    }

    /// The share that must be right.
    pub(super) fn bar(self) -> Option<f64> {
        match self {
            Field::Language | Field::Plan => Some(0.98),
            Field::NodeManager => Some(0.99),
            Field::Framework => Some(0.90),
            Field::Start => Some(0.85),
            Field::Services => Some(1.0),
            Field::OtherManager => None,
        }
    }
}

/// A judgement: right, or what was wanted and what is there.
pub(super) type Verdict = (Field, Result<(), (String, String)>);

impl Expected {
    /// A line of the list; `None` for its head.
    pub(super) fn read(line: &str) -> Option<Expected> {
        let mut columns = line.split('\t').map(|text| text.trim().to_owned()).chain(std::iter::repeat(String::new()));
        let mut next = || columns.next().unwrap_or_default();
        let row = Expected {
            repo: next(),
            path: next(),
            language: next(),
            package_manager: next(),
            framework: next(),
            start: next(),
            start_alt: next(),
            port: next(),
            scope: next(),
            note: next(),
        };
        (row.repo.contains('/')).then_some(row)
    }

    /// Whether the row counts; the others are of stacks that are a welcome extra.
    pub(super) fn in_scope(&self) -> bool {
        self.scope == "core"
    }

    /// The tree is broken on purpose: a plan must be refused, or come with a finding.
    pub(super) fn must_fail(&self) -> bool {
        self.note.contains("expects-failure")
    }

    /// Judges what was planned; an error is no plan.
    pub(super) fn judge(&self, plan: Option<&Plan>) -> Vec<Verdict> {
        let none = Plan::default();
        let planned = plan.is_some();
        let plan = plan.unwrap_or(&none);
        let mut verdicts = Vec::new();
        let mut say = |field, right: bool, wanted: &str, got: &str| {
            verdicts.push((field, if right { Ok(()) } else { Err((wanted.to_owned(), got.to_owned())) }));
        };
        say(Field::Language, one_of(&self.language, &plan.language), &self.language, &plan.language);
        let starts = plan.start_command.is_some()
            || plan.static_dir.is_some()
            || !plan.processes.is_empty()
            || !services(plan).0.is_empty();
        // Where the authors name no start command either, what is installed and built is all there is.
        let usable = if self.start.is_empty() { planned } else { starts };
        say(Field::Plan, usable, "something to start or to serve", "nothing");
        if self.language == "compose" {
            let (names, ports) = services(plan);
            let wanted = self.start_alt.trim_start_matches("services=");
            say(
                Field::Services,
                names == wanted && set(&ports) == set(&self.port),
                &format!("{wanted} {}", self.port),
                &format!("{names} {ports}"),
            );
            return verdicts;
        }
        let manager = plan.package_manager.as_deref().unwrap_or("none");
        let field = if self.language == "node" { Field::NodeManager } else { Field::OtherManager };
        if !self.package_manager.is_empty() {
            say(field, one_of(&self.package_manager, manager), &self.package_manager, manager);
        }
        let framework = plan.framework.as_deref().unwrap_or("none");
        if !matches!(self.framework.as_str(), "" | "none") {
            say(Field::Framework, one_of(&self.framework, framework), &self.framework, framework);
        }
        let told_elsewhere =
            ["tool-config", "env-driven", "not-a-source-tree"].iter().any(|note| self.note.contains(note));
        if !self.start.is_empty() && !told_elsewhere {
            let got = started(plan);
            let wanted = if self.start_alt.is_empty() {
                self.start.clone()
            } else {
                format!("{} or {}", self.start, self.start_alt)
            };
            say(Field::Start, self.starts(plan, &got), &wanted, &got);
        }
        verdicts
    }

    /// The same command, but for spaces and the word `run`; the script's own command in place of the manager's; the same
    /// folder; any web server of PHP.
    fn starts(&self, plan: &Plan, got: &str) -> bool {
        let got = folded(got);
        let php = self.start == "php-server" && plan.language == "php" && got != "nothing";
        php || got == folded(&self.start) || !self.start_alt.is_empty() && got == folded(&self.start_alt)
    }
}

/// What starts, in the words of the list.
fn started(plan: &Plan) -> String {
    match (&plan.static_dir, &plan.start_command) {
        (Some(dir), _) => format!("static:{dir}"),
        (None, Some(command)) => command.clone(),
        (None, None) => plan.processes.values().next().cloned().unwrap_or_else(|| "nothing".to_owned()),
    }
}

fn folded(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    words.join(" ").replace(" run start", " start")
}

fn one_of(alternatives: &str, got: &str) -> bool {
    alternatives.split('|').any(|wanted| wanted == got)
}

fn set(list: &str) -> std::collections::BTreeSet<&str> {
    list.split(',').filter(|item| !item.is_empty()).collect()
}

/// The names of the services, and the ports that they publish.
fn services(plan: &Plan) -> (String, String) {
    let names: Vec<&str> = plan.services.keys().map(String::as_str).collect();
    let ports: Vec<&str> = plan.services.values().flat_map(|service| &service.ports).map(String::as_str).collect();
    (names.join(","), ports.join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_row_judges_what_it_says_and_nothing_else() {
        let row = Expected::read("a/b\tx\tnode\tnpm|yarn\tnext\tnpm run start\tnext start\t3000\tcore\t\tf").unwrap();
        let plan = Plan {
            language: "node".into(),
            package_manager: Some("yarn".into()),
            start_command: Some("next  start".into()),
            ..Plan::default()
        };
        let wrong: Vec<Field> =
            row.judge(Some(&plan)).into_iter().filter(|(_, v)| v.is_err()).map(|(f, _)| f).collect();
        assert_eq!(wrong, [Field::Framework]);
        assert!(row.judge(None).iter().all(|(_, verdict)| verdict.is_err()));
        let served = Plan { static_dir: Some("dist".into()), ..plan };
        assert!(row.judge(Some(&served)).iter().any(|(field, verdict)| *field == Field::Start && verdict.is_err()));
        assert!(Expected::read("repo\tpath\tlanguage").is_none());
    }
}
