//! `Options::root`, `root` of an app's settings and `root` in `sh0.toml` mean the same, to plans and to checks.

#![allow(clippy::unwrap_used)]

use sh0_build::{CheckOptions, Detector, MemoryTree, Options, check_tree, plan_tree};
use sh0_core::model::{AppSettings, FailOn, ImagePlan, Plan, Report, Timestamp};
use sh0_core::traits::{CheckRequest, Planner};

/// Trees with several apps: the files, and the folder of one of the apps.
fn trees() -> Vec<(MemoryTree, &'static str)> {
    let node = r#"{ "name": "web", "scripts": { "start": "node a.js" } }"#;
    let cargo = "[package]\nname = \"api\"\nversion = \"1.0.0\"\n";
    vec![
        (
            MemoryTree::from([
                ("package.json", r#"{ "workspaces": ["apps/*"] }"#),
                ("package-lock.json", "{}"),
                ("apps/web/package.json", node),
                ("apps/web/a.js", ""),
                ("apps/docs/package.json", node),
                ("apps/docs/a.js", ""),
            ]),
            "apps/docs",
        ),
        (
            MemoryTree::from([
                ("Cargo.toml", "[workspace]\nmembers = [\"web\", \"api\"]\n"),
                ("Cargo.lock", ""),
                ("web/Cargo.toml", &cargo.replace("api", "web")),
                ("web/src/main.rs", "fn main() {}"),
                ("api/Cargo.toml", cargo),
                ("api/src/main.rs", "fn main() {}"),
            ]),
            "api",
        ),
        (
            MemoryTree::from([
                ("go.work", "go 1.24\n\nuse (\n\t./web\n\t./api\n)\n"),
                ("web/go.mod", "module web\n"),
                ("web/main.go", "package main\n"),
                ("api/go.mod", "module api\n"),
                ("api/main.go", "package main\n"),
            ]),
            "api",
        ),
        (
            MemoryTree::from([
                ("package.json", r#"{ "packageManager": "pnpm@10.0.0" }"#),
                ("pnpm-workspace.yaml", "packages:\n  - apps/*\n"),
                ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
                ("apps/web/package.json", node),
                ("apps/web/a.js", ""),
                ("apps/docs/package.json", node),
                ("apps/docs/a.js", ""),
            ]),
            "apps/docs",
        ),
        (MemoryTree::from([("README.md", ""), ("site/app.py", "print(1)"), ("site/requirements.txt", "")]), "site"),
    ]
}

fn planned(tree: &MemoryTree, root: Option<&str>) -> sh0_core::Result<Plan> {
    let options = Options { root: root.map(|root| root.parse().unwrap()), ..Options::default() };
    plan_tree(tree, &AppSettings::default(), &options)
}

#[test]
fn the_folder_of_the_app_can_be_named_by_whoever_asks() {
    for (tree, root) in trees() {
        let asked = planned(&tree, Some(root)).unwrap();
        let mut written = tree.clone();
        written.insert("sh0.toml", format!("root = \"{root}\"\n"));
        let said = planned(&written, None).unwrap();
        let bare = |plan: &Plan| Plan { reasons: Vec::new(), ..plan.clone() };
        assert_eq!(bare(&asked), bare(&said), "{root}");
        let settings = AppSettings { root: Some(root.parse().unwrap()), ..AppSettings::default() };
        let set = plan_tree(&tree, &settings, &Options::default()).unwrap();
        assert_eq!(set, asked, "{root}");
        assert!(asked.reasons.iter().any(|reason| reason.what == format!("root = {root}")), "{:?}", asked.reasons);
        assert!(asked.reasons.iter().all(|reason| reason.file.as_deref() != Some("sh0.toml")), "{:?}", asked.reasons);
        // Who asks is heard before the file.
        written.insert("sh0.toml", "root = \"nowhere\"\n");
        assert_eq!(bare(&planned(&written, Some(root)).unwrap()), bare(&asked));
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (tree, _) = trees().remove(0);
    let error = planned(&tree, Some("apps/nope")).unwrap_err();
    let field = &error.fields()[0];
    assert_eq!((field.field.as_str(), error.detail().contains("apps/nope")), ("root", true), "{error:?}");
}

fn dockerfile(plan: &Plan) -> &str {
    match &plan.image {
        ImagePlan::Generated { dockerfile, .. } => dockerfile,
        other => panic!("{other:?}"),
    }
}

/// What is installed comes from the lockfile at the top, and the build sees all of the workspace.
#[test]
fn members_are_built_from_the_top() {
    let all = [
        ("npm ci", "cd apps/docs && node a.js"),
        ("cargo fetch --locked", "cd api && ./bin/api"),
        ("go mod download", "cd api && ./out"),
        ("pnpm install --frozen-lockfile", "cd apps/docs && node a.js"),
    ];
    for ((tree, root), (install, start)) in trees().into_iter().zip(all) {
        let plan = planned(&tree, Some(root)).unwrap();
        assert_eq!(plan.root, None, "{root}");
        assert!(plan.install.iter().any(|command| command.starts_with(install)), "{:?}", plan.install);
        assert_eq!(plan.start_command.as_deref(), Some(start));
        let whole = ["COPY . .\n", "COPY --chown=10001:10001 . /app\n"];
        assert!(whole.iter().any(|copy| dockerfile(&plan).contains(copy)), "{}", dockerfile(&plan));
    }
}

#[test]
fn another_folder_is_a_tree_of_its_own() {
    let mut tree = MemoryTree::from([
        ("sh0.toml", "root = \"site\"\nstart_command = \"python run.py\"\n"),
        ("Procfile", "web: something else"),
        ("Dockerfile", "FROM elsewhere\n"),
        ("site/run.py", "print(1)"),
        ("site/requirements.txt", ""),
    ]);
    let plan = planned(&tree, None).unwrap();
    assert_eq!(plan.root.as_ref().map(|root| root.as_str()), Some("site"));
    assert_eq!(plan.start_command.as_deref(), Some("python run.py"));
    assert!(!dockerfile(&plan).contains("site"), "{}", dockerfile(&plan));
    let files: Vec<_> = plan.reasons.iter().filter_map(|reason| reason.file.as_deref()).collect();
    assert!(files.contains(&"sh0.toml") && files.contains(&"site/requirements.txt"), "{files:?}");
    assert!(!files.contains(&"Procfile"), "{files:?}");
    // A file of its own is the one that counts, also for a Dockerfile.
    tree.insert("site/sh0.toml", "start_command = \"python other.py\"\n");
    assert_eq!(planned(&tree, None).unwrap().start_command.as_deref(), Some("python other.py"));
    tree.insert("site/Dockerfile", "FROM python:3.13\nCMD [\"python\", \"run.py\"]\n");
    let own = planned(&tree, None).unwrap().image;
    assert_eq!(own, ImagePlan::Dockerfile { path: "Dockerfile".parse().unwrap() });
    // One that speaks of a folder does not speak of another.
    tree.insert("other/app.py", "print(1)");
    assert_eq!(planned(&tree, Some("other")).unwrap().start_command.as_deref(), Some("python app.py"));
    tree.insert("site/sh0.toml", "root = \"deeper\"\n");
    let error = planned(&tree, None).unwrap_err();
    assert_eq!(error.fields()[0].field, "site/sh0.toml: root");
}

#[test]
fn files_of_a_member_speak_of_its_folder() {
    let (mut tree, root) = trees().remove(0);
    tree.insert("sh0.toml", "start_command = \"node of-the-top.js\"\n");
    tree.insert("Procfile", "web: node of-the-top.js");
    tree.insert("apps/docs/Procfile", "web: node b.js\nrelease: node c.js");
    let plan = planned(&tree, Some(root)).unwrap();
    assert_eq!(plan.start_command.as_deref(), Some("cd apps/docs && node b.js"));
    assert_eq!(plan.processes.values().collect::<Vec<_>>(), ["cd apps/docs && node b.js"]);
    assert_eq!(plan.release_command.as_deref(), Some("cd apps/docs && node c.js"));
    assert!(plan.reasons.iter().any(|reason| reason.file.as_deref() == Some("apps/docs/Procfile")));
    tree.insert("apps/docs/sh0.toml", "start_command = \"node d.js\"\n");
    assert_eq!(planned(&tree, Some(root)).unwrap().start_command.as_deref(), Some("cd apps/docs && node d.js"));
    tree.insert("apps/docs/Dockerfile", "FROM node:24\n");
    let own = planned(&tree, Some(root)).unwrap().image;
    assert_eq!(own, ImagePlan::Dockerfile { path: "apps/docs/Dockerfile".parse().unwrap() });
}

fn report(tree: &MemoryTree, root: Option<&str>) -> Report {
    let plan = planned(tree, root).ok();
    let options = CheckOptions { root: root.map(|root| root.parse().unwrap()), ..CheckOptions::default() };
    check_tree(tree, plan.as_ref(), &options)
}

/// Where a rule fires, and how many files were looked at.
fn checked(tree: &MemoryTree, root: Option<&str>) -> (Vec<String>, u32) {
    let report = report(tree, root);
    let of_rule = report.findings.into_iter().filter(|finding| finding.rule == "SEC05");
    (of_rule.filter_map(|finding| finding.file).collect(), report.files)
}

#[test]
fn a_check_sees_what_is_built() {
    let leak = "connect('https://someone:Tr0ub4dor3x@db.shop.io/main')\n";
    let mut tree = MemoryTree::from([("README.md", ""), ("site/app.py", leak), ("other/app.py", leak)]);
    let all = vec!["other/app.py".to_owned(), "site/app.py".to_owned()];
    assert_eq!(checked(&tree, None), (all.clone(), 3));
    assert_eq!(checked(&tree, Some("site")), (vec!["site/app.py".to_owned()], 1));
    // The same without a plan: nothing is known of this one.
    tree.insert("notes/a.sh", "curl https://someone:Tr0ub4dor3x@db.shop.io/main\n");
    assert_eq!(checked(&tree, Some("notes")).0, ["notes/a.sh"]);
    // What the file at the top allows is said of the folder that it names.
    tree.insert(
        "sh0.toml",
        "root = \"site\"\n[check]\nignore = [{ rule = \"SEC05\", path = \"app.py\", reason = \"a demo\" }]\n",
    );
    let plan = planned(&tree, None).ok();
    let report = check_tree(&tree, plan.as_ref(), &CheckOptions::default());
    let allowed = report.suppressed.iter().map(|one| (one.finding.file.as_deref(), one.by.as_str()));
    assert_eq!(allowed.collect::<Vec<_>>(), [(Some("site/app.py"), "sh0.toml")]);
    // A member is built with all of its workspace.
    let (mut tree, root) = trees().remove(0);
    tree.insert("apps/web/a.js", leak);
    assert_eq!(checked(&tree, Some(root)).0, ["apps/web/a.js"]);
}

/// Docker builds the folder of a member with the workspace around it; another language has nothing of the workspace.
#[test]
fn a_member_may_be_of_another_language() {
    let (mut tree, root) = trees().remove(0);
    tree.insert("apps/docs/sh0.toml", "language = \"python\"\n");
    tree.insert("apps/docs/app.py", "print(1)");
    let plan = planned(&tree, Some(root)).unwrap();
    assert_eq!((plan.language.as_str(), plan.start_command.as_deref()), ("python", Some("python app.py")));
    assert_eq!(plan.root.as_ref().map(|root| root.as_str()), Some(root));
    tree.insert("apps/docs/sh0.toml", "language = \"docker\"\n");
    tree.insert("apps/docs/Dockerfile", "FROM node:24\n");
    let plan = planned(&tree, Some(root)).unwrap();
    assert_eq!((plan.language.as_str(), plan.root), ("docker", None));
    assert_eq!(plan.image, ImagePlan::Dockerfile { path: "apps/docs/Dockerfile".parse().unwrap() });
}

/// A member has a Dockerfile where its language cannot be planned, as any other folder has.
#[test]
fn a_dockerfile_helps_where_the_workspace_is_broken() {
    let (mut tree, root) = trees().remove(1);
    tree.insert("api/Dockerfile", "FROM rust:1\n");
    tree.insert("api/sh0.toml", "language = \"rust\"\n");
    assert_eq!(planned(&tree, Some(root)).unwrap().language, "rust");
    let mut tree = MemoryTree::from([
        ("pyproject.toml", "[project]\nname = \"all\"\n[tool.uv.workspace]\nmembers = [\"web\"]\n"),
        ("web/pyproject.toml", "[project\n"),
    ]);
    assert!(planned(&tree, Some("web")).is_err());
    tree.insert("web/Dockerfile", "FROM python:3.13\n");
    let plan = planned(&tree, Some("web")).unwrap();
    assert_eq!(plan.image, ImagePlan::Dockerfile { path: "web/Dockerfile".parse().unwrap() });
    assert!(plan.warnings.iter().any(|warning| warning.contains("only the Dockerfile is used")), "{:?}", plan.warnings);
}

#[test]
fn what_the_file_at_the_top_says_is_of_the_top() {
    let (mut tree, root) = trees().remove(0);
    tree.insert("sh0.toml", format!("root = \"{root}\"\ndockerfile = \"ops/web.Dockerfile\"\n"));
    tree.insert("ops/web.Dockerfile", "FROM node:24\n");
    let plan = planned(&tree, None).unwrap();
    assert_eq!(plan.image, ImagePlan::Dockerfile { path: "ops/web.Dockerfile".parse().unwrap() });
    // Of a folder that is no member, the same file says what that folder's own would.
    let (mut tree, root) = trees().pop().unwrap();
    tree.insert("sh0.toml", format!("root = \"{root}\"\ndockerfile = \"ops/Dockerfile\"\n"));
    tree.insert("site/ops/Dockerfile", "FROM python:3.13\n");
    let plan = planned(&tree, None).unwrap();
    assert_eq!(plan.image, ImagePlan::Dockerfile { path: "ops/Dockerfile".parse().unwrap() });
}

#[test]
fn errors_and_warnings_name_the_file_that_they_are_about() {
    for (index, folder) in [(0, "apps/docs"), (4, "site")] {
        let (mut tree, _) = trees().remove(index);
        for (text, field) in [
            ("port = 0\n", "sh0.toml:1: port"),
            ("prot = 1\n", "sh0.toml:1"),
            ("dockerfile = \"nowhere\"\n", "sh0.toml:1: dockerfile"),
            ("package_manager = \"zebra\"\n", "sh0.toml:1: package_manager"),
        ] {
            tree.insert(format!("{folder}/sh0.toml"), text);
            let error = planned(&tree, Some(folder)).unwrap_err();
            assert_eq!(error.fields()[0].field, format!("{folder}/{field}"));
            assert!(error.detail().starts_with(folder), "{}", error.detail());
        }
        tree.insert(format!("{folder}/sh0.toml"), "");
        tree.insert(format!("{folder}/Procfile"), "web: a\nwhat is this\n");
        let warnings = planned(&tree, Some(folder)).unwrap().warnings;
        assert!(warnings.iter().any(|w| w.starts_with(&format!("{folder}: Procfile:2 "))), "{warnings:?}");
        // The error names the file at the top where that one speaks of the folder.
        let (mut tree, _) = trees().remove(index);
        tree.insert("sh0.toml", format!("root = \"{folder}\"\nport = 0\n"));
        assert_eq!(planned(&tree, None).unwrap_err().fields()[0].field, "sh0.toml:2: port");
    }
}

/// A port that a script is written to is read where that script is.
#[test]
fn a_fixed_port_is_found_in_the_folder() {
    let (mut tree, _) = trees().remove(0);
    tree.insert("apps/docs/a.js", "\nrequire('http').createServer().listen(4000)\n");
    for tree in [tree, MemoryTree::from([("apps/docs/server.js", "\nrequire('http').createServer().listen(4000)\n")])] {
        let plan = planned(&tree, Some("apps/docs")).unwrap();
        let reason = plan.reasons.iter().find(|reason| reason.what == "port = 4000").unwrap();
        assert!(reason.file.as_ref().is_some_and(|file| file.starts_with("apps/docs/")), "{reason:?}");
        assert!(plan.warnings.iter().any(|warning| warning.starts_with("apps/docs/")), "{:?}", plan.warnings);
    }
}

#[test]
fn what_a_member_allows_and_blocks_is_in_its_own_file() {
    let leak = "connect('https://someone:Tr0ub4dor3x@db.shop.io/main')\n";
    let (mut tree, root) = (trees().remove(0).0, "apps/web");
    tree.insert("apps/web/a.js", leak);
    tree.insert("sh0.toml", "[check]\nfail_on = \"low\"\n");
    assert_eq!(report(&tree, Some(root)).fail_on, Some(FailOn::Low), "the top's, where the member has none");
    // A path is one of the member's folder, or of the tree.
    for path in ["a.js", "apps/web/a.js", "apps/*", "."] {
        let allowed = format!("ignore = [{{ rule = \"SEC05\", path = \"{path}\", reason = \"a demo\" }}]\n");
        tree.insert("apps/web/sh0.toml", format!("[check]\nfail_on = \"high\"\n{allowed}"));
        let own = report(&tree, Some(root));
        assert_eq!(own.fail_on, Some(FailOn::High));
        let by: Vec<_> = own.suppressed.iter().map(|one| (one.finding.rule.as_str(), one.by.as_str())).collect();
        match path {
            "." => assert_eq!(by, []),
            _ => assert_eq!(by, [("SEC05", "apps/web/sh0.toml")], "{path}"),
        }
    }
    // The same where the file at the top names the member.
    tree.insert("sh0.toml", format!("root = \"{root}\"\n[check]\nfail_on = \"low\"\n"));
    assert_eq!(report(&tree, None).fail_on, Some(FailOn::High));
    tree.insert("apps/web/sh0.toml", "[check]\nignore = [{ rule = \"SEC05\" }]\n");
    let broken = report(&tree, Some(root)).findings.into_iter().find(|finding| finding.rule == "ENV06").unwrap();
    assert_eq!((broken.file.as_deref(), broken.line), (Some("apps/web/sh0.toml"), Some(2)));
}

#[test]
fn findings_of_a_folder_name_their_file_once() {
    let package = r#"{ "scripts": { "start": "nodemon a.js" }, "dependencies": { "nodemon": "^3" } }"#;
    let leak = "connect('https://someone:Tr0ub4dor3x@db.shop.io/main')\n";
    let mut tree = MemoryTree::from([("README.md", ""), ("site/package.json", package), ("site/a.js", leak)]);
    let found = report(&tree, Some("site"));
    let files: Vec<&str> = found.findings.iter().filter_map(|finding| finding.file.as_deref()).collect();
    let start = found.findings.iter().find(|finding| finding.message.contains("nodemon a.js"));
    assert_eq!(start.and_then(|finding| finding.file.as_deref()), Some("site/package.json"), "{:?}", found.findings);
    assert!(files.iter().all(|file| sh0_build::Tree::kind(&tree, file).is_some()), "{files:?}");
    // What a finding names can be copied into what allows it.
    for path in ["a.js", "site/a.js"] {
        let allowed = format!("ignore = [{{ rule = \"SEC05\", path = \"{path}\", reason = \"a demo\" }}]");
        tree.insert("site/sh0.toml", format!("[check]\n{allowed}\n"));
        let found = report(&tree, Some("site"));
        assert!(found.suppressed.iter().any(|one| one.finding.rule == "SEC05" && one.by == "site/sh0.toml"), "{path}");
    }
}

#[test]
fn projects_of_nx_are_picked_by_their_folder() {
    let tree = MemoryTree::from([
        ("package.json", r#"{ "devDependencies": { "nx": "21" } }"#),
        ("nx.json", "{}"),
        ("apps/shop/project.json", r#"{ "name": "site", "targets": { "build": { "executor": "@nx/vite:build" } } }"#),
        ("apps/shop/index.html", ""),
        ("site/app.py", "print(1)"),
    ]);
    assert_eq!(planned(&tree, Some("site")).unwrap().language, "python");
    assert_eq!(planned(&tree, Some("apps/shop")).unwrap().build, ["nx build site"]);
}

#[test]
fn settings_of_the_workspace_hold_for_its_members() {
    let manifest = r#"{ "packageManager": "yarn@4.9.1", "workspaces": ["web"] }"#;
    let member = r#"{ "name": "web", "scripts": { "start": "node a.js" } }"#;
    let mut tree = MemoryTree::from([
        ("package.json", manifest),
        ("web/package.json", member),
        (".yarnrc.yml", "nodeLinker: pnpm\n"),
    ]);
    assert_eq!(planned(&tree, Some("web")).unwrap().start_command.as_deref(), Some("cd web && node a.js"));
    // Plug'n'Play: only yarn finds the packages, and it has to be the same one.
    tree.insert(".yarnrc.yml", "nodeLinker: pnp\n");
    let plan = planned(&tree, Some("web")).unwrap();
    assert_eq!(plan.start_command.as_deref(), Some("cd web && yarn run start"));
    let (build, ship) = dockerfile(&plan).split_once("\n\nFROM ").unwrap();
    assert!(build.contains("@yarnpkg/cli-dist@4.9.1") && ship.contains("@yarnpkg/cli-dist@4.9.1"), "{build}\n{ship}");
}

/// Whatever stands before the server of Next.js has to run.
#[test]
fn the_lone_server_of_next_takes_the_place_of_nothing_else() {
    let planned_with = |scripts: &str| {
        let manifest =
            format!(r#"{{ "scripts": {{ "build": "next build", {scripts} }}, "dependencies": {{ "next": "15" }} }}"#);
        let mut tree = MemoryTree::from([("package-lock.json", "{}"), ("next.config.js", "output: 'standalone'\n")]);
        tree.insert("package.json", manifest);
        planned(&tree, None).unwrap()
    };
    let copies = |plan: &Plan| plan.build.iter().any(|command| command.contains(".next/static"));
    for (scripts, start) in [
        (r#""dev": "next dev""#, "node .next/standalone/server.js"),
        (r#""start": "next start -p 3000""#, "node .next/standalone/server.js"),
        (r#""start": "A=b PORT=80 next start""#, "A=b node .next/standalone/server.js"),
        (r#""start": "node .next/standalone/server.js""#, "node .next/standalone/server.js"),
    ] {
        let plan = planned_with(scripts);
        assert_eq!((plan.start_command.as_deref(), copies(&plan)), (Some(start), true));
        assert!(!dockerfile(&plan).contains("/app /app"), "{}", dockerfile(&plan));
    }
    for (scripts, start) in [
        (r#""start": "prisma migrate deploy && next start""#, "prisma migrate deploy && next start"),
        (r#""prestart": "prisma migrate deploy", "start": "next start""#, "prisma migrate deploy && next start"),
        (r#""start": "dotenv -- next start""#, "dotenv -- next start"),
        (r#""start:prod": "node migrate.js && next start""#, "node migrate.js && next start"),
        (r#""start": "node server.js""#, "node server.js"),
    ] {
        let plan = planned_with(scripts);
        assert_eq!((plan.start_command.as_deref(), copies(&plan)), (Some(start), false));
        assert!(dockerfile(&plan).contains("/app /app"), "{}", dockerfile(&plan));
    }
}

#[test]
fn a_policy_that_nobody_reads_is_an_error() {
    let cases = [
        (
            "[check]\nfail_on = \"hihg\"\n",
            "apps/docs/sh0.toml:2: check.fail_on",
            "low, medium, high, critical or never",
        ),
        ("[check]\nfailon = \"high\"\n", "apps/docs/sh0.toml:2", "did you mean `fail_on`?"),
        ("[check]\nzebra = \"high\"\n", "apps/docs/sh0.toml:2", "the keys are fail_on, ignore"),
        ("check = \"high\"\n", "apps/docs/sh0.toml:1: check", "write [check]"),
    ];
    for (file, field, hint) in cases {
        let (mut tree, root) = trees().remove(0);
        tree.insert("apps/docs/sh0.toml", file);
        let error = planned(&tree, Some(root)).unwrap_err();
        let said = |wrong: &sh0_core::FieldError| wrong.field == field && wrong.hint.contains(hint);
        assert!(error.fields().iter().any(said), "{:?}", error.fields());
    }
}

/// The platform's own checks hear of the member from the settings of the app.
#[tokio::test]
async fn a_deployment_of_a_member_is_held_to_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("package.json", r#"{ "workspaces": ["apps/*"] }"#),
        ("package-lock.json", "{}"),
        ("apps/web/package.json", r#"{ "name": "web", "scripts": { "start": "node a.js" } }"#),
        ("apps/web/a.js", ""),
        ("apps/web/sh0.toml", "[check]\nfail_on = \"high\"\n"),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let settings = AppSettings { root: Some("apps/web".parse().unwrap()), ..AppSettings::default() };
    let tree = sh0_build::DirTree::open(folder.path()).unwrap();
    let plan = plan_tree(&tree, &settings, &Options::default()).unwrap();
    let request = CheckRequest {
        tree: folder.path(),
        plan: &plan,
        settings: &settings,
        env: Default::default(),
        now: Timestamp::now(),
    };
    assert_eq!(Detector::default().check(request).await.unwrap().fail_on, Some(FailOn::High));
}
