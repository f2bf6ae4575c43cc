//! Compose files.

use sh0_core::model::{Category::Compose, Severity};

use super::context::Context;
use super::eol;
use super::judge::{entropy, is_everyday_password, is_placeholder, is_reference, is_secret_name};
use super::rule::{Check, Hits, Rule};
use crate::yaml::{Value, Yaml};

/// What is a password of a compose file is no general secret besides.
pub(super) const PASSWORD: &str = "CMP04";

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "CMP01",
        name: "invalid-compose",
        category: Compose,
        severity: Severity::Critical,
        title: "A compose file cannot be used",
        why: "Nothing of it starts.",
        fix: "Mend the line.",
        check: Check::Tree(invalid),
    },
    Rule {
        id: "CMP02",
        name: "host-access",
        category: Compose,
        severity: Severity::High,
        title: "A service reaches into the host",
        why: "Docker's socket, privileged mode and folders of the host hand the whole machine to whoever breaks into the service.",
        fix: "Use named volumes and published ports; leave out privileged, the host's network and the socket.",
        check: Check::Tree(host_access),
    },
    Rule {
        id: "CMP03",
        name: "compose-latest-image",
        category: Compose,
        severity: Severity::Low,
        title: "A service's image has no version",
        why: "The next pull can bring a new major version, and for a database that can mean data it cannot read.",
        fix: "Name a version: `postgres:17`.",
        check: Check::Tree(latest),
    },
    Rule {
        id: PASSWORD,
        name: "compose-password",
        category: Compose,
        severity: Severity::High,
        title: "A password is written into a compose file",
        why: "It is in the repository and its history, and the same for everybody who runs it.",
        fix: "Write `${DB_PASSWORD}` and set the variable, or use `secrets:`.",
        check: Check::Tree(password),
    },
    Rule {
        id: "CMP05",
        name: "published-database",
        category: Compose,
        severity: Severity::Medium,
        title: "A database is published on every address of the host",
        why: "Docker opens the port past the firewall, and robots try passwords on it within hours.",
        fix: "Leave `ports` out: other services reach it by its name. For your own machine: `127.0.0.1:5432:5432`.",
        check: Check::Tree(published_database),
    },
    Rule {
        id: "CMP06",
        name: "compose-eol-image",
        category: Compose,
        severity: Severity::Medium,
        title: "A service's image is past its end of life",
        why: "Holes that are found in it stay open: nobody makes fixes for it any more.",
        fix: "Move to a version that still gets fixes; for a database, dump the data first.",
        check: Check::Tree(eol_image),
    },
];

/// The services of every compose file that can be read: file, name, its line, the service.
fn services<'c>(cx: &'c Context<'_>) -> impl Iterator<Item = (&'c str, &'c str, u32, &'c Yaml)> {
    cx.composes()
        .iter()
        .filter_map(|(path, yaml)| Some((path.as_str(), yaml.as_ref().ok()?.get(&["services"])?)))
        .flat_map(|(path, services)| {
            services.entries().iter().map(move |(key, service)| (path, key.name.as_str(), key.line, service))
        })
}

/// The stages of a Dockerfile that services are built from; `None` for its last one.
pub(super) fn targets<'c>(cx: &'c Context<'_>, dockerfile: &str) -> Vec<Option<&'c str>> {
    let of_service = |service: &'c Yaml| {
        let build = service.get(&["build"])?;
        let said = |key: &str| build.get(&[key]).and_then(Yaml::text);
        let folder = build.text().or_else(|| said("context")).unwrap_or(".");
        let folder = folder.trim_start_matches("./").trim_matches('/');
        let name = said("dockerfile").unwrap_or("Dockerfile").trim_start_matches("./");
        let path = if matches!(folder, "" | ".") { name.to_owned() } else { format!("{folder}/{name}") };
        (path == dockerfile).then(|| said("target"))
    };
    services(cx).filter_map(|(.., service)| of_service(service)).collect()
}

fn invalid(cx: &Context<'_>, hits: &mut Hits) {
    for (path, yaml) in cx.composes() {
        let yaml = match yaml {
            Ok(yaml) => yaml,
            Err(error) => {
                let line = error.strip_prefix("line ").and_then(|rest| rest.split(':').next()?.parse().ok());
                hits.at(path, line, error);
                continue;
            }
        };
        let Some((key, services)) = yaml.entry("services") else {
            if yaml.entry("include").is_none() && yaml.entry("version").is_some() {
                hits.at(path, 1, "there are no services");
            }
            continue;
        };
        if !matches!(services.value, Value::Map(_)) {
            hits.at(path, key.line, "`services` is not a map of names");
            continue;
        }
        // Names may come from what is included or extended, and overrides are parts of a whole.
        let whole = yaml.entry("include").is_none() && !path.contains("override") && cx.composes().len() == 1;
        for (name, service) in services.entries() {
            let source = ["image", "build", "extends", "provider"].iter().any(|key| service.entry(key).is_some());
            if whole && !source && !service.entries().is_empty() {
                hits.at(path, name.line, format!("service {} has neither `image` nor `build`", name.name));
            }
            let Some(needs) = service.get(&["depends_on"]) else { continue };
            let listed = needs.list().iter().filter_map(|entry| Some((entry.line, entry.text()?)));
            let keyed = needs.entries().iter().map(|(key, _)| (key.line, key.name.as_str()));
            for (line, needed) in listed.chain(keyed) {
                if whole && services.entry(needed).is_none() {
                    hits.at(path, line, format!("{} depends on `{needed}`, which is no service", name.name));
                }
            }
        }
    }
}

fn host_access(cx: &Context<'_>, hits: &mut Hits) {
    for (path, name, line, service) in services(cx) {
        if let Some((key, value)) = service.entry("privileged")
            && value.text() == Some("true")
        {
            hits.at(path, key.line, format!("{name} is privileged"));
        }
        for key in ["network_mode", "pid", "ipc"] {
            if let Some((key, value)) = service.entry(key)
                && value.text() == Some("host")
            {
                hits.at(path, key.line, format!("{name} shares the host's {}", key.name));
            }
        }
        for volume in service.get(&["volumes"]).map(Yaml::list).unwrap_or_default() {
            let source = match volume.get(&["source"]).and_then(Yaml::text) {
                Some(source) => source,
                // Without a colon it is a volume without a name.
                None => {
                    volume.text().and_then(|text| text.split_once(':')).map(|(source, _)| source).unwrap_or_default()
                }
            };
            let line = if volume.line > 0 { volume.line } else { line };
            let read_only = volume.text().is_some_and(|text| text.ends_with(":ro"));
            let harmless =
                ["/etc/localtime", "/etc/timezone", "/dev/", "/tmp/.X11"].iter().any(|known| source.starts_with(known));
            if source.contains("docker.sock") {
                hits.at(path, line, format!("{name} gets Docker's socket"));
            } else if (source.starts_with('/') || source.starts_with('~')) && !harmless {
                hits.at(path, line, format!("{name} gets {source} of the host"));
                if read_only {
                    hits.severity(Severity::Medium);
                }
            }
        }
    }
}

fn image(service: &Yaml) -> Option<(u32, &str)> {
    let (key, value) = service.entry("image")?;
    Some((key.line, value.text()?))
}

fn latest(cx: &Context<'_>, hits: &mut Hits) {
    for (path, name, _, service) in services(cx) {
        // With `build`, the name is what is built.
        if service.entry("build").is_some() {
            continue;
        }
        let Some((line, image)) = image(service) else { continue };
        let tag = image.rsplit('/').next().unwrap_or(image).split_once(':').map(|(_, tag)| tag);
        if !image.contains(['@', '$']) && matches!(tag, None | Some("" | "latest")) {
            hits.at(path, line, format!("{name}: {image}"));
        }
    }
}

fn eol_image(cx: &Context<'_>, hits: &mut Hits) {
    let today = cx.today();
    for (path, name, _, service) in services(cx) {
        if let Some((line, image)) = image(service)
            && let Some((what, day)) = eol::image_ended(image, &today)
        {
            hits.at(path, line, format!("{name}: {what} ended on {day}"));
        }
    }
}

fn password(cx: &Context<'_>, hits: &mut Hits) {
    for (path, name, _, service) in services(cx) {
        let Some(environment) = service.get(&["environment"]) else { continue };
        let listed = environment.list().iter().filter_map(|entry| {
            let (key, value) = entry.text()?.split_once('=')?;
            Some((entry.line, key.to_owned(), value.to_owned()))
        });
        let keyed = environment
            .entries()
            .iter()
            .filter_map(|(key, value)| Some((key.line, key.name.clone(), value.text()?.to_owned())));
        for (line, key, value) in listed.chain(keyed) {
            let default = default_of(&value);
            let value = default.unwrap_or(&value);
            let switch = matches!(value, "" | "true" | "false" | "yes" | "no" | "0" | "1");
            if !is_secret_name(&key) && !key.ends_with("PASSWORD")
                || is_reference(value)
                || switch
                || value.starts_with("/run/secrets")
            {
                continue;
            }
            let literal = if default.is_some() { "default" } else { "value" };
            hits.at(path, line, format!("{name}: {key} has a literal {literal}"));
            if is_everyday_password(value) {
                hits.severity(Severity::Medium);
            }
        }
    }
}

/// The key of `${NAME:-KEY}` that counts wherever nobody sets the variable; a word there is for a try at home.
fn default_of(value: &str) -> Option<&str> {
    let (name, default) = value.strip_prefix("${")?.strip_suffix('}')?.split_once('-')?;
    let name = name.trim_end_matches(':');
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (plain && default.len() >= 24 && entropy(default) > 3.0 && !is_placeholder(default)).then_some(default)
}

/// Databases by their port.
const DATABASES: &[(&str, &str)] = &[
    ("5432", "PostgreSQL"),
    ("3306", "MySQL"),
    ("6379", "Redis"),
    ("27017", "MongoDB"),
    ("9200", "Elasticsearch"),
    ("11211", "memcached"),
    ("1433", "SQL Server"),
    ("5984", "CouchDB"),
];

fn published_database(cx: &Context<'_>, hits: &mut Hits) {
    for (path, name, _, service) in services(cx) {
        for port in service.get(&["ports"]).map(Yaml::list).unwrap_or_default() {
            let (address, target) = match port.get(&["target"]).and_then(Yaml::text) {
                Some(target) => {
                    (port.get(&["host_ip"]).and_then(Yaml::text).unwrap_or_default().to_owned(), target.to_owned())
                }
                None => {
                    let text = port.text().unwrap_or_default();
                    let parts: Vec<&str> = text.split('/').next().unwrap_or(text).rsplitn(3, ':').collect();
                    (
                        parts.get(2).copied().unwrap_or_default().to_owned(),
                        parts.first().copied().unwrap_or_default().to_owned(),
                    )
                }
            };
            let local =
                address.starts_with("127.") || address == "localhost" || address == "[::1]" || address.contains('$');
            if let (Some((_, database)), false) = (DATABASES.iter().find(|(number, _)| *number == target), local) {
                hits.at(path, port.line, format!("{name}: {database} on port {target}"));
            }
        }
    }
}
