//! Redeploys under load: nothing is dropped, and nothing comes from a release that failed.

use std::time::Duration;

use sh0::model::{App, RuntimeKind, Step, Strategy};

use super::progress;
use crate::Outcome;
use crate::load::{Load, Seen, Shape, Switch, Verdict};
use crate::platform::{Ended, Platform, Programs, addr, is_live, probe_settings};
use crate::report::Report;
use crate::trees::{Manner, Trees};

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Where the app runs.
    pub runtime: RuntimeKind,
    /// Deployments that come to serve, after the first one.
    pub redeploys: usize,
    /// Deployments that fail, spread among those.
    pub failing: usize,
    /// The clients.
    pub shape: Shape,
    /// How long an old release may finish what it has begun; longer than any request of the clients.
    pub drain: Duration,
}

/// What a run showed.
pub struct Run {
    /// What the clients saw.
    pub verdict: Verdict,
    /// How the deployments ended, in words; each an error when it was not as it should be.
    pub problems: Vec<String>,
    /// Why failing deployments failed, as the platform said.
    pub reasons: Vec<(String, String)>,
    /// Kept connections that were closed while nothing was under way.
    pub idle_closes: u64,
}

/// Redeploys one app under load.
pub async fn run(programs: &Programs, scope: Scope) -> Outcome<Run> {
    let platform = Platform::start(programs, scope.runtime).await?;
    let trees = Trees::new(&platform.beside("trees"), &programs.probe_app, scope.runtime)?;
    let app = platform.create_app("probe", probe_settings(scope.drain)?).await?;
    let first = platform.deploy_well(&app, &trees.make("first", Manner::Plain)?).await?;

    let load = Load::start(addr(&app), scope.shape);
    let done = deployments(&platform, &trees, &app, scope, &load).await;
    let instances = platform.instances(&app).await;
    // A last while on the last release.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let seen = load.stop().await;
    let (live, mut problems, reasons) = done?;
    let switches: Vec<Switch> =
        std::iter::once(&first).chain(&live).map(|ended| switch(&seen, ended)).collect::<Outcome<_>>()?;
    if instances?.len() != 1 {
        problems.push("more than one instance was left".to_owned());
    }
    let verdict = Verdict::over(&seen, &switches, scope.drain);
    problems.extend(verdict.problems());
    Ok(Run { verdict, problems, reasons, idle_closes: seen.idle_closes })
}

/// Good and failing deployments in turn; answers the good ones, what was not as it should be, and why the others failed.
async fn deployments(
    platform: &Platform,
    trees: &Trees,
    app: &App,
    scope: Scope,
    load: &Load,
) -> Outcome<(Vec<Ended>, Vec<String>, Vec<(String, String)>)> {
    let (mut live, mut problems, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    let mut failures = 0;
    for number in 0..scope.redeploys {
        let manner = Manner::GOOD[number % Manner::GOOD.len()];
        let ended = platform.deploy(app, &trees.make(&format!("good-{number}"), manner)?).await?;
        match is_live(&ended.deployment) {
            true => live.push(ended),
            false => problems.push(format!("good release {number} ({manner:?}) is {:?}", ended.deployment.error)),
        }
        // Spread evenly.
        while failures < scope.failing * (number + 1) / scope.redeploys.max(1) {
            let manner = Manner::BAD[failures % Manner::BAD.len()];
            let ended = platform.deploy(app, &trees.make(&format!("bad-{failures}"), manner)?).await?;
            if is_live(&ended.deployment) {
                problems.push(format!("failing release {failures} ({manner:?}) went live"));
            }
            let detail = ended.deployment.error.map(|problem| problem.detail).unwrap_or_default();
            if failures < Manner::BAD.len() {
                reasons.push((format!("{manner:?}").to_lowercase(), shortened(&detail)));
            }
            failures += 1;
        }
        progress(format!(
            "{}: {} of {} redeploys, {failures} failing ones; {} answers, {} failed",
            scope.runtime,
            number + 1,
            scope.redeploys,
            load.answered(),
            load.failed()
        ));
    }
    Ok((live, problems, reasons))
}

/// When a deployment that came to serve did so.
pub(super) fn switch(seen: &Seen, ended: &Ended) -> Outcome<Switch> {
    // The drain begins with the very commit that switches.
    let at = ended.began(Step::Drain).ok_or("a live deployment without a switch")?;
    Ok(Switch { at: seen.since_start(at), settled: seen.since_start(ended.known_at), release: ended.release()? })
}

/// The same clients on `strategy: recreate`: they must see failures. Answers how many.
pub async fn blind_test(programs: &Programs, runtime: RuntimeKind, redeploys: usize) -> Outcome<usize> {
    let platform = Platform::start(programs, runtime).await?;
    let trees = Trees::new(&platform.beside("trees"), &programs.probe_app, runtime)?;
    let mut settings = probe_settings(Duration::from_secs(2))?;
    settings.strategy = Strategy::Recreate;
    let app = platform.create_app("probe", settings).await?;
    platform.deploy_well(&app, &trees.make("first", Manner::Plain)?).await?;
    let load = Load::start(addr(&app), Shape { slow: 1, slow_for: Duration::from_secs(1), ..Shape::short_requests() });
    for number in 0..redeploys {
        platform.deploy_well(&app, &trees.make(&format!("next-{number}"), Manner::Plain)?).await?;
    }
    Ok(load.stop().await.records.iter().filter(|record| record.fault.is_some()).count())
}

/// The whole row.
pub async fn prove(redeploys: usize, failing: usize, runtimes: &[RuntimeKind]) -> Outcome<Report> {
    let programs = Programs::find()?;
    let mut report = Report::default();
    for &runtime in runtimes {
        let drain = Duration::from_millis(6500);
        let scope = Scope { runtime, redeploys, failing, shape: Shape::everything(), drain };
        let run = run(&programs, scope).await?;
        let blind = blind_test(&programs, runtime, 3).await?;
        report.section(&format!("On {runtime}: {redeploys} redeploys and {failing} failing ones"));
        let mut rows: Vec<[String; 2]> = run.verdict.rows().into_iter().map(|(what, value)| [what, value]).collect();
        rows.push(["kept connections closed while idle".to_owned(), run.idle_closes.to_string()]);
        rows.push([
            "failures that the same clients see in 3 redeploys with `strategy: recreate` (they must see some)"
                .to_owned(),
            blind.to_string(),
        ]);
        report.table(&["what clients saw", ""], rows);
        report.say("Why the failing releases failed, as the platform said:");
        report.table(&["release", "reason"], run.reasons.iter().map(|(what, why)| [what.clone(), why.clone()]));
        if !run.verdict.faults.is_empty() {
            report.say(format!("The first faults:\n\n- {}", run.verdict.faults.join("\n- ")));
        }
        report.problems(runtime.as_str(), run.problems.into_iter().chain(run.verdict.too_slow()));
        if blind == 0 {
            report.problem(format!("{runtime}: the clients saw no failure with `strategy: recreate`: they are blind"));
        }
    }
    report.say(
        "Clients never try a request again. Good releases start at once, listen late, answer 503 first, or ignore \
         SIGTERM, in turn. A second round a switch counts answers whose body and `x-sh0-release` name the same release.",
    );
    Ok(report)
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(160).collect()
}
