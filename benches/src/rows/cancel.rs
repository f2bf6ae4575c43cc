//! A cancel in every step of a deployment, through the API: before the switch it ends as cancelled and nothing has
//! changed; from the switch on the cancel is refused and the new release serves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sh0::model::{App, AppSettings, Deployment, DeploymentState, EventKind, RuntimeKind, Step, Strategy, VolumeMount};
use sh0::ops::deployments::CancelDeployment;
use sh0::{Code, model::Timestamp};

use super::order::settle;
use super::{progress, zero_downtime};
use crate::Outcome;
use crate::load::{Load, Shape, Switch, Verdict};
use crate::platform::{Ended, Platform, Programs, addr, probe_settings};
use crate::report::{Report, Series, millis};
use crate::trees::{Manner, Trees};

/// A step that is over in a millisecond is tried more often, until a cancel came while it was under way.
const TRIES: usize = 5;

/// So long that a cancel comes in time.
const STARTS: &str = "400";
const RELEASE_COMMAND: &str = "sleep 0.3";
/// Files that take a while to fetch, to look at and to build.
const PADDING: usize = 1500;

/// What cancels in one step showed.
#[derive(Debug, Default)]
struct Row {
    /// How the deployments ended.
    ends: BTreeMap<String, usize>,
    /// The steps in which the deployment was.
    steps: BTreeMap<String, usize>,
    /// From the cancel to the known end of the deployment.
    times: Series,
    answers: usize,
    failed: usize,
}

/// What a run showed.
#[derive(Debug, Default)]
pub struct Run {
    rows: Vec<(Step, Row)>,
    /// Longest time between two answers.
    longest_gap: Duration,
    /// What was not as it should be.
    pub problems: Vec<String>,
}

/// An app that is deployed and cancelled.
struct Stage {
    platform: Platform,
    runtime: RuntimeKind,
    app: App,
    trees: Trees,
    /// So far: every tree is another one.
    made: usize,
}

/// Cancels at least `rounds` deployments in each step, under load.
pub async fn run(programs: &Programs, runtime: RuntimeKind, rounds: usize) -> Outcome<Run> {
    let platform = Platform::start(programs, runtime).await?;
    // The release command wants a shell.
    let trees = Trees::new(&platform.beside("trees"), &programs.probe_app, runtime)?.with_shell();
    let app = platform.create_app("probe", settings(Strategy::Rolling)?).await?;
    let first = platform.deploy_well(&app, &trees.make("first", Manner::Plain)?).await?;
    let mut stage = Stage { platform, runtime, app, trees, made: 0 };
    let (mut run, mut live) = (Run::default(), vec![first]);
    let load = Load::start(addr(&stage.app), Shape::modest());
    for &step in Step::ALL.iter().filter(|step| **step != Step::StopOld) {
        let mut row = Row::default();
        for round in 0..rounds * TRIES {
            if round >= rounds && (row.steps.contains_key(step.as_str()) || is_one_commit(step)) {
                break;
            }
            let (before, failed) = (load.answered(), load.failed());
            let tried = stage.cancelled_in(step).await?;
            row.answers += load.answered() - before;
            row.failed += load.failed() - failed;
            if load.answered() == before {
                run.problems.push(format!("{step}: nothing answered"));
            }
            live.extend(row.add(step, tried, &mut run.problems));
        }
        progress(format!("{runtime}: cancelled in {step}: {row:?}"));
        run.rows.push((step, row));
    }
    let seen = load.stop().await;
    let switches: Vec<Switch> = live.iter().map(|ended| zero_downtime::switch(&seen, ended)).collect::<Outcome<_>>()?;
    let verdict = Verdict::over(&seen, &switches, drain());
    run.longest_gap = verdict.longest_gap;
    run.problems.extend(verdict.problems());
    run.problems.extend(verdict.faults);

    // The old one stops first and is not missed by anybody who looks away: what counts is that it comes back.
    stage.platform.settings(&stage.app, settings(Strategy::Recreate)?).await?;
    let mut row = Row::default();
    for _ in 0..rounds {
        let tried = stage.cancelled_in(Step::StopOld).await?;
        row.add(Step::StopOld, tried, &mut run.problems);
    }
    run.rows.push((Step::StopOld, row));
    for (step, row) in &run.rows {
        if !is_short(*step) && !row.steps.contains_key(step.as_str()) {
            run.problems.push(format!("no cancel came in {step}, but in {:?}", row.steps));
        }
    }
    Ok(run)
}

/// Whether nothing happens in a step but the commit that says that it began.
fn is_one_commit(step: Step) -> bool {
    matches!(step, Step::Release | Step::Switch)
}

/// Whether it may be over, whatever is tried, before anybody who hears of its beginning can say something.
fn is_short(step: Step) -> bool {
    is_one_commit(step) || matches!(step, Step::Plan | Step::Create | Step::Retire)
}

fn drain() -> Duration {
    Duration::from_millis(600)
}

fn settings(strategy: Strategy) -> Outcome<AppSettings> {
    Ok(AppSettings {
        strategy,
        release_command: Some(RELEASE_COMMAND.to_owned()),
        volumes: vec![VolumeMount { name: "data".parse()?, path: "/data".parse()? }],
        ..probe_settings(drain())?
    })
}

/// One deployment and its cancel.
struct Tried {
    ended: Ended,
    /// Whether the cancel was accepted.
    accepted: bool,
    /// In which step the deployment was.
    step: Option<Step>,
    took: Duration,
    problems: Vec<String>,
}

impl Row {
    /// Answers the deployment when it came to serve.
    fn add(&mut self, wanted: Step, tried: Tried, problems: &mut Vec<String>) -> Option<Ended> {
        let Tried { ended, accepted, step, took, problems: left } = tried;
        let (state, step) = (ended.deployment.state, step.map_or("queue", Step::as_str));
        let right = if accepted { DeploymentState::Cancelled } else { DeploymentState::Live };
        if state != right {
            problems.push(format!("{wanted}: cancelled in {step}, accepted {accepted}, and it ended as {state}"));
        }
        if !accepted && ended.began(Step::Drain).is_none() {
            problems.push(format!("{wanted}: the cancel was refused before the switch"));
        }
        problems.extend(left.into_iter().map(|problem| format!("{wanted}: cancelled in {step}: {problem}")));
        *self.ends.entry(state.to_string()).or_default() += 1;
        *self.steps.entry(step.to_owned()).or_default() += 1;
        self.times.add(millis(took));
        (state == DeploymentState::Live).then_some(ended)
    }

    fn cells(&self, step: Step) -> [String; 5] {
        let list = |counts: &BTreeMap<String, usize>| {
            counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        };
        let requests = match step {
            Step::StopOld => "not counted: `recreate` lets them fail".to_owned(),
            _ => format!("{}, {} failed", self.answers, self.failed),
        };
        [step.to_string(), list(&self.steps), list(&self.ends), format!("{:.0} ms", self.times.quantile(1.0)), requests]
    }
}

impl Stage {
    /// Deploys, waits until the step began, cancels, and waits until all is in order.
    async fn cancelled_in(&mut self, wanted: Step) -> Outcome<Tried> {
        let before = self.platform.app(&self.app).await?;
        let tree = self.tree()?;
        let deployment = self.platform.begin(&self.app, &tree).await?;
        until_step(&self.platform, &deployment, wanted).await?;
        let asked_at = Timestamp::now();
        let began = Instant::now();
        let cancel = CancelDeployment { app: self.app.id.into(), deployment: deployment.id };
        let accepted = match self.platform.api().call(cancel).await {
            Ok(_) => true,
            Err(error) if error.code() == Code::Conflict => false,
            Err(error) => return Err(error.into()),
        };
        let ended = self.platform.finish(&deployment).await?;
        let took = began.elapsed();
        let mut problems = settle(&self.platform, &self.app, self.runtime).await?;
        if accepted {
            let mut after = self.platform.app(&self.app).await?;
            // One that came back may have another address.
            if let (Step::StopOld, Some(live), Some(old)) = (wanted, &mut after.live, &before.live) {
                live.upstreams.clone_from(&old.upstreams);
            }
            if after != before {
                problems.push(format!("the app was changed: {before:?} and then {after:?}"));
            }
        }
        fs::remove_dir_all(tree)?;
        // What was begun last when it was interrupted; one that went on, when the cancel was asked for.
        let begun = |event: &sh0::model::Event| match event.what {
            EventKind::StepStarted { step } if accepted || event.at <= asked_at => Some(step),
            _ => None,
        };
        let step = ended.events.iter().filter_map(begun).next_back();
        Ok(Tried { ended, accepted, step, took, problems })
    }

    fn tree(&mut self) -> Outcome<PathBuf> {
        self.made += 1;
        let tree = self.trees.make_with(&format!("cancel-{}", self.made), &[("PROBE_START_MS", STARTS)])?;
        pad(&tree.join("padding"))?;
        Ok(tree)
    }
}

fn pad(folder: &Path) -> Outcome {
    fs::create_dir(folder)?;
    for number in 0..PADDING {
        fs::write(folder.join(format!("{number}.txt")), format!("line {number}\n").repeat(50))?;
    }
    Ok(())
}

/// Waits until the step or a later one began.
pub(super) async fn until_step(platform: &Platform, deployment: &Deployment, wanted: Step) -> Outcome {
    let mut events = platform.api().follow(deployment).await?;
    while let Some(event) = events.next().await {
        if matches!(event?.what, EventKind::StepStarted { step } if step >= wanted) {
            break;
        }
    }
    Ok(())
}

/// Its part of a report.
pub(super) fn tell(report: &mut Report, runtime: RuntimeKind, rounds: usize, run: Run) {
    report.section(&format!("On {runtime}: cancelled in every step, at least {rounds} deployments each"));
    report.table(
        &["asked when this began", "the deployment was in", "and ended as", "at most after", "requests meanwhile"],
        run.rows.iter().map(|(step, row)| row.cells(*step)),
    );
    report.say(format!("Longest time between two answers: {:.0} ms.", millis(run.longest_gap)));
    report.problems(&format!("{runtime}, cancels"), run.problems);
}
