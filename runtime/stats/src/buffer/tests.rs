#![allow(
    clippy::arithmetic_side_effects,
    reason = "the figures are the test's own, and an overflow fails it"
)]

use hyperscale_codec::messages::ErrorKind;
use proptest::prelude::*;

use super::*;

const EVERYTHING: Span = Span { from: 0, to: u32::MAX };
const STEPS: [usize; 2] = [2, 1];
const S: Duration = Duration::from_secs(1);

fn at(k: u32) -> Span {
    Span { from: k, to: k }
}

/// What one window of one source might be.
fn cells(seed: u64) -> Vec<CellSet> {
    let mut sets: Vec<CellSet> = STEPS.iter().map(|&steps| CellSet::new(steps)).collect();
    for i in 0..seed % 7 {
        let set = &mut sets[usize::try_from((seed + i) % 2).unwrap()];
        let cell = set.step_mut(0);
        let ns = (seed * 7_919 + i * 104_729) % 50_000_000;
        cell.count += 1 + i;
        cell.bytes_in += ns;
        cell.latency.record(ns);
        cell.service.record(ns / 3);
        cell.lateness.record(ns % 100);
        cell.record_status(if ns.is_multiple_of(3) { 503 } else { 200 });
        if ns.is_multiple_of(5) {
            cell.record_error(ErrorKind::Timeout);
            cell.connect.record(ns);
        }
        set.workflow_mut().due += 2;
        set.workflow_mut().dropped += i;
    }
    sets
}

fn nothing() -> Vec<CellSet> {
    STEPS.iter().map(|&steps| CellSet::new(steps)).collect()
}

fn merge(into: &mut [CellSet], more: &[CellSet]) {
    into.iter_mut().zip(more).for_each(|(into, more)| into.merge(more));
}

/// All that a promotion must keep: everything but which bucket a time is in.
fn kept(sets: &[CellSet]) -> Vec<String> {
    let cells = sets.iter().flat_map(CellSet::cells);
    let kept = cells.map(|(step, cell)| {
        let hists = [&cell.latency, &cell.service, &cell.lateness, &cell.connect];
        let exact = hists.map(|hist| (hist.exact(), hist.counts().iter().sum::<u64>()));
        let counts = [cell.count, cell.errors, cell.due, cell.dropped, cell.bytes_in];
        let statuses: Vec<(u16, u64)> = cell.statuses().collect();
        let kinds: Vec<(ErrorKind, u64)> = cell.error_kinds().collect();
        format!("{step:?} {counts:?} {statuses:?} {kinds:?} {exact:?}")
    });
    kept.collect()
}

fn all_of(buffer: &mut StatsBuffer) -> Vec<CellSet> {
    let mut sum = nothing();
    buffer.read(EVERYTHING, &mut sum);
    sum
}

fn entries(buffer: &StatsBuffer) -> [usize; 4] {
    StatsTier::ALL.map(|tier| buffer.entries(tier))
}

#[test]
fn a_day_and_an_hour_pass_through_all_tiers() {
    let mut buffer = StatsBuffer::new(&STEPS, S * 10);
    let mut sum = nothing();
    let mut most = 0;
    for k in 0..9_000 {
        let window = cells(u64::from(k));
        buffer.insert(Instant::ZERO + S * 10 * k, at(k), &window);
        merge(&mut sum, &window);
        most = most.max(buffer.bytes());
        match k {
            6 => assert_eq!(entries(&buffer), [7, 0, 0, 0]),
            7 => assert_eq!(entries(&buffer), [7, 1, 0, 0]),
            367 => assert_eq!(entries(&buffer), [7, 354, 2, 0]),
            _ => {}
        }
    }
    assert_eq!(entries(&buffer), [7, 354, 1_381, 1]);
    assert_eq!(kept(&all_of(&mut buffer)), kept(&sum));
    assert!(most < 8 << 20, "{most} bytes");
}

#[test]
fn without_new_windows_the_clock_alone_moves_them_on() {
    let mut buffer = StatsBuffer::new(&STEPS, S);
    for k in 0..30 {
        buffer.insert(Instant::ZERO + S * k, at(k), &cells(6));
    }
    let later = |s: u32| Instant::ZERO + S * (30 + s);
    buffer.promote(later(59));
    assert_eq!(entries(&buffer), [1, 3, 0, 0]);
    buffer.promote(later(3_700));
    assert_eq!(entries(&buffer), [0, 0, 1, 0]);
    buffer.promote(later(90_000));
    assert_eq!(entries(&buffer), [0, 0, 0, 1]);
}

#[test]
fn a_late_window_goes_where_it_is_covered() {
    let mut buffer = StatsBuffer::new(&STEPS, S);
    let now = Instant::ZERO + S;
    buffer.insert(now, at(100_000), &cells(6));
    buffer.insert(now, at(99_999), &cells(6));
    buffer.insert(now, at(99_000), &cells(6));
    buffer.insert(now, at(90_000), &cells(6));
    buffer.insert(now, at(5), &cells(6));
    assert_eq!(entries(&buffer), [2, 1, 1, 1]);
    // The same window again is added to it.
    buffer.insert(now, at(99_000), &cells(6));
    assert_eq!(entries(&buffer), [2, 1, 1, 1]);
    let mut sum = nothing();
    assert_eq!(buffer.read(at(99_000), &mut sum), Some(at(99_000)));
    let mut twice = cells(6);
    merge(&mut twice, &cells(6));
    assert_eq!(sum, twice);
}

#[test]
fn a_full_ring_moves_its_oldest_early() {
    let mut buffer = StatsBuffer::new(&STEPS, Duration::from_millis(10));
    let now = Instant::ZERO + S;
    (0..1_500).for_each(|k| buffer.insert(now, at(k), &cells(6)));
    assert_eq!(entries(&buffer), [1_000, 1, 0, 0]);
    // Older than all of a full ring: it goes on down.
    buffer.insert(now, at(3), &cells(6));
    assert_eq!(entries(&buffer), [1_000, 1, 0, 0]);
    assert_eq!(all_of(&mut buffer)[0].step(0).unwrap().count, 1_501 * cells(6)[0].step(0).unwrap().count);
}

#[test]
fn relief_costs_resolution_and_no_count() {
    let mut buffer = StatsBuffer::new(&STEPS, S * 10);
    for k in 0..2_000 {
        buffer.insert(Instant::ZERO + S * 10 * k, at(k), &cells(u64::from(k)));
    }
    let (before, bytes) = (kept(&all_of(&mut buffer)), buffer.bytes());
    let mut steps = 0;
    while buffer.relieve() {
        steps += 1;
        assert_eq!(kept(&all_of(&mut buffer)), before);
    }
    assert!((8..40).contains(&steps), "{steps}");
    assert!(buffer.bytes() < bytes / 4, "{} of {bytes}", buffer.bytes());
}

#[test]
fn a_coarse_quantile_is_never_below_the_truth_and_twice_as_wide() {
    let mut buffer = StatsBuffer::new(&[1], S);
    let mut fine = CellSet::new(1);
    fine.step_mut(0).count = 2_000;
    (0..2_000_u64).for_each(|i| fine.step_mut(0).latency.record(1_000 + i * i * 37));
    buffer.insert(Instant::ZERO, at(0), std::slice::from_ref(&fine));
    buffer.promote(Instant::ZERO + S * 10_000);
    assert_eq!(entries(&buffer), [0, 0, 1, 0]);
    let mut coarse = [CellSet::new(1)];
    buffer.read(EVERYTHING, &mut coarse);
    let (fine, coarse) = (&fine.step(0).unwrap().latency, &coarse[0].step(0).unwrap().latency);
    for ppm in [1, 100_000, 500_000, 900_000, 999_000, 1_000_000] {
        let (fine, coarse) = (fine.quantile_ppm(ppm).unwrap(), coarse.quantile_ppm(ppm).unwrap());
        assert!(coarse >= fine && coarse - fine <= fine / 64, "{coarse} for {fine}");
    }
    assert_eq!((fine.min(), fine.max()), (coarse.min(), coarse.max()));
}

#[test]
fn counts_beyond_any_truth_stay_at_their_largest() {
    let mut buffer = StatsBuffer::new(&[1], S);
    let mut most = CellSet::new(1);
    most.step_mut(0).count = u64::MAX;
    most.step_mut(0).add_status(200, u64::MAX);
    for _ in 0..3 {
        buffer.insert(Instant::ZERO, at(0), std::slice::from_ref(&most));
    }
    let mut sum = [CellSet::new(1)];
    buffer.read(EVERYTHING, &mut sum);
    assert_eq!(sum[0].step(0).unwrap().count, u64::MAX);
    assert_eq!(sum[0].step(0).unwrap().statuses().collect::<Vec<_>>(), [(200, u64::MAX)]);
}

/// A window that comes, or time that passes, or memory that is short.
#[derive(Debug, Clone)]
enum Happens {
    Window { from: u32, more: u32, seed: u64 },
    Time { ms: u64 },
    Relief,
}

fn happens() -> impl Strategy<Value = Happens> {
    let window = |from: std::ops::Range<u32>| (from, 0_u32..12, any::<u16>());
    let of = |(from, more, seed): (u32, u32, u16)| Happens::Window { from, more, seed: seed.into() };
    prop_oneof![
        8 => window(0..200).prop_map(of),
        4 => window(0..100_000).prop_map(of),
        1 => window(u32::MAX - 9..u32::MAX).prop_map(of),
        4 => (0_u64..200_000).prop_map(|ms| Happens::Time { ms }),
        1 => Just(Happens::Relief),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_whatever_comes_when(
        window_ms in prop::sample::select(vec![100_u64, 700, 1_000, 3_000, 10_000]),
        list in prop::collection::vec(happens(), 1..80),
    ) {
        let mut buffer = StatsBuffer::new(&STEPS, Duration::from_millis(window_ms));
        let (mut now, mut sum) = (Instant::ZERO, nothing());
        for happens in list {
            match happens {
                Happens::Window { from, more, seed } => {
                    let window = cells(seed);
                    buffer.insert(now, Span { from, to: from.saturating_add(more) }, &window);
                    merge(&mut sum, &window);
                }
                Happens::Time { ms } => {
                    now = now + Duration::from_millis(ms);
                    buffer.promote(now);
                }
                Happens::Relief => {
                    buffer.relieve();
                }
            }
            for tier in StatsTier::ALL {
                prop_assert!(buffer.entries(tier) <= tier.entries_max());
                let slots: Vec<u64> =
                    buffer.tier(tier).iter().map(|entry| buffer.slot(tier, entry.span)).collect();
                prop_assert!(slots.is_sorted_by(|a, b| a < b), "{tier:?} {slots:?}");
            }
        }
        prop_assert_eq!(kept(&all_of(&mut buffer)), kept(&sum));
    }

    #[test]
    fn packed_or_not_any_order_and_grouping_of_cells_gives_the_same_bytes(
        seeds in prop::collection::vec(any::<u16>(), 3),
    ) {
        let pack = |sets: &[CellSet]| {
            let mut out = Vec::new();
            packed::pack(sets, &mut out);
            out
        };
        let sum = |a: &[u8], b: &[u8]| {
            let mut out = Vec::new();
            packed::merge(5, (a, b), 0, &mut out);
            out
        };
        let [a, b, c] = [0, 1, 2].map(|i: usize| cells(seeds[i].into()));
        let mut all = a.clone();
        merge(&mut all, &b);
        merge(&mut all, &c);
        let [a, b, c] = [&a, &b, &c].map(|sets| pack(sets));
        let left = sum(&sum(&a, &b), &c);
        prop_assert_eq!(&left, &sum(&c, &sum(&b, &a)));
        prop_assert_eq!(&left, &sum(&sum(&a, &c), &b));
        prop_assert_eq!(&left, &pack(&all));
        let mut back = nothing();
        packed::unpack(&left, &mut back);
        prop_assert_eq!(back, all);
    }
}

#[test]
fn a_closed_buffer_shows_what_it_held() {
    let mut buffer = StatsBuffer::new(&STEPS, S);
    let mut all = nothing();
    for k in 0..90 {
        merge(&mut all, &cells(u64::from(k)));
        buffer.insert(Instant(1_000_000_000 * u64::from(k)), at(k), &cells(u64::from(k)));
    }
    buffer.close();
    let mut read = nothing();
    buffer.read(EVERYTHING, &mut read).unwrap();
    assert_eq!(kept(&read), kept(&all));
    // One that comes all the same is kept.
    merge(&mut all, &cells(90));
    buffer.insert(Instant(90_000_000_000), at(90), &cells(90));
    let mut read = nothing();
    buffer.read(EVERYTHING, &mut read).unwrap();
    assert_eq!(kept(&read), kept(&all));
}
