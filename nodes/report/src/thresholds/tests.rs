//! Scopes, comparisons, what is shown, and silence.

use hyperscale_stats::CellSet;

use super::*;
use crate::summarize::tests::{closed, input, plan, request, workflow};

/// `browse` with steps home (1 to 100 ms, 10 errors) and pay (5 ms, none failed), `idle` without a sample.
fn judged(scope: Scope, metric: Metric, comparison: Comparison, limit: f64) -> ThresholdSummary {
    let plan = plan(vec![
        workflow("browse", closed(1), vec![request("home"), request("pay")]),
        workflow("idle", closed(1), vec![request("home")]),
    ]);
    let mut cells = CellSet::new(2);
    let home = cells.step_mut(0);
    home.count = 100;
    home.errors = 10;
    (1..=100).for_each(|ms| home.latency.record(ms * 1_000_000));
    let pay = cells.step_mut(1);
    pay.count = 100;
    (0..100).for_each(|_| pay.latency.record(5_000_000));
    cells.workflow_mut().dropped = 3;
    let mut input = input(&plan, vec![cells, CellSet::new(1)]);
    input.workflows[0].duration = Duration::from_secs(5);
    judge(&Threshold { expression: "as written".to_owned(), scope, metric, comparison, limit }, &input)
}

fn step(workflow: Option<usize>, name: &str) -> Scope {
    Scope::Step { workflow, name: name.to_owned() }
}

#[test]
fn each_scope_looks_at_its_own_samples() {
    let p99 = Metric::Latency(Statistic::Percentile(990_000));
    let cases = [
        (Scope::All, Metric::Requests, "200"),
        (Scope::Workflow(0), Metric::RatePerS, "40.0/s"),
        (Scope::All, Metric::RatePerS, "20.0/s"),
        (step(Some(0), "home"), Metric::RatePerS, "20.0/s"),
        (step(None, "home"), Metric::ErrorRate, "10.0%"),
        (Scope::All, Metric::ErrorRate, "5.0%"),
        (step(None, "pay"), p99, "5ms"),
        (Scope::All, Metric::Latency(Statistic::Max), "100ms"),
        (Scope::Workflow(0), Metric::Latency(Statistic::Min), "1ms"),
        (Scope::All, Metric::Dropped, "3"),
        (Scope::All, Metric::Errors, "10"),
    ];
    for (scope, metric, observed) in cases {
        let told = judged(scope.clone(), metric, Comparison::AtLeast, 0.0);
        assert_eq!((told.observed.as_str(), told.passed), (observed, true), "{scope:?} {metric:?}");
    }
}

#[test]
fn a_threshold_without_samples_fails_whatever_it_asks() {
    let all =
        [Comparison::Less, Comparison::AtMost, Comparison::More, Comparison::Equal, Comparison::NotEqual];
    let metrics = [Metric::Latency(Statistic::Mean), Metric::Errors, Metric::ErrorRate, Metric::RatePerS];
    for (comparison, metric) in
        all.into_iter().flat_map(|comparison| metrics.map(|metric| (comparison, metric)))
    {
        for scope in [Scope::Workflow(1), step(Some(1), "home"), step(None, "no such step")] {
            let told = judged(scope, metric, comparison, 0.0);
            assert_eq!(
                (told.observed.as_str(), told.passed),
                ("no samples", false),
                "{comparison:?} {metric:?}"
            );
        }
    }
}

#[test]
fn comparisons_hold_as_they_are_written() {
    let cases = [
        (Comparison::Less, [true, false, false]),
        (Comparison::AtMost, [true, true, false]),
        (Comparison::More, [false, false, true]),
        (Comparison::AtLeast, [false, true, true]),
        (Comparison::Equal, [false, true, false]),
        (Comparison::NotEqual, [true, false, true]),
    ];
    for (comparison, expected) in cases {
        let passed =
            [201.0, 200.0, 199.0].map(|limit| judged(Scope::All, Metric::Requests, comparison, limit).passed);
        assert_eq!(passed, expected, "{comparison:?}");
    }
}

#[test]
fn what_would_read_like_the_limit_is_shown_in_full() {
    let mean = Metric::Latency(Statistic::Mean);
    let far = judged(Scope::All, mean, Comparison::More, 40_000_000.0);
    assert_eq!((far.observed.as_str(), far.passed), ("27.8ms", false));
    let near = judged(Scope::All, mean, Comparison::More, 27_800_000.0);
    assert_eq!((near.observed.as_str(), near.passed), ("27.75ms", false));
}
