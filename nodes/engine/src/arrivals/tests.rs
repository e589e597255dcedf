use std::time::Duration;

use hyperscale_codec::messages::Share;
use hyperscale_plan::{LatePolicy, RateStage};
use proptest::prelude::*;

use super::*;

fn open(start_rate: f64, stages: &[(u64, f64)], arrivals: Arrivals) -> Open {
    let stages =
        stages.iter().map(|&(ms, rate)| RateStage { duration: Duration::from_millis(ms), rate }).collect();
    Open { start_rate, stages, arrivals, max_vus: 10, late: LatePolicy::Wait, total: None }
}

fn owned(from: u32, count: u32, units: u32) -> Owned {
    Owned::new(&Share { unit_from: from, unit_count: count, units, iterations: 0 }).unwrap()
}

fn times(open: &Open, owned: Owned, limit: Option<u64>) -> Vec<u64> {
    let mut schedule = Schedule::new(Rc::new(RateProfile::new(open)), open, owned, limit, 7);
    let all = schedule.rest();
    let mut times = Vec::new();
    while let Some(due) = schedule.peek() {
        times.push(due);
        schedule.advance();
    }
    if open.arrivals == Arrivals::Constant {
        assert_eq!(all, times.len() as u64, "the rest is told exactly");
        assert_eq!(schedule.rest(), 0);
    }
    times
}

#[test]
fn a_constant_rate_spaces_evenly_and_ends_before_its_duration() {
    let times = times(&open(1000.0, &[(10_000, 1000.0)], Arrivals::Constant), owned(0, 1, 1), None);
    assert_eq!(times.len(), 10_000);
    for (i, &due) in times.iter().enumerate() {
        assert!(due.abs_diff(i as u64 * 1_000_000) <= 1, "arrival {i} at {due}");
    }
}

#[test]
fn a_ramp_from_zero_follows_the_square_root() {
    // 0 to 100/s in 10 s: the integral is 5 t^2.
    let times = times(&open(0.0, &[(10_000, 100.0)], Arrivals::Constant), owned(0, 1, 1), None);
    assert_eq!(times.len(), 500);
    for (i, &due) in times.iter().enumerate() {
        let exact = (i as f64 / 5.0).sqrt();
        assert!((due as f64 / 1e9 - exact).abs() < 1e-6, "arrival {i} at {due}");
    }
}

#[test]
fn pauses_and_jumps_have_no_arrivals_of_their_own() {
    let stages = [(1000, 10.0), (0, 0.0), (5000, 0.0), (0, 10.0), (1000, 10.0)];
    let times = times(&open(10.0, &stages, Arrivals::Constant), owned(0, 1, 1), None);
    assert_eq!(times.len(), 20);
    assert!(times.iter().all(|&due| !(1_000_000_000..6_000_000_000).contains(&due)), "{times:?}");
}

#[test]
fn a_limit_ends_the_schedule() {
    let times = times(&open(10.0, &[(10_000, 10.0)], Arrivals::Constant), owned(0, 1, 1), Some(3));
    assert_eq!(times, [0, 100_000_000, 200_000_000]);
}

#[test]
fn poisson_arrivals_come_at_the_rate_with_exponential_gaps() {
    let whole = open(1000.0, &[(60_000, 1000.0)], Arrivals::Poisson);
    let times = times(&whole, owned(0, 1, 2), None);
    let n = times.len() as f64;
    // Half of the units: 30,000 expected, standard deviation 173.
    assert!((n - 30_000.0).abs() < 900.0, "{n} arrivals");
    let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let over_mean = gaps.iter().filter(|&&gap| gap > mean).count() as f64 / gaps.len() as f64;
    assert!((over_mean - 0.3679).abs() < 0.01, "{over_mean} of the gaps are over the mean, 1/e expected");
}

proptest! {
    #[test]
    fn arrivals_stand_where_the_integral_reaches_their_number(
        start in 0.0..200.0_f64,
        stages in prop::collection::vec((0..4000_u64, 0.0..300.0_f64), 1..5),
    ) {
        let open = open(start, &stages, Arrivals::Constant);
        let integral = |at: f64| {
            let (mut area, mut from, mut begin) = (0.0, start, 0.0);
            for &(ms, to) in &stages {
                let length = ms as f64 / 1e3;
                let within = (at - begin).clamp(0.0, length);
                if length > 0.0 {
                    area += from * within + (to - from) * within * within / (2.0 * length);
                }
                (from, begin) = (to, begin + length);
            }
            area
        };
        let times = times(&open, owned(0, 1, 1), None);
        prop_assert!(times.is_sorted());
        for (i, &due) in times.iter().enumerate() {
            prop_assert!((integral(due as f64 / 1e9) - i as f64).abs() < 1e-3, "arrival {} at {}", i, due);
        }
    }

    #[test]
    fn shares_of_any_split_make_the_whole_schedule(
        cut in 1..9_u32,
        rate in 1.0..500.0_f64,
        to in 0.0..500.0_f64,
    ) {
        let open = open(rate, &[(1500, to), (0, rate), (700, rate)], Arrivals::Constant);
        let whole = times(&open, owned(0, 10, 10), None);
        let mut parts = times(&open, owned(0, cut, 10), None);
        parts.extend(times(&open, owned(cut, 10 - cut, 10), None));
        parts.sort_unstable();
        prop_assert_eq!(whole, parts);
    }

    #[test]
    fn two_cursors_agree(seed in any::<u64>(), steps in 0..500_usize) {
        let open = open(100.0, &[(10_000, 300.0)], Arrivals::Poisson);
        let mut a = Schedule::new(Rc::new(RateProfile::new(&open)), &open, owned(0, 1, 1), None, seed);
        (0..steps).for_each(|_| a.advance());
        let mut b = a.clone();
        for _ in 0..100 {
            prop_assert_eq!(a.peek(), b.peek());
            a.advance();
            b.advance();
        }
    }

    #[test]
    fn a_schedule_that_begins_later_has_the_rest_of_the_same_arrivals(
        start in 0.0..500.0_f64,
        to in 0.0..500.0_f64,
        from in 0..3_000_000_u64,
        limit in prop::option::of(0..400_u64),
        count in 1..4_u32,
    ) {
        let open = open(start, &[(1500, to), (0, start), (700, start)], Arrivals::Constant);
        let from = from * 1000;
        let owned = owned(0, count, 4);
        let mut later = Schedule::new(Rc::new(RateProfile::new(&open)), &open, owned, limit, 7);
        later.skip_to(from);
        let mut rest = Vec::new();
        while let Some(due) = later.peek() {
            rest.push(due);
            later.advance();
        }
        let all = times(&open, owned, limit);
        prop_assert_eq!(rest, all.into_iter().filter(|&due| due >= from).collect::<Vec<_>>());
    }

    #[test]
    fn poisson_arrivals_that_begin_later_come_at_the_rate_from_there_on(seed in any::<u64>(), from in 0..50_u64) {
        let open = open(0.0, &[(60_000, 1000.0)], Arrivals::Poisson);
        let mut later = Schedule::new(Rc::new(RateProfile::new(&open)), &open, owned(0, 1, 2), None, seed);
        later.skip_to(from * 1_000_000_000);
        prop_assert!(later.peek().is_some_and(|due| due >= from * 1_000_000_000));
        let mut n = 0_u32;
        while later.peek().is_some() {
            later.advance();
            n += 1;
        }
        // The integral of the second half of the load from there on; within six standard deviations.
        let all = (60.0_f64.powi(2) - (from as f64).powi(2)) * 1000.0 / 120.0 / 2.0;
        prop_assert!((f64::from(n) - all).abs() < 6.0 * all.sqrt(), "{} of {}", n, all);
    }
}
