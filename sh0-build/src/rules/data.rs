//! What must outlive a release.

use sh0_core::model::{Category::Data, ImagePlan, Severity};

use super::class::Class;
use super::context::Context;
use super::facts::ELSEWHERE;
use super::rule::{Check, Hits, Pattern, Rule, Verdict};
use super::scan::Found;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "DAT01",
        name: "sqlite-in-container",
        category: Data,
        severity: Severity::High,
        title: "A SQLite database lies in the app's own folder",
        why: "Each release starts with the folder as it was built: everything written since is gone.",
        fix: "Give the app a volume and put the database there, by a path from a variable.",
        check: Check::Text(&[
            Pattern {
                what: "a SQLite database",
                keywords: &[
                    "sqlite3.connect(",
                    "sqlite:///",
                    "sqlite3.database(",
                    "better-sqlite3",
                    "new database(",
                    "databasesync(",
                ],
                regex: r#"(?:sqlite3\.connect\(\s*['"]|sqlite:///|sqlite3\.Database\(\s*['"]|new Database(?:Sync)?\(\s*['"])((?:\./)?[A-Za-z0-9_][\w./-]*)['"]?"#,
                judge: |found| {
                    let value = found.value();
                    let sqlite = found.file_has("sqlite");
                    let kept = value.contains("memory")
                        || value.starts_with("/")
                        || value.contains("tmp")
                        || value.contains("readonly");
                    let default = found.line().contains("env") || found.line().contains("ENV");
                    if sqlite && !kept && !default { own_code(found) } else { None }
                },
            },
            Pattern {
                what: "Django's SQLite database",
                keywords: &["sqlite3"],
                regex: r#"(?:BASE_DIR\s*/\s*|os\.path\.join\(BASE_DIR,\s*)['"]([\w.-]+\.sqlite3|[\w.-]+\.db)['"]"#,
                judge: |found| {
                    let name = found.path.rsplit('/').next().unwrap_or(found.path);
                    let development = ["dev", "local", "test"].iter().any(|kind| name.contains(kind));
                    if development
                        || found.file_has("dj_database_url")
                        || found.file_has("DATABASE_URL")
                        || found.line().contains("env")
                    {
                        None
                    } else {
                        own_code(found)
                    }
                },
            },
            Pattern {
                what: "Prisma's SQLite database",
                keywords: &["file:"],
                regex: r#"^\s*url\s*=\s*"(file:\./[^"]+)""#,
                judge: |found| (found.path.ends_with(".prisma") && !found.class.any(ELSEWHERE)).then_some(Verdict::Hit),
            },
        ]),
    },
    Rule {
        id: "DAT02",
        name: "local-uploads",
        category: Data,
        severity: Severity::Medium,
        title: "Uploaded files are kept in the app's own folder",
        why: "They are gone with the next release, and a second instance never sees them.",
        fix: "Give the app a volume for that folder, or keep the files in object storage.",
        check: Check::Text(&[
            Pattern {
                what: "uploads",
                keywords: &["multer(", "dest:", "destination"],
                regex: r#"(?:multer\(\s*\{\s*dest\s*:\s*['"]|destination\s*:\s*['"])((?:\./)?[\w-]+(?:/[\w-]+)*/?)['"]"#,
                judge: |found| {
                    if found.file_has("multer") && !found.value().contains("tmp") && !found.value().contains("temp") {
                        own_code(found)
                    } else {
                        None
                    }
                },
            },
            Pattern {
                what: "uploads",
                keywords: &["upload_folder"],
                regex: r#"UPLOAD_FOLDER['"\]]*\s*=\s*['"]((?:\./)?[\w-]+(?:/[\w-]+)*/?)['"]"#,
                judge: |found| if found.value().contains("tmp") { None } else { own_code(found) },
            },
            Pattern {
                what: "Django's MEDIA_ROOT",
                keywords: &["media_root"],
                regex: r#"^MEDIA_ROOT\s*=\s*(?:BASE_DIR\s*/\s*|os\.path\.join\(\s*BASE_DIR\s*,\s*)['"]([\w/-]+)['"]"#,
                judge: |found| {
                    let elsewhere =
                        ["storages", "S3", "GS_BUCKET", "cloudinary"].iter().any(|other| found.file_has(other));
                    if elsewhere { None } else { own_code(found) }
                },
            },
        ]),
    },
    Rule {
        id: "DAT03",
        name: "migrations-not-run",
        category: Data,
        severity: Severity::Medium,
        title: "There are database migrations, and nothing runs them",
        why: "The new release meets the old tables, and requests fail.",
        fix: "Run them as the release command (`release: COMMAND` in the Procfile, `release_command` in sh0.toml), once before each switch.",
        check: Check::Tree(migrations),
    },
    Rule {
        id: "DAT05",
        name: "sessions-in-memory",
        category: Data,
        severity: Severity::Low,
        title: "Sessions are kept in the memory of the process",
        why: "Every release logs all visitors out, and with two instances each knows half of them. The store leaks memory too.",
        fix: "Give express-session a store, such as connect-redis or connect-pg-simple.",
        check: Check::Text(&[Pattern {
            what: "express-session without a store",
            keywords: &["session("],
            regex: r#"\b((?:app|server|router)\.use\(\s*(?:express)?[sS]ession\(\s*\{?)"#,
            judge: |found| {
                let options = found.after(900);
                let options = options.split("})").next().unwrap_or_default();
                let express = found.file_has("express-session")
                    && !options.contains("store")
                    && !found.file_has("cookie-session");
                if express { own_code(found) } else { None }
            },
        }]),
    },
];

/// Whether a volume keeps what lies at `value`, a path of the rules for databases and uploads that `file` names.
///
/// Instances see the app in `/app`; an image of one's own says where with `WORKDIR`.
pub(super) fn is_kept(cx: &Context<'_>, file: &str, value: &str) -> bool {
    if cx.options.volumes.is_empty() || value.contains("..") {
        return false;
    }
    let home = cx.own_dockerfile().and_then(|(_, dockerfile)| {
        let lineage = dockerfile.lineage(dockerfile.last()?);
        let folder = lineage.iter().rev().find(|i| i.word == "WORKDIR")?.rest.trim().to_owned();
        folder.starts_with('/').then_some(folder)
    });
    // Prisma begins at the folder of the schema.
    let (folder, value) = match value.strip_prefix("file:") {
        Some(value) => (file.rsplit_once('/').map_or("", |(folder, _)| folder), value),
        None => ("", value),
    };
    let parts = [home.as_deref().unwrap_or("/app"), folder, value].join("/");
    let path: Vec<&str> = parts.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    cx.options.volumes.iter().any(|volume| {
        let volume: Vec<&str> = volume.split('/').filter(|part| !part.is_empty()).collect();
        path.starts_with(&volume)
    })
}

fn own_code(found: &Found<'_>) -> Option<Verdict> {
    let comment = found.line().trim_start().starts_with(['#', '/', '*']);
    let other = ELSEWHERE.and(Class::PROSE).and(Class::TOOLING);
    (found.class.any(Class::CODE) && !found.class.any(other) && !comment).then_some(Verdict::Hit)
}

/// What shows that there are migrations, what runs them.
const TOOLS: &[(&str, &str)] = &[
    ("prisma/migrations", "prisma migrate"),
    ("db/migrate", "db:migrate"),
    ("alembic.ini", "alembic upgrade"),
    ("database/migrations", "migrate"),
    ("priv/repo/migrations", "migrate"),
    ("knexfile.js", "migrate:latest"),
    ("drizzle/meta", "migrate"),
];

fn migrations(cx: &Context<'_>, hits: &mut Hits) {
    // The entrypoint of an image of one's own starts nothing where that image is not the one that is made.
    let generated = cx.plan.is_some_and(|plan| matches!(plan.image, ImagePlan::Generated { .. }));
    let mut runs: String = [
        "Procfile",
        "sh0.toml",
        "package.json",
        "app.json",
        "start.sh",
        "run.sh",
        "entrypoint.sh",
        "docker-entrypoint.sh",
        "bin/docker-entrypoint",
        "release.sh",
        "nixpacks.toml",
        "railway.json",
        "render.yaml",
        "fly.toml",
        "build.sh",
    ]
    .iter()
    .filter(|file| !generated || !file.contains("docker-entrypoint"))
    .filter_map(|file| cx.text(file))
    .map(|text| text.to_string() + "\n")
    .collect();
    runs.extend(cx.dockerfiles().iter().filter_map(|(path, _)| cx.text(path)).map(|text| text.to_string()));
    runs.extend(cx.composes().iter().filter_map(|(path, _)| cx.text(path)).map(|text| text.to_string()));
    for path in cx.paths.iter().filter(|path| path.ends_with(".sh") && path.matches('/').count() <= 2) {
        runs.extend(cx.text(path).map(|text| text.to_string()));
    }
    if let Some(plan) = cx.plan {
        runs.extend(
            plan.release_command
                .iter()
                .chain(&plan.start_command)
                .chain(&plan.build)
                .map(|command| format!("{command}\n")),
        );
    }
    for (shows, command) in TOOLS {
        let there = cx.has(shows)
            || cx.files.is_folder(shows)
                && cx.paths.iter().any(|path| {
                    path.starts_with(&format!("{shows}/")) && !path.ends_with(".keep") && !path.ends_with(".gitkeep")
                });
        let word = command.rsplit([' ', ':']).next().unwrap_or(command);
        // `pip install --upgrade pip` runs none; `flask db upgrade` does.
        let word = if word == "upgrade" { "db upgrade" } else { word };
        let run = || runs.contains(command) || runs.contains(&format!("{word} ")) || runs.contains("db:prepare");
        if there && !run() && !migrates_itself(cx) {
            hits.at(*shows, None, format!("nothing runs `{command}`"));
            return;
        }
    }
    let efcore = cx.paths.iter().find(|path| path.contains("Migrations/") && path.ends_with("ModelSnapshot.cs"));
    if let Some(path) = efcore
        && !runs.contains("ef database update")
        && !runs.contains("efbundle")
        && !migrates_itself(cx)
    {
        hits.at(path, None, "nothing runs `dotnet ef database update`");
        return;
    }
    let django = cx.has("manage.py").then(|| cx.paths.iter().find(|path| path.contains("/migrations/0001_"))).flatten();
    if let Some(path) = django
        && !runs.contains("migrate")
    {
        hits.at(path, None, "nothing runs `manage.py migrate`");
    }
}

/// Whether the program runs its migrations, as far as its first folders show.
fn migrates_itself(cx: &Context<'_>) -> bool {
    let code = cx.paths.iter().filter(|path| {
        path.matches('/').count() <= 2 && Class::of(path).any(Class::CODE) && !Class::of(path).any(Class::TEST)
    });
    code.take(200).filter_map(|path| cx.text(path)).any(|text| {
        [
            "command.upgrade(",
            "migrate.latest(",
            "Ecto.Migrator",
            "migrate(db",
            "Database.Migrate",
            "Database.EnsureCreated",
        ]
        .iter()
        .any(|call| text.contains(call))
    })
}
