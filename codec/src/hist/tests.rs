//! Published vectors, laws of merging, and hdrhistogram as the oracle.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "the values are the test's own, and an overflow fails it"
)]

use hdrhistogram::Histogram;
use proptest::prelude::*;

use super::*;
use crate::HistError;

fn of(values: &[u64]) -> Hist {
    let mut hist = Hist::new();
    values.iter().for_each(|&v| hist.record(v));
    hist
}

#[test]
fn values_land_in_their_published_buckets() {
    let vectors = [
        (255, 255, 255, 255),
        (256, 256, 256, 257),
        (257, 256, 256, 257),
        (511, 383, 510, 511),
        (512, 384, 512, 515),
        (1000, 506, 1000, 1003),
        (1_000_000, 1780, 999_424, 1_003_519),
        (1_000_000_000, 3054, 998_244_352, 1_002_438_655),
        (3_600_000_000_000, 4561, 3_590_592_659_456, 3_607_772_528_639),
        (VALUE_MAX, 4863, 17_523_466_567_680, VALUE_MAX),
    ];
    for (value, index, low, high) in vectors {
        assert_eq!(
            (bucket_index(value), bucket_low(index), bucket_high(index)),
            (index, low, high),
            "{value}"
        );
    }
}

#[test]
fn no_bucket_is_wider_than_its_promise() {
    for index in 256..BUCKETS {
        let width = bucket_high(index) - bucket_low(index) + 1;
        assert!(width * 128 <= bucket_low(index), "{index}");
    }
}

#[test]
fn a_value_beyond_the_range_stays_exact_in_sum_and_maximum() {
    let hist = of(&[5, u64::MAX]);
    assert_eq!((hist.over(), hist.max(), hist.sum()), (1, Some(u64::MAX), u128::from(u64::MAX) + 5));
    assert_eq!(hist.quantile_ppm(1_000_000), Some(u64::MAX));
}

#[test]
fn an_empty_one_has_no_quantile() {
    assert_eq!((Hist::new().quantile_ppm(500_000), Hist::new().min()), (None, None));
}

#[test]
fn contradictions_are_refused_and_change_nothing() {
    let good = of(&[10, 1000, 1000, 70_000]).to_sparse();
    let broken: [fn(&mut SparseHist); 14] = [
        |s| s.count += 1,
        |s| s.index.swap(0, 1),
        |s| s.index[2] = 4864,
        |s| s.lo.truncate(1),
        |s| s.hi = vec![0],
        |s| s.min = 900,
        |s| s.sum = 1,
        |s| s.over = 9,
        |s| s.over = 1,
        |s| s.max = u64::MAX,
        |s| s.sum = u128::MAX,
        |s| (s.lo[1], s.count) = (0, 2),
        |s| s.count = 0,
        |s| s.hi = vec![u32::MAX; 3],
    ];
    for (case, breaking) in broken.iter().enumerate() {
        let mut bad = good.clone();
        breaking(&mut bad);
        let mut into = of(&[3]);
        assert!(into.merge_sparse(&bad).is_err(), "case {case}");
        assert_eq!(into, of(&[3]), "case {case}");
    }
}

#[test]
fn what_is_refused_is_named() {
    let good = of(&[10, 1000, 1000, 70_000]).to_sparse();
    type Breaking = fn(&mut SparseHist);
    let broken: [(Breaking, HistError); 7] = [
        (|s| s.index.swap(1, 2), HistError::Index(2)),
        (|s| s.index[2] = 4864, HistError::Index(2)),
        (|s| s.index[1] = s.index[0], HistError::Index(1)),
        (|s| s.lo[1] = 0, HistError::Empty(1)),
        (|s| s.lo[1] = 3, HistError::Count { buckets: 5, count: 4 }),
        (|s| s.hi = vec![u32::MAX; 3], HistError::Overflow),
        (|s| (s.index, s.lo) = (vec![], vec![]), HistError::Count { buckets: 0, count: 4 }),
    ];
    for (case, (breaking, named)) in broken.iter().enumerate() {
        let mut bad = good.clone();
        breaking(&mut bad);
        assert_eq!(Hist::new().merge_sparse(&bad), Err(*named), "case {case}");
    }
}

#[test]
fn the_extremes_of_an_empty_one_are_not_believed() {
    let mut hist = of(&[7]);
    hist.merge_sparse(&SparseHist { min: 1, max: 900, ..SparseHist::default() }).unwrap();
    assert_eq!(hist, of(&[7]));
}

#[test]
fn a_count_beyond_32_bits_travels_whole() {
    let wide = SparseHist {
        count: (7 << 32) + 1,
        over: 0,
        min: 5,
        max: 300,
        sum: (7 << 32) * 5 + 300,
        index: vec![5, 278],
        lo: vec![0, 1],
        hi: vec![7, 0],
    };
    let mut hist = Hist::new();
    hist.merge_sparse(&wide).unwrap();
    assert_eq!(hist.to_sparse(), wide);
    assert_eq!((hist.quantile_ppm(999_999), hist.quantile_ppm(1_000_000)), (Some(5), Some(300)));
}

#[test]
fn counts_that_would_overflow_are_refused_and_change_nothing() {
    let most = SparseHist {
        count: u64::MAX,
        over: 0,
        min: 1,
        max: 1,
        sum: u128::from(u64::MAX),
        index: vec![1],
        lo: vec![u32::MAX],
        hi: vec![u32::MAX],
    };
    let mut into = Hist::new();
    into.merge_sparse(&most).unwrap();
    let before = into.clone();
    assert_eq!(into.merge_sparse(&most), Err(HistError::Overflow));
    assert_eq!(into, before);
}

#[test]
fn a_merge_in_memory_stays_at_the_largest_counts_and_still_has_quantiles() {
    let most = |value: u64| SparseHist {
        count: u64::MAX,
        over: 0,
        min: value,
        max: value,
        sum: u128::from(u64::MAX) * u128::from(value),
        index: vec![bucket_index(value) as u16],
        lo: vec![u32::MAX],
        hi: vec![u32::MAX],
    };
    let (mut low, mut high) = (Hist::new(), Hist::new());
    low.merge_sparse(&most(7)).unwrap();
    high.merge_sparse(&most(200)).unwrap();
    let mut both = low.clone();
    both.merge(&high);
    both.merge(&low);
    assert_eq!((both.count(), both.counts()[7], both.counts()[200]), (u64::MAX, u64::MAX, u64::MAX));
    assert_eq!((both.quantile_ppm(500_000), both.min(), both.max()), (Some(7), Some(7), Some(200)));
    assert!(both.mean_ns().is_some() && both.stdev_ns().is_some());
    both.clear();
    assert_eq!(both, Hist::new());
}

#[test]
fn clearing_leaves_nothing_behind() {
    let mut hist = of(&[1, 300, VALUE_MAX, u64::MAX]);
    hist.clear();
    assert_eq!(hist, Hist::new());
}

#[test]
fn mean_and_deviation_are_of_the_values() {
    let hist = of(&[2, 4, 4, 4, 5, 5, 7, 9]);
    assert_eq!((hist.mean_ns(), hist.stdev_ns()), (Some(5.0), Some(2.0)));
    assert_eq!((Hist::new().mean_ns(), Hist::new().stdev_ns()), (None, None));
}

fn values() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![0..300_u64, 0..2_000_000_u64, 0..VALUE_MAX], 1..200)
}

proptest! {
    #[test]
    fn quantiles_equal_hdrhistogram_s_through_merges(a in values(), b in values()) {
        let mut ours = of(&a);
        ours.merge_sparse(&of(&b).to_sparse()).unwrap();
        let mut theirs = Histogram::<u64>::new_with_bounds(1, VALUE_MAX, 2).unwrap();
        a.iter().chain(&b).for_each(|&v| theirs.record(v).unwrap());
        for ppm in [1, 250_000, 500_000, 900_000, 990_000, 999_000, 1_000_000] {
            let oracle = theirs.value_at_quantile(f64::from(ppm) / 1e6);
            let (min, max) = (ours.min().unwrap(), ours.max().unwrap());
            prop_assert_eq!(ours.quantile_ppm(ppm).unwrap(), oracle.clamp(min, max), "{} ppm", ppm);
        }
    }

    #[test]
    fn any_order_and_grouping_of_merges_gives_the_same(a in values(), b in values(), c in values()) {
        let (mut left, mut right) = (of(&a), of(&c));
        left.merge(&of(&b));
        left.merge(&of(&c));
        right.merge(&of(&b));
        right.merge(&of(&a));
        let all: Vec<u64> = a.into_iter().chain(b).chain(c).collect();
        prop_assert_eq!(&left, &right);
        prop_assert_eq!(&left, &of(&all));
    }

    #[test]
    fn a_quantile_is_never_below_the_truth_and_at_most_one_part_in_128_above(
        mut a in values(), ppm in 0..=1_000_000_u32
    ) {
        let got = of(&a).quantile_ppm(ppm).unwrap();
        a.sort_unstable();
        let rank = (a.len() as u64 * u64::from(ppm)).div_ceil(1_000_000).max(1);
        let truth = a[rank as usize - 1];
        prop_assert!(got >= truth && got - truth <= truth / 128, "{} for {}", got, truth);
    }

    #[test]
    fn a_difference_has_what_came_since(a in values(), b in values()) {
        let (older, mut newer, mut since) = (of(&a), of(&a), Hist::new());
        newer.merge(&of(&b));
        since.merge_difference(&newer, &older);
        let later = of(&b);
        prop_assert_eq!(since.counts(), later.counts());
        prop_assert_eq!((since.count(), since.sum()), (of(&b).count(), of(&b).sum()));
        // In the same buckets as the values themselves, and a peer would take it.
        let ends = |hist: &Hist| (bucket_index(hist.min().unwrap()), bucket_index(hist.max().unwrap()));
        prop_assert_eq!(ends(&since), ends(&of(&b)));
        Hist::new().merge_sparse(&since.to_sparse()).unwrap();
    }

    #[test]
    fn its_figures_apart_make_the_same_again(a in values()) {
        let mut back = Hist::new();
        back.merge_filled(of(&a).exact(), of(&a).filled());
        prop_assert_eq!(&back, &of(&a));
        let mut shown = Vec::new();
        back.for_each_filled(|bucket, count| shown.push((bucket, count)));
        prop_assert_eq!(shown, back.filled().collect::<Vec<_>>());
    }

    #[test]
    fn a_checked_one_tells_what_was_sent(a in values(), factor in prop_oneof![Just(1), Just(1_u64 << 33)]) {
        let mut sent = of(&a);
        (sent.count, sent.sum) = (sent.count * factor, sent.sum * u128::from(factor));
        sent.over *= factor;
        sent.counts.iter_mut().for_each(|count| *count *= factor);
        let bytes = rkyv::to_bytes::<rkyv::rancor::Failure>(&sent.to_sparse()).unwrap();
        let archived = rkyv::access::<ArchivedSparseHist, rkyv::rancor::Failure>(&bytes).unwrap();
        let checked = archived.checked().unwrap();
        prop_assert_eq!(checked.exact(), sent.exact());
        prop_assert!(checked.filled().eq(sent.filled()));
        prop_assert_eq!(checked.buckets(), sent.filled().count());
        let mut back = Hist::new();
        back.merge_archived(archived).unwrap();
        prop_assert_eq!(back, sent);
    }

    #[test]
    fn a_sparse_form_comes_back_whole(a in values()) {
        let mut back = Hist::new();
        back.merge_sparse(&of(&a).to_sparse()).unwrap();
        prop_assert_eq!(back, of(&a));
    }
}
