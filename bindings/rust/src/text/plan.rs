//! A plan as a person reads it: what is decided, and below it why, and which line of which file says so.

use sh0_core::model::{ComposeService, ImagePlan, Plan, Reason};

use super::{Ink, place, plain};

/// The column of the values.
const VALUES: usize = 18;

/// Stands before what is for runtimes without images, beside the tree's own Dockerfile.
const HOST: &str = "host ";

/// A plan: every decision with its reasons, then what the owner should know. `colour` is for terminals.
///
/// ```
/// use sh0::model::{Plan, Reason};
///
/// let (what, why) = ("version = 24".to_owned(), ".nvmrc asks for it".to_owned());
/// let asked = Reason { what, why, file: Some(".nvmrc".into()), line: Some(1) };
/// let plan = Plan { language: "node".into(), version: Some("24".into()), reasons: vec![asked], ..Plan::default() };
/// let text = "language          node\nversion           24\n                    .nvmrc asks for it (.nvmrc:1)\n";
/// assert_eq!(sh0::text::plan(&plan, false), text);
/// ```
pub fn plan(plan: &Plan, colour: bool) -> String {
    let ink = Ink { colour };
    let mut rows = decided(plan);
    plan.reasons.iter().for_each(|reason| explain(&mut rows, reason));
    let mut out: String = rows.iter().map(|row| row.text(ink)).collect();
    if !plan.warnings.is_empty() {
        out.push('\n');
    }
    for warning in &plan.warnings {
        out.push_str(&format!("{} {}\n", ink.yellow("warning:"), plain(warning)));
    }
    out
}

/// One kind of decision.
struct Row<'a> {
    name: String,
    values: Vec<Value<'a>>,
    /// Reasons of the whole.
    reasons: Vec<&'a Reason>,
    /// Only the reasons tell of it: no field of the plan has it.
    told: bool,
}

/// What was decided.
struct Value<'a> {
    /// As reasons name it.
    value: String,
    /// What is to be said beside it.
    more: String,
    reasons: Vec<&'a Reason>,
}

impl<'a> Row<'a> {
    fn new(name: &str, values: impl IntoIterator<Item = String>) -> Row<'a> {
        Row::with_more(name, values.into_iter().map(|value| (value, String::new())))
    }

    fn with_more(name: &str, values: impl IntoIterator<Item = (String, String)>) -> Row<'a> {
        let values = values.into_iter().map(|(value, more)| Value { value, more, reasons: Vec::new() });
        let values: Vec<_> = values.collect();
        Row { name: name.to_owned(), told: values.is_empty(), values, reasons: Vec::new() }
    }

    fn text(&self, ink: Ink) -> String {
        let mut out = String::new();
        let why = |what: &str, reason: &Reason| {
            let place = place(reason.file.as_deref(), reason.line).map_or(String::new(), |place| format!(" ({place})"));
            let text = plain(&format!("{what}{}{place}", reason.why));
            format!("{:VALUES$}  {}\n", "", ink.dim(&text))
        };
        for (index, Value { value, more, reasons }) in self.values.iter().enumerate() {
            let name = if index == 0 { plain(&self.name) } else { String::new() };
            let name = ink.bold(&format!("{name:<width$} ", width = VALUES - 1));
            out.push_str(&format!("{name}{}\n", plain(&format!("{value}{more}"))));
            reasons.iter().for_each(|reason| out.push_str(&why("", reason)));
        }
        let whole = self.values.iter().map(|value| value.value.as_str()).collect::<Vec<_>>().join(" && ");
        for reason in &self.reasons {
            let what = match split(reason).1 {
                // `as sh0.toml says` is no value.
                value if value == whole || value.starts_with("as ") => String::new(),
                value if self.values.len() == 1 => format!("in place of {value}: "),
                value => format!("{value}: "),
            };
            out.push_str(&why(&what, reason));
        }
        out
    }
}

/// What a reason is about, and the value that was decided.
fn split(reason: &Reason) -> (&str, &str) {
    let what = reason.what.as_str();
    what.split_once(" = ").or_else(|| what.split_once(" += ")).unwrap_or(("also", what))
}

/// Puts a reason below what it explains.
fn explain<'a>(rows: &mut Vec<Row<'a>>, reason: &'a Reason) {
    let (mut name, value) = split(reason);
    if name == "processes.web" {
        name = "start_command";
    }
    let at =
        rows.iter().position(|row| row.name.strip_prefix(HOST).unwrap_or(&row.name) == name).unwrap_or_else(|| {
            rows.push(Row::new(name, []));
            rows.len() - 1
        });
    let Some(row) = rows.get_mut(at) else { return };
    // The command of a member of a workspace may have got a `cd` in front.
    let is = |known: &&mut Value<'_>| known.value == value || known.value.ends_with(&format!(" && {value}"));
    if let Some(known) = row.values.iter_mut().find(is) {
        known.reasons.push(reason);
    } else if row.told {
        row.values.push(Value { value: value.to_owned(), more: String::new(), reasons: vec![reason] });
    } else {
        row.reasons.push(reason);
    }
}

/// The fields of the plan, in the order of their questions: what is it, how is it built, how does it run.
fn decided<'a>(plan: &Plan) -> Vec<Row<'a>> {
    let Plan { language, package_manager, framework, version, install, build, release_command, start_command, .. } =
        plan;
    let spa = if plan.spa_fallback { ", where unknown paths answer index.html" } else { "" };
    let own_image = matches!(plan.image, ImagePlan::Dockerfile { .. });
    let own_web = own_image && !plan.processes.keys().any(|name| name.as_str() == "web");
    let here = |name: &str, host: bool| if host { format!("{HOST}{name}") } else { name.to_owned() };
    let mut rows = vec![
        Row::new("language", [language.clone()]),
        Row::new("version", version.clone()),
        Row::new("package_manager", package_manager.clone()),
        Row::new("framework", framework.clone()),
        Row::new(&here("install", own_image), install.clone()),
        Row::new(&here("build", own_image), build.clone()),
        Row::new("release_command", release_command.clone()),
        Row::new(&here("start_command", own_web), start_command.clone()),
    ];
    let others = plan.processes.iter().filter(|(name, _)| name.as_str() != "web");
    rows.extend(others.map(|(name, command)| Row::new(&format!("processes.{name}"), [command.clone()])));
    let (stages, caches) = image(&plan.image);
    rows.extend([
        Row::with_more("static_dir", plan.static_dir.clone().map(|dir| (dir, spa.to_owned()))),
        Row::new("port", plan.port.map(|port| port.to_string())),
        Row::new("env", plan.env.iter().map(|(name, value)| format!("{name}={value}"))),
        Row::new(&here("env", true), plan.host_env.iter().map(|(name, value)| format!("{name}={value}"))),
        Row::with_more("services", plan.services.iter().map(|(name, service)| (name.clone(), describe(service)))),
        Row::new("image", stages),
        Row::new("caches", caches),
        Row::new("without images", plan.tools.iter().map(|tool| format!("{} on the host", tool.program))),
    ]);
    rows
}

/// The stages of the image, and the folders that builds keep.
fn image(image: &ImagePlan) -> (Vec<String>, Vec<String>) {
    let text = match image {
        ImagePlan::Generated { dockerfile, .. } => dockerfile,
        ImagePlan::Dockerfile { path } => return (vec![path.to_string()], Vec::new()),
        ImagePlan::Pull => return (vec!["from a registry".to_owned()], Vec::new()),
        ImagePlan::None => return (Vec::new(), Vec::new()),
    };
    let stages = text.lines().filter_map(|line| line.strip_prefix("FROM ")).map(|from| match from.split_once(" AS ") {
        Some((base, stage)) => format!("{base}, to {stage}"),
        None => format!("{from}, to run"),
    });
    let mounts = text.split("--mount=type=cache").skip(1).filter_map(|mount| mount.split_whitespace().next());
    let targets = mounts.filter_map(|mount| mount.split(',').find_map(|part| part.strip_prefix("target=")));
    let mut caches: Vec<String> = targets.map(str::to_owned).collect();
    caches.sort_unstable();
    caches.dedup();
    (stages.collect(), caches)
}

fn describe(service: &ComposeService) -> String {
    let built = service.build.as_ref().map(|build| format!("built from {}", build.context));
    let mut text = format!(": {}", built.or_else(|| service.image.clone()).unwrap_or_else(|| "no image".to_owned()));
    for (word, list) in [("ports", &service.ports), ("after", &service.depends_on), ("volumes", &service.volumes)] {
        if !list.is_empty() {
            text.push_str(&format!("; {word} {}", list.join(", ")));
        }
    }
    text
}
