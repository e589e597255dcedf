//! A log-linear histogram of nanoseconds, exact in count, sum, minimum and maximum.
//!
//! Below 256 a bucket is one value; above, there are 128 buckets a power of two, so a bucket's width is at most
//! 1/128 = 0.78 % of its lower bound. The range ends at 2^44 - 1 ns (4.88 h); larger values land in the last bucket
//! and stay exact in sum and maximum. Recording is an addition into a flat array; it never allocates.
//!
//! Sparse on the wire: bucket indexes, low words and (only where a count needs them) high words of the counts.

use rkyv::{Archive, Deserialize, Serialize};

use crate::HistError;

/// Buckets of a histogram.
pub const BUCKETS: usize = 4864;
/// The largest value with a bucket of its own range, in ns.
pub const VALUE_MAX: u64 = (1 << 44) - 1;

const _: () = assert!(bucket_index(VALUE_MAX) == BUCKETS - 1);

/// The bucket of a value up to [`VALUE_MAX`].
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    reason = "for v < 2^44 every term is below 2^13; the assertion above checks the largest"
)]
pub const fn bucket_index(value: u64) -> usize {
    let shift = 56 - (value | 128).leading_zeros();
    ((shift as usize) << 7) + (value >> shift) as usize
}

/// The smallest value of a bucket; of [`BUCKETS`] itself, the first value beyond the range.
#[must_use]
#[allow(clippy::arithmetic_side_effects, reason = "buckets up to 4864 give at most 2^44")]
pub const fn bucket_low(index: usize) -> u64 {
    let index = if index > BUCKETS { BUCKETS } else { index };
    if index < 256 { index as u64 } else { ((index & 127) as u64 + 128) << ((index >> 7) - 1) }
}

/// The largest value of a bucket.
#[must_use]
#[allow(clippy::arithmetic_side_effects, reason = "the bucket above a bucket starts above zero")]
pub const fn bucket_high(index: usize) -> u64 {
    bucket_low(index + 1) - 1
}

/// The form that travels.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct SparseHist {
    /// Values recorded.
    pub count: u64,
    /// Values above [`VALUE_MAX`]; part of `count`, and in the last bucket.
    pub over: u64,
    /// Smallest value; `u64::MAX` when empty.
    pub min: u64,
    /// Largest value; 0 when empty.
    pub max: u64,
    /// Sum of all values.
    pub sum: u128,
    /// Buckets that are not empty, ascending.
    pub index: Vec<u16>,
    /// Low words of their counts.
    pub lo: Vec<u32>,
    /// High words; empty unless a count reaches 2^32.
    pub hi: Vec<u32>,
}

/// A histogram in memory: 38,912 bytes of counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hist {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
    over: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Hist {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "counts of events in one process do not reach 2^64; bucket_index is below BUCKETS; what a peer sends is \
              checked before it is added"
)]
impl Hist {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        let counts =
            vec![0; BUCKETS].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; BUCKETS]));
        Self { counts, count: 0, over: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    /// Records one value in ns.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.counts[bucket_index(value.min(VALUE_MAX))] += 1;
        self.count += 1;
        self.over += u64::from(value > VALUE_MAX);
        self.sum += u128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Values recorded.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Values beyond [`VALUE_MAX`].
    #[must_use]
    pub const fn over(&self) -> u64 {
        self.over
    }

    /// Sum of all values in ns.
    #[must_use]
    pub const fn sum(&self) -> u128 {
        self.sum
    }

    /// Smallest value in ns, if any.
    #[must_use]
    pub const fn min(&self) -> Option<u64> {
        if self.count == 0 { None } else { Some(self.min) }
    }

    /// Largest value in ns, if any.
    #[must_use]
    pub const fn max(&self) -> Option<u64> {
        if self.count == 0 { None } else { Some(self.max) }
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The counts, a bucket each; see [`bucket_low`] and [`bucket_high`].
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        self.counts.as_slice()
    }

    /// Buckets between the smallest and the largest value.
    fn span(&self) -> std::ops::Range<usize> {
        if self.count == 0 {
            return 0..0;
        }
        bucket_index(self.min.min(VALUE_MAX))..bucket_index(self.max.min(VALUE_MAX)) + 1
    }

    /// Exact mean in ns, if any.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a mean is shown with fewer digits than f64 has")]
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Standard deviation in ns, of bucket middles around the exact mean.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a deviation is shown with fewer digits than f64 has")]
    pub fn stdev_ns(&self) -> Option<f64> {
        let mean = self.mean_ns()?;
        let squares: f64 = self
            .span()
            .filter(|&i| self.counts[i] > 0)
            .map(|i| {
                let middle = (bucket_low(i) as f64 + bucket_high(i) as f64) / 2.0;
                (middle - mean).powi(2) * self.counts[i] as f64
            })
            .sum();
        Some((squares / self.count as f64).sqrt())
    }

    /// The smallest recorded value (its bucket's upper end, within minimum and maximum) with at least `ppm` parts
    /// per million of all values at or below it. Never below the truth, at most 0.78 % above.
    #[must_use]
    pub fn quantile_ppm(&self, ppm: u32) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let exact = (u128::from(self.count) * u128::from(ppm.min(1_000_000))).div_ceil(1_000_000);
        let rank = u64::try_from(exact).unwrap_or(u64::MAX).max(1);
        let mut seen = 0;
        for i in self.span() {
            seen += self.counts[i];
            if seen >= rank {
                let high = if i == BUCKETS - 1 { self.max } else { bucket_high(i) };
                return Some(high.clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for i in other.span() {
            self.counts[i] += other.counts[i];
        }
        self.count += other.count;
        self.over += other.over;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        let span = self.span();
        self.counts[span].fill(0);
        (self.count, self.over, self.sum, self.min, self.max) = (0, 0, 0, u64::MAX, 0);
    }

    /// The form that travels.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "words of a count; an index is below 2^13")]
    pub fn to_sparse(&self) -> SparseHist {
        let full = || self.span().filter(|&i| self.counts[i] > 0);
        let buckets = full().count();
        let wide = full().any(|i| self.counts[i] > u64::from(u32::MAX));
        let mut sparse = SparseHist {
            count: self.count,
            over: self.over,
            min: self.min,
            max: self.max,
            sum: self.sum,
            index: Vec::with_capacity(buckets),
            lo: Vec::with_capacity(buckets),
            hi: Vec::with_capacity(if wide { buckets } else { 0 }),
        };
        for i in full() {
            sparse.index.push(i as u16);
            sparse.lo.push(self.counts[i] as u32);
            if wide {
                sparse.hi.push((self.counts[i] >> 32) as u32);
            }
        }
        sparse
    }

    /// Adds a histogram straight from a receive buffer, after checking all of it.
    ///
    /// # Errors
    /// [`HistError`]; then nothing was added.
    pub fn merge_archived(&mut self, sparse: &ArchivedSparseHist) -> Result<(), HistError> {
        self.merge_checked(&Parts {
            count: sparse.count.to_native(),
            over: sparse.over.to_native(),
            min: sparse.min.to_native(),
            max: sparse.max.to_native(),
            sum: sparse.sum.to_native(),
            index: |i: usize| sparse.index.as_slice()[i].to_native(),
            lo: |i: usize| sparse.lo.as_slice()[i].to_native(),
            hi: |i: usize| sparse.hi.as_slice()[i].to_native(),
            lens: (sparse.index.len(), sparse.lo.len(), sparse.hi.len()),
        })
    }

    /// Adds a histogram that was received and kept.
    ///
    /// # Errors
    /// [`HistError`]; then nothing was added.
    pub fn merge_sparse(&mut self, sparse: &SparseHist) -> Result<(), HistError> {
        self.merge_checked(&Parts {
            count: sparse.count,
            over: sparse.over,
            min: sparse.min,
            max: sparse.max,
            sum: sparse.sum,
            index: |i: usize| sparse.index[i],
            lo: |i: usize| sparse.lo[i],
            hi: |i: usize| sparse.hi[i],
            lens: (sparse.index.len(), sparse.lo.len(), sparse.hi.len()),
        })
    }

    fn merge_checked<I, L, H>(&mut self, parts: &Parts<I, L, H>) -> Result<(), HistError>
    where
        I: Fn(usize) -> u16,
        L: Fn(usize) -> u32,
        H: Fn(usize) -> u32,
    {
        let buckets = parts.check(self)?;
        for entry in 0..buckets {
            self.counts[usize::from((parts.index)(entry))] += parts.bucket(entry);
        }
        if parts.count > 0 {
            self.count += parts.count;
            self.over += parts.over;
            self.sum += parts.sum;
            self.min = self.min.min(parts.min);
            self.max = self.max.max(parts.max);
        }
        Ok(())
    }
}

/// A sparse histogram's columns, wherever they lie.
struct Parts<I, L, H> {
    count: u64,
    over: u64,
    min: u64,
    max: u64,
    sum: u128,
    index: I,
    lo: L,
    hi: H,
    lens: (usize, usize, usize),
}

impl<I: Fn(usize) -> u16, L: Fn(usize) -> u32, H: Fn(usize) -> u32> Parts<I, L, H> {
    fn bucket(&self, entry: usize) -> u64 {
        let high = if self.lens.2 == 0 { 0 } else { (self.hi)(entry) };
        u64::from((self.lo)(entry)) | (u64::from(high) << 32)
    }

    /// Everything that must hold before a single count is added; the number of buckets.
    fn check(&self, into: &Hist) -> Result<usize, HistError> {
        let (index, lo, hi) = self.lens;
        if lo != index || (hi != 0 && hi != index) {
            return Err(HistError::Columns { index, lo, hi });
        }
        let mut buckets = 0_u64;
        let mut previous = None;
        for entry in 0..index {
            let at = (self.index)(entry);
            if usize::from(at) >= BUCKETS || previous.is_some_and(|before| at <= before) {
                return Err(HistError::Index(entry));
            }
            previous = Some(at);
            buckets = buckets.checked_add(self.bucket(entry)).ok_or(HistError::Overflow)?;
        }
        if buckets != self.count {
            return Err(HistError::Count { buckets, count: self.count });
        }
        if self.count == 0 {
            return if index == 0 && self.sum == 0 && self.over == 0 {
                Ok(0)
            } else {
                Err(HistError::Extremes)
            };
        }
        let first = (self.index)(0);
        let ends_fit = usize::from(first) == bucket_index(self.min.min(VALUE_MAX))
            && previous.map(usize::from) == Some(bucket_index(self.max.min(VALUE_MAX)));
        let count = u128::from(self.count);
        let least = count.checked_mul(u128::from(self.min)).ok_or(HistError::Overflow)?;
        let most = count.checked_mul(u128::from(self.max)).ok_or(HistError::Overflow)?;
        let sum_fits = least <= self.sum && self.sum <= most;
        if !ends_fit || !sum_fits || self.min > self.max || self.over > self.count {
            return Err(HistError::Extremes);
        }
        into.count.checked_add(self.count).ok_or(HistError::Overflow)?;
        into.sum.checked_add(self.sum).ok_or(HistError::Overflow)?;
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    use super::*;

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
        let broken: [fn(&mut SparseHist); 8] = [
            |s| s.count += 1,
            |s| s.index.swap(0, 1),
            |s| s.index[2] = 4864,
            |s| s.lo.truncate(1),
            |s| s.hi = vec![0],
            |s| s.min = 900,
            |s| s.sum = 1,
            |s| s.over = 9,
        ];
        for (case, breaking) in broken.iter().enumerate() {
            let mut bad = good.clone();
            breaking(&mut bad);
            let mut into = of(&[3]);
            assert!(into.merge_sparse(&bad).is_err(), "case {case}");
            assert_eq!(into, of(&[3]), "case {case}");
        }
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
        fn a_sparse_form_comes_back_whole(a in values()) {
            let mut back = Hist::new();
            back.merge_sparse(&of(&a).to_sparse()).unwrap();
            prop_assert_eq!(back, of(&a));
        }
    }
}
