//! What is counted of calls.

use std::collections::BTreeMap;

use hyperscale_reliability::GiveUp;
use hyperscale_view::Gauge;

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// By call and reason.
    retries: BTreeMap<(&'static str, &'static str), u64>,
    given_up: BTreeMap<(&'static str, GiveUp), u64>,
    pub(super) over_budget: u64,
    pub(super) held_back: u64,
    pub(super) untracked: u64,
}

impl Counts {
    pub(super) fn retry(&mut self, call: &'static str, reason: &'static str) {
        let count = self.retries.entry((call, reason)).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn give_up(&mut self, call: &'static str, why: GiveUp) {
        let count = self.given_up.entry((call, why)).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn gauges(&self, open: usize) -> Vec<Gauge> {
        let retries = self.retries.iter().map(|((call, reason), count)| {
            let help = "Calls that were, or will be, made again, and why.";
            Gauge::counter("hyperscale_retries_total", help, float(*count))
                .label("call", *call)
                .label("reason", *reason)
        });
        let given_up = self.given_up.iter().map(|((call, why), count)| {
            let help = "Calls that were not made again though they had no good answer, and why.";
            Gauge::counter("hyperscale_calls_given_up_total", help, float(*count))
                .label("call", *call)
                .label("reason", why.as_str())
        });
        let plain = [
            Gauge::level(
                "hyperscale_calls_open",
                "Calls to other nodes that have no answer yet.",
                float(u64::try_from(open).unwrap_or(u64::MAX)),
            ),
            Gauge::counter(
                "hyperscale_retry_budget_refused_total",
                "Retries not made because their peer had too many already.",
                float(self.over_budget),
            ),
            Gauge::counter(
                "hyperscale_calls_held_back_total",
                "Times a call waited because its peer did not answer others.",
                float(self.held_back),
            ),
            Gauge::counter(
                "hyperscale_calls_untracked_total",
                "Calls made once for want of room to remember them.",
                float(self.untracked),
            ),
        ];
        retries.chain(given_up).chain(plain).collect()
    }
}

#[expect(clippy::cast_precision_loss, reason = "the text format has only floats")]
fn float(count: u64) -> f64 {
    count as f64
}
