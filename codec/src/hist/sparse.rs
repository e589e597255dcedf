//! The histogram on the wire, and its way back into a flat one.
//!
//! Merging runs in two passes over the columns, which may lie in a receive buffer: check everything, then add. A
//! refused histogram changes nothing; an accepted one cannot overflow anything.

use rkyv::{Archive, Deserialize, Serialize};

use super::{BUCKETS, Hist, VALUE_MAX, bucket_index};
use crate::HistError;

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

#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "counts of events in one process do not reach 2^64; bucket_index is below BUCKETS; what a peer sends is \
              checked before it is added"
)]
impl Hist {
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

    /// Bytes of the sparse form's columns: 6 a bucket, or 10 where a count needs a high word.
    #[must_use]
    pub fn sparse_bytes(&self) -> usize {
        let (mut buckets, mut wide) = (0, false);
        for i in self.span() {
            buckets += usize::from(self.counts[i] > 0);
            wide |= self.counts[i] > u64::from(u32::MAX);
        }
        buckets * if wide { 10 } else { 6 }
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
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "a product of two factors below 2^64 is below 2^128; the sums are checked"
    )]
    fn check(&self, into: &Hist) -> Result<usize, HistError> {
        let (index, lo, hi) = self.lens;
        if lo != index || (hi != 0 && hi != index) {
            return Err(HistError::Columns { index, lo, hi });
        }
        let mut buckets = 0_u64;
        let (mut previous, mut last) = (None, 0);
        for entry in 0..index {
            let at = (self.index)(entry);
            if usize::from(at) >= BUCKETS || previous.is_some_and(|before| at <= before) {
                return Err(HistError::Index(entry));
            }
            previous = Some(at);
            last = self.bucket(entry);
            if last == 0 {
                return Err(HistError::Empty(entry));
            }
            buckets = buckets.checked_add(last).ok_or(HistError::Overflow)?;
        }
        if buckets != self.count {
            return Err(HistError::Count { buckets, count: self.count });
        }
        if self.count == 0 {
            // Buckets are not empty, so there are none.
            return if self.sum == 0 && self.over == 0 { Ok(0) } else { Err(HistError::Extremes) };
        }
        let ends_fit = previous.map(usize::from) == Some(bucket_index(self.max.min(VALUE_MAX)))
            && usize::from((self.index)(0)) == bucket_index(self.min.min(VALUE_MAX))
            && self.min <= self.max;
        // Two factors below 2^64 give a product below 2^128.
        let count = u128::from(self.count);
        let sum_fits = count * u128::from(self.min) <= self.sum && self.sum <= count * u128::from(self.max);
        let over_fits = self.over <= last && (self.over > 0) == (self.max > VALUE_MAX);
        if !ends_fit || !sum_fits || !over_fits {
            return Err(HistError::Extremes);
        }
        into.count.checked_add(self.count).ok_or(HistError::Overflow)?;
        into.sum.checked_add(self.sum).ok_or(HistError::Overflow)?;
        Ok(index)
    }
}
