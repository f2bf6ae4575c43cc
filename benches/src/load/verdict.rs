//! What the clients saw, held against what the platform said it did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Kind, Record, Seen};

/// Answers that must come in each second round a switch.
const RATE: usize = 200;
/// Seconds before and after a switch that are looked at.
const ROUND: i32 = 2;
/// How much earlier than its deadline a stream may seem to end, for the clocks' sake.
const EARLY: Duration = Duration::from_millis(50);
/// How long after the deadline a stream must be gone.
const LATE: Duration = Duration::from_secs(8);

/// A release began to serve.
#[derive(Debug, Clone)]
pub struct Switch {
    /// When it was committed, as the clients count.
    pub at: Duration,
    /// When the platform said that the deployment was over.
    pub settled: Duration,
    /// The release that serves from then on.
    pub release: String,
}

/// The verdict.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Requests by kind: how many, how many failed.
    pub counts: BTreeMap<Kind, (usize, usize)>,
    /// The first faults, in words.
    pub faults: Vec<String>,
    /// Failed requests.
    pub failed: usize,
    /// Answers from a release that never went live.
    pub from_failing: usize,
    /// Answers from a release that was replaced, to requests sent after the platform said so.
    pub stale: usize,
    /// The fewest answers in a second round a switch.
    pub slowest_second: Option<usize>,
    /// Streams that were ended at the drain deadline.
    pub streams_at_deadline: usize,
    /// Websockets that were closed with 1001.
    pub closed_1001: usize,
    /// Streams that ended at a wrong time or in a wrong way.
    pub wrong_ends: usize,
    /// Longest time between two answers.
    pub longest_gap: Duration,
    /// Median and 99th percentile of the short requests.
    pub latency: (Duration, Duration),
}

impl Verdict {
    /// `switches` in their order, the first one being the release that served when the load began.
    pub fn over(seen: &Seen, switches: &[Switch], drain: Duration) -> Verdict {
        let mut verdict = Verdict::default();
        let live: BTreeSet<&str> = switches.iter().map(|switch| &*switch.release).collect();
        for record in &seen.records {
            let count = verdict.counts.entry(record.kind).or_default();
            count.0 += 1;
            if let Some(fault) = &record.fault {
                count.1 += 1;
                verdict.failed += 1;
                verdict.tell(format!("{} at {:.3} s: {fault}", record.kind.words(), record.ended.as_secs_f64()));
                continue;
            }
            if let Some(release) = record.release.as_deref().filter(|release| !live.contains(release)) {
                verdict.from_failing += 1;
                let label = record.label.as_deref().unwrap_or_default();
                verdict.tell(format!("an answer from release {release} ({label}), which never went live"));
            } else if is_stale(record, switches) {
                verdict.stale += 1;
            }
            if record.kind.is_stream() {
                verdict.stream(record, switches, drain);
            }
        }
        verdict.rates(seen, switches);
        verdict
    }

    /// What must hold for every load.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, text: String| {
            if !holds {
                problems.push(text);
            }
        };
        must(self.failed == 0, format!("{} requests failed", self.failed));
        must(self.from_failing == 0, format!("{} answers from a failing release", self.from_failing));
        must(self.stale == 0, format!("{} answers from a replaced release", self.stale));
        must(self.wrong_ends == 0, format!("{} streams ended wrongly", self.wrong_ends));
        problems
    }

    /// What must hold for a load of [`Shape::everything`](super::Shape::everything) on a machine that has time for it.
    pub fn too_slow(&self) -> Option<String> {
        let slowest = self.slowest_second.filter(|slowest| *slowest < RATE)?;
        Some(format!("only {slowest} answers in a second round a switch, not {RATE}"))
    }

    /// A table for a report.
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows: Vec<(String, String)> = Kind::ALL
            .iter()
            .filter_map(|kind| {
                let (all, failed) = self.counts.get(kind)?;
                Some((kind.words().to_owned(), format!("{all}, {failed} failed")))
            })
            .collect();
        let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
        rows.extend([
            ("answers from a failing release".to_owned(), self.from_failing.to_string()),
            ("answers from a replaced release".to_owned(), self.stale.to_string()),
            (
                format!("fewest answers in a second, {ROUND} s before to {ROUND} s after each switch"),
                self.slowest_second.map_or("no switch".to_owned(), |fewest| fewest.to_string()),
            ),
            ("streams that lived until the drain deadline".to_owned(), self.streams_at_deadline.to_string()),
            ("of these, websockets closed with 1001".to_owned(), self.closed_1001.to_string()),
            ("streams that ended otherwise".to_owned(), self.wrong_ends.to_string()),
            (
                "short requests, p50 and p99".to_owned(),
                format!("{}, {}", millis(self.latency.0), millis(self.latency.1)),
            ),
            ("longest time without an answer to a short request".to_owned(), millis(self.longest_gap)),
        ]);
        rows
    }

    fn tell(&mut self, fault: String) {
        if self.faults.len() < 20 {
            self.faults.push(fault);
        }
    }

    /// A stream lives until its release's drain deadline, and not much longer.
    fn stream(&mut self, record: &Record, switches: &[Switch], drain: Duration) {
        if record.ended_by_us {
            return;
        }
        let place = switches.iter().position(|switch| Some(&*switch.release) == record.release.as_deref());
        let replaced = place.and_then(|place| switches.get(place + 1));
        let deadline = replaced.map(|switch| switch.at + drain);
        let in_time = deadline.is_some_and(|at| record.ended + EARLY >= at && record.ended <= at + LATE);
        let well = record.kind != Kind::WebSocket || record.close_code == Some(1001);
        if in_time && well {
            self.streams_at_deadline += 1;
            self.closed_1001 += usize::from(record.kind == Kind::WebSocket);
            return;
        }
        self.wrong_ends += 1;
        self.tell(format!(
            "{} of release {:?} ended at {:.3} s with code {:?}; its deadline was {:?}",
            record.kind.words(),
            record.release,
            record.ended.as_secs_f64(),
            record.close_code,
            deadline.map(|at| at.as_secs_f64()),
        ));
    }

    fn rates(&mut self, seen: &Seen, switches: &[Switch]) {
        let good = seen.records.iter().filter(|record| record.fault.is_none() && !record.kind.is_stream());
        let mut ends: Vec<Duration> = good.clone().map(|record| record.ended).collect();
        ends.sort();
        let last = ends.last().copied().unwrap_or_default();
        // The first one was no switch under load.
        for switch in switches.iter().skip(1) {
            for second in -ROUND..ROUND {
                let from = switch.at.as_secs_f64() + f64::from(second);
                if from < 0.0 || Duration::from_secs_f64(from + 1.0) > last {
                    continue;
                }
                let (from, to) = (Duration::from_secs_f64(from), Duration::from_secs_f64(from + 1.0));
                let count = ends.partition_point(|end| *end < to) - ends.partition_point(|end| *end < from);
                self.slowest_second = Some(self.slowest_second.map_or(count, |slowest| slowest.min(count)));
            }
        }
        let short = |record: &&Record| matches!(record.kind, Kind::KeepAlive | Kind::NewConnection | Kind::Http2);
        let mut short_ends: Vec<Duration> = good.clone().filter(short).map(|record| record.ended).collect();
        short_ends.sort();
        self.longest_gap = short_ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
        let mut times: Vec<Duration> = good.filter(short).map(|record| record.ended - record.began).collect();
        times.sort();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        self.latency = (at(50), at(99));
    }
}

/// Whether the request was sent after the platform had said that a later release serves.
fn is_stale(record: &Record, switches: &[Switch]) -> bool {
    let place = switches.iter().position(|switch| Some(&*switch.release) == record.release.as_deref());
    let settled = switches.iter().rposition(|switch| switch.settled <= record.began);
    place.zip(settled).is_some_and(|(place, settled)| place < settled)
}
