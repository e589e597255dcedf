//! What holds for every summary; how the common ones look is in `tests/golden/terminal`.

use proptest::prelude::*;

use super::*;
use crate::summarize::tests::empty_summary;
use crate::{EventSummary, StepSummary, ThresholdSummary, Times, Totals, WorkerSummary, WorkflowSummary};

fn hostile(text: &str, n: u64, ms: f64) -> Summary {
    let mut summary = empty_summary();
    let text = || text.to_owned();
    let times =
        Times { count: n, min: Some(ms), mean: Some(ms), p50: Some(ms), p99: Some(ms), ..Times::default() };
    let totals = Totals { requests: n, errors: n / 2, rate_per_s: ms, ..Totals::default() };
    let step = StepSummary {
        name: text(),
        totals: totals.clone(),
        latency_ms: times.clone(),
        service_ms: times.clone(),
        status_codes: BTreeMap::new(),
        errors: BTreeMap::new(),
    };
    summary.workflows = vec![WorkflowSummary {
        name: text(),
        status: text(),
        error: text(),
        duration_s: ms,
        vus_max: 7,
        asked_rate_per_s: Some(ms),
        dropped_reason: Some(text()),
        totals: totals.clone(),
        iterations: crate::Iterations { due: n, dropped: n / 3, ..Default::default() },
        latency_ms: times.clone(),
        steps: vec![step.clone(), step],
    }];
    (summary.name, summary.error, summary.generator) = (text(), text(), text());
    summary.errors.insert(text(), n);
    summary.status_codes.insert("200".to_owned(), n);
    summary.latency_ms = times;
    summary.totals = totals;
    summary.distribution = vec![crate::DistributionBar { le_ms: ms, count: n }];
    summary.thresholds = vec![ThresholdSummary { expression: text(), passed: false, observed: text() }];
    summary.events = vec![EventSummary { at_s: ms, kind: text(), detail: text() }];
    let worker = || WorkerSummary {
        name: text(),
        datacenter: text(),
        shards: 1,
        requests: n,
        state: text(),
        gap_ms: n,
        generator: text(),
        clock_offset_ms: Some(ms),
        clock_error_ms: None,
    };
    summary.workers = vec![worker(), worker()];
    summary
}

proptest! {
    #[test]
    fn nothing_a_stranger_writes_reaches_the_terminal_as_control(
        text in "\\PC{0,20}[\\x00-\\x1f\\x7f-\\x9f\u{202e}]{0,4}\\PC{0,20}",
        n: u64,
        ms in 0.0..1e12_f64,
        unicode: bool,
    ) {
        let screen = render(&hostile(&text, n, ms), Style { unicode, ..Style::plain() });
        prop_assert!(!screen.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{screen:?}");
        prop_assert!(unicode || screen.is_ascii(), "{screen:?}");
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide(
        word in "[a-z]{1,12}",
        n in 0..100_000_000_u64,
        ms in 0.0..1e6_f64,
        width in 60..=120_usize,
    ) {
        let text = [word.as_str(); 12].join(" ");
        let screen = render(&hostile(&text, n, ms), Style { width, ..Style::plain() });
        // Pieces that stay together (a threshold, an error kind) may be long; names that repeat may not.
        let long = screen.lines().find(|line| columns(line) > width && !line.contains("FAIL") && !line.contains(&text));
        prop_assert!(long.is_none(), "{long:?}");
    }

    #[test]
    fn colour_adds_nothing_but_colour(n in 0..10_000_u64, ms in 0.0..1e4_f64) {
        let summary = hostile("some text", n, ms);
        let plain = render(&summary, Style::plain());
        let mut bare = render(&summary, Style { color: true, ..Style::plain() });
        for code in ["\x1b[32m", "\x1b[1;31m", "\x1b[33m", "\x1b[1m", "\x1b[2m", "\x1b[0m"] {
            bare = bare.replace(code, "");
        }
        prop_assert_eq!(bare, plain);
    }
}

#[test]
fn events_beyond_a_screenful_are_counted() {
    let mut summary = empty_summary();
    let event = EventSummary { at_s: 3.2, kind: "worker_lost".to_owned(), detail: "w3".to_owned() };
    summary.events = vec![event; 20];
    let screen = render(&summary, Style::plain());
    assert_eq!(screen.matches("worker_lost").count(), EVENTS_MAX);
    assert!(screen.contains("12 events more in the JSON"), "{screen}");
}

#[test]
fn each_of_several_workers_has_a_line_within_a_narrow_terminal() {
    let mut summary = hostile("w", 40, 1.0);
    let template = summary.workers.remove(0);
    let worker = |at: u64| WorkerSummary {
        name: format!("worker-{at}"),
        datacenter: format!("dc-{}", at % 2 + 1),
        requests: 10 * at,
        state: if at == 3 { "lost" } else { "ok" }.to_owned(),
        generator: if at == 2 { "saturated" } else { "ok" }.to_owned(),
        ..template.clone()
    };
    (summary.totals.requests, summary.workers) = (100, (1..=4).map(worker).collect());
    let screen = render(&summary, Style { width: 80, ..Style::plain() });
    let table = " worker    datacenter   cores    requests    share  state\n \
                 worker-1  dc-2             1          10    10.0%  ok\n \
                 worker-2  dc-1             1          20    20.0%  ok, saturated\n \
                 worker-3  dc-2             1          30    30.0%  lost\n \
                 worker-4  dc-1             1          40    40.0%  ok\n";
    assert!(screen.contains(table), "{screen}");
    summary.workers = (1..=100).map(worker).collect();
    let screen = render(&summary, Style::plain());
    assert_eq!(screen.lines().filter(|line| line.starts_with(" worker-")).count(), tables::WORKERS_MAX);
    assert!(screen.contains(" 84 workers more in the JSON\n"), "{screen}");
}
