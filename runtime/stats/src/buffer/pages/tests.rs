#![allow(
    clippy::arithmetic_side_effects,
    reason = "the figures are the test's own, and an overflow fails it"
)]

use std::time::Duration;

use hyperscale_core::Instant;
use proptest::prelude::*;

use super::*;

const STEPS: [usize; 2] = [2, 1];
const EVERYTHING: Span = Span { from: 0, to: u32::MAX };

fn window(k: u32) -> Vec<CellSet> {
    let mut sets: Vec<CellSet> = STEPS.iter().map(|&steps| CellSet::new(steps)).collect();
    for (at, set) in sets.iter_mut().enumerate() {
        let cell = set.step_mut(0);
        cell.count += u64::from(k % 5) + u64::try_from(at).unwrap();
        cell.latency.record(u64::from(k) * 1_000 + 7);
        set.workflow_mut().count += 1;
    }
    sets
}

fn buffer_of(windows: u32, length: Duration) -> (StatsBuffer, Instant) {
    let mut buffer = StatsBuffer::new(&STEPS, length);
    let mut now = Instant(1);
    for k in 0..windows {
        buffer.insert(now, Span { from: k, to: k }, &window(k));
        now = now + length;
    }
    (buffer, now)
}

fn all(rows: usize) -> PageOf {
    PageOf { tier: None, wanted: EVERYTHING, by_workflow: false, rows, rows_max: 10_000 }
}

/// Requests and iterations of all windows, and the rows that told them.
fn requests(windows: u32) -> (u64, u64) {
    let steps = (0..windows).map(|k| 2 * u64::from(k % 5) + 1).sum();
    (steps, u64::from(windows) * 2)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pages_tell_each_window_once_whatever_moves_on_between_them(
        windows in 1_u32..2_000,
        window_ms in prop::sample::select(vec![100_u64, 1_000, 7_000, 10_000]),
        rows in 1_usize..300,
        waits in prop::collection::vec(0_u64..30_000, 1..20),
    ) {
        let (mut buffer, mut now) = buffer_of(windows, Duration::from_millis(window_ms));
        let (mut told, mut iterations, mut from, mut pages) = (0, 0, 0, 0);
        loop {
            let page = PageOf { wanted: Span { from, to: u32::MAX }, ..all(rows) };
            let mut begins_before = false;
            let next = buffer.page(page, |row| {
                told += row.steps.count;
                iterations += row.iterations.count;
                begins_before |= row.span.from < from;
            });
            prop_assert!(!begins_before, "an entry of window {from} was told in part");
            let Some(next) = next else { break };
            prop_assert!(next > from);
            from = next;
            now = now + Duration::from_millis(waits[pages % waits.len()]);
            buffer.promote(now);
            pages += 1;
        }
        prop_assert_eq!((told, iterations), requests(windows));
    }
}

#[test]
fn a_page_does_not_end_where_the_next_entry_moves_on_into_the_last_one() {
    // An hour and 80 s of windows of 10 s: windows 6 and 7 are a minute that 8 will be part of.
    let (mut buffer, mut now) = buffer_of(368, Duration::from_secs(10));
    let page = |from| PageOf { wanted: Span { from, to: u32::MAX }, ..all(1) };
    let second = buffer.page(page(0), |_| ()).unwrap();
    assert_eq!(second, 6);
    let third = buffer.page(page(second), |_| ()).unwrap();
    now = now + Duration::from_secs(5);
    buffer.promote(now);
    buffer.page(page(third), |row| assert!(row.span.from >= third, "{:?} at {third}", row.span));
}

#[test]
fn a_page_has_as_many_rows_as_asked_for_and_few_more() {
    let (mut buffer, _) = buffer_of(1_000, Duration::from_millis(100));
    for rows in [1, 50, 100, 350] {
        let mut told = 0;
        assert!(buffer.page(all(rows), |_| told += 1).is_some());
        assert!((rows..rows + 100).contains(&told), "{told} of {rows}");
    }
}

#[test]
fn rows_of_workflows_add_up_to_the_rows_of_all() {
    let (mut buffer, _) = buffer_of(300, Duration::from_secs(1));
    let mut sums = [0_u64; 2];
    let by_workflow = PageOf { by_workflow: true, ..all(1_000) };
    assert_eq!(buffer.page(by_workflow, |row| sums[row.workflow.unwrap()] += row.steps.count), None);
    let mut whole = 0;
    buffer.page(all(1_000), |row| whole += row.steps.count);
    assert_eq!((sums[0] + sums[1], whole), (requests(300).0, requests(300).0));
    assert!(sums[0] < sums[1], "{sums:?}");
}

#[test]
fn a_tier_and_a_range_are_told_alone() {
    let (mut buffer, _) = buffer_of(300, Duration::from_secs(1));
    let mut spans = Vec::new();
    let warm = PageOf { tier: Some(StatsTier::Warm), wanted: Span { from: 15, to: 31 }, ..all(1_000) };
    buffer.page(warm, |row| spans.push((row.tier, row.span.from, row.span.to)));
    // Aggregates are not taken apart.
    let tens = [(10, 19), (20, 29), (30, 39)];
    assert_eq!(spans, tens.map(|(from, to)| (StatsTier::Warm, from, to)));
}

#[test]
fn what_no_window_told_of_is_put_into_the_last() {
    let (mut buffer, _) = buffer_of(100, Duration::from_secs(1));
    let whole = |workflow: usize| {
        let mut sum = CellSet::new(STEPS[workflow]);
        (0..103).for_each(|k| sum.merge(&window(k)[workflow]));
        sum
    };
    let whole: Vec<CellSet> = (0..STEPS.len()).map(whole).collect();
    buffer.meet(&whole);
    let (mut told, mut last) = (0, (0, 0));
    buffer.page(all(1_000), |row| {
        told += row.steps.count;
        last = (row.span.to, row.steps.count);
    });
    assert_eq!(told, requests(103).0);
    assert_eq!(last, (99, requests(103).0 - requests(99).0));
    let mut held = Vec::from(STEPS.map(CellSet::new));
    buffer.read(EVERYTHING, &mut held);
    assert_eq!(held[0].step(0).unwrap().latency.count(), 103);
    // Again there is nothing beyond.
    buffer.meet(&whole);
    buffer.page(all(1_000), |row| last = (row.span.to, row.steps.count));
    assert_eq!(last, (99, requests(103).0 - requests(99).0));
}

#[test]
fn a_job_without_windows_has_one_then() {
    let mut buffer = StatsBuffer::new(&STEPS, Duration::from_secs(1));
    buffer.meet(&window(3));
    let mut rows = Vec::new();
    buffer.page(all(10), |row| rows.push((row.tier, row.span.to, row.steps.count)));
    assert_eq!(rows, [(StatsTier::Hot, 0, 7)]);
}
