//! Whether what the node reports is what it was sent.

use hyperscale_codec::messages::JobFinalResult;
use hyperscale_codec::{JobId, SparseHist};
use hyperscale_report::Summary;

use crate::figures::Counts;
use crate::report::Exactness;

/// Differences kept in words.
const DIFFERENCES_MAX: usize = 20;

impl Exactness {
    /// Takes one job's result in.
    pub(crate) fn check(&mut self, id: JobId, result: &JobFinalResult, sent: Counts, latency: &SparseHist) {
        let (reported, found) = match Summary::from_json(&result.summary) {
            Ok(summary) => (summary.totals.requests, difference(&summary, result, sent, latency)),
            Err(error) => (0, Some(format!("its summary cannot be read: {error}"))),
        };
        self.take(id, sent.requests, reported, found);
    }

    /// Takes in how one job's result differs from what was sent, if it does.
    pub(crate) fn take(&mut self, id: JobId, sent: u64, reported: u64, found: Option<String>) {
        self.jobs += 1;
        self.requests_sent += sent;
        self.requests_reported += reported;
        match found {
            None => self.equal += 1,
            Some(found) => {
                self.different += 1;
                if self.differences.len() < DIFFERENCES_MAX {
                    self.differences.push(format!("job {id}: {found}"));
                }
            }
        }
    }

    /// A job whose result did not come.
    pub(crate) fn miss(&mut self, id: JobId, sent: Counts, why: &str) {
        self.jobs += 1;
        self.missing += 1;
        self.requests_sent += sent.requests;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(format!("job {id}: {why}"));
        }
    }

    pub(crate) fn settle(&mut self) {
        self.exact = self.jobs > 0 && self.equal == self.jobs && self.different == 0 && self.missing == 0;
    }
}

fn difference(
    summary: &Summary,
    result: &JobFinalResult,
    sent: Counts,
    latency: &SparseHist,
) -> Option<String> {
    let totals = &summary.totals;
    let counts = [
        ("requests", totals.requests, sent.requests),
        ("errors", totals.errors, sent.errors),
        ("dropped", totals.dropped, sent.dropped),
        ("iterations", summary.iterations.completed, sent.iterations),
        ("bytes in", totals.bytes_in, sent.bytes_in),
        ("bytes out", totals.bytes_out, sent.bytes_out),
    ];
    if let Some((what, got, want)) = counts.into_iter().find(|(_, got, want)| got != want) {
        return Some(format!("{what}: {want} sent, {got} reported ({}, {})", summary.status, summary.error));
    }
    if summary.partial {
        return Some("the gate calls its result partial".to_owned());
    }
    (result.latency != *latency).then(|| "its latency histogram differs from what was sent".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_a_result_is_not_exact() {
        let mut exactness = Exactness::default();
        exactness.settle();
        assert!(!exactness.exact, "nothing was compared");
        exactness.miss(JobId(1), Counts::default(), "no result");
        exactness.settle();
        assert!(!exactness.exact && exactness.differences[0].contains("no result"));
    }
}
