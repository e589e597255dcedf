use std::time::Duration;

use hyperscale_codec::messages::Share;
use hyperscale_plan::{Iterations, VuStage};
use proptest::prelude::*;

use super::*;

fn closed(start_vus: u32, stages: &[(u64, u32)]) -> Closed {
    let stages =
        stages.iter().map(|&(ms, vus)| VuStage { duration: Duration::from_millis(ms), vus }).collect();
    Closed { start_vus, stages, iterations: Iterations::Unlimited, graceful_ramp_down: Duration::ZERO }
}

fn owned(from: u32, count: u32, units: u32) -> Owned {
    Owned::new(&Share { unit_from: from, unit_count: count, units, iterations: 0 }).unwrap()
}

fn changes(closed: &Closed, owned: Owned) -> Vec<(u64, Change)> {
    let mut ramp = Ramp::new(closed, owned);
    let mut changes = Vec::new();
    while let Some(at) = ramp.peek() {
        changes.push((at / 1_000_000, ramp.advance().unwrap()));
    }
    assert_eq!(ramp.advance(), None);
    changes
}

#[test]
fn vus_come_and_go_where_the_line_passes_whole_numbers() {
    let all = changes(&closed(0, &[(4000, 2), (1000, 2), (2000, 0)]), owned(0, 1, 1));
    let expected = [
        (2000, Change::Comes(0)),
        (4000, Change::Comes(1)),
        (6000, Change::Goes(1)),
        (7000, Change::Goes(0)),
    ];
    assert_eq!(all, expected);
}

#[test]
fn a_constant_number_comes_at_once_and_a_stage_of_no_length_jumps() {
    let all = changes(&closed(2, &[(1000, 2), (0, 3), (1000, 3), (0, 1)]), owned(0, 1, 1));
    let expected = [
        (0, Change::Comes(0)),
        (0, Change::Comes(1)),
        (1000, Change::Comes(2)),
        (2000, Change::Goes(2)),
        (2000, Change::Goes(1)),
    ];
    assert_eq!(all, expected);
}

proptest! {
    #[test]
    fn shards_together_have_the_whole_number_at_all_times(
        start in 0..20_u32,
        stages in prop::collection::vec((0..3000_u64, 0..20_u32), 0..5),
        cut in 1..5_u32,
        at in 0..12_000_u64,
    ) {
        let closed = closed(start, &stages);
        let count = |owned: Owned| {
            changes(&closed, owned).iter().filter(|&&(when, _)| when <= at).fold(0_i64, |n, (_, change)| match change {
                Change::Comes(_) => n + 1,
                Change::Goes(_) => n - 1,
            })
        };
        let whole = count(owned(0, 5, 5));
        prop_assert_eq!(count(owned(0, cut, 5)) + count(owned(cut, 5 - cut, 5)), whole);
        prop_assert!((0..20).contains(&whole));
    }

    #[test]
    fn changes_are_in_order_and_each_vu_comes_before_it_goes(
        start in 0..20_u32,
        stages in prop::collection::vec((0..3000_u64, 0..20_u32), 0..5),
    ) {
        let closed = closed(start, &stages);
        let all = changes(&closed, owned(0, 1, 1));
        prop_assert!(all.is_sorted_by_key(|&(at, _)| at));
        let mut here = std::collections::BTreeSet::new();
        for (_, change) in all {
            match change {
                Change::Comes(vu) => prop_assert!(here.insert(vu)),
                Change::Goes(vu) => prop_assert!(here.remove(&vu)),
            }
        }
        prop_assert_eq!(here.len(), stages.last().map_or(start, |&(_, vus)| vus) as usize);
    }

    #[test]
    fn who_joins_a_ramp_finds_the_users_of_that_moment_and_goes_on_alike(
        start in 0..20_u32,
        stages in prop::collection::vec((0..3000_u64, 0..20_u32), 0..5),
        from_ms in 0..12_000_u64,
    ) {
        let closed = closed(start, &stages);
        let owned = owned(1, 2, 5);
        let (mut walked, mut joined) = (Ramp::new(&closed, owned), Ramp::new(&closed, owned));
        let mut here = std::collections::BTreeSet::new();
        while walked.peek().is_some_and(|due| due <= from_ms * 1_000_000) {
            match walked.advance().unwrap() {
                Change::Comes(vu) => here.insert(vu),
                Change::Goes(vu) => here.remove(&vu),
            };
        }
        prop_assert_eq!(joined.skip_to(from_ms * 1_000_000), here.into_iter().collect::<Vec<_>>());
        while let Some(due) = walked.peek() {
            prop_assert_eq!(joined.peek(), Some(due));
            prop_assert_eq!(joined.advance(), walked.advance());
        }
        prop_assert_eq!(joined.peek(), None);
    }
}
