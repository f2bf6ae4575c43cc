//! Real apps that are not ours: deployed from their git trees with `sh0 deploy`, and asked for their own text.
//!
//! What is deployed is a list, `benches/apps/real.tsv`. The trees are git directories of the machine, below the folder
//! behind `--mirror`: `OWNER+NAME`, or `OWNER+NAME/repo`; what is not there is fetched from GitHub.
//!
//! With `--image-mirror sh0-test`, images are stand-ins, which `cargo xtask prove` makes first. `--only TEXT` takes the
//! apps whose names have it, `--limit SECONDS` bounds each deploy, `--at-once N` is how many are under way, and after
//! `--budget SECONDS` none is begun.
//!
//! Columns of the list, separated by tabs:
//!
//! | column | what |
//! | --- | --- |
//! | `name` | of the app here |
//! | `stack` | such as `node` |
//! | `repo` | `owner/name` |
//! | `ref` | commit |
//! | `folder` | of the app within the repository; all of it when empty |
//! | `path` | what is asked for; `/` when empty |
//! | `expected` | a part of the body of an answer 200; with `log:` in front, a part of what it prints |
//! | `runtimes` | `process`, `docker`, or both with a comma |
//! | `env` | `NAME=VALUE`, separated by `;`; with `process:` or `docker:` in front, on that runtime alone |
//! | `scale` | `PROCESS=COUNT`, separated by `;`: 0 for what ends at once |
//! | `images` | `NAME=STAND-IN`: an image that its Dockerfile names, and what has that name during the proof where there are stand-ins and no such image |
//! | `note` | what is known of a failure |

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use sh0::model::{AppName, ImagePlan, RuntimeKind};
use sh0::ops::apps::{CreateApp, DeleteApp};
use sh0::ops::releases::ListReleases;
use sh0_docker::client::{Client, RemoveImage};

use super::sources::{self, Place, git};
use super::{number, progress, word};
use crate::load::ask;
use crate::platform::{Platform, Programs, addr};
use crate::report::Report;
use crate::{Outcome, engine};

/// For an app that has started to say what it should say.
const ANSWER: Duration = Duration::from_secs(20);

/// Fewer would prove nothing about stacks.
const LEAST: usize = 30;
const LEAST_ON_BOTH: usize = 12;
const LEAST_GENERATED: usize = 40;
const LEAST_PER_STACK: usize = 4;
const STACKS: &[&str] =
    &["static", "node", "python", "go", "rust", "php", "ruby", "java", "deno", "bun", "procfile", "dockerfile"];

/// A line of the list.
#[derive(Debug, Clone)]
struct RealApp {
    name: String,
    stack: String,
    place: Place,
    path: String,
    expected: String,
    runtimes: Vec<RuntimeKind>,
    env: Vec<(String, String)>,
    scale: Vec<(String, String)>,
    images: Vec<(String, String)>,
    note: String,
}

/// What happened on one runtime.
struct Run {
    runtime: RuntimeKind,
    good: bool,
    /// In an image by the Dockerfile that sh0 wrote.
    generated: bool,
    text: String,
}

/// What every deploy needs.
struct Bench {
    platform: Platform,
    programs: Programs,
    mirror: PathBuf,
    limit: Duration,
    began: Instant,
    budget: Duration,
}

/// The whole row.
pub async fn prove() -> Outcome<Report> {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("apps/real.tsv");
    let list = word("--list").map_or_else(own, PathBuf::from);
    let only = word("--only");
    let wanted = |app: &RealApp| only.as_deref().is_none_or(|only| app.name.contains(only));
    let apps: Vec<RealApp> = fs::read_to_string(list)?.lines().skip(1).filter_map(read).filter(wanted).collect();
    let mirror = sources::mirror()?;
    apps.iter().try_for_each(|app| app.place.fetch(&mirror))?;

    let programs = Programs::find()?;
    let images = word("--image-mirror");
    let more: Vec<&str> = images.iter().flat_map(|images| ["--image-mirror", images]).collect();
    let platform = Platform::start_with(&programs, RuntimeKind::Docker, &more).await?;
    let limit = Duration::from_secs(number("--limit", 900));
    let budget = Duration::from_secs(number("--budget", 4 * 3600));
    let bench = Bench { platform, programs, mirror, limit, began: Instant::now(), budget };
    let engine = engine::usual().await?;
    let named = match &images {
        Some(images) => name_stand_ins(&engine, images, &apps).await?,
        None => Vec::new(),
    };
    let at_once = usize::try_from(number("--at-once", 2))?.max(1);
    let begin = |place: usize| runs(&bench, &apps[place]).map(move |runs| (place, runs));
    let mut runs: Vec<_> = stream::iter(by_turns(&apps)).map(begin).buffer_unordered(at_once).collect().await;
    runs.sort_by_key(|(place, _)| *place);
    let runs: Vec<Vec<Run>> = runs.into_iter().map(|(_, runs)| runs).collect();
    for name in named {
        engine.remove_image(&name, RemoveImage::default()).await?;
    }
    let mut report = report(&apps, &runs, only.is_none());
    report.say(format!(
        "On processes, builds use what the host has: {}. Images: {}.",
        tools().join(", "),
        match &images {
            Some(images) => format!(
                "stand-ins below `{images}`, of which `cargo xtask images` makes those of `sh0-test`; {}",
                in_place_of(&apps)
            ),
            None => "those of the default registry".to_owned(),
        }
    ));
    Ok(report)
}

/// Languages of the host and their versions.
fn tools() -> Vec<String> {
    let version = |(name, arg): (&str, &str)| {
        let output = Command::new(name).arg(arg).stdin(Stdio::null()).output().ok();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        // `v20.20.0`, `Python 3.11.2`, `go version go1.25.0 linux/amd64`, `cargo 1.95.0 (..)`
        let number = text.split(' ').find_map(|word| word.find(|c: char| c.is_ascii_digit()).map(|from| &word[from..]));
        format!("{name} {}", number.unwrap_or("not there"))
    };
    [("node", "--version"), ("python3", "--version"), ("go", "version"), ("cargo", "--version")].map(version).into()
}

/// The places of the list, a turn of each stack after the other: slow ones do not wait for each other.
fn by_turns(apps: &[RealApp]) -> Vec<usize> {
    let mut turns: BTreeMap<&str, usize> = BTreeMap::new();
    let mut places: Vec<(usize, usize)> = Vec::new();
    for (place, app) in apps.iter().enumerate() {
        let turn = turns.entry(&app.stack).or_default();
        places.push((*turn, place));
        *turn += 1;
    }
    places.sort_unstable();
    places.into_iter().map(|(_, place)| place).collect()
}

/// One app on each of its runtimes.
async fn runs(bench: &Bench, app: &RealApp) -> Vec<Run> {
    let mut runs = Vec::new();
    for &runtime in &app.runtimes {
        let began = Instant::now();
        let result = match bench.began.elapsed() < bench.budget {
            true => deploy(bench, app, runtime).await,
            false => Err("not begun: the time was up".into()),
        };
        let text = match &result {
            Ok(_) => format!("{:.0} s", began.elapsed().as_secs_f64()),
            Err(error) => format!("**no**: {}", shortened(&error.to_string())),
        };
        progress(format!("{} on {runtime}: {text}", app.name));
        runs.push(Run { runtime, good: result.is_ok(), generated: result.unwrap_or(false), text });
    }
    runs
}

fn report(apps: &[RealApp], runs: &[Vec<Run>], whole_list: bool) -> Report {
    let good = |runs: &Vec<Run>| runs.iter().filter(|run| run.good).count();
    let is_generated = |runs: &Vec<Run>| runs.iter().any(|run| run.generated);
    let answering = runs.iter().filter(|runs| good(runs) > 0).count();
    let both = runs.iter().filter(|runs| good(runs) == 2).count();
    let generated = runs.iter().filter(|runs| is_generated(runs)).count();
    let mut stacks: BTreeMap<&str, (usize, usize)> = STACKS.iter().map(|stack| (*stack, (0, 0))).collect();
    for (app, runs) in apps.iter().zip(runs).filter(|(_, runs)| good(runs) > 0) {
        let (answering, generated) = stacks.entry(&app.stack).or_default();
        *answering += 1;
        *generated += usize::from(is_generated(runs));
    }

    let mut report = Report::default();
    report.section(&format!(
        "{answering} of {} apps answer with their own text, {both} of them on both runtimes, {generated} built by their \
         generated Dockerfile on Docker",
        apps.len()
    ));
    let stack = |(stack, (answering, generated)): (&&str, &(usize, usize))| {
        [(*stack).to_owned(), answering.to_string(), generated.to_string()]
    };
    report.table(&["stack", "apps that answer", "by their generated Dockerfile on Docker"], stacks.iter().map(stack));
    let rows = apps.iter().zip(runs).map(|(app, runs)| {
        let on = |kind| runs.iter().find(|run| run.runtime == kind).map_or(String::new(), shown);
        let place = app.place.shown();
        let (name, stack) = (app.name.clone(), app.stack.clone());
        [name, stack, place, app.expected.clone(), on(RuntimeKind::Process), on(RuntimeKind::Docker)]
    });
    report.table(&["app", "stack", "from", "expected", "process", "docker"], rows);
    report.say("The time is from `sh0 deploy --git` to the expected text. Each tree is deployed as a git repository of its own: exactly the files of the app at the commit of the list.");

    report.section("What failed, and why");
    let failed = apps.iter().zip(runs).flat_map(|(app, runs)| {
        runs.iter()
            .filter(|run| !run.good)
            .map(|run| [app.name.clone(), run.runtime.to_string(), app.note.clone(), run.text.replace("**no**: ", "")])
    });
    report.table(&["app", "runtime", "why", "what was said"], failed);
    if whole_list {
        if generated < LEAST_GENERATED {
            report.problem(format!("{generated} apps built by their generated Dockerfile, not {LEAST_GENERATED}"));
        }
        if answering < LEAST || both < LEAST_ON_BOTH {
            report.problem(format!("{answering} apps and {both} on both runtimes, not {LEAST} and {LEAST_ON_BOTH}"));
        }
        for (stack, (count, _)) in stacks.iter().filter(|(_, (count, _))| *count < LEAST_PER_STACK) {
            report.problem(format!("{count} of {stack}, not {LEAST_PER_STACK}"));
        }
    }
    report
}

fn shown(run: &Run) -> String {
    match run.good {
        true if run.runtime == RuntimeKind::Docker && !run.generated => format!("{}, own Dockerfile", run.text),
        true => run.text.clone(),
        false => "**no**".to_owned(),
    }
}

/// Gives stand-ins the names that Dockerfiles use, where no image has them: an app's own uses a name as it is, a generated
/// one below the mirror. Answers the names.
async fn name_stand_ins(engine: &Client, images: &str, apps: &[RealApp]) -> Outcome<Vec<String>> {
    let mut named = Vec::new();
    for (name, stand_in) in apps.iter().flat_map(|app| &app.images) {
        for name in [name.clone(), format!("{images}/library/{name}")] {
            if engine.inspect_image(&name).await.is_err() {
                match engine.tag_image(&format!("{images}/library/{stand_in}"), &name).await {
                    Ok(()) => named.push(name),
                    Err(error) => progress(format!("{name} has no stand-in: {error}")),
                }
            }
        }
    }
    Ok(named)
}

/// What is another release, or another base, than its name says.
fn in_place_of(apps: &[RealApp]) -> String {
    let named: BTreeSet<&(String, String)> = apps.iter().flat_map(|app| &app.images).collect();
    let named: Vec<String> = named.into_iter().map(|(name, stand_in)| format!("`{name}` is `{stand_in}`")).collect();
    named.join(", ")
}

/// Deploys an app, asks it, and removes it. Answers whether it ran in an image by the Dockerfile that sh0 wrote.
async fn deploy(bench: &Bench, app: &RealApp, runtime: RuntimeKind) -> Outcome<bool> {
    let Bench { platform, programs, mirror, limit, .. } = bench;
    let tree = own_repository(mirror, app, &platform.beside(&format!("{}-{runtime}", app.name)))?;
    let name: AppName = format!("{}-{runtime}", app.name).parse()?;
    let here = |(name, value): &(String, String)| {
        let (on, name) = name.split_once(':').unwrap_or((runtime.as_str(), name));
        (on == runtime.as_str()).then(|| (name.to_owned(), value.as_str().into()))
    };
    let env: serde_json::Map<String, Value> = app.env.iter().filter_map(here).collect();
    let scale = app.scale.iter().map(|(process, count)| Ok((process.clone(), count.parse::<u32>()?.into())));
    let scale = scale.collect::<Outcome<serde_json::Map<String, Value>>>()?;
    let create = json!({ "name": name, "runtime": runtime, "env": env, "scale": scale });
    let created = platform.api().call(serde_json::from_value::<CreateApp>(create)?).await?;
    let git = tree.display().to_string();
    let outcome = async {
        let mut deploy = tokio::process::Command::new(&programs.sh0);
        deploy.arg("deploy").arg("--git").arg(git).arg("-a").arg(name.as_str());
        deploy.arg("--json").arg("--data").arg(platform.data());
        deploy.stdin(Stdio::null()).kill_on_drop(true);
        let output =
            tokio::time::timeout(*limit, deploy.output()).await.map_err(|_| format!("took over {limit:?}"))??;
        if !output.status.success() {
            let problem: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
            let detail = problem["detail"].as_str().map(str::to_owned);
            return Err(detail.unwrap_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned()).into());
        }
        match app.expected.strip_prefix("log:") {
            Some(expected) => printed(platform, programs, &name, expected)?,
            None => answered(addr(&created), &app.path, &app.expected).await?,
        }
        let releases = ListReleases { app: created.id.into(), cursor: None, limit: None };
        let live = platform.api().call(releases).await?.items.into_iter().find(|release| release.live);
        let live = live.ok_or("it answers, and none of its releases is live")?;
        Ok(live.artifact.runtime == RuntimeKind::Docker && matches!(live.plan.image, ImagePlan::Generated { .. }))
    };
    let outcome = outcome.await;
    platform.api().call(DeleteApp { app: created.id.into(), keep_volumes: false }).await?;
    outcome
}

/// Asks until the body has the expected text.
pub(super) async fn answered(addr: SocketAddr, path: &str, expected: &str) -> Outcome {
    let began = Instant::now();
    loop {
        let text = match tokio::time::timeout(ANSWER, ask(addr, "localhost", path)).await {
            Ok(Ok(text)) if is_expected(&text, expected) => return Ok(()),
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

fn is_expected(answer: &str, expected: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ")
        && answer.split_once("\r\n\r\n").is_some_and(|(_, body)| body.contains(expected))
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
fn own_repository(mirror: &Path, app: &RealApp, to: &Path) -> Outcome<PathBuf> {
    app.place.unpack(mirror, to)?;
    let commit = ["-c", "user.name=proof", "-c", "user.email=proof@localhost", "commit", "--quiet", "--message=tree"];
    for args in [&["init", "--quiet"][..], &["add", "--all", "--force"], &commit] {
        let status = git(to).args(args).status()?;
        if !status.success() {
            return Err(format!("git {args:?}: {status}").into());
        }
    }
    Ok(to.to_owned())
}

fn read(line: &str) -> Option<RealApp> {
    let mut columns = line.split('\t').map(str::trim).chain(std::iter::repeat(""));
    let mut next = || columns.next().unwrap_or_default().to_owned();
    let (name, stack, repo, commit, folder) = (next(), next(), next(), next(), next());
    let (path, expected, runtimes, env) = (next(), next(), next(), next());
    let (scale, images, note) = (next(), next(), next());
    let kind = |text: &str| match text.trim() {
        "process" => Some(RuntimeKind::Process),
        "docker" => Some(RuntimeKind::Docker),
        _ => None,
    };
    let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let path = if path.is_empty() { "/".to_owned() } else { path };
    let runtimes = runtimes.split(',').filter_map(kind).collect();
    let [env, scale, images] = [env, scale, images].map(|text| text.split(';').filter_map(pair).collect());
    let place = Place { repo, commit, folder };
    let app = RealApp { name, stack, place, path, expected, runtimes, env, scale, images, note };
    (!app.name.is_empty() && !app.name.starts_with('#')).then_some(app)
}

fn shortened(text: &str) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let most = 400;
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}
