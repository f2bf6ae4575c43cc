//! Exports: the app's plan and settings as the files of another platform.
//!
//! What the other platform cannot carry is said: in comments of the file where its format has them, and in
//! [`Export::notes`] always. Secrets are references: their values never leave.

mod cloud_run;
mod compose;
mod dockerfile;
mod ecs;
mod kubernetes;
mod railway;
mod render_yaml;
mod vercel;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use sh0_core::model::{EnvKey, Export, ExportFile, ExportTarget, ImagePlan, exec_line, shell};
use sh0_core::traits::{ExportEnv, ExportInput};

use crate::DEFAULT_PORT;
use crate::draft::{open_env, secret_env};

/// What an exporter writes.
#[derive(Default)]
struct Written {
    /// Path and text.
    files: BTreeMap<String, String>,
    notes: Vec<String>,
}

/// The app as the files of another platform. The same input gives the same files. What the plan warns of is among the
/// notes.
///
/// ```
/// use sh0_build::{ExportInput, ExportTarget, MemoryTree, Options, export, plan_tree};
/// use sh0_core::model::AppSettings;
///
/// let tree = MemoryTree::from([("package.json", r#"{ "scripts": { "start": "node a.js" } }"#), ("a.js", "")]);
/// let settings = AppSettings::default();
/// let plan = plan_tree(&tree, &settings, &Options::default())?;
/// let name = "shop".parse()?;
/// let input = ExportInput {
///     name: &name, plan: &plan, settings: &settings, scale: Default::default(), env: Default::default(),
///     domains: vec![], crons: vec![], image: None,
/// };
/// let files = export(&input, ExportTarget::Compose);
/// assert!(files.file("compose.yaml").is_some_and(|text| text.contains("services:")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(input: &ExportInput<'_>, target: ExportTarget) -> Export {
    let app = App::new(input, target);
    let Written { files, mut notes } = match target {
        ExportTarget::Compose => compose::export(&app),
        ExportTarget::Kubernetes => kubernetes::export(&app),
        ExportTarget::Ecs => ecs::export(&app),
        ExportTarget::CloudRun => cloud_run::export(&app),
        ExportTarget::Vercel => vercel::export(&app),
        ExportTarget::Railway => railway::export(&app),
        ExportTarget::Render => render_yaml::export(&app),
    };
    let mut files: Vec<ExportFile> = files.into_iter().map(|(path, contents)| ExportFile { path, contents }).collect();
    files.sort_by_key(|file| (file.is_build(), file.path == ".dockerignore"));
    notes.extend(input.plan.warnings.iter().cloned());
    Export { target, files, notes }
}

/// The input, with what every target asks for worked out.
struct App<'a> {
    input: &'a ExportInput<'a>,
    target: ExportTarget,
    name: String,
    port: u16,
    processes: Vec<Process>,
    release: Option<String>,
}

/// Seconds between probes, seconds for one, and how many may fail while the app starts.
struct Probing {
    period: u64,
    timeout: u64,
    tries: u64,
}

/// One process type.
struct Process {
    name: String,
    /// The image's own command when absent.
    command: Option<String>,
    replicas: u32,
    /// It is reached from outside.
    web: bool,
}

impl<'a> App<'a> {
    fn new(input: &'a ExportInput<'a>, target: ExportTarget) -> App<'a> {
        let plan = input.plan;
        let replicas = |name: &str, usual: u32| {
            input.scale.iter().find(|(known, _)| known.as_str() == name).map_or(usual, |(_, count)| *count)
        };
        let mut processes: Vec<Process> = plan
            .processes
            .iter()
            .map(|(name, command)| Process {
                name: name.as_str().to_owned(),
                command: Some(command.clone()),
                replicas: replicas(name.as_str(), name.usual_scale()),
                web: name.as_str() == "web",
            })
            .collect();
        // An image may know its command; files need none.
        let own = matches!(plan.image, ImagePlan::Dockerfile { .. } | ImagePlan::Pull) || plan.static_dir.is_some();
        if !processes.iter().any(|process| process.web) && (own || plan.start_command.is_some()) {
            let command = input.settings.start_command.clone().or(plan.start_command.clone().filter(|_| !own));
            processes.insert(0, Process { name: "web".into(), command, replicas: replicas("web", 1), web: true });
        }
        processes.sort_by_key(|process| (!process.web, process.name.clone()));
        App {
            input,
            target,
            name: input.name.as_str().to_owned(),
            port: input.settings.port.or(plan.port).unwrap_or(DEFAULT_PORT),
            processes,
            release: input.settings.release_command.clone().or(plan.release_command.clone()),
        }
    }

    /// The image of platforms that only take images.
    fn image(&self, notes: &mut Vec<String>) -> String {
        match &self.input.image {
            Some(image) => image.clone(),
            None => {
                let image = format!("registry.example.com/{}:latest", self.name);
                notes.push(format!("Build the image, push it to a registry, and put its name in place of {image}."));
                image
            }
        }
    }

    /// The plan's variables and the app's, the app's own winning; `PORT` too.
    fn plain_env(&self) -> BTreeMap<String, String> {
        let plan = open_env(self.input.plan, self.port);
        let mut env: BTreeMap<_, _> = plan.map(|(key, value)| (key.to_string(), value)).collect();
        env.insert("PORT".into(), self.port.to_string());
        for (key, value) in &self.input.env {
            match value {
                ExportEnv::Plain(value) => env.insert(key.as_str().to_owned(), value.clone()),
                ExportEnv::Secret => env.remove(key.as_str()),
            };
        }
        env
    }

    /// The app's, and those that the tree writes down.
    fn secrets(&self) -> impl Iterator<Item = &str> {
        let env = &self.input.env;
        let written = secret_env(self.input.plan).filter(|key| !env.contains_key(*key));
        let secret = |(key, value): (&'a EnvKey, &'a ExportEnv)| (*value == ExportEnv::Secret).then_some(key);
        let all: BTreeSet<&EnvKey> = env.iter().filter_map(secret).chain(written).collect();
        all.into_iter().map(EnvKey::as_str)
    }

    /// Those that run, for platforms that have no service without an instance; the others are said to be left out.
    fn running(&self, notes: &mut Vec<String>) -> Vec<&Process> {
        let (running, idle): (Vec<_>, Vec<_>) =
            self.processes.iter().partition(|process| process.web || process.replicas > 0);
        notes.extend(idle.iter().map(|process| {
            let command = process.command.as_deref().unwrap_or_default();
            format!("{} is left out: it runs no instance. Run it by hand: `{command}`.", process.name)
        }));
        running
    }

    /// The Dockerfile to build from, and the files that have to be written for it. Compose builds with BuildKit; other
    /// builders know no mounts, or want names of their own in them.
    fn dockerfile(&self, files: &mut BTreeMap<String, String>, notes: &mut Vec<String>) -> Option<String> {
        let mounts = self.target == ExportTarget::Compose;
        let given = self.build_secrets().into_iter().collect::<Vec<_>>().join(", ");
        let told = |rest: &str| {
            (!mounts && !given.is_empty()).then(|| format!("sh0 gives these to the build as secrets{rest}"))
        };
        let path = match &self.input.plan.image {
            ImagePlan::Dockerfile { path } => {
                notes.extend(told(&format!(": {given}. Give the build those that {path} mounts.")));
                path.as_str().to_owned()
            }
            ImagePlan::Generated { dockerfile, dockerignore } => {
                notes.extend(told(&format!(
                    ", and this Dockerfile does not: {given}. Add them where a step needs one."
                )));
                let text = dockerfile::exported(dockerfile, mounts);
                let files_alone = self.input.plan.static_dir.is_some();
                let text = if files_alone { dockerfile::served(&text, self.input.plan.spa_fallback) } else { text };
                files.insert("Dockerfile".into(), text);
                files.insert(".dockerignore".into(), dockerignore.clone());
                "Dockerfile".into()
            }
            _ => return None,
        };
        let builds = matches!(self.target, ExportTarget::Compose | ExportTarget::Railway | ExportTarget::Render);
        if builds || !files.is_empty() {
            notes.push(format!("The image is built in {}: these files belong there.", self.source_folder()));
        }
        Some(path)
    }

    /// The variables that a build gets as secrets, if it asks for them.
    fn build_secrets(&self) -> BTreeSet<&str> {
        match &self.input.plan.image {
            ImagePlan::Generated { dockerfile, .. } => dockerfile::mounted_secrets(dockerfile),
            ImagePlan::Dockerfile { .. } => self.secrets().collect(),
            _ => BTreeSet::new(),
        }
    }

    fn source_folder(&self) -> String {
        match &self.input.plan.root {
            Some(root) => format!("the folder {root} of the source"),
            None => "the folder of the source".into(),
        }
    }

    /// The key of a whole command line. An image that sh0 does not write may have an entry point, which would get it as
    /// arguments: there it takes that one's place, as on a platform of sh0's.
    fn command_key(&self, command: &'static str, entrypoint: &'static str) -> &'static str {
        let own = matches!(self.input.plan.image, ImagePlan::Dockerfile { .. } | ImagePlan::Pull);
        if own { entrypoint } else { command }
    }

    /// A command for a container: the words of a shell.
    fn shell(command: &str) -> [String; 3] {
        shell(exec_line(command))
    }

    /// The same as one line, for platforms that split a line into words and start no shell of their own.
    fn line(command: &str) -> String {
        App::shell(command).map(|word| crate::draft::quote(&word)).join(" ")
    }

    /// The host names, each once.
    fn hosts(&self) -> Vec<&str> {
        let hosts: BTreeSet<&str> = self.input.domains.iter().map(|domain| domain.host.as_str()).collect();
        hosts.into_iter().collect()
    }

    /// Says of which hosts only a path leads to the app, for platforms that know whole hosts.
    fn note_paths(&self, notes: &mut Vec<String>) {
        let domains = &self.input.domains;
        let whole = |host: &str| domains.iter().any(|domain| domain.host == host && domain.path.is_none());
        notes.extend(domains.iter().filter(|domain| !whole(&domain.host)).filter_map(|domain| {
            let path = domain.path.as_deref()?;
            Some(format!("{} leads to the app at {path} only; this has the whole host.", domain.host))
        }));
    }

    /// The names of the variables that no file of an export carries: the app's, secrets of the tree, and all that the plan
    /// has, where no Dockerfile of sh0 sets them.
    fn variables_beside(&self, dockerfile: bool) -> Vec<&str> {
        let plan = self.input.plan.env.keys().filter(|key| !dockerfile && key.as_str() != "PORT");
        let keys = plan.chain(self.input.env.keys()).map(EnvKey::as_str).chain(self.secrets());
        keys.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The health check in whole seconds. No probe begins before the one before it may have ended.
    fn probing(&self) -> Probing {
        let health = &self.input.settings.health;
        let timeout = health.timeout.0.div_ceil(1000).max(1);
        let period = health.interval.0.div_ceil(1000).max(timeout);
        let tries = health.start_period.0.div_ceil(period * 1000).max(1) + u64::from(health.retries);
        Probing { period, timeout, tries }
    }

    fn health_path(&self) -> Option<String> {
        self.input.settings.health.path.as_ref().map(|path| path.as_str().to_owned())
    }

    fn stop_seconds(&self) -> u64 {
        self.input.settings.stop_grace().0.div_ceil(1000).max(1)
    }

    fn memory_mib(&self) -> Option<u64> {
        self.input.settings.resources.memory.map(|memory| memory.0.div_ceil(1 << 20).max(1))
    }

    fn millicpus(&self) -> Option<u64> {
        self.input.settings.resources.cpus.map(|cpus| u64::from(cpus.0))
    }

    /// Volumes: name and path.
    fn volumes(&self) -> Vec<(&str, &str)> {
        self.input.settings.volumes.iter().map(|volume| (volume.name.as_str(), volume.path.as_str())).collect()
    }

    /// The note of every file.
    fn headline(&self, target: &str) -> String {
        match &self.input.plan.root {
            Some(root) => format!("{} for {target}, exported by sh0; for the folder {root} of the source.", self.name),
            None => format!("{} for {target}, exported by sh0.", self.name),
        }
    }
}
