use super::*;
use crate::model::Statistic;

fn names() -> Names<'static> {
    Names {
        workflows: vec![
            ("warm", Some(vec!["GET /health"])),
            ("buy", Some(vec!["login", "pay", "pay.slow", "GET /a<b"])),
        ],
    }
}

fn read(text: &str) -> Result<Threshold, Refusal> {
    parse_threshold(text, &names())
}

fn step(workflow: Option<usize>, name: &str) -> Scope {
    Scope::Step { workflow, name: name.to_owned() }
}

#[test]
fn every_scope_metric_and_unit_is_read() {
    let p99 = Metric::Latency(Statistic::Percentile(990_000));
    for (text, scope, metric, comparison, limit) in [
        ("latency.p99 < 250ms", Scope::All, p99, Comparison::Less, 250e6),
        ("latency.p99<=1.5s", Scope::All, p99, Comparison::AtMost, 1.5e9),
        ("errors.rate < 1%", Scope::All, Metric::ErrorRate, Comparison::Less, 0.01),
        ("errors.rate <= 0.05", Scope::All, Metric::ErrorRate, Comparison::AtMost, 0.05),
        ("errors == 0", Scope::All, Metric::Errors, Comparison::Equal, 0.0),
        ("requests >= 10k", Scope::All, Metric::Requests, Comparison::AtLeast, 10_000.0),
        ("dropped != 7", Scope::All, Metric::Dropped, Comparison::NotEqual, 7.0),
        ("workflows.buy.rate_per_s > 100", Scope::Workflow(1), Metric::RatePerS, Comparison::More, 100.0),
        ("steps.pay.latency.p99 < 1s", step(None, "pay"), p99, Comparison::Less, 1e9),
        ("steps.pay.slow.latency.p99 < 1s", step(None, "pay.slow"), p99, Comparison::Less, 1e9),
        ("steps.GET /health.latency.p99 < 1s", step(None, "GET /health"), p99, Comparison::Less, 1e9),
        ("steps.GET /a<b.latency.p99 < 1s", step(None, "GET /a<b"), p99, Comparison::Less, 1e9),
        ("workflows.buy.steps.pay.latency.p99 < 1s", step(Some(1), "pay"), p99, Comparison::Less, 1e9),
    ] {
        let threshold = read(text).unwrap();
        assert_eq!(
            (threshold.scope, threshold.metric, threshold.comparison, threshold.limit),
            (scope, metric, comparison, limit),
            "{text}"
        );
    }
}

#[test]
fn an_expression_is_kept_with_single_spaces() {
    assert_eq!(read("  latency.p99<250ms ").unwrap().expression, "latency.p99 < 250ms");
}

#[test]
fn a_refusal_says_what_would_be_right() {
    for (text, why) in [
        ("latancy.p99 < 1s", r#"no metric "latancy"; did you mean "latency"?"#),
        ("latency.p99", r#"no comparison; write for example "latency.p99 < 250ms""#),
        ("", r#"no comparison; write for example "latency.p99 < 250ms""#),
        ("latency.p99 = 1s", "no such comparison; use one of < <= > >= == !="),
        (
            "latency.p99 => 1s",
            r#""p99 =" is not a percentile; write p50, p99 or p99.9 (0 to 100, four decimals)"#,
        ),
        ("latency.p99 < 250", r#""250" has no unit; write "250s" or "250ms""#),
        ("latency.p99 <", r#""" is not a duration; write "30s", "1m30s" or "500ms""#),
        ("errors.rate < 5", r#""5" is outside of 0% to 100%; write 0 to 1, or a percentage such as "5%""#),
        ("errors < 1%", r#""1%" is not a count; write 200, "10k" or "1.5m""#),
        ("rate_per_s > fast", r#""fast" is not a rate; write "500/s", "30/m" or "1.5k/s""#),
        ("workflows.bux.errors < 1", r#"no workflow "bux"; did you mean "buy"?"#),
        ("workflows.buy < 1", r#"no metric """#),
        ("steps.pya.errors < 1", r#"no step "pya"; did you mean "pay"?"#),
        ("workflows.warm.steps.pay.errors < 1", r#"no step "pay""#),
        ("steps.pay.speed < 1", r#"no metric "speed""#),
    ] {
        assert_eq!(read(text).unwrap_err().0, format!("threshold {}: {why}", quote(text)));
    }
}

#[test]
fn an_unknown_metric_lists_those_that_exist() {
    assert_eq!(read("latancy.p99 < 1s").unwrap_err().1, Some(METRICS.to_owned()));
}

#[test]
fn a_step_of_a_workflow_that_is_broken_is_not_called_unknown() {
    let names = Names { workflows: vec![("buy", None)] };
    assert!(parse_threshold("steps.pay.errors < 1", &names).is_ok());
}
