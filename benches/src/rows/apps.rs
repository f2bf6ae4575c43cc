//! Real apps that are not ours: deployed from their git trees with `sh0 deploy`, and asked for their own text.
//!
//! What is deployed is a list, `benches/apps/real.tsv`; the trees are git directories of the machine, below the folder
//! behind `--mirror`: `OWNER+NAME`, or `OWNER+NAME/repo`. Columns, separated by tabs:
//!
//! | column | what |
//! | --- | --- |
//! | `name` | of the app here |
//! | `stack` | such as `node` |
//! | `repo` | `owner/name` |
//! | `ref` | branch, tag or commit; the default branch when empty |
//! | `folder` | of the app within the repository; all of it when empty |
//! | `path` | what is asked for; `/` when empty |
//! | `expected` | a part of the body; with `log:` in front, a part of what it prints |
//! | `runtimes` | `process`, `docker`, or both with a comma |
//! | `env` | `NAME=VALUE`, separated by `;` |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sh0::model::{AppName, RuntimeKind};
use sh0::ops::apps::{CreateApp, DeleteApp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{git_dir, number, progress, word};
use crate::Outcome;
use crate::platform::{Platform, Programs};
use crate::report::Report;

/// For an app that has started to say what it should say.
const ANSWER: Duration = Duration::from_secs(20);

/// Fewer would prove nothing about stacks.
const LEAST: usize = 30;
const LEAST_ON_BOTH: usize = 12;

/// A line of the list.
#[derive(Debug, Clone)]
struct RealApp {
    name: String,
    stack: String,
    repo: String,
    reference: String,
    folder: String,
    path: String,
    expected: String,
    runtimes: Vec<RuntimeKind>,
    env: Vec<(String, String)>,
}

/// The whole row.
pub async fn prove() -> Outcome<Report> {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("apps/real.tsv");
    let list = word("--list").map_or_else(own, PathBuf::from);
    let mirror = PathBuf::from(word("--mirror").ok_or("say where the git trees are: --mirror FOLDER")?);
    let only = word("--only");
    let apps: Vec<RealApp> = fs::read_to_string(list)?.lines().skip(1).filter_map(read).collect();
    let programs = Programs::find()?;
    let images = word("--image-mirror");
    let more: Vec<&str> = images.iter().flat_map(|images| ["--image-mirror", images]).collect();
    let platform = Platform::start_with(&programs, RuntimeKind::Docker, &more).await?;
    let limit = Duration::from_secs(number("--limit", 600));

    let (mut rows, mut whole, mut both) = (Vec::new(), 0, 0);
    for app in apps.iter().filter(|app| only.as_deref().is_none_or(|only| app.name.contains(only))) {
        let mut results = Vec::new();
        for &runtime in &app.runtimes {
            let began = Instant::now();
            let result = deploy(&platform, &programs, app, runtime, &mirror, limit).await;
            let text = match &result {
                Ok(()) => format!("{:.0} s", began.elapsed().as_secs_f64()),
                Err(error) => format!("**no**: {}", shortened(&error.to_string())),
            };
            progress(format!("{} on {runtime}: {text}", app.name));
            results.push((runtime, result.is_ok(), text));
        }
        let good = results.iter().filter(|(_, good, _)| *good).count();
        whole += usize::from(good > 0);
        both += usize::from(good == 2);
        let on = |kind| results.iter().find(|(k, _, _)| *k == kind).map_or(String::new(), |(_, _, text)| text.clone());
        let place = if app.folder.is_empty() { app.repo.clone() } else { format!("{} {}", app.repo, app.folder) };
        rows.push([
            app.name.clone(),
            app.stack.clone(),
            place,
            app.expected.clone(),
            on(RuntimeKind::Process),
            on(RuntimeKind::Docker),
        ]);
    }
    let mut report = Report::default();
    report.section(&format!(
        "{whole} of {} apps answer with their own text, {both} of them on both runtimes",
        rows.len()
    ));
    report.table(&["app", "stack", "from", "expected", "process", "docker"], rows);
    report.say("The time is from `sh0 deploy --git` to the expected text. Each tree is deployed as a git repository of its own: exactly the files of the app at the commit of the snapshot.");
    if only.is_none() && (whole < LEAST || both < LEAST_ON_BOTH) {
        report.problem(format!("{whole} apps and {both} on both runtimes, not {LEAST} and {LEAST_ON_BOTH}"));
    }
    Ok(report)
}

async fn deploy(
    platform: &Platform,
    programs: &Programs,
    app: &RealApp,
    runtime: RuntimeKind,
    mirror: &Path,
    limit: Duration,
) -> Outcome {
    let tree = own_repository(&git_dir(mirror, &app.repo)?, app, &platform.beside(&format!("{}-{runtime}", app.name)))?;
    let name: AppName = format!("{}-{runtime}", app.name).parse()?;
    let env: serde_json::Map<String, Value> =
        app.env.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let create = json!({ "name": name, "runtime": runtime, "env": env });
    let created = platform.api().call(serde_json::from_value::<CreateApp>(create)?).await?;
    let git = tree.display().to_string();
    let outcome = async {
        let mut deploy = tokio::process::Command::new(&programs.sh0);
        deploy.arg("deploy").arg("--git").arg(git).arg("-a").arg(name.as_str());
        deploy.arg("--json").arg("--data").arg(platform.data());
        deploy.stdin(Stdio::null()).kill_on_drop(true);
        let output =
            tokio::time::timeout(limit, deploy.output()).await.map_err(|_| format!("took over {limit:?}"))??;
        if !output.status.success() {
            let problem: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
            let detail = problem["detail"].as_str().map(str::to_owned);
            return Err(detail.unwrap_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned()).into());
        }
        match app.expected.strip_prefix("log:") {
            Some(expected) => printed(platform, programs, &name, expected),
            None => answered(created.port, &app.path, &app.expected).await,
        }
    };
    let outcome = outcome.await;
    platform.api().call(DeleteApp { app: created.id.into(), keep_volumes: false }).await?;
    outcome
}

/// Asks until the body has the expected text.
async fn answered(port: u16, path: &str, expected: &str) -> Outcome {
    let began = Instant::now();
    loop {
        let text = match tokio::time::timeout(ANSWER, ask(port, path)).await {
            Ok(Ok(text)) if text.contains(expected) => return Ok(()),
            Ok(Ok(text)) => text,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if began.elapsed() > ANSWER {
            return Err(format!("the answer has no {expected:?}: {text}").into());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn ask(port: u16, path: &str) -> Outcome<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// For apps that serve nothing.
fn printed(platform: &Platform, programs: &Programs, name: &AppName, expected: &str) -> Outcome {
    let output = Command::new(&programs.sh0)
        .args(["logs", "-a", name.as_str(), "--data"])
        .arg(platform.data())
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains(expected) { Ok(()) } else { Err(format!("its log has no {expected:?}: {text}").into()) }
}

/// The app's tree alone, as a repository of its own: snapshots of large repositories lack files of other folders, and
/// git clones nothing that is not whole.
fn own_repository(from: &Path, app: &RealApp, to: &Path) -> Outcome<PathBuf> {
    let reference = if app.reference.is_empty() { "HEAD" } else { &app.reference };
    let mut archive = git(from);
    archive.args(["archive", "--format=tar"]).arg(format!("{reference}:{}", app.folder)).stdout(Stdio::piped());
    let mut archive = archive.spawn()?;
    tar::Archive::new(archive.stdout.take().ok_or("git has no output")?).unpack(to)?;
    if !archive.wait()?.success() {
        return Err(format!("{} has no {} at {reference}", app.repo, app.folder).into());
    }
    let commit = ["-c", "user.name=proof", "-c", "user.email=proof@localhost", "commit", "--quiet", "--message=tree"];
    for args in [&["init", "--quiet"][..], &["add", "--all", "--force"], &commit] {
        let status = git(to).args(args).status()?;
        if !status.success() {
            return Err(format!("git {args:?}: {status}").into());
        }
    }
    Ok(to.to_owned())
}

fn git(dir: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(dir).stdin(Stdio::null()).stdout(Stdio::null());
    git
}

fn read(line: &str) -> Option<RealApp> {
    let mut columns = line.split('\t').map(str::trim).chain(std::iter::repeat(""));
    let mut next = || columns.next().unwrap_or_default().to_owned();
    let (name, stack, repo, reference, folder) = (next(), next(), next(), next(), next());
    let (path, expected, runtimes, env) = (next(), next(), next(), next());
    let kind = |text: &str| match text.trim() {
        "process" => Some(RuntimeKind::Process),
        "docker" => Some(RuntimeKind::Docker),
        _ => None,
    };
    let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let app = RealApp {
        path: if path.is_empty() { "/".to_owned() } else { path },
        runtimes: runtimes.split(',').filter_map(kind).collect(),
        env: env.split(';').filter_map(pair).collect(),
        ..RealApp { name, stack, repo, reference, folder, path: String::new(), expected, runtimes: vec![], env: vec![] }
    };
    (!app.name.is_empty() && !app.name.starts_with('#')).then_some(app)
}

fn shortened(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let most = 300;
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}
