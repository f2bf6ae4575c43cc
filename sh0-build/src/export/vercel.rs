//! Vercel: `vercel.json`. The format has no comments: what is not carried is in the notes.

use serde_json::{Value, json};

use super::{App, Written};

/// Frameworks that Vercel calls as sh0 does.
const SAME: &[&str] = &[
    "angular",
    "astro",
    "blitzjs",
    "brunch",
    "django",
    "dojo",
    "eleventy",
    "elysia",
    "ember",
    "express",
    "fastapi",
    "fasthtml",
    "fastify",
    "flask",
    "gatsby",
    "gridsome",
    "h3",
    "hexo",
    "hono",
    "hugo",
    "hydrogen",
    "ionic-angular",
    "ionic-react",
    "jekyll",
    "koa",
    "nestjs",
    "nitro",
    "parcel",
    "polymer",
    "preact",
    "react-router",
    "redwoodjs",
    "remix",
    "saber",
    "sanity",
    "sapper",
    "stencil",
    "storybook",
    "sveltekit",
    "tanstack-start",
    "umijs",
    "vite",
    "vitepress",
    "vue",
    "vuepress",
    "xmcp",
    "zola",
];

/// The others: sh0's name, Vercel's.
const OTHERS: &[(&str, &str)] = &[
    ("cra", "create-react-app"),
    ("docusaurus", "docusaurus-2"),
    ("next", "nextjs"),
    ("nuxt", "nuxtjs"),
    ("solidstart", "solidstart-1"),
];

fn slug(framework: &str) -> Option<&'static str> {
    let other = OTHERS.iter().find(|(name, _)| *name == framework).map(|(_, slug)| *slug);
    other.or_else(|| SAME.iter().copied().find(|name| *name == framework))
}

pub(super) fn export(app: &App<'_>) -> Written {
    let plan = app.input.plan;
    let mut notes = vec![
        app.headline("Vercel"),
        "Vercel runs functions and serves files: it runs no container and no process that stays.".to_owned(),
    ];
    let slug = plan.framework.as_deref().and_then(slug);
    let mut file = json!({ "framework": slug });
    let mut set = |key: &str, value: Value| file[key] = value;
    if !plan.install.is_empty() {
        set("installCommand", plan.install.join(" && ").into());
    }
    if !plan.build.is_empty() {
        set("buildCommand", plan.build.join(" && ").into());
    }
    match &plan.static_dir {
        Some(folder) => {
            set("outputDirectory", folder.as_str().into());
            if plan.spa_fallback {
                set("rewrites", json!([{ "source": "/(.*)", "destination": "/index.html" }]));
            }
        }
        None if slug.is_none() => {
            // Without a framework and a folder Vercel publishes the source.
            set("outputDirectory", "public".into());
            notes.push(format!(
                "`{}` is a server that Vercel does not know: make it a function below api/. Files are served from public \
                 alone.",
                plan.start_command.as_deref().unwrap_or("the image")
            ));
        }
        None => {}
    }
    for process in app.processes.iter().filter(|process| !process.web) {
        notes.push(format!("The process {} is left out: nothing stays running.", process.name));
    }
    if app.processes.iter().any(|process| process.replicas > 1) {
        notes.push("The number of instances is left out: functions are started as requests come.".into());
    }
    let keys = app.variables_beside(false);
    if !keys.is_empty() {
        notes.push(format!("Variables are set beside the file: vercel env add NAME ({}).", keys.join(", ")));
    }
    for (name, path) in app.volumes() {
        notes.push(format!("The volume {name} at {path} is left out: functions have no disk that stays."));
    }
    for host in app.hosts() {
        notes.push(format!("The host name {host} is added beside the file: vercel domains add {host}."));
    }
    app.note_paths(&mut notes);
    for cron in &app.input.crons {
        notes.push(format!(
            "`{}` at `{}` ({}) is left out: Vercel's crons ask for a path of the app.",
            cron.command, cron.schedule, cron.name
        ));
    }
    if let Some(command) = &app.release {
        notes.push(format!("The release command `{command}` is left out: put it into the build command."));
    }
    if app.health_path().is_some() || app.memory_mib().is_some() || app.millicpus().is_some() {
        notes.push("Health check and limits are left out.".into());
    }
    let text = serde_json::to_string_pretty(&file).unwrap_or_default() + "\n";
    Written { files: [("vercel.json".to_owned(), text)].into(), notes }
}
