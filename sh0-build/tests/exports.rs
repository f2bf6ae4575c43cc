//! Exports of twelve shapes to seven platforms. Their schemas are asked by `cargo xtask test` (`xtask/src/exports.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod shapes;

use std::collections::BTreeMap;

use sh0_build::{ExportEnv, ExportInput, ExportTarget, MemoryTree, Options, export, plan_tree};
use sh0_core::model::{AppSettings, ImagePlan, MilliCpus, Millis};
use shapes::Shape;

#[test]
fn twelve_shapes_and_seven_targets() {
    let shapes = shapes::all();
    assert_eq!((shapes.len(), ExportTarget::ALL.len()), (12, 7));
    for shape in &shapes {
        for target in ExportTarget::ALL {
            let made = export(&shape.input(), target);
            let own = made.files.first().is_some_and(|first| !first.is_build());
            assert!(own && !made.notes.is_empty(), "{} {}", shape.name.as_str(), target.as_str());
            assert_eq!(made, export(&shape.input(), target), "the same input, the same files");
            assert_eq!(target.as_str().parse::<ExportTarget>().unwrap(), target);
        }
    }
    assert!("nomad".parse::<ExportTarget>().unwrap_err().to_string().contains("nomad"));
}

/// What is asked for is carried, or said to be left out.
#[test]
fn nothing_is_lost_silently() {
    for shape in shapes::all() {
        let input = shape.input();
        for target in ExportTarget::ALL {
            let made = export(&input, target);
            let said =
                made.files.into_iter().map(|file| file.contents).chain(made.notes).collect::<Vec<_>>().join("\n");
            let mut wanted: Vec<String> = input.domains.iter().map(|domain| domain.host.clone()).collect();
            wanted.extend(input.domains.iter().filter_map(|domain| domain.path.clone()));
            wanted.extend(input.plan.env.keys().map(|key| key.as_str().to_owned()));
            wanted.extend(input.crons.iter().map(|cron| cron.schedule.clone()));
            wanted.extend(input.env.keys().map(|key| key.as_str().to_owned()));
            // A folder of files has no disks and no variables on hosts of static files.
            wanted.extend(input.settings.volumes.iter().map(|volume| volume.path.as_str().to_owned()));
            wanted
                .extend(input.plan.processes.keys().map(|name| name.as_str().to_owned()).filter(|name| name != "web"));
            wanted.extend(
                input
                    .settings
                    .health
                    .path
                    .as_ref()
                    .filter(|_| target != ExportTarget::Vercel)
                    .map(|path| path.as_str().to_owned()),
            );
            for word in wanted {
                assert!(said.contains(&word), "{} to {}: {word} in\n{said}", shape.name.as_str(), target.as_str());
            }
        }
    }
}

/// `$PORT` as the whole value of a variable stands for the port, as it does in instances.
#[test]
fn the_port_is_told_under_other_names_too() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "everything").unwrap();
    shape.plan.env.insert("ROCKET_PORT".parse().unwrap(), sh0_core::model::OWN_PORT.to_owned());
    let made = export(&shape.input(), ExportTarget::Compose);
    assert!(made.file("compose.yaml").unwrap().contains("ROCKET_PORT: \"4000\""));
}

/// Elsewhere nobody brings the program that serves files.
#[test]
fn finished_files_come_with_an_image_of_their_own() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "static-page").unwrap();
    for target in [ExportTarget::Compose, ExportTarget::Kubernetes, ExportTarget::Ecs, ExportTarget::CloudRun] {
        for spa in [false, true] {
            shape.plan.spa_fallback = spa;
            let made = export(&shape.input(), target);
            let dockerfile = made.file("Dockerfile").unwrap();
            assert!(dockerfile.contains("\nFROM caddy:") && dockerfile.contains("\nCOPY . /srv\n"), "{dockerfile}");
            assert!(!dockerfile.contains("rootfs") && !dockerfile.contains("sh0-static"), "{dockerfile}");
            assert_eq!(dockerfile.contains("try_files {path} /index.html"), spa, "{dockerfile}");
        }
    }
}

/// An entry point of the owner's would get the command as arguments.
#[test]
fn a_command_takes_the_place_of_an_entry_point() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "everything").unwrap();
    let key = |shape: &shapes::Shape, target, file: &str| {
        let made = export(&shape.input(), target);
        let text = made.file(file).unwrap();
        text.lines().find(|line| line.contains("/bin/sh")).unwrap().trim().split(':').next().unwrap().to_owned()
    };
    let keys = |shape: &shapes::Shape| {
        [key(shape, ExportTarget::Compose, "compose.yaml"), key(shape, ExportTarget::Ecs, "ecs/worker.yaml")]
    };
    assert_eq!(keys(&shape), ["command", "command"]);
    shape.plan.image = ImagePlan::Dockerfile { path: "docker/app".parse().unwrap() };
    assert_eq!(keys(&shape), ["entrypoint", "entryPoint"]);
}

#[test]
fn the_whole_app_reads_well_everywhere() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    let shapes = shapes::all();
    let shape = shapes.iter().find(|shape| shape.name.as_str() == "everything").unwrap();
    for target in ExportTarget::ALL {
        let made = export(&shape.input(), target);
        let files = made.files.iter().filter(|file| !file.is_build());
        let mut text: String = files.map(|file| format!("--- {}\n{}", file.path, file.contents)).collect();
        if target == ExportTarget::Vercel {
            text += &format!("--- notes\n{}\n", made.notes.join("\n"));
        }
        insta::assert_snapshot!(format!("export--{}", target.as_str()), text);
    }
}

/// What a build of sh0's own is given is given by Compose too; other builders do without, and are told what is missing.
#[test]
fn a_dockerfile_asks_for_no_mount_that_nobody_gives() {
    let tree = MemoryTree::from([
        ("package.json", r#"{"scripts":{"build":"tsc","start":"node a.js"},"dependencies":{"@own/x":"1"}}"#),
        ("package-lock.json", "{}"),
        // A command that only the array form can say.
        ("sh0.toml", "build = [\"npm run build\", \"echo '\\n' \\\\\"]\n"),
    ]);
    let keys = ["API_URL", "NPM_TOKEN"];
    let build_secrets = keys.iter().map(|key| key.parse().unwrap()).collect();
    let options = Options { build_secrets, buildkit: true, ..Options::default() };
    let settings = AppSettings::default();
    let plan = plan_tree(&tree, &settings, &options).unwrap();
    // The same without variables, on a builder without mounts.
    let bare = plan_tree(&tree, &settings, &Options::default()).unwrap();
    let ImagePlan::Generated { dockerfile: bare, .. } = bare.image else { panic!("{:?}", bare.image) };
    let name = "shop".parse().unwrap();
    let input = ExportInput {
        name: &name,
        plan: &plan,
        settings: &settings,
        scale: BTreeMap::new(),
        env: keys.iter().map(|key| (key.parse().unwrap(), ExportEnv::Secret)).collect(),
        domains: vec![],
        crons: vec![],
        image: None,
    };
    for target in ExportTarget::ALL {
        let made = export(&input, target);
        let Some(dockerfile) = made.file("Dockerfile") else {
            assert_eq!(target, ExportTarget::Vercel);
            continue;
        };
        assert!(made.notes.iter().any(|note| note.contains("these files belong there")), "{:?}", made.notes);
        assert!(!dockerfile.contains("SH0_ENV_DIGEST"), "{dockerfile}");
        let told = made.notes.iter().any(|note| note.contains("API_URL, NPM_TOKEN. Add"));
        if target != ExportTarget::Compose {
            assert_eq!((dockerfile, told), (bare.as_str(), true), "{}", target.as_str());
            continue;
        }
        let compose = made.file("compose.yaml").unwrap();
        for key in keys {
            assert!(dockerfile.contains(&format!("--mount=type=secret,id={key},")), "{dockerfile}");
            assert!(compose.contains(&format!("\n  {key}:\n    environment: {key}\n")), "{compose}");
        }
        assert!(compose.contains("dockerfile: Dockerfile\n      secrets: [API_URL, NPM_TOKEN]") && !told, "{compose}");
    }
}

/// Which of them the owner's Dockerfile mounts is the owner's to know.
#[test]
fn who_builds_an_own_dockerfile_is_told_of_its_secrets() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "plain-node").unwrap();
    shape.plan.image = ImagePlan::Dockerfile { path: "docker/app".parse().unwrap() };
    shape.env = &[("NPM_TOKEN", None)];
    for target in ExportTarget::ALL {
        let made = export(&shape.input(), target);
        let told =
            made.notes.iter().any(|note| note.contains("NPM_TOKEN. Give the build those that docker/app mounts"));
        let gives = matches!(target, ExportTarget::Compose | ExportTarget::Vercel);
        assert_eq!(told, !gives, "{}: {:?}", target.as_str(), made.notes);
    }
}

/// Railway splits a line into words and starts no shell for images that are not its own.
#[test]
fn railway_starts_commands_in_a_shell() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "everything").unwrap();
    shape.plan.release_command = Some("node migrate.js && echo \"$DONE\"".to_owned());
    let made = export(&shape.input(), ExportTarget::Railway);
    let web: toml::Table = made.file("railway.web.toml").unwrap().parse().unwrap();
    assert_eq!(web["deploy"]["startCommand"].as_str(), Some("/bin/sh -c 'exec node server.js'"));
    let release = web["deploy"]["preDeployCommand"].as_array().unwrap();
    assert_eq!(release[0].as_str(), Some("/bin/sh -c 'node migrate.js && exec echo \"$DONE\"'"));
    let cron: toml::Table = made.file("railway.cleanup.toml").unwrap().parse().unwrap();
    assert_eq!(cron["deploy"]["startCommand"].as_str(), Some("/bin/sh -c 'exec node cleanup.js'"));
}

/// The plan's variables are in the Dockerfile that sh0 writes, and in no other.
#[test]
fn variables_of_the_tree_are_named_where_nothing_carries_them() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "own-dockerfile").unwrap();
    shape.plan.env.insert("NEXT_PUBLIC_A".parse().unwrap(), "1".to_owned());
    for target in [ExportTarget::Railway, ExportTarget::Vercel] {
        let made = export(&shape.input(), target);
        assert!(made.notes.iter().any(|note| note.contains("NEXT_PUBLIC_A")), "{target}: {:?}", made.notes);
    }
}

#[test]
fn vercel_is_told_its_own_name_of_a_framework() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "single-page").unwrap();
    for (name, slug) in [("cra", "\"create-react-app\""), ("next", "\"nextjs\""), ("vite", "\"vite\""), ("own", "null")]
    {
        shape.plan.framework = Some(name.to_owned());
        let made = export(&shape.input(), ExportTarget::Vercel);
        let text = made.file("vercel.json").unwrap();
        assert!(text.contains(&format!("\"framework\": {slug}")), "{name}: {text}");
    }
}

#[test]
fn checks_and_limits_are_what_the_target_takes() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "checked-and-limited").unwrap();
    shape.settings.health.interval = Millis::from_secs(15);
    shape.settings.health.successes = 2;
    let text = |shape: &Shape, target, file: &str| export(&shape.input(), target).file(file).unwrap().to_owned();
    let kubernetes = text(&shape, ExportTarget::Kubernetes, "kubernetes.yaml");
    assert_eq!(kubernetes.matches("periodSeconds: 15").count(), 2, "{kubernetes}");
    assert!(kubernetes.contains("failureThreshold: 6") && kubernetes.contains("successThreshold: 2"), "{kubernetes}");
    for (millicpus, cpus) in [(500, "\"1\""), (1_000, "\"1\""), (1_500, "\"2\""), (3_000, "\"4\""), (16_000, "\"8\"")] {
        shape.settings.resources.cpus = Some(MilliCpus(millicpus));
        let run = text(&shape, ExportTarget::CloudRun, "cloudrun.yaml");
        assert!(run.contains(&format!("cpu: {cpus}")) && run.contains("periodSeconds: 15"), "{run}");
        assert_eq!(run.contains("CPUs for instances"), millicpus != 1_000, "{run}");
    }
    shape.settings.health.start_period = Millis::from_secs(3_600);
    let run = text(&shape, ExportTarget::CloudRun, "cloudrun.yaml");
    assert!(run.contains("failureThreshold: 16"), "240 s at most: {run}");
}

/// A path of a host is carried where there are paths, and said where there are none.
#[test]
fn a_path_of_a_host_is_not_the_whole_host() {
    let shapes = shapes::all();
    let shape = shapes.iter().find(|shape| shape.name.as_str() == "two-domains").unwrap();
    for target in ExportTarget::ALL {
        let made = export(&shape.input(), target);
        let said = |text: &str| text.contains("example.com leads to the app at /shop only");
        let noted = made.notes.iter().any(|note| said(note));
        assert_eq!(noted, target != ExportTarget::Kubernetes, "{target}");
        let commented = made.files.iter().any(|file| said(&file.contents));
        assert_eq!(commented, noted && target != ExportTarget::Vercel, "{target}: {made:?}");
    }
    let made = export(&shape.input(), ExportTarget::Kubernetes);
    let text = made.file("kubernetes.yaml").unwrap();
    assert_eq!(text.matches("host: example.com").count(), 1, "{text}");
    assert!(text.contains("path: /shop") && text.contains("path: /cart") && text.contains("path: /\n"), "{text}");
}

#[test]
fn what_the_plan_warns_of_is_told() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "plain-node").unwrap();
    shape.plan.warnings = vec!["a variable has no value".to_owned()];
    for target in ExportTarget::ALL {
        let made = export(&shape.input(), target);
        assert_eq!(made.notes.last(), shape.plan.warnings.first(), "{}", target.as_str());
    }
}

/// `seed` and its like run when somebody asks: what is exported does not start them.
#[test]
fn what_runs_once_is_not_kept_running() {
    let shapes = shapes::all();
    let mut shape = shapes.into_iter().find(|shape| shape.name.as_str() == "everything").unwrap();
    shape.plan.processes.insert("seed".parse().unwrap(), "node seed.js".to_owned());
    for target in ExportTarget::ALL {
        let made = export(&shape.input(), target);
        let text: String = made.files.iter().map(|file| file.contents.as_str()).collect();
        match target {
            ExportTarget::Railway | ExportTarget::Render => {
                assert!(made.notes.iter().any(|note| note.contains("Run it by hand: `node seed.js`")), "{made:?}");
                assert!(!text.contains("startCommand = \"node seed.js\"") && !text.contains("name: everything-seed"));
            }
            ExportTarget::Compose | ExportTarget::Kubernetes => assert!(text.contains("replicas: 0"), "{text}"),
            ExportTarget::Ecs => assert!(made.notes.iter().any(|note| note
                == "seed: A task definition has no number of instances: make a service with --desired-count 0.")),
            _ => {}
        }
    }
}

#[test]
fn a_secret_that_the_tree_writes_down_is_a_reference() {
    let files = [("package.json", r#"{"scripts":{"start":"node a.js"}}"#), ("a.js", "")];
    let mut tree = MemoryTree::from(files);
    tree.insert("sh0.toml", "[env]\nSTRIPE_SECRET_KEY = 'sk_live_4eC39Hq'\nTITLE = 'Shop'");
    let settings = AppSettings::default();
    let plan = plan_tree(&tree, &settings, &Options::default()).unwrap();
    let name = "shop".parse().unwrap();
    let (scale, env) = (BTreeMap::new(), BTreeMap::new());
    let input = ExportInput {
        name: &name,
        plan: &plan,
        settings: &settings,
        scale,
        env,
        domains: vec![],
        crons: vec![],
        image: None,
    };
    for target in ExportTarget::ALL {
        let export = export(&input, target);
        let all: String = export.files.iter().map(|file| file.contents.as_str()).collect();
        assert!(!all.contains("sk_live"), "{target:?}: {all}");
        assert!(export.notes.iter().any(|note| note.contains("STRIPE_SECRET_KEY")), "{target:?}: {:?}", export.notes);
        if target == ExportTarget::Compose {
            assert!(
                all.contains("${STRIPE_SECRET_KEY:?set STRIPE_SECRET_KEY}") && all.contains("TITLE: Shop"),
                "{all}"
            );
        }
    }
}
