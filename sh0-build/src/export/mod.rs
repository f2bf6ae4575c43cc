//! Exports: the app's plan and settings as the files of another platform.
//!
//! What the other platform cannot carry is said: in comments of the file where its format has them, and in
//! [`Export::notes`] always. Secrets are references: their values never leave.

mod cloud_run;
mod compose;
mod ecs;
mod kubernetes;
mod railway;
mod render_yaml;
mod vercel;
mod yaml;

use std::collections::BTreeMap;

use sh0_core::Error;
use sh0_core::model::{AppName, AppSettings, EnvKey, ImagePlan, Plan, ProcessName, exec_line, shell};

use crate::DEFAULT_PORT;

/// What is exported.
#[derive(Debug, Clone)]
pub struct ExportInput<'a> {
    /// The app's name.
    pub name: &'a AppName,
    /// How it is built and started.
    pub plan: &'a Plan,
    /// Its port, health check, resources, volumes and release command.
    pub settings: &'a AppSettings,
    /// How many instances of each process; 1 when absent.
    pub scale: BTreeMap<ProcessName, u32>,
    /// Its variables.
    pub env: BTreeMap<EnvKey, ExportEnv>,
    /// Its host names.
    pub domains: Vec<String>,
    /// What runs at fixed times.
    pub crons: Vec<ExportCron>,
    /// The image, for platforms that only take images; a name to fill in when absent.
    pub image: Option<String>,
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportEnv {
    /// As it is.
    Plain(String),
    /// Only its name is exported.
    Secret,
}

/// A command that runs at fixed times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportCron {
    /// Its name: lower-case letters, digits and dashes.
    pub name: String,
    /// When, in the five fields of cron.
    pub schedule: String,
    /// What.
    pub command: String,
}

/// Another platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportTarget {
    /// Docker Compose.
    Compose,
    /// Kubernetes.
    Kubernetes,
    /// Amazon ECS on Fargate.
    Ecs,
    /// Google Cloud Run.
    CloudRun,
    /// Vercel.
    Vercel,
    /// Railway.
    Railway,
    /// Render.
    Render,
}

impl ExportTarget {
    /// All of them.
    pub const ALL: [ExportTarget; 7] = [
        ExportTarget::Compose,
        ExportTarget::Kubernetes,
        ExportTarget::Ecs,
        ExportTarget::CloudRun,
        ExportTarget::Vercel,
        ExportTarget::Railway,
        ExportTarget::Render,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ExportTarget::Compose => "compose",
            ExportTarget::Kubernetes => "kubernetes",
            ExportTarget::Ecs => "ecs",
            ExportTarget::CloudRun => "cloudrun",
            ExportTarget::Vercel => "vercel",
            ExportTarget::Railway => "railway",
            ExportTarget::Render => "render",
        }
    }
}

impl std::str::FromStr for ExportTarget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        ExportTarget::ALL.into_iter().find(|target| target.as_str() == text).ok_or_else(|| {
            let known: Vec<&str> = ExportTarget::ALL.iter().map(|target| target.as_str()).collect();
            Error::invalid("to", format!("there is no export to `{text}`"), format!("there are {}", known.join(", ")))
        })
    }
}

/// The files of the other platform.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Export {
    /// Path and text.
    pub files: BTreeMap<String, String>,
    /// What the platform cannot carry, or what is left to do by hand.
    pub notes: Vec<String>,
}

/// The app as the files of another platform. The same input gives the same files.
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
/// assert!(export(&input, ExportTarget::Compose).files["compose.yaml"].contains("services:"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(input: &ExportInput<'_>, target: ExportTarget) -> Export {
    let app = App::new(input);
    match target {
        ExportTarget::Compose => compose::export(&app),
        ExportTarget::Kubernetes => kubernetes::export(&app),
        ExportTarget::Ecs => ecs::export(&app),
        ExportTarget::CloudRun => cloud_run::export(&app),
        ExportTarget::Vercel => vercel::export(&app),
        ExportTarget::Railway => railway::export(&app),
        ExportTarget::Render => render_yaml::export(&app),
    }
}

/// The input, with what every target asks for worked out.
struct App<'a> {
    input: &'a ExportInput<'a>,
    name: String,
    port: u16,
    processes: Vec<Process>,
    release: Option<String>,
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
    fn new(input: &'a ExportInput<'a>) -> App<'a> {
        let plan = input.plan;
        let replicas =
            |name: &str| input.scale.iter().find(|(known, _)| known.as_str() == name).map_or(1, |(_, count)| *count);
        let mut processes: Vec<Process> = plan
            .processes
            .iter()
            .map(|(name, command)| Process {
                name: name.as_str().to_owned(),
                command: Some(command.clone()),
                replicas: replicas(name.as_str()),
                web: name.as_str() == "web",
            })
            .collect();
        // An image may know its command; files need none.
        let own = matches!(plan.image, ImagePlan::Dockerfile { .. } | ImagePlan::Pull) || plan.static_dir.is_some();
        if !processes.iter().any(|process| process.web) && (own || plan.start_command.is_some()) {
            let command = input.settings.start_command.clone().or(plan.start_command.clone().filter(|_| !own));
            processes.insert(0, Process { name: "web".into(), command, replicas: replicas("web"), web: true });
        }
        processes.sort_by_key(|process| (!process.web, process.name.clone()));
        App {
            input,
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
        let mut env: BTreeMap<String, String> =
            self.input.plan.env.iter().map(|(key, value)| (key.as_str().to_owned(), value.clone())).collect();
        env.insert("PORT".into(), self.port.to_string());
        for (key, value) in &self.input.env {
            match value {
                ExportEnv::Plain(value) => env.insert(key.as_str().to_owned(), value.clone()),
                ExportEnv::Secret => env.remove(key.as_str()),
            };
        }
        env
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        let secret = |(key, value): (&'a EnvKey, &'a ExportEnv)| (*value == ExportEnv::Secret).then_some(key.as_str());
        self.input.env.iter().filter_map(secret)
    }

    /// The Dockerfile to build from, and the files that have to be written for it.
    fn dockerfile(&self, files: &mut BTreeMap<String, String>) -> Option<String> {
        match &self.input.plan.image {
            ImagePlan::Dockerfile { path } => Some(path.as_str().to_owned()),
            ImagePlan::Generated { dockerfile, dockerignore } if self.input.plan.static_dir.is_none() => {
                files.insert("Dockerfile".into(), dockerfile.clone());
                files.insert(".dockerignore".into(), dockerignore.clone());
                Some("Dockerfile".into())
            }
            _ => None,
        }
    }

    /// A command for a container: the words of a shell.
    fn shell(command: &str) -> [String; 3] {
        shell(exec_line(command))
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
