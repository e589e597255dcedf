//! What a result reports is what workers recorded (I6); where it is less, it says so (I8).

use std::collections::BTreeMap;

use hyperscale_codec::{Hist, JobId};
use hyperscale_engine::orders::Report;
use hyperscale_report::{Iterations, Summary, Times};
use hyperscale_stats::{Cell, CellSet};

use crate::fleet::Place;
use crate::marks::Marks;

/// What load shards told their workers of.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    by_job: BTreeMap<JobId, Log>,
}

/// Of one job.
#[derive(Default)]
struct Log {
    requests: BTreeMap<Place, u64>,
    /// Of all steps.
    steps: Cell,
    /// Of all workflows.
    rounds: Cell,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.requests.fmt(f)
    }
}

impl Log {
    fn add(&mut self, at: Place, delta: &CellSet) {
        *self.requests.entry(at).or_default() += delta.steps().iter().map(|cell| cell.count).sum::<u64>();
        delta.steps().iter().for_each(|cell| self.steps.merge(cell));
        self.rounds.merge(delta.workflow());
    }

    /// Every figure that a summary has of all workers together, counted anew.
    fn check(&self, summary: &Summary) {
        let Summary { totals, iterations, .. } = summary;
        let (steps, rounds) = (&self.steps, &self.rounds);
        let told = [totals.errors, totals.cancelled, totals.bytes_in, totals.bytes_out, totals.late];
        assert_eq!(told, [steps.errors, steps.cancelled, steps.bytes_in, steps.bytes_out, steps.late]);
        let counted = Iterations {
            due: rounds.due,
            started: rounds.started,
            completed: rounds.count,
            interrupted: rounds.cancelled,
            dropped: rounds.dropped,
        };
        assert_eq!(*iterations, counted);
        let statuses = steps.statuses().map(|(code, count)| (code.to_string(), count));
        assert_eq!(summary.status_codes, statuses.collect::<BTreeMap<_, _>>());
        let errors = steps.error_kinds().map(|(kind, count)| (kind.as_str().to_owned(), count));
        assert_eq!(summary.errors, errors.collect::<BTreeMap<_, _>>());
        let pairs = [
            (&summary.latency_ms, &steps.latency),
            (&summary.service_ms, &steps.service),
            (&summary.lateness_ms, &steps.lateness),
            (&summary.connect_ms, &steps.connect),
        ];
        for (told, recorded) in pairs {
            same(told, recorded);
        }
    }
}

/// The mean is the sum, where the count is the same.
#[expect(clippy::cast_precision_loss, reason = "times are shown so")]
fn same(told: &Times, recorded: &Hist) {
    let ms = |ns: u64| ns as f64 / 1e6;
    let mean = recorded.mean_ns().map(|ns| ns.round() / 1e6);
    let quantiles = [500_000, 900_000, 990_000, 999_900].map(|ppm| recorded.quantile_ppm(ppm).map(ms));
    assert_eq!(told.count, recorded.count());
    assert_eq!((told.min, told.mean, told.max), (recorded.min().map(ms), mean, recorded.max().map(ms)));
    assert_eq!([told.p50, told.p90, told.p99, told.p99_99], quantiles);
}

impl Totals {
    pub(crate) fn on_report(&mut self, at: Place, report: &Report) {
        let (job, delta): (JobId, &CellSet) = match report {
            Report::Window { key, delta, .. } => (key.job, delta),
            Report::Ended(ended) => (ended.key.job, &ended.delta),
            _ => return,
        };
        self.by_job.entry(job).or_default().add(at, delta);
    }

    pub(crate) fn recorded(&self, job: JobId) -> u64 {
        self.by_job.get(&job).into_iter().flat_map(|log| log.requests.values()).sum()
    }

    /// Judges a result. `deaths`: some of its gates, managers or workers died.
    pub(crate) fn check(&self, job: JobId, summary: &Summary, deaths: bool, marks: &mut Marks) {
        let (told, recorded) = (summary.totals.requests, self.recorded(job));
        let what = || {
            let each = self.by_job.get(&job);
            format!(
                "job {job} ({}, partial {}): {told} of {recorded} {each:?}",
                summary.status, summary.partial
            )
        };
        assert!(told <= recorded, "I6: more than was recorded: {}", what());
        if told < recorded && summary.status != "failed" {
            assert!(summary.partial, "I8: a loss that is not declared: {}; {:?}", what(), summary.events);
        }
        if !summary.partial && summary.status == "completed" && !deaths {
            assert_eq!(told, recorded, "I6: {}", what());
            if let Some(log) = self.by_job.get(&job) {
                log.check(summary);
            }
            marks.hit("whole result checked to the last request");
        }
        if summary.partial {
            marks.hit("partial result");
        }
    }
}
