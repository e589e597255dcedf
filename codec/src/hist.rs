//! A log-linear histogram of nanoseconds, exact in count, sum, minimum and maximum.
//!
//! Below 256 a bucket is one value; above, there are 128 buckets a power of two, so a bucket's width is at most
//! 1/128 = 0.78 % of its lower bound. The range ends at 2^44 - 1 ns (4.88 h); larger values land in the last bucket
//! and stay exact in sum and maximum. Recording is an addition into a flat array; it never allocates.
//!
//! Sparse on the wire: bucket indexes, low words and (only where a count needs them) high words of the counts.

mod sparse;

pub use sparse::{ArchivedSparseHist, CheckedHist, SparseHist};

/// Buckets of a histogram.
pub const BUCKETS: usize = 4864;
/// The largest value with a bucket of its own range, in ns.
pub const VALUE_MAX: u64 = (1 << 44) - 1;

const _: () = assert!(bucket_index(VALUE_MAX) == BUCKETS - 1);
const _: () = assert!(bucket_index(VALUE_MAX + 1) == BUCKETS && bucket_index(u64::MAX) == 7423);

/// The bucket of a value up to [`VALUE_MAX`]; of larger ones, one that no histogram has.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    reason = "every term is below 2^13; the assertions above check the largest"
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

/// What a histogram knows exactly, whatever its buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistExact {
    /// Values recorded.
    pub count: u64,
    /// Values beyond [`VALUE_MAX`].
    pub over: u64,
    /// Sum of all values.
    pub sum: u128,
    /// Smallest value; `u64::MAX` when empty.
    pub min: u64,
    /// Largest value; 0 when empty.
    pub max: u64,
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
        // One comparison tells both that the bucket is there and that the value is within the range.
        match self.counts.get_mut(bucket_index(value)) {
            Some(count) => *count += 1,
            None => self.count_over(),
        }
        self.count += 1;
        self.sum += u128::from(value);
        // A new extreme is rare: branches cost less than to write both each time.
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
    }

    #[cold]
    fn count_over(&mut self) {
        self.counts[BUCKETS - 1] += 1;
        self.over += 1;
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
        let mut seen = 0_u64;
        for i in self.span() {
            seen = seen.saturating_add(self.counts[i]);
            if seen >= rank {
                let high = if i == BUCKETS - 1 { self.max } else { bucket_high(i) };
                return Some(high.clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// Adds another histogram. Saturates: each may have been filled by a peer, with counts that cannot be true.
    pub fn merge(&mut self, other: &Self) {
        for i in other.span() {
            self.counts[i] = self.counts[i].saturating_add(other.counts[i]);
        }
        self.count = self.count.saturating_add(other.count);
        self.over = self.over.saturating_add(other.over);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Buckets that are not empty, ascending, with their counts.
    pub fn filled(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.span().map(|i| (i, self.counts[i])).filter(|&(_, count)| count > 0)
    }

    /// Shows `each` the buckets that are not empty, ascending, with their counts; as [`Hist::filled`], and faster where
    /// most between the smallest and the largest value are empty.
    #[inline]
    pub fn for_each_filled(&self, mut each: impl FnMut(usize, u64)) {
        const GROUP: usize = 8;
        let span = self.span();
        let mut at = span.start;
        for group in self.counts[span].chunks(GROUP) {
            if group.iter().fold(0, |all, count| all | count) > 0 {
                group
                    .iter()
                    .enumerate()
                    .filter(|(_, count)| **count > 0)
                    .for_each(|(i, count)| each(at + i, *count));
            }
            at += GROUP;
        }
    }

    /// Adds what lies apart as counts of buckets and the exact figures beside them. Saturates. Buckets beyond the
    /// range count in the last.
    pub fn merge_filled(&mut self, exact: HistExact, filled: impl Iterator<Item = (usize, u64)>) {
        for (i, count) in filled {
            let i = i.min(BUCKETS - 1);
            self.counts[i] = self.counts[i].saturating_add(count);
        }
        self.count = self.count.saturating_add(exact.count);
        self.over = self.over.saturating_add(exact.over);
        self.sum = self.sum.saturating_add(exact.sum);
        self.min = self.min.min(exact.min);
        self.max = self.max.max(exact.max);
    }

    /// The exact figures beside the buckets.
    #[must_use]
    pub const fn exact(&self) -> HistExact {
        HistExact { count: self.count, over: self.over, sum: self.sum, min: self.min, max: self.max }
    }

    /// Adds what `newer` has beyond `older`, an earlier state of the same histogram: exact in counts and sum. Its
    /// smallest and largest value are those of their buckets where they were not the first or last of all.
    pub fn merge_difference(&mut self, newer: &Self, older: &Self) {
        let (mut first, mut last) = (None, None);
        for i in newer.span() {
            let more = newer.counts[i].saturating_sub(older.counts[i]);
            if more > 0 {
                self.counts[i] = self.counts[i].saturating_add(more);
                first = first.or(Some(i));
                last = Some(i);
            }
        }
        let (Some(first), Some(last)) = (first, last) else { return };
        self.count = self.count.saturating_add(newer.count.saturating_sub(older.count));
        self.over = self.over.saturating_add(newer.over.saturating_sub(older.over));
        self.sum = self.sum.saturating_add(newer.sum.saturating_sub(older.sum));
        self.min =
            self.min.min(if newer.min < older.min { newer.min } else { bucket_low(first).max(newer.min) });
        // The last bucket has no upper end: there the largest of all must do.
        let is_new = newer.max > older.max || last == BUCKETS - 1;
        self.max = self.max.max(if is_new { newer.max } else { bucket_high(last).min(newer.max) });
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        let span = self.span();
        self.counts[span].fill(0);
        (self.count, self.over, self.sum, self.min, self.max) = (0, 0, 0, u64::MAX, 0);
    }
}

#[cfg(test)]
mod tests;
