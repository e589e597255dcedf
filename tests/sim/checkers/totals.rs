//! What a result reports is what workers recorded (I6); where it is less, it says so (I8).

use std::collections::BTreeMap;

use hyperscale_codec::JobId;
use hyperscale_engine::orders::Report;
use hyperscale_report::Summary;
use hyperscale_stats::CellSet;

use crate::fleet::Place;
use crate::marks::Marks;

/// Requests that load shards told their workers of.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    by_job: BTreeMap<JobId, BTreeMap<Place, u64>>,
}

impl Totals {
    pub(crate) fn on_report(&mut self, at: Place, report: &Report) {
        let (job, delta): (JobId, &CellSet) = match report {
            Report::Window { key, delta, .. } => (key.job, delta),
            Report::Ended(ended) => (ended.key.job, &ended.delta),
            _ => return,
        };
        let requests: u64 = delta.steps().iter().map(|cell| cell.count).sum();
        *self.by_job.entry(job).or_default().entry(at).or_default() += requests;
    }

    pub(crate) fn recorded(&self, job: JobId) -> u64 {
        self.by_job.get(&job).into_iter().flat_map(BTreeMap::values).sum()
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
            marks.hit("whole result checked to the last request");
        }
        if summary.partial {
            marks.hit("partial result");
        }
    }
}
