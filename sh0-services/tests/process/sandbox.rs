//! What an app cannot reach.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sh0_core::model::{Plan, Secret};
use sh0_core::traits::Runtime;
use sh0_services::runtime::process::ProcessRuntime;

use crate::harness::*;

#[tokio::test]
async fn an_app_cannot_reach_the_platform() {
    let place = Place::new();
    place.tree(&[("file", "own"), ("made", "")]);
    let data = place.data.path();
    fs::write(data.join("sh0.db"), "the store").unwrap();
    fs::set_permissions(data.join("sh0.db"), fs::Permissions::from_mode(0o666)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(data.join("sh0.sock")).unwrap();
    fs::set_permissions(data.join("sh0.sock"), fs::Permissions::from_mode(0o777)).unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(outside.path().join("secret"), "of somebody else").unwrap();
    let runtime = place.open().await;
    let build = vec!["test \"$BUILD_SECRET\" = 'of the build' && id -u > made && echo built >> made".to_owned()];
    let artifact = place.build(&runtime, &Plan { build, ..Plan::default() }).await.unwrap();
    let neighbour = place.spec(&artifact, STAY);
    up(&runtime, &neighbour).await;

    let ask = |line: String| {
        let mut spec = place.spec(&artifact, &line);
        spec.labels.one_off = true;
        spec
    };
    let data = data.display();
    let denied = [
        format!("cat {data}/sh0.db"),
        format!("ls {data}/process/instances"),
        format!("cat {data}/process/instances/{}/spec.json", neighbour.name),
        format!("cat {data}/process/users.json"),
        format!("ls {data}/process/tmp/{}", neighbour.name),
        format!("echo x > {data}/new"),
        format!("cat {}/secret", outside.path().display()),
        format!("echo x > {}/new", outside.path().display()),
        "echo x > /usr/new".to_owned(),
        "cat /root/.profile".to_owned(),
        format!("kill {}", std::process::id()),
        format!("cat /proc/{}/environ", std::process::id()),
        format!("ls /proc/{}/root/", std::process::id()),
    ];
    for line in denied {
        let (text, code) = run(&runtime, &ask(format!("{line} 2>&1"))).await;
        assert_ne!(code, 0, "`{line}` should be refused: {text}");
    }
    if has(&runtime, "hidden platform files").await {
        let (_, code) = run(&runtime, &ask(format!("test -e {data}/sh0.sock"))).await;
        assert_ne!(code, 0, "the socket is not even there");
        for hidden in ["sh0.db", "source", "process/instances", "process/states", "process/users.json"] {
            let (_, code) = run(&runtime, &ask(format!("test -e {data}/{hidden}"))).await;
            assert_ne!(code, 0, "{hidden} is not even there");
        }
    }
    let allowed = [
        "cat file made",
        "echo x > new && rm new && mkdir dir && mv file moved && mv moved dir/ && mv dir/moved file && rmdir dir",
        "echo x > $TMPDIR/a && echo y > $HOME/b && cat $TMPDIR/a $HOME/b",
        "echo out > /dev/stdout && echo err > /dev/stderr && echo gone > /dev/null",
        "cat /etc/hostname && ls /usr/bin > /dev/null && head -c 4 /dev/urandom > /dev/null",
        "sh -c 'kill -0 $PPID'",
    ];
    for line in allowed {
        let (text, code) = run(&runtime, &ask(format!("{{ {line}; }} 2>&1"))).await;
        assert_eq!(code, 0, "`{line}` should work: {text}");
    }
    let (user, _) = run(&runtime, &ask("id -u; id -G; grep NoNewPrivs /proc/self/status".into())).await;
    if is_root() {
        let user: Vec<&str> = user.split_whitespace().collect();
        assert!((200_000..500_000).contains(&user[0].parse::<u32>().unwrap()), "{user:?}");
        assert_eq!(user[0], user[1], "no other groups");
        let made = fs::read_to_string(
            place.data.path().join(format!("process/releases/{}/{}/tree/made", place.app, artifact.id)),
        );
        assert!(made.unwrap().starts_with(user[0]), "builds run as the app's user too");
    }
    assert!(user.ends_with("1\n"), "no new privileges");
    runtime.remove(&neighbour.name).await.unwrap();
}

#[tokio::test]
async fn how_the_world_is_reached_is_told_to_builds_alone() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    // In a folder that apps may not look into.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let authority = elsewhere.path().join("authority.pem");
    fs::write(&authority, "trust").unwrap();
    fs::set_permissions(&authority, fs::Permissions::from_mode(0o644)).unwrap();
    let mut config = place.config();
    for (name, value) in [
        ("SSL_CERT_FILE", authority.to_str().unwrap()),
        ("HTTPS_PROXY", "http://user:word@proxy.test:3128"),
        ("BUILD_SECRET", "of the host"),
    ] {
        config.build_env.insert(name.into(), Secret::new(value));
    }
    assert!(!format!("{config:?}").contains("word"));
    let runtime = ProcessRuntime::open(config).await.unwrap();
    let build = "cat $SSL_CERT_FILE > told && echo $HTTPS_PROXY >> told && echo $BUILD_SECRET >> told";
    let plan = Plan { build: vec![build.into()], ..Plan::default() };
    let artifact = place.build(&runtime, &plan).await.unwrap();
    let spec = place.spec(&artifact, "cat told; env");
    let (text, _) = run(&runtime, &spec).await;
    assert!(text.starts_with("trusthttp://user:word@proxy.test:3128\nof the build\n"), "the app's own win: {text}");
    for name in ["SSL_CERT_FILE", "HTTPS_PROXY", "BUILD_SECRET"] {
        assert!(!text.contains(&format!("{name}=")), "{name}: {text}");
    }
}

#[tokio::test]
async fn the_environment_is_what_was_given_and_nothing_else() {
    let place = Place::new();
    place.tree(&[("file", "")]);
    let mut config = place.config();
    config.toolchain.insert("TOOLCHAIN_HOME".into(), "/opt/toolchain".into());
    let runtime = ProcessRuntime::open(config).await.unwrap();
    let plan = Plan { paths: vec!["bin".parse().unwrap()], ..Plan::default() };
    let artifact = place.build(&runtime, &plan).await.unwrap();
    let mut spec = place.spec(&artifact, "env | cut -d= -f1 | sort | tr '\\n' ' '; echo $PATH");
    spec.env.insert("MINE".parse().unwrap(), Secret::new("x"));
    let (text, _) = run(&runtime, &spec).await;
    let (keys, path) = text.trim().rsplit_once(' ').unwrap();
    let keys: Vec<&str> = keys.split(' ').filter(|key| *key != "PWD").collect();
    assert_eq!(keys, ["HOME", "LANG", "MINE", "PATH", "TMPDIR", "TOOLCHAIN_HOME"]);
    assert!(path.contains("/tree/bin:/usr/local/sbin:"), "folders of the plan come first: {path}");
}
