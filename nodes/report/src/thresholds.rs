//! Thresholds, judged once, on merged histograms. One that matched no sample fails: silence is no success.

use hyperscale_plan::{Comparison, Metric, Scope, Statistic, Step, Threshold};
use hyperscale_stats::Cell;

use crate::figures::rate;
use crate::summarize::SummaryInput;
use crate::summary::ThresholdSummary;

/// One threshold against what was recorded.
pub(crate) fn judge(threshold: &Threshold, input: &SummaryInput<'_>) -> ThresholdSummary {
    let (cell, duration) = scope(&threshold.scope, input);
    let observed = observe(threshold.metric, &cell, duration);
    let passed = observed.is_some_and(|value| holds(threshold.comparison, value, threshold.limit));
    let observed = observed.map_or_else(|| "no samples".to_owned(), |value| show(threshold.metric, value));
    ThresholdSummary { expression: threshold.expression.clone(), passed, observed }
}

fn scope(scope: &Scope, input: &SummaryInput<'_>) -> (Cell, std::time::Duration) {
    let mut sum = Cell::default();
    let mut duration = input.duration;
    for (at, workflow) in input.workflows.iter().enumerate() {
        let whole = match scope {
            Scope::All => true,
            Scope::Workflow(wanted) => *wanted == at,
            Scope::Step { .. } => false,
        };
        if whole {
            sum.merge(&workflow.cells.sum_of_steps());
            sum.dropped += workflow.cells.workflow().dropped;
        }
        if matches!(scope, Scope::Workflow(wanted) if *wanted == at) {
            duration = workflow.duration;
        }
        let Scope::Step { workflow: within, name } = scope else { continue };
        if within.is_some_and(|wanted| wanted != at) {
            continue;
        }
        let steps = workflow.workflow.steps.iter().zip(workflow.cells.steps());
        let named = steps.filter(|(step, _)| matches!(step, Step::Request(request) if request.name == *name));
        named.for_each(|(_, cell)| sum.merge(cell));
    }
    (sum, duration)
}

#[allow(clippy::cast_precision_loss, reason = "thresholds are written with fewer digits than f64 has")]
fn observe(metric: Metric, cell: &Cell, duration: std::time::Duration) -> Option<f64> {
    let of = |hist: &hyperscale_codec::Hist, statistic: Statistic| match statistic {
        Statistic::Min => hist.min().map(|ns| ns as f64),
        Statistic::Max => hist.max().map(|ns| ns as f64),
        Statistic::Mean => hist.mean_ns(),
        Statistic::Percentile(ppm) => hist.quantile_ppm(ppm).map(|ns| ns as f64),
    };
    let some = cell.count > 0;
    match metric {
        Metric::Latency(statistic) => of(&cell.latency, statistic),
        Metric::Service(statistic) => of(&cell.service, statistic),
        Metric::Lateness(statistic) => of(&cell.lateness, statistic),
        Metric::ErrorRate => some.then(|| cell.errors as f64 / cell.count as f64),
        Metric::Errors => some.then_some(cell.errors as f64),
        Metric::Requests => some.then_some(cell.count as f64),
        Metric::Dropped => (some || cell.dropped > 0).then_some(cell.dropped as f64),
        Metric::RatePerS => some.then(|| rate(cell.count, duration)),
    }
}

#[allow(clippy::float_cmp, reason = "== in a threshold means what it says")]
fn holds(comparison: Comparison, value: f64, limit: f64) -> bool {
    match comparison {
        Comparison::Less => value < limit,
        Comparison::AtMost => value <= limit,
        Comparison::More => value > limit,
        Comparison::AtLeast => value >= limit,
        Comparison::Equal => value == limit,
        Comparison::NotEqual => value != limit,
    }
}

fn show(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Latency(_) | Metric::Service(_) | Metric::Lateness(_) => format!("{:.3}ms", value / 1e6),
        Metric::ErrorRate => format!("{:.3}%", value * 100.0),
        Metric::RatePerS => format!("{value:.1}/s"),
        Metric::Errors | Metric::Requests | Metric::Dropped => format!("{value:.0}"),
    }
}
