//! Apps of twelve shapes, for exports.

// Shared by a test and an example.
#![allow(dead_code, unreachable_pub, clippy::expect_used)]

use std::collections::BTreeMap;

use sh0_build::{ExportCron, ExportDomain, ExportEnv, ExportInput, MemoryTree, Options, plan_tree};
use sh0_core::model::{
    AppName, AppSettings, Bytes, HealthCheck, ImagePlan, MilliCpus, Millis, Plan, Resources, VolumeMount,
};

/// An app and what it was made from.
pub struct Shape {
    pub name: AppName,
    pub plan: Plan,
    pub settings: AppSettings,
    pub scale: &'static [(&'static str, u32)],
    pub env: &'static [(&'static str, Option<&'static str>)],
    pub domains: &'static [&'static str],
    pub crons: &'static [(&'static str, &'static str, &'static str)],
    pub image: Option<&'static str>,
}

impl Shape {
    pub fn input(&self) -> ExportInput<'_> {
        let value = |value: &Option<&str>| value.map_or(ExportEnv::Secret, |text| ExportEnv::Plain(text.to_owned()));
        ExportInput {
            name: &self.name,
            plan: &self.plan,
            settings: &self.settings,
            scale: self.scale.iter().map(|(name, count)| (name.parse().expect("a process"), *count)).collect(),
            env: self.env.iter().map(|(key, text)| (key.parse().expect("a variable"), value(text))).collect(),
            domains: self
                .domains
                .iter()
                .map(|domain| match domain.split_once('/') {
                    Some((host, path)) => ExportDomain { host: host.to_owned(), path: Some(format!("/{path}")) },
                    None => ExportDomain { host: (*domain).to_owned(), path: None },
                })
                .collect(),
            crons: self
                .crons
                .iter()
                .map(|(name, schedule, command)| ExportCron {
                    name: (*name).to_owned(),
                    schedule: (*schedule).to_owned(),
                    command: (*command).to_owned(),
                })
                .collect(),
            image: self.image.map(str::to_owned),
        }
    }
}

fn shape(name: &str, files: &[(&str, &str)], settings: AppSettings) -> Shape {
    shape_of(name, files, settings, &Options::default())
}

fn shape_of(name: &str, files: &[(&str, &str)], settings: AppSettings, options: &Options) -> Shape {
    let mut tree = MemoryTree::default();
    files.iter().for_each(|(path, text)| tree.insert(*path, *text));
    let plan = plan_tree(&tree, &settings, options).expect("a plan");
    let name = name.parse().expect("a name");
    Shape { name, plan, settings, scale: &[], env: &[], domains: &[], crons: &[], image: None }
}

fn volume(name: &str, path: &str) -> VolumeMount {
    VolumeMount { name: name.parse().expect("a volume"), path: path.parse().expect("a path") }
}

const NODE: &[(&str, &str)] = &[
    ("package.json", r#"{ "scripts": { "start": "node server.js" }, "dependencies": { "express": "^5" } }"#),
    ("package-lock.json", "{}"),
    ("server.js", "require('express')().listen(process.env.PORT)"),
];

pub fn all() -> Vec<Shape> {
    let plain = AppSettings::default;
    let python: &[(&str, &str)] = &[
        ("requirements.txt", "flask==3.1.0\ngunicorn==23.0.0"),
        ("app.py", "from flask import Flask\napp = Flask(__name__)"),
    ];
    let procfile: &[(&str, &str)] = &[
        NODE,
        &[
            ("Procfile", "web: node server.js\nworker: node worker.js --queue \"a b\"\nrelease: node migrate.js"),
            ("worker.js", ""),
            ("migrate.js", ""),
        ],
    ]
    .concat();
    let limits = Resources { memory: Some(Bytes::from_mib(700)), cpus: Some(MilliCpus(1_500)), pids: Some(256) };
    let health = HealthCheck {
        path: Some("/healthz".parse().expect("a path")),
        start_period: Millis::from_secs(90),
        ..HealthCheck::default()
    };
    vec![
        shape("plain-node", NODE, plain()),
        Shape { scale: &[("web", 3), ("worker", 2)], ..shape("with-worker", procfile, plain()) },
        shape(
            "with-volumes",
            NODE,
            AppSettings {
                volumes: vec![volume("uploads", "/app/uploads"), volume("cache", "/var/cache/app")],
                ..plain()
            },
        ),
        Shape {
            domains: &["example.com/shop", "example.com/cart", "shop.example.com"],
            ..shape("two-domains", python, plain())
        },
        Shape {
            env: &[
                ("DATABASE_URL", None),
                ("STRIPE_KEY", None),
                ("GREETING", Some("it's $5: \"ok\" #1")),
                ("FLAG", Some("yes")),
            ],
            // As it is planned where the build gets them.
            ..shape_of(
                "with-secrets",
                python,
                plain(),
                &Options {
                    build_secrets: ["DATABASE_URL", "STRIPE_KEY"].map(|key| key.parse().expect("a variable")).into(),
                    buildkit: true,
                    ..Options::default()
                },
            )
        },
        Shape {
            crons: &[
                ("nightly", "15 3 * * *", "node report.js --all && echo done"),
                ("hourly", "0 * * * *", "node tick.js"),
            ],
            ..shape("with-crons", NODE, plain())
        },
        shape(
            "checked-and-limited",
            NODE,
            AppSettings { health, resources: limits, stop_grace: Some(Millis::from_secs(45)), ..plain() },
        ),
        shape("static-page", &[("index.html", "<h1>hi</h1>")], plain()),
        shape(
            "single-page",
            &[
                ("package.json", r#"{ "scripts": { "build": "vite build" }, "devDependencies": { "vite": "^7" } }"#),
                ("package-lock.json", "{}"),
                ("index.html", "x"),
                ("vite.config.js", ""),
            ],
            plain(),
        ),
        shape(
            "own-dockerfile",
            &[("Dockerfile", "FROM node:24-slim\nEXPOSE 3000\nCMD [\"node\", \"a.js\"]\n")],
            plain(),
        ),
        Shape {
            plan: Plan { language: "image".into(), image: ImagePlan::Pull, port: Some(5678), ..Plan::default() },
            image: Some("ghcr.io/acme/echo:1.2.3"),
            ..shape("from-an-image", NODE, plain())
        },
        Shape {
            scale: &[("web", 2)],
            env: &[("SECRET_KEY_BASE", None), ("LOG_LEVEL", Some("info"))],
            domains: &["everything.example.com"],
            crons: &[("cleanup", "*/10 * * * *", "node cleanup.js")],
            ..shape(
                "everything",
                procfile,
                AppSettings {
                    health: HealthCheck { path: Some("/up".parse().expect("a path")), ..HealthCheck::default() },
                    resources: Resources { memory: Some(Bytes::from_mib(512)), cpus: Some(MilliCpus(500)), pids: None },
                    volumes: vec![volume("data", "/data")],
                    port: Some(4000),
                    ..plain()
                },
            )
        },
    ]
}

/// Where each file of each export is written: `TARGET/SHAPE/PATH`.
pub fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for shape in all() {
        for target in sh0_build::ExportTarget::ALL {
            for file in sh0_build::export(&shape.input(), target).files {
                files.insert(format!("{target}/{}/{}", shape.name.as_str(), file.path), file.contents);
            }
        }
    }
    files
}
