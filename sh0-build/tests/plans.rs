//! Every fixture's plan, Dockerfile and `.dockerignore`, as snapshots. A fixture is a folder: beside the provider that it
//! is about, or in `fixtures/` when it is about what providers share.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use sh0_build::{Detector, DirTree, MemoryTree, Options, plan_tree};
use sh0_core::model::{AppSettings, ImagePlan, Plan};
use sh0_core::traits::{PlanRequest, Planner};

fn fixtures() -> Vec<(String, PathBuf)> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut groups = vec![("shared".to_owned(), home.join("fixtures"))];
    groups.push(("example".to_owned(), home.join("../examples/apps")));
    for provider in std::fs::read_dir(home.join("src/provider")).unwrap() {
        let provider = provider.unwrap();
        groups.push((provider.file_name().into_string().unwrap(), provider.path().join("fixtures")));
    }
    let mut found = Vec::new();
    for (group, folder) in groups.into_iter().filter(|(_, folder)| folder.is_dir()) {
        for case in std::fs::read_dir(folder).unwrap() {
            let case = case.unwrap();
            if !case.path().is_dir() {
                continue;
            }
            found.push((format!("{group}--{}", case.file_name().into_string().unwrap()), case.path()));
        }
    }
    found.sort();
    assert!(found.len() > 50, "the fixtures are not where they should be: {}", found.len());
    found
}

/// As a person reads it: the plan without its image, then the two files.
fn print(planned: sh0_core::Result<Plan>) -> String {
    let mut plan = match planned {
        Err(error) => return format!("{error:?}\n"),
        Ok(plan) => plan,
    };
    let image = std::mem::take(&mut plan.image);
    let mut value = serde_json::to_value(&plan).unwrap();
    value.as_object_mut().unwrap().remove("image");
    let mut text = serde_json::to_string_pretty(&value).unwrap();
    match image {
        ImagePlan::Generated { dockerfile, dockerignore } => {
            // Only the lines that differ from one stack to another.
            let own: Vec<&str> = dockerignore.lines().take_while(|line| *line != ".git").collect();
            write!(text, "\n\n--- Dockerfile\n{dockerfile}\n--- .dockerignore\n{}\n...\n", own.join("\n")).unwrap();
        }
        other => write!(text, "\n\n--- {other:?}\n").unwrap(),
    }
    text
}

#[tokio::test]
async fn fixtures_have_the_plans_that_were_reviewed() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    for (name, folder) in fixtures() {
        let settings = AppSettings::default();
        let request = PlanRequest { tree: &folder, settings: &settings, mounts: false, env: &[] };
        let plan = Detector::default().plan(request).await;
        insta::assert_snapshot!(name, print(plan));
    }
}

/// A tree in memory is the same tree.
#[test]
fn memory_and_disk_agree() {
    for (name, folder) in fixtures() {
        let mut memory = MemoryTree::default();
        copy(&folder, "", &mut memory);
        let (settings, options) = (AppSettings::default(), Options::default());
        let from_memory = plan_tree(&memory, &settings, &options);
        let from_disk = plan_tree(&DirTree::open(&folder).unwrap(), &settings, &options);
        assert_eq!(print(from_memory), print(from_disk), "{name}");
    }
}

fn copy(folder: &Path, prefix: &str, tree: &mut MemoryTree) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            copy(&entry.path(), &format!("{path}/"), tree);
        } else {
            tree.insert(path, std::fs::read(entry.path()).unwrap());
        }
    }
}

/// What Docker 20.10 does not take, and what must never be in an image.
#[test]
fn dockerfiles_keep_to_the_plain_grammar() {
    for (name, folder) in fixtures() {
        let tree = DirTree::open(&folder).unwrap();
        let Ok(plan) = plan_tree(&tree, &AppSettings::default(), &Options::default()) else { continue };
        let starts = plan.start_command.is_some() || plan.static_dir.is_some() || !plan.processes.is_empty();
        let ImagePlan::Generated { dockerfile, dockerignore } = plan.image else { continue };
        if !starts {
            continue;
        }
        for banned in ["# syntax", "--mount", "--link", "<<EOF"] {
            assert!(!dockerfile.contains(banned), "{name}: {banned}");
        }
        let last = dockerfile.rsplit("\nFROM ").next().unwrap();
        assert!(last.contains("\nUSER 10001:10001\n"), "{name} runs as root");
        assert!(last.lines().last().unwrap().starts_with("CMD [\"/"), "{name}: {last}");
        let mut stages = vec!["scratch"];
        for from in dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")) {
            let (image, stage) = from.split_once(" AS ").unwrap_or((from, ""));
            assert!(stages.contains(&image) || image.contains(':'), "{name}: {image} has no tag");
            stages.push(stage);
        }
        for secret in ["**/.env", "**/.env.*", "**/id_ed25519", "**/*.key", ".git"] {
            assert!(dockerignore.lines().any(|line| line == secret), "{name}: {secret}");
        }
        let buildkit = Options { buildkit: true, ..Options::default() };
        let plan = plan_tree(&tree, &AppSettings::default(), &buildkit).unwrap();
        let ImagePlan::Generated { dockerfile: mounted, .. } = plan.image else { unreachable!() };
        let bare: Vec<String> = mounted
            .lines()
            .map(|line| {
                line.split(' ').filter(|word| !word.starts_with("--mount=type=cache")).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(bare.join("\n") + "\n", dockerfile, "{name}: cache mounts change nothing else");
    }
}

#[test]
fn settings_of_the_app_win() {
    let tree = MemoryTree::from([
        ("package.json", r#"{"scripts":{"start":"node a.js"}}"#),
        ("Procfile", "web: node b.js\nrelease: node c.js"),
        ("sh0.toml", "start_command = 'node d.js'\nport = 4000"),
    ]);
    let settings = AppSettings {
        start_command: Some("node e.js".into()),
        release_command: Some("node f.js".into()),
        port: Some(5000),
        ..AppSettings::default()
    };
    let plan = plan_tree(&tree, &settings, &Options::default()).unwrap();
    assert_eq!(plan.start_command.as_deref(), Some("node e.js"));
    assert_eq!(plan.processes.values().collect::<Vec<_>>(), ["node e.js"]);
    assert_eq!((plan.release_command.as_deref(), plan.port), (Some("node f.js"), Some(5000)));
    // Without settings, sh0.toml wins over the Procfile.
    let plan = plan_tree(&tree, &AppSettings::default(), &Options::default()).unwrap();
    assert_eq!((plan.start_command.as_deref(), plan.port), (Some("node d.js"), Some(4000)));
}

#[test]
fn a_mirror_and_own_images_reach_the_dockerfile() {
    let tree = MemoryTree::from([("requirements.txt", "flask==3"), ("app.py", "app = Flask(__name__)")]);
    let options = Options { mirror: Some("mirror.example.com/hub".into()), ..Options::default() };
    let dockerfile = |options: &Options| match plan_tree(&tree, &AppSettings::default(), options).unwrap().image {
        ImagePlan::Generated { dockerfile, .. } => dockerfile,
        other => panic!("{other:?}"),
    };
    assert!(dockerfile(&options).contains("\nFROM mirror.example.com/hub/library/python:3.13-slim-bookworm\n"));
    let own = Options { base_images: [("python".to_owned(), "local/python:1".to_owned())].into(), ..options };
    assert!(dockerfile(&own).contains("\nFROM local/python:1 AS dependencies\n"));
}

#[test]
fn secrets_of_a_build_are_mounted_and_never_written() {
    let tree = MemoryTree::from([
        ("package.json", r#"{"scripts":{"build":"tsc","start":"node a.js"},"dependencies":{"@own/x":"1"}}"#),
        ("package-lock.json", "{}"),
    ]);
    let options = Options { build_secrets: vec!["NPM_TOKEN".parse().unwrap()], buildkit: true, ..Options::default() };
    let plan = plan_tree(&tree, &AppSettings::default(), &options).unwrap();
    let ImagePlan::Generated { dockerfile, .. } = plan.image else { panic!("{:?}", plan.image) };
    let install = dockerfile.lines().find(|line| line.ends_with("npm ci --include=dev")).unwrap();
    assert!(install.contains("--mount=type=secret,id=NPM_TOKEN,target=/run/secrets/NPM_TOKEN "), "{install}");
    assert!(!dockerfile.contains("ENV NPM_TOKEN") && !dockerfile.contains("ARG NPM_TOKEN"), "{dockerfile}");
    // The cache takes no step that ran with other variables; what is shipped knows nothing of them.
    let (builds, ship) = dockerfile.rsplit_once("\n\nFROM ").unwrap();
    assert!(builds.split("\n\nFROM ").all(|stage| stage.contains("\nARG SH0_ENV_DIGEST\n")), "{dockerfile}");
    assert!(!ship.contains("ARG ") && !ship.contains("secret"), "{dockerfile}");
    // The classic builder would keep it.
    let classic = Options { buildkit: false, ..options };
    let refused = plan_tree(&tree, &AppSettings::default(), &classic).unwrap_err();
    assert!(refused.detail().contains("NPM_TOKEN"), "{refused:?}");
}

#[test]
fn a_name_of_a_folder_is_no_instruction() {
    let planned = |folder: &str, manifest: &str| -> sh0_core::Result<String> {
        let mut tree =
            MemoryTree::from([("package.json", r#"{"workspaces":["apps/*"]}"#), ("package-lock.json", "{}")]);
        tree.insert(format!("{folder}/package.json"), manifest);
        tree.insert(format!("{folder}/index.html"), "page");
        let plan = plan_tree(&tree, &AppSettings::default(), &Options::default())?;
        let ImagePlan::Generated { dockerfile, .. } = plan.image else { panic!("{:?}", plan.image) };
        Ok(dockerfile)
    };
    let page = r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"7"}}"#;
    let program = r#"{"scripts":{"start":"node a.js"}}"#;
    let spaced = planned("apps/my app", page).unwrap();
    assert!(spaced.contains("\nCOPY --from=build [\"/app/apps/my app/dist\", \"/srv\"]\n"), "{spaced}");
    for folder in ["apps/x y\nRUN id #", "apps/$HOME", "apps/[id]"] {
        let refused = planned(folder, page).unwrap_err();
        assert!(refused.detail().contains("cannot name the folder"), "{refused:?}");
        let dockerfile = planned(folder, program).unwrap();
        assert!(!dockerfile.contains("\nRUN id"), "{dockerfile}");
    }
    let path = r#"ENV PATH="/app/node_modules/.bin:/app/apps/my \$(id) app/node_modules/.bin:$PATH""#;
    let dockerfile = planned("apps/my $(id) app", program).unwrap();
    assert!(dockerfile.lines().any(|line| line == path), "{dockerfile}");
}

#[test]
fn what_logs_in_and_what_is_secret_stays_out_of_images() {
    let planned = |files: &[(&str, &str)]| {
        let mut tree = MemoryTree::default();
        files.iter().for_each(|(path, text)| tree.insert(*path, *text));
        let plan = plan_tree(&tree, &AppSettings::default(), &Options::default()).unwrap();
        let ImagePlan::Generated { dockerfile, dockerignore } = plan.image else { panic!("{:?}", plan.image) };
        (dockerfile, dockerignore, plan.warnings.join("\n"))
    };
    // Nothing is installed: nobody reads the login. Where something is, it ends with the stage that builds.
    let start = (".npmrc", "//registry.acme.com/:_authToken=t");
    let bare = r#"{"scripts":{"start":"node a.js"}}"#;
    let (_, dockerignore, _) = planned(&[start, ("package.json", bare)]);
    assert!(dockerignore.lines().any(|line| line == ".npmrc"), "{dockerignore}");
    let (_, dockerignore, _) = planned(&[("index.php", "<?php"), ("composer.json", "{}"), ("auth.json", "{}")]);
    assert!(dockerignore.lines().any(|line| line == "auth.json"), "{dockerignore}");
    let installs = ("composer.json", r#"{"require":{"acme/x":"1"}}"#);
    let (dockerfile, dockerignore, _) = planned(&[("index.php", "<?php"), installs, ("auth.json", "{}")]);
    assert!(dockerfile.contains("\nRUN rm -rf auth.json\n"), "{dockerfile}");
    assert!(!dockerignore.contains("auth.json"), "{dockerignore}");
    assert!(["**/.envrc", "**/privkey.pem"].iter().all(|line| dockerignore.contains(line)), "{dockerignore}");

    // What git leaves out of a working copy, but for what is needed.
    let left = "# own\n/dist/\n*.log\n!keep.log\nconfig.local.js\npackage-lock.json\ncoverage\n\\#x";
    let copy = [
        ("package.json", r#"{"scripts":{"start":"node dist/a.js"},"dependencies":{"a":"1"}}"#),
        ("package-lock.json", "{}"),
        ("dist/a.js", "x"),
        (".gitignore", left),
    ];
    let (_, dockerignore, _) = planned(&copy);
    assert!(!dockerignore.contains("coverage"), "a source that was packed has none of it: {dockerignore}");
    let (_, dockerignore, _) = planned(&[&copy[..], &[(".git/HEAD", "x")]].concat());
    assert!(dockerignore.contains("\n**/*.log\n!**/keep.log\n**/config.local.js\n**/coverage\n"), "{dockerignore}");
    assert!(["dist", "lock", "#x"].iter().all(|word| !dockerignore.contains(word)), "{dockerignore}");

    // What COPY names has to be there.
    let go =
        [("go.mod", "module a"), ("main.go", "package main\nfunc main() {}"), ("key.pem", "x"), ("page.html", "x")];
    let (dockerfile, ..) = planned(&go);
    assert!(dockerfile.contains("/app/page.html") && !dockerfile.contains("key.pem"), "{dockerfile}");

    let env = "[env]\nSTRIPE_SECRET_KEY = 'sk_live_4eC39Hq'\nSECRET_KEY_BASE = 'dummy'\nTITLE = 'Shop'";
    let (dockerfile, dockerignore, warnings) = planned(&[("package.json", bare), ("sh0.toml", env)]);
    assert!(dockerignore.lines().any(|line| line == "**/sh0.toml"), "{dockerignore}");
    assert!(!dockerfile.contains("STRIPE") && warnings.contains("STRIPE_SECRET_KEY"), "{dockerfile}\n{warnings}");
    assert!(dockerfile.contains("ENV SECRET_KEY_BASE=dummy\nENV TITLE=Shop\n"), "{dockerfile}");
}
