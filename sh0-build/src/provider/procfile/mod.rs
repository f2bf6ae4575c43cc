//! `Procfile`: one line a process type, `name: command`. It overrides what any language says; `release` runs before
//! each switch. A tree with nothing but a Procfile is a shell app.

use std::collections::BTreeMap;

use sh0_core::model::{ProcessName, suggest_label};

use crate::draft::Draft;
use crate::images;
use crate::text::{At, lines};
use crate::tree::Files;

/// More processes than this are left out.
const MAX_PROCESSES: usize = 200;

/// What a Procfile says.
#[derive(Default)]
pub(crate) struct Procfile {
    processes: Vec<(u32, String, String)>,
    warnings: Vec<String>,
}

impl Procfile {
    /// `None` when there is none, or nothing in it.
    pub(crate) fn read(files: Files<'_>) -> Option<Procfile> {
        let text = files.text("Procfile")?;
        let mut procfile = Procfile::default();
        for (number, line) in lines(&text) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if procfile.processes.len() == MAX_PROCESSES {
                procfile.warnings.push(format!(
                    "Procfile:{number} and what follows is left out: it names more than {MAX_PROCESSES} processes"
                ));
                break;
            }
            match line.split_once(':').map(|(name, command)| (name.trim(), command.trim())) {
                Some((name, command)) if is_name(name) && !command.is_empty() => {
                    procfile.processes.push((number, name.to_owned(), command.to_owned()));
                }
                _ => procfile.warnings.push(format!("Procfile:{number} is not `name: command` and is left out")),
            }
        }
        (!procfile.processes.is_empty()).then_some(procfile)
    }

    /// What `web` runs, else what the first process does.
    pub(crate) fn main(&self) -> Option<&str> {
        let web = self.processes.iter().find(|(_, name, _)| name == "web");
        web.or(self.processes.first()).map(|(_, _, command)| command.as_str())
    }

    /// Puts its processes in place of the detected ones. Without `web` nothing listens, unless `release` is all it has.
    pub(crate) fn apply(self, draft: &mut Draft) {
        draft.plan.warnings.extend(self.warnings);
        let mut processes = BTreeMap::new();
        for (line, name, command) in self.processes {
            let at = At::line("Procfile", line);
            let mut why = "Procfile says so".to_owned();
            let mut said = command.clone();
            for other in &draft.recipe.stand_ins {
                if let Some(runs) = other.of(&said) {
                    why = format!("stands for `{command}`, {}", other.why);
                    said = runs;
                }
            }
            let command = said;
            if name.eq_ignore_ascii_case("release") {
                draft.because_of(format!("release_command = {command}"), why, at);
                draft.plan.release_command = Some(command);
                continue;
            }
            let label = suggest_label(&name);
            let Ok(process) = label.parse::<ProcessName>() else { continue };
            if label != name {
                draft.warn(format!(
                    "Procfile:{line}: the process type `{name}` is called `{label}`: names are DNS labels"
                ));
            }
            if processes.contains_key(&process) {
                draft.warn(format!("Procfile:{line}: a second `{label}` is left out"));
                continue;
            }
            draft.because_of(format!("processes.{label} = {command}"), why, at);
            processes.insert(process, command);
        }
        if processes.is_empty() {
            return;
        }
        draft.plan.start_command = processes.iter().find(|(name, _)| name.as_str() == "web").map(|(_, c)| c.clone());
        if draft.plan.start_command.is_none() {
            draft.because("port = none", "Procfile has no `web`: nothing listens");
        }
        draft.plan.static_dir = None;
        draft.plan.spa_fallback = false;
        draft.plan.processes = processes;
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 63 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// A tree without a language, whose commands somebody wrote down.
pub(crate) fn shell_plan() -> Draft {
    let mut draft = Draft::default();
    draft.plan.language = "shell".into();
    draft.recipe.run = Some((&images::DEBIAN, images::DEBIAN.default.to_owned()));
    draft
}
