//! Compose files: several services in one tree. The plan lists them; the one that is built from the tree itself also
//! says how the image is made.

use std::collections::BTreeMap;

use sh0_core::Result;
use sh0_core::model::{ComposeBuild, ComposeService, RelPath};

use super::dockerfile::use_dockerfile;
use super::{PROVIDERS, Provider};
use crate::detect::is_dir_name;
use crate::draft::{Draft, refuse};
use crate::text::At;
use crate::tree::Files;
use crate::yaml::Yaml;

/// In the order of the Compose specification.
const NAMES: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

pub(crate) struct Compose;

impl Provider for Compose {
    fn language(&self) -> &'static str {
        "compose"
    }

    fn looks_for(&self) -> &'static str {
        "a compose file"
    }

    /// A compose file describes the tree when nothing else does, or when it builds a service from the tree's root. Beside
    /// an app, one with databases alone is for its developers, and so is one whose services read the source as they run.
    fn recognises(&self, files: Files<'_>) -> bool {
        let Some(file) = files.first(NAMES) else { return false };
        let Some(Ok(yaml)) = files.text(file).map(|text| Yaml::parse(&text)) else { return !is_app(files) };
        let services = services(&yaml);
        if services.is_empty() {
            return false;
        }
        let ships = |service: &ComposeService| own_dockerfile(files, service).is_some() && !is_development(service);
        !is_app(files) || services.values().any(|(_, service)| ships(service))
    }

    fn plan(&self, files: Files<'_>) -> Result<Draft> {
        let Some((file, text)) = files.first(NAMES).and_then(|file| Some((file, files.text(file)?))) else {
            return refuse(format!("there is no compose file; its name is one of {}", NAMES.join(", ")));
        };
        let yaml = match Yaml::parse(&text) {
            Ok(yaml) => yaml,
            Err(error) => return refuse(format!("{file} is not valid YAML: {error}")),
        };
        let services = services(&yaml);
        if services.is_empty() {
            return refuse(format!("{file} has no services; a service has at least `image` or `build`"));
        }
        let mut draft = Draft::default();
        draft.plan.language = "compose".into();
        draft.because_of("language = compose", "a compose file describes this tree", At::file(file));
        for (name, (line, service)) in &services {
            let from = match (&service.build, &service.image) {
                (Some(build), _) => format!("built from {}", build.context),
                (None, Some(image)) => image.clone(),
                (None, None) => {
                    draft.warn(format!("{file}:{line}: the service `{name}` has neither image nor build"));
                    "nothing".into()
                }
            };
            draft.because_of(format!("services += {name}"), from, At::line(file, *line));
        }
        if let Some(name) = own_image(files, file, &services, &mut draft) {
            left_out(file, &name, &yaml, &mut draft);
        }
        draft.plan.services = services.into_iter().map(|(name, (_, service))| (name, service)).collect();
        Ok(draft)
    }
}

/// Whether something else says what the tree is.
fn is_app(files: Files<'_>) -> bool {
    files.first(&["Dockerfile", "Containerfile", "dockerfile", "Procfile", "Staticfile", "index.html"]).is_some()
        || PROVIDERS
            .iter()
            .filter(|provider| !matches!(provider.language(), "compose" | "static"))
            .any(|provider| provider.recognises(files))
}

type Services = BTreeMap<String, (u32, ComposeService)>;

/// The services by name, with their lines. What compose itself would not take is left out.
fn services(yaml: &Yaml) -> Services {
    let named = yaml.get(&["services"]).map(Yaml::entries).unwrap_or_default();
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let services = named.iter().filter(|(key, value)| is_name(&key.name) && !value.entries().is_empty());
    services.map(|(key, value)| (key.name.clone(), (key.line, service(value)))).collect()
}

fn service(yaml: &Yaml) -> ComposeService {
    let text = |path: &[&str]| yaml.get(path).and_then(Yaml::text).map(str::to_owned);
    let list = |key: &str| yaml.get(&[key]).map(Yaml::list).unwrap_or_default();
    let build = yaml.get(&["build"]).map(|build| ComposeBuild {
        context: context(build.text().or_else(|| build.get(&["context"]).and_then(Yaml::text)).unwrap_or(".")),
        dockerfile: text(&["build", "dockerfile"]),
        target: text(&["build", "target"]),
    });
    let depends_on = match yaml.get(&["depends_on"]) {
        Some(after) if !after.list().is_empty() => {
            after.list().iter().filter_map(Yaml::text).map(str::to_owned).collect()
        }
        Some(after) => after.entries().iter().map(|(key, _)| key.name.clone()).collect(),
        None => Vec::new(),
    };
    ComposeService {
        image: text(&["image"]),
        build,
        ports: list("ports").iter().filter_map(port).collect(),
        volumes: list("volumes").iter().filter_map(volume).collect(),
        depends_on,
    }
}

/// `./backend/` is `backend`; the tree itself is `.`.
fn context(text: &str) -> String {
    let path = text.trim().trim_start_matches("./").trim_end_matches('/');
    if path.is_empty() { ".".to_owned() } else { path.to_owned() }
}

/// Both ways to write one, as `PUBLISHED:TARGET`.
fn port(yaml: &Yaml) -> Option<String> {
    if let Some(text) = yaml.text() {
        return Some(text.to_owned());
    }
    let part = |key: &str| yaml.get(&[key]).and_then(Yaml::text);
    let target = part("target")?;
    let protocol = part("protocol").filter(|protocol| *protocol != "tcp").map(|protocol| format!("/{protocol}"));
    let published = part("published").map(|published| format!("{published}:")).unwrap_or_default();
    let host = part("host_ip").map(|host| format!("{host}:")).unwrap_or_default();
    Some(format!("{host}{published}{target}{}", protocol.unwrap_or_default()))
}

/// Both ways to write one, as `SOURCE:TARGET`.
fn volume(yaml: &Yaml) -> Option<String> {
    if let Some(text) = yaml.text() {
        return Some(text.to_owned());
    }
    let target = yaml.get(&["target"])?.text()?;
    let source = yaml.get(&["source"]).and_then(Yaml::text).map(|source| format!("{source}:")).unwrap_or_default();
    Some(format!("{source}{target}"))
}

/// The Dockerfile of a service that is built from the tree itself, if it is there.
fn own_dockerfile(files: Files<'_>, service: &ComposeService) -> Option<String> {
    let build = service.build.as_ref().filter(|build| build.context == ".")?;
    let file = match &build.dockerfile {
        Some(file) => context(file),
        None => files.first(&["Dockerfile", "Containerfile"])?.to_owned(),
    };
    (is_dir_name(&file) && files.is_file(&file)).then_some(file)
}

/// Whether a service is for those who write the app: it reads their source as it runs, or is built for that.
fn is_development(service: &ComposeService) -> bool {
    let mounted = |volume: &String| {
        let source = volume.split(':').next().unwrap_or_default();
        matches!(source, "." | "./" | "$PWD" | "${PWD}")
    };
    let build = service.build.as_ref();
    let names = build.into_iter().flat_map(|build| build.dockerfile.iter().chain(&build.target));
    let meant = |name: &String| {
        let lower = name.to_ascii_lowercase();
        let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| matches!(word, "dev" | "develop" | "development" | "local" | "test"))
    };
    service.volumes.iter().any(mounted) || names.into_iter().any(meant)
}

/// How far a service is from being the one that people visit.
fn distance(name: &str, service: &ComposeService) -> (bool, bool, bool) {
    const VISITED: &[&str] = &["web", "app", "server", "api", "backend", "site", "www", "django", "rails"];
    let visited = name.split(['-', '_', '.']).any(|word| VISITED.contains(&word));
    (is_development(service), service.ports.is_empty(), !visited)
}

/// The service that people visit, of those that are built from the tree itself, can be deployed as it is. Answers its name.
fn own_image(files: Files<'_>, file: &str, services: &Services, draft: &mut Draft) -> Option<String> {
    let built = services.iter().filter_map(|(name, (line, service))| {
        let dockerfile = own_dockerfile(files, service)?;
        Some((name, *line, service, dockerfile))
    });
    let (name, line, service, dockerfile) =
        built.min_by_key(|(name, line, service, _)| (distance(name, service), *line))?;
    let path = dockerfile.parse::<RelPath>().ok()?;
    if !use_dockerfile(files, Some(&path), draft) {
        return None;
    }
    if let Some(port) = service.ports.first().and_then(|port| inner(port)) {
        draft.because_of(format!("port = {port}"), format!("the service `{name}` publishes it"), At::line(file, line));
        draft.plan.port = Some(port);
    }
    let others: Vec<&str> = services.keys().filter(|other| *other != name).map(String::as_str).collect();
    if !others.is_empty() {
        draft.warn(format!(
            "{file}: a deploy starts `{name}`, which is built from this folder, and nothing else; add {} as apps or databases of their own",
            others.join(", ")
        ));
    }
    Some(name.clone())
}

/// A compose file for those who write the app: the port of the app's service counts where its Dockerfile names none, and
/// what else the file starts is named.
pub(crate) fn passed_over(files: Files<'_>, draft: &mut Draft) {
    let Some((file, text)) = files.first(NAMES).and_then(|file| Some((file, files.text(file)?))) else { return };
    let Ok(yaml) = Yaml::parse(&text) else { return };
    let services = services(&yaml);
    let own = |service: &ComposeService| own_dockerfile(files, service).is_some();
    let built = services.iter().filter(|(_, (_, service))| own(service));
    let Some((name, (line, service))) = built.min_by_key(|(name, (line, service))| (distance(name, service), *line))
    else {
        return;
    };
    if let (Some(port), true) = (service.ports.first().and_then(|port| inner(port)), draft.plan.port.is_none()) {
        draft.because_of(format!("port = {port}"), format!("the service `{name}` publishes it"), At::line(file, *line));
        draft.plan.port = Some(port);
    }
    let others = services.iter().filter(|(_, (_, service))| !own(service)).map(|(name, _)| name.as_str());
    let others: Vec<&str> = others.collect();
    if !others.is_empty() {
        draft.warn(format!(
            "{file} is for those who write the app, and is left out; add {} as apps or databases of their own",
            others.join(", ")
        ));
    }
}

/// Says what the file has of the deployed service beside its image and its port: an owner sets that in the app.
fn left_out(file: &str, name: &str, yaml: &Yaml, draft: &mut Draft) {
    const KEYS: &[(&str, &str)] = &[
        ("command", "`start_command` in sh0.toml"),
        ("entrypoint", "`start_command` in sh0.toml"),
        ("environment", "`sh0 env set`"),
        ("env_file", "`sh0 env import`"),
        ("volumes", "`sh0 volumes add`"),
    ];
    let Some(service) = yaml.get(&["services", name]) else { return };
    let said = KEYS.iter().filter(|(key, _)| service.get(&[key]).is_some());
    let said: Vec<String> = said.map(|(key, instead)| format!("{key} ({instead})")).collect();
    if !said.is_empty() {
        draft.warn(format!("{file}: of `{name}`, a deploy does not take over: {}", said.join(", ")));
    }
    for key in ["args", "target"] {
        if service.get(&["build", key]).is_some() {
            draft.warn(format!(
                "{file}: `build.{key}` of `{name}` is not heard: the last stage is built, without arguments"
            ));
        }
    }
}

/// The port inside of the container: behind the last colon.
fn inner(port: &str) -> Option<u16> {
    let port = port.rsplit(':').next()?.trim_end_matches('}');
    port.split('/').next()?.parse().ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{MemoryTree, Options, plan_tree};

    /// What the fixture `several-services` would be, could it be deployed.
    #[test]
    fn services_can_be_read() {
        let text = include_str!("fixtures/several-services/compose.yaml");
        let tree = MemoryTree::from([("compose.yaml", text), ("backend/Dockerfile", "FROM debian:bookworm-slim\n")]);
        let plan = plan_tree(&tree, &Default::default(), &Options::default()).unwrap();
        assert_eq!(plan.services.keys().collect::<Vec<_>>(), ["backend", "db", "proxy"]);
        let (backend, db, proxy) = (&plan.services["backend"], &plan.services["db"], &plan.services["proxy"]);
        assert_eq!(backend.build.as_ref().unwrap().context, "backend");
        assert_eq!((backend.image.as_deref(), backend.depends_on.as_slice()), (None, ["db".to_owned()].as_slice()));
        assert_eq!(
            (db.image.as_deref(), db.volumes.as_slice()),
            (Some("postgres:17"), ["data:/var/lib/postgresql/data".to_owned()].as_slice())
        );
        assert_eq!(proxy.ports, ["80:80", "8443:443"]);
        assert_eq!(proxy.volumes, ["./proxy/nginx.conf:/etc/nginx/nginx.conf"]);
        assert!(!serde_json::to_string(&plan).unwrap().contains("hidden"), "variables may be secret");
    }

    #[test]
    fn ports_inside() {
        for (written, port) in [
            ("8080:80", Some(80)),
            ("127.0.0.1:5000:5000/tcp", Some(5000)),
            ("3000", Some(3000)),
            ("${P:-80}:81", Some(81)),
            ("8000-8010:9000-9010", None),
        ] {
            assert_eq!(inner(written), port, "{written}");
        }
    }
}
