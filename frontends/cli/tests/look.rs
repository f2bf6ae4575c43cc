//! The real binary on folders of source, where no server runs and nothing listens.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

/// A folder with one tree in it, and the folder of data that nobody makes.
struct Place(tempfile::TempDir);

impl Place {
    fn of(files: &[(&str, &str)]) -> Place {
        let place = Place(tempfile::Builder::new().prefix("sh0-look-").tempdir().unwrap());
        fs::create_dir(place.tree()).unwrap();
        for (path, text) in files {
            let path = place.tree().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        place
    }

    fn tree(&self) -> PathBuf {
        self.0.path().join("tree")
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sh0"));
        command.args(line.split(' ')).current_dir(self.tree()).stdin(Stdio::null());
        // A server that does not answer: none of these verbs asks one.
        command.env("SH0_DATA", self.0.path().join("data")).env("SH0_URL", "http://127.0.0.1:9");
        command.env_remove("NO_COLOR");
        command
    }

    /// Runs a verb in the tree; answers exit code, standard output, standard error.
    fn run(&self, line: &str) -> (i32, String, String) {
        let output = self.command(line).output().unwrap();
        assert!(!self.0.path().join("data").exists(), "{line}: a folder of data was made");
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    fn ok(&self, line: &str) -> String {
        let (code, out, err) = self.run(line);
        assert_eq!((code, err.as_str()), (0, ""), "{line}\n{out}");
        out
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(line)).unwrap()
    }
}

/// A Node app with a worker, a fixed port and a variable that has no value.
fn shop() -> Place {
    Place::of(&[
        ("package.json", "{\n  \"dependencies\": { \"express\": \"^5\" },\n  \"engines\": { \"node\": \"22\" }\n}\n"),
        ("package-lock.json", "{}"),
        ("Procfile", "web: node server.js\nworker: node worker.js\nrelease: node migrate.js\n"),
        ("server.js", "require('express')().listen(process.env.PORT)\n"),
        ("app.json", "{ \"env\": { \"SHOP_KEY\": { \"required\": true } } }"),
    ])
}

/// Two findings of a grave rule, one that its owner allows.
fn careless() -> Place {
    Place::of(&[
        ("Dockerfile", "FROM node:24-slim\nARG API_TOKEN=abc123def\nCOPY . .\nCMD [\"node\", \"server.js\"]\n"),
        ("server.js", "require('http').createServer().listen(3000) // sh0:ignore NET02 one release at a time\n"),
    ])
}

#[test]
fn a_plan_tells_what_and_why() {
    let shop = shop();
    insta::assert_snapshot!("plan", shop.ok("plan"));
    assert_eq!(shop.ok("plan ."), shop.ok("plan"));
    let dockerfile = shop.ok("plan --dockerfile");
    assert!(
        dockerfile.contains("FROM node:22-bookworm-slim") && dockerfile.contains("--mount=type=cache"),
        "{dockerfile}"
    );
}

#[test]
fn a_plan_has_stable_keys() {
    let plan = shop().json("plan --json");
    for (key, value) in [
        ("language", "node"),
        ("package_manager", "npm"),
        ("framework", "express"),
        ("version", "22"),
        ("start_command", "node server.js"),
    ] {
        assert_eq!(plan[key], value, "{plan:#}");
    }
    assert_eq!((&plan["install"][0], &plan["port"]), (&"npm ci --omit=dev".into(), &8080.into()));
    assert_eq!(plan["processes"]["worker"], "node worker.js");
    assert!(plan["reasons"].is_array() && plan["warnings"].is_array(), "{plan:#}");

    let schema = shop().json("schema plan");
    let described = schema["properties"].as_object().unwrap();
    assert!(plan.as_object().unwrap().keys().all(|key| described.contains_key(key)), "{schema:#}");
    let config = shop().json("schema sh0.toml");
    assert!(config["properties"]["start_command"].is_object(), "{config:#}");
    let (code, _, err) = shop().run("schema nothing");
    assert!(code == 2 && err.contains("plan"), "{code}: {err}");
}

#[test]
fn a_member_of_a_workspace_is_picked() {
    let member = "{ \"scripts\": { \"start\": \"node index.js\" } }";
    let place = Place::of(&[
        ("package.json", "{ \"workspaces\": [\"apps/*\"] }"),
        ("package-lock.json", "{}"),
        ("apps/web/package.json", member),
        ("apps/api/package.json", member),
    ]);
    for app in ["web", "api"] {
        let plan = place.json(&format!("plan --json --root apps/{app}"));
        assert_eq!(plan["start_command"], format!("cd apps/{app} && node index.js"), "{plan:#}");
    }
    let (_, out, err) = place.run("export . --to compose --root apps/api");
    assert!(out.contains("cd apps/api && exec node index.js"), "{out}{err}");
    // Such a word may be an app; with a root it is a folder.
    let (code, _, err) = place.run("export apps --to compose --root web");
    assert_eq!(code, 0, "{err}");
    for verb in ["plan --root apps/nope", "check --root apps/nope", "export . --to compose --root apps/nope"] {
        let (code, _, err) = place.run(verb);
        assert!(code == 2 && err.contains("apps/nope"), "{verb}: {code}: {err}");
    }
}

#[test]
fn what_has_no_plan_says_why() {
    let (code, out, err) = Place::of(&[]).run("plan");
    assert_eq!((code, out.as_str()), (7, ""));
    assert!(err.contains("The folder is empty") && err.contains("Procfile"), "{err}");
    let (code, _, err) = Place::of(&[]).run("plan --json nowhere");
    let problem: Value = serde_json::from_str(&err).unwrap();
    assert_eq!((code, &problem["code"]), (5, &"not_found".into()), "{err}");
    let (code, _, err) = careless().run("plan --dockerfile");
    assert!(code == 6 && err.contains("its own"), "{code}: {err}");
    assert_eq!(Place::of(&[]).run("plan --nope").0, 2);
}

#[test]
fn a_check_tells_what_to_do_and_can_fail() {
    let careless = careless();
    insta::assert_snapshot!("check", careless.ok("check"));
    let report = careless.json("check --json");
    let first = &report["findings"][0];
    assert_eq!((&first["rule"], &first["file"], &first["line"]), (&"SEC06".into(), &"Dockerfile".into(), &2.into()));
    assert!(!first["why"].as_str().unwrap().is_empty() && !first["fix"].as_str().unwrap().is_empty());
    assert_eq!(report["suppressed"][0]["finding"]["rule"], "NET02");
    let sarif = careless.json("check --sarif");
    assert_eq!((&sarif["version"], &sarif["runs"][0]["results"][0]["ruleId"]), (&"2.1.0".into(), &"SEC06".into()));

    let gravest: String = serde_json::from_value(first["severity"].clone()).unwrap();
    for (level, code) in [("info", 9), (&gravest, 9)] {
        assert_eq!(careless.run(&format!("check --fail-on {level}")).0, code, "{level}");
    }
    assert_eq!(careless.run("check --fail-on worst").0, 2);
    let calm = Place::of(&[("index.html", "hello")]);
    assert!(calm.ok("check --fail-on info").starts_with("score 100 of 100"));
}

#[test]
fn a_check_follows_what_the_owner_wants() {
    let policy = |level: &str| {
        let careless = careless();
        fs::write(careless.tree().join("sh0.toml"), format!("[check]\nfail_on = \"{level}\"\n")).unwrap();
        careless
    };
    let strict = policy("low");
    assert_eq!(strict.run("check").0, 9);
    assert_eq!(strict.run("check --fail-on never").0, 0, "what is typed comes first");
    assert_eq!(strict.json("check --json --fail-on never")["fail_on"], "low");
    let allowed = "ignore = [{ rule = \"SEC06\", reason = \"a test\" }]\n";
    fs::write(strict.tree().join("sh0.toml"), format!("[check]\nfail_on = \"high\"\n{allowed}")).unwrap();
    let report = strict.json("check --json --fail-on never");
    let grave = |finding: &Value| finding["severity"] == "high" || finding["severity"] == "critical";
    let left = report["findings"].as_array().unwrap().iter().any(grave);
    assert_eq!(strict.run("check").0, if left { 9 } else { 0 });
    assert!(!left, "only what is allowed was grave: {report:#}");

    let wrong = policy("worst");
    for verb in ["plan", "check"] {
        let (code, _, err) = wrong.run(verb);
        assert_eq!(code, 2, "{verb}: {err}");
        for word in ["sh0.toml:2", "check.fail_on", "worst", "low, medium, high, critical or never"] {
            assert!(err.contains(word), "{verb}: {word}: {err}");
        }
    }
    fs::write(wrong.tree().join("sh0.toml"), "[check]\nfailon = \"high\"\n").unwrap();
    let (code, _, err) = wrong.run("check");
    assert!(code == 2 && err.contains("did you mean `fail_on`?"), "{code}: {err}");
}

#[test]
fn a_folder_is_exported_without_a_server() {
    let shop = shop();
    let (code, out, err) = shop.run("export . --to compose");
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("# tree for Docker Compose") && out.contains("node worker.js"), "{out}");
    let (beside, warning) = err.split_once('\n').unwrap();
    assert_eq!(beside, "compose.yaml needs Dockerfile, .dockerignore beside it");
    assert!(warning.contains("SHOP_KEY"), "what the plan warns of: {err}");
    for target in ["compose", "kubernetes", "ecs", "cloudrun", "vercel", "railway", "render"] {
        let export = serde_json::from_str::<Value>(&shop.run(&format!("export . --to {target} --json")).1).unwrap();
        assert_eq!(export["target"], target);
        assert!(!export["files"][0]["contents"].as_str().unwrap().is_empty(), "{export:#}");
        assert!(export.to_string().contains("node migrate.js"), "carried or told: {export:#}");
    }
    let several = shop.run("export . --to ecs").1;
    assert!(several.contains("==> ecs/web.yaml <==") && several.contains("==> ecs/worker.yaml <=="), "{several}");

    let (code, out, err) = shop.run("export . --to compose -o deploy/shop.yaml");
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    let read = |path: &str| fs::read_to_string(shop.tree().join("deploy").join(path)).unwrap();
    assert!(read("shop.yaml").contains("services:") && read("Dockerfile").contains("FROM node:22"));
    fs::write(shop.tree().join("deploy/shop.yaml"), "mine").unwrap();
    let (code, _, err) = shop.run("export . --to compose -o deploy/shop.yaml");
    assert!(code == 6 && err.contains("deploy/shop.yaml is there") && err.contains("--force"), "{code}: {err}");
    assert_eq!(read("shop.yaml"), "mine");
    assert_eq!(shop.run("export . --to compose -o deploy/shop.yaml --force").0, 0);
    assert_ne!(read("shop.yaml"), "mine");

    assert_eq!(shop.run("export ./nowhere --to compose").0, 5);
    let (code, _, err) = shop.run("export . --to nomad");
    assert!(code == 2 && err.contains("cloudrun"), "{code}: {err}");
    assert_eq!(Place::of(&[]).run("export . --to compose").0, 7, "there is no app in it");
}

#[test]
fn only_a_terminal_gets_colours() {
    let place = shop();
    assert!(!place.ok("plan").contains('\x1b'));
    assert!(on_terminal(place.command("plan")).contains("\x1b[2m"));
    let mut plain = place.command("plan");
    plain.env("NO_COLOR", "1");
    assert!(!on_terminal(plain).contains('\x1b'));
}

/// What a program prints where its standard output is a terminal.
fn on_terminal(mut command: Command) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let side = fs::OpenOptions::new().read(true).write(true).open(Path::new(&name)).unwrap();
    assert!(command.stdout(side).status().unwrap().success());
    drop(command);
    let mut text = Vec::new();
    // It ends with an error once nobody has the other side.
    let _ = fs::File::from(terminal).read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
