//! Thresholds, judged once, on merged histograms. One that matched no sample fails: silence is no success.

use std::time::Duration;

use hyperscale_codec::Hist;
use hyperscale_plan::{Comparison, Metric, Scope, Statistic, Step, Threshold};
use hyperscale_stats::Cell;

use crate::figures::rate;
use crate::numbers::{percent, rate as number_rate, short_time};
use crate::summarize::SummaryInput;
use crate::summary::ThresholdSummary;

/// One threshold against what was recorded.
pub(crate) fn judge(threshold: &Threshold, input: &SummaryInput<'_>) -> ThresholdSummary {
    let (cell, duration) = scope(&threshold.scope, input);
    let observed = observe(threshold.metric, &cell, duration);
    let passed = observed.is_some_and(|value| holds(threshold.comparison, value, threshold.limit));
    let observed = observed.map_or_else(|| "no samples".to_owned(), |value| shown(threshold, value));
    ThresholdSummary { expression: threshold.expression.clone(), passed, observed }
}

fn scope(scope: &Scope, input: &SummaryInput<'_>) -> (Cell, Duration) {
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
            sum.dropped = sum.dropped.saturating_add(workflow.cells.workflow().dropped);
        }
        // A rate within one workflow is over the time that workflow ran.
        let within = match scope {
            Scope::All => None,
            Scope::Workflow(wanted) => Some(*wanted),
            Scope::Step { workflow, .. } => *workflow,
        };
        if within == Some(at) {
            duration = workflow.duration;
        }
        let Scope::Step { name, .. } = scope else { continue };
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
fn observe(metric: Metric, cell: &Cell, duration: Duration) -> Option<f64> {
    let of = |hist: &Hist, statistic: Statistic| match statistic {
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

/// With three significant digits, or with all where those would read like the limit itself.
fn shown(threshold: &Threshold, value: f64) -> String {
    let short = short(threshold.metric, value);
    if value.total_cmp(&threshold.limit).is_ne() && short == self::short(threshold.metric, threshold.limit) {
        exact(threshold.metric, value)
    } else {
        short
    }
}

fn short(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Latency(_) | Metric::Service(_) | Metric::Lateness(_) => short_time(value / 1e6),
        Metric::ErrorRate => percent(value),
        Metric::RatePerS => format!("{}/s", number_rate(value)),
        Metric::Errors | Metric::Requests | Metric::Dropped => count(value),
    }
}

fn exact(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Latency(_) | Metric::Service(_) | Metric::Lateness(_) => format!("{}ms", value.round() / 1e6),
        Metric::ErrorRate => format!("{:.6}%", value * 100.0),
        Metric::RatePerS => format!("{value:.3}/s"),
        Metric::Errors | Metric::Requests | Metric::Dropped => count(value),
    }
}

fn count(value: f64) -> String {
    format!("{value:.0}")
}

#[cfg(test)]
mod tests;
