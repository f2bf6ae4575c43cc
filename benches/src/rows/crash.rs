//! `kill -9` of the server at random moments of a deployment: the app answers while it is dead, and afterwards exactly
//! one release serves, every deployment has ended, and nothing is left over. And cancels, in [`cancel`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sh0::model::{App, DeploymentId, EventKind, RuntimeKind, Timestamp};

use super::cancel::{self, until_step};
use super::order::settle;
use super::progress;
use crate::Outcome;
use crate::load::{Load, Shape};
use crate::platform::{Platform, Programs, addr, probe_settings};
use crate::report::{Report, Series, millis};
use crate::trees::{Manner, Trees};

/// Numbers that look random, and are the same for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins with this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number from 0 to 1.
    pub fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What a run showed.
#[derive(Debug, Default)]
pub struct Run {
    /// In which step the deployment was when the server was killed.
    pub steps: BTreeMap<String, usize>,
    /// How the deployments ended.
    pub ends: BTreeMap<String, usize>,
    /// From the start of the server until everything was as it should be.
    pub recovery: Series,
    /// Answers while the server was dead, over all kills.
    pub answers_while_dead: usize,
    /// Answers over the whole run.
    pub answers: usize,
    /// What was not as it should be.
    pub problems: Vec<String>,
}

/// Kills the server `kills` times.
pub async fn run(programs: &Programs, runtime: RuntimeKind, kills: usize, seed: u64) -> Outcome<Run> {
    let mut platform = Platform::start(programs, runtime).await?;
    let trees = Trees::new(&platform.beside("trees"), &programs.probe_app, runtime)?;
    let app = platform.create_app("probe", probe_settings(Duration::from_millis(600))?).await?;
    platform.deploy_well(&app, &trees.make("first", Manner::Plain)?).await?;
    let load = Load::start(addr(&app), Shape::modest());
    let (mut random, mut run) = (Random::new(seed), Run::default());
    // How long a deployment takes here, to spread the kills over all of it, and the steps that it has.
    let (mut whole, mut steps) = (Duration::MAX, Vec::new());
    for label in ["measured", "again"] {
        let began = Instant::now();
        let ended = platform.deploy_well(&app, &trees.make_with(label, STARTS)?).await?;
        whole = whole.min(began.elapsed());
        steps = ended.steps();
    }

    for kill in 0..kills {
        let tree = trees.make_with(&format!("kill-{kill}"), STARTS)?;
        let began = Instant::now();
        let deployment = platform.begin(&app, &tree).await?;
        // Every other one at any time of the deployment; the others soon after the beginning of any step, so that short
        // steps are hit too.
        if kill % 2 == 0 {
            tokio::time::sleep(whole.mul_f64(random.share() * 1.05)).await;
        } else {
            let step = steps[(random.share() * steps.len() as f64) as usize % steps.len()];
            until_step(&platform, &deployment, step).await?;
            tokio::time::sleep(SOON.mul_f64(random.share())).await;
        }
        let moment = began.elapsed();
        let killed_at = Timestamp::now();
        platform.kill()?;
        let before = load.answered();
        tokio::time::sleep(Duration::from_millis(700)).await;
        let answers = load.answered() - before;
        run.answers_while_dead += answers;
        if answers == 0 {
            run.problems.push(format!("kill {kill}: nothing answered while the server was dead"));
        }
        let began = Instant::now();
        platform.launch().await?;
        let problems = settle(&platform, &app, runtime).await?;
        run.recovery.add(millis(began.elapsed()));
        run.problems.extend(problems.into_iter().map(|problem| format!("kill {kill} (after {moment:?}): {problem}")));
        let (step, end) = looked_back(&platform, &app, deployment.id, killed_at).await?;
        progress(format!(
            "{runtime}: kill {} of {kills} after {:.0} ms in {step}: {end}; {} failed requests so far",
            kill + 1,
            millis(moment),
            load.failed()
        ));
        *run.steps.entry(step).or_default() += 1;
        *run.ends.entry(end).or_default() += 1;
    }
    let seen = load.stop().await;
    run.answers = seen.records.iter().filter(|record| record.fault.is_none()).count();
    let faults: Vec<_> = seen.records.iter().filter_map(|record| record.fault.clone()).collect();
    if let Some(fault) = faults.first() {
        run.problems.push(format!("{} requests failed, the first with: {fault}", faults.len()));
    }
    Ok(run)
}

/// After the beginning of a step.
const SOON: Duration = Duration::from_millis(30);

/// So that the health step is one of those that are hit.
const STARTS: &[(&str, &str)] = &[("PROBE_START_MS", "150")];

/// In which step the deployment was at that time, and how it ended.
async fn looked_back(platform: &Platform, app: &App, id: DeploymentId, at: Timestamp) -> Outcome<(String, String)> {
    let deployments = platform.deployments(app).await?;
    let deployment = deployments.iter().find(|deployment| deployment.id == id).ok_or("the deployment is gone")?;
    let ended = platform.finish(deployment).await?;
    let mut place = "queue".to_owned();
    for event in ended.events.iter().filter(|event| event.at <= at) {
        place = match &event.what {
            EventKind::StepStarted { step } => step.to_string(),
            EventKind::StepDone { step, .. } => format!("after {step}"),
            EventKind::State { state, .. } if state.is_final() => "after the end".to_owned(),
            _ => place,
        };
    }
    Ok((place, ended.deployment.state.to_string()))
}

/// The whole row.
pub async fn prove(kills: usize, cancels: usize, seed: u64, runtimes: &[RuntimeKind]) -> Outcome<Report> {
    let programs = Programs::find()?;
    let mut report = Report::default();
    for &runtime in runtimes {
        let run = run(&programs, runtime, kills, seed).await?;
        report.section(&format!("On {runtime}: {kills} kills, seed {seed}"));
        let list = |counts: &BTreeMap<String, usize>| {
            counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        };
        let rows = [
            ("interrupted step of the deployment", list(&run.steps)),
            ("how those deployments ended", list(&run.ends)),
            ("answers while the server was dead (0.7 s each)", run.answers_while_dead.to_string()),
            ("answers over the whole run", run.answers.to_string()),
            ("from the server's start until all was in order", run.recovery.millis()),
        ];
        report.table(&["", ""], rows.map(|(what, value)| [what.to_owned(), value]));
        report.problems(runtime.as_str(), run.problems);
        if cancels > 0 {
            cancel::tell(&mut report, runtime, cancels, cancel::run(&programs, runtime, cancels).await?);
        }
    }
    report.say(
        "Every other kill comes at any time of the deployment, the others within 30 ms of the beginning of a random step. \
         After each kill the app answers while the server is dead, and after the start every deployment ends. A cancel is \
         asked for as soon as the event of the step's beginning is seen. A step of few milliseconds may be over by then, and \
         is tried again; release and switch are one commit each, and over when they are heard of. A cancel that is \
         accepted ends the deployment as cancelled, and the app is as it was before, to the last field; one that is refused \
         comes after the switch, and the deployment goes live.",
    );
    report.say(
        "After each kill and each cancel exactly one instance runs and serves and belongs to the live deployment; on the \
         machine there is no other shim or labelled container, no checkout, no artifact but those of kept releases, no \
         volume but the app's own. Clients without retries go on through all of it: not one request may fail, and none may \
         be answered by a release that was cancelled.",
    );
    Ok(report)
}
